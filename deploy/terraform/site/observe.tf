resource "alicloud_log_project" "this" {
  project_name = var.name
  description  = "Logs of the servers, JSON a line."
}

resource "alicloud_log_store" "this" {
  for_each              = local.servers
  project_name          = alicloud_log_project.this.project_name
  logstore_name         = each.key
  retention_period      = 180
  shard_count           = 2
  auto_split            = true
  max_split_shard_count = 16
}

resource "alicloud_log_machine_group" "this" {
  for_each      = local.servers
  project       = alicloud_log_project.this.project_name
  name          = each.key
  identify_type = "userdefined"
  identify_list = ["${var.name}-${each.key}"]
}

# The journal of the servers' units, as the machines' Logtail reads it; a machine is of the group whose name it finds in
# /etc/ilogtail/user_defined_id (cloud-init.yaml.tftpl writes it).
resource "alicloud_logtail_config" "this" {
  for_each    = local.servers
  project     = alicloud_log_project.this.project_name
  logstore    = alicloud_log_store.this[each.key].logstore_name
  name        = each.key
  input_type  = "plugin"
  output_type = "LogService"
  input_detail = jsonencode({
    plugin = {
      inputs = [{
        type   = "service_journal"
        detail = { JournalPaths = ["/var/log/journal"], Units = ["tongdao-${each.key}.service"] }
      }]
    }
  })
}

resource "alicloud_logtail_attachment" "this" {
  for_each            = local.servers
  project             = alicloud_log_project.this.project_name
  logtail_config_name = alicloud_logtail_config.this[each.key].name
  machine_group_name  = alicloud_log_machine_group.this[each.key].name
}

# The alerts proper are Prometheus' (deploy/prometheus/rules.yml); this one is for the day on which Prometheus itself is gone.
resource "alicloud_cms_alarm" "port" {
  name               = "${var.name}-unhealthy"
  project            = "acs_nlb"
  metric             = "InstanceUnhealthyServerCount"
  metric_dimensions  = jsonencode([{ instanceId = alicloud_nlb_load_balancer.this.id }])
  period             = 60
  contact_groups     = [var.alert_group]
  effective_interval = "00:00-23:59"
  escalations_critical {
    statistics          = "Maximum"
    comparison_operator = ">="
    threshold           = "1"
    times               = 2
  }
}

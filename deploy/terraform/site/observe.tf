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

# The alerts proper are Prometheus' (deploy/prometheus/rules.yml); this one is for the day on which Prometheus itself is gone.
resource "alicloud_cms_alarm" "port" {
  name               = "${var.name}-unhealthy"
  project            = "acs_nlb"
  metric             = "InstanceUnhealthyServerCount"
  metric_dimensions  = jsonencode([{ instanceId = alicloud_nlb_load_balancer.this.id }])
  period             = 60
  contact_groups     = ["tongdao"]
  effective_interval = "00:00-23:59"
  escalations_critical {
    statistics          = "Maximum"
    comparison_operator = ">="
    threshold           = "1"
    times               = 2
  }
}

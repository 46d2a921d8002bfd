# Gateways are added by hand (desired size of the group) and not by CPU: one has one hot thread, which busy_poll or not says nothing by the
# machine's average, and what fills first is a line to a core or a client's rate. The group replaces machines that die.
locals {
  # A zone is called after its region: cn-shanghai-l.
  region = replace(var.zones[0], "/-[a-z]+$/", "")
  servers = {
    gateway = { type = var.gateway_type, min = var.gateways_min, max = var.gateways_min * 2, ports = ["orders", "fix"] }
    feed    = { type = var.feed_type, min = var.feeds_min, max = var.feeds_min * 4, ports = ["quotes"] }
  }
}

resource "alicloud_ess_scaling_group" "this" {
  for_each           = local.servers
  scaling_group_name = "${var.name}-${each.key}"
  min_size           = each.value.min
  max_size           = each.value.max
  vswitch_ids        = [for vswitch in alicloud_vswitch.zone : vswitch.id]
  # The same number in each zone: each zone must be able to carry all alone.
  multi_az_policy  = "BALANCE"
  removal_policies = ["NewestInstance"]
  default_cooldown = 300
  dynamic "server_groups" {
    for_each = each.value.ports
    content {
      server_group_id = alicloud_nlb_server_group.this[server_groups.value].id
      port            = local.ports[server_groups.value].port
      weight          = 100
      type            = "NLB"
    }
  }
}

resource "alicloud_ess_scaling_configuration" "this" {
  for_each             = local.servers
  scaling_group_id     = alicloud_ess_scaling_group.this[each.key].id
  image_id             = var.image_id
  instance_types       = [each.value.type]
  instance_name        = "${var.name}-${each.key}"
  security_group_ids   = [alicloud_security_group.servers.id]
  key_name             = var.key_pair
  role_name            = var.role_name
  system_disk_category = "cloud_essd"
  system_disk_size     = 100
  active               = true
  enable               = true
  force_delete         = true
  user_data = base64encode(templatefile("${path.module}/cloud-init.yaml.tftpl", {
    disk      = file("${path.module}/scripts/disk")
    configure = file("${path.module}/scripts/configure")
    group     = "${var.name}-${each.key}"
    site      = "SERVER=${each.key}\nREGION=${local.region}\nBUCKET=${var.config_bucket}\nSECRET=${var.kms_secret}\n"
    server    = each.key
  }))
  # Audit and FIX sessions outlive the instance: docs/operations.md ("Disks and audits") says how they are taken over.
  dynamic "data_disk" {
    for_each = each.key == "gateway" ? [1] : []
    content {
      category             = "cloud_essd"
      performance_level    = "PL1"
      size                 = 200
      encrypted            = true
      delete_with_instance = false
    }
  }
}

# More feeds when they are busy; fewer never by itself: an instance that goes takes its connections with it. A feed has a shard on each
# core but one, so the machine's average is that of the shards.
resource "alicloud_ess_scaling_rule" "more" {
  scaling_group_id  = alicloud_ess_scaling_group.this["feed"].id
  scaling_rule_name = "${var.name}-feed-more"
  scaling_rule_type = "TargetTrackingScalingRule"
  metric_name       = "CpuUtilization"
  target_value      = 50
  disable_scale_in  = true
}

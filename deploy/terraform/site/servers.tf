locals {
  servers = {
    gateway = { type = var.gateway_type, min = var.gateways_min, max = var.gateways_min * 4, ports = ["orders", "fix"] }
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
    server        = each.key
    config_bucket = var.config_bucket
    kms_secret    = var.kms_secret
  }))
  # Audit and FIX sessions outlive the instance: docs/operations.md says how they are taken over.
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

# More when the busiest are busy; fewer never by itself while the market is open: an instance that goes takes its connections with it.
resource "alicloud_ess_scaling_rule" "more" {
  for_each          = local.servers
  scaling_group_id  = alicloud_ess_scaling_group.this[each.key].id
  scaling_rule_name = "${var.name}-${each.key}-more"
  scaling_rule_type = "TargetTrackingScalingRule"
  metric_name       = "CpuUtilization"
  target_value      = 50
  disable_scale_in  = true
}

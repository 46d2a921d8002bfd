# Two active zones in one region (同城双活) and a third centre in another (两地三中心). Each site is the same module.

module "active" {
  source         = "./site"
  name           = "tongdao-${var.region}"
  cidr           = "10.64.0.0/16"
  zones          = var.zones
  image_id       = var.image_id
  gateway_type   = var.gateway_type
  feed_type      = var.feed_type
  gateways_min   = var.gateways_per_zone * length(var.zones)
  feeds_min      = var.feeds_per_zone * length(var.zones)
  client_cidrs   = var.client_cidrs
  operator_cidrs = var.operator_cidrs
  exchange_cidrs = var.exchange_cidrs
  key_pair       = var.key_pair
  role_name      = alicloud_ram_role.server.role_name
  config_bucket  = var.config_bucket
  kms_secret     = var.kms_secret
  alert_group    = alicloud_cms_alarm_contact_group.operators.alarm_contact_group_name
}

# Warm: one gateway and one feed run and follow the flows over lines of their own. When the region is lost, people add servers
# (docs/drill.md) and move the clients' name here; nothing does so by itself.
module "dr" {
  source         = "./site"
  providers      = { alicloud = alicloud.dr }
  name           = "tongdao-${var.dr_region}"
  cidr           = "10.80.0.0/16"
  zones          = var.dr_zones
  image_id       = var.dr_image_id
  gateway_type   = var.gateway_type
  feed_type      = var.feed_type
  gateways_min   = 1
  feeds_min      = 1
  client_cidrs   = var.client_cidrs
  operator_cidrs = var.operator_cidrs
  exchange_cidrs = var.exchange_cidrs
  key_pair       = var.key_pair
  role_name      = alicloud_ram_role.server.role_name
  config_bucket  = var.dr_config_bucket
  kms_secret     = var.dr_kms_secret
  alert_group    = alicloud_cms_alarm_contact_group.operators.alarm_contact_group_name
}

# Who hears of what Prometheus cannot tell (site/observe.tf). The address has to confirm a mail first.
resource "alicloud_cms_alarm_contact" "operators" {
  alarm_contact_name = "tongdao-operators"
  describe           = "Who is on duty for tongdao"
  channels_mail      = var.alert_mail
  lifecycle {
    ignore_changes = [channels_mail]
  }
}

resource "alicloud_cms_alarm_contact_group" "operators" {
  alarm_contact_group_name = "tongdao"
  contacts                 = [alicloud_cms_alarm_contact.operators.alarm_contact_name]
}

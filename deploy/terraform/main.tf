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
}

# Warm: one gateway and one feed run and follow the flows, so that the drill of docs/operations.md starts nothing cold.
module "dr" {
  source         = "./site"
  providers      = { alicloud = alicloud.dr }
  name           = "tongdao-${var.dr_region}"
  cidr           = "10.80.0.0/16"
  zones          = [var.dr_zone]
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
  config_bucket  = var.config_bucket
  kms_secret     = var.kms_secret
}

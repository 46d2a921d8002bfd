# The leased lines of both sites, in one network of the cloud (CEN). The sites' transit routers are not joined: each site has lines of its
# own, and none depends on the other.
resource "alicloud_cen_instance" "this" {
  cen_instance_name = "tongdao"
}

module "lines" {
  source      = "./lines"
  name        = "tongdao-${var.region}"
  cen_id      = alicloud_cen_instance.this.id
  vpc_id      = module.active.vpc_id
  vswitch_ids = module.active.vswitch_ids
  circuits    = var.circuits
  bgp_key     = var.bgp_key
}

module "dr_lines" {
  source      = "./lines"
  providers   = { alicloud = alicloud.dr }
  name        = "tongdao-${var.dr_region}"
  cen_id      = alicloud_cen_instance.this.id
  vpc_id      = module.dr.vpc_id
  vswitch_ids = module.dr.vswitch_ids
  circuits    = var.dr_circuits
  bgp_key     = var.bgp_key
}

# The stand-in for tests: not two lines, not their latency, the same addresses.
resource "alicloud_vpn_gateway" "stand_in" {
  count                        = var.vpn_peer == null ? 0 : 1
  vpn_gateway_name             = "tongdao-stand-in"
  vpc_id                       = module.active.vpc_id
  vswitch_id                   = module.active.vswitch_ids[var.zones[0]]
  disaster_recovery_vswitch_id = module.active.vswitch_ids[var.zones[1]]
  bandwidth                    = 100
  enable_ipsec                 = true
  payment_type                 = "PayAsYouGo"
}

resource "alicloud_vpn_customer_gateway" "stand_in" {
  count                 = var.vpn_peer == null ? 0 : 1
  customer_gateway_name = "tongdao-stand-in"
  ip_address            = var.vpn_peer
}

resource "alicloud_vpn_connection" "stand_in" {
  count               = var.vpn_peer == null ? 0 : 1
  vpn_connection_name = "tongdao-stand-in"
  vpn_gateway_id      = alicloud_vpn_gateway.stand_in[0].id
  customer_gateway_id = alicloud_vpn_customer_gateway.stand_in[0].id
  local_subnet        = ["10.64.0.0/16"]
  remote_subnet       = var.exchange_cidrs
  ike_config {
    psk         = var.vpn_key
    ike_version = "ikev2"
  }
}

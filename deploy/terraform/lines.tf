# The leased lines: one virtual border router a line, both in one network through the transit router, so that either reaches each zone.
resource "alicloud_express_connect_virtual_border_router" "line" {
  for_each                   = var.circuits
  virtual_border_router_name = "tongdao-${each.key}"
  physical_connection_id     = each.value.physical_connection_id
  vlan_id                    = each.value.vlan_id
  local_gateway_ip           = each.value.local_gateway_ip
  peer_gateway_ip            = each.value.peer_gateway_ip
  peering_subnet_mask        = each.value.peering_subnet_mask
  bandwidth                  = each.value.bandwidth_mbps
  # A line that is cut without a word is seen in a second, not in a routing protocol's minutes.
  enable_ipv6       = false
  detect_multiplier = 3
  min_rx_interval   = 300
  min_tx_interval   = 300
}

resource "alicloud_cen_instance" "this" {
  cen_instance_name = "tongdao"
}

resource "alicloud_cen_transit_router" "active" {
  cen_id              = alicloud_cen_instance.this.id
  transit_router_name = "tongdao-${var.region}"
}

resource "alicloud_cen_transit_router_vpc_attachment" "active" {
  cen_id            = alicloud_cen_instance.this.id
  transit_router_id = alicloud_cen_transit_router.active.transit_router_id
  vpc_id            = module.active.vpc_id
  dynamic "zone_mappings" {
    for_each = module.active.vswitch_ids
    content {
      zone_id    = zone_mappings.key
      vswitch_id = zone_mappings.value
    }
  }
}

resource "alicloud_cen_transit_router_vbr_attachment" "line" {
  for_each                   = alicloud_express_connect_virtual_border_router.line
  cen_id                     = alicloud_cen_instance.this.id
  transit_router_id          = alicloud_cen_transit_router.active.transit_router_id
  vbr_id                     = each.value.id
  auto_publish_route_enabled = true
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

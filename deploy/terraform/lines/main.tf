# One virtual border router a line. It learns by BGP what is at the far end, and tells the far end where the site is; BFD ends that
# session, and with it the routes, within a second of a line that is cut without a word: 3 times 300 ms.
resource "alicloud_express_connect_virtual_border_router" "line" {
  for_each                   = var.circuits
  virtual_border_router_name = "${var.name}-${each.key}"
  physical_connection_id     = each.value.physical_connection_id
  vlan_id                    = each.value.vlan_id
  local_gateway_ip           = each.value.local_gateway_ip
  peer_gateway_ip            = each.value.peer_gateway_ip
  peering_subnet_mask        = each.value.peering_subnet_mask
  bandwidth                  = each.value.bandwidth_mbps
  enable_ipv6                = false
  detect_multiplier          = 3
  min_rx_interval            = 300
  min_tx_interval            = 300
}

resource "alicloud_vpc_bgp_group" "line" {
  for_each       = var.circuits
  bgp_group_name = "${var.name}-${each.key}"
  router_id      = alicloud_express_connect_virtual_border_router.line[each.key].id
  peer_asn       = each.value.peer_asn
  auth_key       = var.bgp_key
}

resource "alicloud_vpc_bgp_peer" "line" {
  for_each        = var.circuits
  bgp_group_id    = alicloud_vpc_bgp_group.line[each.key].id
  peer_ip_address = each.value.peer_gateway_ip
  ip_version      = "IPV4"
  enable_bfd      = true
  # The peer is the other end of the cable.
  bfd_multi_hop = 1
}

# One table for the network and both lines: each hears the routes of the others (propagation) and goes by them (association).
resource "alicloud_cen_transit_router" "this" {
  cen_id              = var.cen_id
  transit_router_name = var.name
}

resource "alicloud_cen_transit_router_route_table" "this" {
  transit_router_id               = alicloud_cen_transit_router.this.transit_router_id
  transit_router_route_table_name = var.name
}

resource "alicloud_cen_transit_router_vpc_attachment" "this" {
  cen_id                             = var.cen_id
  transit_router_id                  = alicloud_cen_transit_router.this.transit_router_id
  transit_router_vpc_attachment_name = var.name
  vpc_id                             = var.vpc_id
  # What the table knows goes into the network's own routes: without it the servers do not find the lines.
  auto_publish_route_enabled = true
  dynamic "zone_mappings" {
    for_each = var.vswitch_ids
    content {
      zone_id    = zone_mappings.key
      vswitch_id = zone_mappings.value
    }
  }
}

resource "alicloud_cen_transit_router_vbr_attachment" "line" {
  for_each                       = var.circuits
  cen_id                         = var.cen_id
  transit_router_id              = alicloud_cen_transit_router.this.transit_router_id
  transit_router_attachment_name = "${var.name}-${each.key}"
  vbr_id                         = alicloud_express_connect_virtual_border_router.line[each.key].id
  # What the table knows goes to the border router, and by BGP to the far end.
  auto_publish_route_enabled = true
}

locals {
  attachments = merge(
    { network = alicloud_cen_transit_router_vpc_attachment.this.transit_router_attachment_id },
    { for line, attachment in alicloud_cen_transit_router_vbr_attachment.line : line => attachment.transit_router_attachment_id },
  )
}

resource "alicloud_cen_transit_router_route_table_association" "this" {
  for_each                      = local.attachments
  transit_router_route_table_id = alicloud_cen_transit_router_route_table.this.transit_router_route_table_id
  transit_router_attachment_id  = each.value
}

resource "alicloud_cen_transit_router_route_table_propagation" "this" {
  for_each                      = local.attachments
  transit_router_route_table_id = alicloud_cen_transit_router_route_table.this.transit_router_route_table_id
  transit_router_attachment_id  = each.value
}

resource "alicloud_vpc" "this" {
  vpc_name   = var.name
  cidr_block = var.cidr
}

resource "alicloud_vswitch" "zone" {
  for_each     = { for at, zone in var.zones : zone => at }
  vpc_id       = alicloud_vpc.this.id
  zone_id      = each.key
  cidr_block   = cidrsubnet(var.cidr, 4, each.value)
  vswitch_name = "${var.name}-${each.key}"
}

# Servers: clients come to their ports, operators to the admin ports; all else is refused.
resource "alicloud_security_group" "servers" {
  security_group_name = "${var.name}-servers"
  vpc_id              = alicloud_vpc.this.id
  # Enterprise groups take more members; members reach each other by rule only.
  security_group_type = "enterprise"
}

locals {
  rules = merge(
    { for cidr in var.client_cidrs : "orders ${cidr}" => { cidr = cidr, protocol = "tcp", ports = "7001/7011" } },
    { for cidr in var.client_cidrs : "quotes ${cidr}" => { cidr = cidr, protocol = "tcp", ports = "7200/7200" } },
    { for cidr in var.client_cidrs : "quotes-quic ${cidr}" => { cidr = cidr, protocol = "udp", ports = "7200/7200" } },
    { for cidr in var.operator_cidrs : "admin ${cidr}" => { cidr = cidr, protocol = "tcp", ports = "7090/7299" } },
    { for cidr in var.operator_cidrs : "ssh ${cidr}" => { cidr = cidr, protocol = "tcp", ports = "22/22" } },
    # The load balancer's health checks and traffic come from the zones' own networks.
    { for zone, vswitch in alicloud_vswitch.zone : "inside ${zone}" => { cidr = vswitch.cidr_block, protocol = "tcp", ports = "7000/7299" } },
  )
}

resource "alicloud_security_group_rule" "in" {
  for_each          = local.rules
  security_group_id = alicloud_security_group.servers.id
  type              = "ingress"
  policy            = "accept"
  ip_protocol       = each.value.protocol
  port_range        = each.value.ports
  cidr_ip           = each.value.cidr
  description       = each.key
}

# Out: to the cores and sources, inside, and to the cloud's own services over TLS.
resource "alicloud_security_group_rule" "out" {
  for_each          = toset(concat(var.exchange_cidrs, [var.cidr, "100.64.0.0/10"]))
  security_group_id = alicloud_security_group.servers.id
  type              = "egress"
  policy            = "accept"
  ip_protocol       = "all"
  port_range        = "-1/-1"
  cidr_ip           = each.value
}

resource "alicloud_security_group_rule" "out_refused" {
  security_group_id = alicloud_security_group.servers.id
  type              = "egress"
  policy            = "drop"
  priority          = 100
  ip_protocol       = "all"
  port_range        = "-1/-1"
  cidr_ip           = "0.0.0.0/0"
}

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

# Servers. In: clients to the ports for clients, operators (and Prometheus) to the admin ports and SSH, the balancer from the zones' own
# networks to all that it serves and checks. The group refuses all else. That is by address: any machine of the zones' networks passes for the
# balancer, so nothing but servers belongs there.
resource "alicloud_security_group" "servers" {
  security_group_name = "${var.name}-servers"
  vpc_id              = alicloud_vpc.this.id
  # Enterprise groups take more members; members reach each other by rule only.
  security_group_type = "enterprise"
}

locals {
  # 7001 orders, 7011 FIX, 7200 quotes; 7091 and 7290 are admin ports. No QUIC: `listen.quic` would need UDP here and at the balancer.
  client_ports   = ["7001/7001", "7011/7011", "7200/7200"]
  admin_ports    = ["7091/7091", "7290/7290"]
  operator_ports = concat(local.admin_ports, ["22/22"])
  balancer_ports = concat(local.client_ports, local.admin_ports)
  zone_cidrs     = [for vswitch in alicloud_vswitch.zone : vswitch.cidr_block]
  rules = merge(
    { for pair in setproduct(var.client_cidrs, local.client_ports) : "clients ${pair[0]} ${pair[1]}" => pair },
    { for pair in setproduct(var.operator_cidrs, local.operator_ports) : "operators ${pair[0]} ${pair[1]}" => pair },
    { for pair in setproduct(local.zone_cidrs, local.balancer_ports) : "balancer ${pair[0]} ${pair[1]}" => pair },
  )
}

resource "alicloud_security_group_rule" "in" {
  for_each          = local.rules
  security_group_id = alicloud_security_group.servers.id
  type              = "ingress"
  policy            = "accept"
  ip_protocol       = "tcp"
  port_range        = each.value[1]
  cidr_ip           = each.value[0]
  description       = each.key
}

# Out, with any protocol: to the cores and sources, inside, and to the cloud's own services (configurations, secrets, logs, names, time), which
# are in 100.64.0.0/10. All else is dropped.
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

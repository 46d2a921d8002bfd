# NLB: layer 4 over all zones, so that TLS with ShangMi ends at the servers. It keeps the client's address.
resource "alicloud_nlb_load_balancer" "this" {
  load_balancer_name = var.name
  load_balancer_type = "Network"
  address_type       = "Intranet"
  address_ip_version = "Ipv4"
  vpc_id             = alicloud_vpc.this.id
  cross_zone_enabled = true
  dynamic "zone_mappings" {
    for_each = alicloud_vswitch.zone
    content {
      vswitch_id = zone_mappings.value.id
      zone_id    = zone_mappings.key
    }
  }
}

locals {
  ports = {
    orders = { port = 7001, admin = 7091 }
    fix    = { port = 7011, admin = 7091 }
    quotes = { port = 7200, admin = 7290 }
  }
}

resource "alicloud_nlb_server_group" "this" {
  for_each                   = local.ports
  server_group_name          = "${var.name}-${each.key}"
  server_group_type          = "Instance"
  vpc_id                     = alicloud_vpc.this.id
  protocol                   = "TCP"
  scheduler                  = "Wlc"
  connection_drain_enabled   = true
  connection_drain_timeout   = 60
  preserve_client_ip_enabled = true
  health_check {
    health_check_enabled         = true
    # A server that listens but reaches no core, or no source, is not ready and gets no clients.
    health_check_type            = "HTTP"
    health_check_connect_port    = each.value.admin
    health_check_url             = "/ready"
    http_check_method            = "GET"
    health_check_http_code       = ["http_2xx"]
    healthy_threshold            = 3
    unhealthy_threshold          = 3
    health_check_connect_timeout = 5
    health_check_interval        = 5
  }
}

resource "alicloud_nlb_listener" "this" {
  for_each          = local.ports
  listener_protocol = "TCP"
  listener_port     = each.value.port
  load_balancer_id  = alicloud_nlb_load_balancer.this.id
  server_group_id   = alicloud_nlb_server_group.this[each.key].id
  # Both protocols have heartbeats of seconds: a connection that is idle for this long is dead.
  idle_timeout = 900
}

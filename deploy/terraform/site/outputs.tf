output "vpc_id" {
  value = alicloud_vpc.this.id
}

output "vswitch_ids" {
  value = { for zone, vswitch in alicloud_vswitch.zone : zone => vswitch.id }
}

output "address" {
  description = "The name that clients connect to: orders 7001, FIX 7011, quotes 7200."
  value       = alicloud_nlb_load_balancer.this.dns_name
}

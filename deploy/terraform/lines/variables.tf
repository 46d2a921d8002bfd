# The leased lines of one site: a border router each, and the transit router that joins them with the site's network.

variable "name" {
  description = "Prefix of all names, such as tongdao-cn-shanghai."
  type        = string
}

variable "cen_id" { type = string }
variable "vpc_id" { type = string }

variable "vswitch_ids" {
  description = "A vswitch of each zone, in which the transit router has an interface."
  type        = map(string)
}

variable "circuits" {
  description = "The site's circuits, by line."
  type = map(object({
    physical_connection_id = string
    vlan_id                = number
    local_gateway_ip       = string
    peer_gateway_ip        = string
    peering_subnet_mask    = string
    peer_asn               = number
    bandwidth_mbps         = number
  }))
}

variable "bgp_key" {
  description = "What the routers at both ends of a circuit authenticate their BGP session with (MD5), or null."
  type        = string
  sensitive   = true
}

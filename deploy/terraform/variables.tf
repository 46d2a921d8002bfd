variable "region" {
  description = "Region of the two active zones (同城双活)."
  type        = string
  default     = "cn-shanghai"
}

variable "zones" {
  description = "The two active zones. Gateways and feeds run in both, each able to carry all of the load."
  type        = list(string)
  default     = ["cn-shanghai-l", "cn-shanghai-m"]
  validation {
    condition     = length(var.zones) == 2
    error_message = "Two zones: the design is one of two zones, each with its own leased line."
  }
}

variable "dr_region" {
  description = "Region of the disaster-recovery site (两地三中心), far from the first."
  type        = string
  default     = "cn-shenzhen"
}

variable "dr_zones" {
  description = "Zones of the disaster-recovery site: two, for the cloud's balancer wants as many."
  type        = list(string)
  default     = ["cn-shenzhen-e", "cn-shenzhen-f"]
  validation {
    condition     = length(var.dr_zones) == 2
    error_message = "Two zones: an NLB is in two at the least."
  }
}

variable "image_id" {
  description = "Image with the servers installed (deploy/systemd/install), in the first region."
  type        = string
}

variable "dr_image_id" {
  description = "The same image, copied to the region of the disaster-recovery site."
  type        = string
}

variable "gateway_type" {
  description = "Instance type of gateways: 2 cores are enough for one (docs/benchmarks.md); the network's packets a second count more."
  type        = string
  default     = "ecs.c8i.xlarge"
}

variable "feed_type" {
  description = "Instance type of feeds: one core for each shard and one for the rest."
  type        = string
  default     = "ecs.c8i.xlarge"
}

variable "gateways_per_zone" {
  description = "Gateways in each zone, at the least; more are added by hand, up to twice as many."
  type        = number
  default     = 1
}

variable "feeds_per_zone" {
  description = "Feeds in each zone, at the least; the scaling group adds more by CPU."
  type        = number
  default     = 1
}

variable "client_cidrs" {
  description = "Networks of the clients."
  type        = list(string)
}

variable "operator_cidrs" {
  description = "Networks of operators and Prometheus: they reach the admin ports."
  type        = list(string)
}

variable "exchange_cidrs" {
  description = "Networks at the far ends of the leased lines: cores and sources of quotes."
  type        = list(string)
}

variable "circuits" {
  description = <<-TEXT
    The two leased lines (双专线) of the first region as physical connections of Express Connect that the carrier has finished: by line, the
    connection's id, the VLAN, the addresses of both ends of the border router, and the AS number of the far end, which announces the
    networks of exchange_cidrs by BGP with BFD. Empty: none, and the VPN stands in (vpn_peer).
  TEXT
  type = map(object({
    physical_connection_id = string
    vlan_id                = number
    local_gateway_ip       = string
    peer_gateway_ip        = string
    peering_subnet_mask    = string
    peer_asn               = number
    bandwidth_mbps         = number
  }))
  default = {}
}

variable "dr_circuits" {
  description = "The same for the disaster-recovery site: its own lines to the cores and sources, or to their own recovery sites. Empty: it reaches none, and is no recovery."
  type = map(object({
    physical_connection_id = string
    vlan_id                = number
    local_gateway_ip       = string
    peer_gateway_ip        = string
    peering_subnet_mask    = string
    peer_asn               = number
    bandwidth_mbps         = number
  }))
  default = {}
}

variable "bgp_key" {
  description = "What the routers at both ends of a line authenticate their BGP session with, or null."
  type        = string
  default     = null
  sensitive   = true
}

variable "vpn_peer" {
  description = "Stand-in for the lines in tests: the public address of the VPN gateway at the other end, or null."
  type        = string
  default     = null
}

variable "vpn_key" {
  description = "The pre-shared key of that VPN."
  type        = string
  default     = null
  sensitive   = true
}

variable "key_pair" {
  description = "Name of the SSH key pair of the instances."
  type        = string
}

variable "config_bucket" {
  description = "OSS bucket of the first region with a configuration for each zone, gateway-ZONE.toml and feed-ZONE.toml (such as gateway-cn-shanghai-l.toml), and securities.csv; README.md has what they may name."
  type        = string
}

variable "dr_config_bucket" {
  description = "The same in the region of the disaster-recovery site: a bucket is of one region, and that one is lost."
  type        = string
}

variable "kms_secret" {
  description = "Name of the secret in the KMS of the first region with certificate, key, tokens and passwords, as README.md has it."
  type        = string
}

variable "dr_kms_secret" {
  description = "The same in the region of the disaster-recovery site."
  type        = string
}

variable "alert_mail" {
  description = "Who gets a mail when the cloud's balancer finds servers unhealthy."
  type        = string
}

# One site: a network over two zones, with everything that runs in it.

variable "name" {
  description = "Prefix of all names, such as tongdao-shanghai."
  type        = string
}

variable "cidr" {
  description = "Network of the site, a /16; each zone gets a /20 of it."
  type        = string
}

variable "zones" {
  description = "Its zones, two or more: the balancer is in two at the least."
  type        = list(string)
}

variable "image_id" { type = string }
variable "gateway_type" { type = string }
variable "feed_type" { type = string }
variable "gateways_min" { type = number }
variable "feeds_min" { type = number }
variable "client_cidrs" { type = list(string) }
variable "operator_cidrs" { type = list(string) }
variable "exchange_cidrs" { type = list(string) }
variable "key_pair" { type = string }
variable "role_name" { type = string }
variable "config_bucket" { type = string }
variable "kms_secret" { type = string }
variable "alert_group" { type = string }

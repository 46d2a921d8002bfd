image_id       = "m-example"
dr_image_id    = "m-example-dr"
key_pair       = "operators"
client_cidrs   = ["10.0.0.0/8"]
operator_cidrs = ["10.1.0.0/16"]
exchange_cidrs = ["192.0.2.0/24", "198.51.100.0/24"]
config_bucket    = "tongdao-config"
dr_config_bucket = "tongdao-config-dr"
kms_secret       = "tongdao-server"
dr_kms_secret    = "tongdao-server-dr"
alert_mail       = "operators@example.com"
circuits = {
  a = { physical_connection_id = "pc-example-a", vlan_id = 100, local_gateway_ip = "192.0.2.1", peer_gateway_ip = "192.0.2.2", peering_subnet_mask = "255.255.255.252", peer_asn = 64512, bandwidth_mbps = 100 }
  b = { physical_connection_id = "pc-example-b", vlan_id = 100, local_gateway_ip = "198.51.100.1", peer_gateway_ip = "198.51.100.2", peering_subnet_mask = "255.255.255.252", peer_asn = 64512, bandwidth_mbps = 100 }
}
dr_circuits = {
  a = { physical_connection_id = "pc-example-dr-a", vlan_id = 100, local_gateway_ip = "203.0.113.1", peer_gateway_ip = "203.0.113.2", peering_subnet_mask = "255.255.255.252", peer_asn = 64512, bandwidth_mbps = 100 }
  b = { physical_connection_id = "pc-example-dr-b", vlan_id = 100, local_gateway_ip = "203.0.113.5", peer_gateway_ip = "203.0.113.6", peering_subnet_mask = "255.255.255.252", peer_asn = 64512, bandwidth_mbps = 100 }
}

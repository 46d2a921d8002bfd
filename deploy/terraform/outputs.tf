output "address" {
  description = "Where clients connect: a name for both zones."
  value       = module.active.address
}

output "dr_address" {
  description = "Where they connect when the region is lost; a CNAME of yours moves from the first to this one."
  value       = module.dr.address
}

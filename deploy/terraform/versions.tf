terraform {
  required_version = ">= 1.6"
  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = "~> 1.250"
    }
  }
  # State holds secrets: keep it in OSS with encryption and locking (backend "oss"), not in a working copy.
}

provider "alicloud" {
  region = var.region
}

# The disaster-recovery site.
provider "alicloud" {
  alias  = "dr"
  region = var.dr_region
}

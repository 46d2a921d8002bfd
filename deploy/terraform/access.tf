# What an instance may do in the cloud: read its configuration and its certificate, send its logs. Nothing else.
resource "alicloud_ram_role" "server" {
  role_name = "tongdao-server"
  assume_role_policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Action    = "sts:AssumeRole"
      Effect    = "Allow"
      Principal = { Service = ["ecs.aliyuncs.com"] }
    }]
  })
}

resource "alicloud_ram_policy" "server" {
  policy_name = "tongdao-server"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      { Effect = "Allow", Action = ["oss:GetObject"], Resource = ["acs:oss:*:*:${var.config_bucket}/*", "acs:oss:*:*:${var.dr_config_bucket}/*"] },
      { Effect = "Allow", Action = ["kms:GetSecretValue"], Resource = ["acs:kms:*:*:secret/${var.kms_secret}", "acs:kms:*:*:secret/${var.dr_kms_secret}"] },
      { Effect = "Allow", Action = ["log:PostLogStoreLogs"], Resource = ["acs:log:*:*:project/tongdao-*/logstore/*"] },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "server" {
  role_name   = alicloud_ram_role.server.role_name
  policy_name = alicloud_ram_policy.server.policy_name
  policy_type = alicloud_ram_policy.server.type
}

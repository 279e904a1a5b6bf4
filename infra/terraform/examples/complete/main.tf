# What people do change: the machines, their network, whom the alarms tell, and what an organisation asks for.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

provider "aws" {
  region = "us-west-2"
}

module "elephant" {
  source = "../.."

  name = "classrooms"

  # The machines: two types, so that a zone without the first can launch the second.
  ami_id             = "resolve:ssm:/images/classroom"
  instance_type      = ["t3.large", "m5.large"]
  security_group_ids = ["sg-0a1b2c3d4e5f60718"]
  subnet_ids         = ["subnet-0a1b2c3d4e5f60718", "subnet-0b1c2d3e4f5061728"]

  # What only tunes, by the names of docs/settings.md.
  settings = {
    LEAD_MINUTES   = "20"
    VOLUME_SIZE_GB = "100"
    PAIR           = "same-az"
  }

  # Operation.
  alarms             = "all"
  alarm_email        = "operators@example.com"
  log_retention_days = 90

  # What an organisation asks for.
  permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
  role_path                = "/classrooms/"
  kms_key_arn              = "arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  tags                     = { CostCentre = "42" }
}

output "elephant" {
  value = module.elephant
}

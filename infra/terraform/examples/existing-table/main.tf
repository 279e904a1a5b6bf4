# Beside an existing system: its table of meetings, and the schedules that move and go with a meeting. The sweep only says
# what it would do, until DRY_RUN is taken out.

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

  existing_table_name = "meetings"
  companion_schedules = ["default/safety-{meeting_id}"]
  companion_role_arn  = "arn:aws:iam::123456789012:role/scheduler"

  settings = {
    DRY_RUN = "true"
  }
}

output "elephant" {
  value = module.elephant
}

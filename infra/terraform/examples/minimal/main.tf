# Every default: Amazon Linux on a small machine in the default VPC, reached by Session Manager, and a table of its own.

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
}

# The names that the commands of the documentation ask for.
output "elephant" {
  value = module.elephant
}

# terraform test: plans with a provider that asks nobody. What the plan is, value by value, tests/infra/check_terraform.py
# compares with the template; this shows that Terraform itself and the real schema of the provider take it.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  mock_data "aws_region" {
    defaults = { region = "us-west-2" }
  }
}

variables {
  # Any file will do: nothing is uploaded.
  package = "versions.tf"
}

run "defaults" {
  command = plan

  assert {
    condition     = output.launch_function_name == "elephant-launch"
    error_message = "The functions have the name of the stack."
  }

  assert {
    condition     = output.meetings_table_name == "elephant-meetings"
    error_message = "The module makes a table."
  }
}

run "existing_table" {
  command = plan

  variables {
    existing_table_name = "meetings"
  }

  assert {
    condition     = output.meetings_table_name == "meetings"
    error_message = "The module uses the table that there is."
  }
}

run "a_name_that_is_none" {
  command = plan

  variables {
    name = "9 lives"
  }

  expect_failures = [var.name]
}

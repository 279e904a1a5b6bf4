# The stack of ../template.yaml as a Terraform module; tests/infra/check_terraform.py holds the two equal, resource by
# resource, under every set of answers. What each part is for stands there and in ../../docs/cost.md.

locals {
  package              = coalesce(var.package, "${path.module}/functions-${var.architecture}.zip")
  create_table         = var.existing_table_name == ""
  table_name           = local.create_table ? aws_dynamodb_table.meetings[0].name : var.existing_table_name
  makes_security_group = length(var.security_group_ids) == 0
  security_group_ids   = local.makes_security_group ? [aws_security_group.machines[0].id] : var.security_group_ids
  makes_machine_role   = var.own_machine_role == null ? var.machine_role_arn == "" : var.own_machine_role
  machine_role_arn     = local.makes_machine_role ? aws_iam_role.machine[0].arn : var.machine_role_arn
  iam_profile          = local.makes_machine_role ? aws_iam_instance_profile.machine[0].name : var.iam_profile

  # Of the logs, the queues, the table and the functions' environment.
  kms_key = var.kms_key_arn == "" ? null : var.kms_key_arn

  # What every function is told in SETTINGS.
  settings = join(";", [for name, value in var.settings : "${name}=${value}"])

  # What both functions that launch are told.
  launch_variables = {
    SETTINGS           = local.settings
    AMI_ID             = var.ami_id
    INSTANCE_TYPE      = join(",", var.instance_type)
    SECURITY_GROUP_IDS = join(",", local.security_group_ids)
    IAM_PROFILE        = local.iam_profile
    TABLE_NAME         = local.table_name
    SUBNET_IDS         = join(",", var.subnet_ids)
    VPC_ID             = var.vpc_id
    VOLUME_KMS_KEY_ID  = var.volume_kms_key_arn
    USER_DATA          = var.user_data
    PROJECT_TAG        = var.project_tag
    EXTRA_TAGS         = join(",", var.extra_tags)
  }

  # By verb: what Lambda is told of a function, what becomes of an event that fails (again, until it is too old, and then into a
  # queue), and the statements of its own policy, which stand in roles.tf. Nothing in here may refer to what is made of it below:
  # Terraform refuses such a cycle.
  functions = {
    launch = {
      description       = "Launches the two machines of one meeting, exactly once."
      timeout           = var.launch_timeout_seconds
      max_event_age     = 21600
      max_retries       = 2
      has_failure_queue = true
      statements        = local.launch_statements

      environment = local.launch_variables
    }

    schedule = {
      description       = "Plans, moves and cancels one meeting, with its record and its one-time schedule."
      timeout           = 30
      max_event_age     = 3600
      max_retries       = 2
      has_failure_queue = true
      statements        = local.schedule_statements

      environment = {
        SETTINGS                  = local.settings
        TABLE_NAME                = local.table_name
        LAUNCH_FUNCTION_ARN       = local.launch_function_arn
        SCHEDULER_ROLE_ARN        = aws_iam_role.scheduler.arn
        SCHEDULE_GROUP            = aws_scheduler_schedule_group.meetings.name
        SCHEDULE_DEAD_LETTERS_ARN = aws_sqs_queue.schedule_dead_letters.arn
        COMPANION_SCHEDULES       = join(",", var.companion_schedules)
      }
    }

    end = {
      description       = "Ends one meeting, with its machines, recorded or not, and its schedule."
      timeout           = 300
      max_event_age     = 21600
      max_retries       = 2
      has_failure_queue = true
      statements        = local.end_statements

      environment = {
        SETTINGS            = local.settings
        TABLE_NAME          = local.table_name
        SCHEDULE_GROUP      = aws_scheduler_schedule_group.meetings.name
        COMPANION_SCHEDULES = join(",", var.companion_schedules)
      }
    }

    reconcile = {
      description       = "Keeps what runs and what the records say in agreement."
      timeout           = 300
      max_event_age     = 300
      max_retries       = 2
      has_failure_queue = false
      statements        = concat(local.launch_statements, local.reconcile_statements)

      environment = local.launch_variables
    }

    status = {
      description       = "Shows one meeting, its machines and a machine's console. Changes nothing."
      timeout           = 300
      max_event_age     = 60
      max_retries       = 0
      has_failure_queue = false
      statements        = local.status_statements

      environment = {
        SETTINGS   = local.settings
        TABLE_NAME = local.table_name
      }
    }

    operate = {
      description       = "Does with one machine what a person asks: power, commands, images, volumes, network interfaces; makes key pairs and VPCs."
      timeout           = 300
      max_event_age     = 60
      max_retries       = 0
      has_failure_queue = false
      statements        = local.operate_statements

      environment = {
        SETTINGS      = local.settings
        AMI_ID        = var.ami_id
        INSTANCE_TYPE = join(",", var.instance_type)
        TABLE_NAME    = local.table_name
        PROJECT_TAG   = var.project_tag
      }
    }
  }

  functions_with_queues = [for verb, function in local.functions : verb if function.has_failure_queue]

  # The name is given, so the ARN is known before there is a function.
  launch_function_arn = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name}-launch"
}

# --- Schedules: one for each meeting ----------------------------------------------------------------

resource "aws_scheduler_schedule_group" "meetings" {
  name = var.name
  tags = var.tags
}

resource "aws_sqs_queue" "schedule_dead_letters" {
  name_prefix               = "${var.name}-schedule-dead-letters-"
  message_retention_seconds = 1209600 # 14 days, the most that SQS offers
  sqs_managed_sse_enabled   = local.kms_key == null ? true : null
  kms_master_key_id         = local.kms_key
  tags                      = var.tags
}

# --- The functions ----------------------------------------------------------------------------------

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name    = "${var.name}-${each.key}"
  description      = each.value.description
  filename         = local.package
  source_code_hash = filebase64sha256(local.package)
  handler          = each.key
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  timeout          = each.value.timeout
  memory_size      = 256
  role             = aws_iam_role.this[each.key].arn
  kms_key_arn      = local.kms_key
  tags             = var.tags

  tracing_config {
    mode = "Active"
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    log_group             = aws_cloudwatch_log_group.this[each.key].name
  }

  environment {
    variables = each.value.environment
  }

  # Lambda asks, when it makes the function, whether its role may send traces.
  depends_on = [aws_iam_role_policy.this, aws_iam_role_policy_attachment.run_instances]
}

resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = local.functions

  function_name                = aws_lambda_function.this[each.key].function_name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = each.value.max_retries
  maximum_event_age_in_seconds = each.value.max_event_age

  dynamic "destination_config" {
    for_each = each.value.has_failure_queue ? [each.key] : []

    content {
      on_failure {
        destination = aws_sqs_queue.failures[each.key].arn
      }
    }
  }

  depends_on = [aws_iam_role_policy.this]
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.functions

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.kms_key
  tags              = var.tags
}

resource "aws_sqs_queue" "failures" {
  for_each = toset(local.functions_with_queues)

  name_prefix               = "${var.name}-${each.key}-failures-"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = local.kms_key == null ? true : null
  kms_master_key_id         = local.kms_key
  tags                      = var.tags
}

# --- What reconcile is woken by -----------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "sweep" {
  name_prefix         = "${var.name}-sweep-"
  description         = "Everything, every five minutes."
  schedule_expression = "rate(5 minutes)"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "sweep" {
  rule = aws_cloudwatch_event_rule.sweep.name
  arn  = aws_lambda_function.this["reconcile"].arn

  retry_policy {
    maximum_event_age_in_seconds = 240
    maximum_retry_attempts       = 2
  }
}

resource "aws_lambda_permission" "sweep" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["reconcile"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.sweep.arn
}

resource "aws_cloudwatch_event_rule" "state_change" {
  name_prefix = "${var.name}-state-change-"
  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EC2 Instance State-change Notification"]
    detail      = { state = ["running", "stopped", "terminated"] }
  })
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "state_change" {
  rule = aws_cloudwatch_event_rule.state_change.name
  arn  = aws_sqs_queue.state_changes.arn

  retry_policy {
    maximum_event_age_in_seconds = 240
    maximum_retry_attempts       = 2
  }
}

# What failed or had to wait so long is gone: a sweep has looked at everything since.
resource "aws_sqs_queue" "state_changes" {
  name_prefix                = "${var.name}-state-changes-"
  message_retention_seconds  = 300
  visibility_timeout_seconds = 300
  sqs_managed_sse_enabled    = local.kms_key == null ? true : null
  kms_master_key_id          = local.kms_key
  tags                       = var.tags
}

# However many machines of the account start and stop at once, they take no more of its concurrency.
resource "aws_lambda_event_source_mapping" "state_changes" {
  event_source_arn = aws_sqs_queue.state_changes.arn
  function_name    = aws_lambda_function.this["reconcile"].arn
  batch_size       = 10
  tags             = var.tags

  scaling_config {
    maximum_concurrency = 2
  }

  depends_on = [aws_iam_role_policy.this]
}

# --- The queues -------------------------------------------------------------------------------------

# Who sends and reads may do so by its own role.
resource "aws_sqs_queue_policy" "tls_only" {
  for_each = {
    schedule_dead_letters = aws_sqs_queue.schedule_dead_letters.url
    launch_failures       = aws_sqs_queue.failures["launch"].url
    schedule_failures     = aws_sqs_queue.failures["schedule"].url
    end_failures          = aws_sqs_queue.failures["end"].url
  }

  queue_url = each.value
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TakeTlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = "*"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# A rule has no role, so this queue has to let it in.
resource "aws_sqs_queue_policy" "state_changes" {
  queue_url = aws_sqs_queue.state_changes.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TakeTlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.state_changes.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "LetTheRuleSend"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.state_changes.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.state_change.arn } }
      },
    ]
  })
}

# --- The meetings -----------------------------------------------------------------------------------

# The data of other programs too: Terraform refuses to destroy it. To let go of it: ../../docs/install.md, "Terraform".
resource "aws_dynamodb_table" "meetings" {
  count = local.create_table ? 1 : 0

  name         = "${var.name}-meetings"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "id"
  tags         = var.tags

  # For programs of yours that follow its changes; a stream that nobody reads costs nothing.
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"

  attribute {
    name = "id"
    type = "S"
  }

  attribute {
    name = "status"
    type = "S"
  }

  attribute {
    name = "meet_time"
    type = "S"
  }

  # For the sweep, which asks for the meetings that are due.
  global_secondary_index {
    name            = "open-meetings"
    hash_key        = "status"
    range_key       = "meet_time"
    projection_type = "KEYS_ONLY"
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = local.kms_key
  }

  point_in_time_recovery {
    enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }
}

# --- What the machines have, unless variables name it ---------------------------------------------------

# Lets nothing in: Session Manager and Run Command are asked for by the machine.
resource "aws_security_group" "machines" {
  count = local.makes_security_group ? 1 : 0

  name_prefix = "${var.name}-machines-"
  description = "Machines of meetings. Nothing in, everything out."
  vpc_id      = var.vpc_id == "" ? null : var.vpc_id

  # EC2 gives it to a new group, and the provider takes it away unless it stands here.
  egress {
    description      = "Everything out."
    from_port        = 0
    to_port          = 0
    protocol         = "-1"
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }

  tags = var.tags
}

# With it Systems Manager opens a session on a machine, and runs the commands of operate.
resource "aws_iam_role" "machine" {
  count = local.makes_machine_role ? 1 : 0

  name_prefix          = "${var.name}-machine-"
  description          = "What the machines of meetings may do."
  path                 = var.role_path
  permissions_boundary = local.permissions_boundary
  tags                 = var.tags
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "ec2.${data.aws_partition.current.dns_suffix}" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "machine" {
  count = local.makes_machine_role ? 1 : 0

  role       = aws_iam_role.machine[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "machine" {
  count = local.makes_machine_role ? 1 : 0

  name_prefix = "${var.name}-machine-"
  role        = aws_iam_role.machine[0].name
  path        = var.role_path
  tags        = var.tags
}

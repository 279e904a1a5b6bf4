# What the functions and the schedules may do: the statements of ../template.yaml, which ../../docs/permissions.md explains one by one.

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  account   = data.aws_caller_identity.current.account_id

  ec2 = "arn:${local.partition}:ec2:${local.region}:${local.account}"
  ssm = "arn:${local.partition}:ssm:${local.region}:${local.account}"
  # Of images and snapshots.
  ec2_without_account = "arn:${local.partition}:ec2:${local.region}:"
  table_arn = local.create_table ? aws_dynamodb_table.meetings[0].arn : join(":", [
    "arn", local.partition, "dynamodb", local.region, local.account, "table/${var.existing_table_name}"
  ])

  # Of any meeting; as in ../template.yaml the id of Region and account is left open.
  has_companions = length(var.companion_schedules) > 0 && var.companion_role_arn != ""
  companions     = [for pattern in var.companion_schedules : "arn:*:scheduler:*:*:schedule/${join("*", split("{meeting_id}", pattern))}"]

  # What kind of name ami_id is: that of an image; or of the parameter of Systems Manager that holds the id, whose path is
  # written out or that of a short name, but for daily ones. Public parameters have no account.
  image_is_an_id          = startswith(var.ami_id, "ami-")
  image_is_in_a_parameter = !local.image_is_an_id && var.ami_id != "" && !strcontains(var.ami_id, ":daily:")
  parameter_path          = startswith(var.ami_id, "resolve:ssm:/") ? element(split(":", var.ami_id), 2) : "/aws/service/*"
  parameter_account       = startswith(local.parameter_path, "/aws/service/") ? "" : local.account

  # For whoever launches, and whoever says from what a launch would start.
  read_which_image_it_is = local.image_is_in_a_parameter ? [
    {
      Sid      = "ReadWhichImageItIs"
      Effect   = "Allow"
      Action   = "ssm:GetParameter"
      Resource = "arn:${local.partition}:ssm:${local.region}:${local.parameter_account}:parameter${local.parameter_path}"
    },
  ] : []

  ec2_as_kms_sees_it = "ec2.${local.region}.${data.aws_partition.current.dns_suffix}"

  sqs_as_kms_sees_it = "sqs.${local.region}.${data.aws_partition.current.dns_suffix}"

  permissions_boundary = var.permissions_boundary_arn == "" ? null : var.permissions_boundary_arn

  trust_of_lambda = {
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "lambda.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  }
}

# --- The schedules ----------------------------------------------------------------------------------

resource "aws_iam_role" "scheduler" {
  name_prefix          = "${var.name}-scheduler-"
  description          = "EventBridge Scheduler invokes the launch function with this role."
  path                 = var.role_path
  permissions_boundary = local.permissions_boundary
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "scheduler.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = {
          StringEquals = {
            "aws:SourceAccount" = local.account
            "aws:SourceArn"     = aws_scheduler_schedule_group.meetings.arn
          }
        }
      },
    ]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "scheduler" {
  name = "invoke-launch"
  role = aws_iam_role.scheduler.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "InvokeLaunch"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = aws_lambda_function.this["launch"].arn
      },
      {
        Sid      = "KeepWhatWasNotDelivered"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = aws_sqs_queue.schedule_dead_letters.arn
      },
    ]
  })
}

# --- The functions ----------------------------------------------------------------------------------

resource "aws_iam_role" "this" {
  for_each = local.functions

  name_prefix          = "${var.name}-${each.key}-"
  description          = "What the ${each.key} function may do."
  path                 = var.role_path
  permissions_boundary = local.permissions_boundary
  assume_role_policy   = jsonencode(local.trust_of_lambda)
  tags                 = var.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.functions

  name = each.key
  role = aws_iam_role.this[each.key].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      each.value.statements,
      each.value.has_failure_queue ? [
        {
          Sid      = "ReportFailures"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = aws_sqs_queue.failures[each.key].arn
        },
      ] : [],
      [
        {
          Sid      = "WriteLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.this[each.key].arn}:*"
        },
        # X-Ray knows no resources, and no condition that holds for a function.
        {
          Sid      = "SendTraces"
          Effect   = "Allow"
          Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
          Resource = "*"
        },
      ],
    )
  })
}

# --- The function launch ----------------------------------------------------------------------------

# For both functions that launch; RunInstances is below.
locals {
  launch_statements = concat(
    [
      {
        Sid      = "ReadAndWriteMeetings"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
        Resource = local.table_arn
      },
      {
        Sid    = "LookUp"
        Effect = "Allow"
        Action = [
          "ec2:DescribeImages",
          "ec2:DescribeInstances",
          "ec2:DescribeInstanceTypeOfferings",
          "ec2:DescribeKeyPairs",
          "ec2:DescribeLaunchTemplateVersions",
          "ec2:DescribeSubnets",
          "ec2:DescribeVpcs",
        ]
        Resource  = "*"
        Condition = { StringEquals = { "ec2:Region" = local.region } }
      },
    ],
    local.read_which_image_it_is,
    # A list by condition would have to be of one type; statements are not.
    [for statement in [
      {
        Sid    = "EncryptTheirDisks"
        Effect = "Allow"
        Action = [
          "kms:Decrypt",
          "kms:DescribeKey",
          "kms:GenerateDataKeyWithoutPlaintext",
          "kms:ReEncryptFrom",
          "kms:ReEncryptTo",
        ]
        Resource  = var.volume_kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = local.ec2_as_kms_sees_it } }
      },
      {
        Sid      = "LetEc2OpenTheirDisks"
        Effect   = "Allow"
        Action   = "kms:CreateGrant"
        Resource = var.volume_kms_key_arn
        Condition = {
          StringEquals = { "kms:ViaService" = local.ec2_as_kms_sees_it }
          Bool         = { "kms:GrantIsForAWSResource" = "true" }
        }
      },
    ] : statement if var.volume_kms_key_arn != ""],
    [
      {
        Sid       = "EndOurMachines"
        Effect    = "Allow"
        Action    = "ec2:TerminateInstances"
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid      = "RemoveTheirRoleTag"
        Effect   = "Allow"
        Action   = "ec2:DeleteTags"
        Resource = "${local.ec2}:instance/*"
        Condition = {
          StringEquals                = { "aws:ResourceTag/Project" = var.project_tag }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["Role"] }
          Null                        = { "aws:TagKeys" = "false" }
        }
      },
      {
        Sid      = "GiveMachinesTheirRole"
        Effect   = "Allow"
        Action   = "iam:PassRole"
        Resource = local.machine_role_arn
        Condition = {
          StringEquals = { "iam:PassedToService" = "ec2.${data.aws_partition.current.dns_suffix}" }
          ArnLike      = { "iam:AssociatedResourceArn" = "${local.ec2}:instance/*" }
        }
      },
    ],
  )
}

# RunInstances and its tags, for both functions that launch: a policy by itself, for its size.
resource "aws_iam_policy" "run_instances" {
  name_prefix = "${var.name}-run-instances-"
  description = "What a launch may create, and from what."
  path        = var.role_path
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "LaunchMachines"
          Effect   = "Allow"
          Action   = "ec2:RunInstances"
          Resource = "${local.ec2}:instance/*"
          Condition = {
            StringEquals = {
              "aws:RequestTag/Project" = [var.project_tag]
              "ec2:InstanceType"       = concat(var.instance_type, var.override_instance_types)
              "ec2:InstanceMarketType" = ["on-demand", "spot"]
            }
          }
        },
        {
          Sid       = "LaunchTheirDisksInterfacesAndSpotRequests"
          Effect    = "Allow"
          Action    = "ec2:RunInstances"
          Resource  = ["${local.ec2}:volume/*", "${local.ec2}:network-interface/*", "${local.ec2}:spot-instances-request/*"]
          Condition = { StringEquals = { "aws:RequestTag/Project" = var.project_tag } }
        },
        {
          Sid      = "LaunchFromTheImage"
          Effect   = "Allow"
          Action   = "ec2:RunInstances"
          Resource = "${local.ec2_without_account}:image/${local.image_is_an_id ? var.ami_id : "*"}"
        },
      ],
      local.image_is_an_id ? [
        {
          Sid       = "LaunchFromOurImages"
          Effect    = "Allow"
          Action    = "ec2:RunInstances"
          Resource  = "${local.ec2_without_account}:image/*"
          Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
        },
      ] : [],
      [
        {
          Sid      = "LaunchWithTheSecurityGroups"
          Effect   = "Allow"
          Action   = "ec2:RunInstances"
          Resource = [for id in local.security_group_ids : "arn:*:ec2:*:*:security-group/${id}"]
        },
        merge(
          {
            Sid    = "LaunchIntoSubnets"
            Effect = "Allow"
            Action = "ec2:RunInstances"
            Resource = concat(
              [for id in var.subnet_ids : "arn:*:ec2:*:*:subnet/${id}"],
              length(var.subnet_ids) > 0 ? [] : [var.vpc_id == "" ? "${local.ec2}:subnet/*" : "arn:*:ec2:*:*:subnet/*"],
            )
          },
          var.vpc_id == "" || length(var.subnet_ids) > 0 ? {} : { Condition = { ArnLike = { "ec2:Vpc" = "arn:*:ec2:*:*:vpc/${var.vpc_id}" } } },
        ),
        {
          Sid      = "LaunchWithAKeyPairOrATemplate"
          Effect   = "Allow"
          Action   = "ec2:RunInstances"
          Resource = ["${local.ec2}:key-pair/*", "${local.ec2}:launch-template/*"]
        },
        {
          Sid    = "TagWhatIsLaunched"
          Effect = "Allow"
          Action = "ec2:CreateTags"
          Resource = [
            "${local.ec2}:instance/*",
            "${local.ec2}:volume/*",
            "${local.ec2}:network-interface/*",
            "${local.ec2}:spot-instances-request/*",
          ]
          Condition = {
            StringEquals = { "ec2:CreateAction" = "RunInstances" }
            "ForAllValues:StringEquals" = {
              "aws:TagKeys" = concat(
                ["Name", "MeetingID", "Role", "Project"],
                [for tag in var.extra_tags : element(split("=", tag), 0)],
              )
            }
          }
        },
      ],
    )
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "run_instances" {
  for_each = toset(["launch", "reconcile"])

  role       = aws_iam_role.this[each.key].name
  policy_arn = aws_iam_policy.run_instances.arn
}

# --- The function schedule --------------------------------------------------------------------------

locals {
  schedule_statements = concat(
    [
      {
        Sid      = "ReadAndWriteMeetings"
        Effect   = "Allow"
        Action   = ["dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:UpdateItem"]
        Resource = local.table_arn
      },
      {
        Sid    = "ManageTheLaunchSchedules"
        Effect = "Allow"
        Action = [
          "scheduler:CreateSchedule",
          "scheduler:GetSchedule",
          "scheduler:UpdateSchedule",
          "scheduler:DeleteSchedule",
        ]
        Resource = join(":", [
          "arn", local.partition, "scheduler", local.region, local.account,
          "schedule/${aws_scheduler_schedule_group.meetings.name}/launch-*",
        ])
      },
      {
        Sid       = "GiveSchedulesTheirRole"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = aws_iam_role.scheduler.arn
        Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
      },
    ],
    [for statement in [
      {
        Sid      = "MoveCompanionSchedules"
        Effect   = "Allow"
        Action   = ["scheduler:GetSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"]
        Resource = local.companions
      },
      {
        Sid       = "LeaveThemTheirRole"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = var.companion_role_arn
        Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
      },
    ] : statement if local.has_companions],
  )
}

# --- The function end ----------------------------------------------------------------------------

locals {
  end_statements = concat(
    [
      {
        Sid      = "ReadAndWriteMeetings"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
        Resource = local.table_arn
      },
      {
        Sid       = "LookUp"
        Effect    = "Allow"
        Action    = "ec2:DescribeInstances"
        Resource  = "*"
        Condition = { StringEquals = { "ec2:Region" = local.region } }
      },
      {
        Sid       = "EndOurMachines"
        Effect    = "Allow"
        Action    = "ec2:TerminateInstances"
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid      = "RemoveTheirRoleTag"
        Effect   = "Allow"
        Action   = "ec2:DeleteTags"
        Resource = "${local.ec2}:instance/*"
        Condition = {
          StringEquals                = { "aws:ResourceTag/Project" = var.project_tag }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["Role"] }
          Null                        = { "aws:TagKeys" = "false" }
        }
      },
      {
        Sid    = "DeleteTheLaunchSchedule"
        Effect = "Allow"
        Action = "scheduler:DeleteSchedule"
        Resource = join(":", [
          "arn", local.partition, "scheduler", local.region, local.account,
          "schedule/${aws_scheduler_schedule_group.meetings.name}/launch-*",
        ])
      },
    ],
    local.has_companions ? [
      {
        Sid      = "DeleteCompanionSchedules"
        Effect   = "Allow"
        Action   = ["scheduler:GetSchedule", "scheduler:DeleteSchedule"]
        Resource = local.companions
      },
    ] : [],
  )
}

# --- The function reconcile ----------------------------------------------------------------------

locals {
  reconcile_statements = concat(
    [
      {
        Sid      = "ReadManyMeetings"
        Effect   = "Allow"
        Action   = "dynamodb:BatchGetItem"
        Resource = local.table_arn
      },
      {
        Sid      = "FindMeetingsThatAreDue"
        Effect   = "Allow"
        Action   = "dynamodb:Query"
        Resource = "${local.table_arn}/index/open-meetings"
      },
      {
        Sid       = "LookAround"
        Effect    = "Allow"
        Action    = ["ec2:DescribeInstanceStatus", "ec2:DescribeNetworkInterfaces", "ec2:DescribeVolumes"]
        Resource  = "*"
        Condition = { StringEquals = { "ec2:Region" = local.region } }
      },
      {
        Sid       = "ReadOurConsoles"
        Effect    = "Allow"
        Action    = "ec2:GetConsoleOutput"
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid       = "StartOurMachines"
        Effect    = "Allow"
        Action    = "ec2:StartInstances"
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid      = "MarkOrphans"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = "${local.ec2}:instance/*"
        Condition = {
          StringEquals                = { "aws:ResourceTag/Project" = var.project_tag }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["elephant:orphan-since"] }
          Null                        = { "aws:TagKeys" = "false" }
        }
      },
      {
        Sid      = "TakeTheMarkBack"
        Effect   = "Allow"
        Action   = "ec2:DeleteTags"
        Resource = "${local.ec2}:instance/*"
        Condition = {
          StringEquals                = { "aws:ResourceTag/Project" = var.project_tag }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["elephant:orphan-since"] }
          Null                        = { "aws:TagKeys" = "false" }
        }
      },
      {
        Sid      = "MarkLeftovers"
        Effect   = "Allow"
        Action   = ["ec2:CreateTags", "ec2:DeleteTags"]
        Resource = ["${local.ec2}:volume/*", "${local.ec2}:network-interface/*"]
        Condition = {
          StringEquals                = { "aws:ResourceTag/Project" = var.project_tag }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["elephant:orphan-since"] }
          Null                        = { "aws:TagKeys" = "false" }
        }
      },
      {
        Sid       = "RemoveLeftovers"
        Effect    = "Allow"
        Action    = ["ec2:DeleteVolume", "ec2:DeleteNetworkInterface"]
        Resource  = ["${local.ec2}:volume/*", "${local.ec2}:network-interface/*"]
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid      = "TakeStateChanges"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        Resource = aws_sqs_queue.state_changes.arn
      },
    ],
    var.kms_key_arn == "" ? [] : [
      {
        Sid       = "ReadTheEncryptedQueue"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = local.sqs_as_kms_sees_it } }
      },
    ],
  )
}

# --- The function status -------------------------------------------------------------------------

locals {
  status_statements = [
    {
      Sid      = "ReadMeetings"
      Effect   = "Allow"
      Action   = "dynamodb:GetItem"
      Resource = local.table_arn
    },
    {
      Sid       = "LookUp"
      Effect    = "Allow"
      Action    = "ec2:DescribeInstances"
      Resource  = "*"
      Condition = { StringEquals = { "ec2:Region" = local.region } }
    },
    {
      Sid       = "ReadOurConsoles"
      Effect    = "Allow"
      Action    = "ec2:GetConsoleOutput"
      Resource  = "${local.ec2}:instance/*"
      Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
    },
  ]
}

# --- The function operate ------------------------------------------------------------------------

locals {
  operate_statements = concat(
    [
      {
        Sid      = "ReadAndWriteMeetings"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
        Resource = local.table_arn
      },
      {
        Sid    = "LookUp"
        Effect = "Allow"
        Action = [
          "ec2:DescribeImages",
          "ec2:DescribeInstances",
          "ec2:DescribeInstanceTypes",
          "ec2:DescribeKeyPairs",
          "ec2:DescribeLaunchTemplateVersions",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSnapshots",
          "ec2:DescribeVolumes",
        ]
        Resource  = "*"
        Condition = { StringEquals = { "ec2:Region" = local.region } }
      },
      {
        Sid       = "StopAndStartOurMachines"
        Effect    = "Allow"
        Action    = ["ec2:StopInstances", "ec2:StartInstances", "ec2:RebootInstances"]
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid      = "RememberRebootsAndStops"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = "${local.ec2}:instance/*"
        Condition = {
          StringEquals                = { "aws:ResourceTag/Project" = var.project_tag }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["elephant:reboot", "elephant:stopped"] }
          Null                        = { "aws:TagKeys" = "false" }
        }
      },
      {
        Sid       = "RunCommandsOnOurMachines"
        Effect    = "Allow"
        Action    = "ssm:SendCommand"
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "ssm:resourceTag/Project" = var.project_tag } }
      },
      {
        Sid    = "RunThemAsScripts"
        Effect = "Allow"
        Action = "ssm:SendCommand"
        Resource = [
          for name in ["AWS-RunShellScript", "AWS-RunPowerShellScript"] :
          "arn:${local.partition}:ssm:${local.region}::document/${name}"
        ]
      },
      {
        Sid       = "ReadCommands"
        Effect    = "Allow"
        Action    = ["ssm:GetCommandInvocation", "ssm:ListCommands"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
      },
    ],
    local.read_which_image_it_is,
    var.volume_kms_key_arn == "" ? [] : [
      {
        Sid      = "LetEc2OpenTheirDisks"
        Effect   = "Allow"
        Action   = "kms:CreateGrant"
        Resource = var.volume_kms_key_arn
        Condition = {
          StringEquals = { "kms:ViaService" = local.ec2_as_kms_sees_it }
          Bool         = { "kms:GrantIsForAWSResource" = "true" }
        }
      },
    ],
    [
      {
        Sid       = "TakeImagesOfOurMachines"
        Effect    = "Allow"
        Action    = "ec2:CreateImage"
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid       = "MakeOurImages"
        Effect    = "Allow"
        Action    = "ec2:CreateImage"
        Resource  = ["${local.ec2_without_account}:image/*", "${local.ec2_without_account}:snapshot/*"]
        Condition = { StringEquals = { "aws:RequestTag/Project" = var.project_tag } }
      },
      {
        Sid      = "TagOurImages"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = ["${local.ec2_without_account}:image/*", "${local.ec2_without_account}:snapshot/*"]
        Condition = {
          StringEquals = {
            "ec2:CreateAction"       = "CreateImage"
            "aws:RequestTag/Project" = var.project_tag
          }
        }
      },
      {
        Sid       = "RemoveOurImages"
        Effect    = "Allow"
        Action    = ["ec2:DeregisterImage", "ec2:DeleteSnapshot"]
        Resource  = ["${local.ec2_without_account}:image/*", "${local.ec2_without_account}:snapshot/*"]
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid       = "MakeVolumesInterfacesAndKeyPairs"
        Effect    = "Allow"
        Action    = ["ec2:CreateVolume", "ec2:CreateNetworkInterface", "ec2:CreateKeyPair", "ec2:ImportKeyPair"]
        Resource  = ["${local.ec2}:volume/*", "${local.ec2}:network-interface/*", "${local.ec2}:key-pair/*"]
        Condition = { StringEquals = { "aws:RequestTag/Project" = var.project_tag } }
      },
      {
        Sid       = "RemoveOurVolumesInterfacesAndKeyPairs"
        Effect    = "Allow"
        Action    = ["ec2:DeleteVolume", "ec2:DeleteNetworkInterface", "ec2:DeleteKeyPair"]
        Resource  = ["${local.ec2}:volume/*", "${local.ec2}:network-interface/*", "${local.ec2}:key-pair/*"]
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid       = "TagNewVolumes"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:volume/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "CreateVolume" } }
      },
      {
        Sid       = "AttachAndDetachVolumes"
        Effect    = "Allow"
        Action    = ["ec2:AttachVolume", "ec2:DetachVolume"]
        Resource  = ["${local.ec2}:instance/*", "${local.ec2}:volume/*"]
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid       = "DeleteVolumesWithTheirMachine"
        Effect    = "Allow"
        Action    = "ec2:ModifyInstanceAttribute"
        Resource  = ["${local.ec2}:instance/*", "${local.ec2}:volume/*"]
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid       = "TagNewKeyPairs"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:key-pair/*"
        Condition = { StringEquals = { "ec2:CreateAction" = ["CreateKeyPair", "ImportKeyPair"] } }
      },
      {
        Sid       = "KeepPrivateKeys"
        Effect    = "Allow"
        Action    = "ssm:PutParameter"
        Resource  = "${local.ssm}:parameter/ec2/keypair/*"
        Condition = { StringNotEquals = { "ssm:Overwrite" = "true" } }
      },
      {
        Sid       = "SeeWhetherTheyAreKept"
        Effect    = "Allow"
        Action    = "ssm:DescribeParameters"
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
      },
    ],
  )
}

# A policy by itself: with those of the role's own it would be more than a role may have.
resource "aws_iam_policy" "operate_networks" {
  name_prefix = "${var.name}-operate-networks-"
  description = "What the operate function may do with VPCs and network interfaces."
  path        = var.role_path
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "LookUpNetworks"
        Effect = "Allow"
        Action = [
          "ec2:DescribeAvailabilityZones",
          "ec2:DescribeInternetGateways",
          "ec2:DescribeRouteTables",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSubnets",
          "ec2:DescribeVpcs",
        ]
        Resource  = "*"
        Condition = { StringEquals = { "ec2:Region" = local.region } }
      },
      {
        Sid       = "MakeVpcs"
        Effect    = "Allow"
        Action    = "ec2:CreateVpc"
        Resource  = "${local.ec2}:vpc/*"
        Condition = { StringEquals = { "aws:RequestTag/Project" = var.project_tag } }
      },
      {
        Sid    = "MakeWhatIsInThem"
        Effect = "Allow"
        Action = ["ec2:CreateSubnet", "ec2:CreateInternetGateway", "ec2:CreateRouteTable", "ec2:CreateSecurityGroup"]
        Resource = [
          "${local.ec2}:subnet/*",
          "${local.ec2}:internet-gateway/*",
          "${local.ec2}:route-table/*",
          "${local.ec2}:security-group/*",
        ]
        Condition = { StringEquals = { "aws:RequestTag/Project" = var.project_tag } }
      },
      {
        Sid       = "MakeItInOurVpcs"
        Effect    = "Allow"
        Action    = ["ec2:CreateSubnet", "ec2:CreateRouteTable", "ec2:CreateSecurityGroup"]
        Resource  = "${local.ec2}:vpc/*"
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid       = "TagNewVpcs"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:vpc/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "CreateVpc" } }
      },
      {
        Sid       = "TagNewSubnets"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:subnet/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "CreateSubnet" } }
      },
      {
        Sid       = "TagNewInternetGateways"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:internet-gateway/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "CreateInternetGateway" } }
      },
      {
        Sid       = "TagNewRouteTables"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:route-table/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "CreateRouteTable" } }
      },
      {
        Sid       = "TagNewSecurityGroups"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:security-group/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "CreateSecurityGroup" } }
      },
      {
        Sid    = "ChangeOurNetworks"
        Effect = "Allow"
        Action = [
          "ec2:ModifyVpcAttribute",
          "ec2:ModifySubnetAttribute",
          "ec2:AttachInternetGateway",
          "ec2:DetachInternetGateway",
          "ec2:CreateRoute",
          "ec2:AssociateRouteTable",
          "ec2:DisassociateRouteTable",
        ]
        Resource = [
          "${local.ec2}:vpc/*",
          "${local.ec2}:subnet/*",
          "${local.ec2}:internet-gateway/*",
          "${local.ec2}:route-table/*",
        ]
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid    = "RemoveOurNetworks"
        Effect = "Allow"
        Action = [
          "ec2:DeleteVpc",
          "ec2:DeleteSubnet",
          "ec2:DeleteInternetGateway",
          "ec2:DeleteRouteTable",
          "ec2:DeleteSecurityGroup",
        ]
        Resource = [
          "${local.ec2}:vpc/*",
          "${local.ec2}:subnet/*",
          "${local.ec2}:internet-gateway/*",
          "${local.ec2}:route-table/*",
          "${local.ec2}:security-group/*",
        ]
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid      = "MakeInterfacesInSubnets"
        Effect   = "Allow"
        Action   = "ec2:CreateNetworkInterface"
        Resource = ["${local.ec2}:subnet/*", "${local.ec2}:security-group/*"]
      },
      {
        Sid       = "TagNewInterfaces"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:network-interface/*"
        Condition = { StringEquals = { "ec2:CreateAction" = "CreateNetworkInterface" } }
      },
      {
        Sid    = "AttachAndDetachInterfaces"
        Effect = "Allow"
        Action = [
          "ec2:AttachNetworkInterface",
          "ec2:DetachNetworkInterface",
          "ec2:ModifyNetworkInterfaceAttribute",
        ]
        Resource  = ["${local.ec2}:instance/*", "${local.ec2}:network-interface/*"]
        Condition = { StringEquals = { "aws:ResourceTag/Project" = var.project_tag } }
      },
      {
        Sid       = "RememberVpcs"
        Effect    = "Allow"
        Action    = "ssm:PutParameter"
        Resource  = "${local.ssm}:parameter/elephant/vpc/*"
        Condition = { StringNotEquals = { "ssm:Overwrite" = "true" } }
      },
      {
        Sid      = "ReadAndForgetVpcs"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter", "ssm:DeleteParameter"]
        Resource = "${local.ssm}:parameter/elephant/vpc/*"
      },
    ]
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "operate_networks" {
  role       = aws_iam_role.this["operate"].name
  policy_arn = aws_iam_policy.operate_networks.arn
}

# --- A key of one's own ---------------------------------------------------------------------------

resource "aws_iam_policy" "table_key" {
  count = var.kms_key_arn == "" ? 0 : 1

  name_prefix = "${var.name}-table-key-"
  description = "Reads and writes the encrypted table."
  path        = var.role_path
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OpenTheEncryptedTable"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "dynamodb.${local.region}.${data.aws_partition.current.dns_suffix}" } }
      },
    ]
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "table_key" {
  for_each = toset([for verb in keys(local.functions) : verb if var.kms_key_arn != ""])

  role       = aws_iam_role.this[each.key].name
  policy_arn = aws_iam_policy.table_key[0].arn
}

resource "aws_iam_policy" "queue_key" {
  count = var.kms_key_arn == "" ? 0 : 1

  name_prefix = "${var.name}-queue-key-"
  description = "Sends to the encrypted queues."
  path        = var.role_path
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "SendToEncryptedQueues"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = local.sqs_as_kms_sees_it } }
      },
    ]
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "queue_key" {
  for_each = toset([for sender in concat(["scheduler"], local.functions_with_queues) : sender if var.kms_key_arn != ""])

  role       = each.key == "scheduler" ? aws_iam_role.scheduler.name : aws_iam_role.this[each.key].name
  policy_arn = aws_iam_policy.queue_key[0].arn
}

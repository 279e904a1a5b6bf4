# The parameters of ../template.yaml under the names that Terraform people write, with the same defaults, and refusing
# the same values; a test holds them equal. The first four only Terraform needs. A variable whose description begins
# with the name of a variable of the environment is written from ../../crates/core/src/settings.rs.

variable "name" {
  type        = string
  default     = "elephant"
  description = "What the names of all resources begin with; the name of the stack, in CloudFormation's words."

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,25}$", var.name))
    error_message = "A letter, then up to 25 letters, digits and hyphens."
  }
}

variable "package" {
  type        = string
  default     = null
  description = "Path of the zip of the functions, built for this architecture. null = the one of a release, beside this file. From the sources: cargo lambda build --release --arm64 --bin launch --output-format zip"
}

variable "has_alarm_topic" {
  type        = bool
  default     = null
  description = "Whether there is somebody for the alarms to tell. null = if there is an alarm_email or an alarm_topic_arn; true where the topic is made in the same run, so that its ARN is not known yet when Terraform plans."
}

variable "own_machine_role" {
  type        = bool
  default     = null
  description = "Whether to make a role and a profile for the machines. null = if there is no machine_role_arn; false where that role is made in the same run, so that its ARN is not known yet when Terraform plans."
}

# --- What people change first ---------------------------------------------------------------------

variable "ami_id" {
  type        = string
  default     = "al2023"
  description = "AMI_ID. Image that both machines start from: its id in this Region; resolve:ssm: and the path of the parameter of Systems Manager that holds the id, with :version or :label if it is not the newest; or a short name: al2023, ubuntu:24.04, ubuntu:daily:24.04, debian:12, windows:2022. Empty = the one that AMI_NAME or LAUNCH_TEMPLATE names."

  validation {
    condition     = can(regex("^(ami-([0-9a-f]{8}|[0-9a-f]{17})|resolve:ssm:(/[A-Za-z0-9_.-]+)+(:[A-Za-z0-9_.-]+)?|[a-z0-9]+(:[a-z]+)?(:[0-9][a-z0-9.]*)?)?$", var.ami_id))
    error_message = "An image id such as ami-0e7fd79d17e852d18, resolve:ssm:/images/classroom, ubuntu:24.04, or nothing."
  }
}

variable "instance_type" {
  type        = list(string)
  default     = ["t3.small"]
  description = "INSTANCE_TYPE. Instance type, or several in order of preference: the next one is tried after every zone has refused the one before."

  validation {
    condition     = length(var.instance_type) > 0 && alltrue([for piece in var.instance_type : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", piece))])
    error_message = "Instance types such as [\"t3.large\", \"m5.large\"]."
  }
}

variable "security_group_ids" {
  type        = list(string)
  default     = []
  description = "SECURITY_GROUP_IDS. Security groups of both machines; they belong to the VPC that the machines start in. Empty = one that this module makes, which lets nothing in, in vpc_id or the default VPC."

  validation {
    condition     = alltrue([for piece in var.security_group_ids : can(regex("^sg-([0-9a-f]{8}|[0-9a-f]{17})$", piece))])
    error_message = "Security group ids such as [\"sg-0a1b2c3d\", \"sg-0a1b2c3e\"], or an empty list."
  }

  validation {
    condition     = length(var.security_group_ids) > 0 || length(var.subnet_ids) == 0 || var.vpc_id != ""
    error_message = "subnet_ids need security_group_ids, or vpc_id, in which this module makes a security group."
  }
}

variable "alarm_email" {
  type        = string
  default     = ""
  description = "Address to which the alarms are sent. The module makes an SNS topic, unless alarm_topic_arn names one, and subscribes the address; SNS then asks there for a confirmation. Empty = none."

  validation {
    condition     = can(regex("^([^@\\s]+@[^@\\s]+\\.[^@\\s]+)?$", var.alarm_email))
    error_message = "An address such as operators@example.com, or nothing."
  }
}

variable "existing_table_name" {
  type        = string
  default     = ""
  description = "Name of a table of meetings that exists already in this account and Region, with the string \"id\" as its only key. The module then creates none. Empty = create one."

  validation {
    condition     = can(regex("^([A-Za-z0-9_.-]{3,255})?$", var.existing_table_name))
    error_message = "The name of an existing table, or nothing."
  }
}

# --- The machines ---------------------------------------------------------------------------------

variable "override_instance_types" {
  type        = list(string)
  default     = []
  description = "Instance types that the record of a meeting may ask for in place of instance_type. Empty = none but those of instance_type."

  validation {
    condition     = alltrue([for piece in var.override_instance_types : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", piece))])
    error_message = "Instance types such as [\"t3.xlarge\", \"m5.xlarge\"], or []."
  }
}

variable "iam_profile" {
  type        = string
  default     = ""
  description = "IAM_PROFILE. Instance profile of the machines, by name or by ARN, with machine_role_arn. Both empty = one that this module makes, with which Session Manager and Run Command reach the machines."

  validation {
    condition     = can(regex("^([A-Za-z0-9_+=,.@-]{1,128}|arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/[A-Za-z0-9_+=,.@/-]+)?$", var.iam_profile))
    error_message = "The name or the ARN of an instance profile, or nothing."
  }

  validation {
    condition     = var.iam_profile == "" || var.machine_role_arn != ""
    error_message = "iam_profile needs machine_role_arn, the ARN of the role inside that profile."
  }
}

variable "machine_role_arn" {
  type        = string
  default     = ""
  description = "ARN of the role inside iam_profile (aws iam get-instance-profile shows it), or inside the profile that a launch template names. The functions are allowed to pass this role to EC2 and no other. Empty = a role of the module's own, for Session Manager and Run Command."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+)?$", var.machine_role_arn))
    error_message = "The ARN of a role such as arn:aws:iam::123456789012:role/machine, or nothing."
  }
}

variable "user_data" {
  type        = string
  default     = ""
  description = "USER_DATA. What each machine is told at its first start: a script or another text that cloud-init or EC2Launch knows, or base64; @elephant:meeting_id@ and @elephant:role@ are filled in. A parameter takes 4096 characters, and Lambda allows 4 KB of environment in all, so keep it below 3000. It can be read in the function's configuration: no secrets."

  validation {
    condition     = length(var.user_data) <= 4096
    error_message = "At most 4096 characters."
  }
}

variable "volume_kms_key_arn" {
  type        = string
  default     = ""
  description = "VOLUME_KMS_KEY_ID. KMS key of this Region that encrypts the root volume; its own policy must leave the permission to IAM. Empty = the account's default EBS key."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.volume_kms_key_arn))
    error_message = "The ARN of a key such as arn:aws:kms:us-west-2:123456789012:key/0a1b2c3d-..., or nothing."
  }
}

# --- Where they start -----------------------------------------------------------------------------

variable "vpc_id" {
  type        = string
  default     = ""
  description = "VPC_ID. VPC whose subnets are used instead of those of the default VPC. Empty = the default VPC."

  validation {
    condition     = can(regex("^(vpc-([0-9a-f]{8}|[0-9a-f]{17}))?$", var.vpc_id))
    error_message = "The id of a VPC such as vpc-0a1b2c3d, or nothing."
  }
}

variable "subnet_ids" {
  type        = list(string)
  default     = []
  description = "SUBNET_IDS. Subnets to use instead of those of the default VPC; with vpc_id, of that VPC. Empty = every subnet of the VPC."

  validation {
    condition     = alltrue([for piece in var.subnet_ids : can(regex("^subnet-([0-9a-f]{8}|[0-9a-f]{17})$", piece))])
    error_message = "Subnet ids such as [\"subnet-0a1b2c3d\", \"subnet-0a1b2c3e\"], or an empty list."
  }
}

# --- Their tags -----------------------------------------------------------------------------------

variable "project_tag" {
  type        = string
  default     = "Elephant"
  description = "PROJECT_TAG. Value of the tag \"Project\" of everything that is launched. The function may end only machines that carry it, so let no other system of this account use the same value."

  validation {
    condition     = can(regex("^[A-Za-z0-9 _.:/=+@-]{1,256}$", var.project_tag))
    error_message = "1 to 256 letters, digits, spaces and _ . : / = + @ -"
  }
}

variable "extra_tags" {
  type        = list(string)
  default     = []
  description = "EXTRA_TAGS. Tags of everything that is launched, besides Name, MeetingID, Role and Project: key=value, up to ten. Empty = none."

  validation {
    condition     = length(var.extra_tags) <= 10 && alltrue([for piece in var.extra_tags : can(regex("^[A-Za-z0-9_.:/+@-]([A-Za-z0-9 _.:/+@-]{0,126}[A-Za-z0-9_.:/+@-])?=[A-Za-z0-9 _.:/=+@-]{0,256}$", piece))])
    error_message = "Up to ten tags such as [\"Department=Mathematics\", \"CostCentre=42\"], or an empty list."
  }
}

# --- The schedules of other programs --------------------------------------------------------------

variable "companion_schedules" {
  type        = list(string)
  default     = []
  description = "COMPANION_SCHEDULES. Schedules of other programs that belong to a meeting, and so move and go with it: group/name with {meeting_id} in the name. Empty = none. They need companion_role_arn."

  validation {
    condition     = alltrue([for piece in var.companion_schedules : can(regex("^[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]*[{]meeting_id[}][A-Za-z0-9_.-]*$", piece))])
    error_message = "Patterns such as [\"default/safety-{meeting_id}\"], or an empty list."
  }

  validation {
    condition     = length(var.companion_schedules) == 0 || var.companion_role_arn != ""
    error_message = "companion_schedules needs companion_role_arn, the ARN of the role that they run with."
  }
}

variable "companion_role_arn" {
  type        = string
  default     = ""
  description = "ARN of the role that the schedules of companion_schedules run with: who moves a schedule gives it its role anew, and the function schedule is allowed to give this one and no other. Ignored without companion_schedules."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+)?$", var.companion_role_arn))
    error_message = "The ARN of a role such as arn:aws:iam::123456789012:role/scheduler, or nothing."
  }
}

# --- Operation ------------------------------------------------------------------------------------

variable "settings" {
  type        = map(string)
  default     = {}
  description = "SETTINGS. Settings that have no variable of their own, by name. For example { MARKET = \"spot\", VOLUME_SIZE_GB = 100 }. The names are in docs/settings.md. Empty = their defaults."

  validation {
    condition     = alltrue([for name, value in var.settings : contains(["LAUNCH_TEMPLATE", "AMI_NAME", "AMI_OWNER", "AMI_ARCH", "KEY_NAME", "SUPPORTED_AZS", "VPC_NAME", "PUBLIC_IP", "MARKET", "PAIR", "VOLUME_DEVICE", "VOLUME_SIZE_GB", "VOLUME_TYPE", "VOLUME_IOPS", "VOLUME_THROUGHPUT", "VOLUME_ENCRYPTED", "IMDS_TOKENS", "EARLIEST_MINUTES", "LAUNCH_WINDOW_MINUTES", "LEAD_MINUTES", "FLEXIBLE_WINDOW_MINUTES", "GRACE_MINUTES", "MAX_MEETING_HOURS", "DUE_MINUTES", "MAX_REPLACEMENTS", "MAX_ENDINGS", "READY_MINUTES", "RELAUNCH_UNREADY", "CLEAN_UP", "DRY_RUN"], name)])
    error_message = "A name in settings is none of those that docs/settings.md has for settings."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([A-Za-z0-9()./_-]{3,128}(:([1-9][0-9]*|[$]Latest|[$]Default))?)$", value)) if name == "LAUNCH_TEMPLATE"])
    error_message = "LAUNCH_TEMPLATE in settings: expected a launch template's id, lt-…, or name, if need be with :version, a number, $Latest or $Default."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([A-Za-z0-9 ()\\[\\]./'@_*?-]{3,128})$", value)) if name == "AMI_NAME"])
    error_message = "AMI_NAME in settings: expected an image's name, with * and ? for what may vary."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([0-9]{12}|amazon|aws-marketplace|self)$", value)) if name == "AMI_OWNER"])
    error_message = "AMI_OWNER in settings: expected an account's id, amazon, aws-marketplace or self."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(x86_64|arm64)$", value)) if name == "AMI_ARCH"])
    error_message = "AMI_ARCH in settings: expected x86_64 or arm64."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([A-Za-z0-9 _.:/@+=,()-]{1,255})$", value)) if name == "KEY_NAME"])
    error_message = "KEY_NAME in settings: expected the name of a key pair, at most 255 characters."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([a-z]{2}-[a-z0-9-]+[a-z](,[a-z]{2}-[a-z0-9-]+[a-z])*)$", value)) if name == "SUPPORTED_AZS"])
    error_message = "SUPPORTED_AZS in settings: expected zone names such as us-west-2a, separated by commas."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([A-Za-z0-9 _.:/=+@-]{1,256})$", value)) if name == "VPC_NAME"])
    error_message = "VPC_NAME in settings: expected a tag value of at most 256 characters without *, ? and \\."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(true|false|subnet)$", value)) if name == "PUBLIC_IP"])
    error_message = "PUBLIC_IP in settings: expected true, false or subnet."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(on-demand|spot|spot-then-on-demand)$", value)) if name == "MARKET"])
    error_message = "MARKET in settings: expected on-demand, spot or spot-then-on-demand."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(any|same-az)$", value)) if name == "PAIR"])
    error_message = "PAIR in settings: expected any or same-az."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(/dev/[a-z0-9]+)$", value)) if name == "VOLUME_DEVICE"])
    error_message = "VOLUME_DEVICE in settings: expected a device name such as /dev/xvda."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([1-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-9][0-9]{3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-6])$", value)) if name == "VOLUME_SIZE_GB"])
    error_message = "VOLUME_SIZE_GB in settings: expected a whole number of GiB from 1 to 65536."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(gp3|gp2|standard)$", value)) if name == "VOLUME_TYPE"])
    error_message = "VOLUME_TYPE in settings: expected gp3, gp2 or standard."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([3-9][0-9]{3}|[1-7][0-9]{4}|80000)$", value)) if name == "VOLUME_IOPS"])
    error_message = "VOLUME_IOPS in settings: expected a whole number from 3000 to 80000."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(12[5-9]|1[3-9][0-9]|[2-9][0-9]{2}|1[0-9]{3}|2000)$", value)) if name == "VOLUME_THROUGHPUT"])
    error_message = "VOLUME_THROUGHPUT in settings: expected a whole number of MiB/s from 125 to 2000."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(true|false)$", value)) if name == "VOLUME_ENCRYPTED"])
    error_message = "VOLUME_ENCRYPTED in settings: expected true or false."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(image|required|optional)$", value)) if name == "IMDS_TOKENS"])
    error_message = "IMDS_TOKENS in settings: expected image, required or optional."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([1-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-9][0-9]{3}|100[0-7][0-9]|10080)$", value)) if name == "EARLIEST_MINUTES"])
    error_message = "EARLIEST_MINUTES in settings: expected a whole number of minutes from 1 to 10080."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([0-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-9][0-9]{3}|100[0-7][0-9]|10080)$", value)) if name == "LAUNCH_WINDOW_MINUTES"])
    error_message = "LAUNCH_WINDOW_MINUTES in settings: expected a whole number of minutes from 0 to 10080."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([2-9]|[1-9][0-9]|[1-9][0-9]{2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)$", value)) if name == "LEAD_MINUTES"])
    error_message = "LEAD_MINUTES in settings: expected a whole number of minutes from 2 to 1440."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([0-9]|[1-9][0-9]|[1-9][0-9]{2}|1[0-3][0-9]{2}|14[0-2][0-9]|143[0-8])$", value)) if name == "FLEXIBLE_WINDOW_MINUTES"])
    error_message = "FLEXIBLE_WINDOW_MINUTES in settings: expected a whole number of minutes from 0 to 1438."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([2-9]|[1-9][0-9]|[1-9][0-9]{2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)$", value)) if name == "GRACE_MINUTES"])
    error_message = "GRACE_MINUTES in settings: expected a whole number of minutes from 2 to 1440."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([1-9]|[1-9][0-9]|[1-2][0-9]{2}|3[0-2][0-9]|33[0-6])$", value)) if name == "MAX_MEETING_HOURS"])
    error_message = "MAX_MEETING_HOURS in settings: expected a whole number of hours from 1 to 336."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([0-9]|[1-9][0-9]|[1-9][0-9]{2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)$", value)) if name == "DUE_MINUTES"])
    error_message = "DUE_MINUTES in settings: expected a whole number of minutes from 0 to 1440."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([0-9]|[1-9][0-9]|100)$", value)) if name == "MAX_REPLACEMENTS"])
    error_message = "MAX_REPLACEMENTS in settings: expected a whole number from 0 to 100."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([0-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-9][0-9]{3}|10000)$", value)) if name == "MAX_ENDINGS"])
    error_message = "MAX_ENDINGS in settings: expected a whole number from 0 to 10000."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^([1-9]|[1-9][0-9]|[1-9][0-9]{2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)$", value)) if name == "READY_MINUTES"])
    error_message = "READY_MINUTES in settings: expected a whole number of minutes from 1 to 1440."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(true|false)$", value)) if name == "RELAUNCH_UNREADY"])
    error_message = "RELAUNCH_UNREADY in settings: expected true or false."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(true|false)$", value)) if name == "CLEAN_UP"])
    error_message = "CLEAN_UP in settings: expected true or false."
  }

  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^(true|false)$", value)) if name == "DRY_RUN"])
    error_message = "DRY_RUN in settings: expected true or false."
  }
}

variable "alarm_topic_arn" {
  type        = string
  default     = ""
  description = "SNS topic of this Region that every alarm tells, in place of one that the module makes for alarm_email. Both empty = the module makes no alarms."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256})?$", var.alarm_topic_arn))
    error_message = "The ARN of an SNS topic such as arn:aws:sns:us-west-2:123456789012:operators, or nothing."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "How many days the logs of the functions are kept."

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "One of the retention times that CloudWatch Logs offers, such as 7, 30, 90 or 365."
  }
}

variable "architecture" {
  type        = string
  default     = "arm64"
  description = "Processor of the functions, which their package must be built for. arm64 costs a fifth less. It has nothing to do with the machines."

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "arm64 or x86_64."
  }
}

variable "alarms" {
  type        = string
  default     = "essential"
  description = "Which alarms the stack makes, if there is somebody to tell. essential = those for a meeting that may have no machines, and for machines that nobody ends. all = also one for each cause, and the dashboard, which costs more than everything else in an idle stack."

  validation {
    condition     = contains(["none", "essential", "all"], var.alarms)
    error_message = "One of none, essential, all."
  }
}

variable "launch_timeout_seconds" {
  type        = number
  default     = 300
  description = "The time-out of the function launch. EC2 starts two machines a second, and Lambda repeats a delivery only twice: 60 s do for 100 meetings that begin at once, 300 s for 500, 900 s for 2000."

  validation {
    condition     = contains([60, 300, 900], var.launch_timeout_seconds)
    error_message = "60, 300 or 900 seconds."
  }
}

# --- What an organisation asks for ------------------------------------------------------------------

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of everything that this module makes and that takes tags. The tags of the machines are extra_tags."

  # By this tag operate knows the key pairs that it may remove, and would take the module's for one of them.
  validation {
    condition     = !contains(keys(var.tags), "Project")
    error_message = "Tags without the key Project, which says what the functions may change and remove."
  }
}

variable "kms_key_arn" {
  type        = string
  default     = ""
  description = "KMS key of this Region that encrypts the logs, the queues, the table of this module and the functions' environment; its own policy must let CloudWatch Logs and EventBridge use it. Empty = keys of AWS."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.kms_key_arn))
    error_message = "The ARN of a key such as arn:aws:kms:us-west-2:123456789012:key/0a1b2c3d-..., or nothing."
  }
}

variable "permissions_boundary_arn" {
  type        = string
  default     = ""
  description = "Policy that is the permissions boundary of every role of this module: no role may do more than it allows. Empty = none."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]+)?$", var.permissions_boundary_arn))
    error_message = "The ARN of a policy such as arn:aws:iam::123456789012:policy/boundary, or nothing."
  }
}

variable "role_path" {
  type        = string
  default     = "/"
  description = "Path of every role and policy of this module, with a slash at both ends."

  validation {
    condition     = can(regex("^/([A-Za-z0-9_+=,.@-]+/)*$", var.role_path)) && length(var.role_path) <= 512
    error_message = "A path such as /teams/classroom/, or / alone."
  }
}

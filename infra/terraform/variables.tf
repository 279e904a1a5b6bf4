# The parameters of ../template.yaml under the names that Terraform people write, with the same defaults, and refusing
# the same values but for one, which new_key_name says; a test holds them equal. The first three only Terraform needs. A
# variable whose description begins with the name of a variable of the environment is written from
# ../../crates/core/src/settings.rs, new_key_name apart.

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
  description = "Whether there is somebody for the alarms to tell. null = if there is an alarm_topic_arn; true where the topic is made in the same run, so that its ARN is not known yet when Terraform plans."
}

# --- The machines ---------------------------------------------------------------------------------

variable "ami_id" {
  type        = string
  default     = ""
  description = "AMI_ID. Image that both machines start from: its id in this Region; resolve:ssm: and the path of the parameter of Systems Manager that holds the id, with :version or :label if it is not the newest; or a short name: al2023, ubuntu:24.04, ubuntu:daily:24.04, debian:12, windows:2022. Either this or ami_name."

  validation {
    condition     = can(regex("^(ami-([0-9a-f]{8}|[0-9a-f]{17})|resolve:ssm:(/[A-Za-z0-9_.-]+)+(:[A-Za-z0-9_.-]+)?|[a-z0-9]+(:[a-z]+)?(:[0-9][a-z0-9.]*)?)?$", var.ami_id))
    error_message = "An image id such as ami-0e7fd79d17e852d18, resolve:ssm:/images/classroom, ubuntu:24.04, or nothing."
  }

  validation {
    condition     = (var.ami_id == "") != (var.ami_name == "")
    error_message = "Either ami_id or ami_name must be given, and not both."
  }
}

variable "ami_name" {
  type        = string
  default     = ""
  description = "AMI_NAME. Name of the image, in which * and ? stand for any characters; of several the newest is taken. It needs ami_owner. Either this or ami_id."

  validation {
    condition     = can(regex("^([A-Za-z0-9 ()\\[\\]./'@_*?-]{3,128})?$", var.ami_name))
    error_message = "The name of an image such as classroom-2026-*, 3 to 128 characters, or nothing."
  }

  validation {
    condition     = (var.ami_name == "") == (var.ami_owner == "")
    error_message = "ami_name and ami_owner go together, for anybody may give an image that name."
  }
}

variable "ami_owner" {
  type        = string
  default     = ""
  description = "AMI_OWNER. Whose image ami_name names, for anybody may give an image any name: self (this account), amazon, aws-marketplace, or an account. Goes with ami_name."

  validation {
    condition     = can(regex("^([0-9]{12}|amazon|aws-marketplace|self)?$", var.ami_owner))
    error_message = "One of self, amazon, aws-marketplace, an account of 12 digits, or nothing."
  }
}

variable "ami_arch" {
  type        = string
  default     = ""
  description = "AMI_ARCH. Processor architecture of the image that a short name or ami_name stands for; not for one that ami_id names by its id or its parameter. Empty = x86_64 for a short name, any for ami_name."

  validation {
    condition     = contains(["", "x86_64", "arm64"], var.ami_arch)
    error_message = "One of x86_64, arm64, or nothing."
  }

  validation {
    condition     = var.ami_arch == "" || !(startswith(var.ami_id, "ami-") || startswith(var.ami_id, "resolve:"))
    error_message = "ami_id names one image, whose architecture is its own: leave ami_arch out."
  }
}

variable "launch_template" {
  type        = string
  default     = ""
  description = "LAUNCH_TEMPLATE. A launch template that says what the other settings leave open, by its id or name, if need be with :version, a number, $Latest or $Default. Empty = none."

  validation {
    condition     = can(regex("^([A-Za-z0-9()./_-]{3,128}(:([1-9][0-9]*|[$]Latest|[$]Default))?)?$", var.launch_template))
    error_message = "A launch template's id or name, if need be with a colon and a version, or nothing."
  }
}

variable "instance_type" {
  type        = list(string)
  description = "INSTANCE_TYPE. Instance type, or several in order of preference: the next one is tried after every zone has refused the one before."

  validation {
    condition     = length(var.instance_type) > 0 && alltrue([for piece in var.instance_type : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", piece))])
    error_message = "Instance types such as [\"t3.large\", \"m5.large\"]."
  }
}

variable "override_instance_types" {
  type        = list(string)
  default     = []
  description = "Instance types that the record of a meeting may ask for in place of instance_type. Empty = none but those of instance_type."

  validation {
    condition     = alltrue([for piece in var.override_instance_types : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", piece))])
    error_message = "Instance types such as [\"t3.xlarge\", \"m5.xlarge\"], or []."
  }
}

variable "market" {
  type        = string
  default     = "on-demand"
  description = "MARKET. How the machines are bought. EC2 may take a Spot machine away in mid-meeting, with two minutes' notice. Spot needs the role AWSServiceRoleForEC2Spot in the account, which this module does not make."

  validation {
    condition     = contains(["on-demand", "spot", "spot-then-on-demand"], var.market)
    error_message = "One of on-demand, spot, spot-then-on-demand."
  }
}

variable "pair" {
  type        = string
  default     = "any"
  description = "PAIR. Whether both machines of a meeting stand in one zone: with same-az, a zone that refuses one of them is left by both, and the one that was launched there is ended."

  validation {
    condition     = contains(["any", "same-az"], var.pair)
    error_message = "One of any, same-az."
  }
}

variable "security_group_ids" {
  type        = list(string)
  description = "SECURITY_GROUP_IDS. Security groups of both machines; they belong to the VPC that the machines start in."

  validation {
    condition     = length(var.security_group_ids) > 0 && alltrue([for piece in var.security_group_ids : can(regex("^sg-([0-9a-f]{8}|[0-9a-f]{17})$", piece))])
    error_message = "Security group ids such as [\"sg-0a1b2c3d\"]."
  }
}

variable "key_name" {
  type        = string
  default     = ""
  description = "KEY_NAME. Key pair for SSH or for the Windows password, one that exists already. Empty = no key pair, or the one of new_key_name."

  validation {
    condition     = can(regex("^[A-Za-z0-9 _.:/@+=,()-]{0,255}$", var.key_name))
    error_message = "The name of a key pair of this Region, or nothing."
  }
}

variable "new_key_name" {
  type        = string
  default     = ""
  description = "KEY_NAME. Name of a key pair that this module imports from public_key, in place of key_name. It goes with the stack. Empty = the module imports none."

  validation {
    condition     = can(regex("^([A-Za-z0-9_.:/@+=,()-]([A-Za-z0-9 _.:/@+=,()-]{0,253}[A-Za-z0-9_.:/@+=,()-])?)?$", var.new_key_name))
    error_message = "A name that no key pair of this Region has, at most 255 characters, or nothing."
  }

  validation {
    condition     = var.new_key_name == "" || var.key_name == ""
    error_message = "key_name names a key pair that exists, and new_key_name one that the module imports. Keep one."
  }

  # The one thing that the template does and the module does not; tests/infra/check_terraform.py knows this sentence.
  validation {
    condition     = var.new_key_name == "" || var.public_key != ""
    error_message = "new_key_name needs public_key: Terraform's aws_key_pair imports a public key and makes none, and a private key that Terraform made itself would be kept in its state."
  }
}

variable "public_key" {
  type        = string
  default     = ""
  description = "Public key that is imported under the name new_key_name: the line of a file such as id_ed25519.pub, without its line break. Windows needs one of type RSA."

  validation {
    condition     = can(regex("^(ssh-(ed25519|rsa) [A-Za-z0-9+/]+={0,2}( [ -~]*)?)?$", var.public_key))
    error_message = "A public key such as ssh-ed25519 AAAA... in one line, as trimspace(file(\"id_ed25519.pub\")) has it, or nothing."
  }

  validation {
    condition     = var.public_key == "" || var.new_key_name != ""
    error_message = "public_key needs new_key_name, the name under which it is imported."
  }
}

variable "new_key_type" {
  type        = string
  default     = "ed25519"
  description = "Without effect here: the key that is imported has a type of its own. In the template it is the type of the key pair that CloudFormation makes."

  validation {
    condition     = contains(["ed25519", "rsa"], var.new_key_type)
    error_message = "ed25519 or rsa."
  }
}

variable "iam_profile" {
  type        = string
  default     = ""
  description = "IAM_PROFILE. Instance profile of the machines, by name or by ARN. Empty = none. With a profile, machine_role_arn is needed too."

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
  description = "ARN of the role inside the instance profile (aws iam get-instance-profile shows it). The function is allowed to pass this role to EC2 and no other. Ignored without iam_profile."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+)?$", var.machine_role_arn))
    error_message = "The ARN of a role such as arn:aws:iam::123456789012:role/machine, or nothing."
  }
}

variable "imds_tokens" {
  type        = string
  default     = "image"
  description = "IMDS_TOKENS. Whether a machine must use IMDSv2 to read its own metadata. image = the image and the account decide; required is recommended as soon as the software on the image speaks IMDSv2."

  validation {
    condition     = contains(["image", "required", "optional"], var.imds_tokens)
    error_message = "One of image, required, optional."
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

# --- Where they start -----------------------------------------------------------------------------

variable "supported_azs" {
  type        = list(string)
  default     = []
  description = "SUPPORTED_AZS. Availability Zones to use. Empty = us-west-2a, us-west-2b and us-west-2c of the default VPC of us-west-2, otherwise every zone of the network."

  validation {
    condition     = alltrue([for piece in var.supported_azs : can(regex("^[a-z]{2}-[a-z0-9-]+[a-z]$", piece))])
    error_message = "Zone names such as [\"us-west-2a\", \"us-west-2b\"], or an empty list."
  }
}

variable "subnet_ids" {
  type        = list(string)
  default     = []
  description = "SUBNET_IDS. Subnets to use instead of those of the default VPC. Empty = the default VPC, or the one that is named below; at most one of the three."

  validation {
    condition     = alltrue([for piece in var.subnet_ids : can(regex("^subnet-([0-9a-f]{8}|[0-9a-f]{17})$", piece))])
    error_message = "Subnet ids such as [\"subnet-0a1b2c3d\", \"subnet-0a1b2c3e\"], or an empty list."
  }

  validation {
    condition     = length([for given in [length(var.subnet_ids) > 0, var.vpc_id != "", var.vpc_name != ""] : given if given]) <= 1
    error_message = "subnet_ids, vpc_id and vpc_name each name the network. Keep one."
  }
}

variable "vpc_id" {
  type        = string
  default     = ""
  description = "VPC_ID. VPC whose subnets are used instead of those of the default VPC. Empty = the default VPC."

  validation {
    condition     = can(regex("^(vpc-([0-9a-f]{8}|[0-9a-f]{17}))?$", var.vpc_id))
    error_message = "The id of a VPC such as vpc-0a1b2c3d, or nothing."
  }
}

variable "vpc_name" {
  type        = string
  default     = ""
  description = "VPC_NAME. VPC in place of the default VPC, by its tag \"Name\", which no other VPC of this Region may have. Empty = the default VPC."

  validation {
    condition     = can(regex("^[A-Za-z0-9 _.:/=+@-]{0,256}$", var.vpc_name))
    error_message = "At most 256 letters, digits, spaces and _ . : / = + @ -"
  }
}

variable "public_ip" {
  type        = string
  default     = "subnet"
  description = "PUBLIC_IP. Whether a machine gets a public address. subnet = its subnet decides."

  validation {
    condition     = contains(["true", "false", "subnet"], var.public_ip)
    error_message = "One of true, false, subnet."
  }
}

# --- Their root volume ----------------------------------------------------------------------------

variable "volume_device" {
  type        = string
  default     = ""
  description = "VOLUME_DEVICE. Device name of the root volume. Empty = the one that the image names, which is nearly always right: another name adds a second disk."

  validation {
    condition     = can(regex("^(/dev/[a-z0-9]+)?$", var.volume_device))
    error_message = "A device such as /dev/sda1, or nothing."
  }
}

variable "volume_size_gb" {
  type        = number
  default     = 60
  description = "VOLUME_SIZE_GB. Size of the root volume in GiB, at least that of the image."

  validation {
    condition     = var.volume_size_gb == floor(var.volume_size_gb) && var.volume_size_gb >= 1 && var.volume_size_gb <= 65536
    error_message = "A whole number from 1 to 65536."
  }
}

variable "volume_type" {
  type        = string
  default     = "gp3"
  description = "VOLUME_TYPE. Type of the root volume."

  validation {
    condition     = contains(["gp3", "gp2", "standard"], var.volume_type)
    error_message = "One of gp3, gp2, standard."
  }
}

variable "volume_iops" {
  type        = number
  default     = 0
  description = "VOLUME_IOPS. Operations per second of a gp3 volume. 0 = EC2's own, 3000."

  validation {
    condition     = var.volume_iops == 0 || (var.volume_iops == floor(var.volume_iops) && var.volume_iops >= 3000 && var.volume_iops <= 80000)
    error_message = "A whole number from 3000 to 80000, or 0."
  }

  validation {
    condition     = var.volume_iops == 0 || var.volume_type == "gp3"
    error_message = "Only volume_type gp3 has volume_iops."
  }
}

variable "volume_throughput" {
  type        = number
  default     = 0
  description = "VOLUME_THROUGHPUT. MiB per second of a gp3 volume, at most a quarter of its operations per second. 0 = EC2's own, 125."

  validation {
    condition     = var.volume_throughput == 0 || (var.volume_throughput == floor(var.volume_throughput) && var.volume_throughput >= 125 && var.volume_throughput <= 2000)
    error_message = "A whole number from 125 to 2000, or 0."
  }

  validation {
    condition     = var.volume_throughput == 0 || var.volume_type == "gp3"
    error_message = "Only volume_type gp3 has volume_throughput."
  }

  validation {
    condition     = var.volume_throughput <= max(var.volume_iops / 4, 750)
    error_message = "volume_throughput must be at most a quarter of volume_iops, which is 3000 unless it is given."
  }
}

variable "volume_encrypted" {
  type        = bool
  default     = true
  description = "VOLUME_ENCRYPTED. true encrypts the root volume, with the account's default EBS key unless volume_kms_key_arn names another; false leaves the choice to the image and the account."
}

variable "volume_kms_key_arn" {
  type        = string
  default     = ""
  description = "VOLUME_KMS_KEY_ID. KMS key of this Region that encrypts the root volume; its own policy must leave the permission to IAM. Empty = the account's default EBS key."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.volume_kms_key_arn))
    error_message = "The ARN of a key such as arn:aws:kms:us-west-2:123456789012:key/0a1b2c3d-..., or nothing."
  }

  validation {
    condition     = var.volume_kms_key_arn == "" || var.volume_encrypted
    error_message = "volume_kms_key_arn needs volume_encrypted."
  }
}

# --- The meetings ---------------------------------------------------------------------------------

variable "table_name" {
  type        = string
  default     = "elephant-meetings"
  description = "TABLE_NAME. Name of the table of meetings that this module creates. Ignored when existing_table_name is given."

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{3,255}$", var.table_name))
    error_message = "3 to 255 letters, digits, dots, hyphens and underscores."
  }
}

variable "existing_table_name" {
  type        = string
  default     = ""
  description = "Name of a table of meetings that exists already in this account and Region, with the string \"id\" as its only key. The stack then creates none. Empty = create table_name."

  validation {
    condition     = can(regex("^([A-Za-z0-9_.-]{3,255})?$", var.existing_table_name))
    error_message = "The name of an existing table, or nothing."
  }
}

variable "table_stream" {
  type        = string
  default     = "none"
  description = "Stream of the table that this module creates, for programs of yours that follow its changes: each with the record as it is then, or with the one before it too. This module reads none."

  validation {
    condition     = contains(["none", "NEW_IMAGE", "NEW_AND_OLD_IMAGES"], var.table_stream)
    error_message = "One of none, NEW_IMAGE, NEW_AND_OLD_IMAGES."
  }
}

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

variable "launch_window_minutes" {
  type        = number
  default     = 120
  description = "LAUNCH_WINDOW_MINUTES. A delivery later than this after the start of its meeting launches nothing."

  validation {
    condition     = var.launch_window_minutes == floor(var.launch_window_minutes) && var.launch_window_minutes >= 0 && var.launch_window_minutes <= 10080
    error_message = "A whole number of minutes from 0 to 10080."
  }
}

variable "earliest_minutes" {
  type        = number
  default     = 1440
  description = "EARLIEST_MINUTES. A delivery earlier than this before the start of its meeting launches nothing: the meeting was moved, and an old schedule has fired. At least lead_minutes."

  validation {
    condition     = var.earliest_minutes == floor(var.earliest_minutes) && var.earliest_minutes >= 1 && var.earliest_minutes <= 10080
    error_message = "A whole number of minutes from 1 to 10080."
  }
}

variable "lead_minutes" {
  type        = number
  default     = 15
  description = "LEAD_MINUTES. How long before the start of a meeting its schedule fires; at least flexible_window_minutes + 2, for Scheduler is precise to one minute."

  validation {
    condition     = var.lead_minutes == floor(var.lead_minutes) && var.lead_minutes >= 2 && var.lead_minutes <= 1440
    error_message = "A whole number of minutes from 2 to 1440."
  }

  validation {
    condition     = var.lead_minutes >= var.flexible_window_minutes + 2
    error_message = "lead_minutes must be at least flexible_window_minutes + 2, for Scheduler is precise to one minute."
  }
}

variable "flexible_window_minutes" {
  type        = number
  default     = 5
  description = "FLEXIBLE_WINDOW_MINUTES. Scheduler picks a moment in this window from then on, so that meetings on the hour do not all launch at once. 0 = on the minute."

  validation {
    condition     = var.flexible_window_minutes == floor(var.flexible_window_minutes) && var.flexible_window_minutes >= 0 && var.flexible_window_minutes <= 1438
    error_message = "A whole number of minutes from 0 to 1438."
  }
}

# --- Keeping the machines -----------------------------------------------------------------------

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

variable "grace_minutes" {
  type        = number
  default     = 10
  description = "GRACE_MINUTES. No machine younger than this is taken for an orphan."

  validation {
    condition     = var.grace_minutes == floor(var.grace_minutes) && var.grace_minutes >= 2 && var.grace_minutes <= 1440
    error_message = "A whole number of minutes from 2 to 1440."
  }
}

variable "max_meeting_hours" {
  type        = number
  default     = 8
  description = "MAX_MEETING_HOURS. A meeting this long after its time is over, and its machines are ended: the last guard against a surprising bill. At least launch_window_minutes."

  validation {
    condition     = var.max_meeting_hours == floor(var.max_meeting_hours) && var.max_meeting_hours >= 1 && var.max_meeting_hours <= 336
    error_message = "A whole number of hours from 1 to 336."
  }

  validation {
    condition     = var.max_meeting_hours * 60 >= var.launch_window_minutes
    error_message = "At least launch_window_minutes: what is launched then would be ended at once."
  }
}

variable "due_minutes" {
  type        = number
  default     = 3
  description = "DUE_MINUTES. A meeting that begins this soon and has no machines is launched by the sweep. At least two minutes less than the shortest lead of a schedule."

  validation {
    condition     = var.due_minutes == floor(var.due_minutes) && var.due_minutes >= 0 && var.due_minutes <= 1440
    error_message = "A whole number of minutes from 0 to 1440."
  }
}

variable "max_replacements" {
  type        = number
  default     = 2
  description = "MAX_REPLACEMENTS. How many machines of one meeting that died are launched again. 0 = none."

  validation {
    condition     = var.max_replacements == floor(var.max_replacements) && var.max_replacements >= 0 && var.max_replacements <= 100
    error_message = "A whole number from 0 to 100."
  }
}

variable "max_endings" {
  type        = number
  default     = 20
  description = "MAX_ENDINGS. How many machines one sweep ends; what is left waits for the next, and an alarm says so. 0 = none."

  validation {
    condition     = var.max_endings == floor(var.max_endings) && var.max_endings >= 0 && var.max_endings <= 10000
    error_message = "A whole number from 0 to 10000."
  }
}

variable "ready_minutes" {
  type        = number
  default     = 15
  description = "READY_MINUTES. A machine that does not serve this long after its launch is reported with its console."

  validation {
    condition     = var.ready_minutes == floor(var.ready_minutes) && var.ready_minutes >= 1 && var.ready_minutes <= 1440
    error_message = "A whole number of minutes from 1 to 1440."
  }
}

variable "relaunch_unready" {
  type        = bool
  default     = false
  description = "RELAUNCH_UNREADY. Whether a machine that does not serve is ended, and another launched."
}

variable "clean_up" {
  type        = bool
  default     = false
  description = "CLEAN_UP. Whether volumes and network interfaces of ours that are attached to nothing are removed."
}

variable "sweep_dry_run" {
  type        = bool
  default     = false
  description = "DRY_RUN. The function reconcile says what it would do, and does nothing. For the first days beside an existing system."
}

# --- Operation ------------------------------------------------------------------------------------

variable "architecture" {
  type        = string
  default     = "arm64"
  description = "Processor of the functions, which their package must be built for. arm64 costs a fifth less. It has nothing to do with the machines."

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "arm64 or x86_64."
  }
}

variable "launch_event_age_seconds" {
  type        = number
  default     = 8100
  description = "How long an event may wait where Lambda throttles the function launch, its repeats included. Best (lead_minutes + launch_window_minutes) * 60: after that the function would launch nothing."

  validation {
    condition     = var.launch_event_age_seconds == floor(var.launch_event_age_seconds) && var.launch_event_age_seconds >= 60 && var.launch_event_age_seconds <= 21600
    error_message = "A whole number of seconds from 60 to 21600 (six hours), the limits of Lambda."
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

variable "launch_reserved_concurrency" {
  type        = number
  default     = -1
  description = "How many deliveries the function launch runs at once, reserved for it and at most. -1 = as many as the account has free. 0 = none: an emergency brake, every event goes to launch_failures at once."

  validation {
    condition     = var.launch_reserved_concurrency == floor(var.launch_reserved_concurrency) && var.launch_reserved_concurrency >= -1 && var.launch_reserved_concurrency <= 100000
    error_message = "-1 (no reservation), 0 (stopped), or a number that leaves the account its 100 unreserved."
  }
}

variable "schedule_reserved_concurrency" {
  type        = number
  default     = -1
  description = "The same for the function schedule, whose events go to schedule_failures."

  validation {
    condition     = var.schedule_reserved_concurrency == floor(var.schedule_reserved_concurrency) && var.schedule_reserved_concurrency >= -1 && var.schedule_reserved_concurrency <= 100000
    error_message = "-1 (no reservation), 0 (stopped), or a number that leaves the account its 100 unreserved."
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

variable "log_format" {
  type        = string
  default     = "JSON"
  description = "Format of the functions' logs. Text is for people who read them unaided; Lambda then filters by no level, and log_level is ignored."

  validation {
    condition     = contains(["JSON", "Text"], var.log_format)
    error_message = "JSON or Text."
  }
}

variable "log_level" {
  type        = string
  default     = "INFO"
  description = "The least level that the functions log. Ignored when log_format is Text."

  validation {
    condition     = contains(["TRACE", "DEBUG", "INFO"], var.log_level)
    error_message = "TRACE, DEBUG or INFO. Anything higher would drop the metrics, which are lines of the log."
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

variable "alarm_topic_arn" {
  type        = string
  default     = ""
  description = "SNS topic of this Region that every alarm tells. Empty = the stack makes no alarms."

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256})?$", var.alarm_topic_arn))
    error_message = "The ARN of an SNS topic such as arn:aws:sns:us-west-2:123456789012:operators, or nothing."
  }
}

variable "slow_launch_seconds" {
  type        = number
  default     = 30
  description = "An alarm says so when a launch took longer than this, from the start of the delivery until both ids stood in the record."

  validation {
    condition     = var.slow_launch_seconds == floor(var.slow_launch_seconds) && var.slow_launch_seconds >= 1 && var.slow_launch_seconds <= 900
    error_message = "A whole number of seconds from 1 to 900, the longest time-out of the function."
  }
}

variable "short_lead_seconds" {
  type        = number
  default     = 180
  description = "An alarm says so when both ids stood in the record less than this before the start of the meeting. Best the time that the machines need to become usable, at least two minutes less than the shortest lead."

  validation {
    condition     = var.short_lead_seconds == floor(var.short_lead_seconds) && var.short_lead_seconds >= 0 && var.short_lead_seconds <= 86400
    error_message = "A whole number of seconds from 0 to 86400 (a day)."
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

//! Every setting, declared once: who reads it, what it may be, what it means, and which parameter of the templates gives it.
//!
//! [`crate::config`] reads the environment by these rows. `UPDATE=1 cargo test generated` writes from them the tables of
//! `docs/settings.md`, the parameters and environment blocks of `infra/template.yaml` and of `infra/terraform/`, and
//! `events/launch.env`.
//!
//! In `means`, a name between backticks is a variable; the templates show the parameter's name in its place.

use Function::{End, Launch, Operate, Reconcile, Schedule, Status};

/// A Lambda function of ours, which reads the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Launch,
    Schedule,
    End,
    Reconcile,
    Status,
    Operate,
}

impl Function {
    pub const ALL: [Function; 6] = [Launch, Schedule, End, Reconcile, Status, Operate];

    /// Its verb, which is also the handler that Lambda runs it by.
    pub const fn name(self) -> &'static str {
        match self {
            Launch => "launch",
            Schedule => "schedule",
            End => "end",
            Reconcile => "reconcile",
            Status => "status",
            Operate => "operate",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Of the environment variable.
    pub name: &'static str,
    pub read_by: &'static [Function],
    pub value: Value,
    pub default: Default,
    pub means: &'static str,
    /// Markdown that only the documentation adds.
    pub more: &'static str,
    pub source: Source,
    /// What the environment blocks say, in CloudFormation's words and in Terraform's, where it is not just the parameter.
    pub given_by: Option<(&'static str, &'static str)>,
    /// Lines of `events/launch.env`: this variable, and those that it needs beside it. Empty: its default, or nothing
    /// where another row shows it.
    pub example: &'static [&'static str],
}

/// What gives the value in the templates.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A parameter of its own.
    Parameter(Parameter),
    /// A pair `NAME=value` of [`SETTINGS`]. `pattern` is a regular expression for a text; empty: the value says it all.
    Settings { pattern: &'static str },
    /// The stack itself knows it.
    Stack,
}

#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// What is expected, as the error says it.
    Text(&'static str),
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Truth,
    Whole {
        least: u64,
        most: u64,
        unit: &'static str,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Default {
    Value(&'static str),
    /// What holds without a value, in the documentation's words.
    Unset(&'static str),
}

/// A parameter of the CloudFormation template. The Terraform variable has the same name in snake case.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    /// Of the parameter; of the variable there may be none.
    pub default: &'static str,
    pub shape: Shape,
    /// Conditions on several variables, with the message: CloudFormation has them as `Rules`.
    pub terraform_rules: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A regular expression for the whole text, and what it allows in words.
    Text { pattern: &'static str, constraint: &'static str },
    /// At most so many characters.
    Long { most: u64 },
    /// Pieces, separated by commas in CloudFormation; at least one where the parameter has a default. The rest is for the
    /// error: what the pieces are, some of them, and what else they must be.
    List { piece: &'static str, most: Option<usize>, what: &'static str, such_as: &'static [&'static str] },
    /// Pairs of names and values: of the rows whose source is [`Source::Settings`].
    Pairs,
}

impl Setting {
    /// What a value has to be, in the words of the error and of the documentation.
    pub fn expected(&self) -> String {
        match self.value {
            Value::Text(expected) => expected.to_owned(),
            Value::OneOf(words) => {
                let (last, others) = words.split_last().expect("a choice has words");
                format!("{} or {last}", others.join(", "))
            }
            Value::Truth => "true or false".to_owned(),
            Value::Whole { least, most, unit: "" } => format!("a whole number from {least} to {most}"),
            Value::Whole { least, most, unit } => format!("a whole number of {unit} from {least} to {most}"),
        }
    }

    /// The default; empty where there is none.
    pub fn default_value(&self) -> &'static str {
        match self.default {
            Default::Value(value) => value,
            Default::Unset(_) => "",
        }
    }

    /// `text` as the whole number that the setting takes, if it is one.
    pub fn whole_number(&self, text: &str) -> Option<u64> {
        match self.value {
            Value::Whole { least, most, .. } => {
                text.parse().ok().filter(|number| (least..=most).contains(number))
            }
            _ => None,
        }
    }

    pub fn has_word(&self, text: &str) -> bool {
        matches!(self.value, Value::OneOf(words) if words.contains(&text))
    }

    /// The parameter of its own, if it has one.
    pub fn parameter(&self) -> Option<&Parameter> {
        match &self.source {
            Source::Parameter(parameter) => Some(parameter),
            Source::Settings { .. } | Source::Stack => None,
        }
    }

    pub fn is_in_settings(&self) -> bool {
        matches!(self.source, Source::Settings { .. })
    }

    pub fn is_read_by(&self, function: Function) -> bool {
        self.read_by.contains(&function)
    }

    const fn new(value: Value) -> Self {
        Setting {
            name: "",
            read_by: &[],
            value,
            default: Default::Unset("none"),
            means: "",
            more: "",
            source: Source::Stack,
            given_by: None,
            example: &[],
        }
    }

    const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    const fn read_by(mut self, functions: &'static [Function]) -> Self {
        self.read_by = functions;
        self
    }

    const fn default_to(mut self, value: &'static str) -> Self {
        self.default = Default::Value(value);
        self
    }

    const fn without(mut self, words: &'static str) -> Self {
        self.default = Default::Unset(words);
        self
    }

    const fn means(mut self, words: &'static str) -> Self {
        self.means = words;
        self
    }

    const fn more(mut self, words: &'static str) -> Self {
        self.more = words;
        self
    }

    const fn in_settings(mut self) -> Self {
        self.source = Source::Settings { pattern: "" };
        self
    }

    /// A text that matches `pattern`. Without `;`, which ends a pair.
    const fn in_settings_as(mut self, pattern: &'static str) -> Self {
        self.source = Source::Settings { pattern };
        self
    }

    const fn with_parameter(mut self, name: &'static str, shape: Shape) -> Self {
        let default = match self.default {
            Default::Value(value) => value,
            Default::Unset(_) => "",
        };
        self.source = Source::Parameter(Parameter { name, default, shape, terraform_rules: &[] });
        self
    }

    /// The stack needs an answer, and the variable has none of its own.
    const fn parameter_default(mut self, value: &'static str) -> Self {
        if let Source::Parameter(parameter) = &mut self.source {
            parameter.default = value;
        }
        self
    }

    const fn text_parameter(
        self,
        name: &'static str,
        pattern: &'static str,
        constraint: &'static str,
    ) -> Self {
        self.with_parameter(name, Shape::Text { pattern, constraint })
    }

    const fn terraform_rules(mut self, rules: &'static [(&'static str, &'static str)]) -> Self {
        if let Source::Parameter(parameter) = &mut self.source {
            parameter.terraform_rules = rules;
        }
        self
    }

    const fn example(mut self, lines: &'static [&'static str]) -> Self {
        self.example = lines;
        self
    }

    const fn given_by(mut self, template: &'static str, terraform: &'static str) -> Self {
        self.given_by = Some((template, terraform));
        self
    }
}

/// Of the variables that a function reads.
pub fn names(function: Function) -> Vec<&'static str> {
    ALL.iter().filter(|setting| setting.is_read_by(function)).map(|setting| setting.name).collect()
}

/// Of the variables that the templates set for a function: those of its settings that do not come in [`SETTINGS`].
pub fn given_to(function: Function) -> Vec<&'static str> {
    let given = ALL.iter().filter(|setting| setting.is_read_by(function) && !setting.is_in_settings());
    given.map(|setting| setting.name).collect()
}

const fn text(expected: &'static str) -> Setting {
    Setting::new(Value::Text(expected))
}

const fn one_of(words: &'static [&'static str]) -> Setting {
    Setting::new(Value::OneOf(words))
}

const fn truth() -> Setting {
    Setting::new(Value::Truth)
}

const fn whole(least: u64, most: u64, unit: &'static str) -> Setting {
    Setting::new(Value::Whole { least, most, unit })
}

const EVERY: &[Function] = &Function::ALL;
const LAUNCHING: &[Function] = &[Launch, Reconcile];
/// `operate` is asked which image a launch would take now.
const IMAGE: &[Function] = &[Launch, Reconcile, Operate];
/// When a meeting may be launched.
const WINDOW: &[Function] = &[Launch, Schedule, Reconcile];

macro_rules! settings {
    ($($name:ident: $setting:expr;)*) => {
        $(pub static $name: Setting = $setting.named(stringify!($name));)*

        /// In the order in which they are read and documented, and in which problems are told.
        pub static ALL: &[&Setting] = &[$(&$name),*];
    };
}

settings! {
    SETTINGS: text("NAME=value pairs, separated by semicolons")
        .read_by(EVERY)
        .means(
            "Settings that have no parameter of their own, as NAME=value pairs, separated by semicolons. For example \
             MARKET=spot;VOLUME_SIZE_GB=100. The names are in docs/settings.md. Empty = their defaults."
        )
        .more("A variable that is set by itself says the same as a pair; both at once are a problem.")
        .with_parameter("Settings", Shape::Pairs)
        .example(&["SETTINGS=MARKET=spot-then-on-demand;VOLUME_SIZE_GB=100"]);

    LAUNCH_TEMPLATE: text(
        "a launch template's id, lt-…, or name, if need be with :version, a number, $Latest or $Default"
    )
        .read_by(IMAGE)
        .means(
            "A launch template that says what the other settings leave open, by its id or name, if need be with \
             :version, a number, $Latest or $Default. Empty = none."
        )
        .more("See [a launch template](#a-launch-template).")
        .in_settings_as("[A-Za-z0-9()./_-]{3,128}(:([1-9][0-9]*|[$]Latest|[$]Default))?")
        .example(&["LAUNCH_TEMPLATE=meetings:$Default"]);

    AMI_ID: text("an image id, ami-…, or AMI_NAME and AMI_OWNER")
        .read_by(IMAGE)
        .without("required, unless `AMI_NAME` is set")
        .means(
            "Image that both machines start from: its id in this Region; resolve:ssm: and the path \
             of the parameter of Systems Manager that holds the id, with :version or :label if it is not the \
             newest; or a short name: al2023, ubuntu:24.04, ubuntu:daily:24.04, debian:12, windows:2022. Empty = \
             the one that AMI_NAME or LAUNCH_TEMPLATE names."
        )
        // A wildcard in the path would widen the policy.
        .text_parameter("AmiId", "^(ami-([0-9a-f]{8}|[0-9a-f]{17})|resolve:ssm:(/[A-Za-z0-9_.-]+)+(:[A-Za-z0-9_.-]+)?|[a-z0-9]+(:[a-z]+)?(:[0-9][a-z0-9.]*)?)?$", "An image id such as ami-0e7fd79d17e852d18, resolve:ssm:/images/classroom, ubuntu:24.04, or nothing.")
        .parameter_default("al2023")
        .example(&["AMI_ID=al2023"]);

    AMI_NAME: text("an image's name, with * and ? for what may vary")
        .read_by(IMAGE)
        .means(
            "Name of the image, in which * and ? stand for any characters; of several the newest is taken. It \
             needs AMI_OWNER, and an empty `AMI_ID`."
        )
        .in_settings_as(r"[A-Za-z0-9 ()\[\]./'@_*?-]{3,128}")
        .example(&["AMI_NAME=ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*", "AMI_OWNER=099720109477"]);

    AMI_OWNER: text("an account's id, amazon, aws-marketplace or self")
        .read_by(IMAGE)
        .means(
            "Whose image `AMI_NAME` names, for anybody may give an image any name: self (this account), amazon, \
             aws-marketplace, or an account. Goes with `AMI_NAME`."
        )
        .in_settings_as("[0-9]{12}|amazon|aws-marketplace|self");

    AMI_ARCH: one_of(&["x86_64", "arm64"])
        .read_by(IMAGE)
        .without("`x86_64` for a short name")
        .means(
            "Processor architecture of the image that a short name or `AMI_NAME` stands for; not for one that \
             `AMI_ID` names by its id or its parameter. Empty = x86_64 for a short name, any for `AMI_NAME`."
        )
        .in_settings()
        .example(&["AMI_ID=ubuntu:24.04", "AMI_ARCH=arm64"]);

    INSTANCE_TYPE: text("one or more instance types such as t3.large, separated by commas")
        .read_by(IMAGE)
        .without("required")
        .means(
            "Instance type, or several in order of preference, separated by commas: the next one is tried after \
             every zone has refused the one before."
        )
        .with_parameter("InstanceType", Shape::List { piece: r#"[a-z0-9-]+\.[a-z0-9-]+"#, most: None, what: "Instance types", such_as: &["t3.large", "m5.large"] })
        .parameter_default("t3.small")
        .example(&["INSTANCE_TYPE=t3.large,m5.large"]);

    SECURITY_GROUP_IDS: text("security group ids, sg-…, separated by commas")
        .read_by(LAUNCHING)
        .without("required")
        .means(
            "Security groups of both machines, separated by commas; they belong to the VPC that the machines \
             start in. Empty = one that this stack makes, which lets nothing in, in `VPC_ID` or the default VPC."
        )
        .with_parameter("SecurityGroupIds", Shape::List { piece: "sg-([0-9a-f]{8}|[0-9a-f]{17})", most: None, what: "Security group ids", such_as: &["sg-0a1b2c3d", "sg-0a1b2c3e"] })
        .terraform_rules(&[(
            r#"length(var.security_group_ids) > 0 || length(var.subnet_ids) == 0 || var.vpc_id != """#,
            "subnet_ids need security_group_ids, or vpc_id, in which this module makes a security group.",
        )])
        .given_by(
            "!If [MakesSecurityGroup, !GetAtt MachineSecurityGroup.GroupId, !Ref SecurityGroupIds]",
            r#"join(",", local.security_group_ids)"#,
        )
        .example(&["SECURITY_GROUP_IDS=sg-0123456789abcdef0"]);

    KEY_NAME: text("the name of a key pair, at most 255 characters")
        .read_by(LAUNCHING)
        .means(
            "Key pair for SSH or for the Windows password, one that exists already, for example because operate \
             made it. Empty = no key pair."
        )
        .more("One that does not exist is found out at the start.")
        .in_settings_as("[A-Za-z0-9 _.:/@+=,()-]{1,255}")
        .example(&["KEY_NAME=operators"]);

    IAM_PROFILE: text("an instance profile's name, or its ARN")
        .read_by(LAUNCHING)
        .means(
            "Instance profile of the machines, by name or by ARN, with `MachineRoleArn`. Both empty = one that this \
             stack makes, with which Session Manager and Run Command reach the machines."
        )
        .text_parameter("IamProfile", "^([A-Za-z0-9_+=,.@-]{1,128}|arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/[A-Za-z0-9_+=,.@/-]+)?$", "The name or the ARN of an instance profile, or nothing.")
        .terraform_rules(&[(
            r#"var.iam_profile == "" || var.machine_role_arn != """#,
            "iam_profile needs machine_role_arn, the ARN of the role inside that profile.",
        )])
        .given_by("!If [MakesMachineRole, !Ref MachineProfile, !Ref IamProfile]", "local.iam_profile")
        .example(&["IAM_PROFILE=meeting-machine"]);

    TABLE_NAME: text("a table name: 3 to 255 of a-z, A-Z, 0-9, _ - .")
        .read_by(EVERY)
        .default_to("elephant-meetings")
        .means("Name of the table of meetings.")
        .more("The stack calls its own after itself, and takes another by `ExistingTableName`.")
        .given_by("!If [CreateTable, !Ref MeetingsTable, !Ref ExistingTableName]", "local.table_name");

    SUPPORTED_AZS: text("zone names such as us-west-2a, separated by commas")
        .read_by(IMAGE)
        .without("`us-west-2a,us-west-2b,us-west-2c` in us-west-2, elsewhere every zone of the default VPC")
        .means(
            "Availability Zones to use, separated by commas. Empty = us-west-2a, us-west-2b and us-west-2c of the \
             default VPC of us-west-2, otherwise every zone of the network."
        )
        .in_settings_as("[a-z]{2}-[a-z0-9-]+[a-z](,[a-z]{2}-[a-z0-9-]+[a-z])*")
        .example(&["SUPPORTED_AZS=us-west-2a,us-west-2b"]);

    SUBNET_IDS: text("subnet ids, subnet-…, separated by commas")
        .read_by(LAUNCHING)
        .means(
            "Subnets to use instead of those of the default VPC, separated by commas; with `VPC_ID`, of that VPC. \
             Empty = every subnet of the VPC."
        )
        .more(
            "Of the default VPC only those subnets count that are the default of their zone. The default of \
             `SUPPORTED_AZS` does not narrow these; a value of it does."
        )
        .with_parameter("SubnetIds", Shape::List { piece: "subnet-([0-9a-f]{8}|[0-9a-f]{17})", most: None, what: "Subnet ids", such_as: &["subnet-0a1b2c3d", "subnet-0a1b2c3e"] })
        .example(&["SUBNET_IDS=subnet-0123456789abcdef0,subnet-0123456789abcdef1"]);

    VPC_ID: text("a VPC's id, vpc-…")
        .read_by(LAUNCHING)
        .means("VPC whose subnets are used instead of those of the default VPC. Empty = the default VPC.")
        .text_parameter("VpcId", "^(vpc-([0-9a-f]{8}|[0-9a-f]{17}))?$", "The id of a VPC such as vpc-0a1b2c3d, or nothing.")
        .example(&["VPC_ID=vpc-0123456789abcdef0"]);

    VPC_NAME: text(r#"a tag value of at most 256 characters without *, ? and \"#)
        .read_by(LAUNCHING)
        .means(
            r#"VPC in place of the default VPC, by its tag "Name", which no other VPC of this Region may have. It goes with SecurityGroupIds, and with neither VpcId nor SubnetIds. Empty = the default VPC."#,
        )
        // Not * and ?, which would find several.
        .in_settings_as("[A-Za-z0-9 _.:/=+@-]{1,256}")
        .example(&["VPC_NAME=meetings"]);

    PUBLIC_IP: one_of(&["true", "false", "subnet"])
        .read_by(LAUNCHING)
        .default_to("subnet")
        .means("Whether a machine gets a public address. subnet = its subnet decides.")
        .in_settings()
        .example(&["PUBLIC_IP=false"]);

    MARKET: one_of(&["on-demand", "spot", "spot-then-on-demand"])
        .read_by(LAUNCHING)
        .default_to("on-demand")
        .means(
            "How the machines are bought. EC2 may take a Spot machine away in mid-meeting, with two minutes' \
             notice. Spot needs the role AWSServiceRoleForEC2Spot in the account, which this stack does not make."
        )
        .more("Spot is one-time. See [the order of attempts](#the-order-of-attempts). See also [Spot machines](install.md#spot-machines).")
        .in_settings()
        .example(&["MARKET=spot-then-on-demand"]);

    PAIR: one_of(&["any", "same-az"])
        .read_by(LAUNCHING)
        .default_to("any")
        .means(
            "Whether both machines of a meeting stand in one zone: with same-az, a zone that refuses one of them \
             is left by both, and the one that was launched there is ended."
        )
        .more("See [a pair in one zone](#a-pair-in-one-zone).")
        .in_settings()
        .example(&["PAIR=same-az"]);

    VOLUME_DEVICE: text("a device name such as /dev/xvda")
        .read_by(LAUNCHING)
        .without("the image's root device")
        .means(
            "Device name of the root volume. Empty = the one that the image names, which is nearly always right: \
             another name adds a second disk."
        )
        .in_settings_as("/dev/[a-z0-9]+")
        .example(&["VOLUME_DEVICE=/dev/xvda"]);

    VOLUME_SIZE_GB: whole(1, 65_536, "GiB")
        .read_by(LAUNCHING)
        .default_to("60")
        .means("Size of the root volume in GiB, at least that of the image.")
        .more(
            "A size below that of the image's snapshot is raised, and the log says so with both numbers. The \
             volume is deleted with the machine."
        )
        .in_settings()
        .example(&["VOLUME_SIZE_GB=200"]);

    // io1 and io2 must be given a number of IOPS, and gp3 has the same without; st1 and sc1 cannot boot.
    VOLUME_TYPE: one_of(&["gp3", "gp2", "standard"])
        .read_by(LAUNCHING)
        .default_to("gp3")
        .means("Type of the root volume.")
        .in_settings()
        .example(&["VOLUME_TYPE=gp2"]);

    VOLUME_IOPS: whole(3000, 80_000, "")
        .read_by(LAUNCHING)
        .without("EC2's 3000")
        .means("Operations per second of a gp3 volume.")
        .more("At most 500 for each GiB.")
        .in_settings()
        .example(&["VOLUME_IOPS=6000"]);

    VOLUME_THROUGHPUT: whole(125, 2000, "MiB/s")
        .read_by(LAUNCHING)
        .without("EC2's 125")
        .means("MiB per second of a gp3 volume, at most a quarter of its operations per second.")
        .in_settings()
        .example(&["VOLUME_THROUGHPUT=500"]);

    VOLUME_ENCRYPTED: truth()
        .read_by(LAUNCHING)
        .default_to("true")
        .means(
            "true encrypts the root volume, with the account's default EBS key unless `VOLUME_KMS_KEY_ID` names \
             another; false leaves the choice to the image and the account."
        )
        .in_settings()
        .example(&["VOLUME_ENCRYPTED=false"]);

    VOLUME_KMS_KEY_ID: text("a KMS key's id, alias/… or ARN")
        .read_by(LAUNCHING)
        .without("the account's key for EBS")
        .means(
            "KMS key of this Region that encrypts the root volume; its own policy must leave the permission to \
             IAM. Empty = the account's default EBS key."
        )
        .more("The variable takes an id or `alias/…` too. See [Keys of your own](permissions.md#keys-of-your-own).")
        // Not an alias: the policy names the key.
        .text_parameter("VolumeKmsKeyArn", "^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", "The ARN of a key such as arn:aws:kms:us-west-2:123456789012:key/0a1b2c3d-..., or nothing.")
        .example(&["VOLUME_KMS_KEY_ID=alias/meetings"]);

    IMDS_TOKENS: one_of(&["image", "required", "optional"])
        .read_by(LAUNCHING)
        .default_to("image")
        .means(
            "Whether a machine must use IMDSv2 to read its own metadata. image = the image and the account \
             decide; required is recommended as soon as the software on the image speaks IMDSv2."
        )
        .in_settings()
        .example(&["IMDS_TOKENS=required"]);

    USER_DATA: text(
        "a script (#!…), #cloud-config, another text that cloud-init or EC2Launch knows by its beginning, or \
         base64, of at most 16 KiB"
    )
        .read_by(LAUNCHING)
        .means(
            "What each machine is told at its first start: a script or another text that cloud-init or EC2Launch \
             knows, or base64; @elephant:meeting_id@ and @elephant:role@ are filled in. A parameter takes 4096 \
             characters, and Lambda allows 4 KB of environment in all, so keep it below 3000. It can be read in \
             the function's configuration: no secrets."
        )
        .more("Nothing else is filled in that a shell, awk, PowerShell, Jinja or Terraform has for its own. An id that could be a command in a script is refused. A longer text can fetch the rest.")
        .with_parameter("UserData", Shape::Long { most: 4096 })
        .example(&["USER_DATA=I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogQGVsZXBoYW50OnJvbGVACg=="]);

    PROJECT_TAG: text(r#"a tag value of at most 256 characters without *, ? and \"#)
        .read_by(IMAGE)
        .default_to("Elephant")
        .means(r#"Value of the tag "Project" of everything that is launched. The function may end only machines that carry it, so let no other system of this account use the same value."#)
        .more("Machines that were launched under an older value cannot be ended under a new one, so keep it.")
        .text_parameter("ProjectTag", "^[A-Za-z0-9 _.:/=+@-]{1,256}$", "1 to 256 letters, digits, spaces and _ . : / = + @ -");

    EXTRA_TAGS: text(
        "key=value pairs separated by commas, at most 40, keys of at most 128 characters that are none of Name, \
         MeetingID, Role, Project and begin with neither aws: nor elephant:, values of at most 256"
    )
        .read_by(LAUNCHING)
        .means(
            "Tags of everything that is launched, besides Name, MeetingID, Role and Project: key=value, up to \
             ten, separated by commas. Empty = none."
        )
        .more("Machine, volume, network interface and Spot request get them. The variable takes up to 40.")
        // Ten, for the policy takes the keys out one by one; and no spaces around a key, which the function would
        // leave out and the policy would not.
        .with_parameter("ExtraTags", Shape::List { piece: "[A-Za-z0-9_.:/+@-]([A-Za-z0-9 _.:/+@-]{0,126}[A-Za-z0-9_.:/+@-])?=[A-Za-z0-9 _.:/=+@-]{0,256}", most: Some(10), what: "Up to ten tags", such_as: &["Department=Mathematics", "CostCentre=42"] })
        .example(&["EXTRA_TAGS=Team=Teaching,CostCentre=4711"]);

    EARLIEST_MINUTES: whole(1, 10_080, "minutes")
        .read_by(WINDOW)
        .default_to("1440")
        .means(
            "A delivery earlier than this before the start of its meeting launches nothing: the meeting was \
             moved, and an old schedule has fired. At least `LEAD_MINUTES`."
        )
        .in_settings();

    LAUNCH_WINDOW_MINUTES: whole(0, 10_080, "minutes")
        .read_by(WINDOW)
        .default_to("120")
        .means("A delivery later than this after the start of its meeting launches nothing.")
        .more("A record without a readable `meet_time` has no window. A time without an offset is UTC.")
        .in_settings();

    LAUNCH_FUNCTION_ARN: text("the ARN of the function launch")
        .read_by(&[Schedule])
        .without("required")
        .means("The function `launch`, which the schedules invoke.")
        .given_by("!GetAtt LaunchFunction.Arn", "local.launch_function_arn");

    SCHEDULER_ROLE_ARN: text("the ARN of the role with which Scheduler invokes it")
        .read_by(&[Schedule])
        .without("required")
        .means("The role with which Scheduler invokes it.")
        .given_by("!GetAtt SchedulerRole.Arn", "aws_iam_role.scheduler.arn");

    SCHEDULE_GROUP: text("the name of a schedule group: 1 to 64 of a-z, A-Z, 0-9, _ - .")
        .read_by(&[Schedule, End])
        .without("required")
        .means("The group that the schedules stand in.")
        .given_by("!Ref ScheduleGroup", "aws_scheduler_schedule_group.meetings.name");

    SCHEDULE_DEAD_LETTERS_ARN: text("the ARN of an SQS queue")
        .read_by(&[Schedule])
        .without("required")
        .means("The queue for what could not be delivered.")
        .given_by("!GetAtt ScheduleDeadLetters.Arn", "aws_sqs_queue.schedule_dead_letters.arn");

    LEAD_MINUTES: whole(2, 1440, "minutes")
        .read_by(&[Schedule])
        .default_to("15")
        .means(
            "How long before the start of a meeting its schedule fires; at least `FLEXIBLE_WINDOW_MINUTES` + 2, \
             for Scheduler is precise to one minute."
        )
        .in_settings();

    FLEXIBLE_WINDOW_MINUTES: whole(0, 1438, "minutes")
        .read_by(&[Schedule])
        .default_to("5")
        .means(
            "Scheduler picks a moment in this window from then on, so that meetings on the hour do not all launch \
             at once. 0 = on the minute."
        )
        .in_settings();

    COMPANION_SCHEDULES: text(
        "group/name patterns such as default/safety-{meeting_id}, separated by commas, each with {meeting_id} in \
         its name, once"
    )
        .read_by(&[Schedule, End])
        .means(
            "Schedules of other programs that belong to a meeting, and so move and go with it: group/name with \
             {meeting_id} in the name, separated by commas. Empty = none. They need `CompanionRoleArn`."
        )
        .more("Only with it may the functions touch such schedules: [The schedules of both](beside-an-existing-system.md#the-schedules-of-both).")
        // A wildcard would widen the policy, and a name without an id would be one schedule for all meetings.
        .with_parameter("CompanionSchedules", Shape::List { piece: "[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]*[{]meeting_id[}][A-Za-z0-9_.-]*", most: None, what: "Patterns", such_as: &["default/safety-{meeting_id}"] })
        .terraform_rules(&[(
            r#"length(var.companion_schedules) == 0 || var.companion_role_arn != """#,
            "companion_schedules needs companion_role_arn, the ARN of the role that they run with.",
        )]);

    GRACE_MINUTES: whole(2, 1440, "minutes")
        .read_by(&[Reconcile])
        .default_to("10")
        .means("No machine younger than this is taken for an orphan.")
        .in_settings();

    MAX_MEETING_HOURS: whole(1, 336, "hours")
        .read_by(&[Reconcile])
        .default_to("8")
        .means(
            "A meeting this long after its time is over, and its machines are ended: the last guard against a \
             surprising bill. At least `LAUNCH_WINDOW_MINUTES`."
        )
        .in_settings();

    // By default the sweep stays behind the shortest lead that there is beside us, five minutes: Scheduler may fire a minute
    // late, and the delivery wants one.
    DUE_MINUTES: whole(0, 1440, "minutes")
        .read_by(&[Reconcile])
        .default_to("3")
        .means(
            "A meeting that begins this soon and has no machines is launched by the sweep. At least two minutes \
             less than the shortest lead of a schedule."
        )
        .more("Scheduler may fire a minute late, and the delivery wants another.")
        .in_settings();

    MAX_REPLACEMENTS: whole(0, 100, "")
        .read_by(&[Reconcile])
        .default_to("2")
        .means("How many machines of one meeting that died are launched again. 0 = none.")
        .in_settings();

    MAX_ENDINGS: whole(0, 10_000, "")
        .read_by(&[Reconcile])
        .default_to("20")
        .means("How many machines one sweep ends; what is left waits for the next, and an alarm says so. 0 = none.")
        .in_settings();

    READY_MINUTES: whole(1, 1440, "minutes")
        .read_by(&[Reconcile])
        .default_to("15")
        .means("A machine that does not serve this long after its launch is reported with its console.")
        .more("It does not serve while the status of the record is short of `HEALTHY`, or a check of EC2 fails.")
        .in_settings();

    RELAUNCH_UNREADY: truth()
        .read_by(&[Reconcile])
        .default_to("false")
        .means("Whether a machine that does not serve is ended, and another launched.")
        .in_settings();

    CLEAN_UP: truth()
        .read_by(&[Reconcile])
        .default_to("false")
        .means("Whether volumes and network interfaces of ours that are attached to nothing are removed.")
        .more("Only those that carry the tag of `PROJECT_TAG`.")
        .in_settings();

    DRY_RUN: truth()
        .read_by(&[Reconcile])
        .default_to("false")
        .means(
            "The function reconcile says what it would do, and does nothing. For the first days beside an \
             existing system."
        )
        .in_settings();
}

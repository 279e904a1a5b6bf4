//! The environment, parsed once into typed values. The only room that reads it.
//!
//! Every problem is reported at once, by the variable's name, with what was expected: a deployment is mended in one go.
//! An empty variable counts as unset, because that is what a template sends for a parameter left blank.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::companion;
use crate::error::{Error, Kind};
use crate::fleet::Limits;
use crate::image::{self, Architecture, SHORT_NAMES, Source};
use crate::launch_schedule::{self, Target};
use crate::launch_template::LaunchTemplate;
use crate::machine::{IDENTITY_TAGS, ImdsTokens, InstanceProfile, Market};
use crate::meeting::TAG_VALUE_LIMIT;
use crate::network::{Network, Pair};
use crate::overrides::{
    self, INSTANCE_TYPES_EXPECTED, VOLUME_SIZE_EXPECTED, VOLUME_SIZES, list, resource_id,
};
use crate::timing::Window;
use crate::user_data::UserData;

/// Every variable that is read, in the order of the table in `docs/settings.md`.
pub const VARIABLES: [&str; 30] = [
    "LAUNCH_TEMPLATE",
    "AMI_ID",
    "AMI_NAME",
    "AMI_OWNER",
    "AMI_ARCH",
    "INSTANCE_TYPE",
    "SECURITY_GROUP_IDS",
    "KEY_NAME",
    "IAM_PROFILE",
    "TABLE_NAME",
    "SUPPORTED_AZS",
    "SUBNET_IDS",
    "VPC_ID",
    "VPC_NAME",
    "PUBLIC_IP",
    "MARKET",
    "PAIR",
    "VOLUME_DEVICE",
    "VOLUME_SIZE_GB",
    "VOLUME_TYPE",
    "VOLUME_IOPS",
    "VOLUME_THROUGHPUT",
    "VOLUME_ENCRYPTED",
    "VOLUME_KMS_KEY_ID",
    "IMDS_TOKENS",
    "USER_DATA",
    "PROJECT_TAG",
    "EXTRA_TAGS",
    "EARLIEST_MINUTES",
    "LAUNCH_WINDOW_MINUTES",
];

/// The same for the function `schedule`.
pub const SCHEDULE_VARIABLES: [&str; 10] = [
    "TABLE_NAME",
    "LAUNCH_FUNCTION_ARN",
    "SCHEDULER_ROLE_ARN",
    "SCHEDULE_GROUP",
    "SCHEDULE_DEAD_LETTERS_ARN",
    "LEAD_MINUTES",
    "FLEXIBLE_WINDOW_MINUTES",
    "EARLIEST_MINUTES",
    "LAUNCH_WINDOW_MINUTES",
    "COMPANION_SCHEDULES",
];

/// The same for the function `end`.
pub const END_VARIABLES: [&str; 3] = ["TABLE_NAME", "SCHEDULE_GROUP", "COMPANION_SCHEDULES"];

/// The same for the function `status`.
pub const STATUS_VARIABLES: [&str; 1] = ["TABLE_NAME"];

/// The same for the function `operate`.
pub const OPERATE_VARIABLES: [&str; 9] = [
    "TABLE_NAME",
    "PROJECT_TAG",
    "LAUNCH_TEMPLATE",
    "AMI_ID",
    "AMI_NAME",
    "AMI_OWNER",
    "AMI_ARCH",
    "INSTANCE_TYPE",
    "SUPPORTED_AZS",
];

/// What `reconcile` reads besides those of `launch`.
pub const RECONCILE_VARIABLES: [&str; 13] = [
    "TABLE_NAME",
    "PROJECT_TAG",
    "GRACE_MINUTES",
    "MAX_MEETING_HOURS",
    "DUE_MINUTES",
    "MAX_REPLACEMENTS",
    "MAX_ENDINGS",
    "READY_MINUTES",
    "RELAUNCH_UNREADY",
    "CLEAN_UP",
    "EARLIEST_MINUTES",
    "LAUNCH_WINDOW_MINUTES",
    "DRY_RUN",
];

/// What must be left of the lead when the flexible window is over: Scheduler is precise to a minute, and the launch and
/// the machines' start want one, too.
const LEFT_OF_THE_LEAD: u64 = 2;

/// By default the sweep stays behind the shortest lead that there is beside us, five minutes: Scheduler may fire a minute
/// late, and the delivery wants one.
const DUE_MINUTES: u64 = 3;

/// EC2's limits: characters of a tag's key, and tags of a machine.
const TAG_KEY_LIMIT: usize = 128;
const TAGS_LIMIT: usize = 50;

/// How tags begin that are written on a machine later, a restart's or an orphan's for one, and how many may be there at
/// once, with some to spare. Configured ones leave them room.
const MARK: &str = "elephant:";
const MARKS: usize = 6;

const TAG_VALUE_EXPECTED: &str = "a tag value of at most 256 characters without *, ? and \\";

/// The zones that the system uses in its home Region.
const HOME_REGION: &str = "us-west-2";
const HOME_ZONES: [&str; 3] = ["us-west-2a", "us-west-2b", "us-west-2c"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub launch_template: Option<LaunchTemplate>,
    pub image: Source,
    /// In order of preference; empty only with a launch template, which has one then.
    pub instance_types: Vec<String>,
    /// Empty only with a launch template.
    pub security_group_ids: Vec<String>,
    pub key_name: Option<String>,
    pub iam_profile: Option<InstanceProfile>,
    pub table_name: String,
    /// As configured; see [`Config::zones`].
    pub supported_azs: Option<Vec<String>>,
    pub network: Network,
    /// `None`: the subnet decides.
    pub public_ip: Option<bool>,
    /// In the order in which they are tried, never empty.
    pub markets: Vec<Market>,
    pub pair: Pair,
    pub volume: Volume,
    /// `None`: image and account decide.
    pub imds_tokens: Option<ImdsTokens>,
    pub user_data: Option<UserData>,
    pub project_tag: String,
    /// None of them is one of [`IDENTITY_TAGS`].
    pub extra_tags: BTreeMap<String, String>,
    /// A delivery outside of it launches nothing.
    pub window: Window,
}

/// What the function `schedule` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleConfig {
    pub table_name: String,
    /// The group that the schedules stand in.
    pub group: String,
    pub target: Target,
    /// How long before the meeting its schedule fires.
    pub lead: Duration,
    /// Scheduler picks a moment in this window from then on; zero: none. Whole minutes.
    pub flexible_window: Duration,
    /// As for `launch`, which launches nothing after it.
    pub launch_window: Duration,
    /// Schedules of other programs that move and go with their meeting.
    pub companions: Vec<companion::Pattern>,
}

/// What the function `end` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndConfig {
    pub table_name: String,
    /// The group that the schedules stand in.
    pub group: String,
    /// Schedules of other programs that go with their meeting.
    pub companions: Vec<companion::Pattern>,
}

/// What the function `status` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusConfig {
    pub table_name: String,
}

/// What the function `operate` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperateConfig {
    pub table_name: String,
    pub project_tag: String,
    /// What `launch` is told of the image, for whoever asks which it is.
    pub launch_template: Option<LaunchTemplate>,
    pub image: image::Source,
    pub instance_types: Vec<String>,
    /// As configured; see [`OperateConfig::zones`].
    pub supported_azs: Option<Vec<String>>,
}

/// What the function `reconcile` is told besides what `launch` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileConfig {
    pub table_name: String,
    pub project_tag: String,
    pub limits: Limits,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `None`: the image's root device, looked up.
    pub device: Option<String>,
    pub size_gb: i32,
    pub volume_type: String,
    pub encrypted: bool,
    /// `None`: EC2's own, as for the next two.
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub kms_key_id: Option<String>,
}

/// Everything that is wrong with the environment, one line a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Problems {
    /// What two readers of one environment found, each problem once.
    pub fn of(one: Option<Problems>, other: Option<Problems>) -> Self {
        let mut all = one.map(|problems| problems.0).unwrap_or_default();
        for problem in other.map(|problems| problems.0).unwrap_or_default() {
            if !all.contains(&problem) {
                all.push(problem);
            }
        }
        Problems(all)
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Error::new(
            Kind::InvalidConfiguration,
            format!("the function's environment is wrong: {problems}"),
            "change the variables named and deliver again",
        )
    }
}

impl Config {
    pub fn from_env() -> Result<Self, Problems> {
        Config::from_variables(variable)
    }

    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment { variable, problems: Vec::new() };

        let mut launch_template = env.launch_template();
        let has_template = env.value("LAUNCH_TEMPLATE").is_some();
        let image = env.image(has_template);
        let instance_types = env.required_without(
            has_template,
            "INSTANCE_TYPE",
            INSTANCE_TYPES_EXPECTED,
            overrides::instance_types,
        );
        let security_group_ids = env.required_without(
            has_template,
            "SECURITY_GROUP_IDS",
            "security group ids, sg-…, separated by commas",
            |text| list(text, |piece| resource_id("sg-", piece)),
        );
        let key_name = env.optional("KEY_NAME", "the name of a key pair, at most 255 characters", |text| {
            (text.chars().count() <= 255).then(|| text.to_owned())
        });
        let iam_profile =
            env.optional("IAM_PROFILE", "an instance profile's name, or its ARN", instance_profile);
        let table_name = env.table_name();
        let supported_azs = env.supported_azs();
        let network = env.network();
        let public_ip = env
            .optional("PUBLIC_IP", "true, false or subnet", |text| match text {
                "subnet" => Some(None),
                text => truth(text).map(Some),
            })
            .flatten();
        let markets = env
            .optional("MARKET", "on-demand, spot or spot-then-on-demand", |text| match text {
                "on-demand" => Some(vec![Market::OnDemand]),
                "spot" => Some(vec![Market::Spot]),
                "spot-then-on-demand" => Some(vec![Market::Spot, Market::OnDemand]),
                _ => None,
            })
            .unwrap_or_else(|| vec![Market::OnDemand]);
        let pair = env
            .optional("PAIR", "any or same-az", |text| match text {
                "any" => Some(Pair::Any),
                "same-az" => Some(Pair::SameAz),
                _ => None,
            })
            .unwrap_or_default();
        let volume = env.volume();
        if let Some(template) = &mut launch_template {
            template.keeps_volume =
                !VARIABLES.iter().any(|name| name.starts_with("VOLUME_") && env.value(name).is_some());
        }
        let imds_tokens = env
            .optional("IMDS_TOKENS", "image, required or optional", |text| match text {
                "image" => Some(None),
                "required" => Some(Some(ImdsTokens::Required)),
                "optional" => Some(Some(ImdsTokens::Optional)),
                _ => None,
            })
            .flatten();
        let user_data = env.optional(
            "USER_DATA",
            "a script (#!…), #cloud-config, another text that cloud-init or EC2Launch knows by its beginning, or base64, of \
             at most 16 KiB",
            UserData::parse,
        );
        let project_tag = env.project_tag();
        let extra_tags = env
            .optional(
                "EXTRA_TAGS",
                "key=value pairs separated by commas, at most 40, keys of at most 128 characters that are none of Name, \
                 MeetingID, Role, Project and begin with neither aws: nor elephant:, values of at most 256",
                extra_tags,
            )
            .unwrap_or_default();
        let window = Window { earliest: env.earliest(), latest: env.launch_window() };
        env.endpoints(&["EC2", "DYNAMODB", "SSM"]);

        match (image, instance_types, security_group_ids) {
            (Some(image), Some(instance_types), Some(security_group_ids)) if env.problems.is_empty() => {
                Ok(Config {
                    launch_template,
                    image,
                    instance_types,
                    security_group_ids,
                    key_name,
                    iam_profile,
                    table_name,
                    supported_azs,
                    network,
                    public_ip,
                    markets,
                    pair,
                    volume,
                    imds_tokens,
                    user_data,
                    project_tag,
                    extra_tags,
                    window,
                })
            }
            _ => Err(Problems(env.problems)),
        }
    }

    /// The launch template's root volume stays as it is: no variable says anything about it.
    pub fn keeps_volume(&self) -> bool {
        self.launch_template.as_ref().is_some_and(|template| template.keeps_volume)
    }

    /// The zones that may be used; `None`: every zone. The system's own three are the default in its home Region, but
    /// not for a network that was named.
    pub fn zones(&self, region: Option<&str>) -> Option<Vec<String>> {
        zones(self.supported_azs.as_ref(), region.filter(|_| self.network == Network::Default))
    }
}

/// Those that are configured, or the system's own three in its home Region.
fn zones(configured: Option<&Vec<String>>, region: Option<&str>) -> Option<Vec<String>> {
    let home = || HOME_ZONES.map(str::to_owned).to_vec();
    configured.cloned().or_else(|| (region == Some(HOME_REGION)).then(home))
}

impl ScheduleConfig {
    pub fn from_env() -> Result<Self, Problems> {
        ScheduleConfig::from_variables(variable)
    }

    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment { variable, problems: Vec::new() };

        let table_name = env.table_name();
        let function = env.required("LAUNCH_FUNCTION_ARN", "the ARN of the function launch", |text| {
            arn("lambda", ":function:", text)
        });
        let role = env.required(
            "SCHEDULER_ROLE_ARN",
            "the ARN of the role with which Scheduler invokes it",
            |text| arn("iam", ":role/", text),
        );
        let group = env.schedule_group();
        let dead_letters = env
            .required("SCHEDULE_DEAD_LETTERS_ARN", "the ARN of an SQS queue", |text| arn("sqs", ":", text));
        let minutes = |least| {
            move |text: &str| text.parse().ok().filter(|minutes| (least..=1440_u64).contains(minutes))
        };
        let lead = env
            .optional("LEAD_MINUTES", "a whole number of minutes from 1 to 1440", minutes(1))
            .unwrap_or(15);
        let window = env
            .optional("FLEXIBLE_WINDOW_MINUTES", "a whole number of minutes from 0 to 1440", minutes(0))
            .unwrap_or(5);
        let launch_window = env.launch_window();
        let companions = env.companions(group.as_deref());
        env.endpoints(&["DYNAMODB", "SCHEDULER"]);
        let earliest = env.earliest().as_secs() / 60;
        if env.problems.is_empty() && lead > earliest {
            env.problems.push(format!(
                "EARLIEST_MINUTES is {earliest}, expected at least LEAD_MINUTES, which is {lead}: a launch that comes earlier \
                 launches nothing"
            ));
        }
        let least = window + LEFT_OF_THE_LEAD;
        if env.problems.is_empty() && lead < least {
            env.problems.push(format!(
                "LEAD_MINUTES is {lead}, expected at least {least}: with FLEXIBLE_WINDOW_MINUTES {window} a meeting could \
                 begin before it is launched (Scheduler is precise to a minute)"
            ));
        }

        match (function, role, group, dead_letters) {
            (Some(function), Some(role), Some(group), Some(dead_letters)) if env.problems.is_empty() => {
                Ok(ScheduleConfig {
                    table_name,
                    group,
                    target: Target { function, role, dead_letters },
                    lead: Duration::from_secs(lead * 60),
                    flexible_window: Duration::from_secs(window * 60),
                    launch_window,
                    companions,
                })
            }
            _ => Err(Problems(env.problems)),
        }
    }
}

impl EndConfig {
    pub fn from_env() -> Result<Self, Problems> {
        EndConfig::from_variables(variable)
    }

    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment { variable, problems: Vec::new() };
        let table_name = env.table_name();
        let group = env.schedule_group();
        let companions = env.companions(group.as_deref());
        env.endpoints(&["EC2", "DYNAMODB", "SCHEDULER"]);
        match group {
            Some(group) if env.problems.is_empty() => Ok(EndConfig { table_name, group, companions }),
            _ => Err(Problems(env.problems)),
        }
    }
}

impl StatusConfig {
    pub fn from_env() -> Result<Self, Problems> {
        StatusConfig::from_variables(variable)
    }

    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment { variable, problems: Vec::new() };
        let table_name = env.table_name();
        env.endpoints(&["EC2", "DYNAMODB"]);
        match env.problems.is_empty() {
            true => Ok(StatusConfig { table_name }),
            false => Err(Problems(env.problems)),
        }
    }
}

impl OperateConfig {
    /// The zones in which a VPC gets subnets, as `launch` uses those of the default VPC; `None`: every zone.
    pub fn zones(&self, region: Option<&str>) -> Option<Vec<String>> {
        zones(self.supported_azs.as_ref(), region)
    }

    pub fn from_env() -> Result<Self, Problems> {
        OperateConfig::from_variables(variable)
    }

    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment { variable, problems: Vec::new() };
        let (table_name, project_tag) = (env.table_name(), env.project_tag());
        let launch_template = env.launch_template();
        // Where nothing says which, whoever asks is told so.
        let image = env.image(true).unwrap_or(Source::Template);
        let types = env.optional("INSTANCE_TYPE", INSTANCE_TYPES_EXPECTED, overrides::instance_types);
        let instance_types = types.unwrap_or_default();
        let supported_azs = env.supported_azs();
        env.endpoints(&["EC2", "DYNAMODB", "SSM"]);
        match env.problems.is_empty() {
            true => Ok(OperateConfig {
                table_name,
                project_tag,
                launch_template,
                image,
                instance_types,
                supported_azs,
            }),
            false => Err(Problems(env.problems)),
        }
    }
}

impl ReconcileConfig {
    pub fn from_env() -> Result<Self, Problems> {
        ReconcileConfig::from_variables(variable)
    }

    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment { variable, problems: Vec::new() };
        let whole = |range: RangeInclusive<u64>| {
            move |text: &str| text.parse().ok().filter(|number| range.contains(number))
        };
        let table_name = env.table_name();
        let project_tag = env.project_tag();
        let grace = env
            .optional("GRACE_MINUTES", "a whole number of minutes from 2 to 1440", whole(2..=1440))
            .unwrap_or(10);
        let longest = env
            .optional("MAX_MEETING_HOURS", "a whole number of hours from 1 to 336", whole(1..=336))
            .unwrap_or(8);
        let due = env
            .optional("DUE_MINUTES", "a whole number of minutes from 0 to 1440", whole(0..=1440))
            .unwrap_or(DUE_MINUTES);
        let replacements =
            env.optional("MAX_REPLACEMENTS", "a whole number from 0 to 100", whole(0..=100)).unwrap_or(2);
        let endings =
            env.optional("MAX_ENDINGS", "a whole number from 0 to 10000", whole(0..=10_000)).unwrap_or(20);
        let ready = env
            .optional("READY_MINUTES", "a whole number of minutes from 1 to 1440", whole(1..=1440))
            .unwrap_or(15);
        let relaunch_unready = env.optional("RELAUNCH_UNREADY", "true or false", truth).unwrap_or(false);
        let clean_up = env.optional("CLEAN_UP", "true or false", truth).unwrap_or(false);
        let window = Window { earliest: env.earliest(), latest: env.launch_window() };
        let dry_run = env.optional("DRY_RUN", "true or false", truth).unwrap_or(false);
        let longest_meeting = Duration::from_secs(longest * 3600);
        if env.problems.is_empty() && longest_meeting < window.latest {
            env.problems.push(format!(
                "MAX_MEETING_HOURS is {longest}, expected at least the {} minutes of LAUNCH_WINDOW_MINUTES: what is launched \
                 then would be ended at once",
                window.latest.as_secs() / 60
            ));
        }
        if !env.problems.is_empty() {
            return Err(Problems(env.problems));
        }
        let limits = Limits {
            grace: Duration::from_secs(grace * 60),
            longest_meeting,
            window,
            due: Duration::from_secs(due * 60),
            replacements: u32::try_from(replacements).unwrap_or(u32::MAX),
            endings: usize::try_from(endings).unwrap_or(usize::MAX),
            ready: Duration::from_secs(ready * 60),
            relaunch_unready,
            clean_up,
        };
        Ok(ReconcileConfig { table_name, project_tag, limits, dry_run })
    }
}

/// What Lambda calls the function that we run in, for its metrics; `local` where Lambda has no say.
pub fn function_name() -> String {
    variable("AWS_LAMBDA_FUNCTION_NAME").filter(|name| !name.is_empty()).unwrap_or_else(|| "local".to_owned())
}

/// How the log is written, as Lambda's logging settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    pub format: LogFormat,
    /// A word such as `WARN`, if somebody says one.
    pub level: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

pub fn logging() -> Logging {
    let said = |name: &str| variable(name).filter(|word| !word.trim().is_empty());
    let json = said("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    Logging {
        format: if json { LogFormat::Json } else { LogFormat::Text },
        // FATAL is Lambda's word for what no library has a level above.
        level: said("AWS_LAMBDA_LOG_LEVEL")
            .or_else(|| said("RUST_LOG"))
            .map(|level| level.replace("FATAL", "ERROR")),
    }
}

/// Where Lambda hands out events, which it says to every function.
pub fn runtime_api() -> Option<String> {
    variable("AWS_LAMBDA_RUNTIME_API").filter(|address| !address.is_empty())
}

pub fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The environment while it is read: collects what is wrong instead of stopping at the first problem.
struct Environment<V> {
    variable: V,
    problems: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Environment<V> {
    fn required<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.value(name);
        if value.is_none() {
            self.problems.push(format!("{name} is not set, expected {expected}"));
        }
        value.and_then(|text| self.parsed(name, &text, expected, parse))
    }

    /// Required, unless a launch template may say it; empty then.
    fn required_without<T: Default>(
        &mut self,
        has_template: bool,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match self.value(name) {
            None if has_template => Some(T::default()),
            _ => self.required(name, expected, parse),
        }
    }

    fn optional<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.value(name).and_then(|text| self.parsed(name, &text, expected, parse))
    }

    fn table_name(&mut self) -> String {
        self.optional("TABLE_NAME", "a table name: 3 to 255 of a-z, A-Z, 0-9, _ - .", table_name)
            .unwrap_or_else(|| "elephant-meetings".to_owned())
    }

    fn schedule_group(&mut self) -> Option<String> {
        self.required(
            "SCHEDULE_GROUP",
            "the name of a schedule group: 1 to 64 of a-z, A-Z, 0-9, _ - .",
            |text| (text.len() <= 64 && text.chars().all(is_plain)).then(|| text.to_owned()),
        )
    }

    /// `group` is that of our own schedules, which nobody else's pattern may mean.
    fn companions(&mut self, group: Option<&str>) -> Vec<companion::Pattern> {
        let expected = "group/name patterns such as default/safety-{meeting_id}, separated by commas, each with {meeting_id} \
                        in its name, once";
        let patterns =
            self.optional("COMPANION_SCHEDULES", expected, |text| list(text, companion::Pattern::parse));
        let patterns = patterns.unwrap_or_default();
        let ours = |pattern: &&companion::Pattern| {
            group.is_some_and(|group| pattern.may_be(group, launch_schedule::PREFIX))
        };
        if let Some(pattern) = patterns.iter().find(ours) {
            self.problems.push(format!(
                "COMPANION_SCHEDULES names {pattern}, expected schedules of others: those of this group that begin with {} are \
                 this function's own (SCHEDULE_GROUP)",
                launch_schedule::PREFIX
            ));
        }
        patterns
    }

    fn project_tag(&mut self) -> String {
        self.optional("PROJECT_TAG", TAG_VALUE_EXPECTED, plain_tag_value)
            .unwrap_or_else(|| "Elephant".to_owned())
    }

    fn supported_azs(&mut self) -> Option<Vec<String>> {
        self.optional("SUPPORTED_AZS", "zone names such as us-west-2a, separated by commas", |text| {
            list(text, zone)
        })
    }

    fn launch_template(&mut self) -> Option<LaunchTemplate> {
        self.optional(
            "LAUNCH_TEMPLATE",
            "a launch template's id, lt-…, or name, if need be with :version, a number, $Latest or $Default",
            LaunchTemplate::parse,
        )
    }

    /// One image, or a name and an owner of which the newest counts.
    fn image(&mut self, has_template: bool) -> Option<Source> {
        let id = self.value("AMI_ID");
        let name = self.optional("AMI_NAME", "an image's name, with * and ? for what may vary", |text| {
            (3..=256).contains(&text.chars().count()).then(|| text.to_owned())
        });
        let owner = self.optional("AMI_OWNER", "an account's id, amazon, aws-marketplace or self", |text| {
            let account = text.len() == 12 && text.chars().all(|c| c.is_ascii_digit());
            (account || ["amazon", "aws-marketplace", "self"].contains(&text)).then(|| text.to_owned())
        });
        let architecture = self.optional("AMI_ARCH", "x86_64 or arm64", |text| match text {
            "x86_64" => Some(Architecture::X86_64),
            "arm64" => Some(Architecture::Arm64),
            _ => None,
        });
        let set = |name: &str| self.value(name).is_some();
        let wrong = match (id.is_some(), set("AMI_NAME"), set("AMI_OWNER")) {
            (false, false, false) if has_template => {
                if architecture.is_some() {
                    self.problems.push(
                        "AMI_ARCH is set, and the launch template names one image: unset AMI_ARCH".to_owned(),
                    );
                }
                return Some(Source::Template);
            }
            (false, false, false) => {
                "AMI_ID is not set, expected an image id, ami-…, or AMI_NAME and AMI_OWNER"
            }
            (true, true, _) => "AMI_ID and AMI_NAME are set, and each names the image: unset one",
            (true, false, true) => "AMI_OWNER is set without AMI_NAME: unset AMI_OWNER",
            (false, false, true) => "AMI_OWNER is set without AMI_NAME: set AMI_NAME, or AMI_ID alone",
            (false, true, false) => {
                "AMI_NAME is set without AMI_OWNER, and anybody may call an image so: set AMI_OWNER to whose it is"
            }
            (true, false, false) | (false, true, true) => "",
        };
        if !wrong.is_empty() {
            self.problems.push(wrong.to_owned());
            return None;
        }
        let Some(text) = id else {
            return Some(Source::Named { pattern: name?, owner: owner?, architecture });
        };
        let expected =
            format!("an image id, ami-…, resolve:ssm:/path, or a name such as {}", SHORT_NAMES.join(", "));
        let source = self.parsed("AMI_ID", &text, &expected, |text| image(text, architecture))?;
        let one = matches!(source, Source::Id(_)) || text.starts_with(RESOLVE);
        if one && architecture.is_some() {
            self.problems.push("AMI_ARCH is set, and AMI_ID names one image: unset AMI_ARCH".to_owned());
        }
        Some(source)
    }

    /// One of three variables, or none.
    fn network(&mut self) -> Network {
        let subnets = self.optional("SUBNET_IDS", "subnet ids, subnet-…, separated by commas", |text| {
            list(text, |piece| resource_id("subnet-", piece)).map(Network::Subnets)
        });
        let vpc = self
            .optional("VPC_ID", "a VPC's id, vpc-…", |text| resource_id("vpc-", text).map(Network::Vpc));
        let name = self
            .optional("VPC_NAME", TAG_VALUE_EXPECTED, |text| plain_tag_value(text).map(Network::VpcNamed));
        let named = [("SUBNET_IDS", &subnets), ("VPC_ID", &vpc), ("VPC_NAME", &name)];
        let set: Vec<&str> =
            named.iter().filter(|(_, network)| network.is_some()).map(|(name, _)| *name).collect();
        if set.len() > 1 {
            self.problems
                .push(format!("{} are set, and each names the network: keep one", set.join(" and ")));
        }
        subnets.or(vpc).or(name).unwrap_or_default()
    }

    fn volume(&mut self) -> Volume {
        let whole = |range: RangeInclusive<i32>| {
            move |text: &str| text.parse().ok().filter(|number| range.contains(number))
        };
        let volume = Volume {
            device: self.optional("VOLUME_DEVICE", "a device name such as /dev/xvda", |text| {
                (text.starts_with("/dev/") || text.starts_with("xvd")).then(|| text.to_owned())
            }),
            size_gb: self.optional("VOLUME_SIZE_GB", VOLUME_SIZE_EXPECTED, whole(VOLUME_SIZES)).unwrap_or(60),
            volume_type: self
                .optional("VOLUME_TYPE", "gp3, gp2 or standard", |text| {
                    ["gp3", "gp2", "standard"].contains(&text).then(|| text.to_owned())
                })
                .unwrap_or_else(|| "gp3".to_owned()),
            iops: self.optional("VOLUME_IOPS", "a whole number from 3000 to 80000", whole(3000..=80_000)),
            throughput: self.optional(
                "VOLUME_THROUGHPUT",
                "a whole number of MiB/s from 125 to 2000",
                whole(125..=2000),
            ),
            encrypted: self.optional("VOLUME_ENCRYPTED", "true or false", truth).unwrap_or(true),
            kms_key_id: self.optional("VOLUME_KMS_KEY_ID", "a KMS key's id, alias/… or ARN", kms_key),
        };
        for (name, set) in
            [("VOLUME_IOPS", volume.iops.is_some()), ("VOLUME_THROUGHPUT", volume.throughput.is_some())]
        {
            if set && volume.volume_type != "gp3" {
                let of = &volume.volume_type;
                self.problems
                    .push(format!("{name} is set, and only VOLUME_TYPE gp3 has it; it is {of}: unset one"));
            }
        }
        let largest = match volume.volume_type.as_str() {
            "gp3" => 65_536,
            "gp2" => 16_384,
            _ => 1024,
        };
        if self.problems.is_empty() && volume.size_gb > largest {
            self.problems.push(format!(
                "VOLUME_SIZE_GB is {}, expected at most {largest}, the largest of VOLUME_TYPE {}: lower it, or set that to gp3",
                volume.size_gb, volume.volume_type
            ));
        }
        // Beyond what comes with every gp3 volume EC2 gives 500 operations a second for each GiB.
        if let Some(iops) =
            volume.iops.filter(|iops| self.problems.is_empty() && *iops > (500 * volume.size_gb).max(3000))
        {
            self.problems.push(format!(
                "VOLUME_IOPS is {iops}, and {} GiB allow at most {}: raise VOLUME_SIZE_GB to {} or lower it",
                volume.size_gb,
                (500 * volume.size_gb).max(3000),
                (iops + 499) / 500
            ));
        }
        // EC2 gives a gp3 volume a quarter of a MiB/s for each of its operations a second.
        if let Some(throughput) = volume.throughput.filter(|t| 4 * t > volume.iops.unwrap_or(3000)) {
            let iops = volume.iops.unwrap_or(3000);
            self.problems.push(format!(
                "VOLUME_THROUGHPUT is {throughput}, and {iops} IOPS allow at most {}: raise VOLUME_IOPS to {} or lower it",
                iops / 4,
                4 * throughput
            ));
        }
        if let Some(there) = volume.kms_key_id.as_deref().and_then(region_of)
            && let Some(here) = self.value("AWS_REGION").or_else(|| self.value("AWS_DEFAULT_REGION"))
            && here != there
        {
            self.problems.push(format!(
                "VOLUME_KMS_KEY_ID is a key of {there}, expected one of {here}, where machines are launched: with a key of another \
                 Region they die while pending"
            ));
        }
        if volume.kms_key_id.is_some() && !volume.encrypted {
            self.problems.push(
                "VOLUME_KMS_KEY_ID is set, and VOLUME_ENCRYPTED is false: unset one of the two".to_owned(),
            );
        }
        volume
    }

    fn launch_window(&mut self) -> Duration {
        let minutes =
            self.optional("LAUNCH_WINDOW_MINUTES", "a whole number of minutes from 0 to 10080", |text| {
                text.parse().ok().filter(|minutes| *minutes <= 10_080_u64)
            });
        Duration::from_secs(minutes.unwrap_or(120) * 60)
    }

    fn earliest(&mut self) -> Duration {
        let minutes =
            self.optional("EARLIEST_MINUTES", "a whole number of minutes from 1 to 10080", |text| {
                text.parse().ok().filter(|minutes| (1..=10_080_u64).contains(minutes))
            });
        Duration::from_secs(minutes.unwrap_or(1440) * 60)
    }

    /// Where the SDK sends its requests. It panics at an empty one, and repeats its requests in vain at one without a scheme,
    /// so we look first. What stands there is not shown: some put a password into it.
    fn endpoints(&mut self, services: &[&str]) {
        let of_a_service = services.iter().map(|service| format!("AWS_ENDPOINT_URL_{service}"));
        for name in std::iter::once("AWS_ENDPOINT_URL".to_owned()).chain(of_a_service) {
            let wrong = match (self.variable)(&name) {
                Some(value) if value.trim().is_empty() => "set and empty",
                Some(value) if !is_endpoint(&value) => "no such address",
                _ => continue,
            };
            self.problems.push(format!(
                "{name} is {wrong}, expected http:// or https://, a host and, if need be, a port and a path, without a \
                 password (or unset it)"
            ));
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        let text = (self.variable)(name)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        text: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(text);
        if value.is_none() {
            self.problems.push(format!("{name} {}, expected {expected}", shown(name, text)));
        }
        value
    }
}

/// What EC2's own launch templates call a parameter of SSM that holds an image's id.
const RESOLVE: &str = "resolve:ssm:";

/// How much of a value is shown that is none; a longer one is not what it should be, a key for example.
const SHOWN: usize = 100;

/// A value that will not do, if it may be shown: user data may hold secrets.
pub fn shown(name: &str, text: &str) -> String {
    match text.chars().count() {
        length if name == "USER_DATA" || length > SHOWN || text.contains(char::is_control) => {
            format!("has {length} characters, which are not shown")
        }
        _ => format!("is {text:?}"),
    }
}

/// `https://host:port/path`. The SDK takes whatever an URI may be, and fails at most of that later.
fn is_endpoint(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, "443"),
    };
    let host_is_right = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
        Some(address) => address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.chars().all(is_plain),
    };
    let port_is_right =
        port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    host_is_right && port_is_right && path.chars().all(|c| is_plain(c) || "~/%".contains(c))
}

fn image(text: &str, architecture: Option<Architecture>) -> Option<Source> {
    if let Some(name) = text.strip_prefix(RESOLVE) {
        let (path, version) = name.split_once(':').unwrap_or((name, "latest"));
        let plain = |text: &str| text.chars().all(|c| is_plain(c) || c == '/');
        let whole = path.len() > 1 && path.len() <= 1011 && plain(path) && !version.is_empty();
        return (whole && version.chars().all(is_plain)).then(|| Source::Parameter(name.to_owned()));
    }
    overrides::image_id(text)
        .map(Source::Id)
        .or_else(|| image::short_name(text, architecture.unwrap_or_default()))
}

fn zone(text: &str) -> Option<String> {
    text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-').then(|| text.to_owned())
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// `k=v,…`. An empty value is one, an empty key is none.
fn extra_tags(text: &str) -> Option<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for piece in text.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
        let (key, value) = piece.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        let lower = key.to_ascii_lowercase();
        let ours = IDENTITY_TAGS.contains(&key) || lower.starts_with("aws:") || lower.starts_with(MARK);
        let fits = key.chars().count() <= TAG_KEY_LIMIT && value.chars().count() <= TAG_VALUE_LIMIT;
        if key.is_empty() || ours || !fits || tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return None;
        }
    }
    (!tags.is_empty() && tags.len() + IDENTITY_TAGS.len() + MARKS <= TAGS_LIMIT).then_some(tags)
}

/// One that things are found by: EC2's filters take * and ? for any characters, and a backslash before them.
fn plain_tag_value(text: &str) -> Option<String> {
    let fits = text.chars().count() <= TAG_VALUE_LIMIT && !text.contains(['*', '?', '\\']);
    fits.then(|| text.to_owned())
}

fn kms_key(text: &str) -> Option<String> {
    let id =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c));
    match text.strip_prefix("arn:") {
        Some(_) => arn("kms", ":key/", text).or_else(|| arn("kms", ":alias/", text)),
        None => id(text).then(|| text.to_owned()),
    }
}

fn instance_profile(text: &str) -> Option<InstanceProfile> {
    if text.starts_with("arn:") {
        return text.contains(":instance-profile/").then(|| InstanceProfile::Arn(text.to_owned()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    (text.len() <= 128 && text.chars().all(allowed)).then(|| InstanceProfile::Name(text.to_owned()))
}

fn table_name(text: &str) -> Option<String> {
    ((3..=255).contains(&text.len()) && text.chars().all(is_plain)).then(|| text.to_owned())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

/// The Region that an ARN names.
fn region_of(arn: &str) -> Option<&str> {
    arn.starts_with("arn:").then(|| arn.split(':').nth(3)).flatten().filter(|region| !region.is_empty())
}

/// `arn:partition:service:region:account:…`, with a word that tells what of the service it names.
fn arn(service: &str, names: &str, text: &str) -> Option<String> {
    let pieces: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, named, _, account, resource] = pieces[..] else { return None };
    let whole = partition.starts_with("aws") && named == service && !resource.is_empty();
    let account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
    (whole && account && text.contains(names) && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

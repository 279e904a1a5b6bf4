//! The environment, parsed once into typed values. The caller passes it as a function from names to values.
//!
//! All problems are reported at once, each with the variable's name and what was expected, so one correction is enough
//! for a deployment. An empty variable counts as unset, because a template sends that for a blank parameter.
//!
//! Most settings may come as a variable or as a pair of the variable `SETTINGS`.

mod pairs;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use crate::companion;
use crate::error::{Error, Kind};
use crate::fleet::Limits;
use crate::hardware::VOLUME_TYPES;
use crate::image::{self, Architecture, SHORT_NAMES, Source};
use crate::launch_schedule::{self, Target};
use crate::launch_template::LaunchTemplate;
use crate::machine::{IDENTITY_TAGS, ImdsTokens, InstanceProfile, Market};
use crate::meeting::TAG_VALUE_LIMIT;
use crate::network::{Network, Pair};
use crate::overrides::{self, list, resource_id};
use crate::settings::{self, Function, Setting};
use crate::timing::Window;
use crate::user_data::UserData;

use pairs::Pairs;

/// The minutes of the lead that must be left when the flexible window is over: Scheduler is precise to a minute, and
/// the launch and the machines' start need another.
const LEFT_OF_THE_LEAD: u64 = 2;

/// EC2's limits: characters of a tag's key, and tags of a machine.
const TAG_KEY_LIMIT: usize = 128;
const TAGS_LIMIT: usize = 50;

/// The beginning of the keys of tags that we write on a machine later, for example for a restart or an orphan; and how
/// many such tags a machine may have at once, with some to spare. Configured tags must leave room for them.
const MARK: &str = "elephant:";
const MARKS: usize = 6;

/// Where Lambda tells a function the handler that it was made with:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
const HANDLER: &str = "_HANDLER";

/// The zones that the system uses in its home Region.
const HOME_REGION: &str = "us-west-2";
const HOME_ZONES: [&str; 3] = ["us-west-2a", "us-west-2b", "us-west-2c"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub launch_template: Option<LaunchTemplate>,
    pub image: Source,
    /// In order of preference. Empty only with a launch template, which then has a type.
    pub instance_types: Vec<String>,
    /// Empty only with a launch template.
    pub security_group_ids: Vec<String>,
    pub key_name: Option<String>,
    pub iam_profile: Option<InstanceProfile>,
    pub table_name: String,
    /// The zones as configured; see [`Config::zones`].
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
    /// A delivery outside the window launches nothing.
    pub window: Window,
}

/// The configuration of the function `schedule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleConfig {
    pub table_name: String,
    /// The schedule group of our schedules.
    pub group: String,
    pub target: Target,
    /// How long before the meeting its schedule fires.
    pub lead: Duration,
    /// Scheduler fires at some moment in this window, which begins at the lead. Whole minutes; zero: no window.
    pub flexible_window: Duration,
    /// As for `launch`, which launches nothing after this window.
    pub launch_window: Duration,
    /// Schedules of other programs that are moved and deleted with their meeting.
    pub companions: Vec<companion::Pattern>,
}

/// The configuration of the function `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndConfig {
    pub table_name: String,
    /// The schedule group of our schedules.
    pub group: String,
    /// Schedules of other programs that are deleted with their meeting.
    pub companions: Vec<companion::Pattern>,
}

/// The configuration of the function `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusConfig {
    pub table_name: String,
}

/// The configuration of the function `operate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperateConfig {
    pub table_name: String,
    pub project_tag: String,
    /// The image settings of `launch`, for the request that asks which image is the latest.
    pub launch_template: Option<LaunchTemplate>,
    pub image: image::Source,
    pub instance_types: Vec<String>,
    /// The zones as configured; see [`OperateConfig::zones`].
    pub supported_azs: Option<Vec<String>>,
}

/// The configuration of the function `reconcile`, besides that of `launch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileConfig {
    pub table_name: String,
    pub project_tag: String,
    pub limits: Limits,
    /// The sweep only says what it would do.
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `None`: the image's root device, looked up.
    pub device: Option<String>,
    pub size_gb: i32,
    pub volume_type: String,
    pub encrypted: bool,
    /// `None`: EC2's default; the same for the next two.
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub kms_key_id: Option<String>,
}

/// Everything that is wrong with the environment, one line for each variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Problems {
    /// The problems that two readers of one environment found, each problem once.
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
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment::of(variable);
        let launch_template = env.launch_template();
        let has_template = env.value(&settings::LAUNCH_TEMPLATE).is_some();
        // The order of the fields is the order in which problems are reported.
        let config = Config {
            launch_template: launch_template
                .map(|template| LaunchTemplate { keeps_volume: env.says_nothing_of_volumes(), ..template }),
            image: env.image(has_template).unwrap_or(Source::Template),
            instance_types: env.required_without(
                has_template,
                &settings::INSTANCE_TYPE,
                overrides::instance_types,
            ),
            security_group_ids: env.required_without(
                has_template,
                &settings::SECURITY_GROUP_IDS,
                security_groups,
            ),
            key_name: env.optional(&settings::KEY_NAME, key_name),
            iam_profile: env.optional(&settings::IAM_PROFILE, instance_profile),
            table_name: env.table_name(),
            supported_azs: env.supported_azs(),
            network: env.network(),
            public_ip: env.or_default(&settings::PUBLIC_IP, public_ip),
            markets: env.or_default(&settings::MARKET, markets),
            pair: env.or_default(&settings::PAIR, pair),
            volume: env.volume(),
            imds_tokens: env.or_default(&settings::IMDS_TOKENS, imds_tokens),
            user_data: env.optional(&settings::USER_DATA, UserData::parse),
            project_tag: env.project_tag(),
            extra_tags: env.optional(&settings::EXTRA_TAGS, extra_tags).unwrap_or_default(),
            window: env.window(),
        };
        env.endpoints(&["EC2", "DYNAMODB", "SSM"]);
        env.right(config)
    }

    /// Whether the launch template's root volume stays as it is, because no variable says anything about it.
    pub fn keeps_volume(&self) -> bool {
        self.launch_template.as_ref().is_some_and(|template| template.keeps_volume)
    }

    /// The zones that may be used; `None`: every zone. The system's own three are the default in its home Region, but
    /// not for a network that was named.
    pub fn zones(&self, region: Option<&str>) -> Option<Vec<String>> {
        zones(self.supported_azs.as_ref(), region.filter(|_| self.network == Network::Default))
    }
}

/// The configured zones, or the system's own three in its home Region.
fn zones(configured: Option<&Vec<String>>, region: Option<&str>) -> Option<Vec<String>> {
    let home = || HOME_ZONES.map(str::to_owned).to_vec();
    configured.cloned().or_else(|| (region == Some(HOME_REGION)).then(home))
}

impl ScheduleConfig {
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment::of(variable);
        let table_name = env.table_name();
        let function = env.required(&settings::LAUNCH_FUNCTION_ARN, |text| arn("lambda", ":function:", text));
        let role = env.required(&settings::SCHEDULER_ROLE_ARN, |text| arn("iam", ":role/", text));
        let group = env.schedule_group();
        let dead_letters = env.required(&settings::SCHEDULE_DEAD_LETTERS_ARN, |text| arn("sqs", ":", text));
        let lead = env.whole(&settings::LEAD_MINUTES);
        let flexible_window = env.whole(&settings::FLEXIBLE_WINDOW_MINUTES);
        let config = ScheduleConfig {
            table_name,
            target: Target { function, role, dead_letters },
            lead: Duration::from_secs(lead * 60),
            flexible_window: Duration::from_secs(flexible_window * 60),
            launch_window: env.minutes(&settings::LAUNCH_WINDOW_MINUTES),
            companions: env.companions(&group),
            group,
        };
        env.endpoints(&["DYNAMODB", "SCHEDULER"]);
        env.lead_fits(lead, flexible_window);
        env.right(config)
    }
}

impl EndConfig {
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment::of(variable);
        let table_name = env.table_name();
        let group = env.schedule_group();
        let config = EndConfig { table_name, companions: env.companions(&group), group };
        env.endpoints(&["EC2", "DYNAMODB", "SCHEDULER"]);
        env.right(config)
    }
}

impl StatusConfig {
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment::of(variable);
        let config = StatusConfig { table_name: env.table_name() };
        env.endpoints(&["EC2", "DYNAMODB"]);
        env.right(config)
    }
}

impl OperateConfig {
    /// The zones in which a VPC gets subnets, as `launch` uses those of the default VPC; `None`: every zone.
    pub fn zones(&self, region: Option<&str>) -> Option<Vec<String>> {
        zones(self.supported_azs.as_ref(), region)
    }

    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment::of(variable);
        let config = OperateConfig {
            table_name: env.table_name(),
            project_tag: env.project_tag(),
            launch_template: env.launch_template(),
            // If no variable names an image, a request for the latest image is answered with that problem.
            image: env.image(true).unwrap_or(Source::Template),
            instance_types: env
                .optional(&settings::INSTANCE_TYPE, overrides::instance_types)
                .unwrap_or_default(),
            supported_azs: env.supported_azs(),
        };
        env.endpoints(&["EC2", "DYNAMODB", "SSM"]);
        env.right(config)
    }
}

impl ReconcileConfig {
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Environment::of(variable);
        let table_name = env.table_name();
        let project_tag = env.project_tag();
        let grace = env.minutes(&settings::GRACE_MINUTES);
        let longest = env.whole(&settings::MAX_MEETING_HOURS);
        let longest_meeting = Duration::from_secs(longest * 3600);
        // The order of the fields is the order in which problems are reported.
        let limits = Limits {
            grace,
            longest_meeting,
            due: env.minutes(&settings::DUE_MINUTES),
            replacements: u32::try_from(env.whole(&settings::MAX_REPLACEMENTS)).unwrap_or(u32::MAX),
            endings: usize::try_from(env.whole(&settings::MAX_ENDINGS)).unwrap_or(usize::MAX),
            ready: env.minutes(&settings::READY_MINUTES),
            relaunch_unready: env.truth(&settings::RELAUNCH_UNREADY),
            clean_up: env.truth(&settings::CLEAN_UP),
            window: env.window(),
        };
        let dry_run = env.truth(&settings::DRY_RUN);
        if env.problems.is_empty() && longest_meeting < limits.window.latest {
            env.problems.push(format!(
                "MAX_MEETING_HOURS is {longest}, expected at least the {} minutes of LAUNCH_WINDOW_MINUTES: what is launched \
                 then would be ended at once",
                limits.window.latest.as_secs() / 60
            ));
        }
        env.right(ReconcileConfig { table_name, project_tag, limits, dry_run })
    }
}

/// The function that this process runs, as its handler says. Without one, and with the one that `cargo lambda deploy`
/// gives to every function, it is `launch`.
pub fn function(variable: impl Fn(&str) -> Option<String>) -> Result<Function, Problems> {
    let handler = variable(HANDLER).unwrap_or_default();
    if handler.is_empty() || handler == "bootstrap" {
        return Ok(Function::Launch);
    }
    Function::ALL.into_iter().find(|function| function.name() == handler).ok_or_else(|| {
        let known = Function::ALL.map(Function::name).join(", ");
        Problems(vec![format!(
            "the handler of the function ({HANDLER}) is {handler:?}, expected one of {known}"
        )])
    })
}

/// Lambda's name of the function that we run in, for its metrics; `local` outside Lambda.
pub fn function_name(variable: impl Fn(&str) -> Option<String>) -> String {
    variable("AWS_LAMBDA_FUNCTION_NAME").filter(|name| !name.is_empty()).unwrap_or_else(|| "local".to_owned())
}

/// How the log is written, as Lambda's logging settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    pub format: LogFormat,
    /// A word such as `WARN`, if a variable has one.
    pub level: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

pub fn logging(variable: impl Fn(&str) -> Option<String>) -> Logging {
    let said = |name: &str| variable(name).filter(|word| !word.trim().is_empty());
    let json = said("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    Logging {
        format: if json { LogFormat::Json } else { LogFormat::Text },
        // Lambda's level FATAL is above every level that the libraries have.
        level: said("AWS_LAMBDA_LOG_LEVEL")
            .or_else(|| said("RUST_LOG"))
            .map(|level| level.replace("FATAL", "ERROR")),
    }
}

/// The address at which Lambda hands out events. Lambda tells it to every function.
pub fn runtime_api(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    variable("AWS_LAMBDA_RUNTIME_API").filter(|address| !address.is_empty())
}

/// The environment while it is read. It collects all problems instead of stopping at the first.
struct Environment<V> {
    variable: V,
    /// Of `SETTINGS`. A variable that is set by itself goes before them.
    pairs: Pairs,
    problems: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Environment<V> {
    fn of(variable: V) -> Self {
        let (pairs, problems) = pairs::read(&variable);
        Environment { variable, pairs, problems }
    }

    /// The value, if there were no problems.
    fn right<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(value) } else { Err(Problems(self.problems)) }
    }

    /// A missing or invalid value is reported as a problem, and an empty one is returned.
    fn required<T: Default>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Option<T>) -> T {
        let value = self.value(setting);
        if value.is_none() {
            self.problems.push(format!("{} is not set, expected {}", setting.name, setting.expected()));
        }
        value.and_then(|text| self.parsed(setting, &text, &setting.expected(), parse)).unwrap_or_default()
    }

    /// As `required`, but the value may be missing, and is then empty, if a launch template may set it.
    fn required_without<T: Default>(
        &mut self,
        has_template: bool,
        setting: &Setting,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        match self.value(setting) {
            None if has_template => T::default(),
            _ => self.required(setting, parse),
        }
    }

    fn optional<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.value(setting).and_then(|text| self.parsed(setting, &text, &setting.expected(), parse))
    }

    /// In place of an invalid value the default is returned, and the problem is reported anyway.
    fn or_default<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Option<T>) -> T {
        let value = self.optional(setting, &parse);
        value.or_else(|| parse(setting.default_value())).expect("a default is a value: a test asks each row")
    }

    fn whole(&mut self, setting: &Setting) -> u64 {
        self.or_default(setting, |text| setting.whole_number(text))
    }

    fn optional_whole(&mut self, setting: &Setting) -> Option<u64> {
        self.optional(setting, |text| setting.whole_number(text))
    }

    fn minutes(&mut self, setting: &Setting) -> Duration {
        Duration::from_secs(self.whole(setting) * 60)
    }

    fn truth(&mut self, setting: &Setting) -> bool {
        self.or_default(setting, truth)
    }

    fn word(&mut self, setting: &Setting) -> String {
        self.or_default(setting, |text| setting.has_word(text).then(|| text.to_owned()))
    }

    fn table_name(&mut self) -> String {
        self.or_default(&settings::TABLE_NAME, table_name)
    }

    fn schedule_group(&mut self) -> String {
        self.required(&settings::SCHEDULE_GROUP, |text| {
            (text.len() <= 64 && text.chars().all(is_plain)).then(|| text.to_owned())
        })
    }

    /// `group`: that of our own schedules, which no companion's pattern may match; empty if it is not known.
    fn companions(&mut self, group: &str) -> Vec<companion::Pattern> {
        let patterns =
            self.optional(&settings::COMPANION_SCHEDULES, |text| list(text, companion::Pattern::parse));
        let patterns = patterns.unwrap_or_default();
        let ours = |pattern: &&companion::Pattern| {
            !group.is_empty() && pattern.may_be(group, launch_schedule::PREFIX)
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
        self.or_default(&settings::PROJECT_TAG, plain_tag_value)
    }

    fn supported_azs(&mut self) -> Option<Vec<String>> {
        self.optional(&settings::SUPPORTED_AZS, |text| list(text, zone))
    }

    fn launch_template(&mut self) -> Option<LaunchTemplate> {
        self.optional(&settings::LAUNCH_TEMPLATE, LaunchTemplate::parse)
    }

    fn says_nothing_of_volumes(&self) -> bool {
        !settings::ALL
            .iter()
            .any(|setting| setting.name.starts_with("VOLUME_") && self.value(setting).is_some())
    }

    /// A meeting is launched before it begins, and never earlier than a launch is allowed.
    fn lead_fits(&mut self, lead: u64, flexible_window: u64) {
        let earliest = self.whole(&settings::EARLIEST_MINUTES);
        if self.problems.is_empty() && lead > earliest {
            self.problems.push(format!(
                "EARLIEST_MINUTES is {earliest}, expected at least LEAD_MINUTES, which is {lead}: a launch that comes earlier \
                 launches nothing"
            ));
        }
        let least = flexible_window + LEFT_OF_THE_LEAD;
        if self.problems.is_empty() && lead < least {
            self.problems.push(format!(
                "LEAD_MINUTES is {lead}, expected at least {least}: with FLEXIBLE_WINDOW_MINUTES {flexible_window} a meeting could \
                 begin before it is launched (Scheduler is precise to a minute)"
            ));
        }
    }

    /// One image by its id, or a name and an owner, for the newest image.
    fn image(&mut self, has_template: bool) -> Option<Source> {
        let id = self.value(&settings::AMI_ID);
        let name = self.optional(&settings::AMI_NAME, |text| {
            (3..=256).contains(&text.chars().count()).then(|| text.to_owned())
        });
        let owner = self.optional(&settings::AMI_OWNER, |text| {
            let account = text.len() == 12 && text.chars().all(|c| c.is_ascii_digit());
            (account || ["amazon", "aws-marketplace", "self"].contains(&text)).then(|| text.to_owned())
        });
        let architecture = self.optional(&settings::AMI_ARCH, |text| match text {
            "x86_64" => Some(Architecture::X86_64),
            "arm64" => Some(Architecture::Arm64),
            _ => None,
        });
        let set = |setting: &Setting| self.value(setting).is_some();
        let wrong = match (id.is_some(), set(&settings::AMI_NAME), set(&settings::AMI_OWNER)) {
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
        let source = self.parsed(&settings::AMI_ID, &text, &expected, |text| image(text, architecture))?;
        let one = matches!(source, Source::Id(_)) || text.starts_with(RESOLVE);
        if one && architecture.is_some() {
            self.problems.push("AMI_ARCH is set, and AMI_ID names one image: unset AMI_ARCH".to_owned());
        }
        Some(source)
    }

    /// The network, or the default. Subnets go before the VPC in which they lie.
    fn network(&mut self) -> Network {
        let subnets = self.optional(&settings::SUBNET_IDS, |text| {
            list(text, |piece| resource_id("subnet-", piece)).map(Network::Subnets)
        });
        let vpc = self.optional(&settings::VPC_ID, |text| resource_id("vpc-", text).map(Network::Vpc));
        let name = self.optional(&settings::VPC_NAME, |text| plain_tag_value(text).map(Network::VpcNamed));
        for (other, set) in [("SUBNET_IDS", subnets.is_some()), ("VPC_ID", vpc.is_some())] {
            if set && name.is_some() {
                self.problems
                    .push(format!("{other} and VPC_NAME are set, and each names the network: keep one"));
            }
        }
        subnets.or(vpc).or(name).unwrap_or_default()
    }

    fn volume(&mut self) -> Volume {
        let number = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        let volume = Volume {
            device: self.optional(&settings::VOLUME_DEVICE, |text| {
                (text.starts_with("/dev/") || text.starts_with("xvd")).then(|| text.to_owned())
            }),
            size_gb: number(self.whole(&settings::VOLUME_SIZE_GB)),
            volume_type: self.word(&settings::VOLUME_TYPE),
            iops: self.optional_whole(&settings::VOLUME_IOPS).map(number),
            throughput: self.optional_whole(&settings::VOLUME_THROUGHPUT).map(number),
            encrypted: self.truth(&settings::VOLUME_ENCRYPTED),
            kms_key_id: self.optional(&settings::VOLUME_KMS_KEY_ID, kms_key),
        };
        self.performance_is_of_gp3(&volume);
        self.size_is_of_its_type(&volume);
        self.performance_is_of_its_size(&volume);
        self.key_can_be_used(&volume);
        volume
    }

    fn performance_is_of_gp3(&mut self, volume: &Volume) {
        for (name, set) in
            [("VOLUME_IOPS", volume.iops.is_some()), ("VOLUME_THROUGHPUT", volume.throughput.is_some())]
        {
            if set && volume.volume_type != "gp3" {
                let of = &volume.volume_type;
                self.problems
                    .push(format!("{name} is set, and only VOLUME_TYPE gp3 has it; it is {of}: unset one"));
            }
        }
    }

    fn size_is_of_its_type(&mut self, volume: &Volume) {
        let Some(of) = VOLUME_TYPES.iter().find(|known| known.name == volume.volume_type) else { return };
        let largest = *of.sizes.end();
        if self.problems.is_empty() && volume.size_gb > largest {
            self.problems.push(format!(
                "VOLUME_SIZE_GB is {}, expected at most {largest}, the largest of VOLUME_TYPE {}: lower it, or set that to gp3",
                volume.size_gb, volume.volume_type
            ));
        }
    }

    fn performance_is_of_its_size(&mut self, volume: &Volume) {
        // EC2 gives 500 operations a second for each GiB, but always the 3000 that come with every gp3 volume.
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
        // EC2 allows a gp3 volume a quarter of a MiB/s for each of its operations a second.
        if let Some(throughput) = volume.throughput.filter(|t| 4 * t > volume.iops.unwrap_or(3000)) {
            let iops = volume.iops.unwrap_or(3000);
            self.problems.push(format!(
                "VOLUME_THROUGHPUT is {throughput}, and {iops} IOPS allow at most {}: raise VOLUME_IOPS to {} or lower it",
                iops / 4,
                4 * throughput
            ));
        }
    }

    fn key_can_be_used(&mut self, volume: &Volume) {
        if let Some(there) = volume.kms_key_id.as_deref().and_then(region_of)
            && let Some(here) = self.region()
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
    }

    /// The window outside of which a delivery launches nothing.
    fn window(&mut self) -> Window {
        Window {
            earliest: self.minutes(&settings::EARLIEST_MINUTES),
            latest: self.minutes(&settings::LAUNCH_WINDOW_MINUTES),
        }
    }

    /// The endpoints to which the SDK sends its requests. The SDK panics at an empty endpoint, and repeats its requests
    /// in vain at one without a scheme, so we check them first. Their values are not shown, because some people put a
    /// password into them.
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

    fn value(&self, setting: &Setting) -> Option<String> {
        trimmed(&self.variable, setting.name).or_else(|| self.pairs.get(setting.name).cloned())
    }

    fn region(&self) -> Option<String> {
        ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .into_iter()
            .filter_map(|name| (self.variable)(name))
            .map(|region| region.trim().to_owned())
            .find(|region| !region.is_empty())
    }

    fn parsed<T>(
        &mut self,
        setting: &Setting,
        text: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(text);
        if value.is_none() {
            self.problems.push(wrong(setting.name, text, expected));
        }
        value
    }
}

fn wrong(name: &str, text: &str, expected: &str) -> String {
    format!("{name} {}, expected {expected}", shown(name, text))
}

/// The value of a variable, unless it is empty.
fn trimmed(variable: impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The prefix with which EC2's own launch templates name a parameter of SSM that holds an image's id.
const RESOLVE: &str = "resolve:ssm:";

/// The longest invalid value that is shown. A longer value is probably something else, such as a key.
const SHOWN: usize = 100;

/// The words for an invalid value in a problem. User data may hold secrets, so its value is not shown.
pub fn shown(name: &str, text: &str) -> String {
    match text.chars().count() {
        length if name == "USER_DATA" || length > SHOWN || text.contains(char::is_control) => {
            format!("has {length} characters, which are not shown")
        }
        _ => format!("is {text:?}"),
    }
}

/// Whether a text is `https://host:port/path`. The SDK accepts every valid URI, and fails at most of them later.
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

fn security_groups(text: &str) -> Option<Vec<String>> {
    list(text, |piece| resource_id("sg-", piece))
}

fn key_name(text: &str) -> Option<String> {
    (text.chars().count() <= 255).then(|| text.to_owned())
}

/// `Some(None)`: the subnet decides.
fn public_ip(text: &str) -> Option<Option<bool>> {
    match text {
        "subnet" => Some(None),
        text => truth(text).map(Some),
    }
}

fn markets(text: &str) -> Option<Vec<Market>> {
    match text {
        "on-demand" => Some(vec![Market::OnDemand]),
        "spot" => Some(vec![Market::Spot]),
        "spot-then-on-demand" => Some(vec![Market::Spot, Market::OnDemand]),
        _ => None,
    }
}

fn pair(text: &str) -> Option<Pair> {
    match text {
        "any" => Some(Pair::Any),
        "same-az" => Some(Pair::SameAz),
        _ => None,
    }
}

/// `Some(None)`: image and account decide.
fn imds_tokens(text: &str) -> Option<Option<ImdsTokens>> {
    match text {
        "image" => Some(None),
        "required" => Some(Some(ImdsTokens::Required)),
        "optional" => Some(Some(ImdsTokens::Optional)),
        _ => None,
    }
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

/// Tags as `k=v,…`. A value may be empty, a key may not.
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

/// A tag's value that EC2's filters find literally: in them `*` and `?` are wildcards, and a backslash an escape.
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

/// `arn:partition:service:region:account:…`, and contains `names`, the word for the kind of resource.
fn arn(service: &str, names: &str, text: &str) -> Option<String> {
    let pieces: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, named, _, account, resource] = pieces[..] else { return None };
    let whole = partition.starts_with("aws") && named == service && !resource.is_empty();
    let account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
    (whole && account && text.contains(names) && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

//! The verbs as a library: launch a meeting's machines, wait for them, make images of them, give them disks, and end
//! them, from any Rust program and without Lambda.
//!
//! A [`Client`] has the same configuration as the functions, by the same variables (`docs/settings.md`), and finds
//! Region, credentials and endpoints where every AWS SDK does. It does exactly what the functions do, with the same
//! attempts, leases and names, so programs and functions may work on one meeting at the same time.
//!
//! Times are [`Timestamp`]s in UTC, sizes are whole GiB, throughput is in MiB/s, states and zones are EC2's own words.
//! Every error is an [`Error`]: its [`kind`](Error::kind) is the stable name, [`Kind::is_retryable`] says whether to
//! ask again, and [`Error::chain`] tells everything in one line, with AWS's answer and what to do.
//!
//! The futures are not `Send`, because Lambda gives a function one event at a time: use one client for each thread, in
//! a runtime of one thread or a `LocalSet`. There, one client may serve several calls at once.
//!
//! ```no_run
//! use elephant_launch::client::Client;
//! use elephant_core::error::Error;
//! use elephant_core::event::{Target, WantedVolume};
//! use elephant_core::meeting::{MeetingId, Role};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Error> {
//!     let client = Client::from_env().await?;
//!     let meeting = MeetingId::new("m-2027-01-05").expect("an id");
//!     client.launch(&meeting).await?;
//!     let running = client.wait(&meeting).await?;
//!     println!("{:?}", running.machines["teacher"].public_ip);
//!     let teacher = Target::RoleRecord(meeting.clone(), Role::Teacher);
//!     client.add_volume(&teacher, WantedVolume::new("recordings", 100)).await?;
//!     let image = client.snapshot(&teacher, "classroom 2027-01").await?;
//!     println!("next week starts from {}", image.image_id);
//!     client.end(&meeting, "the lesson is over").await?;
//!     Ok(())
//! }
//! ```
//!
//! `examples/library.rs` is that program, on a local AWS.
//!
//! [`Kind::is_retryable`]: elephant_core::error::Kind::is_retryable

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;

use crate::wiring::Aws;
use elephant_aws::access::variable;
use elephant_core::config::{Config, EndConfig, OperateConfig, Problems};
use elephant_core::end::{self, Ender};
use elephant_core::error::{Error, Kind};
use elephant_core::event::{Asked, End, Operate, Status, Target, Verb, WantedVolume};
use elephant_core::launch::{self, Launcher};
use elephant_core::meeting::MeetingId;
use elephant_core::operate::{self, ImageAnswer, Operator, VolumeAnswer};
use elephant_core::status::{self, Observer};
use elephant_core::timing::after;

/// The longest time of a call, the same as for the functions, unless [`Client::within`] sets another.
const LIMIT: Duration = Duration::from_secs(300);

/// Everything that the functions do for a meeting, except its schedule and the sweep.
pub struct Client {
    launcher: Launcher<Aws>,
    observer: Observer<Aws>,
    operator: Operator<Aws>,
    ender: Ender<Aws>,
    limit: Duration,
}

impl Client {
    /// A client with its configuration from the environment: all variables of `launch`, and those of `end`.
    ///
    /// # Errors
    ///
    /// [`Kind::InvalidConfiguration`], with every variable that is wrong or missing.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), elephant_core::error::Error> {
    /// let client = elephant_launch::client::Client::from_env().await?;
    /// # Ok(()) }
    /// ```
    pub async fn from_env() -> Result<Client, Error> {
        Client::from_variables(variable).await
    }

    /// A client with its settings from elsewhere, by the names of the variables. Region, credentials and endpoints
    /// still come from the environment.
    ///
    /// # Errors
    ///
    /// As [`Client::from_env`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), elephant_core::error::Error> {
    /// use elephant_launch::client::Client;
    /// let settings = |name: &str| {
    ///     let value = match name {
    ///         "AMI_ID" => "al2023",
    ///         "INSTANCE_TYPE" => "t3.large,m5.large",
    ///         "SECURITY_GROUP_IDS" => "sg-0a1b2c3d4e5f60001",
    ///         "SCHEDULE_GROUP" => "elephant",
    ///         _ => return None,
    ///     };
    ///     Some(value.to_owned())
    /// };
    /// let client = Client::from_variables(settings).await?;
    /// # Ok(()) }
    /// ```
    pub async fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Client, Error> {
        let launch = Config::from_variables(&variable);
        let operate = OperateConfig::from_variables(&variable);
        let (launch, operate, end) = match (launch, operate, EndConfig::from_variables(&variable)) {
            (Ok(launch), Ok(operate), Ok(end)) => (launch, operate, end),
            (launch, operate, end) => {
                let problems = Problems::of(launch.err(), operate.err());
                return Err(Problems::of(Some(problems), end.err()).into());
            }
        };
        let aws = Aws::load(Rc::default()).await?;
        Ok(Client {
            observer: aws.observer(&launch.table_name),
            launcher: aws.launcher(launch),
            operator: aws.operator(operate),
            ender: aws.ender(end),
            limit: LIMIT,
        })
    }

    /// Sets the longest time of a call: 300 s by default, and 900 s at most. Half a minute is the least for a launch.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), elephant_core::error::Error> {
    /// use std::time::Duration;
    /// let client = elephant_launch::client::Client::from_env().await?.within(Duration::from_secs(60));
    /// # Ok(()) }
    /// ```
    pub fn within(self, limit: Duration) -> Client {
        Client { limit, ..self }
    }

    /// Launches the machines that the meeting's record lacks, exactly once whoever else does the same, and writes the
    /// ids to it.
    ///
    /// # Errors
    ///
    /// [`Kind::MeetingNotFound`] without a record, [`Kind::MeetingBusy`] while another delivery launches it,
    /// [`Kind::CapacityExhausted`] if no zone has room, and every other that `docs/errors.md` names for `launch`. After
    /// any of them the same call again is safe.
    ///
    /// ```no_run
    /// # async fn example(client: elephant_launch::client::Client) -> Result<(), elephant_core::error::Error> {
    /// use elephant_core::meeting::MeetingId;
    /// let answer = client.launch(&MeetingId::new("m").expect("an id")).await?;
    /// println!("{}", serde_json::to_string(&answer).expect("JSON"));
    /// # Ok(()) }
    /// ```
    pub async fn launch(&self, meeting: &MeetingId) -> Result<launch::LaunchAnswer, Error> {
        self.launcher.launch(meeting, self.deadline()).await
    }

    /// The meeting as its record and EC2 show it now.
    ///
    /// # Errors
    ///
    /// [`Kind::MeetingNotFound`] without a record.
    ///
    /// ```no_run
    /// # async fn example(client: elephant_launch::client::Client) -> Result<(), elephant_core::error::Error> {
    /// use elephant_core::meeting::MeetingId;
    /// let meeting = client.status(&MeetingId::new("m").expect("an id")).await?;
    /// println!("{:?}: {:?}", meeting.status, meeting.last_failure);
    /// # Ok(()) }
    /// ```
    pub async fn status(&self, meeting: &MeetingId) -> Result<status::Meeting, Error> {
        self.ask(meeting, Asked::Now).await
    }

    /// Waits until EC2 says that both machines run, and answers like [`Client::status`].
    ///
    /// # Errors
    ///
    /// [`Kind::DeadlineTooClose`] if they do not run in time, [`Kind::MeetingOver`] if they never will.
    ///
    /// ```no_run
    /// # async fn example(client: elephant_launch::client::Client) -> Result<(), elephant_core::error::Error> {
    /// use elephant_core::meeting::MeetingId;
    /// let meeting = client.wait(&MeetingId::new("m").expect("an id")).await?;
    /// println!("{:?}", meeting.machines["student"].dns_name);
    /// # Ok(()) }
    /// ```
    pub async fn wait(&self, meeting: &MeetingId) -> Result<status::Meeting, Error> {
        self.ask(meeting, Asked::WaitUntilRunning).await
    }

    async fn ask(&self, meeting: &MeetingId, asked: Asked) -> Result<status::Meeting, Error> {
        let request = Status { meeting_id: meeting.clone(), asked };
        match self.observer.status(&request, self.deadline()).await? {
            status::StatusAnswer::Meeting(meeting) => Ok(*meeting),
            status::StatusAnswer::Console(_) => Err(unexpected("a console")),
        }
    }

    /// Makes an image of the machine without stopping it, and answers once the image is available. If this machine
    /// already has an image of this name, the answer is that image.
    ///
    /// # Errors
    ///
    /// [`Kind::MachineNotFound`] if the machine is not ours, [`Kind::OperationRefused`] if the name is taken,
    /// [`Kind::DeadlineTooClose`] if the image is not available in time: the same call again continues to wait.
    ///
    /// ```no_run
    /// # async fn example(client: elephant_launch::client::Client) -> Result<(), elephant_core::error::Error> {
    /// use elephant_core::event::Target;
    /// use elephant_core::machine::InstanceId;
    /// let machine = Target::Instance(InstanceId::from("i-0a1b2c3d4e5f60001"));
    /// let image = client.snapshot(&machine, "classroom 2027-01").await?;
    /// println!("AMI_ID={}", image.image_id);
    /// # Ok(()) }
    /// ```
    pub async fn snapshot(&self, machine: &Target, name: &str) -> Result<ImageAnswer, Error> {
        let verb = Verb::Snapshot { name: name.to_owned(), reboot: false, wait: true };
        let answer = self.operate(&Operate { target: Some(machine.clone()), verb }).await?;
        answer.image.ok_or_else(|| unexpected("no image"))
    }

    /// Makes a disk for the machine, attaches it, and has it deleted with the machine. If the machine already has a
    /// disk of this name, the answer is that disk.
    ///
    /// # Errors
    ///
    /// As for [`Client::snapshot`].
    ///
    /// ```no_run
    /// # async fn example(client: elephant_launch::client::Client) -> Result<(), elephant_core::error::Error> {
    /// use elephant_core::event::{Target, WantedVolume};
    /// use elephant_core::meeting::{MeetingId, Role};
    /// let teacher = Target::RoleRecord(MeetingId::new("m").expect("an id"), Role::Teacher);
    /// let fast = WantedVolume { iops: Some(6000), ..WantedVolume::new("recordings", 100) };
    /// let volume = client.add_volume(&teacher, fast).await?;
    /// println!("{:?}", volume.device_on_nitro);
    /// # Ok(()) }
    /// ```
    pub async fn add_volume(&self, machine: &Target, volume: WantedVolume) -> Result<VolumeAnswer, Error> {
        let request = Operate { target: Some(machine.clone()), verb: Verb::AddVolume(volume) };
        self.operate(&request).await?.volume.ok_or_else(|| unexpected("no volume"))
    }

    /// Does everything else that `operate` does: see [`Verb`].
    ///
    /// # Errors
    ///
    /// Those that `docs/errors.md` names for `operate`.
    ///
    /// ```no_run
    /// # async fn example(client: elephant_launch::client::Client) -> Result<(), elephant_core::error::Error> {
    /// use elephant_core::event::{KeyOrigin, Operate, Verb};
    /// let verb = Verb::EnsureKey { name: "classroom".into(), origin: KeyOrigin::Created(None) };
    /// let answer = client.operate(&Operate { target: None, verb }).await?;
    /// println!("{:?}", answer.key_pair.map(|pair| pair.private_key_parameter));
    /// # Ok(()) }
    /// ```
    pub async fn operate(&self, request: &Operate) -> Result<operate::OperateAnswer, Error> {
        self.operator.operate(request, self.deadline()).await
    }

    /// Ends the meeting for this reason: its record, then its machines, also those that no record names yet, and its
    /// schedule. Answers once EC2 says that the machines are terminated.
    ///
    /// # Errors
    ///
    /// [`Kind::MeetingNotFound`] without a record, [`Kind::MeetingBusy`] while a launch is in progress and there is no
    /// time to wait for it. The same call again continues.
    ///
    /// ```no_run
    /// # async fn example(client: elephant_launch::client::Client) -> Result<(), elephant_core::error::Error> {
    /// use elephant_core::meeting::MeetingId;
    /// let ended = client.end(&MeetingId::new("m").expect("an id"), "the lesson is over").await?;
    /// println!("{:?}", ended.machines);
    /// # Ok(()) }
    /// ```
    pub async fn end(&self, meeting: &MeetingId, reason: &str) -> Result<end::EndAnswer, Error> {
        let request = End { meeting_id: meeting.clone(), reason: reason.to_owned(), wait: true };
        self.ender.end(&request, self.deadline()).await
    }

    fn deadline(&self) -> Timestamp {
        after(Timestamp::now(), self.limit)
    }
}

/// The error for an answer that the verb never gives.
fn unexpected(what: &str) -> Error {
    Error::new(Kind::InvalidEvent, format!("the answer has {what}"), "report this; it is a fault of ours")
}

//! The same as a library: launch a meeting's machines, wait for them, make images of them, give them disks, end them, from
//! any Rust program and without Lambda.
//!
//! A [`Client`] is told what the functions are told, by the same variables (`docs/settings.md`), and finds Region,
//! credentials and endpoints where every AWS SDK does. What it does is what the functions do: the same attempts, leases and
//! names, so programs and functions may work on one meeting at the same time.
//!
//! Times are [`Timestamp`]s in UTC, sizes whole GiB, throughput MiB/s, states and zones EC2's own words. Every
//! error is an [`Error`]: its [`kind`](Error::kind) is the stable name, [`Kind::is_retryable`] says whether to ask again,
//! [`Error::chain`] tells the whole story in one line, with what AWS answered and what to do.
//!
//! Its futures are not `Send`, as Lambda gives a function one event at a time: use one client a thread, in a runtime of one
//! thread or a `LocalSet`. It may serve several calls at once there.
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

/// How long a call may take, unless [`Client::within`] says otherwise: as long as the functions may.
const LIMIT: Duration = Duration::from_secs(300);

/// Everything that the functions do for a meeting, but for its schedule and the sweep.
pub struct Client {
    launcher: Launcher<Aws>,
    observer: Observer<Aws>,
    operator: Operator<Aws>,
    ender: Ender<Aws>,
    limit: Duration,
}

impl Client {
    /// One that is told everything by its environment: all variables of `launch`, and those of `end`.
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

    /// One whose settings come from elsewhere, by the names of the variables. Region, credentials and endpoints are the
    /// environment's all the same.
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

    /// How long a call may take, 300 s unless said. At most 900 s are made use of. Less than half a minute leaves a launch
    /// no time.
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

    /// Launches what the meeting's record lacks, exactly once whoever else does the same, and writes the ids to it.
    ///
    /// # Errors
    ///
    /// [`Kind::MeetingNotFound`] without a record, [`Kind::MeetingBusy`] while another delivery launches it,
    /// [`Kind::CapacityExhausted`] where no zone has room, and every other that `docs/errors.md` names for `launch`. Whatever it is, the
    /// same call again is safe.
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

    /// The meeting as its record and EC2 have it now.
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

    /// The same, once EC2 says that both machines run.
    ///
    /// # Errors
    ///
    /// [`Kind::DeadlineTooClose`] where they do not in time, [`Kind::MeetingOver`] where they never will.
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

    /// An image of the machine, which is not stopped for it; answered once it is available. One of this name that was made of
    /// the same machine is answered as it is.
    ///
    /// # Errors
    ///
    /// [`Kind::MachineNotFound`] where it is none of ours, [`Kind::OperationRefused`] where the name is taken,
    /// [`Kind::DeadlineTooClose`] where it is not available in time: the same call again waits on.
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

    /// A new disk for the machine, attached and deleted with it. The one that has this name already is answered as it is.
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

    /// Everything else that `operate` does: see [`Verb`].
    ///
    /// # Errors
    ///
    /// As `docs/errors.md` names them for `operate`.
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

    /// Ends the meeting for this reason: its record, then its machines, those that no record names yet too, and its schedule.
    /// Answered once EC2 says that they are terminated.
    ///
    /// # Errors
    ///
    /// [`Kind::MeetingNotFound`] without a record, [`Kind::MeetingBusy`] while a launch is under way and there is no time to
    /// wait for it. The same call again goes on.
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

/// An answer that its verb does not give.
fn unexpected(what: &str) -> Error {
    Error::new(Kind::InvalidEvent, format!("the answer has {what}"), "report this; it is a fault of ours")
}

//! The world in memory, for tests: a table, a cloud and a wire that can be cut, with the documented behaviour of AWS.
//!
//! `table.rs` imitates DynamoDB and `cloud.rs` EC2. `executor.rs` runs deliveries of the real engine against them, one
//! request at a time, on a clock that only the executor moves. `promise.rs` checks the promise after every step.
//! `sabotage.rs` can switch a guard of the protocol off. `scheduling.rs` has a meeting and its schedule. `hour.rs`
//! simulates many meetings at once, on a clock that runs.

pub mod attempt;
pub mod cloud;
pub mod executor;
pub mod hour;
pub mod promise;
pub mod sabotage;
pub mod scheduling;
pub mod sweep;
pub mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use elephant_core::config::{Config, Volume};
use elephant_core::error::{AwsError, Class};
use elephant_core::image::Source;
use elephant_core::machine::Market;
use elephant_core::meeting::{MeetingId, Status};
use elephant_core::network::{Network, Pair};
use elephant_core::overrides::Overrides;
use elephant_core::record::{MeetTime, Record, RoleRecord};
use elephant_core::timing::Window;
use jiff::Timestamp;

/// When every story begins; the meetings are ten minutes later.
pub fn start() -> Timestamp {
    "2026-01-05T09:50:00Z".parse().expect("a time")
}

pub fn meet_time() -> Timestamp {
    start() + Duration::from_secs(600)
}

/// A day before the meeting until two hours after it.
pub const WINDOW: Window =
    Window { earliest: Duration::from_secs(24 * 3600), latest: Duration::from_secs(120 * 60) };

pub fn meeting(id: &str) -> MeetingId {
    MeetingId::new(id).expect("an id")
}

/// A record as the scheduling program writes it.
pub fn scheduled(id: &str) -> Record {
    Record {
        meeting_id: meeting(id),
        status: Some(Status::Scheduled),
        termination_reason: None,
        meet_time: MeetTime::At(meet_time()),
        meet_time_text: Some(meet_time().to_string()),
        lease: None,
        teacher: RoleRecord::default(),
        student: RoleRecord::default(),
        overrides: Overrides::none(),
    }
}

/// A record with this time, written as we write it.
pub fn timed(record: Record, meet_time: MeetTime) -> Record {
    let meet_time_text = match &meet_time {
        MeetTime::Missing => None,
        MeetTime::At(time) => Some(time.to_string()),
        MeetTime::Unreadable(words) => Some(words.clone()),
    };
    Record { meet_time, meet_time_text, ..record }
}

/// Two types, so that a search can go on after every zone has refused the first type.
pub fn config() -> Config {
    Config {
        launch_template: None,
        image: Source::Id("ami-1".into()),
        instance_types: vec!["t3.large".into(), "m5.large".into()],
        security_group_ids: vec!["sg-1".into()],
        key_name: None,
        iam_profile: None,
        table_name: "elephant-meetings".into(),
        supported_azs: None,
        network: Network::Default,
        public_ip: None,
        markets: vec![Market::OnDemand],
        pair: Pair::Any,
        volume: Volume {
            device: None,
            size_gb: 60,
            volume_type: "gp3".into(),
            encrypted: true,
            iops: None,
            throughput: None,
            kms_key_id: None,
        },
        imds_tokens: None,
        user_data: None,
        project_tag: "Elephant".into(),
        extra_tags: BTreeMap::new(),
        window: WINDOW,
    }
}

pub fn aws_error(action: &'static str, class: Class, code: &str) -> AwsError {
    AwsError {
        action,
        class,
        code: (!code.is_empty()).then(|| code.to_owned()),
        message: "as the story goes".into(),
        request_id: None,
        advice: String::new(),
    }
}

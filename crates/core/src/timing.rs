//! How long things may take: every duration that the launch protocol rests on, in one place.
//!
//! The values hold each other up, so a change here is a change of the protocol (`lib.rs`):
//! a lease outlives one RunInstances with its skew; effect delay and skew together stay below the minute
//! after which Lambda repeats a failed delivery; that minute counts from the failure, so how long a delivery lives is
//! free: one that outlives its lease renews it before it sends, and gives way if another has taken it. The reserve lets
//! an answer be written before the deadline, and is no shorter than the skew, or a lease that is cut short by the
//! deadline would be renewed for ever.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a claim gives the exclusive right to send RunInstances for a meeting.
    pub lease: Duration,
    /// The longest time that a request which was sent and not answered may still take effect.
    pub max_effect_delay: Duration,
    /// How far the clocks of two functions may differ.
    pub skew: Duration,
    /// The longest life of one delivery, whatever the function's time-out is (300 s in the template), and the allowance
    /// where the deadline is unknown. Lambda repeats only twice, so where hundreds of meetings begin at once a delivery
    /// has to be let wait for EC2's two launches a second itself (`benches/HOUR.md`).
    pub delivery: Duration,
    /// After this long RunInstances is given up as unanswered.
    pub run_instances: Duration,
    /// After this long any other request to EC2 is given up as unanswered.
    pub ec2: Duration,
    /// After this long a request to DynamoDB is given up as unanswered.
    pub table: Duration,
    /// After this long a request to EventBridge Scheduler is given up as unanswered.
    pub scheduler: Duration,
    /// How long the subnets and the image's root device that were looked up are believed.
    pub lookups: Duration,
}

impl Timing {
    pub const DEFAULT: Timing = Timing {
        lease: Duration::from_secs(30),
        max_effect_delay: Duration::from_secs(45),
        skew: Duration::from_secs(5),
        delivery: Duration::from_secs(900),
        run_instances: Duration::from_secs(10),
        ec2: Duration::from_secs(5),
        table: Duration::from_secs(3),
        scheduler: Duration::from_secs(5),
        lookups: Duration::from_secs(20 * 60),
    };

    /// What must be left before the deadline when RunInstances has been answered: two tries to write the id
    /// (the second for a lost answer, or for a status that moved) and a second for everything else.
    pub fn reserve(&self) -> Duration {
        2 * self.table + Duration::from_secs(1)
    }
}

/// When a meeting may be launched: from so long before its time until so long after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub earliest: Duration,
    pub latest: Duration,
}

impl Window {
    pub fn contains(&self, meet_time: Timestamp, now: Timestamp) -> bool {
        !self.is_before(meet_time, now) && !self.is_past(meet_time, now)
    }

    /// Whether it has not begun yet.
    pub fn is_before(&self, meet_time: Timestamp, now: Timestamp) -> bool {
        now < before(meet_time, self.earliest)
    }

    pub fn is_past(&self, meet_time: Timestamp, now: Timestamp) -> bool {
        now > after(meet_time, self.latest)
    }
}

/// `time - duration`, at the beginning of time if there is no such time.
pub fn before(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|d| time.checked_sub(d).ok()).unwrap_or(Timestamp::MIN)
}

/// `time + duration`, at the end of time if there is no such time.
pub fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|d| time.checked_add(d).ok()).unwrap_or(Timestamp::MAX)
}

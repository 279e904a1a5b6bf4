//! Every duration that the launch protocol relies on.
//!
//! The values depend on each other, so a change here changes the protocol (`lib.rs`). A lease outlives one RunInstances
//! with its skew. Effect delay and skew together stay below the minute after which Lambda repeats a failed delivery.
//! That minute counts from the failure, so a delivery may live as long as it wants: if it outlives its lease, it renews
//! the lease before it sends, and stops if another delivery has taken it. The reserve leaves time to write an answer
//! before the deadline. It is no shorter than the skew; otherwise a lease that the deadline cuts short would be renewed
//! for ever.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a claim gives the exclusive right to send RunInstances for a meeting.
    pub lease: Duration,
    /// The longest time after which a request that was sent and not answered may still take effect.
    pub max_effect_delay: Duration,
    /// The largest difference between the clocks of two functions.
    pub skew: Duration,
    /// The longest life of one delivery, whatever the function's time-out is (300 s in the template), and its time if
    /// the deadline is unknown. Lambda repeats only twice, so when hundreds of meetings begin at once a delivery must
    /// itself wait for EC2's two launches a second (`benches/HOUR.md`).
    pub delivery: Duration,
    /// After this time an unanswered RunInstances is given up.
    pub run_instances: Duration,
    /// After this time any other unanswered request to EC2 is given up.
    pub ec2: Duration,
    /// After this time an unanswered request to DynamoDB is given up.
    pub table: Duration,
    /// After this time an unanswered request to EventBridge Scheduler is given up.
    pub scheduler: Duration,
    /// How long look-ups of subnets and of the image's root device are valid.
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

    /// The time that must be left before the deadline when RunInstances has been answered: two tries to write the id
    /// (the second after a lost answer or a changed status) and a second for everything else.
    pub fn reserve(&self) -> Duration {
        2 * self.table + Duration::from_secs(1)
    }
}

/// When a meeting may be launched: from this long before its time until this long after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub earliest: Duration,
    pub latest: Duration,
}

impl Window {
    pub fn contains(&self, meet_time: Timestamp, now: Timestamp) -> bool {
        !self.is_before(meet_time, now) && !self.is_past(meet_time, now)
    }

    /// Whether the window has not begun yet.
    pub fn is_before(&self, meet_time: Timestamp, now: Timestamp) -> bool {
        now < before(meet_time, self.earliest)
    }

    pub fn is_past(&self, meet_time: Timestamp, now: Timestamp) -> bool {
        now > after(meet_time, self.latest)
    }
}

/// `time - duration`, or the earliest time if there is no such time.
pub fn before(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|d| time.checked_sub(d).ok()).unwrap_or(Timestamp::MIN)
}

/// `time + duration`, or the latest time if there is no such time.
pub fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|d| time.checked_add(d).ok()).unwrap_or(Timestamp::MAX)
}

//! Decisions: what a delivery does next, as pure functions.
//!
//! The record, the configuration, the look-ups, the time and fresh tokens are arguments; nothing here waits or sends a
//! request. The verbs only carry out what is decided here, so that a table of cases can test every choice.

pub mod end;
pub mod operate;
pub mod reconcile;
pub mod schedule;
pub mod status;

use std::time::Duration;

use jiff::Timestamp;

use crate::config::Config;
use crate::error::{AwsError, Class};
use crate::image::Image;
use crate::launch_template::Pinned;
use crate::machine::{Attempt, InstanceId, Machine, Market, Parameters, RootVolume, Token, tags};
use crate::meeting::{MeetingId, Role, Status};
use crate::network::{Offerings, Pair, Subnet};
use crate::overrides::Overrides;
use crate::record::{Lease, MeetTime, Owner, Record};
use crate::timing::{Timing, Window, after};

/// What a delivery does about a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing is launched, and no machine of ours is left that the record does not name.
    Skip(Reason),
    /// Both machines are in the record.
    AlreadyRecorded,
    /// Another delivery has the lease until this time.
    Leased(Timestamp),
    /// Nothing is launched, but an open attempt may still make a machine until this time: look again afterwards.
    NotQuiescent(Reason, Timestamp),
    /// Nothing is launched. The machines of these open attempts are found by their tokens and ended.
    CleanUp(Reason, Vec<(Role, Token)>),
    /// Take the lease, then do this for each role without a machine.
    Launch(Vec<(Role, Step)>),
}

/// How a role without a machine gets one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are two in a delivery, and a box would only hide the attempt"
)]
pub enum Step {
    /// Send the attempt of the record again, unchanged. It counts as sent and unanswered until this time.
    Replay { attempt: Attempt, unanswered: Timestamp },
    /// Send a new attempt with this number.
    New { number: u32 },
}

/// Why a delivery launches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The meeting is over, or has a status that we do not know.
    Over(Option<Status>),
    /// Somebody ended it, for this reason.
    Ended(String),
    /// The delivery came after the launch window.
    TooLate { meet_time: Timestamp, window: Window },
    /// The delivery came before the launch window: perhaps the meeting was moved, and this is an old schedule.
    TooEarly { meet_time: Timestamp, window: Window },
}

pub fn plan(record: &Record, now: Timestamp, window: Window, timing: &Timing) -> Plan {
    let lease_end = record.lease.as_ref().map(|lease| lease.until);
    if let Some(reason) = reason_to_skip(record, now, window) {
        let open: Vec<(Role, Token)> = Role::BOTH
            .into_iter()
            .filter_map(|role| Some((role, record.role(role).open_attempt()?.token.clone())))
            .collect();
        if open.is_empty() {
            return Plan::Skip(reason);
        }
        let settled = quiescent_at(record, timing);
        return if now < settled { Plan::NotQuiescent(reason, settled) } else { Plan::CleanUp(reason, open) };
    }
    let without: Vec<Role> =
        Role::BOTH.into_iter().filter(|role| record.role(*role).instance_id.is_none()).collect();
    if without.is_empty() {
        return Plan::AlreadyRecorded;
    }
    // The owner sends nothing that could be unanswered at the lease's end, skew included: so our own clock decides.
    if let Some(end) = lease_end.filter(|end| now < *end) {
        return Plan::Leased(end);
    }
    let step = |role: Role| match record.role(role).open_attempt() {
        Some(attempt) => Step::Replay { attempt: attempt.clone(), unanswered: lease_end.unwrap_or(now) },
        None => Step::New { number: record.role(role).attempt.as_ref().map_or(1, Attempt::next_number) },
    };
    Plan::Launch(without.into_iter().map(|role| (role, step(role))).collect())
}

/// The time from which a look-up shows every machine that the attempts of this record have made; before it, one may
/// still be coming. An open attempt without a lease was not written by us: a person corrected the record, long after.
pub fn quiescent_at(record: &Record, timing: &Timing) -> Timestamp {
    let until = |lease: &Lease| after(lease.until, timing.skew + timing.max_effect_delay);
    record.lease.as_ref().map_or(Timestamp::MIN, until)
}

/// Why nothing is launched for this meeting now, if that is so.
pub fn reason_to_skip(record: &Record, now: Timestamp, window: Window) -> Option<Reason> {
    why_over(record).or(match record.meet_time {
        MeetTime::At(meet_time) if window.is_past(meet_time, now) => {
            Some(Reason::TooLate { meet_time, window })
        }
        MeetTime::At(meet_time) if window.is_before(meet_time, now) => {
            Some(Reason::TooEarly { meet_time, window })
        }
        MeetTime::At(_) | MeetTime::Missing | MeetTime::Unreadable(_) => None,
    })
}

/// Why a meeting is over, if it is.
pub fn why_over(record: &Record) -> Option<Reason> {
    let said = record.termination_reason.clone().map(Reason::Ended);
    said.or_else(|| record.is_over().then(|| Reason::Over(record.status.clone())))
}

/// A place, a type and a market to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub instance_type: String,
    pub subnet: Subnet,
    pub market: Market,
}

impl Candidate {
    fn is_in(&self, zone: &str) -> bool {
        self.subnet.availability_zone == zone
    }
}

/// The order of attempts: all zones for the preferred type, then for the next type; and when every type has been tried
/// in the first market, all again in the second. If it is known that a zone does not offer a type, the type is never
/// tried there.
pub fn candidates(
    markets: &[Market],
    instance_types: &[String],
    subnets: &[Subnet],
    offerings: Option<&Offerings>,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for market in markets {
        for instance_type in instance_types {
            let offered = |subnet: &&Subnet| {
                let pair = (instance_type.clone(), subnet.availability_zone.clone());
                offerings.is_none_or(|offerings| offerings.contains(&pair))
            };
            candidates.extend(subnets.iter().filter(offered).map(|subnet| Candidate {
                instance_type: instance_type.clone(),
                subnet: subnet.clone(),
                market: *market,
            }));
        }
    }
    candidates
}

/// The candidates of one role: as configured, or of the types that the record names. Of a type that was not looked up,
/// only EC2's answer to a launch says where it is not offered.
pub fn candidates_for(
    overrides: &Overrides,
    markets: &[Market],
    looked_up: &[String],
    subnets: &[Subnet],
    offerings: Option<&Offerings>,
) -> Vec<Candidate> {
    let types = &overrides.instance_types;
    if types.is_empty() {
        return candidates(markets, looked_up, subnets, offerings);
    }
    let unknown = types.iter().filter(|of| !looked_up.contains(of));
    let everywhere =
        unknown.flat_map(|of| subnets.iter().map(|at| (of.clone(), at.availability_zone.clone())));
    let offerings = offerings.map(|known| known.iter().cloned().chain(everywhere).collect::<Offerings>());
    candidates(markets, types, subnets, offerings.as_ref())
}

/// Where two roles that are launched together in one zone begin: the first candidate of `one` in whose zone `other` has
/// a candidate, and that candidate of `other`.
pub fn first_pair<'c>(one: &'c [Candidate], other: &'c [Candidate]) -> Option<[&'c Candidate; 2]> {
    one.iter().find_map(|of_one| Some([of_one, beside(of_one, other.iter())?]))
}

/// The same candidate, or the first of the others in its zone.
fn beside<'c>(
    of_one: &Candidate,
    others: impl Iterator<Item = &'c Candidate> + Clone,
) -> Option<&'c Candidate> {
    let zone = &of_one.subnet.availability_zone;
    others.clone().find(|of_other| *of_other == of_one).or_else(|| others.into_iter().find(|c| c.is_in(zone)))
}

/// What a machine is made from, as it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub image: Image,
    /// The root device of the configured image. A configured device may name it.
    pub configured_root: String,
    pub template: Option<Pinned>,
    /// The size that a record sets; `None`: as configured.
    pub volume_size_gb: Option<i32>,
}

impl From<Image> for Origin {
    fn from(image: Image) -> Self {
        Origin { configured_root: image.root_device.clone(), image, template: None, volume_size_gb: None }
    }
}

impl Origin {
    /// The origin for a role whose record sets other values; `own` is the image that the record names, as it was looked
    /// up.
    pub fn overridden(&self, overrides: &Overrides, own: Option<&Image>) -> Origin {
        let image = match (&overrides.image_id, own) {
            (Some(image_id), Some(own)) => Image { image_id: image_id.clone(), ..own.clone() },
            _ => self.image.clone(),
        };
        Origin { image, volume_size_gb: overrides.volume_size_gb, ..self.clone() }
    }
}

/// Where the next attempt of a role may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneConstraint {
    Anywhere,
    /// In this zone, where the other role's machine is.
    Within(String),
    /// In the zone of the last attempt, as long as the order of attempts stays there: both roles leave it together.
    Together,
}

/// The zone to which a role is bound because the other role has its machine there, or an attempt that may have made
/// one.
pub fn zone_of_the_pair(pair: Pair, record: &Record, role: Role) -> Option<&str> {
    let other = record.role(role.other());
    let standing = match (pair, &other.instance_id) {
        (Pair::Any, _) => None,
        (Pair::SameAz, Some(_)) => other.attempt.as_ref(),
        (Pair::SameAz, None) => other.open_attempt(),
    };
    standing.map(|attempt| attempt.parameters.availability_zone.as_str())
}

/// The first candidate, or the first one in `zone` if that is given.
pub fn first<'c>(candidates: &'c [Candidate], zone: Option<&str>) -> Option<&'c Candidate> {
    candidates.iter().find(|candidate| zone.is_none_or(|zone| candidate.is_in(zone)))
}

/// A new attempt for a role, from today's configuration; or the reason why this meeting's user data cannot be made.
pub fn attempt(
    config: &Config,
    origin: &Origin,
    meeting: &MeetingId,
    role: Role,
    number: u32,
    token: Token,
    candidate: &Candidate,
) -> Result<Attempt, String> {
    let user_data = config.user_data.as_ref().map(|data| data.filled(meeting, role)).transpose()?;
    let mut all_tags = config.extra_tags.clone();
    all_tags.extend(tags(meeting, role, &config.project_tag));
    let parameters = Parameters {
        launch_template: origin.template.clone(),
        image_id: origin.image.image_id.clone(),
        instance_type: candidate.instance_type.clone(),
        subnet_id: candidate.subnet.subnet_id.clone(),
        availability_zone: candidate.subnet.availability_zone.clone(),
        security_group_ids: config.security_group_ids.clone(),
        key_name: config.key_name.clone(),
        iam_profile: config.iam_profile.clone(),
        root_volume: (!config.keeps_volume() || origin.volume_size_gb.is_some())
            .then(|| root_volume(config, origin)),
        imds_tokens: config.imds_tokens,
        public_ip: config.public_ip,
        market: candidate.market,
        user_data,
        tags: all_tags,
    };
    Ok(Attempt { number, token, refused: false, ending: false, parameters })
}

fn root_volume(config: &Config, origin: &Origin) -> RootVolume {
    let (volume, image) = (&config.volume, &origin.image);
    // A device that is not the configured image's root is another disk, for any image.
    let device = volume.device.as_ref().filter(|device| **device != origin.configured_root);
    let device_name = device.unwrap_or(&image.root_device).clone();
    let wanted = origin.volume_size_gb.unwrap_or(volume.size_gb);
    RootVolume {
        // A root volume cannot be smaller than the image's snapshot.
        size_gb: match image.snapshot_gb {
            Some(least) if device_name == image.root_device => wanted.max(least),
            _ => wanted,
        },
        device_name,
        volume_type: volume.volume_type.clone(),
        encrypted: volume.encrypted,
        iops: volume.iops,
        throughput: volume.throughput,
        kms_key_id: volume.kms_key_id.clone(),
    }
}

/// EC2's definite refusal of one place, type or family; another one may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Capacity,
    Zone,
    Subnet,
    Type,
    Quota,
}

impl Refusal {
    pub fn of(class: Class) -> Option<Self> {
        match class {
            Class::Capacity => Some(Refusal::Capacity),
            Class::ZoneUnfit => Some(Refusal::Zone),
            Class::SubnetUnfit => Some(Refusal::Subnet),
            Class::TypeUnfit => Some(Refusal::Type),
            Class::Quota => Some(Refusal::Quota),
            Class::Throttled
            | Class::Ambiguous
            | Class::Propagating
            | Class::ParameterMismatch
            | Class::InstanceTerminated
            | Class::Misconfigured
            | Class::Unauthorized
            | Class::NotSent
            | Class::Unreadable => None,
        }
    }
}

/// What EC2 refused one role during one delivery, and what is therefore not worth another request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    refused: Vec<(Refusal, AwsError, Parameters)>,
    /// How many machines of the role were dead when they were first seen, for another reason than capacity.
    deaths: u32,
}

impl Refusals {
    pub fn add(&mut self, refusal: Refusal, error: AwsError, refused: &Parameters) {
        self.refused.push((refusal, error, refused.clone()));
    }

    /// Count one more dead machine, and return how many there are now.
    pub fn add_death(&mut self) -> u32 {
        self.deaths += 1;
        self.deaths
    }

    /// The next candidate after the attempt in the record, or `None` when every candidate is used up. The candidates
    /// before that attempt come last: a delivery that found the attempt was not refused there itself. If the attempt is
    /// no candidate any more (the configuration changed since it was written), the first candidate is next.
    ///
    /// For a pair that stays together it is also `None` if the next candidate is in another zone.
    pub fn next<'c>(
        &self,
        candidates: &'c [Candidate],
        standing: &Parameters,
        bound: &ZoneConstraint,
    ) -> Option<&'c Candidate> {
        let (before, after) =
            candidates.split_at(position(candidates, standing).map_or(0, |index| index + 1));
        let left = after.iter().chain(before);
        let mut left = left.filter(|candidate| !self.rule_out(candidate, &standing.image_id));
        match bound {
            ZoneConstraint::Anywhere => left.next(),
            ZoneConstraint::Within(zone) => left.find(|candidate| candidate.is_in(zone)),
            ZoneConstraint::Together => {
                left.next().filter(|candidate| candidate.is_in(&standing.availability_zone))
            }
        }
    }

    /// The same for two roles that move together, each with candidates and an attempt of its own: the next candidate of
    /// the role that was refused, and one in the same zone for the other role.
    pub fn next_pair<'c>(
        &self,
        candidates: &'c [Candidate],
        others: &'c [Candidate],
        [refused, other]: [&Parameters; 2],
    ) -> Option<[&'c Candidate; 2]> {
        let (before, after) = candidates.split_at(position(candidates, refused).map_or(0, |index| index + 1));
        let others = others.iter().filter(|candidate| !self.rule_out(candidate, &other.image_id));
        let left = after.iter().chain(before);
        let mut left = left.filter(|candidate| !self.rule_out(candidate, &refused.image_id));
        left.find_map(|of_one| Some([of_one, beside(of_one, others.clone())?]))
    }

    /// What either of two roles was refused holds for both.
    pub fn and(mut self, other: Refusals) -> Self {
        for refusal in other.refused {
            if !self.refused.contains(&refusal) {
                self.refused.push(refusal);
            }
        }
        self.deaths = self.deaths.max(other.deaths);
        self
    }

    /// Whether it is not worth a request to launch a machine from this image in this place.
    fn rule_out(&self, candidate: &Candidate, image_id: &str) -> bool {
        self.refused.iter().any(|(refusal, _, refused)| {
            let same_type = refused.instance_type == candidate.instance_type;
            let same_zone = refused.availability_zone == candidate.subnet.availability_zone;
            // Spot has its own capacity and its own quotas.
            let same_market = refused.market == candidate.market;
            match refusal {
                // This type is refused in this zone; another type may fit there.
                Refusal::Capacity | Refusal::Zone => same_type && same_zone && same_market,
                Refusal::Subnet => refused.subnet_id == candidate.subnet.subnet_id,
                // This type is refused with this image everywhere; the other role may have another image.
                Refusal::Type => same_type && same_market && refused.image_id == image_id,
                // A quota counts the vCPUs of a group of families: another size of this family would be refused as
                // well.
                Refusal::Quota => {
                    family(&refused.instance_type) == family(&candidate.instance_type) && same_market
                }
            }
        })
    }

    /// Every refusal in words, for the error that ends the search.
    pub fn tried(&self) -> String {
        let each = |(_, error, p): &(Refusal, AwsError, Parameters)| {
            let spot = if p.market == Market::Spot { " spot" } else { "" };
            let place = format!("{} ({})", p.availability_zone, p.subnet_id);
            format!("{}{spot} in {place}: {}", p.instance_type, error.code())
        };
        let mut all: Vec<String> = Vec::new();
        for line in self.refused.iter().map(each) {
            if !all.contains(&line) {
                all.push(line);
            }
        }
        all.join(", ")
    }

    /// The request that was refused last.
    pub fn last_refused(&self) -> Option<&Parameters> {
        self.refused.last().map(|(_, _, refused)| refused)
    }

    /// What EC2 said when it last refused for this reason.
    pub fn last(&self, wanted: Refusal) -> Option<&AwsError> {
        self.refused.iter().rev().find(|(refusal, ..)| *refusal == wanted).map(|(_, error, _)| error)
    }
}

/// The candidate to use again for a machine that somebody ended: its place was good. If that place is no candidate
/// within the constraint any more, the first one that is.
pub fn same_again<'c>(
    candidates: &'c [Candidate],
    standing: &Parameters,
    bound: &ZoneConstraint,
) -> Option<&'c Candidate> {
    let zone = match bound {
        ZoneConstraint::Anywhere => None,
        ZoneConstraint::Within(zone) => Some(zone.as_str()),
        ZoneConstraint::Together => Some(standing.availability_zone.as_str()),
    };
    let same = position(candidates, standing).and_then(|index| candidates.get(index));
    same.filter(|same| zone.is_none_or(|zone| same.is_in(zone))).or_else(|| first(candidates, zone))
}

fn position(candidates: &[Candidate], standing: &Parameters) -> Option<usize> {
    candidates.iter().position(|c| {
        c.instance_type == standing.instance_type
            && c.subnet.subnet_id == standing.subnet_id
            && c.market == standing.market
    })
}

fn family(instance_type: &str) -> &str {
    instance_type.split('.').next().unwrap_or(instance_type)
}

/// Whether a dead machine died because its zone had no room: EC2 may find that out only after it has answered with 200.
pub fn died_of_capacity(machine: &Machine) -> bool {
    machine.state_reason.as_deref() == Some("Server.InsufficientInstanceCapacity")
}

/// How many dead machines of a role one delivery sees before it stops: what kills each of them will kill the next.
pub const DEATHS: u32 = 3;

/// Whether RunInstances may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    Now,
    /// The request could be unanswered when the lease ends: renew the lease first.
    RenewFirst,
    /// The answer could not be written to the record before the deadline.
    TooLate,
}

pub fn may_send(now: Timestamp, lease_end: Timestamp, deadline: Timestamp, timing: &Timing) -> Sending {
    let answered = after(now, timing.run_instances);
    if after(answered, timing.reserve()) > deadline {
        Sending::TooLate
    } else if after(answered, timing.skew) > lease_end {
        Sending::RenewFirst
    } else {
        Sending::Now
    }
}

/// The end of a lease that is taken now. It is never past the deadline, so the lease is over when a failed delivery is
/// repeated.
pub fn lease_end(now: Timestamp, deadline: Timestamp, timing: &Timing) -> Timestamp {
    after(now, timing.lease).min(deadline)
}

/// Whether a refusal of a request sent at `sent` is final for its attempt: every earlier sending was answered, or is
/// older than the effect delay. If not, the error is the time from which a refusal is final.
pub fn refusal_counts(
    unanswered: Option<Timestamp>,
    sent: Timestamp,
    timing: &Timing,
) -> Result<(), Timestamp> {
    match unanswered.map(|earlier| after(earlier, timing.max_effect_delay)) {
        Some(settled) if sent < settled => Err(settled),
        _ => Ok(()),
    }
}

/// How long to wait before the same request is sent again: "full jitter", a random part of a ceiling that doubles with
/// each try. `fraction` is that random part, from 0 to 1.
pub fn backoff(tries: u32, fraction: f64, first: Duration, ceiling: Duration) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    doubled.min(ceiling).mul_f64(fraction.clamp(0.0, 1.0))
}

/// What a refused write means for the delivery that sent it, from the record that was there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictMeaning {
    /// The record already holds what was to be written: the write was made, and its answer was lost.
    Written,
    /// The record is gone: the meeting was deleted.
    Gone,
    /// The meeting is over.
    Over,
    /// Another delivery has taken over.
    TakenOver,
}

/// Whether a refused claim is in the record all the same: the write was made, and its answer was lost.
pub fn claim_stands(found: &Record, owner: &Owner, attempts: &[(Role, Attempt)]) -> bool {
    let ours = attempts.iter().all(|(role, attempt)| found.role(*role).attempt.as_ref() == Some(attempt));
    found.is_owned_by(owner) && ours && !found.is_over()
}

/// The owner of the record's lease counts before the status. If a meeting is over but another delivery has taken it
/// over, attempts of that delivery may be open, and only that delivery, or the clean-up after the wait, settles them.
pub fn after_refused_next_attempt(
    found: Option<&Record>,
    owner: &Owner,
    role: Role,
    next: &Token,
) -> ConflictMeaning {
    match found {
        None => ConflictMeaning::Gone,
        Some(record) if !record.is_owned_by(owner) => ConflictMeaning::TakenOver,
        Some(record) if record.is_over() => ConflictMeaning::Over,
        Some(record) if token(record, role) == Some(next) => ConflictMeaning::Written,
        Some(_) => ConflictMeaning::TakenOver,
    }
}

/// `None`: only the status has changed, so the id is written again in the form that fits the new status.
pub fn after_refused_instance(
    found: Option<&Record>,
    role: Role,
    ours: &Token,
    machine: &Machine,
) -> Option<ConflictMeaning> {
    let Some(record) = found else { return Some(ConflictMeaning::Gone) };
    let of_role = record.role(role);
    if of_role.instance_id.as_ref() == Some(&machine.instance_id) {
        return Some(ConflictMeaning::Written);
    }
    if of_role.instance_id.is_some() || token(record, role) != Some(ours) {
        return Some(ConflictMeaning::TakenOver);
    }
    if record.is_over() {
        return Some(ConflictMeaning::Over);
    }
    of_role.attempt.as_ref().is_some_and(|attempt| attempt.ending).then_some(ConflictMeaning::TakenOver)
}

/// Whether a machine of this attempt stays although it was to be ended, as the record says that refused the mark:
/// another delivery has recorded the machine.
pub fn is_kept(found: Option<&Record>, role: Role, machine: &InstanceId) -> bool {
    found.is_some_and(|record| record.role(role).instance_id.as_ref() == Some(machine))
}

fn token(record: &Record, role: Role) -> Option<&Token> {
    record.role(role).attempt.as_ref().map(|attempt| &attempt.token)
}

//! One delivery of `launch`, from start to end: read → plan → claim → launch → record → answer.
//!
//! This file puts the effects in order. Every choice is made in `plan.rs`, and every condition of a write is in
//! `record.rs`. `launch/role.rs` takes one role from its attempt to an id in the record, `launch/pair.rs` takes both
//! roles if they stay in one zone, and `launch/answer.rs` makes the answer or the error. The promise is in `lib.rs`.

mod answer;
mod pair;
mod preflight;
mod role;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

pub use answer::{LaunchAnswer, MachineAnswer, Outcome};
pub use preflight::{Answered, Finding, Place, Preflight};

use crate::config::Config;
use crate::deadline::{Backoff, Deadline, not_sent};
use crate::ending::{Ended, Ending};
use crate::error::{AwsError, Class, Error, Kind, Service};
use crate::image::{self, Image, Source};
use crate::lookups::{Inputs, LookupError, Lookups, ResolvedInputs, own_image_fits};
use crate::machine::{Attempt, InstanceId, Token};
use crate::meeting::{MeetingId, Role};
use crate::network::{Pair, SubnetSelection, in_order};
use crate::overrides::Overrides;
use crate::plan::{self, Candidate, Origin, Plan, Reason, Refusals, Sending, Step, ZoneConstraint};
use crate::ports::{
    Clock, FindByToken, Launches, LookUps, Machines, Meetings, ParameterStore, Tokens, Updated,
};
use crate::record::{self, Failure, Lease, MeetTime, Owner, Record, Update};
use crate::timing::{Timing, Window, after};
use answer::failed_lookup;
use role::{Failed, InRecord, NotRecorded, Way};

/// The id of a record that is read at the start, only to open the connection. The record need not exist.
const NOBODYS: &str = "warm-up";

/// What the verb asks of the world.
pub trait LaunchPorts {
    type Meetings: Meetings;
    type Ec2: Machines + LookUps;
    type Parameters: ParameterStore;
    type Clock: Clock;
    type Tokens: Tokens;
}

/// The verb `launch` with everything that it needs; lives as long as the function's environment.
pub struct Launcher<P: LaunchPorts> {
    pub meetings: P::Meetings,
    pub ec2: P::Ec2,
    pub parameters: P::Parameters,
    pub clock: P::Clock,
    pub tokens: P::Tokens,
    pub config: Config,
    /// The configuration's choice of subnets, in this Region.
    pub wanted: SubnetSelection,
    pub timing: Timing,
    pub lookups: Lookups,
}

impl<P: LaunchPorts> Launcher<P> {
    /// Look up what does not depend on a meeting, and open the connection to the table, before the first delivery
    /// comes: Lambda gives a function a full core while it starts. A failure is only logged: the first delivery tries
    /// again, and reports it.
    pub async fn warm_up(&self) {
        let open = async {
            match MeetingId::new(NOBODYS) {
                Ok(meeting) => self.meetings.read(&meeting).await.err(),
                Err(_) => None,
            }
        };
        let (found, table) = tokio::join!(self.resolved_inputs(), open);
        if let Err(error) = found {
            warn!(error = %failed_lookup(&error).chain(), "the look-ups failed; the first delivery tries again");
        }
        if let Some(error) = table {
            warn!(%error, "reading the table failed; the first delivery tries again");
        }
    }

    /// One delivery, answered before `deadline`.
    pub async fn launch(&self, meeting: &MeetingId, deadline: Timestamp) -> Result<LaunchAnswer, Error> {
        // A delivery that lived longer than the timings assume could write after others had settled what it began.
        let deadline = deadline.min(after(self.clock.now(), self.timing.delivery));
        self.delivery(meeting, deadline).run().await
    }

    fn delivery<'l>(&'l self, meeting: &'l MeetingId, deadline: Timestamp) -> LaunchDelivery<'l, P> {
        let deadline = Deadline { clock: &self.clock, tokens: &self.tokens, at: deadline };
        LaunchDelivery { launcher: self, meeting, owner: self.tokens.owner(), deadline }
    }

    async fn resolved_inputs(&self) -> Result<Rc<ResolvedInputs>, LookupError> {
        self.lookups.get(&self.inputs(), self.clock.now(), &self.timing).await
    }

    fn inputs(&self) -> Inputs<'_, P::Ec2, P::Parameters> {
        let Launcher { ec2, parameters, config, wanted, .. } = self;
        Inputs { ec2, parameters, config, wanted }
    }
}

impl<P: LaunchPorts> Launches for Launcher<P> {
    async fn launch(&self, meeting: &MeetingId, deadline: Timestamp) -> Result<(), Error> {
        Launcher::launch(self, meeting, deadline).await.map(|_| ())
    }
}

/// One invocation of the function for one meeting.
struct LaunchDelivery<'l, P: LaunchPorts> {
    launcher: &'l Launcher<P>,
    meeting: &'l MeetingId,
    owner: Owner,
    deadline: Deadline<'l, P::Clock, P::Tokens>,
}

/// One role in a delivery, with the values that the record, as it was read last, sets for its machine.
struct OneRole<'d, P: LaunchPorts> {
    delivery: &'d LaunchDelivery<'d, P>,
    role: Role,
    overrides: &'d Result<Overrides, String>,
}

impl<P: LaunchPorts> Clone for OneRole<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: LaunchPorts> Copy for OneRole<'_, P> {}

/// What this meeting's attempts are made from: the inputs of every meeting, and the images that its record names.
struct Materials {
    surroundings: Rc<ResolvedInputs>,
    own_images: BTreeMap<Role, Image>,
}

/// What the attempts of one role are made from, and the places where they may be.
struct Places {
    candidates: Vec<Candidate>,
    origin: Origin,
}

/// One role's attempt to send.
#[derive(Clone, Debug)]
struct Work {
    role: Role,
    attempt: Attempt,
    /// `Some`: the attempt was found in the record, and counts as sent and unanswered until this time. `None`: it is
    /// new.
    unanswered: Option<Timestamp>,
}

/// Our lease as it is in the record. Nothing is sent without a lease. Both roles share it, and either of them renews
/// it.
struct Held(RefCell<Lease>);

enum Claimed {
    Ours(Held),
    /// The record is not as it was read any more: make a new plan with this one.
    Changed(Option<Box<Record>>),
}

impl<P: LaunchPorts> LaunchDelivery<'_, P> {
    async fn run(&self) -> Result<LaunchAnswer, Error> {
        let mut read = self.read().await.map_err(|error| self.table_failed(error))?;
        let mut claims = 0;
        loop {
            let Some(record) = read else { return Err(self.no_such_meeting()) };
            if let MeetTime::Unreadable(text) = &record.meet_time {
                warn!(meet_time = text, "meet_time is no ISO 8601 time: this meeting has no launch window");
            }
            let status = record.status.as_ref();
            let steps = match plan::plan(&record, self.now(), self.window(), &self.launcher.timing) {
                Plan::Skip(reason) => return Ok(self.skipped(status, &reason)),
                Plan::AlreadyRecorded => return Ok(self.already_recorded(&record)),
                Plan::Leased(until) => return Err(self.busy(until)),
                Plan::NotQuiescent(reason, until) => return Err(self.not_quiescent(&reason, until)),
                Plan::CleanUp(reason, open) => return self.clean_up(&record, &reason, open).await,
                Plan::Launch(steps) => steps,
            };
            let (work, failed) = self.work(&record, steps).await;
            // An attempt in the record is replayed even if the other role has failed: its machine may be up.
            if let ([], Some((_, error))) = (&work[..], failed.first()) {
                self.report(&record, error).await;
                return Err(error.clone());
            }
            match self.claim(&record, &work).await? {
                Claimed::Ours(held) => return self.launch_both(&record, work, failed, &held).await,
                Claimed::Changed(found) => read = found.map(|record| *record),
            }
            // If the record changed before the claim, wait a moment before the next one.
            claims += 1;
            let pause = Backoff::TABLE.pause(claims, self.launcher.tokens.jitter());
            if !self.deadline.fits(pause) {
                return Err(self.deadline_too_close());
            }
            self.launcher.clock.sleep(pause).await;
        }
    }

    fn role<'d>(&'d self, overrides: &'d [Result<Overrides, String>; 2], role: Role) -> OneRole<'d, P> {
        let [teacher, student] = overrides;
        let overrides = if role == Role::Teacher { teacher } else { student };
        OneRole { delivery: self, role, overrides }
    }

    async fn read(&self) -> Result<Option<Record>, AwsError> {
        let Launcher { meetings, timing, .. } = self.launcher;
        self.deadline.ask(Service::DynamoDb, timing, || meetings.read(self.meeting)).await
    }

    /// The attempts to send (those in the record, and new ones made from what was looked up), and the roles for which
    /// no attempt can be made.
    async fn work(&self, record: &Record, steps: Vec<(Role, Step)>) -> (Vec<Work>, Vec<(Role, Error)>) {
        let new = |(_, step): &(Role, Step)| matches!(step, Step::New { .. });
        let of = |role: Role| self.role(&record.overrides, role);
        let roles: Vec<OneRole<P>> =
            steps.iter().filter(|step| new(step)).map(|(role, _)| of(*role)).collect();
        let found = match (roles.is_empty(), steps.iter().all(new)) {
            (true, _) => None,
            (false, true) => Some(self.look_up(&roles).await),
            // If there is a replay, the look-up is not repeated, so that the replay does not wait for it.
            (false, false) => Some(self.look_up_at_once(&roles).await),
        };
        let found = found.map(|found| found.map_err(|error| self.lookup_failed(&error)));
        let places = |role: Role| match &found {
            Some(Ok(found)) => of(role).places(found),
            Some(Err(error)) => Err(error.clone()),
            None => Err(of(role).no_place(None)),
        };
        let pair = self.launcher.config.pair;
        let zone_for_both = match (pair, steps.len(), steps.iter().all(new)) {
            (Pair::SameAz, 2, true) => match (places(Role::Teacher), places(Role::Student)) {
                (Ok(one), Ok(other)) => plan::first_pair(&one.candidates, &other.candidates)
                    .map(|[first, _]| first.subnet.availability_zone.clone()),
                _ => None,
            },
            _ => None,
        };
        let (mut work, mut failed) = (Vec::new(), Vec::new());
        for (role, step) in steps {
            let number = match step {
                Step::Replay { attempt, unanswered } => {
                    work.push(Work { role, attempt, unanswered: Some(unanswered) });
                    continue;
                }
                Step::New { number } => number,
            };
            let zone = plan::zone_of_the_pair(pair, record, role).or(zone_for_both.as_deref());
            let made = places(role).and_then(|places| match plan::first(&places.candidates, zone) {
                Some(candidate) => of(role).attempt(number, &places, candidate),
                None => Err(of(role).no_place(zone)),
            });
            match made {
                Ok(attempt) => work.push(Work { role, attempt, unanswered: None }),
                Err(error) => failed.push((role, error)),
            }
        }
        // If no attempt can be made for one role, no new one is begun for the other: one machine alone is no meeting.
        if !failed.is_empty() {
            work.retain(|w| w.unanswered.is_some());
        }
        (work, failed)
    }

    async fn look_up(&self, roles: &[OneRole<'_, P>]) -> Result<Materials, LookupError> {
        let look_up = || async {
            match self.materials(roles).await {
                Err(LookupError::Aws(error)) => Err(error),
                other => Ok(other),
            }
        };
        let found = self.deadline.retry(self.look_up_limit(roles), Backoff::LOOK_UP, || true, look_up).await;
        found.map_err(LookupError::Aws)?
    }

    async fn look_up_at_once(&self, roles: &[OneRole<'_, P>]) -> Result<Materials, LookupError> {
        if !self.deadline.fits(self.look_up_limit(roles)) {
            return Err(LookupError::Aws(not_sent()));
        }
        self.materials(roles).await
    }

    async fn materials(&self, roles: &[OneRole<'_, P>]) -> Result<Materials, LookupError> {
        let surroundings = self.launcher.resolved_inputs().await?;
        let mut own_images = BTreeMap::new();
        for of in roles {
            if let Some(image) = of.own_image(&surroundings.origin.image.image_id).await? {
                own_images.insert(of.role, image);
            }
        }
        Ok(Materials { surroundings, own_images })
    }

    /// The time limit of all look-ups. They run one after the other: a template, an image's parameter, the image, and
    /// then the images that the record names.
    fn look_up_limit(&self, roles: &[OneRole<'_, P>]) -> Duration {
        let in_turn = match (&self.launcher.config.launch_template, &self.launcher.config.image) {
            (Some(_), _) => 3,
            (None, Source::Parameter(_)) => 2,
            (None, _) => 1,
        };
        let own = |of: &&OneRole<P>| of.overrides.as_ref().is_ok_and(|own| own.image_id.is_some());
        let own = u32::try_from(roles.iter().filter(own).count()).unwrap_or_default();
        (in_turn + own) * self.launcher.timing.ec2
    }

    async fn claim(&self, read: &Record, work: &[Work]) -> Result<Claimed, Error> {
        let now = self.now();
        let until = plan::lease_end(now, self.deadline.at, &self.launcher.timing);
        // The claim itself may take a while. With no time left to send afterwards, it would only keep others waiting.
        let claimed = after(now, self.launcher.timing.table);
        if plan::may_send(claimed, until, self.deadline.at, &self.launcher.timing) == Sending::TooLate {
            return Err(self.deadline_too_close());
        }
        let lease = Lease { owner: self.owner.clone(), until };
        let fresh = work.iter().filter(|w| w.unanswered.is_none()).map(|w| (w.role, w.attempt.clone()));
        let update = record::claim(read, lease.clone(), &fresh.collect::<Vec<_>>());
        // Look-ups and repeats take time, and the window may close meanwhile.
        let in_window = || plan::reason_to_skip(read, self.now(), self.window()).is_none();
        if !in_window() {
            return Ok(Claimed::Changed(Some(Box::new(read.clone()))));
        }
        let Launcher { meetings, timing, .. } = self.launcher;
        let write = || meetings.update(&update);
        let answer = self.deadline.retry(timing.table, Backoff::TABLE, in_window, write).await;
        match answer.map_err(|error| self.table_failed(error))? {
            Updated::Refused(found) => {
                let planned: Vec<(Role, Attempt)> =
                    work.iter().map(|w| (w.role, w.attempt.clone())).collect();
                if !found.as_ref().is_some_and(|found| plan::claim_stands(found, &self.owner, &planned)) {
                    return Ok(Claimed::Changed(found));
                }
            }
            Updated::Done => {}
        }
        info!(lease_until = %until, "lease taken");
        Ok(Claimed::Ours(Held(RefCell::new(lease))))
    }

    /// Launch both roles at once. If one failed, one write then says why.
    async fn launch_both(
        &self,
        record: &Record,
        work: Vec<Work>,
        failed: Vec<(Role, Error)>,
        held: &Held,
    ) -> Result<LaunchAnswer, Error> {
        let pair = self.launcher.config.pair;
        if let (Pair::SameAz, [one, other]) = (pair, &work[..]) {
            let ends = self.launch_pair(record, [one.clone(), other.clone()], held).await;
            self.give_up(&ends).await;
            return self.answer(ends);
        }
        let of_role = |role: Role| {
            let bound = match plan::zone_of_the_pair(pair, record, role) {
                Some(zone) => ZoneConstraint::Within(zone.to_owned()),
                None => ZoneConstraint::Anywhere,
            };
            let work = work.iter().find(|w| w.role == role).cloned();
            let error = failed.iter().find(|(of, _)| *of == role).map(|(_, error)| error.clone());
            async move {
                match (work, error) {
                    (Some(work), _) => {
                        let role = self.role(&record.overrides, role);
                        Way { role, held, bound: &bound, refusals: Refusals::default() }
                            .launch(work, record.status.clone())
                            .await
                    }
                    (None, Some(error)) => {
                        Err(NotRecorded::Failed(Box::new(Failed { error, refused: None })))
                    }
                    (None, None) => Ok(InRecord {
                        machine: answer::recorded(record.role(role)),
                        status: record.status.clone(),
                    }),
                }
            }
        };
        let (teacher, student) = tokio::join!(of_role(Role::Teacher), of_role(Role::Student));
        let ends = [(Role::Teacher, teacher), (Role::Student, student)];
        self.give_up(&ends).await;
        self.answer(ends)
    }

    /// Write the reason into the record, mark the attempts that EC2 refused, and give up the lease if no attempt of
    /// ours is open. The caller gets the error whether or not this can be written.
    async fn give_up(&self, ends: &[(Role, Result<InRecord, NotRecorded>)]) {
        let mut reasons = Vec::new();
        let mut code = None;
        let mut refused: Vec<(Role, Token)> = Vec::new();
        let mut nothing_open = true;
        for (role, end) in ends {
            match end {
                Ok(_) => {}
                Err(NotRecorded::Failed(failed)) => {
                    reasons.push(failed.error.brief());
                    code.get_or_insert(failed.error.code());
                    match &failed.refused {
                        Some(token) => refused.push((*role, token.clone())),
                        None => nothing_open = false,
                    }
                }
                // Somebody else has changed the record, and decides what happens to it.
                Err(NotRecorded::Gone | NotRecorded::Over(..) | NotRecorded::TakenOver) => return,
            }
        }
        let Some(code) = code else { return };
        let failure = Failure { reason: reasons.join(" | "), code: code.to_owned(), at: self.now() };
        let update = record::give_up(self.meeting, &self.owner, failure, &refused, nothing_open);
        self.write_down(&update).await;
    }

    /// Write a failure into the record if nothing was claimed yet.
    async fn report(&self, read: &Record, error: &Error) {
        let failure = Failure { reason: error.brief(), code: error.code().to_owned(), at: self.now() };
        self.write_down(&record::report(read, failure)).await;
    }

    async fn write_down(&self, failure: &Update) {
        match self.update(failure).await {
            Ok(Updated::Done) => info!("failure recorded"),
            Ok(Updated::Refused(_)) => info!("failure not recorded: the record has moved on"),
            Err(error) => warn!(%error, "failure not recorded"),
        }
    }

    /// The meeting is over, or outside its window: end the machines that its open attempts made and the record does not
    /// name.
    async fn clean_up(
        &self,
        record: &Record,
        reason: &Reason,
        open: Vec<(Role, Token)>,
    ) -> Result<LaunchAnswer, Error> {
        let Launcher { ec2, timing, .. } = self.launcher;
        for (role, token) in open {
            let of = self.role(&record.overrides, role);
            let found = self.deadline.ask(Service::Ec2, timing, || ec2.find(&token)).await;
            let found = found.map_err(|error| of.left_running(None, error))?;
            for machine in found.into_iter().filter(|machine| machine.state.is_live()) {
                let id = &machine.instance_id;
                match of.end(id, &token).await {
                    Ok(Ended::Ended) => {}
                    Ok(Ended::Kept) => return Err(self.taken_over()),
                    Err(error) => return Err(of.left_running(Some(id), error)),
                }
            }
        }
        Ok(self.skipped(record.status.as_ref(), reason))
    }

    async fn update(&self, update: &Update) -> Result<Updated, AwsError> {
        let Launcher { meetings, timing, .. } = self.launcher;
        self.deadline.ask(Service::DynamoDb, timing, || meetings.update(update)).await
    }

    fn now(&self) -> Timestamp {
        self.launcher.clock.now()
    }

    fn window(&self) -> Window {
        self.launcher.config.window
    }
}

impl<'d, P: LaunchPorts> OneRole<'d, P> {
    /// The image that the record names, if it is not the configured one.
    async fn own_image(&self, configured: &str) -> Result<Option<Image>, LookupError> {
        let Launcher { ec2, timing, lookups, .. } = self.delivery.launcher;
        let Ok(overrides) = self.overrides else { return Ok(None) };
        let Some(image_id) = overrides.image_id.as_ref().filter(|image| *image != configured) else {
            return Ok(None);
        };
        let found = lookups.own_image(ec2, image_id, self.delivery.now(), timing).await;
        found.map(Some).map_err(|mut error| {
            error.advice = overrides.in_place_of_settings(self.role, &error.advice).unwrap_or(error.advice);
            match error.class {
                Class::Misconfigured => LookupError::OwnImage(Box::new(error)),
                _ => LookupError::Aws(error),
            }
        })
    }

    fn places(&self, found: &Materials) -> Result<Places, Error> {
        let overrides = self.overrides()?;
        let own = found.own_images.get(&self.role);
        let ResolvedInputs { offerings, instance_types, origin, .. } = &*found.surroundings;
        let subnets = in_order(self.delivery.meeting, found.surroundings.subnets.clone());
        let markets = &self.delivery.launcher.config.markets;
        let mut candidates =
            plan::candidates_for(overrides, markets, instance_types, &subnets, offerings.as_ref());
        if let Some(image) = own {
            self.keep_fitting(&found.surroundings, image, &mut candidates)?;
        }
        Ok(Places { candidates, origin: origin.overridden(overrides, own) })
    }

    /// Keep only the candidates that the image of the record can run on.
    fn keep_fitting(
        &self,
        surroundings: &ResolvedInputs,
        image: &Image,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Error> {
        let types: Vec<String> = candidates.iter().map(|candidate| candidate.instance_type.clone()).collect();
        if let Err(error) = own_image_fits(surroundings, &self.delivery.launcher.config, image, &types) {
            let Error { problem, advice, .. } = failed_lookup(&error);
            let named = self.overrides()?.in_place_of_settings(self.role, &advice);
            let problem = format!("{self}: {problem}");
            return Err(Error::new(Kind::InvalidRecord, problem, named.unwrap_or(advice)));
        }
        candidates.retain(|candidate| image::may_run_on(image, &candidate.instance_type));
        Ok(())
    }

    fn overrides(&self) -> Result<&'d Overrides, Error> {
        self.overrides.as_ref().map_err(|what| self.wrong_override(what))
    }

    fn attempt(&self, number: u32, places: &Places, candidate: &Candidate) -> Result<Attempt, Error> {
        let LaunchDelivery { launcher, meeting, .. } = self.delivery;
        let token = launcher.tokens.token();
        plan::attempt(&launcher.config, &places.origin, meeting, self.role, number, token, candidate)
            .map_err(|reason| self.no_user_data(&reason))
    }

    /// End a machine of ours that no record names.
    async fn end(&self, instance: &InstanceId, token: &Token) -> Result<Ended, AwsError> {
        let LaunchDelivery { launcher: Launcher { meetings, ec2, timing, .. }, deadline, .. } = self.delivery;
        // The machine may have come up a moment ago.
        let known_by = after(self.delivery.now(), timing.max_effect_delay);
        let ending = Ending { meetings, ec2, deadline, timing: *timing, known_by };
        let standing = (self.delivery.meeting.clone(), self.role, token.clone());
        ending.terminate_unrecorded(instance, Some(&standing)).await.map_err(|(_, error)| error)
    }
}

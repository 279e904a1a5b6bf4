//! The promise, checked at every step. Each breach begins with the number of the promise that it breaks.

use elephant_core::config::Config;
use elephant_core::end;
use elephant_core::error::{Class, Error, Kind};
use elephant_core::launch::LaunchAnswer;
use elephant_core::machine::{Attempt, InstanceId};
use elephant_core::meeting::{MeetingId, Role, Status, allows_launch};
use elephant_core::network::Pair;
use elephant_core::plan::end::OWNER;
use elephant_core::reconcile;
use elephant_core::record::{Change, Lease, MeetTime, Record, Requires, Update};
use jiff::Timestamp;

use super::cloud::Launched;
use super::executor::{Call, InFlight, State, Verb, clock};

impl State {
    pub fn breach(&mut self, what: String) {
        self.tell(|| format!("BREACH of promise {what}"));
        self.breaches.push(what);
    }

    /// Checks every state.
    pub fn check(&mut self) {
        if self.is_known {
            return;
        }
        // Never two. Two lives of a record that was deleted and made again may overlap.
        let mut live: Vec<(String, String, u32)> = self
            .cloud
            .live()
            .map(|l| (l.meeting().to_owned(), l.role().to_owned(), self.life_of(l)))
            .collect();
        live.sort();
        if let Some(pair) = live.windows(2).find(|pair| pair[0] == pair[1]) {
            let (meeting, role, _) = pair[0].clone();
            if !self.breaches.iter().any(|breach| breach.starts_with('1')) {
                self.breach(format!("1, never two: two live machines for the {role} of {meeting}"));
            }
        }
        let past = self.known.iter().any(|known| !known.ended && self.now > known.deadline);
        if past && !self.breaches.iter().any(|breach| breach.starts_with("time")) {
            self.breach("time: a delivery is alive after its deadline".into());
        }
        self.check_nothing_is_lost();
        self.check_the_pair_is_together();
        self.check_nobody_is_left_with_the_dead();
    }

    /// If every delivery had to keep a pair in one zone, the machines that the record names are in one zone.
    fn check_the_pair_is_together(&mut self) {
        if self.known.iter().any(|known| known.config.pair != Pair::SameAz) {
            return;
        }
        let zone = |id: &InstanceId| {
            let launched = self.cloud.machines.iter().find(|l| l.machine.instance_id == *id)?;
            Some(launched.parameters.availability_zone.clone())
        };
        let zones = |record: &Record| {
            let of = |role: Role| record.role(role).instance_id.as_ref().and_then(zone);
            Some((of(Role::Teacher)?, of(Role::Student)?)).filter(|(one, other)| one != other)
        };
        if let Some((one, other)) = self.table.records.values().find_map(zones)
            && !self.breaches.iter().any(|breach| breach.starts_with("together"))
        {
            self.breach(format!("together: the teacher's machine is in {one}, the student's in {other}"));
        }
    }

    /// The record of a meeting that is on names no machine that a delivery has ended.
    fn check_nobody_is_left_with_the_dead(&mut self) {
        let named = |record: &Record| {
            let ids = Role::BOTH.map(|role| record.role(role).instance_id.clone());
            let gone = |id: &InstanceId| self.ended.contains(id) && !self.is_being_replaced(record, id);
            ids.into_iter().flatten().find(|id| !record.is_over() && gone(id))
        };
        if let Some(dead) = self.table.records.values().find_map(named)
            && !self.breaches.iter().any(|breach| breach.starts_with('2'))
        {
            self.breach(format!("2, never lost: the record names {dead}, which a delivery has ended"));
        }
    }

    /// The record says that we end and replace this machine, which it names.
    fn is_being_replaced(&self, record: &Record, id: &InstanceId) -> bool {
        self.replacing.contains(id) && !record.is_over()
    }

    /// The life of the record in which a machine's attempt was written.
    fn life_of(&self, launched: &Launched) -> u32 {
        let written = self.written.iter().rev().find(|(attempt, _)| attempt.token == launched.token);
        written.map_or(u32::MAX, |(_, life)| *life)
    }

    /// Never lost: the record names a live machine, or a delivery knows it, or its attempt is open so that the next
    /// delivery finds it. If its record was deleted, the sweep ends it.
    fn check_nothing_is_lost(&mut self) {
        let lost = self.cloud.live().find(|l| {
            let id = MeetingId::new(l.meeting()).expect("an id");
            let Some(record) = self.table.records.get(&id) else { return false };
            let alive = self.known.iter().any(|known| !known.ended && known.meeting == id);
            let by_hand =
                Role::BOTH.iter().any(|r| r.as_str() == l.role() && self.by_hand.contains(&(id.clone(), *r)));
            if alive || by_hand || self.life_of(l) != self.life(&id) {
                return false;
            }
            !Role::BOTH.into_iter().any(|role| {
                let of_role = record.role(role);
                of_role.instance_id.as_ref() == Some(&l.machine.instance_id)
                    || of_role.open_attempt().is_some_and(|attempt| attempt.token == l.token)
            })
        });
        let lost = lost.map(|l| format!("{} of the {}", l.machine.instance_id, l.role()));
        if let Some(lost) = lost
            && !self.breaches.iter().any(|breach| breach.starts_with('2'))
        {
            self.breach(format!("2, never lost: {lost} is up, no record names it, no delivery can reach it"));
        }
    }

    /// Checks a write of ours when it takes effect. `before` is the record at that moment, `claims` whether it was sent
    /// as a claim.
    pub fn check_write(&mut self, before: Option<&Record>, update: &Update, delivery: usize, claims: bool) {
        let life = self.life(&update.meeting_id);
        self.written.extend(update.changes.iter().filter_map(|change| match change {
            Change::Attempt(_, attempt) => Some((attempt.clone(), life)),
            _ => None,
        }));
        let Some(before) = before else {
            return self.breach("3, never blind: a write made a record".into());
        };
        // A sweep takes the watchdog's mistake back, the one exception.
        let revives = self.known[delivery].verb == Verb::Reconcile
            && update.requires.contains(&Requires::Status(vec![Some(Status::Terminated)]))
            && update.changes.contains(&Change::Launched);
        if revives && self.ended_unsaid.contains(&update.meeting_id) {
            self.breach("3, never blind: a meeting is revived of which somebody ended every machine".into());
        }
        if update.changes.contains(&Change::Launched)
            && !revives
            && !Status::BEFORE_LAUNCHED.contains(&before.status)
        {
            self.breach(format!("5, nothing trampled: LAUNCHED is written over {:?}", before.status));
        }
        let names = update.changes.iter().any(|change| matches!(change, Change::Instance(..)));
        if names && before.is_over() {
            self.breach("4, Ok means done: an id is written for a meeting that is over, after its machines were ended".into());
        }
        let attempts = update.changes.iter().any(|change| matches!(change, Change::Attempt(..)));
        for change in &update.changes {
            match change {
                Change::Attempt(role, _) if before.role(*role).instance_id.is_some() => self.breach(format!(
                    "3, never blind: an attempt is written for the {role}, whose machine stands in the record"
                )),
                Change::Instance(role, machine) => {
                    let standing = before.role(*role).instance_id.as_ref();
                    if standing.is_some_and(|standing| *standing != machine.instance_id) {
                        self.breach(format!(
                            "5, nothing trampled: the {role}'s machine is written over another"
                        ));
                    }
                }
                Change::Ending(role) => {
                    let named = update.requires.iter().find_map(|requirement| match requirement {
                        Requires::Instance(of, id) if of == role => id.clone(),
                        _ => None,
                    });
                    self.replacing.extend(named);
                }
                Change::Lost(role, _) => {
                    self.forgotten.insert((update.meeting_id.clone(), *role));
                }
                _ => {}
            }
        }
        if let Some(reason) = before.termination_reason.as_ref().filter(|_| claims || attempts) {
            self.breach(format!("3, never blind: a claim for a meeting that was ended, {reason}"));
        } else if (claims || attempts) && !allows_launch(&before.status) {
            self.breach(format!("3, never blind: a claim for a meeting that is {:?}", before.status));
        }
        if claims && self.outside_window(before, &self.known[delivery].config, delivery) {
            self.breach("3, never blind: a claim outside the meeting's window".into());
        }
        if claims && self.strict {
            self.check_lease_is_free(&update.meeting_id, delivery);
        }
        if claims {
            self.known[delivery].claimed = Some(life);
        }
    }

    fn outside_window(&self, record: &Record, config: &Config, delivery: usize) -> bool {
        let known = &self.known[delivery];
        let now: Timestamp = self.now + known.skew;
        // The decision is as old as the write may take.
        let past = |time: Timestamp| now > time + config.window.latest + self.truth.table;
        matches!(record.meet_time, MeetTime::At(time) if past(time) || config.window.is_before(time, now))
    }

    /// Checks a RunInstances when it is sent.
    pub fn check_launch(&mut self, attempt: &Attempt, delivery: usize) {
        if !self.written.iter().any(|(written, _)| written == attempt) {
            let token = &attempt.token;
            self.breach(format!(
                "3, never blind: {token} is sent with other parameters than were written before"
            ));
        }
        match self.known[delivery].claimed {
            None => self.breach("3, never blind: a launch without a claim".into()),
            // A record that was deleted since is beyond its reach.
            Some(life) if life != self.life(&self.known[delivery].meeting) => {}
            Some(_) if self.strict => self.check_claim_stands(attempt, delivery),
            Some(_) => {}
        }
        let other =
            |(token, _): &(_, String), bound: &_| *token == attempt.token && *bound != attempt.parameters;
        if self.cloud.tokens.iter().any(|(key, bound)| other(key, bound)) {
            self.breach(format!("1, never two: {} is sent with two sets of parameters", attempt.token));
        }
        let known = &self.known[delivery];
        if self.now + self.truth.run_instances + self.truth.reserve() > known.deadline {
            let deadline = clock(known.deadline);
            self.breach(format!(
                "time: a launch is begun that could not be recorded before the deadline {deadline}"
            ));
        }
    }

    /// Only the delivery that has the lease sends a launch, with the attempt in the record, and the launch is over
    /// before the lease ends.
    fn check_claim_stands(&mut self, attempt: &Attempt, delivery: usize) {
        let known = &self.known[delivery];
        let own_clock = self.now + known.skew;
        let Some(record) = self.table.records.get(&known.meeting) else { return };
        // Whoever ends the meeting has taken it over as it was: it is over when it would have been.
        let sends =
            |lease: &&Lease| Some(&lease.owner) == known.owner.as_ref() || lease.owner.as_str() == OWNER;
        let lease = record.lease.as_ref().filter(sends);
        let of_roles = Role::BOTH.map(|role| record.role(role).attempt.as_ref());
        let standing = of_roles.into_iter().flatten().find(|standing| standing.token == attempt.token);
        let what = match (lease, standing) {
            (None, _) => "a launch by a delivery that has not got the lease".to_owned(),
            (Some(lease), _) if own_clock + self.truth.run_instances > lease.until => {
                format!("a launch that may be unanswered when the lease ends at {}", clock(lease.until))
            }
            (_, None) => format!("{} is sent and stands in no record", attempt.token),
            (_, Some(standing)) if standing.refused => {
                format!("{} is sent although it was marked as refused", attempt.token)
            }
            _ => return,
        };
        self.breach(format!("3, never blind: {what}"));
    }

    /// Checks a lease when it is taken: no other delivery's launch is under way.
    fn check_lease_is_free(&mut self, meeting: &MeetingId, delivery: usize) {
        let limit = self.truth.run_instances;
        let other = self.pending.iter().find(|p| {
            let other = &self.known[p.delivery];
            p.delivery != delivery
                && other.meeting == *meeting
                && other.claimed == Some(self.life(meeting))
                && matches!(p.call, Call::RunInstances(_))
                && self.now < p.sent + limit
        });
        if let Some(other) = other.map(|p| p.delivery) {
            self.breach(format!(
                "3, never blind: the lease is taken while a launch of delivery {other} is under way"
            ));
        }
    }

    /// Checks an ending when we end a machine.
    pub fn check_end(&mut self, id: &InstanceId) {
        if self.has_role_tag(id) {
            self.breach(format!(
                "5, nothing trampled: {id} is ended with its Role tag, so the watchdog ends the meeting"
            ));
        }
        let recorded = |record: &Record| {
            !record.is_over()
                && Role::BOTH.iter().any(|role| record.role(*role).instance_id.as_ref() == Some(id))
                && !self.is_being_replaced(record, id)
        };
        if self.table.records.values().any(recorded) {
            self.breach(format!(
                "2, never lost: {id} is ended although the record of a meeting that is on names it"
            ));
        }
    }

    /// Checks a delivery when it ends.
    pub fn check_result(&mut self, delivery: usize, result: &Result<LaunchAnswer, Error>) {
        self.known[delivery].ended = true;
        let meeting = self.known[delivery].meeting.clone();
        self.tell(|| match result {
            Ok(answer) => match &answer.skipped {
                Some(reason) => format!("delivery {delivery} ends: nothing launched, {reason}"),
                None => format!("delivery {delivery} ends: launched"),
            },
            Err(error) => format!("delivery {delivery} ends: {error:?}"),
        });
        // The engine's own word for a request that it kept back; it shows in how the delivery ends.
        if result.as_ref().is_err_and(|error| error.kind == Kind::DeadlineTooClose) {
            self.classes.insert(Class::NotSent);
        }
        if let Ok(answer) = result {
            // A record that was deleted and made again since is another meeting's, as far as this answer goes.
            if self.known[delivery].read == Some(self.life(&meeting)) {
                self.check_ok(&meeting, answer);
            }
        }
        self.check();
    }

    /// Checks a delivery of `end` when it ends.
    pub fn check_ending(&mut self, delivery: usize, result: &Result<end::EndAnswer, Error>) {
        self.known[delivery].ended = true;
        let meeting = self.known[delivery].meeting.clone();
        self.tell(|| format!("delivery {delivery} has ended the meeting: {result:?}"));
        // What another program did since it looked last is not its answer's affair.
        let acts = self.acts.get(&meeting).copied().unwrap_or_default();
        let same_life = self.known[delivery].read == Some(self.life(&meeting));
        if result.is_ok() && same_life && self.known[delivery].acts_before == acts {
            self.check_over(&meeting);
        }
        self.check();
    }

    /// The meeting is over, none of its machines lives, and none can appear any more.
    pub fn check_over(&mut self, meeting: &MeetingId) {
        let by_hand = |role: &Role| self.by_hand.contains(&(meeting.clone(), *role));
        if Role::BOTH.iter().any(by_hand) {
            return;
        }
        let life = self.life(meeting);
        let of_this_life = |attempt: &&Attempt| {
            attempt.parameters.tags["MeetingID"] == meeting.as_str()
                && self.written.iter().any(|(a, of)| a.token == attempt.token && *of == life)
        };
        let live = self
            .cloud
            .live()
            .find(|l| l.meeting() == meeting.as_str() && self.life_of(l) == life)
            .map(|l| l.machine.instance_id.clone());
        let sent = self.pending.iter().filter_map(|p| match &p.call {
            Call::RunInstances(attempt) => Some(attempt),
            _ => None,
        });
        let coming = self
            .in_flight
            .iter()
            .filter_map(InFlight::launch)
            .chain(sent)
            .filter(of_this_life)
            .find(|attempt| !self.cloud.has_seen(attempt))
            .map(|attempt| attempt.token.clone());
        let record = self.table.records.get(meeting);
        let what = match (live, coming, record) {
            (Some(id), ..) => format!("{id} is up"),
            (_, Some(token), _) => format!("a machine of {token} may still come"),
            (.., Some(record)) if record.termination_reason.is_none() => "nothing says why".to_owned(),
            _ => return,
        };
        self.breach(format!("end: the meeting was ended, and {what}"));
    }

    /// Checks a sweep when it ends.
    pub fn check_sweep(&mut self, delivery: usize, result: &Result<reconcile::ReconcileAnswer, Error>) {
        self.known[delivery].ended = true;
        self.tell(|| format!("delivery {delivery} has swept: {result:?}"));
        self.check();
    }

    /// Ok means done.
    fn check_ok(&mut self, meeting: &MeetingId, answer: &LaunchAnswer) {
        let Some(record) = self.table.records.get(meeting) else { return };
        let by_hand = |role: &Role| self.by_hand.contains(&(meeting.clone(), *role));
        if Role::BOTH.iter().any(by_hand) {
            return;
        }
        let this_life =
            |l: &&Launched| l.meeting() == meeting.as_str() && self.life_of(l) == self.life(meeting);
        let named = |l: &Launched| {
            Role::BOTH
                .iter()
                .any(|role| record.role(*role).instance_id.as_ref() == Some(&l.machine.instance_id))
        };
        let unnamed = self.cloud.live().filter(this_life).find(|l| !named(l));
        let coming = self.in_flight.iter().filter_map(InFlight::launch).find(|attempt| {
            attempt.parameters.tags["MeetingID"] == meeting.as_str()
                && self
                    .written
                    .iter()
                    .any(|(a, life)| a.token == attempt.token && *life == self.life(meeting))
                && !self.cloud.machines.iter().any(|l| l.token == attempt.token)
        });
        let missing = Role::BOTH.into_iter().find(|role| record.role(*role).instance_id.is_none());
        let what = match (&answer.skipped, unnamed, coming, missing) {
            (_, Some(l), ..) => format!("{} is up and the record does not name it", l.machine.instance_id),
            (_, _, Some(attempt), _) => format!("a machine of {} may still come", attempt.token),
            (None, _, _, Some(role))
                if !self.was_made_anew(meeting) && !self.forgotten.contains(&(meeting.clone(), role)) =>
            {
                format!("the {role}'s id does not stand")
            }
            (None, ..)
                if matches!(record.status, None | Some(Status::Scheduled))
                    && !self.was_made_anew(meeting) =>
            {
                format!("the status is still {:?}", record.status)
            }
            _ => return,
        };
        self.breach(format!("4, Ok means done: {what}"));
    }

    fn was_made_anew(&self, meeting: &MeetingId) -> bool {
        self.life(meeting) > 0
    }
}

//! Switches off one guard of the protocol, to show that the check would notice.
//!
//! Nothing of this is in the shipped code. The world weakens a write on its way to the table, hides something from a
//! read, sends another request than it was given, or gives the engine wrong timings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use elephant_core::error::AwsError;
use elephant_core::fleet::{Looked, MeetingSnapshot, ObservedMachine};
use elephant_core::machine::{Attempt, InstanceId, Machine, Parameters, State as Condition, Token};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::plan::end::OWNER;
use elephant_core::record::{Change, Owner, Record, Requires, Update};
use elephant_core::timing::Timing;

use super::executor::{State, Verb};

macro_rules! guards {
    ($($guard:ident)*) => {
        /// A guard of the launch protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Guard { $($guard),* }

        impl Guard {
            pub const ALL: &[Guard] = &[$(Guard::$guard),*];
        }
    };
}

guards! {
    // The claim.
    TheClaimComparesTheLease
    TheClaimComparesTheAttempts
    TheClaimComparesWhatWasRefused
    TheClaimComparesTheIds
    TheClaimComparesTheStatus
    TheClaimComparesTheTime
    TheAttemptIsWrittenFirst
    // The lease.
    TheLease
    TheLeaseExpires
    TheLeaseIsRenewed
    TheRenewalComparesTheLease
    SkewIsAllowedFor
    AnOwnerForEachDelivery
    // The attempt.
    ParametersComeFromTheRecord
    ARandomToken
    ANewTokenForANewAttempt
    TheSdkRepeatsNoLaunch
    ALostAnswerIsReplayed
    ARefusalAfterAnUnansweredSendingWaits
    ARefusedReplayIsLookedUp
    TheNextAttemptIsOurs
    TheNextAttemptComparesTheToken
    TheNextAttemptNeedsNoId
    TheNextAttemptNeedsTheMeetingOn
    // The record.
    AnUpdateMakesNoRecord
    TheRecordComparesTheToken
    TheRecordNeedsNoOtherId
    TheRecordNeedsTheMeetingOn
    EachRoleMovesTheStatus
    TheStatusOnlyMovesForward
    // The end.
    AnOpenAttemptKeepsItsLease
    AnOpenAttemptIsNotMarkedRefused
    TheCleanUpWaits
    TheEndIsWrittenFirst
    WhatIsEndedIsNotRecorded
    TheRoleTagGoesFirst
    ARecordedMachineIsKept
    // The pair.
    APairMovesTogether
    WhatMovesIsEndedFirst
    BothMoveInOneWrite
    TheReserveBeforeTheDeadline
    // Whoever ends the meeting.
    TheEndTakesTheLease
    TheEndWaits
    AReasonIsTheEnd
    WhatSomebodyEndedStaysEnded
    // What EC2 shows.
    WhatIsNotListedIsLookedAt
    AYoungMachineIsNotMissing
    WhatIsStoppedIsStarted
    // When a meeting may be launched.
    AWindowHasTwoEnds
}

impl Guard {
    /// Whether the guard protects what a sweep sees, and so what two sweeps can repair.
    pub fn is_of_the_sweep(self) -> bool {
        matches!(self, Guard::WhatIsNotListedIsLookedAt | Guard::WhatIsStoppedIsStarted)
    }
}

/// The write in `record.rs` that an update is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Claim,
    Renewal,
    NextAttempt,
    Id(Role),
    GiveUp,
    End,
    Close,
}

pub fn is_claim(update: &Update) -> bool {
    write_of(update) == Write::Claim
}

fn write_of(update: &Update) -> Write {
    let has = |wanted: fn(&Change) -> bool| update.changes.iter().any(wanted);
    let role = update.changes.iter().find_map(|change| match change {
        Change::Instance(role, _) => Some(*role),
        _ => None,
    });
    if let Some(role) = role {
        Write::Id(role)
    } else if has(|change| matches!(change, Change::Ending(_))) {
        Write::End
    } else if has(|change| matches!(change, Change::Terminated(_))) {
        Write::Close
    } else if has(|change| matches!(change, Change::Failure(_))) {
        Write::GiveUp
    } else if has(|change| matches!(change, Change::Lease(_))) {
        let claims = update.requires.iter().any(|r| matches!(r, Requires::Status(_)));
        if claims { Write::Claim } else { Write::Renewal }
    } else {
        Write::NextAttempt
    }
}

impl State {
    /// The timings that the engine is given.
    pub fn timing(&self) -> Timing {
        let truth = self.truth;
        match self.off {
            Some(Guard::SkewIsAllowedFor) => Timing { skew: Duration::ZERO, ..truth },
            Some(Guard::ARefusalAfterAnUnansweredSendingWaits) => {
                Timing { max_effect_delay: Duration::ZERO, ..truth }
            }
            Some(Guard::TheReserveBeforeTheDeadline) => Timing { table: Duration::from_millis(1), ..truth },
            _ => truth,
        }
    }

    /// Changes a write on its way to the table.
    pub fn sabotaged(&self, update: &Update) -> Update {
        let Some(off) = self.off else { return update.clone() };
        let mut update = update.clone();
        if off == Guard::AReasonIsTheEnd {
            update.requires.retain(|r| !matches!(r, Requires::TerminationReason(_)));
        }
        let write = write_of(&update);
        let drop = |update: &mut Update, which: fn(&Requires) -> bool| update.requires.retain(|r| !which(r));
        match (off, write) {
            (Guard::TheClaimComparesTheLease | Guard::TheLease, Write::Claim) => {
                drop(&mut update, |r| matches!(r, Requires::Lease(_)));
            }
            (Guard::TheClaimComparesTheAttempts, Write::Claim) => {
                drop(&mut update, |r| matches!(r, Requires::Attempt(..)));
            }
            (Guard::TheClaimComparesWhatWasRefused, Write::Claim) => {
                for requirement in &mut update.requires {
                    if let Requires::Attempt(role, Some((token, _))) = requirement {
                        *requirement = Requires::Token(*role, token.clone());
                    }
                }
            }
            (Guard::TheRecordComparesTheToken, Write::Id(_)) => {
                drop(&mut update, |r| matches!(r, Requires::Token(..)));
            }
            (Guard::TheRenewalComparesTheLease, Write::Renewal) => {
                for requirement in &mut update.requires {
                    if let Requires::Lease(Some(lease)) = requirement {
                        *requirement = Requires::Owner(lease.owner.clone());
                    }
                }
            }
            (Guard::TheClaimComparesTheIds, Write::Claim) => {
                drop(&mut update, |r| matches!(r, Requires::Instance(..)));
            }
            (Guard::TheClaimComparesTheStatus, Write::Claim)
            | (Guard::TheNextAttemptNeedsTheMeetingOn, Write::NextAttempt) => {
                drop(&mut update, |r| matches!(r, Requires::Status(_) | Requires::TerminationReason(_)));
            }
            (Guard::TheClaimComparesTheTime, Write::Claim) => {
                drop(&mut update, |r| matches!(r, Requires::MeetTime(_)));
            }
            (Guard::TheAttemptIsWrittenFirst, Write::Claim) => {
                update.changes.retain(|change| !matches!(change, Change::Attempt(..)));
            }
            (Guard::TheLeaseIsRenewed, Write::Renewal) => update.changes.clear(),
            (Guard::TheNextAttemptIsOurs, Write::NextAttempt) => {
                drop(&mut update, |r| matches!(r, Requires::Owner(_)));
            }
            (Guard::TheNextAttemptComparesTheToken, Write::NextAttempt) => {
                drop(&mut update, |r| matches!(r, Requires::Token(..)));
            }
            (Guard::TheNextAttemptNeedsNoId, Write::NextAttempt) => {
                drop(&mut update, |r| matches!(r, Requires::Instance(..)));
            }
            (Guard::TheRecordNeedsNoOtherId, Write::Id(_)) => {
                drop(&mut update, |r| matches!(r, Requires::NoOtherInstance(..)));
            }
            (Guard::BothMoveInOneWrite, Write::NextAttempt) => update.changes.truncate(1),
            (Guard::TheEndIsWrittenFirst, Write::End) => update.changes.clear(),
            (Guard::WhatIsEndedIsNotRecorded, Write::Id(_)) => {
                drop(&mut update, |r| matches!(r, Requires::NotEnding(_)));
            }
            (Guard::ARecordedMachineIsKept, Write::End) => {
                drop(&mut update, |r| matches!(r, Requires::Instance(..)));
            }
            (Guard::AnUpdateMakesNoRecord, _) => {
                drop(&mut update, |r| {
                    matches!(r, Requires::Exists | Requires::Token(..) | Requires::Owner(_))
                });
                // A path inside a map that is not there cannot be set, with or without a condition.
                let standing = self.table.records.get(&update.meeting_id);
                let attempted =
                    |role: &Role| standing.is_some_and(|record| record.role(*role).attempt.is_some());
                update.changes.retain(|change| match change {
                    Change::Refused(role) | Change::Ending(role) => attempted(role),
                    _ => true,
                });
            }
            (Guard::TheRecordNeedsTheMeetingOn, Write::Id(_)) => {
                let standing = self.table.records.get(&update.meeting_id);
                if standing.is_some_and(|record| record.is_over()) {
                    drop(&mut update, |r| matches!(r, Requires::Status(_) | Requires::TerminationReason(_)));
                    update.changes.retain(|change| *change != Change::Launched);
                }
            }
            (Guard::TheStatusOnlyMovesForward, Write::Id(_)) => {
                for requirement in &mut update.requires {
                    if let Requires::Status(statuses) = requirement {
                        *statuses = [Status::BEFORE_LAUNCHED, Status::BEYOND_LAUNCHED].concat();
                    }
                }
            }
            (Guard::AnOpenAttemptKeepsItsLease, Write::GiveUp) => update.changes.push(Change::DropLease),
            (Guard::AnOpenAttemptIsNotMarkedRefused, Write::GiveUp) => {
                let open = |role: &Role| {
                    let record = self.table.records.get(&update.meeting_id);
                    record.is_some_and(|record| record.role(*role).open_attempt().is_some())
                };
                let roles: Vec<Role> = Role::BOTH.into_iter().filter(open).collect();
                update.changes.extend(roles.into_iter().map(Change::Refused));
                update.changes.push(Change::DropLease);
            }
            _ => {}
        }
        update
    }

    /// Changes a write when its delivery decides on it, before it is sent.
    pub fn as_decided(&self, update: &Update) -> Update {
        let mut update = update.clone();
        if let (Some(Guard::EachRoleMovesTheStatus), Write::Id(role)) = (self.off, write_of(&update)) {
            let standing = self.table.records.get(&update.meeting_id);
            let others = Role::BOTH.into_iter().filter(|other| *other != role);
            let last = |other: Role| standing.is_some_and(|record| record.role(other).instance_id.is_some());
            if !others.into_iter().all(last) {
                update.changes.retain(|change| *change != Change::Launched);
            }
        }
        update
    }

    /// Changes a record before a delivery sees it.
    pub fn as_read(&self, record: Option<Record>, by: Verb) -> Option<Record> {
        let mut record = record?;
        match self.off {
            Some(Guard::TheLease) => record.lease = None,
            Some(Guard::AReasonIsTheEnd) => record.termination_reason = None,
            Some(Guard::TheLeaseExpires) => {
                if let Some(lease) = &mut record.lease {
                    lease.until = super::start() + Duration::from_secs(1_000_000_000);
                }
            }
            Some(Guard::TheEndTakesTheLease) if by == Verb::End => {
                if let Some(lease) = &mut record.lease {
                    lease.owner = Owner::from(OWNER);
                }
            }
            Some(Guard::TheEndWaits) if by == Verb::End => {
                if let Some(lease) = &mut record.lease {
                    lease.until = super::start() - Duration::from_secs(3600);
                    lease.owner = Owner::from(OWNER);
                }
            }
            Some(Guard::TheCleanUpWaits) if record.is_over() => {
                if let Some(lease) = &mut record.lease {
                    lease.until = super::start() - Duration::from_secs(3600);
                }
            }
            _ => {}
        }
        Some(record)
    }

    /// Changes records before a sweep sees them.
    pub fn as_read_all(&self, meetings: &BTreeSet<MeetingId>) -> BTreeMap<MeetingId, MeetingSnapshot> {
        let mut all = self.table.read_all(meetings);
        for watched in all.values_mut() {
            let MeetingSnapshot::Stands { record, .. } = watched else { continue };
            match self.off {
                Some(Guard::AReasonIsTheEnd) => record.termination_reason = None,
                Some(Guard::AYoungMachineIsNotMissing) => {
                    let long_ago = super::start() - Duration::from_secs(24 * 3600);
                    let launched = Role::BOTH.map(|role| record.role(role).launched_at.is_some());
                    for (role, _) in Role::BOTH.into_iter().zip(launched).filter(|(_, launched)| *launched) {
                        record.role_mut(role).launched_at = Some(long_ago);
                    }
                }
                _ => {}
            }
        }
        all
    }

    pub fn as_found(&self, token: &Token) -> Result<Vec<Machine>, AwsError> {
        match self.off {
            Some(Guard::ARefusedReplayIsLookedUp) => Ok(Vec::new()),
            _ => self.cloud.find(token),
        }
    }

    pub fn as_listed(&self, project: &str) -> Result<Vec<ObservedMachine>, AwsError> {
        self.cloud.list(project).map(|seen| self.as_seen(seen))
    }

    pub fn as_looked(&self, instances: &[InstanceId]) -> Looked {
        match self.off {
            Some(Guard::WhatIsNotListedIsLookedAt) => Looked::default(),
            _ => {
                let Looked { seen, missing } = self.cloud.look(instances);
                Looked { seen: self.as_seen(seen), missing }
            }
        }
    }

    fn as_seen(&self, mut seen: Vec<ObservedMachine>) -> Vec<ObservedMachine> {
        for observed in &mut seen {
            let machine = &mut observed.machine;
            match self.off {
                Some(Guard::WhatSomebodyEndedStaysEnded) => machine.state_reason = None,
                Some(Guard::WhatIsStoppedIsStarted) if machine.state == Condition::Stopped => {
                    machine.state = Condition::Running;
                }
                _ => {}
            }
        }
        seen
    }

    /// The request that is sent for an attempt.
    pub fn as_sent(&self, attempt: &Attempt, delivery: usize) -> Attempt {
        let config = &self.known[delivery].config;
        let mut attempt = attempt.clone();
        if self.off == Some(Guard::ParametersComeFromTheRecord) {
            let p = attempt.parameters;
            let subnet = self.cloud.subnets.iter().find(|subnet| {
                config.zones(None).is_none_or(|zones| zones.contains(&subnet.availability_zone))
            });
            let subnet = subnet.expect("there is one");
            attempt.parameters = Parameters {
                image_id: config.image.to_string(),
                subnet_id: subnet.subnet_id.clone(),
                availability_zone: subnet.availability_zone.clone(),
                ..p
            };
        }
        attempt
    }

    /// Whether the machine has its `Role` tag: if we end it then, the watchdog takes that for the end of the meeting.
    pub fn has_role_tag(&self, id: &InstanceId) -> bool {
        self.cloud
            .machines
            .iter()
            .any(|l| l.machine.instance_id == *id && l.machine.tags.contains_key("Role"))
    }
}

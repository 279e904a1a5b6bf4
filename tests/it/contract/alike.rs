//! The same random requests to the world and to the adapters, and the same answers from both: for whatever no promise has
//! thought of. The seed is fixed; a difference is shrunk to the shortest story that shows it. `CONTRACT_STORIES=20` tells
//! twenty times as many.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use elephant_core::error::Class;
use elephant_core::machine::{Attempt, InstanceId, Machine, ROLE_TAG, Token, tags};
use elephant_core::meeting::{MeetingId, Role};
use elephant_core::ports::{FindByToken, Machines, Meetings, Terminate, Updated};
use elephant_core::record::{
    self, Change, Lease, Owner, Record, Recorded, Requires, RoleRecord, StatusMove, Update,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestError, TestRng, TestRunner};

use super::Stage;
use super::memory::Memory;
use super::samples::*;
use super::wire::Wire;
use elephant_world::cloud::TerminatedToken;

#[test]
fn the_table_and_the_world_answer_alike() {
    let wire = Wire::new();
    let story = (prop::option::weighted(0.9, any_record()), prop::collection::vec(any_step(), 1..8));
    each(32, story, |(record, steps)| {
        let memory = Memory::named(wire.name());
        wire.run(tell(&memory, &wire, record, steps))
    });
}

#[test]
fn ec2_and_the_world_answer_alike() {
    let wire = Wire::new();
    let mut stories = 0;
    each(16, prop::collection::vec(any_op(), 1..14), |ops| {
        stories += 1;
        let memory = Memory::named(wire.name());
        wire.run(play(&memory, &wire, stories, ops))
    });
}

fn each<S: Strategy>(cases: u32, stories: S, mut alike: impl FnMut(S::Value) -> Result<(), String>)
where
    S::Value: Debug,
{
    let times = std::env::var("CONTRACT_STORIES").map_or(1, |times| times.parse().expect("a number"));
    let config = Config { cases: times * cases, max_shrink_iters: 300, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let alike = std::cell::RefCell::new(&mut alike);
    let told = TestRunner::new_with_rng(config, rng)
        .run(&stories, |story| (alike.borrow_mut())(story).map_err(TestCaseError::fail));
    match told {
        Ok(()) => {}
        Err(TestError::Fail(difference, story)) => panic!("{difference}\nafter {story:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn same<T: PartialEq + Debug>(what: &str, world: T, wire: T) -> Result<T, String> {
    match world == wire {
        true => Ok(world),
        false => Err(format!("{what}\nin memory: {world:#?}\non the wire: {wire:#?}")),
    }
}

// The table.

#[derive(Clone, Debug)]
enum Step {
    /// A write of `record.rs` by a delivery that has read the record so many steps ago.
    Write(Write, usize),
    /// Any other that can be said.
    Any(Vec<Requirement>, Vec<Change>),
    /// Another program writes the record anew, or deletes it.
    Put(Option<Box<Record>>),
}

#[derive(Clone, Debug)]
enum Write {
    Claim(Lease, Vec<(Role, Attempt)>),
    Renew(Lease),
    Next(Owner, Role, Box<Attempt>),
    Instance(Role, Recorded, bool),
    GiveUp(Owner, Vec<Role>, bool),
    Report,
}

#[derive(Clone, Debug)]
enum Requirement {
    /// The one of this kind that holds of the record as it stands.
    Fitting(usize, Role),
    Any(Requires),
}

async fn tell(memory: &Memory, wire: &Wire, record: Option<Record>, steps: Vec<Step>) -> Result<(), String> {
    let meeting = meeting(wire);
    let here = |mut record: Record| {
        record.meeting_id = meeting.clone();
        for role in Role::BOTH {
            let of_role = record.role_mut(role);
            of_role.attempt = of_role.attempt.take().map(|attempt| attempt_of(&meeting, role, attempt));
        }
        record
    };
    memory.run(put(memory, record.clone().map(here)));
    put(wire, record.map(here)).await;
    let mut history = vec![memory.run(memory.meetings().read(&meeting)).expect("it is in memory")];
    for step in steps {
        let update = match step {
            Step::Put(record) => {
                let record = record.map(|record| here(*record));
                memory.run(put(memory, record.clone()));
                put(wire, record.clone()).await;
                history.push(record);
                continue;
            }
            Step::Write(write, ago) => {
                let read = &history[history.len().saturating_sub(1 + ago)];
                match read.as_ref().map(|read| of_record(read, write)) {
                    Some(update) => update,
                    None => continue,
                }
            }
            Step::Any(requires, changes) => {
                let standing = history.last().and_then(Option::as_ref);
                of_wishes(&meeting, standing, requires, changes)
            }
        };
        let answers = (memory.run(memory.meetings().update(&update)), wire.meetings().update(&update).await);
        match same(&format!("the answer to {update:#?}"), answers.0, answers.1)? {
            Ok(Updated::Done) => {
                let said = (memory.run(memory.failure(&meeting)), wire.failure(&meeting).await);
                let _ = same(&format!("what the operator is told after {update:#?}"), said.0, said.1)?;
                let read =
                    (memory.run(memory.meetings().read(&meeting)), wire.meetings().read(&meeting).await);
                let read = same(&format!("the record after {update:#?}"), read.0, read.1)?;
                history.push(read.map_err(|error| error.to_string())?);
            }
            Ok(Updated::Refused(found)) => history.push(found.map(|record| *record)),
            Err(error) => return Err(error.to_string()),
        }
    }
    let read = (memory.run(memory.meetings().read(&meeting)), wire.meetings().read(&meeting).await);
    same("the record in the end", read.0, read.1).map(drop)
}

/// An attempt has the tags of its meeting and role, or it is none of ours.
fn attempt_of(meeting: &MeetingId, role: Role, mut attempt: Attempt) -> Attempt {
    attempt.parameters.tags.extend(tags(meeting, role, "Elephant"));
    attempt
}

async fn put(stage: &impl Stage, record: Option<Record>) {
    match record {
        Some(record) => stage.put(&record).await,
        None => stage.delete(&meeting(stage)).await,
    }
}

fn of_record(read: &Record, write: Write) -> Update {
    let m = &read.meeting_id;
    let standing = |role: Role| match &read.role(role).attempt {
        Some(attempt) => attempt.token.clone(),
        None => token("token-1"),
    };
    match write {
        Write::Claim(lease, attempts) => {
            let attempts = attempts.into_iter().map(|(role, attempt)| (role, attempt_of(m, role, attempt)));
            record::claim(read, lease, &attempts.collect::<Vec<_>>())
        }
        Write::Renew(lease) => {
            let until = lease.until;
            record::renew(m, read.lease.clone().unwrap_or(lease), until)
        }
        Write::Next(owner, role, next) => {
            record::next_attempt(m, &owner, role, &standing(role), attempt_of(m, role, *next))
        }
        Write::Instance(role, machine, fits) => {
            let status = match (StatusMove::from_status(&read.status), fits) {
                (status, true) => status,
                (StatusMove::Keep, false) => StatusMove::ToLaunched,
                (StatusMove::ToLaunched, false) => StatusMove::Keep,
            };
            record::instance(m, role, &standing(role), machine, status)
        }
        Write::GiveUp(owner, roles, nothing_open) => {
            let refused: Vec<_> = roles.into_iter().map(|role| (role, standing(role))).collect();
            record::give_up(m, &owner, failure("why"), &refused, nothing_open)
        }
        Write::Report => record::report(read, failure("a report")),
    }
}

/// DynamoDB refuses an update that marks an attempt which is not there, and `record.rs` makes none: it requires the
/// attempt's token.
fn of_wishes(
    meeting: &MeetingId,
    standing: Option<&Record>,
    wishes: Vec<Requirement>,
    changes: Vec<Change>,
) -> Update {
    let at_home = |change| match change {
        Change::Attempt(role, attempt) => Change::Attempt(role, attempt_of(meeting, role, attempt)),
        other => other,
    };
    let changes: Vec<Change> = changes.into_iter().map(at_home).collect();
    let mut requires: Vec<Requires> = wishes.into_iter().map(|wish| wish.of(standing)).collect();
    for change in &changes {
        if let Change::Refused(role) | Change::Ending(role) = change {
            let attempt = standing.and_then(|record| record.role(*role).attempt.as_ref());
            let token = attempt.map_or(token("token-1"), |attempt| attempt.token.clone());
            requires.push(Requires::Token(*role, token));
        }
    }
    Update { meeting_id: meeting.clone(), requires, changes }
}

impl Requirement {
    fn of(self, standing: Option<&Record>) -> Requires {
        let (kind, role) = match self {
            Requirement::Any(requires) => return requires,
            Requirement::Fitting(kind, role) => (kind, role),
        };
        let Some(record) = standing else { return Requires::Lease(None) };
        let of_role = record.role(role);
        let attempt = || of_role.attempt.as_ref().map(|attempt| (attempt.token.clone(), attempt.refused));
        match (kind, &record.lease, attempt()) {
            (0, ..) => Requires::Exists,
            (1, Some(lease), _) => Requires::Owner(lease.owner.clone()),
            (2, ..) => Requires::Status(vec![record.status.clone()]),
            (3, ..) => Requires::Instance(role, of_role.instance_id.clone()),
            (4, ..) => Requires::NoOtherInstance(role, of_role.instance_id.clone().unwrap_or(id("i-1"))),
            (5, _, Some((token, _))) => Requires::Token(role, token),
            (6, _, attempt) => Requires::Attempt(role, attempt),
            (_, lease, _) => Requires::Lease(lease.clone()),
        }
    }
}

fn any_role() -> impl Strategy<Value = Role> + Clone {
    select(Role::BOTH.to_vec())
}

fn any_owner() -> impl Strategy<Value = Owner> + Clone {
    select(vec![Owner::from("me"), Owner::from("you")])
}

/// Two of them differ by less than the record can tell.
fn any_lease() -> impl Strategy<Value = Lease> + Clone {
    let until = select(vec![
        at(30),
        at(30) + Duration::from_micros(300),
        at(30) + Duration::from_micros(1700),
        at(60),
    ]);
    (any_owner(), until).prop_map(|(owner, until)| Lease { owner, until })
}

/// A record is read as it was written: to the millisecond.
fn any_kept_lease() -> impl Strategy<Value = Lease> + Clone {
    (any_owner(), select(vec![at(30), at(60)])).prop_map(|(owner, until)| Lease { owner, until })
}

fn any_token() -> impl Strategy<Value = Token> + Clone {
    select(vec![token("token-1"), token("token-2"), token("token-3")])
}

fn any_attempt() -> impl Strategy<Value = Attempt> + Clone {
    (any_token(), any::<bool>(), any::<bool>()).prop_map(|(token, full, refused)| {
        let any = MeetingId::new("any").expect("an id");
        let attempt = if full { full_attempt } else { plain_attempt };
        Attempt { refused, ..attempt(&any, Role::Teacher, token.as_str()) }
    })
}

fn any_id() -> impl Strategy<Value = InstanceId> + Clone {
    select(vec![id("i-1"), id("i-2")])
}

fn any_record() -> impl Strategy<Value = Record> + Clone {
    let of_role = || {
        (prop::option::weighted(0.3, any_id()), prop::option::of(any_attempt()))
            .prop_map(|(instance_id, attempt)| RoleRecord { instance_id, attempt, launched_at: None })
    };
    let status = select(every_status().to_vec());
    let time = select(every_meet_time().to_vec());
    let reason = select(vec![None, None, Some("ended".to_owned())]);
    (status, reason, time, prop::option::of(any_kept_lease()), of_role(), of_role()).prop_map(
        |(status, termination_reason, meet_time, lease, teacher, student)| {
            let any = elephant_world::timed(elephant_world::scheduled("any"), meet_time);
            Record { status, termination_reason, lease, teacher, student, ..any }
        },
    )
}

fn any_requirement() -> impl Strategy<Value = Requirement> {
    let any = prop_oneof![
        Just(Requires::Exists),
        prop::option::of(any_lease()).prop_map(Requires::Lease),
        any_owner().prop_map(Requires::Owner),
        prop::collection::vec(select(every_status().to_vec()), 1..4).prop_map(Requires::Status),
        (any_role(), prop::option::of(any_id())).prop_map(|(role, id)| Requires::Instance(role, id)),
        (any_role(), any_id()).prop_map(|(role, id)| Requires::NoOtherInstance(role, id)),
        (any_role(), prop::option::of((any_token(), any::<bool>())))
            .prop_map(|(role, attempt)| Requires::Attempt(role, attempt)),
        (any_role(), any_token()).prop_map(|(role, token)| Requires::Token(role, token)),
        select(vec![None, Some("ended".to_owned())]).prop_map(Requires::TerminationReason),
        select(vec![None, Some(elephant_world::meet_time().to_string())]).prop_map(Requires::MeetTime),
    ];
    prop_oneof![
        3 => (0..8_usize, any_role()).prop_map(|(kind, role)| Requirement::Fitting(kind, role)),
        1 => any.prop_map(Requirement::Any),
    ]
}

/// At most one of an attribute, and at least one of all: DynamoDB refuses the others.
fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    let some = prop::option::weighted::<BoxedStrategy<Change>>;
    let lease = prop_oneof![any_lease().prop_map(Change::Lease), Just(Change::DropLease)];
    let attempt = |role| {
        prop_oneof![
            any_attempt().prop_map(move |attempt| Change::Attempt(role, attempt)),
            Just(Change::Refused(role)),
            Just(Change::Ending(role))
        ]
    };
    let instance = |role| any_id().prop_map(move |id| Change::Instance(role, recorded(id.as_str())));
    let failure = select(vec![Change::Failure(failure("any")), Change::ForgetFailure]);
    let groups = (
        some(0.4, lease.boxed()),
        some(0.3, attempt(Role::Teacher).boxed()),
        some(0.3, attempt(Role::Student).boxed()),
        some(0.3, instance(Role::Teacher).boxed()),
        some(0.3, instance(Role::Student).boxed()),
        some(0.3, Just(Change::Launched).boxed()),
        some(0.3, failure.boxed()),
    );
    groups.prop_map(|(a, b, c, d, e, f, g)| {
        let changes: Vec<Change> = [a, b, c, d, e, f, g].into_iter().flatten().collect();
        if changes.is_empty() { vec![Change::Launched] } else { changes }
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let roles = || prop::sample::subsequence(Role::BOTH.to_vec(), 0..=2);
    let write = prop_oneof![
        (any_lease(), roles(), any_attempt()).prop_map(|(lease, roles, attempt)| {
            Write::Claim(lease, roles.into_iter().map(|role| (role, attempt.clone())).collect())
        }),
        any_lease().prop_map(Write::Renew),
        (any_owner(), any_role(), any_attempt()).prop_map(|(owner, role, next)| Write::Next(
            owner,
            role,
            Box::new(next)
        )),
        (any_role(), any_id(), prop::bool::weighted(0.8)).prop_map(|(role, id, fits)| Write::Instance(
            role,
            recorded(id.as_str()),
            fits
        )),
        (any_owner(), roles(), any::<bool>()).prop_map(|(owner, roles, nothing_open)| Write::GiveUp(
            owner,
            roles,
            nothing_open
        )),
        Just(Write::Report),
    ];
    let any = (prop::collection::vec(any_requirement(), 1..4), any_changes());
    prop_oneof![
        6 => (write, select(vec![0, 0, 1, 2])).prop_map(|(write, ago)| Step::Write(write, ago)),
        6 => any.prop_map(|(requires, changes)| Step::Any(requires, changes)),
        2 => prop::option::weighted(0.7, any_record()).prop_map(|record| Step::Put(record.map(Box::new))),
    ]
}

// EC2.

/// A token, and one of two zones.
type Place = (usize, usize);

#[derive(Clone, Debug)]
enum Op {
    /// With the parameters of this number.
    Run(Place, usize),
    Find(usize),
    Terminate(Place),
    RemoveRoleTag(Place),
    /// There is no room in this zone.
    Refuse(usize),
    Relent,
    AnswerForTheDead(TerminatedToken),
}

fn any_op() -> impl Strategy<Value = Op> {
    let place = || (0..2_usize, 0..2_usize);
    prop_oneof![
        8 => (place(), select(vec![0, 0, 0, 1])).prop_map(|(place, number)| Op::Run(place, number)),
        2 => (0..2_usize).prop_map(Op::Find),
        2 => place().prop_map(Op::Terminate),
        2 => place().prop_map(Op::RemoveRoleTag),
        1 => (0..2_usize).prop_map(Op::Refuse),
        1 => Just(Op::Relent),
        1 => select(vec![TerminatedToken::Error, TerminatedToken::Instance]).prop_map(Op::AnswerForTheDead),
    ]
}

/// What of a machine must be the same: the zone (kept in a tag), its place in the order of launches, whether it lives and
/// why not, whether it has its role.
type Seen = (Option<String>, usize, bool, Option<String>, bool);

/// One side of a story.
struct Side<'a, S> {
    stage: &'a S,
    /// Every machine so far, in the order of launches.
    machines: Vec<InstanceId>,
    by_place: BTreeMap<Place, InstanceId>,
    attempts: BTreeMap<(Place, usize), Attempt>,
}

impl<'a, S: Stage> Side<'a, S> {
    fn new(stage: &'a S, story: usize) -> Self {
        stage.relent();
        stage.answer_for_the_dead(TerminatedToken::Error);
        let subnets = stage.subnets();
        let mut attempts = BTreeMap::new();
        for (token, zone, number) in
            [0, 1].map(|t| [0, 1].map(|z| [0, 1].map(|n| (t, z, n)))).into_iter().flatten().flatten()
        {
            let mut attempt = an_attempt_in(stage, &subnets[zone], &format!("{story}-{token}"));
            attempt.parameters.tags.insert("Zone".into(), zone.to_string());
            attempt.parameters.root_volume.as_mut().expect("it has one").size_gb +=
                i32::try_from(number).expect("it is small");
            attempts.insert(((token, zone), number), attempt);
        }
        Side { stage, machines: Vec::new(), by_place: BTreeMap::new(), attempts }
    }

    fn seen(&mut self, machine: &Machine) -> Seen {
        if !self.machines.contains(&machine.instance_id) {
            self.machines.push(machine.instance_id.clone());
        }
        let order = self.machines.iter().position(|id| *id == machine.instance_id).expect("it is there");
        let zone = machine.tags.get("Zone").cloned();
        let has_role = machine.tags.contains_key(ROLE_TAG);
        let live = machine.state.is_live();
        // What lives may have a reason for its state too, which means nothing to us.
        let reason = machine.state_reason.clone().filter(|_| !live);
        (zone, order, live, reason, has_role)
    }

    async fn do_it(&mut self, op: &Op) -> Result<Vec<Seen>, (Class, String)> {
        let machines = self.stage.machines();
        let answer = match op {
            Op::Run(place, number) => {
                let answer = machines.run(&self.attempts[&(*place, *number)]).await;
                if let Ok(machine) = &answer {
                    self.by_place.insert(*place, machine.instance_id.clone());
                }
                answer.map(|machine| vec![machine])
            }
            Op::Find(token) => machines.find(&self.attempts[&((*token, 0), 0)].token).await,
            Op::Terminate(place) => match self.by_place.get(place) {
                Some(id) => machines.terminate(id).await.map(|()| vec![]),
                None => Ok(vec![]),
            },
            Op::RemoveRoleTag(place) => match self.by_place.get(place) {
                Some(id) => machines.remove_role_tag(id).await.map(|()| vec![]),
                None => Ok(vec![]),
            },
            Op::Refuse(zone) => {
                let p = &self.attempts[&((0, *zone), 0)].parameters;
                let code = "InsufficientInstanceCapacity";
                self.stage.refuse(&p.instance_type, &p.availability_zone, Class::Capacity, code);
                Ok(vec![])
            }
            Op::Relent => {
                self.stage.relent();
                Ok(vec![])
            }
            Op::AnswerForTheDead(answer) => {
                self.stage.answer_for_the_dead(*answer);
                Ok(vec![])
            }
        };
        let mut seen: Vec<Seen> =
            answer.map_err(|e| (e.class, e.code().to_owned()))?.iter().map(|m| self.seen(m)).collect();
        seen.sort();
        Ok(seen)
    }
}

async fn play(memory: &Memory, wire: &Wire, story: usize, ops: Vec<Op>) -> Result<(), String> {
    let (mut world, mut aws) = (Side::new(memory, story), Side::new(wire, story));
    let look = [Op::Find(0), Op::Find(1)];
    for op in ops.iter().chain(&look) {
        let answers = (memory.run(world.do_it(op)), aws.do_it(op).await);
        let _ = same(&format!("the answer to {op:?}"), answers.0, answers.1)?;
    }
    Ok(())
}

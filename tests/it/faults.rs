//! The promises on the wire: the real binary against an AWS that refuses, throttles, answers late, badly or not at all,
//! and killed with SIGKILL around any of its calls.
//!
//! Two tables, one line a case: [`faults`] is what one delivery meets, [`stories`] is what a delivery does while it is
//! killed at each of its calls in turn. Which calls those are is not written here but seen in an undisturbed run, so a
//! call that the engine learns to make is one to die at. [`Task`]s are the same for `end` and `reconcile`: each of their
//! calls meets every kind of fault, and a death on either side. `tests/aws/faults.py` says what a fault can be. With `FAULTS`
//! set to some words, only what has them in its name is told; `--nocapture` prints the names.

#![allow(clippy::print_stdout, reason = "the names are for a person who asked to see them")]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::local::aws::eventually;
use crate::local::lambda::{Lambda, Outcome};
use crate::meeting::{LIMIT, ROLES, Stack, ender, id, live, reconciler, recorded, text};
use elephant_core::meeting::MeetingId;
use elephant_core::network::{Subnet, in_order};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The zone that every meeting here tries first.
const FIRST: &str = "us-west-2a";
const NO_ROOM: &str = "InsufficientInstanceCapacity";
/// What a proxy may answer in place of AWS.
const PAGE: &str = "<html><body>Please log in";
/// What a renewal of the lease writes, and nothing else.
const LEASE: &str = "launch_lease_until,launch_owner";

/// A delivery's end: an answer, or this `errorType`.
type Said = Result<(), &'static str>;
const OK: Said = Ok(());

/// What another program does while so many calls are held.
type Meanwhile = (usize, fn(&Stack));

/// How a case ends for the meeting.
#[derive(Clone, Copy)]
enum End {
    /// Both machines live and are recorded. The meeting has had so many in all, so nothing was launched twice, not even
    /// for a moment.
    Both(usize),
    /// No machine lives that the record does not name.
    Over,
}
use End::{Both, Over};

struct Case {
    name: &'static str,
    /// What has happened to the meeting before the delivery comes.
    before: fn(&Stack),
    /// They stay as long as they last, except those that a delivery fails by: these are mended before the next one.
    faults: Vec<Value>,
    /// How the first delivery ends. Its repeat ends well.
    first: Said,
    end: End,
    status: &'static str,
    /// While calls are held by the faults; they are let go then.
    meanwhile: Option<Meanwhile>,
    /// What is late may come after the repeat. Where EC2 refuses something, the repeat would wait for it instead.
    may_be_late: bool,
    /// What else is to be seen after the first delivery.
    also: fn(&Stack, &Outcome),
}

fn case<const N: usize>(
    name: &'static str,
    before: fn(&Stack),
    faults: [Value; N],
    first: Said,
    end: End,
) -> Case {
    Case {
        name,
        before,
        faults: faults.into(),
        first,
        end,
        status: "LAUNCHED",
        meanwhile: None,
        may_be_late: false,
        also: |_, _| {},
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Case {
    fn meanwhile(self, held: usize, act: fn(&Stack)) -> Case {
        Case { meanwhile: Some((held, act)), ..self }
    }

    fn may_be_late(self) -> Case {
        Case { may_be_late: true, ..self }
    }

    fn status(self, status: &'static str) -> Case {
        Case { status, ..self }
    }

    fn also(self, also: fn(&Stack, &Outcome)) -> Case {
        Case { also, ..self }
    }
}

macro_rules! fault {
    ($action:ident $(, $field:ident = $value:expr)*) => {
        json!({"action": stringify!($action) $(, (stringify!($field)): $value)*})
    };
}

/// What one delivery meets. The slow ones first: the others are done while they wait.
#[rustfmt::skip]
fn faults() -> Vec<Case> {
    vec![
        // Answers that do not come in time, and what was asked for that comes after them.
        case("a launch after its limit", new, [fault!(RunInstances, role = "teacher", delay = 11, times = 1)], OK, Both(2)),
        case("throttled until the lease is to be renewed", new, [fault!(RunInstances, role = "teacher", delay = 8, code = "RequestLimitExceeded", times = 2)], OK, Both(2))
            .also(|stack, _| assert!(stack.aws.calls().iter().any(|call| call["writes"] == LEASE), "{}", stack.story())),
        case("a read after its limit", new, [fault!(GetItem, delay = 4, times = 1)], OK, Both(2)),
        case("a claim after its limit", new, [fault!(UpdateItem, delay = 4, times = 1)], OK, Both(2)),
        case("an id after its limit", new, [fault!(UpdateItem, delay = 4, skip = 1, times = 1)], OK, Both(2)),
        case("launches that come late", new, [fault!(RunInstances, late = 0.4, times = 2)], OK, Both(2)),
        case("a launch that comes very late", new, [fault!(RunInstances, role = "student", late = 5, times = 1)], OK, Both(2)),
        case("a claim that comes late", new, [fault!(UpdateItem, late = 0.2, times = 1)], OK, Both(2)),
        case("ids that come late", new, [fault!(UpdateItem, late = 0.2, skip = 1, times = 2)], OK, Both(2)),

        // Connections cut.
        case("a read cut before", new, [fault!(GetItem, drop = "before", times = 2)], OK, Both(2)),
        case("a read cut after", new, [fault!(GetItem, drop = "after", times = 2)], OK, Both(2)),
        case("a claim cut before", new, [fault!(UpdateItem, drop = "before", times = 2)], OK, Both(2)),
        case("a claim cut after", new, [fault!(UpdateItem, drop = "after", times = 2)], OK, Both(2)),
        case("ids cut before", new, [fault!(UpdateItem, drop = "before", skip = 1, times = 3)], OK, Both(2)),
        case("ids cut after", new, [fault!(UpdateItem, drop = "after", skip = 1, times = 3)], OK, Both(2)),
        case("launches cut before", new, [fault!(RunInstances, drop = "before", times = 3)], OK, Both(2)),
        case("launches cut after", new, [fault!(RunInstances, drop = "after", times = 3)], OK, Both(2)),
        case("one launch cut twice", new, [fault!(RunInstances, role = "teacher", drop = "after", times = 2)], OK, Both(2)),
        case("look-ups cut before", cold, [fault!(DescribeVpcs, drop = "before", times = 1), fault!(DescribeSubnets, drop = "before", times = 1), fault!(DescribeImages, drop = "before", times = 1)], OK, Both(2)),
        case("look-ups cut after", cold, [fault!(DescribeVpcs, drop = "after", times = 1), fault!(DescribeSubnets, drop = "after", times = 1), fault!(DescribeImages, drop = "after", times = 1)], OK, Both(2)),
        case("a search cut", ended, [fault!(DescribeInstances, drop = "before", times = 2)], OK, Over),
        case("tags cut before", ended, [fault!(DeleteTags, drop = "before", times = 2)], OK, Over),
        case("tags cut after", ended, [fault!(DeleteTags, drop = "after", times = 2)], OK, Over),
        case("an ending cut before", ended, [fault!(TerminateInstances, drop = "before", times = 2)], OK, Over),
        case("an ending cut after", ended, [fault!(TerminateInstances, drop = "after", times = 2)], OK, Over),

        // Errors of the server, with and without the effect.
        case("a read answered 500", new, [fault!(GetItem, code = "InternalServerError", times = 2)], OK, Both(2)),
        case("a claim answered 500", new, [fault!(UpdateItem, code = "InternalServerError", times = 2)], OK, Both(2)),
        case("a claim made and answered 500", new, [fault!(UpdateItem, code = "InternalServerError", after = true, times = 2)], OK, Both(2)),
        case("ids answered 500", new, [fault!(UpdateItem, code = "InternalServerError", skip = 1, times = 2)], OK, Both(2)),
        case("ids written and answered 500", new, [fault!(UpdateItem, code = "InternalServerError", after = true, skip = 1, times = 2)], OK, Both(2)),
        case("launches answered 500", new, [fault!(RunInstances, code = "InternalError", times = 2)], OK, Both(2)),
        case("launches made and answered 500", new, [fault!(RunInstances, code = "InternalError", after = true, times = 2)], OK, Both(2)),
        case("launches made and answered 503", new, [fault!(RunInstances, code = "Unavailable", after = true, times = 2)], OK, Both(2)),
        case("look-ups answered 503", cold, [fault!(DescribeSubnets, code = "Unavailable", times = 2)], OK, Both(2)),
        case("an ending answered 500", ended, [fault!(TerminateInstances, code = "InternalError", after = true, times = 2)], OK, Over),

        // Answers that cannot be read.
        case("a page in place of the record", new, [fault!(GetItem, body = PAGE, times = 1)], OK, Both(2)),
        case("a page in place of a claim", new, [fault!(UpdateItem, body = PAGE, times = 1)], OK, Both(2)),
        case("a page after a claim", new, [fault!(UpdateItem, body = PAGE, after = true, times = 1)], OK, Both(2)),
        case("a page after an id", new, [fault!(UpdateItem, body = PAGE, after = true, skip = 1, times = 1)], OK, Both(2)),
        case("a page in place of launches", new, [fault!(RunInstances, body = PAGE, times = 2)], OK, Both(2)),
        case("a page after launches", new, [fault!(RunInstances, body = PAGE, after = true, times = 2)], OK, Both(2)),
        case("a proxy's error after launches", new, [fault!(RunInstances, body = PAGE, status = 502, after = true, times = 2)], OK, Both(2)),
        case("a launch without a machine", new, [fault!(RunInstances, body = "<RunInstancesResponse/>", after = true, times = 1)], OK, Both(2)),

        // Throttling.
        case("a burst of launches throttled", new, [fault!(RunInstances, code = "RequestLimitExceeded", times = 5)], OK, Both(2)),
        case("reads throttled", new, [fault!(GetItem, code = "ThrottlingException", times = 3)], OK, Both(2)),
        case("claims throttled", new, [fault!(UpdateItem, code = "ProvisionedThroughputExceededException", times = 3)], OK, Both(2)),
        case("ids throttled", new, [fault!(UpdateItem, code = "ThrottlingException", skip = 1, times = 4)], OK, Both(2)),
        case("look-ups throttled", cold, [fault!(DescribeSubnets, code = "RequestLimitExceeded", times = 2)], OK, Both(2)),
        case("a clean-up throttled", ended, [fault!(DescribeInstances, code = "RequestLimitExceeded", times = 1), fault!(DeleteTags, code = "RequestLimitExceeded", times = 1), fault!(TerminateInstances, code = "RequestLimitExceeded", times = 1)], OK, Over),

        // Places that cannot have it.
        case("a zone without capacity", new, [fault!(RunInstances, zone = FIRST, code = NO_ROOM)], OK, Both(2))
            .also(|stack, _| asked(stack, FIRST, 1)),
        case("a zone without capacity for one role", new, [fault!(RunInstances, zone = FIRST, role = "student", code = NO_ROOM)], OK, Both(2)),
        case("a type without capacity", new, [fault!(RunInstances, type = "t3.large", code = NO_ROOM)], OK, Both(2))
            .also(|stack, _| asked(stack, "t3.large", 3)),
        case("a zone that lacks the type", new, [fault!(RunInstances, zone = FIRST, code = "Unsupported")], OK, Both(2))
            .also(|stack, _| asked(stack, FIRST, 1)),
        case("a subnet without addresses", new, [fault!(RunInstances, zone = FIRST, code = "InsufficientFreeAddressesInSubnet")], OK, Both(2))
            .also(|stack, _| asked(stack, FIRST, 1)),
        case("a family over its quota", new, [fault!(RunInstances, type = "t3.large", code = "VcpuLimitExceeded")], OK, Both(2))
            .also(|stack, _| asked(stack, "t3.large", 1)),
        case("no capacity anywhere", new, [fault!(RunInstances, code = NO_ROOM)], Err("CapacityExhausted"), Both(2))
            .also(|stack, outcome| {
                assert!(outcome.clone().error().1.contains("m5.large in us-west-2c"), "{outcome:?}");
                assert_eq!(stack.attribute("launch_error_code").as_deref(), Some(NO_ROOM));
            }),
        case("no capacity for one role", new, [fault!(RunInstances, role = "teacher", code = NO_ROOM)], Err("CapacityExhausted"), Both(2)),
        case("every quota reached", new, [fault!(RunInstances, code = "VcpuLimitExceeded")], Err("QuotaExceeded"), Both(2)),
        case("no zone has the type", new, [fault!(RunInstances, code = "Unsupported")], Err("NoUsableSubnet"), Both(2)),

        // Refusals that another place cannot mend, and those that time does.
        case("launches not allowed", new, [fault!(RunInstances, code = "UnauthorizedOperation")], Err("Unauthorized"), Both(2)),
        case("one launch not allowed", new, [fault!(RunInstances, role = "student", code = "UnauthorizedOperation")], Err("Unauthorized"), Both(2)),
        case("an image that is gone", new, [fault!(RunInstances, code = "InvalidAMIID.NotFound")], Err("InvalidConfiguration"), Both(2)),
        case("a profile not known everywhere yet", new, [fault!(RunInstances, code = "InvalidParameterValue", message = "Invalid IAM Instance Profile name", times = 2)], OK, Both(2)),
        case("reads not allowed", new, [fault!(GetItem, code = "AccessDeniedException")], Err("Unauthorized"), Both(2)),
        case("claims not allowed", new, [fault!(UpdateItem, code = "AccessDeniedException")], Err("Unauthorized"), Both(2)),
        case("ids not allowed", new, [fault!(UpdateItem, skip = 1, code = "AccessDeniedException")], Err("Unauthorized"), Both(2)),
        case("look-ups not allowed", cold, [fault!(DescribeSubnets, code = "UnauthorizedOperation")], Err("Unauthorized"), Both(2)),
        case("a search not allowed", ended, [fault!(DescribeInstances, code = "UnauthorizedOperation")], Err("Unauthorized"), Over),
        case("an ending not allowed", ended, [fault!(TerminateInstances, code = "UnauthorizedOperation")], Err("Unauthorized"), Over),
        case("a machine not known everywhere yet", ended, [fault!(DeleteTags, code = "InvalidInstanceID.NotFound", times = 1), fault!(TerminateInstances, code = "InvalidInstanceID.NotFound", times = 1)], OK, Over),

        // Tokens that somebody has used.
        case("a launch taken for another", new, [fault!(RunInstances, code = "IdempotentParameterMismatch", after = true, times = 1)], OK, Both(2)),
        case("machines that were ended, unrecorded", dead, [], OK, Both(4)),
        case("machines that were ended, unrecorded, and are answered", dead_and_answered, [], OK, Both(4)),

        // Machines unrecorded, and nobody who wants them.
        case("ended, with machines unrecorded", ended, [], OK, Over),
        case("out of its window, with machines unrecorded", out_of_window, [], OK, Over),

        // What others do meanwhile.
        case("delivered again while it is launched", new, [fault!(RunInstances, role = "teacher", hold = "before", times = 1)], OK, Both(2))
            .meanwhile(1, |stack| ended_as(stack, &stack.beside().deliver(), Err("MeetingBusy"))),
        case("ended while it is launched", new, [fault!(RunInstances, hold = "after", times = 2)], OK, Over).meanwhile(2, end),
        case("healthy while it is launched", teacher_recorded, [fault!(RunInstances, hold = "after", times = 1)], OK, Both(2))
            .meanwhile(1, |stack| stack.set("status", "HEALTHY")).status("HEALTHY"),
        case("healthy once an id is written, unheard", teacher_recorded, [fault!(UpdateItem, hold = "after", skip = 1, times = 1)], OK, Both(2))
            .meanwhile(1, |stack| {
                stack.set("status", "HEALTHY");
                stack.aws.release(json!({"discard": true}));
            }).status("HEALTHY"),
    ]
}

/// What a delivery does while it is killed at each of its calls.
#[rustfmt::skip]
fn stories() -> Vec<Case> {
    vec![
        case("a new meeting", new, [], OK, Both(2)).may_be_late(),
        case("a new meeting, a cold function", cold, [], OK, Both(2)),
        case("the student's machine is missing", teacher_recorded, [], OK, Both(2)),
        case("the repeat of a delivery that died", left_open, [], OK, Both(2)).may_be_late(),
        case("machines that were ended, unrecorded", dead, [], OK, Both(4)),
        case("a machine half ended, and its meeting goes on", half_ended, [], OK, Both(3)),
        case("a zone without capacity", new, [fault!(RunInstances, zone = FIRST, role = "student", code = NO_ROOM)], OK, Both(2)),
        case("every quota reached, for one role", new, [fault!(RunInstances, role = "student", code = "VcpuLimitExceeded")], Err("QuotaExceeded"), Both(2)),
        case("one launch not allowed", new, [fault!(RunInstances, role = "teacher", code = "UnauthorizedOperation")], Err("Unauthorized"), Both(2)),
        case("look-ups not allowed", cold, [fault!(DescribeImages, code = "UnauthorizedOperation")], Err("Unauthorized"), Both(2)),
        case("ended, with machines unrecorded", ended, [], OK, Over),
        case("ended while it is launched", new, [fault!(RunInstances, hold = "after", times = 2)], OK, Over).meanwhile(2, end),
    ]
}

#[test]
fn a_delivery_gets_over_what_it_meets_or_its_repeat_does() {
    let mut cases = faults();
    cases.retain(wanted);
    share_out(&mut benches(3), &cases, |bench, case| {
        tell(bench, case);
    });
}

#[test]
fn killed_before_or_after_any_call_a_delivery_is_finished_by_its_repeat() {
    let (stories, mut benches) = (stories(), benches(3));
    // Of this one only the renewal: a delivery takes a quarter of a minute to get there. First, to be waited for least.
    let slow = fault!(RunInstances, role = "teacher", delay = 8, code = "RequestLimitExceeded", times = 2);
    let throttled = case("throttled until the lease is to be renewed", new, [slow], OK, Both(2));
    let renewal = Point { name: "the renewal".to_owned(), matcher: json!({"writes": LEASE}), skip: 0 };
    let deaths = Mutex::new(deaths_at(&throttled, renewal).collect::<Vec<_>>());
    share_out(&mut benches, &stories, |bench, story| {
        let points = points(&tell(bench, story));
        let each = points.into_iter().flat_map(|point| deaths_at(story, point));
        deaths.lock().expect("no panic").extend(each);
    });
    let mut deaths = deaths.into_inner().expect("no panic");
    deaths.retain(wanted);
    share_out(&mut benches, &deaths, tell_with_death);
}

/// What a verb other than `launch` is asked to do.
struct Task {
    name: &'static str,
    before: fn(&Stack),
    function: fn(&Stack) -> Lambda,
    event: fn(&Stack) -> Value,
    /// How it ends for the meeting.
    end: End,
}

fn tasks() -> [Task; 4] {
    let end = |name, before| Task {
        name,
        before,
        function: |stack| ender(&stack.aws, &[("SCHEDULE_GROUP", "default")]),
        event: |stack| json!({"meeting_id": stack.meeting}),
        end: Over,
    };
    let sweep = |name, before, end| Task {
        name,
        before,
        function: |stack| reconciler(&stack.aws, &[]),
        event: |_| json!({"sweep": true}),
        end,
    };
    [
        end("end: a meeting with both machines", launched),
        end("end: a meeting whose machines no record names", left_open),
        sweep("reconcile: a machine that was killed", one_killed, Both(3)),
        sweep("reconcile: a meeting that is over and has its machines", over_and_left, Over),
    ]
}

const CUT: fn() -> Value = || json!({"drop": "after", "times": 1});
const THROTTLED: fn() -> Value = || json!({"code": "ThrottlingException", "status": 400, "times": 1});

/// What a call that changes something may meet once, and the SDK or the verb is to get over.
fn once() -> [Value; 5] {
    [
        json!({"drop": "before", "times": 1}),
        CUT(),
        json!({"code": "InternalError", "status": 500, "after": true, "times": 1}),
        THROTTLED(),
        json!({"body": PAGE, "status": 502, "after": true, "times": 1}),
    ]
}

#[test]
fn end_and_reconcile_get_over_what_any_call_meets_and_a_death_at_any_is_finished_by_the_repeat() {
    let tasks: Vec<Task> = tasks().into_iter().collect();
    let mut benches = benches(3);
    let trials = Mutex::new(Vec::new());
    share_out(&mut benches, &tasks, |bench, task| {
        let points = points(&tell_task(bench, task));
        assert!(points.iter().any(|point| !only_looks(&point.matcher)), "it does something");
        for point in points {
            let point = Arc::new(point);
            let of = |trouble| Trial { task, point: point.clone(), trouble };
            let mut trials = trials.lock().expect("no panic");
            // A look takes no effect: whether it was done does not matter to it.
            if is_a_look(&point.matcher) {
                trials.extend([CUT, THROTTLED].map(|fault| of(Trouble::Met(fault()))));
            } else {
                trials.extend(once().map(|fault| of(Trouble::Met(fault))));
                trials.push(of(Trouble::Killed(Moment::Before)));
            }
            trials.push(of(Trouble::Killed(Moment::After)));
        }
    });
    let mut trials = trials.into_inner().expect("no panic");
    trials.retain(wanted);
    share_out(&mut benches, &trials, tell_trial);
}

fn wanted(piece: &impl fmt::Display) -> bool {
    piece.to_string().contains(&std::env::var("FAULTS").unwrap_or_default())
}

// What has happened before.

fn new(stack: &Stack) {
    stack.schedule();
    stack.lambda.warm_up();
}

fn cold(stack: &Stack) {
    stack.schedule();
    stack.lambda.kill();
}

fn teacher_recorded(stack: &Stack) {
    new(stack);
    stack.aws.add_faults(json!([fault!(RunInstances, role = "student", code = "UnauthorizedOperation")]));
    assert_eq!(stack.deliver().error().0, "Unauthorized");
    stack.aws.clear_faults();
}

/// A delivery died when it had launched both machines, and heard of neither.
fn left_open(stack: &Stack) {
    new(stack);
    killed_while_held(stack, 2, fault!(RunInstances, hold = "after", times = 2));
    stack.time_passes();
    stack.lambda.warm_up();
}

fn ended(stack: &Stack) {
    left_open(stack);
    end(stack);
}

fn out_of_window(stack: &Stack) {
    left_open(stack);
    stack.set("meet_time", "2020-01-01T00:00:00Z");
}

/// Somebody found the machines that no record names, and ended them.
fn dead(stack: &Stack) {
    left_open(stack);
    let ids = stack.instances().iter().map(id).collect();
    let ended = stack.aws.ec2.terminate_instances().set_instance_ids(Some(ids));
    stack.aws.wait(ended.send()).expect("they are ended");
}

fn dead_and_answered(stack: &Stack) {
    dead(stack);
    stack.aws.set(json!({"terminated_token": "instance"}));
}

/// A delivery died while it ended the teacher's machine, whose meeting had ended, and has come back to life since.
fn half_ended(stack: &Stack) {
    ended(stack);
    killed_while_held(stack, 1, fault!(TerminateInstances, hold = "before", times = 1));
    stack.set("status", "SCHEDULED");
    stack.lambda.warm_up();
}

/// A delivery dies while so many of its calls are held, and what was held goes no further.
fn killed_while_held(stack: &Stack, count: usize, hold: Value) {
    stack.aws.add_faults(json!([hold]));
    let outcome = deliver_until(stack, |held| held.len() == count, || stack.lambda.kill());
    assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}");
    stack.aws.release(json!({"discard": true}));
    stack.all_is_quiet();
}

fn end(stack: &Stack) {
    stack.set("status", "TERMINATED");
}

/// The meeting begins in ten minutes, and both its machines are there.
fn launched(stack: &Stack) {
    new(stack);
    stack.set("meet_time", &format!("{:.0}", Timestamp::now() + SignedDuration::from_mins(10)));
    stack.deliver().answer();
    stack.time_passes();
}

fn one_killed(stack: &Stack) {
    launched(stack);
    let teacher = stack.attribute("teacher_ec2_id").expect("one");
    let ended = stack.aws.ec2.terminate_instances().instance_ids(teacher);
    stack.aws.wait(ended.send()).expect("it is killed");
}

fn over_and_left(stack: &Stack) {
    launched(stack);
    end(stack);
    stack.set("termination_reason", "the teacher left");
}

// How a case is told.

/// A local AWS and a function, for one case after another: each has a meeting of its own.
struct Bench {
    stack: Stack,
    /// The last meeting's.
    number: usize,
}

/// moto finds a machine by looking at all that there are, so there are not to be many.
const MEETINGS: usize = 10;

impl Bench {
    fn up() -> Bench {
        Bench { stack: Stack::up(), number: 0 }
    }

    /// Everything is ready for the delivery, which meets `first` before the case's faults.
    fn prepare(&mut self, case: &Case, first: Option<Value>) {
        self.before(case.before);
        let stack = &self.stack;
        stack.aws.add_faults(first.into_iter().chain(case.faults.iter().cloned()).collect());
    }

    /// Everything is ready for the task, whose function this is.
    fn prepare_task(&mut self, task: &Task, fault: Option<Value>) -> Lambda {
        self.before(task.before);
        let function = (task.function)(&self.stack);
        function.warm_up();
        self.stack.aws.clear_calls();
        self.stack.aws.add_faults(fault.into_iter().collect());
        function
    }

    fn before(&mut self, before: fn(&Stack)) {
        let stack = &mut self.stack;
        stack.aws.clear_faults();
        stack.all_is_quiet();
        stack.aws.set(json!({"terminated_token": "error"}));
        self.number += 1;
        if self.number.is_multiple_of(MEETINGS) {
            stack.reset();
        }
        stack.turn_to(&name_of(self.number));
        before(stack);
        stack.aws.clear_calls();
    }
}

/// The n-th of the names of meetings that try the zone [`FIRST`] first.
fn name_of(n: usize) -> String {
    let subnet = |zone: &str| Subnet {
        subnet_id: String::new(),
        vpc_id: String::new(),
        availability_zone: zone.to_owned(),
        available_ip_addresses: 1,
    };
    let subnets = [FIRST, "us-west-2b", "us-west-2c"].map(subnet).to_vec();
    let tries_it = |name: &String| {
        let meeting = MeetingId::new(name).expect("an id");
        in_order(&meeting, subnets.clone())[0].availability_zone == FIRST
    };
    (0..).map(|number| format!("m{number}")).filter(tries_it).nth(n).expect("one in three is")
}

/// One delivery as the case says, and its repeat. Returns the calls of the first.
fn tell(bench: &mut Bench, case: &Case) -> Vec<Value> {
    bench.prepare(case, None);
    let stack = &bench.stack;
    let outcome = match case.meanwhile {
        None => stack.deliver(),
        Some((count, act)) => deliver_until(
            stack,
            |held| held.len() == count,
            || {
                act(stack);
                stack.aws.release(json!({}));
            },
        ),
    };
    stack.all_is_quiet();
    let calls = stack.aws.calls();
    ended_as(stack, &outcome, case.first);
    (case.also)(stack, &outcome);
    no_refused_attempt_was_sent_again(stack, &calls);
    stack.aws.clear_faults();
    match case.first {
        Ok(()) => holds(stack, case),
        Err(_) => never_two(stack),
    }

    stack.time_passes();
    let start = stack.aws.calls().len();
    ended_as(stack, &stack.deliver(), OK);
    match case.first {
        Ok(()) => nothing_was_done(stack, case, &stack.aws.calls()[start..]),
        Err(_) => holds(stack, case),
    }
    // What this one's act or set-up wrote is no call of the function.
    calls.into_iter().filter(|call| call["writes"] != "status").collect()
}

/// One delivery, killed when it is at this point, its repeat, and another.
fn tell_with_death(bench: &mut Bench, death: &Death) {
    let Death { story: case, point, moment } = death;
    let mut hold = point.matcher.clone();
    hold["hold"] = if *moment == Moment::After { "after" } else { "before" }.into();
    hold["skip"] = point.skip.into();
    hold["times"] = 1.into();
    bench.prepare(case, Some(hold));
    let stack = &bench.stack;
    let mut meanwhile = case.meanwhile;
    let reached = |held: &[Value]| {
        let there = held.iter().any(|call| matches(&point.matcher, call));
        if let Some((_, act)) = meanwhile.take_if(|(count, _)| !there && held.len() == *count) {
            act(stack);
            stack.aws.release(json!({}));
        }
        there
    };
    let outcome = deliver_until(stack, reached, || stack.lambda.kill());
    assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}\n{}", stack.story());
    if let Some((_, act)) = meanwhile {
        act(stack);
    }
    if *moment == Moment::BeforeItIsLate {
        // The lease is only just over, so that what was sent under it may still come.
        stack.lease_ends(&a_second_ago());
    } else {
        stack.aws.release(json!({"discard": true}));
        stack.all_is_quiet();
        if case.first.is_err() || case.meanwhile.is_some() {
            stack.aws.clear_faults();
        }
        stack.time_passes();
    }
    ended_as(stack, &stack.deliver(), OK);
    holds(stack, case);
    if *moment == Moment::BeforeItIsLate {
        stack.aws.release(json!({"discard": false}));
        stack.all_is_quiet();
        holds(stack, case);
    }
    let start = stack.aws.calls().len();
    ended_as(stack, &stack.deliver(), OK);
    nothing_was_done(stack, case, &stack.aws.calls()[start..]);
}

/// A task, undisturbed, and its repeat. Returns the calls of the first.
fn tell_task(bench: &mut Bench, task: &Task) -> Vec<Value> {
    let function = bench.prepare_task(task, None);
    let stack = &bench.stack;
    ended_as(stack, &function.invoke(&(task.event)(stack)), OK);
    let calls = stack.aws.calls();
    is_done(stack, task, &function);
    calls
}

fn tell_trial(bench: &mut Bench, Trial { task, point, trouble }: &Trial) {
    let mut fault = point.matcher.clone();
    fault["skip"] = point.skip.into();
    match trouble {
        Trouble::Met(effect) => {
            let effect = effect.as_object().expect("an object").clone();
            fault.as_object_mut().expect("an object").extend(effect);
        }
        Trouble::Killed(moment) => {
            fault["hold"] = if *moment == Moment::After { "after" } else { "before" }.into();
            fault["times"] = 1.into();
        }
    }
    let function = bench.prepare_task(task, Some(fault));
    let stack = &bench.stack;
    let event = (task.event)(stack);
    if let Trouble::Met(_) = trouble {
        ended_as(stack, &function.invoke(&event), OK);
        let met = |call: &Value| !call["code"].is_null() || call["status"].as_u64().is_none_or(|s| s >= 400);
        assert!(stack.aws.calls().iter().any(met), "nothing was met\n{}", stack.story());
    } else {
        let outcome = invoke_until(stack, &function, &event, |held| !held.is_empty(), || function.kill());
        assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}\n{}", stack.story());
        stack.aws.release(json!({"discard": true}));
        stack.all_is_quiet();
        stack.time_passes();
        ended_as(stack, &function.invoke(&event), OK);
    }
    stack.all_is_quiet();
    stack.aws.clear_faults();
    is_done(stack, task, &function);
}

/// The promise, and one more invocation that only looks.
#[track_caller]
fn is_done(stack: &Stack, task: &Task, function: &Lambda) {
    let case = case(task.name, task.before, [], OK, task.end);
    match task.end {
        Both(_) => holds(stack, &case),
        Over => {
            assert!(live(&stack.instances()).is_empty(), "{}", stack.story());
            assert_eq!(stack.attribute("status").as_deref(), Some("TERMINATED"), "{}", stack.story());
        }
    }
    stack.time_passes();
    // What a sweep notes of the machines that run now, it notes on the one after.
    for _ in 0..2 {
        stack.aws.clear_calls();
        ended_as(stack, &function.invoke(&(task.event)(stack)), OK);
    }
    assert!(stack.aws.calls().iter().all(changes_nothing), "{}", stack.story());
    function.kill();
}

/// It reads, it is refused, or it ends once more what has ended: `end` does not rest on what the record says of a machine.
fn changes_nothing(call: &Value) -> bool {
    is_a_look(call) || !call["code"].is_null() || call["action"] == "TerminateInstances"
}

fn is_a_look(call: &Value) -> bool {
    only_looks(call) || call["action"] == "Query" || call["action"] == "BatchGetItem"
}

/// Deliver, and act once the calls that are held are those that are waited for.
fn deliver_until(stack: &Stack, held: impl FnMut(&[Value]) -> bool, act: impl FnOnce()) -> Outcome {
    invoke_until(stack, &stack.lambda, &json!({"meeting_id": stack.meeting}), held, act)
}

/// The same of any function and event.
fn invoke_until(
    stack: &Stack,
    lambda: &Lambda,
    event: &Value,
    mut held: impl FnMut(&[Value]) -> bool,
    act: impl FnOnce(),
) -> Outcome {
    let is_held = |call: &Value| call["status"].as_str().is_some_and(|status| status.starts_with("held"));
    thread::scope(|scope| {
        let delivery = scope.spawn(|| lambda.invoke(event));
        let there = eventually("the calls are held", LIMIT, || {
            // Before the look at the calls: none comes after the end.
            let over = delivery.is_finished();
            let now: Vec<Value> = stack.aws.calls().into_iter().filter(is_held).collect();
            if held(&now) { Some(true) } else { over.then_some(false) }
        });
        if there {
            act();
        }
        let outcome = delivery.join().expect("it ends");
        assert!(there, "it ended before the calls were held: {outcome:?}\n{}", stack.story());
        outcome
    })
}

#[track_caller]
fn ended_as(stack: &Stack, outcome: &Outcome, expected: Said) {
    let as_expected = match (outcome, expected) {
        (Outcome::Answer(_), Ok(())) => true,
        (Outcome::Error { error_type, .. }, Err(expected)) => error_type == expected,
        _ => false,
    };
    assert!(as_expected, "expected {expected:?}, got {outcome:?}\n{}", stack.story());
}

/// The promise, once a delivery has ended well.
#[track_caller]
fn holds(stack: &Stack, case: &Case) {
    let (instances, record) = (stack.instances(), stack.record());
    let (machines, recorded) = (live(&instances), recorded(&record));
    match case.end {
        Both(in_all) => {
            assert_eq!(machines, recorded, "live machines and the record\n{}", stack.story());
            assert_eq!(machines.len(), 2, "{machines:?}\n{}", stack.story());
            assert_eq!(instances.len(), in_all, "machines, ended ones included\n{}", stack.story());
            assert_eq!(text(&record, "status").as_deref(), Some(case.status), "{}", stack.story());
        }
        Over => {
            let named = |(role, ids)| recorded.get(role) == Some(ids);
            assert!(machines.iter().all(named), "{machines:?}, recorded {recorded:?}\n{}", stack.story());
        }
    }
}

/// The promise at any time. A machine that is being ended has no role any more.
#[track_caller]
fn never_two(stack: &Stack) {
    for (role, ids) in live(&stack.instances()) {
        assert!(ids.len() == 1 || role.is_empty(), "{role:?}: {ids:?}\n{}", stack.story());
    }
}

/// A delivery after one that ended well looks, and that is all.
#[track_caller]
fn nothing_was_done(stack: &Stack, case: &Case, calls: &[Value]) {
    let looks = |call: &Value| match case.end {
        Both(_) => call["action"] == "GetItem",
        Over => only_looks(call),
    };
    assert!(calls.iter().all(looks), "{calls:#?}\n{}", stack.story());
}

fn only_looks(call: &Value) -> bool {
    call["action"].as_str().is_some_and(|action| action.starts_with("Get") || action.starts_with("Describe"))
}

/// Neither the SDK nor the engine repeats what EC2 refused for good: no capacity, an unfit place, a quota.
#[track_caller]
fn no_refused_attempt_was_sent_again(stack: &Stack, calls: &[Value]) {
    let refusals = [NO_ROOM, "Unsupported", "InsufficientFreeAddressesInSubnet", "VcpuLimitExceeded"];
    let refused =
        calls.iter().filter(|call| call["code"].as_str().is_some_and(|code| refusals.contains(&code)));
    for refused in refused {
        let sent = calls.iter().filter(|call| call["token"] == refused["token"]).count();
        assert_eq!(sent, 1, "{refused}\n{}", stack.story());
    }
}

/// Each role asked for this zone, or this type, so many times.
#[track_caller]
fn asked(stack: &Stack, place: &str, times: usize) {
    let calls = stack.aws.calls();
    for role in ROLES {
        let there = |call: &&Value| call["role"] == role && (call["zone"] == place || call["type"] == place);
        assert_eq!(calls.iter().filter(there).count(), times, "{role}, {place}\n{}", stack.story());
    }
}

// Where it dies.

/// One call of a delivery.
struct Point {
    name: String,
    /// What its call has in common only with calls that are told from it by their order.
    matcher: Value,
    /// How many of those come before it.
    skip: usize,
}

fn matches(matcher: &Value, call: &Value) -> bool {
    matcher.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| call[name] == *value))
}

/// The two roles take turns as they come, so a call is known by its role, or by what it writes, and not by its number.
fn points(calls: &[Value]) -> Vec<Point> {
    let point = |(index, call): (usize, &Value)| {
        let mut matcher = json!({});
        let mut name = format!("call {} of {}:", index + 1, calls.len());
        for field in ["action", "role", "writes"] {
            if let Some(text) = call[field].as_str() {
                matcher[field] = text.into();
                name.push_str(&format!(" {text}"));
            }
        }
        let skip = calls[..index].iter().filter(|call| matches(&matcher, call)).count();
        Point { name, matcher, skip }
    };
    calls.iter().enumerate().map(point).collect()
}

/// When it dies: before or after the call takes effect, or before it does so late. Late is after the repeat, for to the
/// repeat what came earlier is the same as what came in time.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    Before,
    After,
    BeforeItIsLate,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Moment::Before => "before it took effect, which it never did",
            Moment::After => "after it took effect",
            Moment::BeforeItIsLate => "before it took effect, which it did after the repeat",
        })
    }
}

struct Death<'s> {
    story: &'s Case,
    point: Arc<Point>,
    moment: Moment,
}

impl fmt::Display for Death<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}; killed {}", self.story, self.point.name, self.moment)
    }
}

/// Every death at this call. A look takes no effect to die before.
fn deaths_at(story: &Case, point: Point) -> impl Iterator<Item = Death<'_>> {
    let moments = match (only_looks(&point.matcher), story.may_be_late) {
        (true, _) => vec![Moment::After],
        (false, false) => vec![Moment::Before, Moment::After],
        (false, true) => vec![Moment::Before, Moment::After, Moment::BeforeItIsLate],
    };
    let point = Arc::new(point);
    moments.into_iter().map(move |moment| Death { story, point: point.clone(), moment })
}

/// What a call of a task meets.
enum Trouble {
    Met(Value),
    Killed(Moment),
}

struct Trial<'t> {
    task: &'t Task,
    point: Arc<Point>,
    trouble: Trouble,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Trial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}; ", self.task, self.point.name)?;
        match &self.trouble {
            Trouble::Met(fault) => write!(f, "met {fault}"),
            Trouble::Killed(moment) => write!(f, "killed {moment}"),
        }
    }
}

// Who tells it.

fn benches(count: usize) -> Vec<Bench> {
    (0..count).map(|_| Bench::up()).collect()
}

/// Where so much fails, the rest would.
const ENOUGH: usize = 6;

/// Each bench takes the next piece of work when it is done with its last. What fails is listed.
fn share_out<'w, T: Sync + fmt::Display>(
    benches: &mut [Bench],
    work: &'w [T],
    tell: impl Fn(&mut Bench, &'w T) + Sync,
) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for bench in benches {
            scope.spawn(|| {
                while let Some(piece) = work.get(next.fetch_add(1, SeqCst)) {
                    let start = Instant::now();
                    // What it panics with is printed, and the bench is as good as new for the next piece.
                    if catch_unwind(AssertUnwindSafe(|| tell(bench, piece))).is_err() {
                        let mut failed = failed.lock().expect("no panic");
                        failed.push(piece.to_string());
                        if failed.len() >= ENOUGH {
                            next.store(work.len(), SeqCst);
                        }
                    }
                    println!("{piece} ({:.1?})", start.elapsed());
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), work.len(), failed.join("\n"));
}

fn a_second_ago() -> String {
    format!("{:.3}", Timestamp::now() - SignedDuration::from_secs(1))
}

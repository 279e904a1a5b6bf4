//! Every decision of a delivery, case by case.

use std::collections::BTreeMap;
use std::time::Duration;

use elephant_core::config::Config;
use elephant_core::error::{AwsError, Class};
use elephant_core::image::Image;
use elephant_core::launch_template::{LaunchTemplate, Named};
use elephant_core::machine::{
    Attempt, ImdsTokens, InstanceId, InstanceProfile, Machine, Market, Parameters, ROLE_TAG, RootVolume,
    State, Token,
};
use elephant_core::meeting::{MeetingId, Role, Status};
use elephant_core::network::{Offerings, Pair, Subnet};
use elephant_core::overrides::Overrides;
use elephant_core::plan::{
    self, Candidate, ConflictMeaning, Plan, Reason, Refusal, Refusals, Sending, Step, ZoneConstraint,
    after_refused_instance, after_refused_next_attempt, backoff, claim_stands, lease_end, may_send,
    refusal_counts, same_again,
};
use elephant_core::record::{Lease, MeetTime, Owner, Record, RoleRecord};
use elephant_core::timing::{Timing, Window, after};
use jiff::Timestamp;

use Role::{Student, Teacher};

const T: Timing = Timing::DEFAULT;
const WINDOW: Window =
    Window { earliest: Duration::from_secs(24 * 3600), latest: Duration::from_secs(120 * 60) };

// What a delivery does about a meeting.

#[test]
fn a_new_meeting_gets_both_machines() {
    for status in [None, Some(Status::Scheduled), Some(Status::Launched)] {
        let expected =
            Plan::Launch(vec![(Teacher, Step::New { number: 1 }), (Student, Step::New { number: 1 })]);
        assert_eq!(planned(&Record { status: status.clone(), ..record() }, at(0)), expected, "{status:?}");
    }
}

#[test]
fn a_status_beyond_launched_still_allows_a_launch() {
    for status in [Status::DnsWritten, Status::Healthy, Status::InProgress] {
        let plan = planned(&Record { status: Some(status.clone()), ..record() }, at(0));
        assert!(matches!(&plan, Plan::Launch(steps) if steps.len() == 2), "{status:?}: {plan:?}");
    }
}

#[test]
fn a_meeting_that_is_over_or_unknown_gets_nothing() {
    for status in over() {
        let plan = planned(&Record { status: status.clone(), ..record() }, at(0));
        assert_eq!(plan, Plan::Skip(Reason::Over(status)));
    }
}

#[test]
fn two_ids_in_the_record_are_all_there_is_to_do() {
    let both = with(|r| {
        r.teacher = has("i-1");
        r.student = has("i-2");
    });
    assert_eq!(planned(&both, at(0)), Plan::AlreadyRecorded);
    let leased = Record { lease: until(at(30)), ..both };
    assert_eq!(planned(&leased, at(0)), Plan::AlreadyRecorded, "whoever holds the lease");
}

#[test]
fn one_id_in_the_record_leaves_the_other_role() {
    let teacher = planned(&with(|r| r.student = has("i-2")), at(0));
    assert_eq!(teacher, Plan::Launch(vec![(Teacher, Step::New { number: 1 })]));
    let student = planned(&with(|r| r.teacher = has("i-1")), at(0));
    assert_eq!(student, Plan::Launch(vec![(Student, Step::New { number: 1 })]));
}

#[test]
fn a_lease_keeps_others_out_up_to_its_last_nanosecond() {
    let leased = with(|r| r.lease = until(at(30)));
    let just_before = at(30) - jiff::SignedDuration::from_nanos(1);
    for now in [at(-100), at(0), just_before] {
        assert_eq!(planned(&leased, now), Plan::Leased(at(30)), "at {now}");
    }
    for now in [at(30), at(31)] {
        assert!(matches!(planned(&leased, now), Plan::Launch(_)), "at {now}");
    }
}

#[test]
fn an_open_attempt_is_replayed_to_the_letter() {
    let open = with(|r| {
        r.lease = until(at(30));
        r.student = open(attempt(3, "token-3"));
    });
    let replay = Step::Replay { attempt: attempt(3, "token-3"), unanswered: at(30) };
    let expected = Plan::Launch(vec![(Teacher, Step::New { number: 1 }), (Student, replay)]);
    assert_eq!(planned(&open, at(40)), expected);
}

#[test]
fn an_open_attempt_without_a_lease_counts_as_sent_just_now() {
    let open = with(|r| r.teacher = open(attempt(1, "token-1")));
    let Plan::Launch(steps) = planned(&open, at(7)) else { panic!("nothing to launch") };
    let replay = Step::Replay { attempt: attempt(1, "token-1"), unanswered: at(7) };
    assert_eq!(steps, [(Teacher, replay), (Student, Step::New { number: 1 })]);
}

#[test]
fn a_refused_attempt_is_followed_by_a_new_one_with_the_next_number() {
    let refused = with(|r| r.teacher = refused(attempt(4, "token-4")));
    let expected = Plan::Launch(vec![(Teacher, Step::New { number: 5 }), (Student, Step::New { number: 1 })]);
    assert_eq!(planned(&refused, at(0)), expected);
}

#[test]
fn the_attempt_of_a_recorded_machine_is_no_open_one() {
    let recorded = with(|r| r.teacher = RoleRecord { attempt: Some(attempt(1, "token-1")), ..has("i-1") });
    assert_eq!(planned(&recorded, at(0)), Plan::Launch(vec![(Student, Step::New { number: 1 })]));
    let over = Record { status: Some(Status::Terminated), ..recorded };
    assert!(matches!(planned(&over, at(0)), Plan::Skip(_)), "it is the terminator's to end");
}

#[test]
fn the_window_closes_after_its_last_second() {
    let end = at(0) + jiff::SignedDuration::from_secs(7200);
    let meeting = with(|r| r.meet_time = MeetTime::At(at(0)));
    for now in [at(-86_400), at(0), end] {
        assert!(matches!(planned(&meeting, now), Plan::Launch(_)), "at {now}");
    }
    for now in [end + jiff::SignedDuration::from_nanos(1), at(7201), at(86_400)] {
        let reason = Reason::TooLate { meet_time: at(0), window: WINDOW };
        assert_eq!(planned(&meeting, now), Plan::Skip(reason), "at {now}");
    }
}

#[test]
fn the_window_opens_so_long_before_the_meeting() {
    let first = at(0) - jiff::SignedDuration::from_hours(24);
    let meeting = with(|r| r.meet_time = MeetTime::At(at(0)));
    assert!(matches!(planned(&meeting, first), Plan::Launch(_)));
    for now in [first - jiff::SignedDuration::from_nanos(1), at(-5 * 86_400)] {
        let reason = Reason::TooEarly { meet_time: at(0), window: WINDOW };
        assert_eq!(planned(&meeting, now), Plan::Skip(reason), "at {now}: it was moved, perhaps");
    }
}

#[test]
fn the_window_is_the_configured_one() {
    let meeting = with(|r| r.meet_time = MeetTime::At(at(0)));
    let window = Window { earliest: Duration::from_secs(60), latest: Duration::ZERO };
    let plan = |now| plan::plan(&meeting, now, window, &T);
    assert!(matches!(plan(at(0)), Plan::Launch(_)));
    assert!(matches!(plan(at(1)), Plan::Skip(Reason::TooLate { .. })));
    assert!(matches!(plan(at(-60)), Plan::Launch(_)));
    assert!(matches!(plan(at(-61)), Plan::Skip(Reason::TooEarly { .. })));
}

#[test]
fn a_reason_is_the_end_whatever_the_status_says() {
    let statuses =
        [Status::Scheduled, Status::Launched, Status::DnsWritten, Status::Healthy, Status::InProgress];
    for status in statuses.map(Some).into_iter().chain([None, Some(Status::Terminated)]) {
        let ended = with(|r| (r.status, r.termination_reason) = (status, Some("over".into())));
        assert!(ended.is_over());
        assert_eq!(planned(&ended, at(0)), Plan::Skip(Reason::Ended("over".into())));
        let attempted = Record { teacher: open(attempt(1, "token-1")), ..ended };
        let tokens = vec![(Teacher, Token::from("token-1"))];
        assert_eq!(planned(&attempted, at(0)), Plan::CleanUp(Reason::Ended("over".into()), tokens));
    }
}

#[test]
fn a_meeting_without_a_readable_time_has_no_window() {
    for meet_time in [MeetTime::Missing, MeetTime::Unreadable("tomorrow".into())] {
        let plan = planned(&with(|r| r.meet_time = meet_time.clone()), Timestamp::MAX);
        assert!(matches!(plan, Plan::Launch(_)), "{meet_time:?}: {plan:?}");
    }
}

#[test]
fn an_unthinkably_late_meeting_is_launched_in_its_window() {
    let meeting = with(|r| r.meet_time = MeetTime::At(Timestamp::MAX));
    assert!(matches!(planned(&meeting, at(0)), Plan::Skip(Reason::TooEarly { .. })));
    assert!(matches!(planned(&meeting, Timestamp::MAX), Plan::Launch(_)));
}

/// Until lease, skew and effect delay have passed a machine may be coming that no look-up shows yet.
#[test]
fn an_open_attempt_of_an_ended_meeting_is_settled_after_lease_skew_and_margin() {
    for (record, reason) in ended() {
        let ended = Record { lease: until(at(10)), student: open(attempt(2, "token-2")), ..record };
        for now in [at(0), at(10), at(59)] {
            assert_eq!(planned(&ended, now), Plan::NotQuiescent(reason.clone(), at(60)), "at {now}");
        }
        let settle = Plan::CleanUp(reason, vec![(Student, Token::from("token-2"))]);
        assert_eq!(planned(&ended, at(60)), settle);
    }
}

#[test]
fn both_open_attempts_of_an_ended_meeting_are_settled_together() {
    let (record, reason) = ended().remove(0);
    let teacher = open(attempt(1, "token-1"));
    let both = Record { teacher, student: open(attempt(2, "token-2")), ..record };
    let tokens = vec![(Teacher, Token::from("token-1")), (Student, Token::from("token-2"))];
    assert_eq!(planned(&both, at(0)), Plan::CleanUp(reason, tokens), "no lease: nobody waits for anything");
}

#[test]
fn refused_attempts_and_recorded_ids_of_an_ended_meeting_leave_nothing_open() {
    for (record, reason) in ended() {
        let teacher = refused(attempt(1, "token-1"));
        let closed = Record { lease: until(at(30)), teacher, student: has("i-2"), ..record };
        assert_eq!(planned(&closed, at(0)), Plan::Skip(reason));
    }
}

/// A meeting that is over and one whose window has passed at `at(0)`.
fn ended() -> Vec<(Record, Reason)> {
    let over = Some(Status::Terminated);
    let meet_time = at(-7201);
    vec![
        (with(|r| r.status = over.clone()), Reason::Over(over.clone())),
        (with(|r| r.meet_time = MeetTime::At(meet_time)), Reason::TooLate { meet_time, window: WINDOW }),
    ]
}

fn over() -> [Option<Status>; 3] {
    ["TERMINATED", "CANCELLED", "launched"].map(|word| Some(Status::from_word(word)))
}

// Which place and type are tried, and in which order.

#[test]
fn every_zone_is_tried_for_the_preferred_type_before_the_next_type() {
    let all: Vec<(String, String)> = candidates(&["t3.large", "m5.large"])
        .into_iter()
        .map(|c| (c.instance_type, c.subnet.availability_zone))
        .collect();
    let expected = [("t3.large", "a"), ("t3.large", "b"), ("m5.large", "a"), ("m5.large", "b")];
    assert_eq!(all, expected.map(|(kind, zone)| (kind.to_owned(), zone.to_owned())));
}

#[test]
fn without_capacity_the_next_zone_comes_and_then_the_next_type() {
    let way = way(&["t3.large", "m5.large"], Refusal::Capacity);
    assert_eq!(way, ["t3.large/subnet-a", "t3.large/subnet-b", "m5.large/subnet-a", "m5.large/subnet-b"]);
}

#[test]
fn an_unfit_zone_is_unfit_for_this_type_only() {
    let way = way(&["t3.large", "m5.large"], Refusal::Zone);
    assert_eq!(way, ["t3.large/subnet-a", "t3.large/subnet-b", "m5.large/subnet-a", "m5.large/subnet-b"]);
}

#[test]
fn an_unfit_subnet_is_unfit_for_every_type() {
    let way = way(&["t3.large", "m5.large"], Refusal::Subnet);
    assert_eq!(way, ["t3.large/subnet-a", "t3.large/subnet-b"]);
}

#[test]
fn an_unfit_type_is_tried_in_no_zone_again_and_the_next_type_is() {
    let way = way(&["t3.large", "t3.xlarge", "m5.large"], Refusal::Type);
    assert_eq!(way, ["t3.large/subnet-a", "t3.xlarge/subnet-a", "m5.large/subnet-a"]);
    // Spot may have other types than on demand.
    let all = in_markets(&[Market::Spot, Market::OnDemand], &["t3.large"]);
    let spot = Parameters { market: Market::Spot, ..parameters("t3.large", &all[0].subnet) };
    let next = refusals(&[(Refusal::Type, &spot)]).next(&all, &spot, &ZoneConstraint::Anywhere);
    assert_eq!(next.map(|c| c.market), Some(Market::OnDemand));
}

#[test]
fn a_quota_is_met_by_another_family_only() {
    let way = way(&["t3.large", "t3.xlarge", "m5.large", "t3.small"], Refusal::Quota);
    assert_eq!(way, ["t3.large/subnet-a", "m5.large/subnet-a"]);
}

#[test]
fn a_quota_does_not_confuse_families_that_begin_alike() {
    let way = way(&["m5.large", "m5a.large", "m5.xlarge"], Refusal::Quota);
    assert_eq!(way, ["m5.large/subnet-a", "m5a.large/subnet-a"]);
}

#[test]
fn a_zone_without_capacity_is_not_tried_in_its_other_subnets() {
    let subnets = [subnet("subnet-1", "a"), subnet("subnet-2", "a"), subnet("subnet-3", "b")];
    let all = of_subnets(&[Market::OnDemand], &["t3.large"], &subnets);
    let refused = parameters("t3.large", &subnets[0]);
    let next = refusals(&[(Refusal::Capacity, &refused)]).next(&all, &refused, &ZoneConstraint::Anywhere);
    assert_eq!(next.map(|c| c.subnet.subnet_id.as_str()), Some("subnet-3"));
}

#[test]
fn a_full_subnet_leaves_the_other_subnets_of_its_zone() {
    let subnets = [subnet("subnet-1", "a"), subnet("subnet-2", "a")];
    let all = of_subnets(&[Market::OnDemand], &["t3.large"], &subnets);
    let refused = parameters("t3.large", &subnets[0]);
    let next = refusals(&[(Refusal::Subnet, &refused)]).next(&all, &refused, &ZoneConstraint::Anywhere);
    assert_eq!(next.map(|c| c.subnet.subnet_id.as_str()), Some("subnet-2"));
}

#[test]
fn a_standing_attempt_is_followed_by_what_comes_after_it_and_then_by_what_comes_before() {
    let all = candidates(&["t3.large", "m5.large"]);
    let standing = parameters("t3.large", &subnet("subnet-b", "b"));
    let next = refusals(&[(Refusal::Capacity, &standing)]).next(&all, &standing, &ZoneConstraint::Anywhere);
    assert_eq!(next, Some(&all[2]), "the first zone may have been refused by an earlier delivery");
    let last = parameters("m5.large", &subnet("subnet-b", "b"));
    // An earlier delivery was refused in the first places, or its machine died in the last one; this one was not.
    let mut refused = refusals(&[(Refusal::Capacity, &last)]);
    for place in &all[..all.len() - 1] {
        assert_eq!(refused.next(&all, &last, &ZoneConstraint::Anywhere), Some(place));
        refused.add(Refusal::Capacity, error(None), &parameters(&place.instance_type, &place.subnet));
    }
    assert_eq!(refused.next(&all, &last, &ZoneConstraint::Anywhere), None, "each once");
}

#[test]
fn every_type_in_every_zone_comes_first_in_one_market_and_then_in_the_other() {
    let all = in_markets(&[Market::Spot, Market::OnDemand], &["t3.large", "m5.large"]);
    let told: Vec<String> =
        all.iter().map(|c| format!("{} {} {}", c.market, c.instance_type, c.subnet.subnet_id)).collect();
    let expected = [
        "spot t3.large subnet-a",
        "spot t3.large subnet-b",
        "spot m5.large subnet-a",
        "spot m5.large subnet-b",
        "on demand t3.large subnet-a",
        "on demand t3.large subnet-b",
        "on demand m5.large subnet-a",
        "on demand m5.large subnet-b",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_zone_that_does_not_offer_a_type_is_never_tried_for_it() {
    let offerings = [("t3.large", "b"), ("m5.large", "a"), ("m5.large", "c")];
    let offerings = offerings.map(|(kind, zone)| (kind.to_owned(), zone.to_owned())).into();
    let subnets = [subnet("subnet-a", "a"), subnet("subnet-b", "b")];
    let kinds = strings(&["t3.large", "m5.large"]);
    let all = plan::candidates(&[Market::OnDemand], &kinds, &subnets, Some(&offerings));
    let told: Vec<(&str, &str)> =
        all.iter().map(|c| (c.instance_type.as_str(), c.subnet.subnet_id.as_str())).collect();
    assert_eq!(told, [("t3.large", "subnet-b"), ("m5.large", "subnet-a")]);
    let unknown = plan::candidates(&[Market::OnDemand], &kinds, &subnets, None);
    assert_eq!(unknown.len(), 4, "where it is not known, every zone is tried");
}

#[test]
fn a_refusal_of_spot_says_nothing_of_machines_on_demand() {
    let all = in_markets(&[Market::Spot, Market::OnDemand], &["t3.large"]);
    for refusal in [Refusal::Capacity, Refusal::Zone, Refusal::Quota] {
        let mut refused = Refusals::default();
        let mut standing = parameters("t3.large", &all[0].subnet);
        standing.market = Market::Spot;
        refused.add(refusal, error(None), &standing);
        let mut next = refused.next(&all, &standing, &ZoneConstraint::Anywhere).expect("there is more");
        if refusal != Refusal::Quota {
            assert_eq!(
                (next.market, next.subnet.subnet_id.as_str()),
                (Market::Spot, "subnet-b"),
                "{refusal:?}"
            );
            standing = Parameters { market: Market::Spot, ..parameters("t3.large", &next.subnet) };
            refused.add(refusal, error(None), &standing);
            next = refused.next(&all, &standing, &ZoneConstraint::Anywhere).expect("there is more");
        }
        assert_eq!(next, &all[2], "{refusal:?}");
    }
    let spot = Parameters { market: Market::Spot, ..parameters("t3.large", &all[0].subnet) };
    assert_eq!(refusals(&[(Refusal::Capacity, &spot)]).tried(), "t3.large spot in a (subnet-a): NoAnswer");
}

#[test]
fn an_attempt_that_is_no_candidate_any_more_is_followed_by_the_first() {
    let all = candidates(&["t3.large"]);
    let gone = parameters("t2.large", &subnet("subnet-b", "b"));
    assert_eq!(
        refusals(&[(Refusal::Capacity, &gone)]).next(&all, &gone, &ZoneConstraint::Anywhere),
        Some(&all[0])
    );
    let first = parameters("t3.large", &all[0].subnet);
    let both = refusals(&[(Refusal::Capacity, &first), (Refusal::Capacity, &gone)]);
    assert_eq!(
        both.next(&all, &gone, &ZoneConstraint::Anywhere),
        Some(&all[1]),
        "but not by one that was refused"
    );
}

#[test]
fn a_machine_that_was_ended_gets_the_same_place_again() {
    let all = candidates(&["t3.large", "m5.large"]);
    for candidate in &all {
        let standing = parameters(&candidate.instance_type, &candidate.subnet);
        assert_eq!(same_again(&all, &standing, &ZoneConstraint::Anywhere), Some(candidate));
    }
    let gone = parameters("t2.large", &all[1].subnet);
    assert_eq!(
        same_again(&all, &gone, &ZoneConstraint::Anywhere),
        Some(&all[0]),
        "or the first, if it is no candidate any more"
    );
    assert_eq!(same_again(&[], &gone, &ZoneConstraint::Anywhere), None);
}

#[test]
fn a_pair_leaves_a_zone_together() {
    let subnets = [subnet("subnet-1", "a"), subnet("subnet-2", "a"), subnet("subnet-3", "b")];
    let all = of_subnets(&[Market::OnDemand], &["t3.large", "m5.large"], &subnets);
    let refused = parameters("t3.large", &subnets[0]);
    let full = refusals(&[(Refusal::Subnet, &refused)]);
    assert_eq!(full.next(&all, &refused, &ZoneConstraint::Together), Some(&all[1]), "the same zone");
    let without_room = refusals(&[(Refusal::Capacity, &refused)]);
    assert_eq!(
        without_room.next(&all, &refused, &ZoneConstraint::Together),
        None,
        "the next one is in another zone"
    );
    assert_eq!(without_room.next(&all, &refused, &ZoneConstraint::Anywhere), Some(&all[2]), "where both go");
}

#[test]
fn beside_a_recorded_machine_only_its_zone_is_tried() {
    let all = candidates(&["t3.large", "m5.large"]);
    let within = ZoneConstraint::Within("a".into());
    let mut refused = refusals(&[(Refusal::Capacity, &parameters("t3.large", &all[0].subnet))]);
    let first = parameters("t3.large", &all[0].subnet);
    assert_eq!(refused.next(&all, &first, &within), Some(&all[2]), "another type of this zone");
    refused.add(Refusal::Capacity, error(None), &parameters("m5.large", &all[0].subnet));
    assert_eq!(refused.next(&all, &first, &within), None);
    assert_eq!(same_again(&all, &first, &ZoneConstraint::Within("b".into())), Some(&all[1]));
    assert_eq!(same_again(&all, &first, &ZoneConstraint::Within("c".into())), None);
    let elsewhere = parameters("t3.large", &subnet("subnet-c", "c"));
    assert_eq!(
        same_again(&all, &elsewhere, &ZoneConstraint::Together),
        None,
        "the zone is no candidate any more"
    );
}

#[test]
fn a_role_is_bound_to_the_zone_of_the_other_ones_machine() {
    let mut record = record();
    let bound = |record: &Record| plan::zone_of_the_pair(Pair::SameAz, record, Teacher).map(str::to_owned);
    assert_eq!(bound(&record), None, "there is none");
    let attempt = attempt(1, "token-1");
    let zone = attempt.parameters.availability_zone.clone();
    record.student.attempt = Some(attempt);
    assert_eq!(bound(&record), Some(zone.clone()), "one may come of the attempt");
    assert_eq!(plan::zone_of_the_pair(Pair::Any, &record, Teacher), None);
    assert_eq!(plan::zone_of_the_pair(Pair::SameAz, &record, Student), None, "its own attempt binds nobody");
    record.student.attempt.as_mut().expect("it stands").refused = true;
    assert_eq!(bound(&record), None, "none can come of it any more");
    record.student.instance_id = Some(InstanceId::from("i-1"));
    assert_eq!(bound(&record), Some(zone), "it stands in the record");
    let all = candidates(&["t3.large", "m5.large"]);
    assert_eq!(plan::first(&all, Some("b")), Some(&all[1]));
    assert_eq!(plan::first(&all, Some("c")), None);
    assert_eq!(plan::first(&all, None), Some(&all[0]));
}

#[test]
fn what_either_role_was_refused_holds_for_both_and_is_told_once() {
    let (a, b) =
        (parameters("t3.large", &subnet("subnet-a", "a")), parameters("t3.large", &subnet("subnet-b", "b")));
    let both = refusals(&[(Refusal::Capacity, &a)])
        .and(refusals(&[(Refusal::Capacity, &a), (Refusal::Capacity, &b)]));
    assert_eq!(both.tried(), "t3.large in a (subnet-a): NoAnswer, t3.large in b (subnet-b): NoAnswer");
    assert_eq!(both.next(&candidates(&["t3.large"]), &a, &ZoneConstraint::Anywhere), None);
}

#[test]
fn refusals_are_remembered_and_told() {
    let (a, b) = (subnet("subnet-a", "a"), subnet("subnet-b", "b"));
    let (first, second) = (parameters("t3.large", &a), parameters("m5.large", &b));
    let mut refusals = Refusals::default();
    refusals.add(Refusal::Capacity, error(Some("InsufficientInstanceCapacity")), &first);
    refusals.add(Refusal::Quota, error(Some("VcpuLimitExceeded")), &second);
    refusals.add(Refusal::Capacity, error(None), &second);
    assert_eq!(
        refusals.tried(),
        "t3.large in a (subnet-a): InsufficientInstanceCapacity, m5.large in b (subnet-b): VcpuLimitExceeded, \
         m5.large in b (subnet-b): NoAnswer"
    );
    assert_eq!(Refusals::default().tried(), "");
}

#[test]
fn the_last_refusal_of_each_kind_is_the_one_that_is_shown() {
    let place = parameters("t3.large", &subnet("subnet-a", "a"));
    let mut refusals = Refusals::default();
    for (refusal, code) in [
        (Refusal::Capacity, "InsufficientInstanceCapacity"),
        (Refusal::Capacity, "UnfulfillableCapacity"),
        (Refusal::Zone, "Unsupported"),
    ] {
        refusals.add(refusal, error(Some(code)), &place);
    }
    assert_eq!(refusals.last(Refusal::Capacity), Some(&error(Some("UnfulfillableCapacity"))));
    assert_eq!(refusals.last(Refusal::Zone), Some(&error(Some("Unsupported"))));
    assert_eq!([refusals.last(Refusal::Subnet), refusals.last(Refusal::Quota)], [None, None]);
}

/// Everything else is sent again, looked into, or the end: never a reason to try another place.
#[test]
fn five_classes_are_refusals_and_no_other_is() {
    let cases = [
        (Class::Capacity, Some(Refusal::Capacity)),
        (Class::ZoneUnfit, Some(Refusal::Zone)),
        (Class::SubnetUnfit, Some(Refusal::Subnet)),
        (Class::TypeUnfit, Some(Refusal::Type)),
        (Class::Quota, Some(Refusal::Quota)),
        (Class::Throttled, None),
        (Class::Ambiguous, None),
        (Class::Propagating, None),
        (Class::ParameterMismatch, None),
        (Class::InstanceTerminated, None),
        (Class::Misconfigured, None),
        (Class::Unauthorized, None),
        (Class::NotSent, None),
        (Class::Unreadable, None),
    ];
    for (class, expected) in cases {
        assert_eq!(Refusal::of(class), expected, "{class:?}");
    }
}

#[test]
fn only_a_machine_that_died_for_want_of_capacity_says_so() {
    let dead = |reason: &str| Machine { state_reason: Some(reason.into()), ..machine("i-1") };
    assert!(plan::died_of_capacity(&dead("Server.InsufficientInstanceCapacity")));
    for reason in ["Client.InternalError", "Server.InternalError", "Client.UserInitiatedShutdown"] {
        assert!(!plan::died_of_capacity(&dead(reason)), "{reason}");
    }
    assert!(!plan::died_of_capacity(&machine("i-1")));
}

// Whose a machine is.

#[test]
fn a_machine_is_of_the_attempt_whose_tags_it_carries() {
    let attempt = attempt(1, "token-1");
    let ours = attempt.parameters.tags.clone();
    assert!(tagged(ours.clone()).is_of(&attempt));
    let more = [("aws:autoscaling".to_owned(), "no".to_owned())];
    assert!(tagged(ours.clone().into_iter().chain(more).collect()).is_of(&attempt), "or more than those");
    for key in ["Name", "MeetingID", "Project"] {
        let mut tags = ours.clone();
        tags.remove(key);
        assert!(!tagged(tags).is_of(&attempt), "without {key}");
    }
    for key in ["Name", "MeetingID", "Project", "Role"] {
        let mut tags = ours.clone();
        tags.insert(key.to_owned(), "another".to_owned());
        assert!(!tagged(tags).is_of(&attempt), "with another {key}");
    }
    assert!(!tagged(BTreeMap::new()).is_of(&attempt), "without any");
    // What else the owner tags is theirs to change.
    assert_eq!(ours.get("Team").map(String::as_str), Some("A"));
    let mut changed = ours.clone();
    changed.insert("Team".to_owned(), "B".to_owned());
    assert!(tagged(changed.clone()).is_of(&attempt));
    changed.remove("Team");
    assert!(tagged(changed).is_of(&attempt));
}

/// The tag goes before the machine does, and a delivery may die in between.
#[test]
fn a_machine_that_lost_its_role_alone_is_ours_and_half_ended() {
    let attempt = attempt(1, "token-1");
    let ours = attempt.parameters.tags.clone();
    assert!(!tagged(ours.clone()).is_half_ended());
    let mut tags = ours.clone();
    tags.remove(ROLE_TAG);
    let half = tagged(tags);
    assert!(half.is_half_ended() && half.is_of(&attempt), "{half:?}");
    assert!(!tagged(BTreeMap::new()).is_half_ended(), "an answer without any tags says nothing");
}

#[test]
fn a_new_attempt_says_everything_that_the_configuration_says() {
    let meeting = MeetingId::new("m").expect("it is an id");
    let candidate =
        Candidate { instance_type: "m5.large".into(), subnet: subnet("subnet-b", "b"), market: Market::Spot };
    let token = Token::from("token-7");
    let made =
        plan::attempt(&config(), &image("/dev/sda1").into(), &meeting, Student, 7, token.clone(), &candidate);
    let tags = [
        ("Name", "m_student"),
        ("MeetingID", "m"),
        ("Role", "student"),
        ("Project", "Elephant"),
        ("Team", "A"),
    ];
    let parameters = Parameters {
        launch_template: None,
        image_id: "ami-1".into(),
        instance_type: "m5.large".into(),
        subnet_id: "subnet-b".into(),
        availability_zone: "b".into(),
        security_group_ids: strings(&["sg-1", "sg-2"]),
        key_name: Some("key".into()),
        iam_profile: Some(InstanceProfile::Name("profile".into())),
        root_volume: Some(RootVolume {
            device_name: "/dev/sda1".into(),
            size_gb: 80,
            volume_type: "gp3".into(),
            encrypted: true,
            iops: Some(4000),
            throughput: Some(500),
            kms_key_id: Some("alias/meetings".into()),
        }),
        imds_tokens: Some(ImdsTokens::Required),
        public_ip: Some(true),
        market: Market::Spot,
        // #!/bin/sh, and then the meeting and the role.
        user_data: Some("IyEvYmluL3NoCmVjaG8gbSBzdHVkZW50".into()),
        tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    };
    assert_eq!(made, Ok(Attempt { number: 7, token, refused: false, ending: false, parameters }));
}

#[test]
fn what_a_record_says_goes_before_the_configuration() {
    let origin = plan::Origin::from(image("/dev/xvda"));
    assert_eq!(origin.overridden(&Overrides::default(), None), origin);
    let own = Overrides { image_id: Some("ami-2".into()), volume_size_gb: Some(5), ..Overrides::default() };
    let meeting = MeetingId::new("m").expect("it is an id");
    let candidate = &candidates(&["t3.large"])[0];
    let looked_up = Image { snapshot_gb: Some(30), ..image("/dev/sda1") };
    let made = |config: &Config, own: &Overrides| {
        let other = own.image_id.as_deref() == Some("ami-2");
        let origin = origin.overridden(own, other.then_some(&looked_up));
        plan::attempt(config, &origin, &meeting, Student, 1, Token::from("t"), candidate)
            .expect("its user data can be made")
            .parameters
    };
    let with_both = made(&config(), &own);
    let root = with_both.root_volume.expect("a volume");
    assert_eq!((with_both.image_id.as_str(), root.size_gb), ("ami-2", 30), "no smaller than its snapshot");
    assert_eq!(root.device_name, "/dev/sda1", "its own root, or it would get a second disk");
    // A device that is set is the configured image's root, or another disk of any image.
    for (set, device, size) in [("/dev/xvda", "/dev/sda1", 30), ("/dev/sdf", "/dev/sdf", 5)] {
        let mut config = config();
        config.volume.device = Some(set.into());
        let root = made(&config, &own).root_volume.expect("a volume");
        assert_eq!((root.device_name.as_str(), root.size_gb), (device, size), "VOLUME_DEVICE={set}");
    }
    let same = Overrides { image_id: Some("ami-1".into()), ..own.clone() };
    assert_eq!(made(&config(), &same).root_volume.expect("one").size_gb, 8, "of this one it is known");
    let mut template = config();
    template.launch_template = Some(LaunchTemplate {
        named: Named::Id("lt-1".into()),
        version: "$Latest".into(),
        keeps_volume: true,
    });
    assert_eq!(made(&template, &Overrides::default()).root_volume, None);
    assert_eq!(made(&template, &own).root_volume.expect("its own").size_gb, 30);
}

#[test]
fn candidates_of_a_record_s_own_types_are_those_that_are_known_to_be_offered_or_not_known_at_all() {
    let subnets = [subnet("subnet-a", "a"), subnet("subnet-b", "b")];
    let offered = |of: &[(&str, &str)]| {
        of.iter().map(|(of, zone)| ((*of).to_owned(), (*zone).to_owned())).collect::<Offerings>()
    };
    let known = offered(&[("t3.large", "a"), ("m5.large", "b")]);
    let looked_up = strings(&["t3.large", "m5.large"]);
    let told = |types: &[&str], offerings: Option<&Offerings>| {
        let own = Overrides { instance_types: strings(types), ..Overrides::default() };
        let all = plan::candidates_for(&own, &[Market::OnDemand], &looked_up, &subnets, offerings);
        all.iter().map(|c| format!("{}/{}", c.instance_type, c.subnet.availability_zone)).collect::<Vec<_>>()
    };
    assert_eq!(told(&[], Some(&known)), ["t3.large/a", "m5.large/b"]);
    assert_eq!(told(&["m5.large"], Some(&known)), ["m5.large/b"]);
    assert_eq!(told(&["c5.large", "t3.large"], Some(&known)), ["c5.large/a", "c5.large/b", "t3.large/a"]);
    assert_eq!(told(&["m5.large"], None), ["m5.large/a", "m5.large/b"]);
}

#[test]
fn a_pair_of_two_types_begins_and_goes_on_where_there_is_a_place_for_both() {
    let subnets =
        |zones: &[&str]| zones.iter().map(|z| subnet(&format!("subnet-{z}"), z)).collect::<Vec<_>>();
    let of = |kind: &str, zones: &[&str]| of_subnets(&[Market::OnDemand], &[kind], &subnets(zones));
    let (one, other) = (of("c5.large", &["a", "b", "c"]), of("r5.large", &["c", "b"]));
    let told = |pair: Option<[&Candidate; 2]>| {
        pair.map(|pair| pair.map(|c| format!("{}/{}", c.instance_type, c.subnet.availability_zone)))
    };
    let first = plan::first_pair(&one, &other);
    assert_eq!(told(first), Some(["c5.large/b".into(), "r5.large/b".into()]));
    assert_eq!(plan::first_pair(&one, &of("r5.large", &["d"])), None);
    let standing = parameters("c5.large", &subnet("subnet-b", "b"));
    let next = |refused: &[(Refusal, &Parameters)]| {
        refusals(refused)
            .next_pair(&one, &other, [&standing, &standing])
            .map(|pair| pair.map(|c| format!("{}/{}", c.instance_type, c.subnet.availability_zone)))
    };
    assert_eq!(next(&[(Refusal::Capacity, &standing)]), Some(["c5.large/c".into(), "r5.large/c".into()]));
    let there = parameters("r5.large", &subnet("subnet-c", "c"));
    assert_eq!(next(&[(Refusal::Capacity, &standing), (Refusal::Capacity, &there)]), None);
    // A type that one image cannot run is left to the other role, whose image may.
    let from_another_image = Parameters { image_id: "ami-2".into(), ..standing.clone() };
    let both_types = of_subnets(&[Market::OnDemand], &["c5.large", "r5.large"], &subnets(&["b"]));
    let unfit = refusals(&[(Refusal::Type, &standing)]);
    let pair =
        unfit.next_pair(&both_types, &both_types, [&standing, &from_another_image]).expect("both types");
    assert_eq!(pair.map(|c| c.instance_type.as_str()), ["r5.large"; 2]);
    let only = of("c5.large", &["b"]);
    assert!(unfit.next_pair(&both_types, &only, [&standing, &from_another_image]).is_some());
    assert_eq!(unfit.next_pair(&both_types, &only, [&standing, &standing]), None);
    // Of one type they are the same candidate, as ever.
    let same = of("c5.large", &["a", "b", "c"]);
    let pair =
        refusals(&[(Refusal::Capacity, &standing)]).next_pair(&one, &same, [&standing; 2]).expect("one");
    assert_eq!(pair[0], pair[1]);
}

#[test]
fn a_root_volume_is_no_smaller_than_the_images_snapshot() {
    let meeting = MeetingId::new("m").expect("it is an id");
    let candidate = &candidates(&["t3.large"])[0];
    let made = |config: &Config, image: &Image| {
        plan::attempt(config, &image.clone().into(), &meeting, Student, 1, Token::from("t"), candidate)
            .expect("its user data can be made")
            .parameters
            .root_volume
            .expect("no launch template keeps its own")
    };
    let large = Image { snapshot_gb: Some(100), ..image("/dev/xvda") };
    assert_eq!(made(&config(), &large).size_gb, 100, "80 are configured");
    assert_eq!(made(&config(), &Image { snapshot_gb: Some(80), ..large.clone() }).size_gb, 80);
    assert_eq!(made(&config(), &Image { snapshot_gb: None, ..large.clone() }).size_gb, 80);
    let mut second = config();
    second.volume.device = Some("/dev/sdf".into());
    let made = made(&second, &large);
    assert_eq!(
        (made.device_name.as_str(), made.size_gb),
        ("/dev/sdf", 80),
        "another device is no root volume"
    );
}

#[test]
fn a_long_name_is_cut_between_two_characters_and_keeps_its_role() {
    let meeting = MeetingId::new(&"🐘".repeat(256)).expect("256 characters are allowed");
    for (role, kept) in [(Teacher, 248), (Student, 248)] {
        let tags = elephant_core::machine::tags(&meeting, role, "Elephant");
        assert_eq!(tags["Name"], format!("{}_{role}", "🐘".repeat(kept)));
        assert_eq!(tags["MeetingID"], meeting.as_str(), "the id itself is never cut");
    }
}

// When a request may be sent.

#[test]
fn a_request_is_sent_if_its_answer_fits_before_deadline_and_lease() {
    // Ten seconds for the answer, seven to record it; ten for the answer, five of skew.
    let (lease, deadline) = (at(15), at(17));
    let cases = [
        (at(0), lease, deadline, Sending::Now),
        (at(1), lease, at(100), Sending::RenewFirst),
        (at(1), at(100), deadline, Sending::TooLate),
        (at(1), lease, deadline, Sending::TooLate),
        (at(50), lease, at(100), Sending::RenewFirst),
        (at(50), lease, deadline, Sending::TooLate),
    ];
    for (now, lease, deadline, expected) in cases {
        assert_eq!(may_send(now, lease, deadline, &T), expected, "{now} lease {lease} deadline {deadline}");
    }
}

#[test]
fn one_nanosecond_decides_whether_a_request_is_sent() {
    let late = at(0) + jiff::SignedDuration::from_nanos(1);
    assert_eq!(may_send(late, at(15), at(100), &T), Sending::RenewFirst);
    assert_eq!(may_send(late, at(100), at(17), &T), Sending::TooLate);
}

/// Otherwise a delivery could renew for ever.
#[test]
fn a_renewed_lease_always_allows_a_request_that_fits_before_the_deadline() {
    for left in 0..120 {
        let deadline = at(left);
        let sending = may_send(at(0), lease_end(at(0), deadline, &T), deadline, &T);
        assert_ne!(sending, Sending::RenewFirst, "{left} seconds before the deadline");
    }
}

#[test]
fn a_lease_never_outlives_the_deadline() {
    assert_eq!(lease_end(at(0), at(60), &T), at(30));
    assert_eq!(lease_end(at(0), at(30), &T), at(30));
    assert_eq!(lease_end(at(0), at(12), &T), at(12));
}

#[test]
fn a_refusal_counts_once_every_earlier_sending_is_answered_or_old() {
    assert_eq!(refusal_counts(None, at(0), &T), Ok(()), "nothing earlier is unanswered");
    for sent in [at(0), at(1), at(44)] {
        assert_eq!(refusal_counts(Some(at(0)), sent, &T), Err(at(45)), "sent at {sent}");
    }
    for sent in [at(45), at(46)] {
        assert_eq!(refusal_counts(Some(at(0)), sent, &T), Ok(()), "sent at {sent}");
    }
}

#[test]
fn a_pause_doubles_up_to_its_ceiling() {
    let pause = |tries| backoff(tries, 1.0, ms(500), ms(8000));
    assert_eq!(
        [1, 2, 3, 4, 5, 6, 40, u32::MAX].map(pause),
        [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000].map(ms)
    );
}

#[test]
fn a_pause_is_a_random_part_of_the_whole() {
    let pause = |fraction| backoff(3, fraction, ms(100), ms(2000));
    assert_eq!([0.0, 0.25, 1.0].map(pause), [0, 100, 400].map(ms));
    assert_eq!([-1.0, 7.0].map(pause), [0, 400].map(ms), "whatever the random source says");
}

#[test]
fn time_does_not_overflow() {
    assert_eq!(after(at(0), ms(1500)), at(0) + jiff::SignedDuration::from_millis(1500));
    assert_eq!(after(Timestamp::MAX, ms(1)), Timestamp::MAX);
    assert_eq!(after(at(0), Duration::MAX), Timestamp::MAX);
}

// What a refused write tells.

#[test]
fn a_refused_claim_that_stands_as_ours_was_written() {
    let attempts = [(Teacher, attempt(1, "token-1")), (Student, attempt(1, "token-2"))];
    let ours = claimed("token-1", "token-2");
    assert!(claim_stands(&ours, &owner("me"), &attempts));
    assert!(claim_stands(&ours, &owner("me"), &attempts[1..]), "the other role has its machine");
}

#[test]
fn any_other_refused_claim_is_planned_anew() {
    let attempts = [(Teacher, attempt(1, "token-1")), (Student, attempt(1, "token-2"))];
    let cases = [
        ("another owner", Record { lease: until(at(30)), ..claimed("token-1", "token-2") }),
        ("no lease", Record { lease: None, ..claimed("token-1", "token-2") }),
        ("another token", claimed("token-1", "token-3")),
        ("another number", Record { student: open(attempt(2, "token-2")), ..claimed("token-1", "token-2") }),
        ("refused", Record { student: refused(attempt(1, "token-2")), ..claimed("token-1", "token-2") }),
        ("no attempt", Record { teacher: RoleRecord::default(), ..claimed("token-1", "token-2") }),
        ("over", Record { status: Some(Status::Terminated), ..claimed("token-1", "token-2") }),
    ];
    for (story, found) in cases {
        assert!(!claim_stands(&found, &owner("me"), &attempts), "{story}");
    }
}

#[test]
fn a_refused_next_attempt_says_why() {
    let next = Token::from("token-1");
    let cases = [
        (ConflictMeaning::Gone, None),
        (ConflictMeaning::Written, Some(claimed("token-1", "token-2"))),
        (ConflictMeaning::Over, Some(Record { status: over()[0].clone(), ..claimed("token-1", "token-2") })),
        (ConflictMeaning::Over, Some(Record { status: over()[1].clone(), ..claimed("token-0", "token-2") })),
        (ConflictMeaning::TakenOver, Some(claimed("token-9", "token-1"))),
        (ConflictMeaning::TakenOver, Some(Record { lease: until(at(30)), ..claimed("token-1", "token-2") })),
        (ConflictMeaning::TakenOver, Some(Record { lease: None, ..claimed("token-1", "token-2") })),
    ];
    for (expected, found) in cases {
        let standing = after_refused_next_attempt(found.as_ref(), &owner("me"), Teacher, &next);
        assert_eq!(standing, expected, "{found:#?}");
    }
}

#[test]
fn a_refused_id_says_why() {
    let ours = claimed("token-1", "token-2");
    let over = Record { status: over()[0].clone(), ..ours.clone() };
    let written = Record {
        teacher: RoleRecord { attempt: ours.teacher.attempt.clone(), ..has("i-1") },
        ..ours.clone()
    };
    let other = Record {
        teacher: RoleRecord { attempt: ours.teacher.attempt.clone(), ..has("i-9") },
        ..ours.clone()
    };
    let cases = [
        ("the record is gone", Some(ConflictMeaning::Gone), None),
        ("our id stands", Some(ConflictMeaning::Written), Some(written.clone())),
        (
            "our id stands, and the meeting is over",
            Some(ConflictMeaning::Written),
            Some(Record { status: over.status.clone(), ..written }),
        ),
        ("the meeting is over", Some(ConflictMeaning::Over), Some(over)),
        ("another id stands", Some(ConflictMeaning::TakenOver), Some(other)),
        ("another token stands", Some(ConflictMeaning::TakenOver), Some(claimed("token-9", "token-1"))),
        ("no attempt stands", Some(ConflictMeaning::TakenOver), Some(record())),
        ("only the status has moved", None, Some(Record { status: Some(Status::Healthy), ..ours.clone() })),
        ("the lease is another's, which is no matter", None, Some(Record { lease: until(at(30)), ..ours })),
    ];
    for (story, expected, found) in cases {
        let standing =
            after_refused_instance(found.as_ref(), Teacher, &Token::from("token-1"), &machine("i-1"));
        assert_eq!(standing, expected, "{story}");
    }
}

// The timings hold each other up (see timing.rs).

#[test]
fn a_repeat_of_lambda_finds_the_lease_over_and_the_margin_passed() {
    let first_repeat = Duration::from_secs(60);
    assert!(T.max_effect_delay + T.skew < first_repeat, "{T:?}");
    assert!(T.lease + T.skew < first_repeat, "{T:?}");
}

#[test]
fn a_lease_outlives_one_request_with_its_skew() {
    assert!(T.lease > T.run_instances + T.skew, "{T:?}");
}

#[test]
fn an_unanswered_request_is_given_up_long_before_it_is_counted_lost() {
    assert!(T.max_effect_delay > T.run_instances, "{T:?}");
}

#[test]
fn a_delivery_lives_as_long_as_lambda_lets_it_and_has_time_for_everything_once_within_a_minute() {
    assert_eq!(T.delivery, Duration::from_secs(900));
    let once = T.table + T.ec2 + T.table + T.run_instances + T.reserve();
    assert!(once < Duration::from_secs(60), "read, look-up, claim, launch, record take {once:?}");
}

#[test]
fn the_reserve_holds_two_writes_and_a_second() {
    assert_eq!(T.reserve(), 2 * T.table + Duration::from_secs(1));
}

#[test]
fn look_ups_outlive_a_delivery() {
    assert!(T.lookups > T.delivery, "{T:?}");
}

// Plumbing.

fn planned(record: &Record, now: Timestamp) -> Plan {
    plan::plan(record, now, WINDOW, &T)
}

/// A meeting that nobody has touched.
fn record() -> Record {
    Record {
        meeting_id: MeetingId::new("m").expect("it is an id"),
        status: Some(Status::Scheduled),
        termination_reason: None,
        meet_time: MeetTime::Missing,
        meet_time_text: None,
        lease: None,
        teacher: RoleRecord::default(),
        student: RoleRecord::default(),
        overrides: Overrides::none(),
    }
}

fn with(change: impl FnOnce(&mut Record)) -> Record {
    let mut record = record();
    change(&mut record);
    record
}

/// A meeting claimed by `me`, with these tokens of teacher and student.
fn claimed(teacher: &str, student: &str) -> Record {
    with(|r| {
        r.lease = Some(Lease { owner: owner("me"), until: at(30) });
        r.teacher = open(attempt(1, teacher));
        r.student = open(attempt(1, student));
    })
}

fn until(end: Timestamp) -> Option<Lease> {
    Some(Lease { owner: owner("another"), until: end })
}

fn owner(name: &str) -> Owner {
    Owner::from(name)
}

fn has(instance: &str) -> RoleRecord {
    RoleRecord { instance_id: Some(InstanceId::from(instance)), attempt: None, launched_at: None }
}

fn open(attempt: Attempt) -> RoleRecord {
    RoleRecord { instance_id: None, attempt: Some(attempt), launched_at: None }
}

fn refused(attempt: Attempt) -> RoleRecord {
    open(Attempt { refused: true, ..attempt })
}

fn attempt(number: u32, token: &str) -> Attempt {
    let parameters = parameters("t3.large", &subnet("subnet-a", "a"));
    Attempt { number, token: Token::from(token), refused: false, ending: false, parameters }
}

fn parameters(instance_type: &str, subnet: &Subnet) -> Parameters {
    let candidate = Candidate {
        instance_type: instance_type.to_owned(),
        subnet: subnet.clone(),
        market: Market::OnDemand,
    };
    let meeting = MeetingId::new("m").expect("it is an id");
    plan::attempt(
        &config(),
        &image("/dev/xvda").into(),
        &meeting,
        Teacher,
        1,
        Token::from("token"),
        &candidate,
    )
    .expect("its user data can be made")
    .parameters
}

fn image(root_device: &str) -> Image {
    Image {
        image_id: "ami-1".into(),
        root_device: root_device.into(),
        snapshot_gb: Some(8),
        architecture: "x86_64".into(),
        is_windows: false,
        created: None,
    }
}

fn machine(instance: &str) -> Machine {
    Machine {
        instance_id: InstanceId::from(instance),
        state: State::Terminated,
        state_reason: None,
        tags: Default::default(),
    }
}

fn subnet(id: &str, zone: &str) -> Subnet {
    Subnet {
        subnet_id: id.to_owned(),
        vpc_id: "vpc-1".to_owned(),
        availability_zone: zone.to_owned(),
        available_ip_addresses: 9,
    }
}

/// Each of these types in `subnet-a` and `subnet-b`.
fn candidates(instance_types: &[&str]) -> Vec<Candidate> {
    in_markets(&[Market::OnDemand], instance_types)
}

/// The same in these markets.
fn in_markets(markets: &[Market], instance_types: &[&str]) -> Vec<Candidate> {
    of_subnets(markets, instance_types, &[subnet("subnet-a", "a"), subnet("subnet-b", "b")])
}

/// The same in these subnets, whose zones offer all of it.
fn of_subnets(markets: &[Market], instance_types: &[&str], subnets: &[Subnet]) -> Vec<Candidate> {
    let zones = |kind: &&str| {
        let kind = (*kind).to_owned();
        subnets.iter().map(move |subnet| (kind.clone(), subnet.availability_zone.clone()))
    };
    let offerings = instance_types.iter().flat_map(zones).collect();
    plan::candidates(markets, &strings(instance_types), subnets, Some(&offerings))
}

/// What is tried, one after the other, when every attempt is refused in this way.
fn way(instance_types: &[&str], refusal: Refusal) -> Vec<String> {
    let all = candidates(instance_types);
    let mut refusals = Refusals::default();
    let mut way = Vec::new();
    let mut next = all.first();
    while let Some(candidate) = next {
        way.push(format!("{}/{}", candidate.instance_type, candidate.subnet.subnet_id));
        let refused = parameters(&candidate.instance_type, &candidate.subnet);
        refusals.add(refusal, error(None), &refused);
        next = refusals.next(&all, &refused, &ZoneConstraint::Anywhere);
    }
    way
}

fn refusals(all: &[(Refusal, &Parameters)]) -> Refusals {
    let mut refusals = Refusals::default();
    for (refusal, refused) in all {
        refusals.add(*refusal, error(None), refused);
    }
    refusals
}

/// What EC2 said. What follows from it is in the refusal, so class and words do not matter here.
fn error(code: Option<&str>) -> AwsError {
    AwsError {
        action: "RunInstances",
        class: Class::Capacity,
        code: code.map(str::to_owned),
        message: "EC2's own words".to_owned(),
        request_id: None,
        advice: String::new(),
    }
}

fn tagged(tags: BTreeMap<String, String>) -> Machine {
    Machine { tags, ..machine("i-1") }
}

fn config() -> Config {
    let variables = [
        ("AMI_ID", "ami-1"),
        ("INSTANCE_TYPE", "t3.large"),
        ("SECURITY_GROUP_IDS", "sg-1,sg-2"),
        ("KEY_NAME", "key"),
        ("IAM_PROFILE", "profile"),
        ("VOLUME_SIZE_GB", "80"),
        ("VOLUME_IOPS", "4000"),
        ("VOLUME_THROUGHPUT", "500"),
        ("VOLUME_KMS_KEY_ID", "alias/meetings"),
        ("IMDS_TOKENS", "required"),
        ("PUBLIC_IP", "true"),
        ("USER_DATA", "#!/bin/sh\necho @elephant:meeting_id@ @elephant:role@"),
        ("EXTRA_TAGS", "Team=A"),
    ];
    Config::from_variables(|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
    .expect("they are all well-formed")
}

/// Noon, and this many seconds.
fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-22T12:00:00Z".parse().expect("it is a time");
    noon + jiff::SignedDuration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_lease_that_the_deadline_cuts_short_is_not_renewed_for_ever() {
    let timing = Timing::DEFAULT;
    assert!(timing.reserve() >= timing.skew, "{timing:?}");
}

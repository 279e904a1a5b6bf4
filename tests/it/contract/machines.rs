//! What EC2's instances promise: one machine for a token in a zone, and answers that say what to do next.

use std::collections::BTreeSet;

use elephant_core::error::{AwsError, Class};
use elephant_core::machine::{
    Attempt, ImdsTokens, InstanceProfile, Machine, Parameters, ROLE_TAG, State, Token,
};
use elephant_core::ports::{FindByToken, Machines, Terminate};

use super::Stage;
use super::samples::*;
use elephant_world::cloud::TerminatedToken;
use elephant_world::executor::Fate;

pub async fn a_launch_makes_the_machine_that_was_asked_for(stage: &impl Stage) {
    let mut attempt = an_attempt(stage, 0, "a");
    attempt.parameters.imds_tokens = Some(ImdsTokens::Required);
    let machine = launched(stage, &attempt).await;
    assert!(matches!(machine.state, State::Pending | State::Running), "{machine:?}");
    assert_eq!(machine.tags, attempt.parameters.tags);
    assert!(machine.is_of(&attempt) && !machine.is_half_ended());
    assert_eq!(stage.made_from(&machine.instance_id).await, attempt.parameters);
}

pub async fn the_same_attempt_again_is_the_same_machine(stage: &impl Stage) {
    let attempt = an_attempt(stage, 0, "a");
    let machine = launched(stage, &attempt).await;
    for _ in 0..2 {
        assert_eq!(launched(stage, &attempt).await.instance_id, machine.instance_id);
    }
    let found = only_machine(stage, &attempt).await;
    assert_eq!(found.instance_id, machine.instance_id);
    assert!(found.state.is_live(), "{found:?}");
    assert_eq!(found.tags, machine.tags);
}

pub async fn of_sendings_at_once_one_machine_comes(stage: &impl Stage) {
    let attempt = an_attempt(stage, 0, "a");
    let answers = all((0..8).map(|_| launched(stage, &attempt))).await;
    let ids: BTreeSet<_> = answers.into_iter().map(|machine| machine.instance_id).collect();
    assert_eq!(ids, BTreeSet::from([only_machine(stage, &attempt).await.instance_id]));
}

/// Whichever parameter it is, as long as the zone is the same.
pub async fn other_parameters_under_the_token_are_a_mismatch(stage: &impl Stage) {
    let here = stage.subnets().swap_remove(0);
    let attempt = an_attempt_in(stage, &here, "a");
    let machine = launched(stage, &attempt).await;
    for (what, other) in other_parameters(&attempt) {
        let error = refused(stage, &other).await;
        assert_eq!(error.class, Class::ParameterMismatch, "another {what}: {error}");
    }
    let beside = an_attempt_in(stage, &stage.another_subnet(&here).await, "a");
    assert_eq!(refused(stage, &beside).await.class, Class::ParameterMismatch, "another subnet of the zone");
    let found = only_machine(stage, &attempt).await;
    assert_eq!((found.instance_id, found.tags), (machine.instance_id, machine.tags), "it is as it was");
}

/// So a second zone may be tried under a new token only.
pub async fn a_token_counts_in_its_zone_alone(stage: &impl Stage) {
    let (here, there) = (an_attempt(stage, 0, "a"), an_attempt(stage, 1, "a"));
    let one = launched(stage, &here).await.instance_id;
    let two = launched(stage, &there).await.instance_id;
    assert_ne!(one, two, "a second machine is launched, and paid for");
    assert_eq!(launched(stage, &there).await.instance_id, two);
    assert_eq!(launched(stage, &here).await.instance_id, one);
    let found: BTreeSet<_> =
        found(stage, &here.token).await.into_iter().map(|machine| machine.instance_id).collect();
    assert_eq!(found, BTreeSet::from([one, two]));
}

pub async fn a_refusal_has_its_class_and_binds_the_token(stage: &impl Stage) {
    for (class, code) in [
        (Class::Capacity, "InsufficientInstanceCapacity"),
        (Class::ZoneUnfit, "Unsupported"),
        (Class::SubnetUnfit, "InsufficientFreeAddressesInSubnet"),
        (Class::Quota, "VcpuLimitExceeded"),
    ] {
        let attempt = an_attempt(stage, 0, code);
        let elsewhere = an_attempt(stage, 1, code);
        let [.., (_, other)] = &other_parameters(&attempt)[..] else { unreachable!("there are some") };
        let (kind, zone) = (&attempt.parameters.instance_type, &attempt.parameters.availability_zone);
        stage.refuse(kind, zone, class, code);
        for _ in 0..2 {
            let error = refused(stage, &attempt).await;
            assert_eq!((error.class, error.code()), (class, code));
        }
        assert_eq!(refused(stage, other).await.class, Class::ParameterMismatch, "while it refuses: {code}");
        assert_eq!(found(stage, &attempt.token).await, [], "{code}");
        let machine = launched(stage, &elsewhere).await;
        stage.relent();
        assert_eq!(refused(stage, other).await.class, Class::ParameterMismatch, "afterwards: {code}");
        assert_ne!(launched(stage, &attempt).await.instance_id, machine.instance_id, "{code}");
        assert_eq!(found(stage, &attempt.token).await.len(), 2, "one a zone: {code}");
    }
}

pub async fn a_refusal_does_not_touch_a_machine_that_is_there(stage: &impl Stage) {
    let attempt = an_attempt(stage, 0, "a");
    let machine = launched(stage, &attempt).await;
    stage.next("RunInstances", Fate::Refuses(Class::Capacity, "InsufficientInstanceCapacity"));
    assert_eq!(launched(stage, &attempt).await.instance_id, machine.instance_id);
    stage.next("RunInstances", Fate::Refuses(Class::Quota, "VcpuLimitExceeded"));
    let other = an_attempt(stage, 0, "b");
    assert_eq!(refused(stage, &other).await.class, Class::Quota);
}

/// Every failure that the stories tell of.
pub async fn a_failure_has_its_class_and_launches_nothing(stage: &impl Stage) {
    let attempt = an_attempt(stage, 0, "a");
    for (class, code) in [
        (Class::Throttled, "RequestLimitExceeded"),
        (Class::Unauthorized, "UnauthorizedOperation"),
        (Class::Ambiguous, "InternalError"),
        (Class::Ambiguous, "Unavailable"),
        (Class::ParameterMismatch, "IdempotentParameterMismatch"),
        (Class::SubnetUnfit, "InvalidSubnetID.NotFound"),
        (Class::TypeUnfit, "InvalidInstanceType"),
        (Class::Propagating, "InvalidParameterValue"),
        (Class::Misconfigured, "InvalidKeyPair.NotFound"),
        (Class::Misconfigured, "InvalidAMIID.NotFound"),
    ] {
        stage.next("RunInstances", Fate::Fails(class, code));
        let error = refused(stage, &attempt).await;
        assert_eq!((error.class, error.code()), (class, code));
        assert_eq!(found(stage, &attempt.token).await, [], "{code}");
    }
    launched(stage, &attempt).await;
}

pub async fn a_lost_answer_is_ambiguous_and_the_launch_is_not_repeated(stage: &impl Stage) {
    for (fate, machines) in [(Fate::LostBefore, 0), (Fate::LostAfter, 1)] {
        let attempt = an_attempt(stage, 0, &format!("{fate:?}"));
        stage.next("RunInstances", fate.clone());
        let error = refused(stage, &attempt).await;
        assert_eq!((error.class, &error.code), (Class::Ambiguous, &None), "{fate:?}: {error}");
        let found = found(stage, &attempt.token).await;
        assert_eq!(found.len(), machines, "{fate:?}");
        let machine = launched(stage, &attempt).await;
        assert!(found.iter().all(|found| found.instance_id == machine.instance_id), "{fate:?}");
        only_machine(stage, &attempt).await;
    }
}

/// Whether it was sent again meanwhile or not.
pub async fn a_late_launch_is_the_same_machine(stage: &impl Stage) {
    for sent_again in [false, true] {
        let attempt = an_attempt(stage, 0, &format!("{sent_again}"));
        stage.abandon("RunInstances", stage.machines().run(&attempt)).await;
        assert_eq!(found(stage, &attempt.token).await, [], "it is not launched yet");
        if sent_again {
            launched(stage, &attempt).await;
        }
        stage.late_effect().await;
        let machine = only_machine(stage, &attempt).await;
        assert_eq!(launched(stage, &attempt).await.instance_id, machine.instance_id);
    }
}

/// AWS has been seen to answer both.
pub async fn the_token_of_a_dead_machine_makes_no_other(stage: &impl Stage) {
    for answer in [TerminatedToken::Error, TerminatedToken::Instance] {
        stage.answer_for_the_dead(answer);
        let attempt = an_attempt(stage, 0, &format!("{answer:?}"));
        let machine = launched(stage, &attempt).await;
        assert_eq!(stage.machines().terminate(&machine.instance_id).await, Ok(()));
        match stage.machines().run(&attempt).await {
            Ok(dead) if answer == TerminatedToken::Instance => {
                assert_eq!((dead.instance_id, dead.state.is_live()), (machine.instance_id, false));
            }
            Err(error) if answer == TerminatedToken::Error => {
                assert_eq!(error.class, Class::InstanceTerminated, "{error}");
            }
            other => panic!("{answer:?}: {other:?}"),
        }
        let [(_, other), ..] = &other_parameters(&attempt)[..] else { unreachable!("there are some") };
        assert_eq!(refused(stage, other).await.class, Class::ParameterMismatch, "{answer:?}");
        assert!(!only_machine(stage, &attempt).await.state.is_live(), "{answer:?}");
    }
}

pub async fn an_unknown_token_has_no_machine(stage: &impl Stage) {
    let (attempt, unsent) = (an_attempt(stage, 0, "a"), an_attempt(stage, 0, "A"));
    launched(stage, &attempt).await;
    assert_eq!(found(stage, &unsent.token).await, []);
    let beginning = &attempt.token.as_str()[..attempt.token.as_str().len() - 1];
    assert_eq!(found(stage, &token(beginning)).await, []);
}

pub async fn the_role_tag_goes_alone(stage: &impl Stage) {
    let (attempt, other) = (an_attempt(stage, 0, "a"), an_attempt(stage, 0, "b"));
    let (machine, other) = (launched(stage, &attempt).await, launched(stage, &other).await);
    let mut left = machine.tags.clone();
    left.remove(ROLE_TAG).expect("it has a role");
    for _ in 0..2 {
        assert_eq!(stage.machines().remove_role_tag(&machine.instance_id).await, Ok(()));
        let found = only_machine(stage, &attempt).await;
        assert_eq!((&found.instance_id, &found.tags), (&machine.instance_id, &left));
        assert!(found.state.is_live() && found.is_of(&attempt) && found.is_half_ended(), "{found:?}");
        assert_eq!(launched(stage, &attempt).await.tags, left, "a replay tells of it too");
    }
    let others = found(stage, &token(&format!("{}-b", stage.name()))).await;
    assert_eq!(others.first().map(|found| &found.tags), Some(&other.tags), "another machine keeps its own");
}

pub async fn an_end_is_an_end(stage: &impl Stage) {
    let (attempt, other) = (an_attempt(stage, 0, "a"), an_attempt(stage, 0, "b"));
    let machine = launched(stage, &attempt).await;
    launched(stage, &other).await;
    for _ in 0..2 {
        assert_eq!(stage.machines().terminate(&machine.instance_id).await, Ok(()));
        let found = only_machine(stage, &attempt).await;
        assert_eq!(found.instance_id, machine.instance_id, "it can still be seen");
        assert!(!found.state.is_live(), "{found:?}");
        assert_eq!(
            found.state_reason.as_deref(),
            Some("Client.UserInitiatedShutdown"),
            "not for want of capacity"
        );
    }
    assert!(only_machine(stage, &other).await.state.is_live(), "another machine goes on");
    assert_eq!(
        stage.machines().remove_role_tag(&machine.instance_id).await,
        Ok(()),
        "a dead one has tags too"
    );
}

/// EC2 may not know everywhere yet what it has just launched, so this says nothing about the machine.
pub async fn an_unknown_machine_is_not_visible_yet(stage: &impl Stage) {
    let unknown = id("i-0fffffffffffffff0");
    let answers = [
        stage.machines().terminate(&unknown).await,
        // The local AWS answers Ok to this one.
        stage.machines().remove_role_tag(&unknown).await,
    ];
    // The world, in which no machine is ever unknown, answers Ok to both.
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!(error.class, Class::Propagating, "{error}");
    }
}

pub async fn a_permission_that_is_missing_has_its_class(stage: &impl Stage) {
    let attempt = an_attempt(stage, 0, "a");
    let machine = launched(stage, &attempt).await;
    let machines = stage.machines();
    let denied = |action| stage.next(action, Fate::Fails(Class::Unauthorized, "UnauthorizedOperation"));
    denied("DescribeInstances");
    let mut errors = vec![machines.find(&attempt.token).await.expect_err("it is not allowed")];
    denied("DeleteTags");
    errors.push(machines.remove_role_tag(&machine.instance_id).await.expect_err("it is not allowed"));
    denied("TerminateInstances");
    errors.push(machines.terminate(&machine.instance_id).await.expect_err("it is not allowed"));
    let said: Vec<_> = errors.iter().map(|error| (error.action, error.class)).collect();
    let actions = ["DescribeInstances", "DeleteTags", "TerminateInstances"];
    assert_eq!(said, actions.map(|action| (action, Class::Unauthorized)));
    let found = only_machine(stage, &attempt).await;
    assert!(found.state.is_live() && !found.is_half_ended(), "{found:?}");
}

/// The same token for the same zone, and one parameter changed, each in its turn.
fn other_parameters(attempt: &Attempt) -> Vec<(&'static str, Attempt)> {
    type Changes = [(&'static str, fn(&mut Parameters)); 11];
    let changes: Changes = [
        ("image", |p| p.image_id = "ami-0a1b2c3d4e5f60002".into()),
        ("type", |p| p.instance_type = "m5.large".into()),
        ("security group", |p| p.security_group_ids.push("sg-0a1b2c3d4e5f60002".into())),
        ("key", |p| p.key_name = Some("key".into())),
        ("instance profile", |p| p.iam_profile = Some(InstanceProfile::Name("profile".into()))),
        ("device", |p| volume(p).device_name = "/dev/sda1".into()),
        ("size", |p| volume(p).size_gb += 1),
        ("volume type", |p| volume(p).volume_type = "gp2".into()),
        ("encryption", |p| volume(p).encrypted = !volume(p).encrypted),
        ("metadata setting", |p| p.imds_tokens = Some(ImdsTokens::Required)),
        ("tag", |p| drop(p.tags.insert("Project".into(), "Mouse".into()))),
    ];
    changes
        .map(|(what, change)| {
            let mut other = attempt.clone();
            change(&mut other.parameters);
            (what, other)
        })
        .to_vec()
}

async fn launched(stage: &impl Stage, attempt: &Attempt) -> Machine {
    stage.machines().run(attempt).await.unwrap_or_else(|error| panic!("{}: {error}", attempt.token))
}

async fn refused(stage: &impl Stage, attempt: &Attempt) -> AwsError {
    let error = stage.machines().run(attempt).await.expect_err("no machine");
    assert_eq!(error.action, "RunInstances");
    error
}

async fn found(stage: &impl Stage, token: &Token) -> Vec<Machine> {
    stage.machines().find(token).await.expect("the machines are listed")
}

/// The one that the attempt's token has.
async fn only_machine(stage: &impl Stage, attempt: &Attempt) -> Machine {
    let mut found = found(stage, &attempt.token).await;
    assert_eq!(found.len(), 1, "machines of {}: {found:?}", attempt.token);
    found.swap_remove(0)
}

fn volume(parameters: &mut Parameters) -> &mut elephant_core::machine::RootVolume {
    parameters.root_volume.as_mut().expect("it has one")
}

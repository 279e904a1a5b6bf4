//! What a delivery costs inside the process, each step by itself and the whole story: no network, no AWS, no start.
//!
//! `cargo bench --bench inside`. The whole process, from outside, is `process.rs`'s part. A step here takes microseconds,
//! AWS's answers take a second: what these figures are for is to see one that grew.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use elephant_aws::access::Access;
use elephant_core::config::Config;
use elephant_core::event::Launch;
use elephant_core::machine::{Attempt, Token};
use elephant_core::meeting::Role;
use elephant_core::network::{Subnet, in_order};
use elephant_core::plan::{self, Candidate};
use elephant_core::record::{self, Lease, Owner};
use elephant_core::timing::{Timing, after};
use elephant_world::cloud::image;
use elephant_world::executor::{Executor, World};
use elephant_world::{config, meeting, scheduled, start};
use serde_json::json;

fn subnets() -> Vec<Subnet> {
    let subnet = |zone: char| Subnet {
        subnet_id: format!("subnet-{zone}"),
        vpc_id: "vpc-1".into(),
        availability_zone: format!("us-west-2{zone}"),
        available_ip_addresses: 4000,
    };
    ['a', 'b', 'c', 'd'].map(subnet).to_vec()
}

fn candidates(config: &Config, subnets: &[Subnet]) -> Vec<Candidate> {
    let zones = |kind: &String| {
        let kind = kind.clone();
        subnets.iter().map(move |subnet| (kind.clone(), subnet.availability_zone.clone()))
    };
    let offerings = config.instance_types.iter().flat_map(zones).collect();
    plan::candidates(&config.markets, &config.instance_types, subnets, Some(&offerings))
}

fn attempt(config: &Config, role: Role) -> Attempt {
    let candidates = candidates(config, &subnets());
    plan::attempt(
        config,
        &image("ami-1").into(),
        &meeting("m"),
        role,
        1,
        Token::from("token"),
        &candidates[0],
    )
    .expect("it has no user data")
}

fn reading_what_comes_in(bench: &mut Criterion) {
    let event = json!({"meeting_id": "m", "schedule_arn": "arn:aws:scheduler:us-west-2:123456789012:schedule/g/launch-m"});
    bench.bench_function("event", |b| b.iter(|| Launch::from_json(black_box(&event))));
    let variable = |name: &str| {
        let value = match name {
            "AMI_ID" => "ami-0a1b2c3d4e5f60001",
            "INSTANCE_TYPE" => "t3.large,m5.large",
            "SECURITY_GROUP_IDS" => "sg-0a1b2c3d4e5f60001",
            "AWS_REGION" => "us-west-2",
            _ => return None,
        };
        Some(value.to_owned())
    };
    bench.bench_function("configuration", |b| b.iter(|| Config::from_variables(variable)));
    bench.bench_function("access", |b| b.iter(|| Access::from_variables(variable)));
}

fn deciding(bench: &mut Criterion) {
    let (config, record, timing) = (config(), scheduled("m"), Timing::DEFAULT);
    bench.bench_function("plan", |b| {
        b.iter(|| plan::plan(black_box(&record), start(), config.window, &timing));
    });
    let subnets = subnets();
    bench.bench_function("candidates", |b| {
        b.iter(|| {
            let subnets = in_order(&record.meeting_id, black_box(&subnets).clone());
            candidates(&config, &subnets)
        });
    });
    bench.bench_function("attempt", |b| b.iter(|| attempt(black_box(&config), Role::Teacher)));
    let attempts = Role::BOTH.map(|role| (role, attempt(&config, role)));
    let lease = Lease { owner: Owner::from("owner"), until: after(start(), timing.lease) };
    bench.bench_function("claim", |b| {
        b.iter(|| record::claim(black_box(&record), lease.clone(), &attempts));
    });
}

fn delivering(bench: &mut Criterion) {
    bench.bench_function("delivery in memory", |b| {
        b.iter(|| {
            let mut story = Executor::new(&World::new([scheduled("m")]));
            story.deliver("m");
            story.run();
            assert!(matches!(story.results[0], Some(Ok(_))), "it is launched");
        });
    });
}

criterion_group!(inside, reading_what_comes_in, deciding, delivering);
criterion_main!(inside);

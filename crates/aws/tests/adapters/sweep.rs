//! What a sweep costs, by the real adapters: the requests of one over a thousand meetings. How long it takes is measured by
//! `benches/sweep.rs`.

use std::collections::BTreeMap;

use crate::fleet;

#[tokio::test]
async fn of_a_thousand_meetings_and_two_thousand_machines_is_twenty_two_requests() {
    let wire = fleet::account(1000, true).await;
    let answer = fleet::sweep(&wire).await.expect("it is swept");
    assert_eq!((answer.machines, answer.meetings), (2000, 1000));
    assert_eq!(answer.repairs, [], "nothing is wrong with any");
    let requests = [
        ("DescribeInstances", 2),
        ("DescribeInstanceStatus", 2),
        ("DescribeVolumes", 1),
        ("DescribeNetworkInterfaces", 1),
        ("Query", 6),
        ("BatchGetItem", 10),
    ];
    assert_eq!(wire.counts(), BTreeMap::from(requests.map(|(action, times)| (action.to_owned(), times))));
}

#[tokio::test]
async fn notes_each_machine_once() {
    let wire = fleet::account(10, false).await;
    let answer = fleet::sweep(&wire).await.expect("it is swept");
    let of = |word: &str| answer.repairs.iter().filter(|told| told.repair == word).count();
    assert_eq!((of("machine_noted"), of("meeting_ready"), answer.repairs.len()), (20, 10, 30));
    assert_eq!(wire.counts()["UpdateItem"], 30);
}

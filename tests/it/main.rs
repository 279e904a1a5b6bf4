//! What needs the real binaries, the local AWS or the templates. One binary: the SDK is linked once, and two tests at a time
//! keep both cores at work to the end.

#[path = "../local/stack.rs"]
mod local;

mod choosing;
mod contract;
mod cost;
mod deployed;
mod docs;
mod faults;
mod hostile;
mod house;
mod infra;
mod lambda;
mod laptop;
mod local_aws;
mod meeting;
mod metrics;
mod neighbours;
mod operate;
mod release;
mod terraform;

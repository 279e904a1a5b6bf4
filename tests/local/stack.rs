//! The local AWS and a Lambda for the function, for tests and the demo: no account, no Docker, nothing outside
//! 127.0.0.1 and `target/`.
//!
//! `python.rs` makes the virtual environments, `process.rs` ends what was started, `aws.rs` is EC2 and DynamoDB,
//! `lambda.rs` runs the real binary as Lambda does, `deployed.rs` is an AWS with the template deployed to it. `meeting.rs`
//! puts function and local AWS together; it names the binary, which the demo cannot, so a test takes it in by itself.

#![allow(dead_code, reason = "each test file and the demo use a part of it")]

pub mod aws;
pub mod deployed;
pub mod lambda;
pub mod process;
pub mod python;

use std::path::{Path, PathBuf};

/// The top of the checkout.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where everything goes that is made and kept: Cargo's target directory.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => top().join(dir),
        None => top().join("target"),
    }
}

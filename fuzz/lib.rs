//! The adapters as the targets need them: DynamoDB's, and what it rests on. `.ci/run` checks that it compiles.

#[path = "../crates/aws/src"]
#[allow(dead_code, reason = "some of what the adapters share is for those that are not here")]
mod rooms {
    pub mod access;
    pub mod clock;
    pub mod dynamodb;
    pub mod sdk;
}

pub use rooms::*;

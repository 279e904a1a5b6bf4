//! The adapters as the targets need them: DynamoDB's, and what it rests on. `.ci/run` checks that it compiles.

#[path = "../crates/aws/src"]
mod rooms {
    pub mod access;
    pub mod clock;
    pub mod dynamodb;
    pub mod sdk;
}

pub use rooms::*;

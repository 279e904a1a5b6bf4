//! The library as the targets need it: the rooms of `../src` but for EC2's adapter and Lambda's door.

#[path = "../src"]
mod rooms {
    pub mod config;
    pub mod dynamodb;
    pub mod error;
    pub mod event;
    pub mod launch;
    pub mod lookups;
    pub mod machine;
    pub mod meeting;
    pub mod needs;
    pub mod network;
    pub mod plan;
    pub mod record;
    pub(crate) mod sdk;
    pub mod timing;
}

pub use rooms::*;

//! The library as the targets need it: the rooms of `../src` but for the other adapters, the other verbs, and Lambda's
//! door. `.ci/run` checks that it compiles.

#[path = "../src"]
mod rooms {
    pub mod command;
    pub mod companion;
    pub mod config;
    pub mod deadline;
    pub mod dynamodb;
    pub mod ending;
    pub mod error;
    pub mod event;
    pub mod fleet;
    pub mod hardware;
    pub mod image;
    pub mod key_pair;
    pub mod launch;
    pub mod launch_template;
    pub mod lookups;
    pub mod machine;
    pub mod meeting;
    pub mod metrics;
    pub mod needs;
    pub mod network;
    pub mod one_time;
    pub mod overrides;
    pub mod plan;
    pub mod record;
    pub mod sdk;
    pub mod timing;
    pub mod user_data;
    pub mod vpc;
}

pub use rooms::*;

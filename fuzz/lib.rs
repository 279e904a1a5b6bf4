//! The library as the targets need it: the rooms of `../src` but for the other adapters, the verbs `schedule` and
//! `reconcile`, and Lambda's door.

#[path = "../src"]
mod rooms {
    pub mod config;
    pub mod deadline;
    pub mod dynamodb;
    pub mod error;
    pub mod event;
    pub mod fleet;
    pub mod image;
    pub mod launch;
    pub mod launch_template;
    pub mod lookups;
    pub mod machine;
    pub mod meeting;
    pub mod metrics;
    pub mod needs;
    pub mod network;
    pub mod one_time;
    pub mod plan;
    pub mod record;
    pub mod sdk;
    pub mod timing;
    pub mod user_data;
}

pub use rooms::*;

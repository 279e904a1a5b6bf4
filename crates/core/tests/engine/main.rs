//! What is decided, told as stories, tables and properties, in the world in memory. One binary: the world is linked once.

mod config;
mod deadline;
mod end;
mod error;
mod event;
mod generated;
mod hour;
mod launch;
mod lookups;
mod network;
mod plan;
mod reconcile;
mod record;
mod schedule;
mod status;
mod user_data;

//! The adapters against a server that plays what a test tells it: what they send, and what they make of each answer.

mod access;
mod dynamodb;
mod ec2;
mod fleet;
mod scheduler;
mod server;
mod ssm;
mod sweep;

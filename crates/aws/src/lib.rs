//! The adapters: the ports of `elephant-core` over AWS, and over this process.
//!
//! Types of an SDK stand only in the adapter of their service. An adapter never uses another one; what they share is in
//! [`sdk`]. A new one fits if it passes the contract (`tests/it/contract.rs`).
//!
//! | room | no. | what is in it |
//! |---|---|---|
//! | [`access`] | 0 | how AWS is reached: what the environment says of Region, credentials and trust |
//! | [`clock`] | 0 | the time, and chance |
//! | [`sdk`] | 1 | what the adapters need of the SDK: its configuration, its errors in our words, its requests counted |
//! | [`dynamodb`] | 2 | adapter: the record over a table |
//! | [`ec2`] | 2 | adapter: machines and subnets over EC2, error codes → meaning |
//! | [`scheduler`] | 2 | adapter: one-time schedules over EventBridge Scheduler |
//! | [`ssm`] | 2 | adapter: parameters, private keys and commands over SSM |

pub mod access;
pub mod clock;
pub mod dynamodb;
pub mod ec2;
pub mod scheduler;
pub mod sdk;
pub mod ssm;

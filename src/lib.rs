//! Starts the two cloud machines of a scheduled meeting, exactly once, whatever fails.
//!
//! A one-time schedule delivers `{"meeting_id": …}` to an AWS Lambda function, minutes ahead of the meeting. The function
//! reads the meeting's record in DynamoDB, launches one EC2 machine for the teacher and one for the student, and writes
//! their ids back. Deliveries come twice, functions die between two calls, zones run out of capacity, EC2 throttles.
//!
//! [`elephant_core`] says what is promised, and how it is kept.
//!
//! # The map
//!
//! There are four crates. Each uses only those below it, and the compiler enforces that.
//!
//! | crate | what is in it |
//! |---|---|
//! | this one | what is Lambda's, and the verbs as a library |
//! | `crates/aws`, [`elephant_aws`] | the adapters: DynamoDB, EC2, SSM, EventBridge Scheduler, the clock |
//! | `crates/world` | the world in memory, for tests |
//! | `crates/core`, [`elephant_core`] | everything that is decided; no SDK, no Lambda, no I/O |
//!
//! In this one, a room uses only rooms with a lower number (`tests/it/house.rs`):
//!
//! | room | no. | what is in it |
//! |---|---|---|
//! | [`metrics`] | 0 | what is counted at the ports and on the wire, and the line that says it to CloudWatch |
//! | [`lambda`] | 1 | the door: logging, serving, `Error` → what Lambda records |
//! | [`wiring`] | 2 | the verbs over AWS, and what every function does at its start |
//! | [`client`] | 3 | the verbs as a library, for programs without Lambda |
//! | [`functions`] | 3 | the six functions: of each its configuration, its verb, its events |
//! | `bin/launch.rs` | 4 | main: the function that the handler names |

// The types that a program with the library needs.
pub use elephant_core::{config, end, error, event, launch, machine, meeting, operate, status};

pub mod client;
pub mod functions;
pub mod lambda;
pub mod metrics;
pub mod wiring;

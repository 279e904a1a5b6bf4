//! Everything that is decided about the machines of a meeting: no SDK, no Lambda, no I/O.
//!
//! # The promise
//!
//! This holds for every meeting and role, whatever is delivered twice, crashes, times out or answers late:
//!
//! 1. **never two**: at no moment are two live machines up for one role (two lives of a record that was deleted and made
//!    again may overlap briefly);
//! 2. **never lost**: a live machine of ours is in the meeting's record, or the next delivery writes it there or ends it;
//! 3. **never blind**: nothing is claimed without a record, for an ended meeting, outside the launch window or with an
//!    unreadable table, and nothing is launched without a claim;
//! 4. **Ok means done**: both ids are in the record; or the meeting is over or outside its window, and no machine of ours
//!    that the record does not name is left running;
//! 5. **nothing trampled**: our writes touch no attribute of another program, and never move a status back, except when
//!    the sweep corrects a `TERMINATED` that the watchdog wrote by mistake.
//!
//! # How it is kept
//!
//! Each launch is an *attempt*: one exact RunInstances request with a random client token. It is written to the record
//! before it is sent, and repeated unchanged until EC2's answer settles it. Attempts are sent under a *lease* on the record,
//! and every write has a condition on the state that it relies on. So a delivery that is late, doubled or dead changes
//! nothing.
//!
//! # The map, in reading order
//!
//! A room uses only rooms with a lower number, and a verb never another verb. `tests/it/house.rs` holds this table against the
//! `use` lines.
//!
//! | room | no. | what is in it |
//! |---|---|---|
//! | [`error`] | 0 | what can go wrong: `AwsError` by class, `Error` by `errorType` |
//! | `id` | 0 | how an id is made a type of its own |
//! | [`meeting`] | 0 | `MeetingId`, `Role`, `Status` |
//! | [`timing`] | 0 | every duration that the protocol rests on |
//! | [`settings`] | 0 | every setting, declared once: reader, values, default, meaning, parameter |
//! | [`image`] | 0 | where an image's id comes from, what is known of an image |
//! | [`launch_template`] | 0 | which launch template, and what of it has to be known |
//! | [`machine`] | 1 | `Attempt` and its parameters, client tokens, tags, a machine's state |
//! | [`launch_schedule`] | 1 | the one-time schedule that launches a meeting: its name, its target, its input |
//! | [`companion`] | 1 | a schedule of another program that belongs to a meeting, and how far from its time it stands |
//! | [`user_data`] | 1 | what a machine is told at its first start |
//! | [`network`] | 1 | subnets and zones: which can host a meeting, in which order |
//! | [`vpc`] | 1 | a VPC of ours, how its addresses are divided, and what is in it |
//! | [`overrides`] | 1 | what a record says of its own machines in place of the settings |
//! | [`command`] | 2 | a command on a machine, and what came of it |
//! | [`key_pair`] | 0 | a key pair of this account, and the private key of a new one |
//! | [`hardware`] | 2 | what a machine has, and what is made of it: disks, network interfaces, images |
//! | [`record`] | 2 | the meeting's record, and the conditional writes that change it |
//! | [`fleet`] | 3 | what a sweep sees: machines of ours, and the records that they belong to |
//! | [`config`] | 4 | environment → typed values, every problem at once |
//! | [`event`] | 4 | the JSON that arrives → typed requests |
//! | [`plan`] | 5 | every decision, as pure functions |
//! | [`ports`] | 5 | the small traits that the verbs ask for |
//! | [`answer`] | 5 | what every answer of a verb can be asked |
//! | [`deadline`] | 6 | what may still be begun before a deadline: repeats with a pause |
//! | [`lookups`] | 6 | what is looked up once and kept: subnets, the zones of each type, the image, a record's own image, the key |
//! | [`ending`] | 7 | how a machine is ended that no record names |
//! | [`companions`] | 7 | what becomes of a meeting's companion schedules |
//! | [`end`] | 8 | a verb: status → machines → schedule |
//! | [`launch`] | 8 | a verb: read → plan → claim → launch → record → answer |
//! | [`operate`] | 8 | a verb: a machine → what was asked of it |
//! | [`reconcile`] | 8 | a verb: machines → records → repairs |
//! | [`schedule`] | 8 | a verb: record → one-time schedule, moved and cancelled with it |
//! | [`status`] | 8 | a verb: record and machines as they are now, and a machine's console |
//!
//! # The way of one delivery
//!
//! JSON → [`event::Launch`] → read → [`record::Record`] → [`plan::Plan`] → [`machine::Attempt`]s → claim → RunInstances
//! → [`machine::InstanceId`] → record → [`launch::LaunchAnswer`] → JSON.

pub mod answer;
pub mod command;
pub mod companion;
pub mod companions;
pub mod config;
pub mod deadline;
pub mod end;
pub mod ending;
pub mod error;
pub mod event;
pub mod fleet;
pub mod hardware;
mod id;
pub mod image;
pub mod key_pair;
pub mod launch;
pub mod launch_schedule;
pub mod launch_template;
pub mod lookups;
pub mod machine;
pub mod meeting;
pub mod network;
pub mod operate;
pub mod overrides;
pub mod plan;
pub mod ports;
pub mod reconcile;
pub mod record;
pub mod schedule;
pub mod settings;
pub mod status;
pub mod timing;
pub mod user_data;
pub mod vpc;

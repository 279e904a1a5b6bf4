//! What the engine may rest on, whoever answers behind its ports: one list of promises, kept by the world in memory
//! (`crates/world`) and by the real adapters over the local AWS (`local/`), so that the stories and the explorer, which are told
//! against the world, are true of the adapters too.
//!
//! A promise is an async function over a [`Stage`]: the ports, and what a test needs from behind them. The list below runs
//! each as a test of its own on both sides, so its full name says which promise was broken by whom. `alike.rs` goes further:
//! the same random requests to both, and the same answers from both.
//!
//! Limits: a promise is what the engine sees through the ports. How an item or a request is spelled is held by
//! `dynamodb.rs` and `ec2.rs`; what the world cannot represent (a half-written lease, an attempt that is no map) as well. The
//! local AWS is moto: what it takes over from AWS was checked by hand, see `aws/`.

mod alike;
mod deliveries;
mod machines;
mod meetings;
mod memory;
mod networks;
mod samples;
mod wire;
mod writes;

use elephant_core::error::Class;
use elephant_core::machine::{InstanceId, Parameters};
use elephant_core::meeting::MeetingId;
use elephant_core::network::Subnet;
use elephant_core::ports::{Clock, Images, Machines, Meetings, Networks, NewMeetings, Tokens};
use elephant_core::record::{Failure, Record};
use elephant_world::cloud::TerminatedToken;
use elephant_world::executor::Fate;

/// One implementation of the ports, and what is behind them.
trait Stage {
    fn meetings(&self) -> &impl Meetings;
    fn new_meetings(&self) -> &impl NewMeetings;
    fn machines(&self) -> &impl Machines;
    fn networks(&self) -> &(impl Networks + Images);
    /// The clock and the random tokens of one more delivery.
    fn delivery(&self) -> (impl Clock, impl Tokens);

    /// A word that no other promise is given on this stage: meetings and tokens are named after it.
    fn name(&self) -> &str;

    // The table.

    /// Other programs write the record, with attributes of their own.
    async fn put(&self, record: &Record);
    async fn delete(&self, meeting: &MeetingId);
    /// Another program leaves the attribute there without a value.
    async fn blank(&self, meeting: &MeetingId, attribute: &str, blank: Blank);
    /// Whether the attributes that [`Stage::put`] wrote for other programs stand as they were written.
    async fn strangers_stand(&self, meeting: &MeetingId) -> bool;
    /// What the record says to the operator.
    async fn failure(&self, meeting: &MeetingId) -> Option<Failure>;

    // The cloud.

    fn image(&self) -> &str;
    fn security_group(&self) -> &str;
    /// Those of the default VPC, one a zone.
    fn subnets(&self) -> Vec<Subnet>;
    /// What EC2 made the machine from.
    async fn made_from(&self, machine: &InstanceId) -> Parameters;
    /// One more subnet in the zone of this one.
    async fn another_subnet(&self, beside: &Subnet) -> Subnet;
    /// EC2 has no room for this type in this zone, or will not; the class is what the port has to make of the code.
    fn refuse(&self, instance_type: &str, zone: &str, class: Class, code: &'static str);
    /// It has, and will.
    fn relent(&self);
    fn answer_for_the_dead(&self, answer: TerminatedToken);

    // The wire.

    /// What becomes of the next request of this action.
    fn next(&self, action: &'static str, fate: Fate);
    /// Send this request, which is one of this action, and be gone before it is carried out.
    async fn abandon<T>(&self, action: &'static str, request: impl Future<Output = T>);
    /// What was abandoned is carried out now.
    async fn late_effect(&self);
}

/// How an attribute can be there and say nothing.
#[derive(Clone, Copy, Debug)]
enum Blank {
    Empty,
    Null,
}

/// Each promise becomes two tests.
macro_rules! promises {
    ($($of:ident { $($promise:ident,)+ })+) => {
        /// By the world that the stories and the explorer are told against.
        mod in_memory {
            $(mod $of {
                $(#[test]
                fn $promise() {
                    let stage = crate::contract::memory::Memory::new();
                    stage.run(crate::contract::$of::$promise(&stage));
                })+
            })+
        }

        /// By the adapters over HTTP.
        mod on_the_wire {
            $(mod $of {
                $(#[test]
                fn $promise() {
                    let stage = crate::contract::wire::Wire::new();
                    stage.run(crate::contract::$of::$promise(&stage));
                })+
            })+
        }
    };
}

promises! {
    meetings {
        a_missing_record_is_none,
        a_record_reads_back_to_the_letter,
        what_a_claim_writes_reads_back_to_the_letter,
        a_lease_is_kept_to_the_millisecond,
        an_empty_or_null_attribute_is_a_missing_one,
        each_requirement_holds_of_what_it_says_and_of_nothing_else,
        nothing_but_existence_is_asked_of_a_missing_record,
        each_change_has_its_effect_and_no_other,
        a_meeting_that_was_ended_on_purpose_is_not_revived,
        a_meeting_is_ready_once_and_again_after_a_loss,
        the_end_of_a_meeting_says_why_once,
        one_requirement_that_does_not_hold_refuses_every_change,
        each_write_is_done_where_it_fits_and_refused_where_it_does_not,
        a_new_record_is_scheduled_and_has_its_time,
        a_record_that_stands_is_never_written_over,
        of_creations_at_once_one_is_done,
        no_write_makes_a_record,
        of_claims_at_once_one_is_done,
        of_two_renewals_the_first_is_done,
        a_lost_answer_is_ambiguous_and_the_write_is_not_repeated,
        a_late_write_is_judged_when_it_is_made,
        a_failure_of_the_table_changes_nothing_and_has_its_class,
    }
    machines {
        a_launch_makes_the_machine_that_was_asked_for,
        the_same_attempt_again_is_the_same_machine,
        of_sendings_at_once_one_machine_comes,
        other_parameters_under_the_token_are_a_mismatch,
        a_token_counts_in_its_zone_alone,
        a_refusal_has_its_class_and_binds_the_token,
        a_refusal_does_not_touch_a_machine_that_is_there,
        a_failure_has_its_class_and_launches_nothing,
        a_lost_answer_is_ambiguous_and_the_launch_is_not_repeated,
        a_late_launch_is_the_same_machine,
        the_token_of_a_dead_machine_makes_no_other,
        an_unknown_token_has_no_machine,
        the_role_tag_goes_alone,
        an_end_is_an_end,
        an_unknown_machine_is_not_visible_yet,
        a_permission_that_is_missing_has_its_class,
    }
    networks {
        the_default_network_has_subnets_in_several_zones,
        subnets_are_found_by_name_and_no_default_is_looked_up,
        a_subnet_that_is_named_and_not_there_is_a_wrong_setting,
        the_root_device_of_the_image_is_known,
        a_permission_that_is_missing_has_its_class,
    }
    deliveries {
        the_clock_never_goes_back,
        a_sleep_is_as_long_as_was_asked_for,
        sleepers_wake_in_their_order,
        no_token_comes_twice,
        no_two_deliveries_have_one_owner,
        a_back_off_is_waited_in_part_or_in_full,
    }
}

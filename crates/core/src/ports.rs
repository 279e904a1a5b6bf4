//! What the verbs ask of AWS, as traits in our own words. No type of an SDK is in them.
//!
//! Each method names its IAM action, so the bounds on a verb are its policy, line for line. Each answers within the
//! limit that `timing.rs` gives it, or answers [`Class::Ambiguous`](crate::error::Class). `run` and `update` send one
//! request each; the others may repeat theirs, which does no harm. The futures need not be `Send`: Lambda gives an
//! environment one event at a time, and the tests' world runs on one thread.
#![allow(async_fn_in_trait, reason = "the ports are this crate's own, and no caller needs Send")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;

use crate::command::{Invocation, NewCommand};
use crate::companion::{Companion, CompanionName, Offsets};
use crate::error::{AwsError, Error};
use crate::fleet::{Counted, Leftover, Looked, MeetingSnapshot, ObservedMachine, Report};
use crate::hardware::{Attached, Hardware, Interface, Made, NewImage, OwnImage, OwnSnapshot, Part, Volume};
use crate::image::{Architecture, Image};
use crate::key_pair::{KeyType, OwnKeyPair, PrivateKey};
use crate::launch_schedule::{ExistingSchedule, OneTimeSchedule, ScheduleName};
use crate::launch_template::{LaunchTemplate, Template};
use crate::machine::{Attempt, InstanceId, Machine, Parameters as Request, Token};
use crate::meeting::MeetingId;
use crate::network::{Found, Network, Offerings};
use crate::record::{NewRecord, Owner, Record, Update};
use crate::vpc::{
    AssociationId, Contents, InternetGatewayId, RouteTableId, SecurityGroupId, SubnetId, Vpc, VpcId,
};

/// The table of meetings.
pub trait Meetings {
    /// `dynamodb:GetItem`, consistently.
    async fn read(&self, meeting: &MeetingId) -> Result<Option<Record>, AwsError>;

    /// `dynamodb:UpdateItem`, atomically: every requirement and then every change, or nothing.
    async fn update(&self, update: &Update) -> Result<Updated, AwsError>;
}

/// The answer to a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    Done,
    /// A requirement did not hold. This is the record that was there instead, if there was one.
    Refused(Option<Box<Record>>),
}

/// The table of meetings, for a verb that only reads.
pub trait Reports {
    /// `dynamodb:GetItem`, consistently, with the attributes for the operator.
    async fn report(&self, meeting: &MeetingId) -> Result<Report, AwsError>;
}

/// New records.
pub trait NewMeetings {
    /// `dynamodb:PutItem`, on condition that there is no record with this id.
    async fn create(&self, record: &NewRecord) -> Result<Created, AwsError>;
}

/// The answer to the write of a new record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    Done,
    /// There is already a record.
    Exists(Box<Record>),
}

/// Deletes one-time schedules.
pub trait Deletes {
    /// `scheduler:DeleteSchedule`; `false`: there was none with this name.
    async fn delete(&self, name: &ScheduleName) -> Result<bool, AwsError>;
}

/// One-time schedules of EventBridge Scheduler, in the configured group.
pub trait Schedules: Deletes {
    /// `scheduler:CreateSchedule` (with `iam:PassRole`); `false`: there is already one with this name.
    async fn create(&self, schedule: &OneTimeSchedule) -> Result<bool, AwsError>;

    /// `scheduler:GetSchedule`.
    async fn find(&self, name: &ScheduleName) -> Result<ExistingSchedule, AwsError>;

    /// `scheduler:UpdateSchedule` (with `iam:PassRole`), which replaces everything; `false`: there is none with this
    /// name.
    async fn replace(&self, schedule: &OneTimeSchedule) -> Result<bool, AwsError>;
}

/// Schedules of other programs that belong to a meeting, if a setting names them (COMPANION_SCHEDULES).
pub trait CompanionSchedules {
    /// `scheduler:GetSchedule`.
    async fn find_companion(&self, name: &CompanionName) -> Result<Companion, AwsError>;

    /// `scheduler:DeleteSchedule`; `false`: there was none with this name.
    async fn delete_companion(&self, name: &CompanionName) -> Result<bool, AwsError>;
}

/// Companion schedules that a verb also moves.
pub trait MovingCompanions: CompanionSchedules {
    /// `scheduler:GetSchedule`, then `scheduler:UpdateSchedule` (with `iam:PassRole` of the schedule's role) with
    /// everything but the time as it was read; `false`: there is none any more that fires once.
    async fn move_companion(&self, name: &CompanionName, at: Timestamp) -> Result<bool, AwsError>;
}

/// How far a meeting's companions were from its time before it was first moved.
pub trait CompanionNotes {
    /// `dynamodb:GetItem`, consistently; `None`: nothing is noted.
    async fn read_offsets(&self, meeting: &MeetingId) -> Result<Option<Offsets>, AwsError>;

    /// `dynamodb:UpdateItem`, on condition that the record exists and nothing is noted there yet; whether it was
    /// written.
    async fn note_offsets(&self, meeting: &MeetingId, offsets: &Offsets) -> Result<bool, AwsError>;
}

/// Ends machines.
pub trait Terminate {
    /// `ec2:DeleteTags` of the tag `Role` alone, so that the system's watchdog ignores the end of this machine.
    async fn remove_role_tag(&self, instance: &InstanceId) -> Result<(), AwsError>;

    /// `ec2:TerminateInstances`.
    async fn terminate(&self, instance: &InstanceId) -> Result<(), AwsError>;
}

/// Finds the machine of an attempt.
pub trait FindByToken {
    /// `ec2:DescribeInstances` by client token. Eventually consistent: a machine missing right after a launch proves
    /// nothing.
    async fn find(&self, token: &Token) -> Result<Vec<Machine>, AwsError>;
}

/// Launches machines.
pub trait Machines: Terminate + FindByToken + DescribeById {
    /// `ec2:RunInstances` (with `ec2:CreateTags` and `iam:PassRole`): sent once, never repeated by the adapter.
    async fn run(&self, attempt: &Attempt) -> Result<Machine, AwsError>;
}

/// Machines by their ids.
pub trait DescribeById {
    /// `ec2:DescribeInstances` by id. Machines that cannot be seen, as in a zone's disruption, are left out.
    async fn look(&self, instances: &[InstanceId]) -> Result<Looked, AwsError>;
}

/// Starts machines.
pub trait Starts {
    /// `ec2:StartInstances`.
    async fn start(&self, instance: &InstanceId) -> Result<(), AwsError>;
}

/// The machines of ours.
pub trait Fleet: DescribeById {
    /// `ec2:DescribeInstances` by the tag `Project`: every machine that EC2 still shows, with those that died within the
    /// last hour.
    async fn list(&self, project: &str) -> Result<Vec<ObservedMachine>, AwsError>;

    /// `ec2:CreateTags` of the tag `elephant:orphan-since` alone.
    async fn mark(&self, instance: &InstanceId, since: Timestamp) -> Result<(), AwsError>;

    /// `ec2:DeleteTags` of that tag.
    async fn unmark(&self, instance: &InstanceId) -> Result<(), AwsError>;
}

/// Machines that run and fail EC2's own checks.
pub trait StatusChecks {
    /// `ec2:DescribeInstanceStatus`: every machine of the account whose system or instance check fails.
    async fn list_impaired(&self) -> Result<BTreeSet<InstanceId>, AwsError>;
}

/// What a machine wrote to its console.
pub trait Consoles {
    /// `ec2:GetConsoleOutput`: the latest output if the type has it, otherwise the output of the start; `None`: nothing
    /// yet.
    async fn read_console(&self, instance: &InstanceId) -> Result<Option<String>, AwsError>;
}

/// Volumes and network interfaces of ours that are attached to nothing.
pub trait Leftovers {
    /// `ec2:DescribeVolumes` and `ec2:DescribeNetworkInterfaces` by the tag `Project`. With `marked`, also those that
    /// are marked but in use again.
    async fn list_leftovers(&self, project: &str, marked: bool) -> Result<Vec<Leftover>, AwsError>;

    /// `ec2:CreateTags` of the tag `elephant:orphan-since` alone.
    async fn mark_leftover(&self, leftover: &Leftover, since: Timestamp) -> Result<(), AwsError>;

    /// `ec2:DeleteTags` of that tag.
    async fn unmark_leftover(&self, leftover: &Leftover) -> Result<(), AwsError>;

    /// `ec2:DeleteVolume` or `ec2:DeleteNetworkInterface`; `false`: it is gone, or in use again.
    async fn remove(&self, leftover: &Leftover) -> Result<bool, AwsError>;
}

/// Counts what a sweep finds and does.
pub trait Counts {
    fn count(&self, what: Counted);
}

impl<C: Counts> Counts for Rc<C> {
    fn count(&self, what: Counted) {
        (**self).count(what);
    }
}

/// The records of many meetings at once.
pub trait Watch {
    /// `dynamodb:BatchGetItem`, consistently: one answer for each id.
    async fn read_all(
        &self,
        meetings: &BTreeSet<MeetingId>,
    ) -> Result<BTreeMap<MeetingId, MeetingSnapshot>, AwsError>;

    /// `dynamodb:Query` of the index of open meetings: those that begin between the two times, with any status that we
    /// know. Eventually consistent; meetings with an unreadable time may be among them.
    async fn find_by_time(&self, from: Timestamp, until: Timestamp) -> Result<BTreeSet<MeetingId>, AwsError>;
}

/// The verb `launch`, for the sweep, which finds a meeting without its machines.
pub trait Launches {
    async fn launch(&self, meeting: &MeetingId, deadline: Timestamp) -> Result<(), Error>;
}

/// One machine with everything that is attached to it.
pub trait Inspects {
    /// `ec2:DescribeInstances` by id; `None`: EC2 does not show it.
    async fn inspect(&self, instance: &InstanceId) -> Result<Option<Hardware>, AwsError>;
}

/// Stops, starts and reboots machines.
pub trait PowerControl: Starts {
    /// `ec2:StopInstances`.
    async fn stop(&self, instance: &InstanceId) -> Result<(), AwsError>;

    /// `ec2:RebootInstances`.
    async fn reboot(&self, instance: &InstanceId) -> Result<(), AwsError>;

    /// `ec2:CreateTags` of the tag `elephant:reboot` alone.
    async fn tag_reboot(&self, instance: &InstanceId, name: &str) -> Result<(), AwsError>;

    /// `ec2:CreateTags` of the tag `elephant:stopped` alone: whether a sweep must leave the machine stopped.
    async fn tag_stopped(&self, instance: &InstanceId, stopped: bool) -> Result<(), AwsError>;
}

/// Images of this account.
pub trait OwnImages {
    /// `ec2:CreateImage` (with `ec2:CreateTags`); `None`: there is already an image with this name.
    async fn create_image(&self, image: &NewImage) -> Result<Option<String>, AwsError>;

    /// `ec2:DescribeImages` by name, disabled ones too, as below.
    async fn find_named(&self, name: &str) -> Result<Option<OwnImage>, AwsError>;

    /// `ec2:DescribeImages` by id, whoever owns it; `None`: there is none.
    async fn find_by_id(&self, image_id: &str) -> Result<Option<OwnImage>, AwsError>;

    /// `ec2:DescribeImages` by the tag `Project`.
    async fn list_own(&self, project: &str) -> Result<Vec<OwnImage>, AwsError>;

    /// `ec2:DeregisterImage`; success too if the image is gone.
    async fn deregister(&self, image_id: &str) -> Result<(), AwsError>;

    /// `ec2:DescribeSnapshots` by the tag `Project` and by the description that CreateImage gives them: the snapshots of
    /// an image, which may be gone.
    async fn find_snapshots(&self, image_id: &str, project: &str) -> Result<Vec<String>, AwsError>;

    /// `ec2:DescribeSnapshots` by id; `None`: there is none.
    async fn find_snapshot(&self, snapshot_id: &str) -> Result<Option<OwnSnapshot>, AwsError>;

    /// `ec2:DeleteSnapshot`; success too if the snapshot is gone.
    async fn delete_snapshot(&self, snapshot_id: &str) -> Result<(), AwsError>;
}

/// Volumes, and network interfaces besides the first.
pub trait Parts<P: Part> {
    /// `ec2:CreateVolume` or `ec2:CreateNetworkInterface` (with `ec2:CreateTags`), idempotent by its client token.
    async fn create_part(&self, part: &P::New) -> Result<Made<P>, AwsError>;

    /// `ec2:DescribeVolumes` or `ec2:DescribeNetworkInterfaces` by id; `None`: there is none.
    async fn find_part(&self, id: &P::Id) -> Result<Option<P>, AwsError>;

    /// The same by the tags with the machine that it was made for, and its name.
    async fn find_parts(&self, instance: &InstanceId, name: &str) -> Result<Vec<P>, AwsError>;

    /// `ec2:AttachVolume` or `ec2:AttachNetworkInterface`.
    async fn attach_part(
        &self,
        id: &P::Id,
        instance: &InstanceId,
        place: &P::Place,
    ) -> Result<Attached, AwsError>;

    /// `ec2:ModifyInstanceAttribute` or `ec2:ModifyNetworkInterfaceAttribute`: EC2 deletes it with the machine.
    async fn delete_with_machine(&self, id: &P::Id, attachment: &P::Attachment) -> Result<(), AwsError>;

    /// `ec2:DetachVolume` or `ec2:DetachNetworkInterface`; success too if it is detached.
    async fn detach_part(&self, id: &P::Id, attachment: &P::Attachment) -> Result<(), AwsError>;

    /// `ec2:DeleteVolume` or `ec2:DeleteNetworkInterface`; success too if it is gone.
    async fn delete_part(&self, id: &P::Id) -> Result<(), AwsError>;
}

/// Where network interfaces can be.
pub trait InterfacePlaces {
    /// `ec2:DescribeInstanceTypes`: how many a machine of this type may have.
    async fn count_interfaces(&self, instance_type: &str) -> Result<Option<usize>, AwsError>;

    /// `ec2:DescribeSubnets` by id: its zone; `None`: there is none.
    async fn find_zone(&self, subnet_id: &str) -> Result<Option<String>, AwsError>;
}

/// Commands on machines, by SSM's Run Command.
pub trait Commands {
    /// `ssm:SendCommand`; the command's id. Sent once: SSM has no client token.
    async fn send_command(&self, command: &NewCommand) -> Result<String, AwsError>;

    /// `ssm:ListCommands` of a machine: the last command with this name.
    async fn find_command(&self, instance: &InstanceId, name: &str) -> Result<Option<String>, AwsError>;

    /// `ssm:GetCommandInvocation`; `None`: SSM does not show it yet.
    async fn read_command(
        &self,
        command_id: &str,
        instance: &InstanceId,
    ) -> Result<Option<Invocation>, AwsError>;
}

/// Key pairs of this account.
pub trait OwnKeyPairs {
    /// `ec2:CreateKeyPair` (with `ec2:CreateTags`); `None`: the name is taken.
    async fn create_key_pair(
        &self,
        name: &str,
        key_type: KeyType,
        tags: &BTreeMap<String, String>,
    ) -> Result<Option<(OwnKeyPair, PrivateKey)>, AwsError>;

    /// `ec2:ImportKeyPair` (with `ec2:CreateTags`); `false`: the name is taken.
    async fn import_key_pair(
        &self,
        name: &str,
        public_key: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<bool, AwsError>;

    /// `ec2:DescribeKeyPairs`; `None`: there is none with this name.
    async fn find_own_key_pair(&self, name: &str) -> Result<Option<OwnKeyPair>, AwsError>;

    /// `ec2:DeleteKeyPair`; success too if it is gone.
    async fn delete_key_pair(&self, key_pair_id: &str) -> Result<(), AwsError>;
}

/// Private keys in SSM's Parameter Store, which are written and never read.
pub trait PrivateKeys {
    /// `ssm:PutParameter` of a new SecureString; success too if there is one already.
    async fn keep(&self, key_pair_id: &str, private_key: &PrivateKey) -> Result<(), AwsError>;

    /// `ssm:DescribeParameters`: whether it exists.
    async fn is_kept(&self, key_pair_id: &str) -> Result<bool, AwsError>;
}

/// VPCs of ours, and everything in them.
pub trait OwnVpcs {
    /// `ec2:DescribeVpcs` by the tags `Name` and `Project`.
    async fn find_vpcs(&self, name: &str, project: &str) -> Result<Vec<Vpc>, AwsError>;

    /// `ec2:CreateVpc` (with `ec2:CreateTags`); its id.
    async fn create_vpc(&self, cidr: &str, tags: &BTreeMap<String, String>) -> Result<VpcId, AwsError>;

    /// `ec2:ModifyVpcAttribute`: machines in it get DNS names.
    async fn name_hosts(&self, vpc_id: &VpcId) -> Result<(), AwsError>;

    /// `ec2:DeleteVpc`; success too if it is gone. The same holds for all calls that follow.
    async fn delete_vpc(&self, vpc_id: &VpcId) -> Result<(), AwsError>;

    /// `ec2:DescribeAvailabilityZones`: those of this Region, by name.
    async fn list_zones(&self) -> Result<Vec<String>, AwsError>;

    /// `ec2:DescribeSubnets`, `ec2:DescribeInternetGateways`, `ec2:DescribeRouteTables` and `ec2:DescribeSecurityGroups`, of
    /// ours alone.
    async fn look_into_vpc(&self, vpc_id: &VpcId, name: &str, project: &str) -> Result<Contents, AwsError>;

    /// `ec2:CreateSubnet` (with `ec2:CreateTags`); success too if a subnet has the block already.
    async fn create_subnet(
        &self,
        vpc_id: &VpcId,
        cidr: &str,
        zone: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), AwsError>;

    /// `ec2:ModifySubnetAttribute`: machines in it get a public address.
    async fn make_subnet_public(&self, subnet_id: &SubnetId) -> Result<(), AwsError>;

    /// `ec2:CreateInternetGateway` (with `ec2:CreateTags`); its id.
    async fn create_internet_gateway(
        &self,
        tags: &BTreeMap<String, String>,
    ) -> Result<InternetGatewayId, AwsError>;

    /// `ec2:AttachInternetGateway`; success too if the VPC has one already.
    async fn attach_internet_gateway(&self, id: &InternetGatewayId, vpc_id: &VpcId) -> Result<(), AwsError>;

    /// `ec2:CreateRouteTable` (with `ec2:CreateTags`).
    async fn create_route_table(
        &self,
        vpc_id: &VpcId,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), AwsError>;

    /// `ec2:CreateRoute`, to everywhere; success too if there is one.
    async fn add_default_route(
        &self,
        route_table_id: &RouteTableId,
        gateway_id: &InternetGatewayId,
    ) -> Result<(), AwsError>;

    /// `ec2:AssociateRouteTable`; success too if the subnet has one.
    async fn associate_route_table(
        &self,
        route_table_id: &RouteTableId,
        subnet_id: &SubnetId,
    ) -> Result<(), AwsError>;

    /// `ec2:CreateSecurityGroup` (with `ec2:CreateTags`); success too if the VPC has one with this name.
    async fn create_security_group(
        &self,
        vpc_id: &VpcId,
        name: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), AwsError>;

    /// `ec2:DescribeSubnets`, `ec2:DescribeInternetGateways`, `ec2:DescribeRouteTables`, `ec2:DescribeSecurityGroups` and
    /// `ec2:DescribeNetworkInterfaces` by VPC: everything in it that neither is ours nor belongs to a
    /// machine, each in a few words.
    async fn list_foreign(&self, vpc_id: &VpcId, name: &str, project: &str) -> Result<Vec<String>, AwsError>;

    /// `ec2:DescribeInstances` by VPC: all machines that are not terminated.
    async fn list_machines_in_vpc(&self, vpc_id: &VpcId) -> Result<Vec<InstanceId>, AwsError>;

    /// `ec2:DeleteSecurityGroup`.
    async fn delete_security_group(&self, id: &SecurityGroupId) -> Result<(), AwsError>;

    /// `ec2:DeleteSubnet`.
    async fn delete_subnet(&self, id: &SubnetId) -> Result<(), AwsError>;

    /// `ec2:DisassociateRouteTable`.
    async fn disassociate_route_table(&self, association_id: &AssociationId) -> Result<(), AwsError>;

    /// `ec2:DeleteRouteTable`.
    async fn delete_route_table(&self, id: &RouteTableId) -> Result<(), AwsError>;

    /// `ec2:DetachInternetGateway`.
    async fn detach_internet_gateway(&self, id: &InternetGatewayId, vpc_id: &VpcId) -> Result<(), AwsError>;

    /// `ec2:DeleteInternetGateway`.
    async fn delete_internet_gateway(&self, id: &InternetGatewayId) -> Result<(), AwsError>;
}

/// Parameters that can be made only once, so that the first of two requests decides.
pub trait KeptNames {
    /// `ssm:PutParameter` of a new parameter; whether it has this value now.
    async fn keep_first(&self, name: &str, value: &str) -> Result<bool, AwsError>;

    /// `ssm:GetParameter`: its value, and since when it exists; `None`: there is none.
    async fn read_kept(&self, name: &str) -> Result<Option<(String, Option<Timestamp>)>, AwsError>;

    /// `ssm:DeleteParameter`; `false`: there was none.
    async fn forget_kept(&self, name: &str) -> Result<bool, AwsError>;
}

/// Dry runs of launches.
pub trait DryRuns {
    /// `ec2:RunInstances` with `DryRun`, and the permissions that belong to it: whether EC2 would accept this request.
    /// It launches nothing, and binds no client token. EC2 does not check the zone's capacity.
    async fn dry_run(&self, parameters: &Request) -> Result<(), AwsError>;
}

/// Look-ups that do not depend on the meeting.
pub trait Networks {
    /// `ec2:DescribeSubnets`, and `ec2:DescribeVpcs` for the default VPC or a named one.
    async fn find_subnets(&self, network: &Network) -> Result<Found, AwsError>;
}

pub trait Images {
    /// `ec2:DescribeImages` of one id; an error if there is none, or no machine can be started from it.
    async fn find_image(&self, image_id: &str) -> Result<Image, AwsError>;

    /// `ec2:DescribeImages`: every image with this name that is available and not deprecated.
    async fn find_images(
        &self,
        pattern: &str,
        owner: &str,
        architecture: Option<Architecture>,
    ) -> Result<Vec<Image>, AwsError>;
}

pub trait KeyPairs {
    /// `ec2:DescribeKeyPairs`: its type, if we know it; an error if there is none with this name.
    async fn find_key_pair(&self, name: &str) -> Result<Option<KeyType>, AwsError>;
}

/// SSM's Parameter Store.
pub trait ParameterStore {
    /// `ssm:GetParameter`, with `:version` or `:label` after the name if the setting has one.
    async fn parameter(&self, name: &str) -> Result<String, AwsError>;
}

/// Which zones offer which types.
pub trait InstanceTypes {
    /// `ec2:DescribeInstanceTypeOfferings`: each of these types with each zone of the Region that offers it. Not
    /// repeated.
    async fn find_offerings(&self, instance_types: &[String]) -> Result<Offerings, AwsError>;
}

pub trait LaunchTemplates {
    /// `ec2:DescribeLaunchTemplateVersions`: the requested version, with its number; an error if there is none.
    async fn find_launch_template(&self, wanted: &LaunchTemplate) -> Result<Template, AwsError>;
}

/// All look-ups at the start.
pub trait LookUps: Networks + InstanceTypes + Images + KeyPairs + LaunchTemplates {}

impl<T: Networks + InstanceTypes + Images + KeyPairs + LaunchTemplates> LookUps for T {}

/// Everything that the verb `operate` asks of EC2.
pub trait Machinery:
    Inspects
    + PowerControl
    + OwnImages
    + Parts<Volume>
    + Parts<Interface>
    + InterfacePlaces
    + OwnKeyPairs
    + OwnVpcs
    + Images
    + LaunchTemplates
{
}

impl<E> Machinery for E where
    E: Inspects
        + PowerControl
        + OwnImages
        + Parts<Volume>
        + Parts<Interface>
        + InterfacePlaces
        + OwnKeyPairs
        + OwnVpcs
        + Images
        + LaunchTemplates
{
}

/// Everything that `operate` asks of Systems Manager.
pub trait Ssm: Commands + PrivateKeys + ParameterStore + KeptNames {}

impl<S: Commands + PrivateKeys + ParameterStore + KeptNames> Ssm for S {}

pub trait Clock {
    fn now(&self) -> Timestamp;
    async fn sleep(&self, duration: Duration);
    /// The future's answer, or `None` after this time.
    async fn within<F: Future>(&self, duration: Duration, future: F) -> Option<F::Output>;
}

/// Everything random.
pub trait Tokens {
    fn token(&self) -> Token;
    fn owner(&self) -> Owner;
    /// From 0 to 1: the part of a back-off that is waited.
    fn jitter(&self) -> f64;
}

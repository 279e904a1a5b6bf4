"""Habits of EC2 and Systems Manager that moto has not: they lag, they judge before they look, and they protect.

A test switches them on by POST /_local/habits (service.py); all are off at first. What each does, and where it was seen:

* behind: after a step, what waits for it is refused so often more: a snapshot of an image that was deregistered (boto #3019),
  a network interface that was detached (amazon-vpc-cni-k8s #1399), a volume, the parts of a VPC one after the other
  (terraform #497); and ModifyInstanceAttribute does not know yet what was attached.
* unseen: what was made is missing in so many answers of its Describe action (packer #5007); by its id it is a NotFound.
* by_tag: what a policy allows by the tag Project is an UnauthorizedOperation where there is no such tag, or nothing at all
  (karpenter-provider-aws #2100); with untagged, of what is new as well, so many times (EC2 learns of tags a moment later).
* pending: a machine that was started is `pending` in so many answers, and takes neither a stop nor a volume (cloud-custodian
  #6014, dstack #3603).
* unstartable: StartInstances is taken, and the machine stays stopped: a KMS key (instance-scheduler-on-aws #9).
* unmanaged: Systems Manager does not know a machine for so many commands (aws-cli #4006).

Always: DescribeImages leaves out what is disabled unless it is asked for, DeregisterImage refuses what is protected
(aws-nuke PR #190), and DeleteSubnet and DeleteSecurityGroup what a network interface stands in (cloud-nuke #285).
"""

from dataclasses import dataclass

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import StateReason
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.internet_gateways import InternetGateways
from moto.ec2.responses.key_pairs import KeyPairs
from moto.ec2.responses.route_tables import RouteTables
from moto.ec2.responses.security_groups import SecurityGroups
from moto.ec2.responses.subnets import Subnets
from moto.ec2.responses.tags import TagResponse
from moto.ec2.responses.vpcs import VPCs
from moto.ssm.exceptions import SSMException
from moto.ssm.responses import SimpleSystemManagerResponse

DISABLED = "disabled"


@dataclass
class Habits:
    behind: int = 0
    unseen: int = 0
    by_tag: bool = False
    untagged: int = 0
    pending: int = 0
    unstartable: bool = False
    unmanaged: int = 0


habits = Habits()

# Actions that a policy allows by the tag of what these parameters name.
BY_TAG = {
    InstanceResponse: {
        "stop_instances": ["InstanceIds"],
        "start_instances": ["InstanceIds"],
        "reboot_instances": ["InstanceIds"],
        "modify_instance_attribute": ["InstanceId"],
    },
    TagResponse: {"create_tags": ["Resources"]},
    AmisResponse: {"create_image": ["InstanceId"], "deregister_image": ["ImageId"]},
    ElasticBlockStore: {
        "delete_snapshot": ["SnapshotId"],
        "delete_volume": ["VolumeId"],
        "attach_volume": ["VolumeId", "InstanceId"],
        "detach_volume": ["VolumeId", "InstanceId"],
    },
    ElasticNetworkInterfaces: {
        "delete_network_interface": ["NetworkInterfaceId"],
        "attach_network_interface": ["NetworkInterfaceId", "InstanceId"],
        "detach_network_interface": ["AttachmentId"],
        "modify_network_interface_attribute": ["NetworkInterfaceId"],
    },
    KeyPairs: {"delete_key_pair": ["KeyPairId"]},
    VPCs: {"delete_vpc": ["VpcId"], "modify_vpc_attribute": ["VpcId"]},
    Subnets: {"create_subnet": ["VpcId"], "delete_subnet": ["SubnetId"], "modify_subnet_attribute": ["SubnetId"]},
    SecurityGroups: {"create_security_group": ["VpcId"], "delete_security_group": ["GroupId"]},
    InternetGateways: {
        "attach_internet_gateway": ["InternetGatewayId", "VpcId"],
        "detach_internet_gateway": ["InternetGatewayId", "VpcId"],
        "delete_internet_gateway": ["InternetGatewayId"],
    },
    RouteTables: {
        "create_route_table": ["VpcId"],
        "create_route": ["RouteTableId"],
        "associate_route_table": ["RouteTableId", "SubnetId"],
        "disassociate_route_table": ["AssociationId"],
        "delete_route_table": ["RouteTableId"],
    },
}

# What lists what, where it is in the answer, and what it is called that was asked for by an id and is not there.
LISTS = {
    (ElasticBlockStore, "describe_volumes"): ("Volumes", "VolumeIds", "InvalidVolume.NotFound"),
    (ElasticNetworkInterfaces, "describe_network_interfaces"): (
        "NetworkInterfaces",
        "NetworkInterfaceIds",
        "InvalidNetworkInterfaceID.NotFound",
    ),
    (AmisResponse, "describe_images"): ("Images", "ImageIds", "InvalidAMIID.NotFound"),
    (VPCs, "describe_vpcs"): ("Vpcs", "VpcIds", "InvalidVpcID.NotFound"),
    (Subnets, "describe_subnets"): ("Subnets", "SubnetIds", "InvalidSubnetID.NotFound"),
    (RouteTables, "describe_route_tables"): ("RouteTables", "RouteTableIds", "InvalidRouteTableID.NotFound"),
    (SecurityGroups, "describe_security_groups"): ("SecurityGroups", "GroupIds", "InvalidGroup.NotFound"),
    (InternetGateways, "describe_internet_gateways"): (
        "InternetGateways",
        "InternetGatewayIds",
        "InvalidInternetGatewayID.NotFound",
    ),
}


def install():
    """Put the habits into moto, around what operate_extension.py put there."""
    for (response, action), list_of in LISTS.items():
        setattr(response, action, lagging(getattr(response, action), *list_of))
    around(AmisResponse, "deregister_image", deregister_image)
    around(ElasticBlockStore, "delete_snapshot", delete_snapshot)
    around(ElasticBlockStore, "attach_volume", attach_volume)
    around(ElasticBlockStore, "detach_volume", detach_volume)
    around(ElasticBlockStore, "delete_volume", delete_volume)
    around(ElasticNetworkInterfaces, "attach_network_interface", attach_network_interface)
    around(ElasticNetworkInterfaces, "detach_network_interface", detach_network_interface)
    around(ElasticNetworkInterfaces, "delete_network_interface", delete_network_interface)
    around(InstanceResponse, "start_instances", start_instances)
    around(InstanceResponse, "stop_instances", stop_instances)
    around(InstanceResponse, "describe_instances", describe_instances)
    around(InstanceResponse, "modify_instance_attribute", modify_instance_attribute)
    around(Subnets, "delete_subnet", delete_subnet)
    around(SecurityGroups, "delete_security_group", delete_security_group)
    around(RouteTables, "disassociate_route_table", disassociate_route_table)
    around(RouteTables, "delete_route_table", delete_route_table)
    around(InternetGateways, "detach_internet_gateway", detach_internet_gateway)
    around(InternetGateways, "delete_internet_gateway", delete_internet_gateway)
    around(VPCs, "delete_vpc", delete_vpc)
    around(SimpleSystemManagerResponse, "send_command", send_command)
    AmisResponse.disable_image = disable_image
    AmisResponse.enable_image_deregistration_protection = enable_image_deregistration_protection
    for response, actions in BY_TAG.items():
        for action, names in actions.items():
            setattr(response, action, judged(getattr(response, action), names))


def around(response, action, habit):
    moto = getattr(response, action)
    setattr(response, action, lambda request: habit(request, moto))


# --- Judged before it is looked at --------------------------------------------------------------------------------


def judged(moto, names):
    def action(request):
        for name in names if habits.by_tag else []:
            given = request._get_param(name, [])
            for id in [given] if isinstance(given, str) else given:
                judge(request.ec2_backend, id)
        return moto(request)

    return action


def judge(backend, id):
    tags = backend.tags.get(owner_of(backend, id), {})
    seen = vars(backend).setdefault("judged", {})
    seen[id] = seen.get(id, 0) + 1
    # moto leaves the tags of what is gone.
    if "Project" not in tags or not stands(backend, id) or seen[id] <= habits.untagged:
        raise EC2ClientError("UnauthorizedOperation", "You are not authorized to perform this operation.")


def owner_of(backend, id):
    """Whose tags are asked for; attachments and associations have none of their own."""
    if id.startswith("eni-attach-"):
        return next((eni.id for eni in backend.enis.values() if eni.attachment_id == id), id)
    if id.startswith("rtbassoc-"):
        tables = backend.route_tables.values()
        return next((table.id for table in tables if id in table._associations), id)
    return id


def stands(backend, id):
    id = owner_of(backend, id)
    if id.startswith("i-"):
        return any(one.id == id and one.state != "terminated" for one in backend.all_instances())
    if id.startswith("sg-"):
        return backend.get_security_group_from_id(id) is not None
    if id.startswith("subnet-"):
        return any(id in subnets for subnets in backend.subnets.values())
    if id.startswith("key-"):
        return any(pair.id == id for pair in backend.key_pairs.values())
    kept = {
        "ami-": backend.amis,
        "snap-": backend.snapshots,
        "vol-": backend.volumes,
        "eni-": backend.enis,
        "vpc-": backend.vpcs,
        "igw-": backend.internet_gateways,
        "rtb-": backend.route_tables,
    }
    return any(id.startswith(prefix) and id in things for prefix, things in kept.items())


# --- Seen late ----------------------------------------------------------------------------------------------------


def lagging(moto, key, asked, unknown):
    def action(request):
        result = moto(request).result
        disabled = request._get_param("IncludeDisabled") not in (True, "true")
        told = vars(request.ec2_backend).setdefault("told", {})
        shown = []
        for one in result[key]:
            if key == "Images" and disabled and one.state == DISABLED:
                continue
            told[one.id] = told.get(one.id, 0) + 1
            if told[one.id] > habits.unseen or is_aws_own(one):
                shown.append(one)
        if request._get_param(asked, []) and not shown:
            raise EC2ClientError(unknown, "It does not exist.")
        return ActionResult({**result, key: shown})

    return action


def is_aws_own(one):
    """What stands from the beginning: default networks, and images of publishers."""
    return not one.get_tags()


# --- Behind the step before ---------------------------------------------------------------------------------------


def hold(request, id, code, message):
    """The next requests that wait for the step that was just done."""
    vars(request.ec2_backend).setdefault("holds", {})[id] = [habits.behind, code, message]


def check(request, id):
    held = vars(request.ec2_backend).setdefault("holds", {}).get(id)
    if held and held[0] > 0:
        held[0] -= 1
        raise EC2ClientError(held[1], held[2])


def dependency(request, id):
    hold(request, id, "DependencyViolation", f"resource {id} has a dependent object")


def deregister_image(request, moto):
    id = request._get_param("ImageId")
    image = request.ec2_backend.amis.get(id)
    if image and getattr(image, "deregistration_protection", "disabled").startswith("enabled"):
        raise EC2ClientError("OperationNotPermitted", f"The image {id} is protected against deregistration.")
    result = moto(request)
    snapshot = image.ebs_snapshot.id
    hold(request, snapshot, "InvalidSnapshot.InUse", f"The snapshot {snapshot} is currently in use by {id}")
    return result


def delete_snapshot(request, moto):
    check(request, request._get_param("SnapshotId"))
    return moto(request)


def detach_volume(request, moto):
    id, instance = request._get_param("VolumeId"), request._get_param("InstanceId")
    result = moto(request)
    hold(request, id, "VolumeInUse", f"Volume {id} is currently attached to {instance}")
    return result


def delete_volume(request, moto):
    check(request, request._get_param("VolumeId"))
    return moto(request)


def attach_volume(request, moto):
    instance = refuse_pending(request, "IncorrectState", "is not 'running'.")
    result = moto(request)
    device = request._get_param("Device")
    hold(request, f"{instance} {device}", "InvalidInstanceAttributeValue", f"No device is currently mapped at {device}")
    return result


def modify_instance_attribute(request, moto):
    for mapping in request._get_param("BlockDeviceMappings", []):
        check(request, f"{request._get_param('InstanceId')} {mapping.get('DeviceName')}")
    return moto(request)


def attach_network_interface(request, moto):
    instance = refuse_pending(request, "IncorrectState", "is not 'running'.")
    interface = request.ec2_backend.get_network_interface(request._get_param("NetworkInterfaceId"))
    if interface.subnet.availability_zone != request.ec2_backend.get_instance(instance).placement.zone:
        message = "You may not attach a network interface to an instance if they are not in the same availability zone"
        raise EC2ClientError("InvalidParameterCombination", message)
    return moto(request)


def detach_network_interface(request, moto):
    id = owner_of(request.ec2_backend, request._get_param("AttachmentId"))
    result = moto(request)
    hold(request, id, "InvalidParameterValue", f"Network interface '{id}' is currently in use.")
    return result


def delete_network_interface(request, moto):
    check(request, request._get_param("NetworkInterfaceId"))
    return moto(request)


# --- VPCs ---------------------------------------------------------------------------------------------------------


def is_in_use(eni):
    """moto keeps the interfaces of machines that have ended."""
    return eni.instance is None or eni.instance.state != "terminated"


def delete_subnet(request, moto):
    id = request._get_param("SubnetId")
    check(request, id)
    backend = request.ec2_backend
    if any(eni.subnet.id == id and is_in_use(eni) for eni in backend.enis.values()):
        raise EC2ClientError("DependencyViolation", f"The subnet '{id}' has dependencies and cannot be deleted.")
    vpc = backend.get_subnet(id).vpc_id
    result = moto(request)
    for gateway in backend.internet_gateways.values():
        if gateway.vpc and gateway.vpc.id == vpc:
            message = f"Network {vpc} has some mapped public address(es). Please unmap those public address(es)."
            hold(request, gateway.id, "DependencyViolation", message)
    for table in backend.route_tables.values():
        if table.vpc_id == vpc:
            dependency(request, table.id)
    dependency(request, vpc)
    return result


def delete_security_group(request, moto):
    id = request._get_param("GroupId")
    for eni in request.ec2_backend.enis.values():
        if is_in_use(eni) and any(group.id == id for group in eni.group_set):
            raise EC2ClientError("DependencyViolation", f"resource {id} has a dependent object")
    group = request.ec2_backend.get_security_group_from_id(id)
    result = moto(request)
    for subnets in request.ec2_backend.subnets.values():
        for subnet in subnets.values():
            if group and subnet.vpc_id == group.vpc_id:
                dependency(request, subnet.id)
    return result


def disassociate_route_table(request, moto):
    table = owner_of(request.ec2_backend, request._get_param("AssociationId"))
    result = moto(request)
    dependency(request, table)
    return result


def delete_route_table(request, moto):
    check(request, request._get_param("RouteTableId"))
    return moto(request)


def detach_internet_gateway(request, moto):
    id = request._get_param("InternetGatewayId")
    check(request, id)
    result = moto(request)
    dependency(request, id)
    return result


def delete_internet_gateway(request, moto):
    id, backend = request._get_param("InternetGatewayId"), request.ec2_backend
    gateway = backend.internet_gateways.get(id)
    if gateway and not gateway.vpc:
        check(request, id)
    return moto(request)


def delete_vpc(request, moto):
    check(request, request._get_param("VpcId"))
    return moto(request)


# --- Machines -----------------------------------------------------------------------------------------------------


def start_instances(request, moto):
    backend, ids = request.ec2_backend, request._get_param("InstanceIds", [])
    result = moto(request)
    for instance in [backend.get_instance(id) for id in ids]:
        if habits.unstartable:
            instance._state.name, instance._state.code = "stopped", 80
            instance.state_reason = StateReason("Client.InternalError: Client error on launch", "Client.InternalError")
        elif habits.pending:
            instance._state.name, instance._state.code = "pending", 0
            vars(backend).setdefault("pending", {})[instance.id] = habits.pending
    return result


def stop_instances(request, moto):
    message = "cannot be stopped as it has never reached the 'running' state."
    for id in request._get_param("InstanceIds", []):
        refuse_pending(request, "IncorrectInstanceState", message, id)
    return moto(request)


def refuse_pending(request, code, message, id=None):
    id = id or request._get_param("InstanceId")
    if request.ec2_backend.get_instance(id).state == "pending":
        raise EC2ClientError(code, f"Instance '{id}' {message}")
    return id


def describe_instances(request, moto):
    result = moto(request)
    waiting = vars(request.ec2_backend).setdefault("pending", {})
    for id, left in list(waiting.items()):
        waiting[id] = left - 1
        if left <= 1:
            del waiting[id]
            state = request.ec2_backend.get_instance(id)._state
            state.name, state.code = "running", 16
    return result


def disable_image(request):
    request.ec2_backend.amis[request._get_param("ImageId")].state = DISABLED
    return ActionResult({"Return": True})


def enable_image_deregistration_protection(request):
    image = request.ec2_backend.amis[request._get_param("ImageId")]
    image.deregistration_protection = "enabled-without-cooldown"
    return ActionResult({"Return": image.deregistration_protection})


# --- Systems Manager ----------------------------------------------------------------------------------------------


def send_command(request, moto):
    backend = ec2_backends[request.current_account][request.region]
    asked = vars(backend).setdefault("commands", {})
    for id in request._get_param("InstanceIds", []):
        asked[id] = asked.get(id, 0) + 1
        if asked[id] <= habits.unmanaged:
            raise SSMException("InvalidInstanceId", f"Instances [[{id}]] not in a valid state for account")
    return moto(request)

"""What moto's EC2 lacks for a launcher: a RunInstances ClientToken that means something, and some validation.

What AWS does with a ClientToken, and moto, which merely stores it, does not:

* A request that names a subnet (or a zone) is idempotent per Availability Zone. The same token in the same
  zone gives the same instance, as it is now; in another zone it launches a second one.
* The first request binds the token to its parameters, even if it was refused for want of capacity. Any other
  parameters under that token and zone are an IdempotentParameterMismatch.
* Once the instance is terminated, AWS has been seen to answer IdempotentInstanceTerminated, and also 200 with
  the dead instance. `settings.terminated_token` chooses.

One request at a time runs through all this: service.py holds a lock around moto.
"""

import json
import uuid
from dataclasses import dataclass

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupNotFoundError, MissingParameterError
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.tags import TagResponse
from moto.ec2.utils import filter_dict_attribute_mapping, filter_iam_instance_profiles
from moto.iam.exceptions import NotFoundException

DEAD_STATES = ("shutting-down", "terminated")

# The WSGI environ may carry a LaunchRefused under this key, to be raised where AWS would launch.
REFUSAL_ENVIRON_KEY = "local_aws.launch_refused"

# moto shows every instance in RunInstances' answer as pending, which a replay must not.
STATE_IN_RUN_INSTANCES = "RunInstances.Reservation.Instances.Instance.State"

moto_run_instances = InstanceResponse.run_instances
moto_create_tags = TagResponse.create_tags
moto_parse_disks = InstanceResponse._parse_block_device_mapping


class LaunchRefused(Exception):
    """A scripted "no" of RunInstances, with its reply: moto would send any EC2ClientError with HTTP 400."""

    def __init__(self, reply):
        super().__init__()
        self.reply = reply


@dataclass
class Settings:
    terminated_token: str = "error"  # or "instance"
    # The habits of EC2 in habits.py, each off. Seconds after its termination until a machine loses its tags, its entry.
    forgets_tags_after: float = None
    forgets_entry_after: float = None
    # What the policies allow by tag, they allow by this value of the tag Project.
    judged_by_project: str = None
    # Seconds until such an action sees the tag of what was just tagged.
    tags_unseen_for: float = 0
    # Lists of machines that do not name ids of other zones fail with this code.
    disrupted_zone: str = None
    outage_code: str = "InternalError"  # or "Unavailable"


settings = Settings()


@dataclass
class Binding:
    """What a token stands for in one zone. Without a reservation, every launch so far was refused."""

    parameters: str
    reservation: object = None


def install():
    """Put the extension into moto."""
    InstanceResponse.run_instances = run_instances
    InstanceResponse._parse_block_device_mapping = parse_disks
    TagResponse.create_tags = create_tags
    filter_dict_attribute_mapping["client-token"] = "client_token"


def run_instances(response):
    """RunInstances as AWS does it. `response` is moto's object for the request in hand."""
    check_counts(response)
    refusal = response.normalized_request.environ.get(REFUSAL_ENVIRON_KEY)
    if response._get_param("DryRun"):
        if refusal:
            raise refusal
        return launch(response)
    # AWS makes up a token for a request that has none.
    token = response._get_param("ClientToken") or str(uuid.uuid4())
    bindings = bindings_of(response.ec2_backend)
    key = (token, zone_of_launch(response))
    parameters = parameters_of(response)
    binding = bindings.get(key, Binding(parameters))
    if binding.parameters != parameters:
        raise EC2ClientError(
            "IdempotentParameterMismatch",
            "The parameters of this request differ from those first sent with this client token.",
        )
    if binding.reservation:
        return replay(response, binding.reservation)
    if refusal:
        bindings[key] = binding
        raise refusal
    # What moto finds invalid binds nothing.
    result = launch(response)
    binding.reservation = result.result
    bindings[key] = binding
    return result


def create_tags(response):
    """moto tags instances that do not exist."""
    backend = response.ec2_backend
    ids = [
        resource_id for resource_id in response._get_param("Resources", []) if resource_id.startswith("i-")
    ]
    backend.get_multi_instances_by_id(ids)
    return moto_create_tags(response)


def bindings_of(ec2_backend):
    """Tokens belong to one account and Region, as a backend of moto does, and go when moto is reset."""
    return vars(ec2_backend).setdefault("client_token_bindings", {})


def parameters_of(response):
    """Everything AWS compares, decoded: neither the order on the wire nor Action, Version or a signature."""
    parameters = {name: value for name, value in response.params.items() if name != "ClientToken"}
    return json.dumps(parameters, sort_keys=True, default=str)


def zone_of_launch(response):
    """None when the request leaves the zone to EC2: its token then counts for the whole Region."""
    subnet_id = subnet_of_launch(response)
    if subnet_id:
        return response.ec2_backend.get_subnet(subnet_id).availability_zone
    return response._get_param("Placement.AvailabilityZone")


def subnet_of_launch(response):
    interfaces = response._get_param("NetworkInterfaces", [])
    in_interfaces = [interface["SubnetId"] for interface in interfaces if "SubnetId" in interface]
    return response._get_param("SubnetId") or next(iter(in_interfaces), None)


def replay(response, reservation):
    """Answer with the instances of an earlier request, in their true state."""
    dead = all(instance.state in DEAD_STATES for instance in reservation.instances)
    if dead and settings.terminated_token == "error":
        raise EC2ClientError(
            "IdempotentInstanceTerminated",
            "The instance launched with this client token has been terminated.",
        )
    # A copy on this one response object: moto's own dictionary belongs to the class.
    response.RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        path: transform
        for path, transform in response.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if path != STATE_IN_RUN_INSTANCES
    }
    return ActionResult(reservation)


def launch(response):
    """moto's own launch. When it fails on the way it leaves half an instance behind, and AWS nothing."""
    check_image_is_named(response)
    check_instance_profile(response)
    check_security_groups(response)
    reservations = response.ec2_backend.reservations
    earlier = set(reservations)
    # EC2 launches MaxCount instances if it can, and moto MinCount.
    response.params["MinCount"] = response.params["MaxCount"]
    try:
        result = moto_run_instances(response)
        give_volumes_their_speed(response, result)
        return result
    except Exception:
        for reservation_id in set(reservations) - earlier:
            del reservations[reservation_id]
        raise


def parse_disks(response):
    """A request's disks stand beside its launch template's; moto forgets those of the template."""
    disks = moto_parse_disks(response)
    template = response._get_param("LaunchTemplate")
    if disks and template:
        named = {disk["DeviceName"] for disk in disks}
        data = response.ec2_backend._get_template_from_args(template).data
        disks += [disk for disk in data.get("BlockDeviceMappings", []) if disk["DeviceName"] not in named]
    return disks


def give_volumes_their_speed(response, result):
    """moto's RunInstances reads neither IOPS nor throughput of a volume."""
    if response._get_param("DryRun"):
        return
    for asked in response._get_param("BlockDeviceMappings", []):
        speed = {name: asked.get("Ebs", {}).get(key) for name, key in (("iops", "Iops"), ("throughput", "Throughput"))}
        for instance in result.result.instances:
            device = instance.block_device_mapping.get(asked.get("DeviceName"))
            volume = device and response.ec2_backend.get_volume(device.volume_id)
            for name, value in speed.items():
                if volume and value is not None:
                    setattr(volume, name, int(value))


def check_counts(response):
    minimum, maximum = response._get_param("MinCount"), response._get_param("MaxCount")
    for name, count in ("MinCount", minimum), ("MaxCount", maximum):
        if count < 1:
            raise EC2ClientError("InvalidParameterValue", f"Value ({count}) for parameter {name} is invalid.")
    if minimum > maximum:
        raise EC2ClientError("InvalidParameterValue", "MinCount must not be greater than MaxCount.")


def check_image_is_named(response):
    if not response._get_param("ImageId") and not response._get_param("LaunchTemplate"):
        raise MissingParameterError("ImageId")


def check_instance_profile(response):
    """moto answers here with IAM's error, in IAM's format."""
    arn, name = (response._get_param(f"IamInstanceProfile.{key}") for key in ("Arn", "Name"))
    try:
        filter_iam_instance_profiles(response.current_account, response.partition, arn, name)
    except NotFoundException:
        parameter, value, noun = ("arn", arn, "ARN") if arn else ("name", name, "name")
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({value}) for parameter iamInstanceProfile.{parameter} is invalid."
            f" Invalid IAM Instance Profile {noun}",
        ) from None


def check_security_groups(response):
    """moto takes a security group of another VPC, and in a network interface any name at all."""
    subnet_id = subnet_of_launch(response)
    if not subnet_id:
        return
    backend = response.ec2_backend
    vpc_id = backend.get_subnet(subnet_id).vpc_id
    for group_id in security_groups_of_launch(response):
        group = backend.get_security_group_from_id(group_id)
        if group is None:
            raise InvalidSecurityGroupNotFoundError(group_id)
        if group.vpc_id != vpc_id:
            raise EC2ClientError(
                "InvalidParameter",
                f"Security group {group_id} and subnet {subnet_id} belong to different networks.",
            )


def security_groups_of_launch(response):
    interfaces = response._get_param("NetworkInterfaces", [])
    in_interfaces = [group_id for interface in interfaces for group_id in interface.get("Groups", [])]
    return response._get_param("SecurityGroupIds", []) + in_interfaces

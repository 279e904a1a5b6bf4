"""What moto's EC2 lacks for whoever operates a machine: names that are taken, places that are, and client tokens.

What AWS does, and moto does not:

* CreateImage refuses a name that one of the account's images has, and tags the snapshots as it is told.
* CreateVolume and CreateNetworkInterface are idempotent by their ClientToken: the same request gives what the first one
  made, other parameters are an IdempotentParameterMismatch. What was deleted since is answered as `deleted`; AWS does not
  say what it answers then, and the function takes either.
* AttachVolume refuses a device name that is taken, a volume that is attached, and one of another zone.
* AttachNetworkInterface refuses a device index that is taken, an interface that is attached, and more than the type may have.
* ModifyNetworkInterfaceAttribute can have the interface deleted with its machine.
* AttachInternetGateway refuses a VPC that has one.
* DeleteKeyPair takes a key pair's id.
* SendCommand refuses a machine that does not run, for its agent does not either; a command says what it was, and `exit 3` is
  one that fails.
"""

import copy
import re

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces
from moto.ec2.responses.internet_gateways import InternetGateways
from moto.ec2.responses.key_pairs import KeyPairs
from moto.ssm.exceptions import SSMException
from moto.ssm.models import Command
from moto.ssm.responses import SimpleSystemManagerResponse
from moto.ec2.models import ec2_backends

from ec2_extension import parameters_of

moto_create_volume = ElasticBlockStore.create_volume
moto_attach_volume = ElasticBlockStore.attach_volume
moto_create_network_interface = ElasticNetworkInterfaces.create_network_interface
moto_attach_network_interface = ElasticNetworkInterfaces.attach_network_interface
moto_attach_internet_gateway = InternetGateways.attach_internet_gateway
moto_delete_key_pair = KeyPairs.delete_key_pair
moto_send_command = SimpleSystemManagerResponse.send_command
moto_invocation_response = Command.invocation_response
moto_modify_network_interface_attribute = ElasticNetworkInterfaces.modify_network_interface_attribute


def install():
    """Put the extension into moto."""
    AmisResponse.create_image = create_image
    ElasticBlockStore.create_volume = create_volume
    ElasticBlockStore.attach_volume = attach_volume
    ElasticNetworkInterfaces.create_network_interface = create_network_interface
    ElasticNetworkInterfaces.attach_network_interface = attach_network_interface
    InternetGateways.attach_internet_gateway = attach_internet_gateway
    KeyPairs.delete_key_pair = delete_key_pair
    SimpleSystemManagerResponse.send_command = send_command
    Command.invocation_response = invocation_response
    ElasticNetworkInterfaces.modify_network_interface_attribute = modify_network_interface_attribute


def create_image(response):
    backend, name = response.ec2_backend, response._get_param("Name")
    response.error_on_dryrun()
    own = [ami for ami in backend.amis.values() if ami.owner_id == backend.account_id]
    for ami in own:
        if ami.name == name:
            message = f"AMI name {name} is already in use by AMI {ami.id}"
            raise EC2ClientError("InvalidAMIName.Duplicate", message)
    instance = backend.get_instance(response._get_param("InstanceId"))
    tags = {kind: tags for kind, tags in tags_by_kind(response)}
    image = backend.create_image(instance.id, name, response._get_param("Description", ""), [])
    source = backend.amis.get(instance.image_id)
    if source:
        image.root_device_name, image.root_device_type = source.root_device_name, source.root_device_type
    image.add_tags(tags.get("image", {}))
    image.ebs_snapshot.add_tags(tags.get("snapshot", {}))
    return ActionResult({"ImageId": image.id})


def tags_by_kind(response):
    for specification in response._get_param("TagSpecifications", []):
        yield specification["ResourceType"], {tag["Key"]: tag["Value"] for tag in specification.get("Tags", [])}


def create_volume(response):
    backend = response.ec2_backend
    return once(response, moto_create_volume, lambda volume: volume.id in backend.volumes)


def create_network_interface(response):
    backend = response.ec2_backend
    return once(response, moto_create_network_interface, lambda made: made["NetworkInterface"].id in backend.enis)


def once(response, make, stands):
    """One answer for each client token, and none for its other parameters."""
    token = response._get_param("ClientToken")
    if not token:
        return make(response)
    made = vars(response.ec2_backend).setdefault("made_by_token", {})
    key, parameters = (make.__name__, token), parameters_of(response)
    if key not in made:
        made[key] = (parameters, make(response).result)
    first, result = made[key]
    if first != parameters:
        raise EC2ClientError(
            "IdempotentParameterMismatch",
            "The parameters of this request differ from those first sent with this client token.",
        )
    return ActionResult(result if stands(result) else deleted(result))


def deleted(result):
    """What a request is answered with whose volume or network interface is gone."""
    if isinstance(result, dict):
        return result
    gone = copy.copy(result)
    # moto tells the state from the attachment.
    gone.__class__ = type("DeletedVolume", (type(result),), {"status": "deleted"})
    return gone


def attach_volume(response):
    backend, id = response.ec2_backend, response._get_param("VolumeId")
    volume, instance = backend.get_volume(id), backend.get_instance(response._get_param("InstanceId"))
    device = response._get_param("Device")
    if volume.attachment:
        raise EC2ClientError("VolumeInUse", f"{id} is already attached to an instance")
    if volume.zone.name != instance.placement.zone:
        message = f"The volume '{id}' is not in the same availability zone as instance '{instance.id}'"
        raise EC2ClientError("InvalidVolume.ZoneMismatch", message)
    if device in instance.block_device_mapping:
        message = f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        raise EC2ClientError("InvalidParameterValue", message)
    return moto_attach_volume(response)


def attach_network_interface(response):
    backend, id = response.ec2_backend, response._get_param("NetworkInterfaceId")
    interface, instance = backend.get_network_interface(id), backend.get_instance(response._get_param("InstanceId"))
    index = response._get_param("DeviceIndex")
    if interface.instance:
        raise EC2ClientError("InvalidNetworkInterface.InUse", f"{id} is currently in use.")
    if index in instance.nics:
        message = f"Instance '{instance.id}' already has an interface attached at device index '{index}'."
        raise EC2ClientError("InvalidParameterValue", message)
    limit = INSTANCE_TYPES[instance.instance_type]["NetworkInfo"]["MaximumNetworkInterfaces"]
    if len(instance.nics) >= limit:
        message = f"Interface count {len(instance.nics) + 1} exceeds the limit for {instance.instance_type}"
        raise EC2ClientError("AttachmentLimitExceeded", message)
    return moto_attach_network_interface(response)


def modify_network_interface_attribute(response):
    attachment = response._get_param("Attachment") or {}
    if not attachment:
        return moto_modify_network_interface_attribute(response)
    interface = response.ec2_backend.get_network_interface(response._get_param("NetworkInterfaceId"))
    if attachment.get("AttachmentId") != interface.attachment_id:
        raise EC2ClientError("InvalidAttachmentID.NotFound", f"{attachment.get('AttachmentId')} does not exist")
    interface.delete_on_termination = attachment.get("DeleteOnTermination") in (True, "true")
    return EmptyResult()


def attach_internet_gateway(response):
    vpc, id = response._get_param("VpcId"), response._get_param("InternetGatewayId")
    for gateway in response.ec2_backend.internet_gateways.values():
        if gateway.vpc and gateway.vpc.id == vpc and gateway.id != id:
            message = f"Network {vpc} already has an internet gateway attached"
            raise EC2ClientError("InvalidParameterValue", message)
    return moto_attach_internet_gateway(response)


def delete_key_pair(response):
    id = response._get_param("KeyPairId")
    if id:
        named = [pair.key_name for pair in response.ec2_backend.key_pairs.values() if pair.id == id]
        response.params["KeyName"] = named[0] if named else id
    return moto_delete_key_pair(response)


def send_command(response):
    backend = ec2_backends[response.current_account][response.region]
    running = {instance.id for instance in backend.all_instances() if instance.state == "running"}
    if not set(response._get_param("InstanceIds", [])) <= running:
        raise SSMException("InvalidInstanceId", "Instances not in a valid state for account")
    return moto_send_command(response)


def invocation_response(command, instance_id, plugin_name):
    told = moto_invocation_response(command, instance_id, plugin_name)
    text = "\n".join(command.parameters.get("commands", []))
    ends = re.fullmatch(r"exit (\d+)", text)
    code = int(ends[1]) if ends else 0
    if code:
        told |= {"ResponseCode": code, "Status": "Failed", "StatusDetails": "Failed", "StandardErrorContent": "it failed"}
    return told | {"StandardOutputContent": f"ran with {command.document_name}: {text}\n"}

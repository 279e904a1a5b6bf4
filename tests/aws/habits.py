"""Habits of EC2 that moto does not have, each switched on by a setting: what EC2 forgets, and what it judges before it looks.

* A terminated machine loses its tags after a short while, and its entry after about an hour; at once by /_local/forget.
  https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html
* An action that a policy allows by the resource's tag is refused as UnauthorizedOperation, not as NotFound, for what is
  gone, has lost its tag, or got it a moment ago. https://github.com/aws/karpenter-provider-aws/issues/2100
* In a zone's disruption a list that names no instance ids fails altogether, and one that names them where one stands in
  that zone; ids as a filter are no ids.
  https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
* A machine dies, stops or hangs without anybody's asking: /_local/state, with EC2's StateReason.

Termination and stop protection are moto's own, by ModifyInstanceAttribute, but for one thing: what may not be stopped may not
be terminated either.
"""

import re
import time
from urllib.parse import parse_qsl

from moto.ec2.exceptions import OperationNotPermitted4
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance, InstanceBackend, StateReason
from moto.ec2.models.tags import TagBackend

# EC2's number of each state that a machine can be put into.
STATES = {"running": 16, "shutting-down": 32, "stopped": 80, "terminated": 48}

OUTAGE_CODES = ("InternalError", "Unavailable")

PROJECT = "Project"

# What the policies of this project allow by the tag of what exists (aws:ResourceTag in infra/template.yaml).
JUDGED_BY_TAG = {
    "AttachInternetGateway",
    "AttachNetworkInterface",
    "AttachVolume",
    "CreateImage",
    "CreateTags",
    "DeleteInternetGateway",
    "DeleteKeyPair",
    "DeleteNetworkInterface",
    "DeleteRouteTable",
    "DeleteSecurityGroup",
    "DeleteSnapshot",
    "DeleteSubnet",
    "DeleteTags",
    "DeleteVolume",
    "DeleteVpc",
    "DeregisterImage",
    "DetachInternetGateway",
    "DetachVolume",
    "GetConsoleOutput",
    "ModifyInstanceAttribute",
    "ModifyNetworkInterfaceAttribute",
    "RebootInstances",
    "StartInstances",
    "StopInstances",
    "TerminateInstances",
}

# The parameters that name a resource, alone or as a list.
NAMES_A_RESOURCE = re.compile(
    r"(Instance|Volume|NetworkInterface|Image|Snapshot|Resource|Vpc|Subnet|Group|RouteTable|InternetGateway|KeyPair)Id(\.\d+)?"
)
LISTS_INSTANCES = ("DescribeInstances", "DescribeInstanceStatus")
INSTANCE_IDS = re.compile(r"InstanceId\.\d+")

moto_create_tags = TagBackend.create_tags
moto_terminate = InstanceBackend.terminate_instances


def install():
    """Put what is to be remembered into moto."""
    TagBackend.create_tags = create_tags
    InstanceBackend.terminate_instances = terminate_instances


def create_tags(backend, resource_ids, tags):
    """When a resource was first tagged as ours."""
    done = moto_create_tags(backend, resource_ids, tags)
    if PROJECT in tags:
        for resource_id in resource_ids:
            tagged_at(backend).setdefault(resource_id, time.monotonic())
    return done


def terminate_instances(backend, instance_ids):
    """What may not be stopped may not be terminated either."""
    for instance in backend.get_multi_instances_by_id(instance_ids):
        if instance.disable_api_stop is True:
            raise OperationNotPermitted4(instance.id)
    return moto_terminate(backend, instance_ids)


def tagged_at(backend):
    return vars(backend).setdefault("tagged_as_ours_at", {})


def died_at(backend):
    return vars(backend).setdefault("terminated_at", {})


def backends():
    """Those of every account and Region that was asked for anything."""
    return [backend for regions in list(ec2_backends.values()) for backend in list(regions.values())]


def find_instance(instance_id):
    """The machine and its backend; ids are unique, so any account and Region that knows this one will do."""
    for backend in backends():
        for instance in backend.all_instances():
            if instance.id == instance_id:
                return backend, instance
    return None


def put_into_state(instance, state, reason, message):
    """As EC2 does it by itself, or somebody without this project's knowledge."""
    if state == "terminated" and instance.state != "terminated":
        Instance.terminate(instance)
    instance._state.name, instance._state.code = state, STATES[state]
    instance.state_reason = StateReason(message or reason, reason) if reason else StateReason()


def forget_tags(backend, instance):
    backend.tags.pop(instance.id, None)
    tagged_at(backend).pop(instance.id, None)


def forget_entry(backend, instance):
    forget_tags(backend, instance)
    for reservation in list(backend.reservations.values()):
        if instance in reservation.instances:
            reservation.instances.remove(instance)
            if not reservation.instances:
                del backend.reservations[reservation.id]


def forget_the_dead(settings):
    """Before each request: what has been dead for long enough is forgotten."""
    now = time.monotonic()
    for backend in backends():
        for instance in list(backend.all_instances()):
            if instance.state != "terminated":
                continue
            dead_for = now - died_at(backend).setdefault(instance.id, now)
            if settings.forgets_tags_after is not None and dead_for >= settings.forgets_tags_after:
                forget_tags(backend, instance)
            if settings.forgets_entry_after is not None and dead_for >= settings.forgets_entry_after:
                forget_entry(backend, instance)


def age(seconds):
    """What has been dead or tagged for a while has been so for that much longer."""
    for backend in backends():
        for moments in died_at(backend), tagged_at(backend):
            for resource_id in moments:
                moments[resource_id] -= seconds


def refusal(action, body, settings):
    """The code and message with which EC2 refuses this request before it looks, or None."""
    form = dict(parse_qsl(body.decode("utf-8", "replace")))
    if settings.disrupted_zone and action in LISTS_INSTANCES:
        found = [find_instance(value) for name, value in form.items() if INSTANCE_IDS.fullmatch(name)]
        zones = {instance.placement.zone for _, instance in filter(None, found)}
        if not found or settings.disrupted_zone in zones:
            return settings.outage_code, f"An error in {settings.disrupted_zone}. Name instances of other zones."
    if settings.judged_by_project and action in JUDGED_BY_TAG:
        for name, value in form.items():
            if NAMES_A_RESOURCE.fullmatch(name) and not is_ours(value, settings):
                return (
                    "UnauthorizedOperation",
                    "You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/"
                    f"role/function is not authorized to perform: ec2:{action} on resource: {value} because no "
                    "identity-based policy allows the action. Encoded authorization failure message: 4GIOHlTkIaWHQD0Q0m6XSnuU",
                )
    return None


def remove_tags_of_deleted(action, body):
    """Tags go with what they were on; moto keeps them."""
    if not action or action in ("DeleteTags", "DeleteKeyPair") or not action.startswith(("Delete", "Deregister")):
        return
    for name, value in parse_qsl(body.decode("utf-8", "replace")):
        if NAMES_A_RESOURCE.fullmatch(name):
            for backend in backends():
                backend.tags.pop(value, None)


def is_ours(resource_id, settings):
    """Whether the tag that the policies ask for is to be seen."""
    for backend in backends():
        if backend.tags.get(resource_id, {}).get(PROJECT) == settings.judged_by_project:
            since = tagged_at(backend).get(resource_id)
            return since is None or time.monotonic() - since >= settings.tags_unseen_for
    return False

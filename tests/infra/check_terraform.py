"""Holds a Terraform module equal to a SAM template: the same stack, whichever tool makes it.

    check_terraform.py infra/template.yaml infra/terraform
    check_terraform.py infra/template.yaml infra/terraform --bite

Of several modules each is held against the template by itself. Both are resolved under each set of answers to the
parameters (answers.py); then:

1. Every parameter is a variable of the same name (AmiId, ami_id) and type, with the same default or without one, that
   takes and refuses the same values.
2. Every resource has its counterpart, property by property: functions and their environment, repeats, queues, logs,
   table, schedule group, alarms, dashboard; roles with their trust and their policies, statement by statement. A
   property that one of them sets and this check does not know is a finding.
3. Every output has the same value.
4. What only Terraform has to be told: that a function waits for its role's policy, and keeps the table; that nothing
   refers to itself, by however many names; and what has another address than in an earlier version of the module.
--bite shows that this is so: every value in the module, one at a time, is changed or taken out, and each time one of
the checks has to say so. Prints one finding a line and ends with 1 if there is any, with 2 if the command line is
wrong. Needs no network, no Terraform and no AWS account.
"""

import argparse
import json
import re
import sys
from functools import cache
from itertools import chain
from pathlib import Path

import terraform
from answers import LEAST, REFUSED, SETS
from lark import Token, Tree
from sam import Stack, Unresolved, translate
from terraform import Body, Module, text_of

# Which resource of the module is which of the template. Alarms and saved queries go by their names.
COUNTERPARTS = {
    "aws_cloudwatch_dashboard.this": "Dashboard",
    "aws_cloudwatch_event_rule.state_change": "StateChangeRule",
    "aws_cloudwatch_event_rule.sweep": "ReconcileFunctionSweep",
    "aws_dynamodb_table.meetings": "MeetingsTable",
    "aws_iam_instance_profile.machine": "MachineProfile",
    "aws_iam_policy.operate_networks": "OperateNetworksPolicy",
    "aws_iam_policy.queue_key": "QueueKeyPolicy",
    "aws_iam_policy.run_instances": "RunInstancesPolicy",
    "aws_iam_policy.table_key": "TableKeyPolicy",
    "aws_iam_role.machine": "MachineRole",
    "aws_iam_role.scheduler": "SchedulerRole",
    "aws_lambda_event_source_mapping.state_changes": "ReconcileFunctionStateChanges",
    "aws_lambda_permission.sweep": "ReconcileFunctionSweepPermission",
    "aws_scheduler_schedule_group.meetings": "ScheduleGroup",
    "aws_security_group.machines": "MachineSecurityGroup",
    "aws_sns_topic.alarms": "AlarmTopic",
    "aws_sns_topic_subscription.alarm_email": "AlarmSubscription",
    "aws_sqs_queue.schedule_dead_letters": "ScheduleDeadLetters",
    "aws_sqs_queue.state_changes": "StateChanges",
    "aws_sqs_queue_policy.state_changes": "StateChangesPolicy",
    "aws_sqs_queue_policy.tls_only": "QueuesPolicy",
}

# What there is of each function.
OF_EACH = {
    "aws_cloudwatch_log_group.this": "LogGroup",
    "aws_iam_role.this": "Role",
    "aws_lambda_function.this": "Function",
    "aws_lambda_function_event_invoke_config.this": "FunctionEventInvokeConfig",
    "aws_sqs_queue.failures": "Failures",
}
VERBS = ["launch", "schedule", "end", "reconcile", "status", "operate"]
COUNTERPARTS |= {f'{address}["{verb}"]': f"{verb.title()}{what}" for address, what in OF_EACH.items() for verb in VERBS}

# The property by which they go.
NAMED = {"AWS::CloudWatch::Alarm": "AlarmName", "AWS::Logs::QueryDefinition": "Name"}

# What the template calls an attribute that only AWS or the provider knows; None is Ref.
ATTRIBUTES = {
    ("aws_cloudwatch_dashboard", "dashboard_name"): None,
    ("aws_cloudwatch_event_rule", "name"): None,
    ("aws_cloudwatch_event_rule", "arn"): "Arn",
    ("aws_cloudwatch_log_group", "name"): None,
    ("aws_cloudwatch_log_group", "arn"): "Arn",
    ("aws_dynamodb_table", "name"): None,
    ("aws_dynamodb_table", "arn"): "Arn",
    ("aws_iam_instance_profile", "name"): None,
    ("aws_iam_policy", "arn"): None,
    ("aws_iam_role", "name"): None,
    ("aws_iam_role", "arn"): "Arn",
    ("aws_lambda_function", "function_name"): None,
    ("aws_lambda_function", "arn"): "Arn",
    ("aws_scheduler_schedule_group", "name"): None,
    ("aws_scheduler_schedule_group", "arn"): "Arn",
    ("aws_security_group", "id"): "GroupId",
    ("aws_sns_topic", "arn"): None,
    ("aws_sqs_queue", "name"): "QueueName",
    ("aws_sqs_queue", "arn"): "Arn",
    ("aws_sqs_queue", "url"): None,
}

# Variables of which the template knows nothing, with what they are given here, and those that have a default with that:
# the name of the stack in samconfig.example.toml, and no word on alarms.
ONLY_TERRAFORM = {
    "name": "elephant",
    "package": "functions.zip",
    "has_alarm_topic": None,
    "own_machine_role": None,
    "tags": {"Team": "classroom"},
}
THEIR_DEFAULTS = {"name": "elephant", "package": None, "has_alarm_topic": None, "own_machine_role": None, "tags": {}}

# What takes no tags, of the types in KINDS. Everything else has those of the variable `tags`; CloudFormation puts the tags
# of a stack on them by itself.
UNTAGGED = {
    "aws_cloudwatch_dashboard",
    "aws_cloudwatch_query_definition",
    "aws_lambda_function_event_invoke_config",
    "aws_lambda_permission",
    "aws_sns_topic_subscription",
}

# Lists are lists in Terraform, and text between commas in CloudFormation where they may be empty.
LISTS = {"CompanionSchedules", "InstanceType", "OverrideInstanceTypes", "SecurityGroupIds", "SubnetIds", "ExtraTags"}
# Pairs are a map in Terraform, and text between semicolons in CloudFormation.
MAPS = {"Settings"}

# Of each setting that comes in Settings, values that are taken and values that are refused.
SETTINGS = {
    "LAUNCH_TEMPLATE": (
        ["lt-0a1b2c3d", "class/rooms", "rooms:7", "rooms:$Latest", "rooms:$Default", "r" * 128],
        ["ro", "a room", "rooms:", "rooms:0", "rooms:latest", "rooms:1:2", "r" * 129],
    ),
    "AMI_NAME": (["abc", "[a] (b)/c.d-'e'@_*?", "a" * 128], ["ab", "abc$", "${abc}", "a" * 129]),
    "AMI_OWNER": (["self", "amazon", "aws-marketplace", "123456789012"], ["12345678901", "*", "Self"]),
    "AMI_ARCH": (["x86_64", "arm64"], ["x86"]),
    "KEY_NAME": (["support key", "k" * 255], ["a*", "k" * 256, "${x}"]),
    "SUPPORTED_AZS": (["us-west-2a", "us-west-2a,us-west-2b"], ["us-west-2", "*"]),
    "VPC_NAME": (["class rooms", "v" * 256], ["class*", "v" * 257]),
    "PUBLIC_IP": (["true", "false", "subnet"], ["yes"]),
    "MARKET": (["on-demand", "spot", "spot-then-on-demand"], ["ondemand"]),
    "PAIR": (["any", "same-az"], ["same"]),
    "VOLUME_DEVICE": (["/dev/sda1"], ["xvda", "/dev/"]),
    "VOLUME_SIZE_GB": (["1", "9999", "65536"], ["0", "65537", "1.5", "much"]),
    "VOLUME_TYPE": (["gp3", "gp2", "standard"], ["io2"]),
    "VOLUME_IOPS": (["3000", "9999", "10000", "79999", "80000"], ["0", "1", "2999", "80001", "3000.5"]),
    "VOLUME_THROUGHPUT": (["125", "129", "130", "199", "200", "999", "1000", "1999", "2000"], ["0", "124", "2001"]),
    "VOLUME_ENCRYPTED": (["true", "false"], ["yes"]),
    "IMDS_TOKENS": (["image", "required", "optional"], ["v2"]),
    "EARLIEST_MINUTES": (["1", "10080"], ["0", "10081"]),
    "LAUNCH_WINDOW_MINUTES": (["0", "10080"], ["-1", "10081"]),
    "LEAD_MINUTES": (["2", "1440"], ["1", "1441"]),
    "FLEXIBLE_WINDOW_MINUTES": (["0", "1438"], ["-1", "1439"]),
    "GRACE_MINUTES": (["2", "1440"], ["1", "1441"]),
    "MAX_MEETING_HOURS": (["1", "336"], ["0", "337"]),
    "DUE_MINUTES": (["0", "1440"], ["-1", "1441"]),
    "MAX_REPLACEMENTS": (["0", "100"], ["-1", "101"]),
    "MAX_ENDINGS": (["0", "10000"], ["-1", "10001"]),
    "READY_MINUTES": (["1", "1440"], ["0", "1441"]),
    "RELAUNCH_UNREADY": (["true", "false"], ["yes"]),
    "CLEAN_UP": (["true", "false"], ["yes"]),
    "DRY_RUN": (["true", "false"], ["yes"]),
}

# Values that a pattern takes, and such as it refuses.
PROBES = {
    "AmiId": ["ami-0123abcd", "ami-0123abcd0123abcd0", "ami-0123abc", "ami-*", "AMI-0123abcd", "ami-0123abcd\n"]
    + ["", "resolve:ssm:/a", "resolve:ssm:/a/b_c.d-E:3", "resolve:ssm:/a:b", "resolve:ssm:a-b", "resolve:ssm:/a/"]
    + ["resolve:ssm:/a*", "resolve:ssm:/a:b:c", "al2023", "ubuntu:24.04", "ubuntu:daily:24.04", "a:b:1:1", "ubuntu:"]
    + ["resolve:ssm:golden"],
    "InstanceType": ["t3.large", "u-6tb1.metal", "t3", "*", "t3.large;m5.large"],
    "OverrideInstanceTypes": ["", "t3.large", "t3.large,u-6tb1.metal", "t3", "*", "t3.*", "t3.large, m5.large", "t3.large,"],
    "SecurityGroupIds": ["", "sg-0a1b2c3d", "sg-0a1b2c3d,sg-0a1b2c3e", "sg-*", "sg-0a1b2c3d0"],
    "Settings": ["", " MARKET = spot ;; PAIR=any;", "AMI_ID=al2023", "SCHEDULE_GROUP=mine", "MARKTE=spot", "MARKET", "MARKET="]
    + [f"{name}={value}" for name, both in SETTINGS.items() for values in both for value in values],
    "AlarmEmail": ["", "a@b.c", "a", "a@b", "a b@c.d", "a@b@c.d"],
    "CompanionRoleArn": ["", "arn:aws:iam::123456789012:role/a/b", "arn:aws:iam::123456789012:role/*", "role"],
    "MachineRoleArn": ["", "arn:aws:iam::123456789012:role/a/b", "arn:aws:iam::123456789012:role/*", "role"],
    "SubnetIds": ["", "subnet-0a1b2c3d", "subnet-0a1b2c3d,subnet-0a1b2c3e", "subnet-*", "sg-0a1b2c3d"],
    "UserData": ["", "#!/bin/sh\nhalt", "u" * 4096, "u" * 4097],
    "VpcId": ["", "vpc-0a1b2c3d", "vpc-0a1b2c3d0a1b2c3d0", "vpc-*", "subnet-0a1b2c3d"],
    "VolumeKmsKeyArn": ["", "arn:aws:kms:us-west-2:123456789012:key/mrk-1", "arn:aws:kms:us-west-2:123456789012:key/*"]
    + ["arn:aws:kms:us-west-2:123456789012:alias/a", "alias/a", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"],
    "ExistingTableName": ["", "abc", "ab", "a*c"],
    "ProjectTag": ["E", "", "a*", "e" * 256, "e" * 257, "${aws:username}"],
    "ExtraTags": ["", "a=", "a=b=c,b c=d e", "a", "=b", " a=b", "a =b", "a=b, c=d", "a*=b", "a=b,", "a=*"]
    + ["k" * 128 + "=" + "v" * 256, "k" * 129 + "=v", "k=" + "v" * 257]
    + [",".join(f"k{number}=" for number in range(count)) for count in (10, 11)],
    "KmsKeyArn": ["", "arn:aws:kms:us-west-2:123456789012:key/mrk-1", "arn:aws:kms:us-west-2:123456789012:key/*", "alias/a"]
    + ["arn:aws:kms:us-west-2:123456789012:alias/a"],
    "PermissionsBoundaryArn": ["", "arn:aws:iam::123456789012:policy/a/b", "arn:aws:iam::aws:policy/a", "a"]
    + ["arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:policy/*"],
    "RolePath": ["/", "/a/", "/a.b/c_d/", "", "a/", "/a", "//", "/a*/", "/a b/", f"/{'a' * 510}/", f"/{'a' * 511}/"],
    "AlarmTopicArn": ["", "arn:aws:sns:us-west-2:123456789012:a", "a", "arn:aws:sqs:us-west-2:123456789012:a"],
}
# So that a probe of one is judged by its own limits.
ROOM = {"SubnetIds": {"SecurityGroupIds": "sg-0a1b2c3d"}}
# Two parameters at a time.
TOGETHER = {
    "CompanionSchedules": [
        {"CompanionSchedules": patterns, "CompanionRoleArn": role}
        for patterns in ["", "default/safety-{meeting_id}", "a/{meeting_id},b/x.{meeting_id}_y", "default/safety"]
        + ["safety-{meeting_id}", "{meeting_id}/a", "a/{meeting_id}{meeting_id}", "a/*{meeting_id}", "a/b/{meeting_id}"]
        + ["a*/{meeting_id}", "a/${meeting_id}", "g" * 64 + "/{meeting_id}", "g" * 65 + "/{meeting_id}"]
        for role in ["", "arn:aws:iam::123456789012:role/a"]
    ],
    "IamProfile": [
        {"IamProfile": value, "MachineRoleArn": role}
        for value in ["", "machines", "arn:aws:iam::123456789012:instance-profile/a", "a*", "a/b"]
        for role in ["", "arn:aws:iam::123456789012:role/a"]
    ],
    "SubnetIds": [
        {"SubnetIds": "subnet-0a1b2c3d", "SecurityGroupIds": groups, "VpcId": vpc}
        for groups in ["", "sg-0a1b2c3d"]
        for vpc in ["", "vpc-0a1b2c3d"]
    ],
}

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("template", type=Path, metavar="TEMPLATE")
    parser.add_argument("modules", type=Path, nargs="+", metavar="MODULE")
    parser.add_argument("--bite", action="store_true", help="show that any change to the module is found")
    arguments = parser.parse_args()
    translated, errors = translate(arguments.template)
    for error in errors:
        print(f"{arguments.template}: {error}")
    found = bool(errors)
    template = cache(lambda: Template(translated))
    for module in arguments.modules if translated else []:
        findings, counts = check(template, module, arguments.bite)
        for finding in findings:
            print(f"{module}: {finding}")
        if not findings:
            print(f"{module}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
        found = found or bool(findings)
    sys.exit(1 if found else 0)


def check(the_template, folder, bite):
    findings = {}
    try:
        parsed = terraform.parse(folder)
        template = the_template()
        for finding in compare(template, parsed):
            findings[finding] = None
        counts = {"variables": len(template.parameters), "sets of answers": len(SETS)}
        counts |= {"resources": len(template.stacks["everything answered"].resources())}
        if bite and not findings:
            unnoticed, changes = mutate(template, parsed)
            findings = {f"nothing is found {change}": None for change in unnoticed}
            counts |= {"changes found": changes}
    except Unresolved as error:
        return [*findings, f"cannot be resolved: {error}"], {}
    return [*findings], counts


class Template:
    """The template's side, resolved once."""

    def __init__(self, translated):
        self.translated = translated
        self.parameters = translated["Parameters"]
        self.stacks = {name: Stack(translated, answers, region) for name, (answers, region) in SETS.items()}
        self.words = {*self.parameters, *translated["Resources"], *translated["Outputs"]}
        self.sides = {name: self._resolved(stack) for name, stack in self.stacks.items()}
        # Whether CloudFormation takes them: (what is asked, answers, yes or no).
        self.verdicts = [(answers, not Stack(translated, answers).refusals) for answers in self._probes()]

    def _resolved(self, stack):
        resources = {}
        for name in stack.resources():
            resource = self.translated["Resources"][name]
            properties = {key: value for key, value in stack.properties(name).items() if key not in ("Code", "Tags")}
            if resource.get("DeletionPolicy"):
                properties["DeletionPolicy"] = resource["DeletionPolicy"]
            key = properties[NAMED[resource["Type"]]] if resource["Type"] in NAMED else name
            if "AlarmDescription" in properties:
                properties["AlarmDescription"] = self.in_snake_case(properties["AlarmDescription"])
            if resource["Type"] == "AWS::IAM::Policy":
                continue  # it is judged with the roles that it is put on
            if resource["Type"] == "AWS::IAM::Role":
                own = [policy["PolicyName"] for policy in properties.get("Policies", [])]
                properties["Policies"] = joined(stack.own_policies(name), own)
            if resource["Type"] == "AWS::Events::Rule":
                properties["Targets"] = [{**target, "Id": ""} for target in properties["Targets"]]
            if "DashboardBody" in properties:
                properties["DashboardBody"] = json.loads(properties["DashboardBody"])
            resources[key] = normal(properties)
        outputs = stack.outputs().items()
        return resources, {snake_case(name): normal(value) for name, value in outputs}

    def in_snake_case(self, text):
        """The names of parameters and resources in a sentence as Terraform has them."""
        return re.sub(r"\w+", lambda match: snake_case(match[0]) if match[0] in self.words else match[0], text)

    def _probes(self):
        yield from (answers for answers, _ in SETS.values())
        yield from REFUSED.values()
        yield LEAST
        yield from (LEAST | answers for several in TOGETHER.values() for answers in several)
        for name, parameter in self.parameters.items():
            values = list(PROBES.get(name, []))
            if "AllowedValues" in parameter:
                values += [*map(str, parameter["AllowedValues"]), "other", "0"]
            if "MinValue" in parameter:
                least, most = parameter["MinValue"], parameter["MaxValue"]
                values += map(str, [least - 1, least, most, most + 1])
            if not values and name not in TOGETHER:
                raise Unresolved(f"PROBES has no values for {name}")
            yield from (LEAST | ROOM.get(name, {}) | {name: value} for value in values)


def joined(policies, own):
    """What a role may do, however many policies say it; the names of those that are its own."""
    versions = {policy["Version"] for policy in policies}
    statements = [statement for policy in policies for statement in policy["Statement"]]
    return {"Names": own, "Version": sorted(versions), "Statement": statements}


def snake_case(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


# --- Comparing -------------------------------------------------------------------------------------------------


# What was found in the variables of a module, by all that this depends on: what a module changes elsewhere is not asked again.
OF_VARIABLES = {}


def compare(template, parsed):
    key = repr([block for block in parsed.blocks if block[0] in ("variable", "locals")])
    if key in OF_VARIABLES:
        yield from OF_VARIABLES[key]
    else:
        findings = []
        for finding in of_variables(template, parsed):
            findings.append(finding)
            yield finding
        OF_VARIABLES[key] = findings
    cycles = [*of_cycles(parsed)]
    yield from cycles or of_resources(template, parsed)


def of_resources(template, parsed):
    yield from of_dependencies(parsed)
    beside = module_of(template, parsed, LEAST, None, package=None).local("package")
    if beside != "./functions-arm64.zip":
        yield f"without the variable package: expected the release's ./functions-arm64.zip, found {beside}"
    for name, stack in template.stacks.items():
        answers, resources, outputs = SETS[name][0], *template.sides[name]
        module = module_of(template, parsed, answers, stack)
        if module.refusals:
            yield from (f"refuses what CloudFormation takes: {refusal}" for refusal in module.refusals)
            continue
        yield from of_moves(parsed, module)
        there = dict(counterparts(module, module.resources()))
        outputs_there = {name: value for name, value in module.outputs().items() if value is not None}
        for key in sorted(resources.keys() - there.keys()):
            yield f"has nothing for {key} [with {name}]"
        for key in sorted(there.keys() - resources.keys()):
            yield f"{key} is not in the template [with {name}]"
        for key in sorted(resources.keys() & there.keys()):
            yield from differences(key, resources[key], normal(there[key]))
        yield from differences("outputs", outputs, normal(outputs_there))


def differences(where, here, there):
    """`here` is the template's."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted(here.keys() | there.keys()):
            if key not in there:
                yield f"{where}: {key} is missing"
            elif key not in here:
                yield f"{where}: {key} is not in the template"
            else:
                yield from differences(f"{where}: {key}", here[key], there[key])
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for position, (one, other) in enumerate(zip(here, there)):
            yield from differences(f"{where}: {position + 1}", one, other)
    elif here != there:
        yield f"{where}: expected {shown(here)}, found {shown(there)}"


def shown(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 200 else f"{text[:200]}…"


def normal(value, key=""):
    """CloudFormation's numbers may be text, IAM's lists of one may be no list; their order is of no meaning, nor is what comes twice."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(int(value)) if float(value).is_integer() else str(value)
    if isinstance(value, dict):
        if key == "Condition":
            return {operator: {k: as_set(v) for k, v in keys.items()} for operator, keys in value.items() if keys}
        return {k: as_set(v) if k in ("Action", "Queues", "Resource", "Roles") else normal(v, k) for k, v in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(piece, dict) and "Sid" in piece for piece in value):
            return {piece["Sid"]: normal(piece) for piece in value} | twice(value)
        return [normal(piece) for piece in value]
    return value


def as_set(value):
    return sorted({*value}) if isinstance(value, list) else [value]


def twice(statements):
    names = [statement["Sid"] for statement in statements]
    return {f"twice: {name}": "" for name in names if names.count(name) > 1}


# --- Variables -------------------------------------------------------------------------------------------------


def of_variables(template, parsed, first=None):
    """`first` is a variable; what the answers to it show comes before the rest."""
    variables = {labels[0]: block for labels, block in parsed.of_type("variable")}
    named = {snake_case(name): name for name in template.parameters}
    for name in sorted(named.keys() - variables.keys()):
        yield f"no variable {name}, for the parameter {named[name]}"
    for name in sorted(variables.keys() - named.keys() - ONLY_TERRAFORM.keys()):
        yield f"the variable {name} is no parameter of the template"
    for name in sorted(ONLY_TERRAFORM.keys() - variables.keys()):
        yield f"no variable {name}"
    scope = terraform.Scope(None, {})
    for name in sorted(ONLY_TERRAFORM.keys() & variables.keys()):
        default = variables[name].attributes.get("default")
        default = "none" if default is None else terraform.evaluate(default, scope)
        if default != THEIR_DEFAULTS.get(name, "none"):
            yield f"{name}: expected the default {THEIR_DEFAULTS.get(name, 'none')!r}, found {default!r}"
    for name in sorted(named.keys() & variables.keys()):
        parameter, block = template.parameters[named[name]], variables[name]
        expected, found = type_of(named[name], parameter), text_of(block.attributes.get("type", Tree("none", [])))
        if expected != found:
            yield f"{name}: expected the type {expected}, found {found or 'none'}"
            continue
        default = block.attributes.get("default")
        default = "none" if default is None else terraform.evaluate(default, scope)
        expected = as_terraform(named[name], parameter, str(parameter["Default"])) if "Default" in parameter else "none"
        if default != expected or isinstance(default, bool) != isinstance(expected, bool):
            yield f"{name}: expected the default {expected!r}, found {default!r}"
        if "description" not in block.attributes:
            yield f"{name}: no description"
        pattern = parameter.get("AllowedPattern") if named[name] not in MAPS else None
        if pattern and in_terraform(named[name], parameter) not in patterns_of(block):
            yield f"{name}: its pattern is not the template's, {pattern}"
    if named.keys() | ONLY_TERRAFORM.keys() != variables.keys():
        return
    for answers, taken in sorted(template.verdicts, key=lambda verdict: named.get(first) not in verdict[0]):
        module = module_of(template, parsed, answers, None)
        told = {name: value for name, value in answers.items() if LEAST.get(name) != value}
        if taken == bool(module.refusals):
            yield f"CloudFormation {'takes' if taken else 'refuses'} {shown(told)}, and Terraform does not"
    if not module_of(template, parsed, LEAST, None, tags={"Project": "Elephant"}).refusals:
        yield "takes the tag Project, which would let operate remove what is the module's"
    for bad in ["", "1elephant", "e" * 27, "ele*"]:
        if not module_of(template, parsed, LEAST, None, name=bad).refusals:
            yield f"takes the name {bad!r}"


def type_of(name, parameter):
    if name in LISTS:
        return "list(string)"
    if name in MAPS:
        return "map(string)"
    return {"String": "string", "Number": "number"}[parameter["Type"]]


def as_terraform(name, parameter, answer):
    """An answer as somebody would write it in Terraform."""
    if name in LISTS:
        # CloudFormation forgives spaces in its own lists, and not in a text between commas.
        forgiven = parameter["Type"] == "CommaDelimitedList"
        return [piece.strip() if forgiven else piece for piece in answer.split(",")] if answer else []
    if name in MAPS:
        pairs = [piece.partition("=") for piece in answer.split(";") if piece.strip()]
        return {key.strip(): value.strip() for key, _, value in pairs}
    if parameter["Type"] == "Number" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", answer):
        return float(answer) if "." in answer else int(answer)
    return answer


def in_terraform(name, parameter):
    """The pattern of a parameter as the variable has it: of a list that may be empty, that of one piece."""
    pattern = parameter["AllowedPattern"]
    of_several = re.fullmatch(r"\^\((?P<piece>.*)\(,(?P=piece)\)(\*|\{0,[0-9]+\})\)\?\$", pattern)
    return f"^{of_several['piece']}$" if of_several else pattern


def patterns_of(block):
    """What the checks of a variable hold against regex()."""
    for _, validation in block.of_type("validation"):
        for call in validation.attributes["condition"].find_data("function_call"):
            name, arguments = terraform.trees(call)
            if text_of(name) == "regex":
                yield terraform.evaluate(terraform.trees(arguments)[0], terraform.Scope(None, {}))


def module_of(template, parsed, answers, stack, **more):
    """The module, given the answers that the template was given."""
    values = {
        snake_case(name): as_terraform(name, template.parameters[name], str(answer)) for name, answer in answers.items()
    }
    place = stack.place if stack else {"partition": "", "region": "", "account": "", "suffix": ""}
    data = {
        "aws_caller_identity": {"account_id": place["account"]},
        "aws_partition": {"partition": place["partition"], "dns_suffix": place["suffix"]},
        "aws_region": {"region": place["region"]},
    }
    values = ONLY_TERRAFORM | values | more
    return Module(parsed, values, data, lambda _, address, name: attribute(stack, address, name))


@cache
def attribute(stack, address, name):
    """What the template's counterpart answers, so that both speak of the same ARN."""
    kind = address.partition(".")[0]
    if address not in COUNTERPARTS or (kind, name) not in ATTRIBUTES:
        raise Unresolved(f"{name} of {address}: add it to ATTRIBUTES and COUNTERPARTS in check_terraform.py")
    of_it = ATTRIBUTES[kind, name]
    counterpart = COUNTERPARTS[address]
    answer = stack.resolve({"Ref": counterpart} if of_it is None else {"Fn::GetAtt": [counterpart, of_it]})
    # Terraform's ARN of a log group is the group's, CloudFormation's that of its streams.
    return answer.removesuffix(":*") if kind == "aws_cloudwatch_log_group" else answer


# --- Resources: each type of Terraform in the words of CloudFormation ---------------------------------------------


def counterparts(module, resources):
    """What CloudFormation would call them, of (address, resolved attributes)."""
    policies, of_aws, attached, targets, of_queues = {}, {}, {}, {}, {}
    resources = [(address, dict(resource)) for address, resource in resources]
    for address, resource in resources:
        if address.startswith("aws_iam_role_policy_attachment.") and ":aws:policy/" in resource["policy_arn"]:
            of_aws.setdefault(resource["role"], []).append(resource["policy_arn"])
        elif address.startswith("aws_iam_role_policy_attachment."):
            attached.setdefault(resource.pop("policy_arn"), []).append(resource)
        elif address.startswith("aws_iam_role_policy."):
            policies.setdefault(resource.pop("role"), []).append(resource)
        elif address.startswith("aws_cloudwatch_event_target."):
            targets.setdefault(resource.pop("rule"), []).append(resource)
        elif address.startswith("aws_sqs_queue_policy."):
            of_queues.setdefault(address.partition("[")[0], []).append(Given(address, resource))
    for address, resource in resources:
        kind = address.partition(".")[0]
        if kind in ("aws_iam_role_policy", "aws_iam_role_policy_attachment", "aws_cloudwatch_event_target"):
            continue
        if kind == "aws_sqs_queue_policy":
            # CloudFormation has one for several queues.
            if same := of_queues.pop(address.partition("[")[0], None):
                yield COUNTERPARTS.get(address.partition("[")[0], address), queue_policy(same)
            continue
        if kind not in KINDS:
            raise Unresolved(f"{address}: add its type to KINDS in check_terraform.py")
        given = Given(address, resource)
        if kind not in UNTAGGED and given.take("tags") != ONLY_TERRAFORM["tags"]:
            raise Unresolved(f"{address}: expected tags = var.tags")
        if kind == "aws_iam_role":
            name = attribute_of(module, address, "name")
            translated = role(given, policies.pop(name, []), of_aws.pop(name, None))
        elif kind == "aws_iam_policy":
            translated = managed_policy(given, attached.pop(attribute_of(module, address, "arn"), []))
        elif kind == "aws_cloudwatch_event_rule":
            translated = rule(given, targets.pop(attribute_of(module, address, "name"), []))
        else:
            translated = KINDS[kind](given)
        given.nothing_left()
        if kind in ("aws_cloudwatch_metric_alarm", "aws_cloudwatch_query_definition"):
            yield translated.get("AlarmName") or translated["Name"], translated
        elif address not in COUNTERPARTS:
            yield address, translated
        else:
            yield COUNTERPARTS[address], {key: value for key, value in translated.items() if value is not None}
    for role_name in [*policies, *of_aws]:
        raise Unresolved(f"a policy for the role {role_name}, which the module does not make")
    for policy_arn in attached:
        raise Unresolved(f"the policy {policy_arn} for a role, which the module does not make")
    for rule_name in targets:
        raise Unresolved(f"a target of the rule {rule_name}, which the module does not make")


def attribute_of(module, address, name):
    return module.attribute(module, address, name)


class Given:
    """A resource of Terraform whose attributes are taken out one by one: what is left at the end is not known here."""

    def __init__(self, address, attributes):
        self.address, self.attributes = address, dict(attributes)
        self.inner = []

    def take(self, name, otherwise=None):
        return self.attributes.pop(name, otherwise)

    def block(self, name):
        """The one block of this type, or an empty one."""
        blocks = self.attributes.pop(name, [])
        if len(blocks) > 1:
            raise Unresolved(f"{self.address}: more than one {name}")
        self.inner.append(Given(f"{self.address}: {name}", blocks[0] if blocks else {}))
        return self.inner[-1]

    def named(self, prefix):
        """A made-up name that says whose it is."""
        given = self.take("name_prefix", "")
        if not given.startswith(prefix) or not given.endswith("-"):
            raise Unresolved(f"{self.address}: expected a name_prefix {prefix}…-, found {given!r}")

    def nothing_left(self):
        for name in self.attributes:
            raise Unresolved(f"{self.address}: {name} is not known to check_terraform.py")
        for given in self.inner:
            given.nothing_left()


def label(given):
    """launch of aws_iam_role.this["launch"], launch-failures of aws_sqs_queue.failures["launch"]."""
    name, _, key = given.address.partition(".")[2].partition("[")
    pieces = [key.strip('"]'), "" if name == "this" else name.replace("_", "-")]
    return "-".join(filter(None, pieces))


def function(given):
    package = ONLY_TERRAFORM["package"]
    if (given.take("filename"), given.take("source_code_hash")) != (package, f"hash of {package}"):
        raise Unresolved(f"{given.address}: expected the package {package}, and its hash")
    reserved = given.take("reserved_concurrent_executions", -1)
    logging = given.block("logging_config")
    logs = {"LogFormat": "log_format", "ApplicationLogLevel": "application_log_level", "LogGroup": "log_group"}
    logs = {key: logging.take(name) for key, name in logs.items()}
    return {
        "FunctionName": given.take("function_name"),
        "Description": given.take("description"),
        "Handler": given.take("handler"),
        "Runtime": given.take("runtime"),
        "Architectures": given.take("architectures"),
        "Timeout": given.take("timeout"),
        "MemorySize": given.take("memory_size"),
        "Role": given.take("role"),
        "KmsKeyArn": given.take("kms_key_arn"),
        "ReservedConcurrentExecutions": None if reserved == -1 else reserved,
        "TracingConfig": {"Mode": given.block("tracing_config").take("mode")},
        "LoggingConfig": {key: value for key, value in logs.items() if value is not None},
        "Environment": {"Variables": given.block("environment").take("variables", {})},
    }


def event_invoke_config(given):
    destination = given.block("destination_config").block("on_failure").take("destination")
    config = {"DestinationConfig": {"OnFailure": {"Destination": destination}}} if destination else {}
    return config | {
        "FunctionName": given.take("function_name"),
        "Qualifier": given.take("qualifier"),
        "MaximumRetryAttempts": given.take("maximum_retry_attempts"),
        "MaximumEventAgeInSeconds": given.take("maximum_event_age_in_seconds"),
    }


def rule(given, targets):
    given.named(f"elephant-{label(given)}-")
    what = {"Description": given.take("description"), "ScheduleExpression": given.take("schedule_expression")}
    pattern = given.take("event_pattern")
    what["EventPattern"] = json.loads(pattern) if pattern else None
    return what | {"Targets": [target(Given(given.address, one)) for one in targets]}


def target(given):
    retries = given.block("retry_policy")
    what = {
        "Id": "",
        "Arn": given.take("arn"),
        "RetryPolicy": {
            "MaximumEventAgeInSeconds": retries.take("maximum_event_age_in_seconds"),
            "MaximumRetryAttempts": retries.take("maximum_retry_attempts"),
        },
    }
    given.nothing_left()
    return what


def permission(given):
    return {
        "Action": given.take("action"),
        "FunctionName": given.take("function_name"),
        "Principal": given.take("principal"),
        "SourceArn": given.take("source_arn"),
    }


def security_group(given):
    given.named("elephant-machines-")
    out = given.block("egress")
    everything = {"from_port": 0, "to_port": 0, "protocol": "-1", "cidr_blocks": ["0.0.0.0/0"], "ipv6_cidr_blocks": ["::/0"]}
    everything["description"] = "Everything out."
    if {name: out.take(name) for name in everything} != everything:
        raise Unresolved(f"{given.address}: expected the rule that EC2 gives a new group: everything out")
    return {"GroupDescription": given.take("description"), "VpcId": given.take("vpc_id")}


def instance_profile(given):
    given.named("elephant-machine-")
    return {"Path": given.take("path"), "Roles": [given.take("role")]}


def topic(given):
    given.named("elephant-alarms-")
    return {}


def subscription(given):
    return {
        "TopicArn": given.take("topic_arn"),
        "Protocol": given.take("protocol"),
        "Endpoint": given.take("endpoint"),
    }


def queue(given):
    given.named(f"elephant-{label(given)}-")
    return {
        "MessageRetentionPeriod": given.take("message_retention_seconds"),
        "VisibilityTimeout": given.take("visibility_timeout_seconds"),
        # Terraform takes no word on SQS's own key beside another, and CloudFormation takes a "no".
        "SqsManagedSseEnabled": given.take("sqs_managed_sse_enabled") or False,
        "KmsMasterKeyId": given.take("kms_master_key_id"),
    }


def queue_policy(several):
    queues, documents = zip(*((given.take("queue_url"), given.take("policy")) for given in several))
    for given in several:
        given.nothing_left()
    if len(set(documents)) != 1:
        raise Unresolved(f"{several[0].address}: one policy for several queues is expected")
    return {"Queues": [*queues], "PolicyDocument": json.loads(documents[0])}


def event_source_mapping(given):
    return {
        "EventSourceArn": given.take("event_source_arn"),
        # CloudFormation is given its name, and Terraform its ARN: then Terraform sees no change where there is none.
        "FunctionName": given.take("function_name").rpartition(":")[2],
        "BatchSize": given.take("batch_size"),
        "ScalingConfig": {"MaximumConcurrency": given.block("scaling_config").take("maximum_concurrency")},
    }


def log_group(given):
    return {
        "LogGroupName": given.take("name"),
        "RetentionInDays": given.take("retention_in_days"),
        "KmsKeyId": given.take("kms_key_id"),
    }


def schedule_group(given):
    return {"Name": given.take("name")}


def table(given):
    key = given.take("hash_key")
    attributes = [(one["name"], one["type"]) for one in given.take("attribute", [])]
    index = given.block("global_secondary_index")
    keeps = given.block("lifecycle").take("prevent_destroy", False)
    return {
        "TableName": given.take("name"),
        "BillingMode": given.take("billing_mode"),
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": type} for name, type in attributes],
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": index.take("name"),
                "KeySchema": [
                    {"AttributeName": index.take("hash_key"), "KeyType": "HASH"},
                    {"AttributeName": index.take("range_key"), "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": index.take("projection_type")},
            }
        ],
        "StreamSpecification": {"StreamViewType": given.take("stream_view_type") if given.take("stream_enabled") else None},
        "SSESpecification": encryption(given.block("server_side_encryption")),
        "PointInTimeRecoverySpecification": {
            "PointInTimeRecoveryEnabled": given.block("point_in_time_recovery").take("enabled")
        },
        "DeletionPolicy": "Retain" if keeps else "Delete",
    }


def encryption(given):
    key = given.take("kms_key_arn")
    return {"SSEEnabled": given.take("enabled")} | ({"SSEType": "KMS", "KMSMasterKeyId": key} if key else {})


def role(given, policies, of_aws):
    given.named(f"elephant-{label(given)}-")
    return {
        "Description": given.take("description"),
        "Path": given.take("path"),
        "PermissionsBoundary": given.take("permissions_boundary"),
        "AssumeRolePolicyDocument": json.loads(given.take("assume_role_policy")),
        "Policies": joined(
            [json.loads(policy["policy"]) for policy in policies], [policy["name"] for policy in policies]
        ),
        "ManagedPolicyArns": of_aws,
    }


def managed_policy(given, attachments):
    given.named(f"elephant-{label(given)}-")
    attachments = [Given(given.address, attachment) for attachment in attachments]
    roles = [attachment.take("role") for attachment in attachments]
    for attachment in attachments:
        attachment.nothing_left()
    return {
        "Description": given.take("description"),
        "Path": given.take("path"),
        "PolicyDocument": json.loads(given.take("policy")),
        "Roles": roles,
    }


def alarm(given):
    queries = [metric_query(Given(f"{given.address}: metric_query", one)) for one in given.take("metric_query", [])]
    translated = {
        "AlarmName": given.take("alarm_name"),
        "AlarmDescription": given.take("alarm_description"),
        "AlarmActions": given.take("alarm_actions"),
        "Namespace": given.take("namespace"),
        "MetricName": given.take("metric_name"),
        "Dimensions": dimensions(given),
        "Metrics": queries or None,
        "Statistic": given.take("statistic"),
        "Period": given.take("period"),
        "EvaluationPeriods": given.take("evaluation_periods"),
        "ComparisonOperator": given.take("comparison_operator"),
        "Threshold": given.take("threshold"),
        "TreatMissingData": given.take("treat_missing_data"),
    }
    return {key: value for key, value in translated.items() if value is not None}


def metric_query(given):
    query = {key: given.take(name) for key, name in {"Id": "id", "Label": "label", "Expression": "expression"}.items()}
    query["ReturnData"] = given.take("return_data", False)
    if not query["Expression"]:
        metric = given.block("metric")
        query["MetricStat"] = {
            "Metric": {
                "Namespace": metric.take("namespace"),
                "MetricName": metric.take("metric_name"),
                "Dimensions": dimensions(metric),
            },
            "Period": metric.take("period"),
            "Stat": metric.take("stat"),
        }
    given.nothing_left()
    return {key: value for key, value in query.items() if value is not None}


def dimensions(given):
    found = given.take("dimensions")
    return found and [{"Name": name, "Value": value} for name, value in found.items()]


def query_definition(given):
    return {
        "Name": given.take("name"),
        "LogGroupNames": given.take("log_group_names"),
        "QueryString": given.take("query_string"),
    }


def dashboard(given):
    return {
        "DashboardName": given.take("dashboard_name"),
        "DashboardBody": json.loads(given.take("dashboard_body")),
    }


KINDS = {
    "aws_cloudwatch_dashboard": dashboard,
    "aws_cloudwatch_event_rule": rule,
    "aws_cloudwatch_log_group": log_group,
    "aws_cloudwatch_metric_alarm": alarm,
    "aws_cloudwatch_query_definition": query_definition,
    "aws_dynamodb_table": table,
    "aws_iam_policy": managed_policy,
    "aws_iam_instance_profile": instance_profile,
    "aws_iam_role": role,
    "aws_lambda_function": function,
    "aws_lambda_function_event_invoke_config": event_invoke_config,
    "aws_lambda_event_source_mapping": event_source_mapping,
    "aws_lambda_permission": permission,
    "aws_scheduler_schedule_group": schedule_group,
    "aws_security_group": security_group,
    "aws_sns_topic": topic,
    "aws_sns_topic_subscription": subscription,
    "aws_sqs_queue": queue,
}


def of_dependencies(parsed):
    """Where nothing says otherwise Terraform makes policy and function at once, and Lambda finds no permission."""
    policy, launches = "aws_iam_role_policy.this", "aws_iam_role_policy_attachment.run_instances"
    expected = {
        "aws_lambda_event_source_mapping": f"[{policy}]",
        "aws_lambda_function": f"[{policy},{launches}]",
        "aws_lambda_function_event_invoke_config": f"[{policy}]",
    }
    for labels, block in parsed.of_type("resource"):
        waits = text_of(block.attributes.get("depends_on", Tree("none", [])))
        if waits != expected.get(labels[0], ""):
            yield f"{'.'.join(labels)}: expected depends_on = {expected.get(labels[0], 'none')}"


def of_cycles(parsed):
    """Terraform makes one thing after the other, all of one address and a whole local at once."""
    uses = {}
    for labels, block in parsed.of_type("resource"):
        uses[".".join(labels)] = names_in(block)
    for _, block in parsed.of_type("locals"):
        uses |= {f"local.{name}": names_in(Body({name: tree})) for name, tree in block.attributes.items()}
    done = set()

    def follow(name, way):
        if name in way:
            yield f"a cycle: {' → '.join([*way[way.index(name) :], name])}"
        elif name not in done:
            for used in sorted(uses[name] & uses.keys()):
                yield from follow(used, [*way, name])
            done.add(name)

    for name in uses:
        yield from follow(name, [])


def names_in(body):
    """The resources and locals that a block refers to, wherever in it."""
    text = " ".join(text_of(tree) for tree in body.attributes.values())
    names = {f"{kind}.{name}" for kind, name in re.findall(r"\b(local|aws_\w+)\.(\w+)", text)}
    return names.union(*(names_in(inner) for _, _, inner in body.blocks))


def of_moves(parsed, module):
    """Each thing of a function stood by itself once, under its verb: without a move Terraform would make it anew."""
    before = {
        f"{address}[{verb}]": f"{address.removesuffix('this')}{verb}"
        for address in [*OF_EACH, "aws_iam_role_policy.this"]
        for verb in VERBS
    }
    before |= {f"aws_sqs_queue.failures[{verb}]": f"aws_sqs_queue.{verb}_failures" for verb in VERBS}
    several = [address for address, block in module.declared.items() if "for_each" in block.attributes]
    there = {f"{address}[{key}]" for address in several for key in module.instances(address)}
    ends = [[block.attributes.get(end, Tree("none", [])) for end in ("from", "to")] for _, block in parsed.of_type("moved")]
    moves = [(text_of(old), text_of(new)) for old, new in ends]
    for old, new in moves:
        if new not in there:
            yield f"moved to {new}, which the module does not have"
        elif old in module.declared:
            yield f"moved from {old}, which the module has"
    for new in sorted(before.keys() & there):
        if moves.count((before[new], new)) != 1:
            yield f"{new}: expected one moved from {before[new]}"


# --- Does it bite? ----------------------------------------------------------------------------------------------

# What may say what it likes: sentences for people.
SENTENCES = {"description", "error_message"}


def mutate(template, parsed):
    """Changes that no check finds, and how many there were."""
    unnoticed, count = [], 0
    unchanged = [Unchanged(template, parsed, name) for name in SETS]
    for place, of_a_variable, undo in changes(parsed):
        count += 1
        check = of_resources(template, parsed)
        if of_a_variable:
            check = of_variables(template, parsed, re.search(r"variable\.(\w+)", place)[1])
        elif resource := re.search(r" resource\.(\w+\.\w+)\.", place):
            # What the change is of comes first. Where nothing is found there, all is compared.
            check = chain(*(one.with_change_of(resource[1]) for one in unchanged), check)
        try:
            found = next(check, None)
        except (Unresolved, TypeError, KeyError, ValueError, AttributeError):
            found = True  # Terraform would not take it either
        undo()
        if not found:
            unnoticed.append(place)
    return unnoticed, count


class Unchanged:
    """The module under one set of answers as it was before any change."""

    def __init__(self, template, parsed, name):
        self.name, self.resources = name, template.sides[name][0]
        self.module = module_of(template, parsed, SETS[name][0], template.stacks[name])
        self.resolved = dict(self.module.resources())

    def with_change_of(self, changed):
        """What differs where only this resource of the module is looked at anew: a part of what of_resources finds."""
        if changed not in self.module.declared:
            return
        resources = {key: value for key, value in self.resolved.items() if key.partition("[")[0] != changed}
        resources |= dict(self.module.resources(changed))
        there = dict(counterparts(self.module, resources.items()))
        for key in sorted(self.resources.keys() & there.keys()):
            yield from differences(key, self.resources[key], normal(there[key]))


def changes(body, where="", of_a_variable=False):
    """Makes one change after the other, and says each time what kind it is and how to take it back."""
    for name, tree in list(body.attributes.items()):
        place = f"{where}{name}"
        if where.startswith(("variable", "output")) and name in SENTENCES:
            continue
        del body.attributes[name]
        yield f"without {place}", of_a_variable, lambda: body.attributes.update({name: tree})
        for parent, position, changed in leaves(tree):
            old = parent.children[position]
            parent.children[position] = changed
            text = f"with {str(changed)[:60]!r} for {str(old)[:60]!r} in {place}"
            yield text, of_a_variable, lambda: parent.children.__setitem__(position, old)
    for position, (kind, labels, inner) in enumerate(list(body.blocks)):
        place = f"{where}{'.'.join([kind, *labels])}"
        if kind in ("terraform", "data"):
            continue
        block = body.blocks.pop(position)
        of_a_variable = place.startswith("variable")
        yield f"without {place}", of_a_variable, lambda: body.blocks.insert(position, block)
        yield from changes(inner, f"{place}.", of_a_variable)


def leaves(tree):
    """Each piece of text, number and truth value of an expression, with what it is changed to."""
    for node in list(tree.iter_subtrees()):
        for position, child in enumerate(node.children):
            if not isinstance(child, Token):
                continue
            if child.type == "STRING_CHARS":
                yield node, position, Token(child.type, f"{child}x")
            elif child.type == "INT_LITERAL":
                yield node, position, Token(child.type, str(int(child) + 1))
            elif child.type in ("TRUE", "FALSE"):
                yield node, position, Token(child.type, "false" if child == "true" else "true")


if __name__ == "__main__":
    main()

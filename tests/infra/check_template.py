"""Lints a SAM template, and lints it once more as what CloudFormation will make of it.

    check_template.py infra/template.yaml --variables LaunchFunction=AMI_ID,INSTANCE_TYPE,...

Of several templates each is checked by itself. These checks, each of which sees what the others cannot:

1. cfn-lint on the template as it is written.
2. cfn-lint on the translated template, plain CloudFormation as the SAM transform makes it. As long as there is SAM
   in a template, the linter misses an unknown runtime, a time-out of 1000 s, a misspelt IAM action, a reference to
   nothing, a parameter that is not used.
3. Each function runs its own verb, and its environment variables are exactly those named on the command line: a
   parameter that nobody reads and a variable that nobody sets are both mistakes.
4. Under each set of answers to the parameters (answers.py) nothing fails unseen: repeats, queues, logs, alarms on
   metrics that are written, a dashboard of such (operation.py).

5. The tags of the stack (`sam deploy --tags`) reach every type of resource but those that are known to take none
   (UNTAGGED).

The linter takes some seconds a template; --without-linter leaves checks 1 and 2 out.

Not seen by any of them: a misspelt condition key, service principal or kind of resource in a policy, and whether
the policy fits what the function does, which check_policies.py shows; a wrong schedule, which check_schedules.py
finds. `sam build` is the check of CodeUri and BuildMethod.

Prints one finding a line and ends with 1 if there is any, with 2 if the command line is wrong. Needs no network
and no AWS account.
"""

import json
import sys

import arguments
import operation
from answers import SETS, stacks
from sam import REGION, Unresolved, translate  # before cfnlint, for the Region that it sets

from cfnlint.api import lint, lint_file
from cfnlint.config import ManualArgs
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

# What CloudFormation cannot tag.
UNTAGGED = {
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Logs::QueryDefinition",
    "AWS::SNS::Subscription",
    "AWS::SQS::QueuePolicy",
}


def main():
    templates, expected, flags = arguments.parse(
        __doc__,
        "--variables",
        "FUNCTION=NAME,NAME,…",
        "the environment variables that this function reads",
        without_linter="only checks 3 to 5",
    )
    linter = "without_linter" not in flags
    found = False
    for template in templates:
        findings = check(template, expected, linter)
        for finding in findings:
            print(finding)
        if not findings:
            print(f"{template}: no findings" + (", neither as written nor as translated" if linter else ""))
        found = found or bool(findings)
    sys.exit(1 if found else 0)


def check(template, expected, linter):
    findings = as_written(template) if linter else []
    if not any(": E0000 " in finding for finding in findings):  # E0000: not a template at all
        translated, errors = translate(template)
        findings += [f"{template}: {error}" for error in errors]
        if translated is not None:
            findings += as_deployed(template, translated) if linter else []
            findings += variables(template, translated, expected)
            findings += [f"{template}: {fault}" for fault in [*unseen(translated), *untagged(translated)]]
    return findings


def as_written(path):
    return [
        f"{path}:{match.linenumber}: {match.rule.id} {match.message}"
        for match in lint_file(path, ManualArgs(regions=[REGION]))
    ]


def as_deployed(path, translated):
    """The translation has no lines that a reader could open, so a finding is named by its place in it."""
    return [
        f"{path}, translated, {place(match)}: {match.rule.id} {match.message}"
        for match in lint(json.dumps(translated), config=ManualArgs(regions=[REGION]))
    ]


def place(match):
    return "/".join(str(step) for step in getattr(match, "path", None) or ["template"])


def variables(path, translated, expected):
    """Functions that run another verb, and the differences between the variables that are set and those that are read."""
    functions = {
        name: set(resource["Properties"].get("Environment", {}).get("Variables", {}))
        for name, resource in translated["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    }
    findings = []
    for name in sorted(functions.keys() | expected.keys()):
        if name not in functions:
            findings.append(f"{path}: no function {name}, of which --variables speaks")
        elif name not in expected:
            findings.append(f"{path}: no --variables for the function {name}")
        else:
            verb, handler = name.removesuffix("Function").lower(), translated["Resources"][name]["Properties"]["Handler"]
            if handler != verb:
                findings.append(f"{path}: {name} would run {handler}, not {verb}")
            for variable in sorted(expected[name] - functions[name]):
                findings.append(f"{path}: {name} reads {variable}, which the template does not set")
            for variable in sorted(functions[name] - expected[name]):
                findings.append(f"{path}: the template sets {variable}, which {name} does not read")
    return findings


def untagged(translated):
    """CloudFormation puts the tags of a stack on what its schema calls taggable."""
    types = {resource["Type"] for resource in translated["Resources"].values()}
    for type in sorted(types):
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, type).schema
        taggable = schema.get("tagging", {}).get("taggable", schema.get("taggable", False))
        if taggable == (type in UNTAGGED):
            yield f"{type}: " + ("takes tags: take it out of UNTAGGED" if taggable else "the tags of the stack do not reach it")
    for type in sorted(UNTAGGED - types):
        yield f"{type}: is in UNTAGGED, and not in the template"


def unseen(translated):
    """Each fault once, with the answers under which it was found unless that is all of them."""
    found = {}
    try:
        for name, stack in stacks(translated).items():
            if not stack.refusals:  # check_policies.py reports those
                for fault in operation.faults(stack):
                    found.setdefault(fault, []).append(name)
        for fault in operation.of_parameters(translated):
            found[fault] = [*SETS]
    except Unresolved as error:
        return [f"cannot be resolved: {error}"]
    everywhere = len(SETS)
    return [
        fault if len(names) == everywhere else f"{fault} [with {', '.join(names)}]" for fault, names in found.items()
    ]


if __name__ == "__main__":
    main()

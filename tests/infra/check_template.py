"""Lints a SAM template, and lints it once more as what CloudFormation will make of it.

    check_template.py infra/template.yaml --variables LaunchFunction=AMI_ID,INSTANCE_TYPE,...

Three checks, each of which sees what the others cannot:

1. cfn-lint on the template as it is written.
2. cfn-lint on the translated template, plain CloudFormation as the SAM transform makes it. As long as there is SAM
   in a template, the linter misses an unknown runtime, a time-out of 1000 s, a misspelt IAM action, a reference to
   nothing, a parameter that is not used.
3. The environment variables of each function are exactly those named on the command line: a parameter that
   nobody reads and a variable that nobody sets are both mistakes.

Not seen by any of them: a misspelt condition key, service principal or kind of resource in a policy, and whether
the policy fits what the function does. `sam build` is the check of CodeUri and BuildMethod.

Prints one finding a line and ends with 1 if there is any, with 2 if the command line is wrong. Needs no network
and no AWS account.
"""

import argparse
import json
import os
import sys
from pathlib import Path

# A stack needs a Region to be judged in; it is also the one thing that the translator looks for outside the
# template. Set before the imports, and over whatever the machine is configured for, so that the result is the
# same everywhere.
REGION = "us-west-2"
os.environ["AWS_DEFAULT_REGION"] = REGION
os.environ["AWS_REGION"] = REGION

from cfnlint.api import lint, lint_file  # noqa: E402
from cfnlint.config import ManualArgs  # noqa: E402
from samtranslator.model.exceptions import InvalidDocumentException  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402


def main():
    arguments = parse_arguments()
    findings = as_written(arguments.template)
    if not any(": E0000 " in finding for finding in findings):  # E0000: not a template at all
        translated, errors = translate(arguments.template)
        findings += errors
        if translated is not None:
            findings += as_deployed(arguments.template, translated)
            findings += variables(arguments.template, translated, dict(arguments.variables))

    for finding in findings:
        print(finding)
    if findings:
        sys.exit(1)
    print(f"{arguments.template}: no findings, neither as written nor as translated")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("template", type=Path)
    parser.add_argument(
        "--variables",
        action="append",
        default=[],
        type=function_and_names,
        metavar="FUNCTION=NAME,NAME,…",
        help="the environment variables that this function reads; once for each function of the template",
    )
    return parser.parse_args()


def function_and_names(text):
    function, equals, names = text.partition("=")
    if not (function and equals and names):
        raise argparse.ArgumentTypeError(f"expected FUNCTION=NAME,NAME,…, not {text!r}")
    return function, {name.strip() for name in names.split(",") if name.strip()}


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
    """The differences between the variables that the template sets and those that the functions read."""
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
            for variable in sorted(expected[name] - functions[name]):
                findings.append(f"{path}: {name} reads {variable}, which the template does not set")
            for variable in sorted(functions[name] - expected[name]):
                findings.append(f"{path}: the template sets {variable}, which {name} does not read")
    return findings


def translate(path):
    """The template as CloudFormation's own SAM transform would rewrite it, or what SAM has against it."""
    template = yaml_parse(path.read_text(encoding="utf-8"))
    if not isinstance(template, dict):
        return None, [f"{path}: not a template: expected a mapping with Resources"]
    for resource in template.get("Resources", {}).values():
        if resource.get("Type") == "AWS::Serverless::Function":
            # `sam package` puts the uploaded zip here; SAM refuses a folder.
            resource["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    try:
        return transform(template, {}, NoManagedPolicies()), []
    except InvalidDocumentException as error:
        return None, [f"{path}: SAM: {cause.message}" for cause in error.causes]


class NoManagedPolicies:
    """In place of a call to IAM, for a list of AWS's managed policies by name. We name none."""

    def load(self):
        return {}


if __name__ == "__main__":
    main()

"""Runs checkov, which knows what auditors ask of a stack, over SAM templates and Terraform modules.

    check_checkov.py infra/template.yaml infra/terraform

What it finds is mended, or stands in ARGUED with the reason why it is right here. An entry that nothing needs any more, in
a template or a module, is a finding too. Prints one finding a line and ends with 1 if there is any. Needs no network and no
AWS account. It runs in an environment of its own: checkov/requirements.txt.
"""

import logging
import sys
from pathlib import Path

logging.disable(logging.CRITICAL)

from checkov.cloudformation.runner import Runner as CloudFormation  # noqa: E402
from checkov.runner_filter import RunnerFilter  # noqa: E402
from checkov.terraform.runner import Runner as Terraform  # noqa: E402

BOTH, TERRAFORM = {"cloudformation", "terraform"}, {"terraform"}

# Check → where it finds something (it has more checks of Terraform than of CloudFormation), on which resources, and why
# that is right. The module has one resource for all functions, `this`; checkov does not look into its for_each.
FUNCTIONS = {"launch", "schedule", "end", "reconcile", "status", "operate"}
NO_KEY_FOR_ALARMS = "an alarm names a function and no meeting, and CloudWatch cannot write to a topic with AWS's own key"
ARGUED = [
    # Concurrency that is reserved for a function.
    (
        "CKV_AWS_115",
        BOTH,
        FUNCTIONS,
        "a reservation is taken from the other functions of the account, and an account with the least quota can make none; "
        "of reconcile, what comes from other people's machines has a limit of its own (StateChanges)",
    ),
    # A dead-letter queue.
    (
        "CKV_AWS_116",
        BOTH,
        FUNCTIONS,
        "a destination for failures is the newer one, with the error in its message; where nobody has to look after a failed "
        "event there is neither, and operation.py knows which those are",
    ),
    # A VPC.
    ("CKV_AWS_117", BOTH, FUNCTIONS, "they call AWS alone; in a VPC they would pay for a way out of it, and win nothing"),
    # Code signing.
    ("CKV_AWS_272", TERRAFORM, FUNCTIONS, "Lambda's code signing needs a signing profile of the account that deploys"),
    # Logs of a year.
    ("CKV_AWS_338", TERRAFORM, FUNCTIONS, "log_retention_days says how long, and whoever pays for it decides"),
    # A key for the topic of the alarms.
    ("CKV_AWS_26", {"cloudformation"}, {"alarmtopic"}, NO_KEY_FOR_ALARMS),
    ("CKV_AWS_26", TERRAFORM, {"alarms"}, NO_KEY_FOR_ALARMS),
    # Machines that may call anything.
    ("CKV_AWS_382", TERRAFORM, {"machines"}, "people work on them; EC2's default, which the template has too"),
    # A security group of nothing.
    ("CKV2_AWS_5", TERRAFORM, {"machines"}, "RunInstances gives it to the machines"),
]


def main():
    found = False
    for path in map(Path, sys.argv[1:]):
        findings, count = check(path)
        for finding in findings:
            print(f"{path}: {finding}")
        if not findings:
            print(f"{path}: {count} checks of checkov passed, {len(ARGUED)} argued")
        found = found or bool(findings)
    sys.exit(1 if found or not sys.argv[1:] else 0)


def check(path):
    framework = "terraform" if path.is_dir() else "cloudformation"
    only = RunnerFilter(framework=[framework])
    if path.is_dir():
        report = Terraform().run(root_folder=str(path.resolve()), runner_filter=only)
    else:
        report = CloudFormation().run(root_folder=None, files=[str(path.resolve())], runner_filter=only)
    findings = [f"cannot be read: {file}" for file in report.parsing_errors]
    findings += [] if report.passed_checks else ["checkov has looked at nothing"]
    needed = set()
    for failed in report.failed_checks:
        name = named(failed.resource)
        if (failed.check_id, name) in argued_in(framework):
            needed.add((failed.check_id, name))
        else:
            findings.append(f"{failed.resource}: {failed.check_id}: {failed.check_name}")
    for argued, name in sorted({*argued_in(framework)} - needed):
        findings.append(f"{name}: {argued} finds nothing any more: take it out of ARGUED")
    return findings, len(report.passed_checks)


def argued_in(framework):
    """The check and the name of the resource of each finding that is argued."""
    argued = [(check, names) for check, where, names, _ in ARGUED if framework in where]
    of_all = {"this"} if framework == "terraform" else FUNCTIONS
    return [(check, name) for check, names in argued for name in (of_all if names is FUNCTIONS else names)]


def named(resource):
    """`launch` of AWS::Serverless::Function.LaunchFunction, `this` of aws_lambda_function.this."""
    return resource.rpartition(".")[2].removesuffix("Function").lower()


if __name__ == "__main__":
    main()

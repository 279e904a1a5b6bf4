"""Finds schedule expressions that EventBridge would refuse, which the linter of templates does not.

    check_schedules.py infra/template.yaml docs/operate.md
    check_schedules.py --expression 'rate(5 minutes)' --expression 'at(2026-01-05T09:50:00)'

In a SAM template: every ScheduleExpression of the translation, under every set of answers to the parameters
(answers.py), those of the functions' events with the rest. In Markdown: every --schedule-expression of its shell
examples; what a variable in it holds is found out by running, in bash, the example that sets it.

The forms are those of https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html. Prints one finding a
line and ends with 1 if there is any, with 2 if the command line is wrong or there is nothing to check.
"""

import argparse
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

from answers import stacks
from aws_cron_expression_validator.validator import AWSCronExpressionError, AWSCronExpressionValidator
from sam import Unresolved, translate

UNITS = ("minute", "hour", "day")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--expression", action="append", default=[], metavar="EXPRESSION")
    arguments = parser.parse_args()
    if not arguments.files and not arguments.expression:
        parser.error("nothing to check")

    findings = [f"{expression}: {fault}" for expression in arguments.expression for fault in faults(expression)]
    counts = {}
    for file in arguments.files:
        in_file = in_markdown if file.suffix == ".md" else in_template
        try:
            found = list(dict.fromkeys(in_file(file)))
        except (Unresolved, ValueError) as error:
            findings.append(f"{file}: {error}")
            continue
        counts[file] = len(found)
        for where, expression, kinds in found:
            findings += [f"{file}: {where}: {expression}: {fault}" for fault in faults(expression, kinds)]
    for finding in findings:
        print(finding)
    if findings:
        sys.exit(1)
    for file, count in counts.items():
        print(f"{file}: {count} schedule expression{'' if count == 1 else 's'}, no findings")


# --- Expressions -----------------------------------------------------------------------------------------------


def faults(expression, kinds=("at", "rate", "cron")):
    """What is wrong with an expression."""
    match = re.fullmatch(r"([a-z]+)\((.*)\)", expression) if isinstance(expression, str) else None
    if match is None or match[1] not in kinds:
        return [f"expected {' or '.join(f'{kind}(…)' for kind in kinds)}"]
    return {"at": faults_of_at, "rate": faults_of_rate, "cron": faults_of_cron}[match[1]](match[2])


def faults_of_at(text):
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}", text):
        return ["expected at(yyyy-mm-ddThh:mm:ss), without a zone and without fractions"]
    try:
        datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return ["there is no such time"]
    return []


def faults_of_rate(text):
    match = re.fullmatch(rf"([1-9][0-9]*) ({'|'.join(UNITS)})(s?)", text)
    if not match:
        return ["expected rate(value unit): a positive whole number and minutes, hours or days"]
    # Scheduler takes either, EventBridge's rules do not.
    if (match[1] == "1") == bool(match[3]):
        return [f"expected {match[1]} {match[2]}{'' if match[1] == '1' else 's'}"]
    return []


def faults_of_cron(text):
    try:
        AWSCronExpressionValidator.validate(text)
    except AWSCronExpressionError as error:
        return [str(error)]
    return []


# --- Where they stand ------------------------------------------------------------------------------------------


def in_template(path):
    translated, errors = translate(path)
    if translated is None:
        raise ValueError("; ".join(errors))
    for stack in stacks(translated).values():
        for name in stack.resources():
            resource = translated["Resources"][name]
            # A rule of EventBridge knows no one-time schedules.
            kinds = ("rate", "cron") if resource["Type"] == "AWS::Events::Rule" else ("at", "rate", "cron")
            expression = stack.property(name, "ScheduleExpression")
            if expression is not None:
                yield name, expression, kinds


def in_markdown(path):
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        for quoted, bare in re.findall(r"--schedule-expression[ =](?:[\"']([^\"']*)[\"']|(\S+))", block):
            expression = quoted or bare
            yield "shell example", value(expression, blocks), ("at", "rate", "cron")


def value(expression, blocks):
    """The expression as the shell would hand it on, after the examples that set its variables."""
    variables = re.findall(r"\$\{?(\w+)", expression)
    if not variables:
        return expression
    sets = [block for block in blocks if any(re.search(rf"^{name}=", block, re.MULTILINE) for name in variables)]
    if not sets:
        raise ValueError(f"no shell example sets the variables of {expression}")
    # No example may reach AWS from here.
    script = "\n".join(["set -euo pipefail", "aws() { return 1; }", *sets, f'printf %s "{expression}"'])
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    if done.returncode != 0:
        raise ValueError(f"the shell examples that set {expression} fail: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()

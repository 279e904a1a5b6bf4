"""Prints what a stack has, as JSON: each resource's type and properties, by its name.

    resources.py infra/template.yaml Alarms=all AlarmTopicArn=arn:…

What is not answered has its default, or the answer that answers.py gives where there is none. Needs no network and no
AWS account.
"""

import json
import sys
from pathlib import Path

from answers import LEAST
from sam import Stack, translate


def main():
    template, *answers = sys.argv[1:]
    translated, errors = translate(Path(template))
    stack = None if errors else Stack(translated, LEAST | dict(answer.split("=", 1) for answer in answers))
    refusals = errors or stack.refusals
    if refusals:
        sys.exit("\n".join(refusals))
    types = {name: translated["Resources"][name]["Type"] for name in stack.resources()}
    print(json.dumps({name: {"Type": type, "Properties": stack.properties(name)} for name, type in types.items()}))


if __name__ == "__main__":
    main()

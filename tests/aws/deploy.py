"""Deploy a SAM template, as `sam build && sam deploy` would: zip the code, translate, create the stack, wait for it.

The template is deployed as it stands: MiniStack takes all of it. What `sam package` does is done here as well: XX
"""

import json
import sys
import time
from pathlib import Path

from clients import REGION

sys.path.append(str(Path(__file__).parent.parent / "infra"))

import sam  # noqa: E402

BUCKET = "code"
TEMPLATE = "template.json"
LIMIT = 120


class Failed(Exception):
    """A sentence for whoever deploys."""


def deploy(clients, template, stack, parameters):
    """Returns {"resources": {name: type}, "outputs": {name: value}}; the resources are those that the template asks for
    under these parameters, not those that were found.
    """
    path = Path(template)
    translated, problems = sam.translate(path)
    if problems:
        raise Failed("\n".join(problems))
    expected = sam.Stack(translated, parameters, name=stack)
    if expected.refusals:
        raise Failed("\n".join(expected.refusals))
    # MiniStack knows neither Join nor Split in a condition: it is told what they come to.
    for name in translated["Conditions"]:
        holds = str(bool(expected.resolve({"Condition": name})))
        translated["Conditions"][name] = {"Fn::Equals": [holds, "True"]}
    upload(clients.of("s3"), translated, sam.code_uri(path))
    # CloudFormation takes 51,200 bytes with the request, and more from S3, where `sam deploy` puts it too.
    clients.of("s3").put_object(Bucket=BUCKET, Key=TEMPLATE, Body=json.dumps(translated).encode())
    clients.of("cloudformation").create_stack(
        StackName=stack,
        TemplateURL=f"{clients.endpoint}/{BUCKET}/{TEMPLATE}",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    created = wait_for(clients.of("cloudformation"), stack)
    types = {name: translated["Resources"][name]["Type"] for name in expected.resources()}
    outputs = {output["OutputKey"]: output["OutputValue"] for output in created.get("Outputs", [])}
    return {"resources": types, "outputs": outputs}


def upload(s3, translated, code):
    """What `sam deploy` does with a zip that the template names."""
    if not code.is_file():
        raise Failed(f"the template names the zip {code}, and there is none")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=BUCKET, Key=code.name, Body=code.read_bytes())
    for resource in translated["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Code"] = {"S3Bucket": BUCKET, "S3Key": code.name}


def wait_for(cloudformation, stack):
    deadline = time.monotonic() + LIMIT
    while True:
        [found] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        if found["StackStatus"] == "CREATE_COMPLETE":
            return found
        if not found["StackStatus"].endswith("IN_PROGRESS") or time.monotonic() > deadline:
            raise Failed(f"the stack is {found['StackStatus']}\n{what_failed(cloudformation, stack)}")
        time.sleep(0.05)


def what_failed(cloudformation, stack):
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return "\n".join(
        f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', '')}"
        for event in events
        if event["ResourceStatus"].endswith("FAILED")
    )

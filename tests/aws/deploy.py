"""Deploy a SAM template, as `sam build && sam deploy` would: zip the code, translate, create the stack, wait for it.

The template is deployed as it stands: MiniStack takes all of it. What `sam package` does is done here as well: each
function's code is put into a bucket, and named there.
"""

import io
import json
import sys
import time
import zipfile
from pathlib import Path

from clients import REGION

sys.path.append(str(Path(__file__).parent.parent / "infra"))

import sam  # noqa: E402

BUCKET = "code"
TEMPLATE = "template.json"
LIMIT = 120


class Failed(Exception):
    """A sentence for whoever deploys."""


def deploy(clients, template, stack, parameters, code):
    """`code` has the path of each binary by its name in the template (Metadata.BuildProperties.Binary).

    Returns {"resources": {name: type}, "outputs": {name: value}}; the resources are those that the template asks for
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
    upload(clients.of("s3"), translated, code)
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
    """As `sam build` and `sam package` do. Stored and not compressed: nothing is sent further than this process."""
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, resource in translated["Resources"].items():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        binary = resource["Metadata"]["BuildProperties"]["Binary"]
        if binary not in code:
            raise Failed(f"the template's {name} runs the binary {binary!r}, and there is none")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            zipped.writestr(entry, Path(code[binary]).read_bytes())
        s3.put_object(Bucket=BUCKET, Key=f"{name}.zip", Body=archive.getvalue())
        resource["Properties"]["Code"] = {"S3Bucket": BUCKET, "S3Key": f"{name}.zip"}


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

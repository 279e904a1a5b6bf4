"""Self-check of the local AWS: each thing that local_aws.py adds to moto, seen from outside with boto3.

    python check_local_aws.py

It starts the server itself. Nothing here sleeps for an effect: it polls until a deadline.
"""

import contextlib
import html
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

import schema

REGION = "us-west-2"
AMAZON_LINUX = "ami-0a1b2c3d4e5f60001"
UBUNTU = "ami-0a1b2c3d4e5f60002"
TABLE = "elephant-meetings"
DEADLINE = 10
# Long enough that a call which should not wait for it is certain to be back before.
LONG = 30

NO_CAPACITY = "InsufficientInstanceCapacity"


class Server:
    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("local_aws.py")), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.first_line = self.process.stdout.readline()
        self.endpoint = json.loads(self.first_line)["endpoint"]
        self.address = urlsplit(self.endpoint).netloc

    def close_stdin(self):
        self.process.stdin.close()

    def wait_for_end(self):
        """Exit code, and what was printed after the first line."""
        code = self.process.wait(DEADLINE)
        rest = self.process.stdout.read()
        self.process.stdout.close()
        return code, rest

    def stop(self):
        self.close_stdin()
        self.wait_for_end()

    def client(self, service, region=REGION):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=2 * LONG),
        )

    def control(self, method, name, content=None):
        """Status and decoded answer of a request to /_local/."""
        connection = http.client.HTTPConnection(self.address, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request(method, f"/_local/{name}", None if content is None else json.dumps(content))
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())


class LocalAwsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)
        cls.ec2 = cls.server.client("ec2")
        cls.dynamodb = cls.server.client("dynamodb")

    def setUp(self):
        self.control("POST", "reset")
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.subnets = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in subnets}
        self.control("DELETE", "calls")
        self.background = ThreadPoolExecutor()
        self.addCleanup(self.background.shutdown)
        # The first cleanup to run: no thread is left waiting for the end of a fault.
        self.addCleanup(self.control, "POST", "reset")

    def control(self, method, name, content=None):
        status, answer = self.server.control(method, name, content)
        self.assertEqual(status, 200, answer)
        return answer

    def script(self, *faults):
        self.control("POST", "faults", list(faults))

    def calls(self, action="RunInstances"):
        return [call for call in self.control("GET", "calls") if call["action"] == action]

    def wait_until(self, condition):
        deadline = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it did not come to pass in time")
            time.sleep(0.01)

    def wait_for_status(self, status):
        self.wait_until(lambda: [call["status"] for call in self.calls()] == [status])

    def launch_parameters(self, token="token", zone="us-west-2a", role="teacher", **more):
        return {
            "ImageId": AMAZON_LINUX,
            "InstanceType": "t3.micro",
            "SubnetId": self.subnets[zone],
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": token,
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Role", "Value": role}]}],
            **more,
        }

    def launch(self, *args, **more):
        [instance] = self.ec2.run_instances(**self.launch_parameters(*args, **more))["Instances"]
        return instance

    def instances(self, *filters):
        reservations = self.ec2.describe_instances(Filters=list(filters))["Reservations"]
        return [
            instance["InstanceId"] for reservation in reservations for instance in reservation["Instances"]
        ]

    def terminate(self, instance):
        self.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])

    @contextlib.contextmanager
    def refused(self, code, status=400):
        with self.assertRaises(ClientError) as caught:
            yield caught
        response = caught.exception.response
        self.assertEqual(response["Error"]["Code"], code)
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], status)

    def create_table(self):
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def claim(self, meeting_id, owner):
        """Whether this owner is the one whose conditional write went through."""
        try:
            self.dynamodb.update_item(
                TableName=TABLE,
                Key={"id": {"S": meeting_id}},
                UpdateExpression="SET launch_owner = :owner",
                ConditionExpression="attribute_not_exists(launch_owner)",
                ExpressionAttributeValues={":owner": {"S": owner}},
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def send_raw(self, form, region=REGION):
        """A RunInstances in the query protocol, sent and not waited for. Returns its connection."""
        connection = http.client.HTTPConnection(self.server.address, timeout=DEADLINE)
        self.addCleanup(connection.close)
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential=local/20260101/{region}/ec2/aws4_request",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", "/", urlencode(form), headers)
        return connection

    def launch_form(self):
        return {
            "Action": "RunInstances",
            "Version": "2016-11-15",
            "ImageId": AMAZON_LINUX,
            "InstanceType": "t3.micro",
            "SubnetId": self.subnets["us-west-2a"],
            "MinCount": "1",
            "MaxCount": "1",
            "ClientToken": "token",
        }


class ClientTokenCase(LocalAwsCase):
    def test_same_request_gives_the_same_instance_in_its_true_state(self):
        first = self.launch()
        self.assertEqual(first["State"]["Name"], "pending")
        self.ec2.stop_instances(InstanceIds=[first["InstanceId"]])
        self.ec2.create_tags(Resources=[first["InstanceId"]], Tags=[{"Key": "Seen", "Value": "yes"}])
        again = self.launch()
        self.assertEqual(again["InstanceId"], first["InstanceId"])
        self.assertEqual(again["State"]["Name"], "stopped")
        self.assertIn({"Key": "Seen", "Value": "yes"}, again["Tags"])
        self.assertEqual(self.instances(), [first["InstanceId"]])
        self.assertEqual(self.launch("other")["State"]["Name"], "pending")

    def test_another_zone_is_another_instance(self):
        here, there = self.launch(zone="us-west-2a"), self.launch(zone="us-west-2b")
        self.assertNotEqual(here["InstanceId"], there["InstanceId"])
        self.assertEqual(self.launch(zone="us-west-2b")["InstanceId"], there["InstanceId"])
        self.assertEqual(self.launch(zone="us-west-2a")["InstanceId"], here["InstanceId"])
        self.assertEqual(len(self.instances()), 2)

    def test_another_token_or_region_is_another_instance(self):
        self.launch("one")
        self.launch("ONE")
        self.assertEqual(len(self.instances()), 2)
        elsewhere = self.server.client("ec2", "eu-west-1")
        subnet = elsewhere.describe_subnets()["Subnets"][0]["SubnetId"]
        elsewhere.run_instances(**self.launch_parameters("one", SubnetId=subnet))
        self.assertEqual(len(elsewhere.describe_instances()["Reservations"]), 1)
        self.assertEqual(len(self.instances()), 2)

    def test_any_other_parameter_is_a_mismatch(self):
        self.launch()
        for other in (
            {"ImageId": UBUNTU},
            {"InstanceType": "t3.small"},
            {"UserData": "echo"},
            {"role": "student"},
            {"MaxCount": 2},
            {"SubnetId": self.second_subnet()},
        ):
            with self.subTest(other), self.refused("IdempotentParameterMismatch"):
                self.launch(**other)
        self.assertEqual(len(self.instances()), 1)

    def second_subnet(self):
        """Another subnet of the zone us-west-2a."""
        vpc_id = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnet = self.ec2.create_subnet(
            VpcId=vpc_id, AvailabilityZone="us-west-2a", CidrBlock="172.31.128.0/20"
        )
        return subnet["Subnet"]["SubnetId"]

    def test_network_interface_names_the_zone_too(self):
        def launch(zone):
            parameters = self.launch_parameters()
            interface = {"DeviceIndex": 0, "SubnetId": self.subnets[zone], "AssociatePublicIpAddress": True}
            del parameters["SubnetId"]
            launched = self.ec2.run_instances(**parameters, NetworkInterfaces=[interface])
            return launched["Instances"][0]["InstanceId"]

        self.assertEqual(launch("us-west-2a"), launch("us-west-2a"))
        self.assertNotEqual(launch("us-west-2a"), launch("us-west-2b"))
        self.assertEqual({call["zone"] for call in self.calls()}, {"us-west-2a", "us-west-2b"})

    def test_order_on_the_wire_does_not_matter(self):
        form = self.launch_form()
        turned = dict(reversed(form.items()))
        for body in form, turned:
            self.assertEqual(self.send_raw(body).getresponse().status, 200)
        self.assertEqual(len(self.instances()), 1)

    def test_refusal_for_want_of_capacity_binds_the_parameters(self):
        for code in NO_CAPACITY, "Unsupported", "VcpuLimitExceeded":
            token = f"token-{code}"
            status = 500 if code == NO_CAPACITY else 400
            self.script({"action": "RunInstances", "token": token, "code": code, "times": 1})
            with self.subTest(code):
                with self.refused(code, status):
                    self.launch(token)
                with self.refused("IdempotentParameterMismatch"):
                    self.launch(token, ImageId=UBUNTU)
                self.launch(token)
        self.assertEqual(len(self.instances()), 3)

    def test_capacity_does_not_matter_to_a_token_that_has_its_instance(self):
        first = self.launch()
        self.script({"action": "RunInstances", "code": NO_CAPACITY})
        self.assertEqual(self.launch()["InstanceId"], first["InstanceId"])
        with self.refused("IdempotentParameterMismatch"):
            self.launch(ImageId=UBUNTU)
        with self.refused(NO_CAPACITY, 500):
            self.launch("other")

    def test_throttled_and_invalid_requests_bind_nothing(self):
        self.script({"action": "RunInstances", "code": "RequestLimitExceeded", "times": 1})
        with self.refused("RequestLimitExceeded", 503):
            self.launch(ImageId=UBUNTU)
        with self.refused("InvalidAMIID.NotFound"):
            self.launch(ImageId="ami-0fffffffffffffff0")
        self.launch()

    def test_terminated_instance_is_an_error(self):
        self.terminate(self.launch())
        with self.refused("IdempotentInstanceTerminated"):
            self.launch()

    def test_terminated_instance_is_returned_dead(self):
        self.assertEqual(self.control("GET", "settings")["terminated_token"], "error")
        self.control("POST", "settings", {"terminated_token": "instance"})
        first = self.launch()
        self.terminate(first)
        again = self.launch()
        self.assertEqual(again["InstanceId"], first["InstanceId"])
        self.assertEqual(again["State"]["Name"], "terminated")

    def test_dry_run_binds_nothing(self):
        with self.refused("DryRunOperation", 412):
            self.launch(ImageId=UBUNTU, DryRun=True)
        self.launch()

    def test_client_token_filter(self):
        self.launch("one")
        two = self.launch("two")
        self.assertEqual(self.instances({"Name": "client-token", "Values": ["two"]}), [two["InstanceId"]])
        self.assertEqual(self.instances({"Name": "client-token", "Values": ["three"]}), [])


class ValidationCase(LocalAwsCase):
    def test_images(self):
        images = self.ec2.describe_images(ImageIds=[AMAZON_LINUX, UBUNTU])["Images"]
        seen = {
            image["ImageId"]: (
                image["State"],
                image["RootDeviceName"],
                image["BlockDeviceMappings"][0]["DeviceName"],
            )
            for image in images
        }
        self.assertEqual(seen[AMAZON_LINUX], ("available", "/dev/xvda", "/dev/xvda"))
        self.assertEqual(seen[UBUNTU], ("available", "/dev/sda1", "/dev/sda1"))

    def test_a_key_of_an_index_has_a_value_of_its_type_or_none(self):
        key = {"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "status", "KeyType": "HASH"}
        self.dynamodb.create_table(
            TableName="indexed",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "status")],
            KeySchema=key[:1],
            GlobalSecondaryIndexes=[
                {"IndexName": "by-status", "KeySchema": key[1:], "Projection": {"ProjectionType": "KEYS_ONLY"}}
            ],
        )
        item = {"id": {"S": "m"}, "status": {"S": "SCHEDULED"}}
        self.dynamodb.put_item(TableName="indexed", Item=item)
        set_it = {"TableName": "indexed", "UpdateExpression": "SET #s = :v", "ExpressionAttributeNames": {"#s": "status"}}
        for value in {"S": ""}, {"NULL": True}, {"N": "1"}:
            for meeting in "m", "new":
                put, update = {"id": {"S": meeting}, "status": value}, {":v": value}
                with self.assertRaises(ClientError) as refused:
                    self.dynamodb.put_item(TableName="indexed", Item=put)
                self.assertEqual(refused.exception.response["Error"]["Code"], "ValidationException", value)
                # This one Amazon's own DynamoDB Local takes, which it refuses in PutItem.
                if os.environ.get("DYNAMODB_LOCAL") and "N" in value:
                    continue
                with self.assertRaises(ClientError) as refused:
                    self.dynamodb.update_item(Key={"id": {"S": meeting}}, ExpressionAttributeValues=update, **set_it)
                self.assertEqual(refused.exception.response["Error"]["Code"], "ValidationException", value)
        self.assertEqual(self.dynamodb.scan(TableName="indexed")["Items"], [item])
        # Neither a condition nor an item without the attribute is touched by it.
        update = {":v": {"S": ""}}
        self.dynamodb.update_item(
            TableName="indexed",
            Key={"id": {"S": "m"}},
            ConditionExpression="#s <> :v",
            UpdateExpression="REMOVE #s",
            ExpressionAttributeNames={"#s": "status"},
            ExpressionAttributeValues=update,
        )
        self.assertEqual(self.dynamodb.scan(TableName="indexed")["Items"], [{"id": {"S": "m"}}])

    def test_a_launch_templates_disks_stand_beside_the_requests(self):
        disk = lambda name, size: {"DeviceName": name, "Ebs": {"VolumeSize": size}}  # noqa: E731
        template = {"BlockDeviceMappings": [disk("/dev/sdf", 1), disk("/dev/sdg", 1)]}
        self.ec2.create_launch_template(LaunchTemplateName="t", LaunchTemplateData=template)
        asked = {"LaunchTemplate": {"LaunchTemplateName": "t"}, "BlockDeviceMappings": [disk("/dev/sdg", 2)]}
        [machine] = self.ec2.run_instances(**self.launch_parameters(**asked))["Instances"]
        filters = [{"Name": "attachment.instance-id", "Values": [machine["InstanceId"]]}]
        volumes = self.ec2.describe_volumes(Filters=filters)["Volumes"]
        sizes = {volume["Attachments"][0]["Device"]: volume["Size"] for volume in volumes}
        self.assertEqual((sizes["/dev/sdf"], sizes["/dev/sdg"]), (1, 2))

    def test_launches_that_moto_would_let_through_or_answer_with_html(self):
        vpc_id = self.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        group = self.ec2.create_security_group(GroupName="far", Description="far", VpcId=vpc_id)["GroupId"]
        for code, parameters in (
            ("InvalidParameterValue", {"MinCount": 0}),
            ("InvalidParameterValue", {"MinCount": 2}),
            ("InvalidInstanceType.NotFound", {"InstanceType": "t99.huge"}),
            ("InvalidKeyPair.NotFound", {"KeyName": "nobody"}),
            ("InvalidSubnetID.NotFound", {"SubnetId": "subnet-0fffffffffffffff0"}),
            ("InvalidGroup.NotFound", {"SecurityGroupIds": ["sg-0fffffffffffffff0"]}),
            ("InvalidParameter", {"SecurityGroupIds": [group]}),
            ("InvalidParameterValue", {"IamInstanceProfile": {"Name": "nobody"}}),
            ("TagLimitExceeded", {"TagSpecifications": many_tags()}),
            ("UnsupportedOperation", {"PrivateIpAddress": "192.0.2.1"}),
        ):
            with self.subTest(parameters), self.refused(code):
                self.launch(**parameters)
        self.assertEqual(self.instances(), [])
        # None of these bound the token.
        self.launch()

    def test_missing_image(self):
        form = self.launch_form()
        del form["ImageId"]
        reply = self.send_raw(form).getresponse()
        self.assertEqual(reply.status, 400)
        self.assertIn(b"<Code>MissingParameter</Code>", reply.read())

    def test_max_count_is_what_is_launched(self):
        self.ec2.run_instances(**self.launch_parameters(MaxCount=3))
        self.assertEqual(len(self.instances()), 3)

    def test_unknown_instances(self):
        unknown = "i-0fffffffffffffff0"
        for call in (
            lambda: self.ec2.describe_instances(InstanceIds=[unknown]),
            lambda: self.ec2.terminate_instances(InstanceIds=[unknown]),
            lambda: self.ec2.create_tags(Resources=[unknown], Tags=[{"Key": "a", "Value": "b"}]),
        ):
            with self.refused("InvalidInstanceID.NotFound"):
                call()

    def test_tags(self):
        instance_id = self.launch()["InstanceId"]
        self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "MeetingID", "Value": "m"}])
        self.ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": "Role"}])
        self.assertEqual(self.instances({"Name": "tag:MeetingID", "Values": ["m"]}), [instance_id])
        self.assertEqual(self.instances({"Name": "tag:Role", "Values": ["teacher"]}), [])

    def test_dynamodb_request_beyond_moto_is_a_validation_error(self):
        self.create_table()
        with self.refused("ValidationException"):
            self.dynamodb.update_item(
                TableName=TABLE,
                Key={"id": {"S": "m"}},
                UpdateExpression="SET a = :a",
                ConditionExpression="no condition",
                ExpressionAttributeValues={":a": {"S": "a"}},
            )


def many_tags():
    return [{"ResourceType": "instance", "Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(51)]}]


# A launch of EC2 with one thing wrong, and what has to be said of it.
WRONG_LAUNCHES = [
    ({"Imageid": AMAZON_LINUX}, "Imageid is no member that the model knows (it knows ImageId)"),
    ({"Colour": "red"}, "Colour is no member that the model knows: red"),
    ({"MinCount": None}, "MinCount is missing"),
    ({"MinCount": "one"}, "MinCount is no integer: one"),
    ({"EbsOptimized": "yes"}, "EbsOptimized is neither true nor false: yes"),
    ({"MetadataOptions.HttpTokens": "always"}, "MetadataOptions.HttpTokens is none of the enumeration: always"),
    ({"TagSpecification.1.ResourceType": "machine"}, "ResourceType is none of the enumeration: machine"),
    ({"ClientToken": "x" * 65}, "ClientToken has more than 64 characters of ASCII"),
    ({"ClientToken": "tokén"}, "ClientToken has more than 64 characters of ASCII"),
    ({"Version": "2014-10-01"}, "Version is not 2016-11-15: 2014-10-01"),
    ({"Version": None}, "Version is not 2016-11-15"),
    ({"Action": "StartMachines"}, "there is no such operation: StartMachines"),
    ({"SecurityGroupId.2": "sg-1"}, "SecurityGroupId is not numbered from 1 without a gap"),
    ({"SecurityGroupId": "sg-1"}, "SecurityGroupId is a value, and should be a list"),
    ({"UserData": "echo hello"}, "UserData is not base64"),
    ({"TagSpecification.1.Tag.1.Key": "aws:cloud", "TagSpecification.1.ResourceType": "instance"}, "aws:cloud"),
    ({"TagSpecification.1.Tag.1.Key": "x" * 129, "TagSpecification.1.ResourceType": "instance"}, "1 to 128"),
    ({"NetworkInterface.1.DeviceIndex": "0"}, "NetworkInterface is not taken beside SubnetId"),
    ({"Filter.1.Name": "vpc-id"}, "Filter is no member that the model knows"),
]

# The same of requests in JSON: service, X-Amz-Target, body, and what has to be said.
DYNAMODB, SSM = "DynamoDB_20120810.", "AmazonSSM."
WRONG_JSON = [
    ("dynamodb", DYNAMODB + "GetItem", {"TableName": "t"}, "Key is missing"),
    ("dynamodb", DYNAMODB + "GetItems", {"TableName": "t"}, "there is no such operation: GetItems"),
    ("dynamodb", "DynamoDB_20111205.GetItem", {"TableName": "t", "Key": {}}, "does not begin with DynamoDB_20120810"),
    ("dynamodb", DYNAMODB + "GetItem", {"TableName": "t", "Key": {"id": {"s": "m"}}}, "Key{id}.s is no member"),
    ("dynamodb", DYNAMODB + "GetItem", {"TableName": "t", "Key": {"id": {"S": 1}}}, "Key{id}.S is no string: 1"),
    ("dynamodb", DYNAMODB + "GetItem", {"TableName": "t", "Key": {"id": {"S": None}}}, "Key{id}.S is null"),
    (
        "dynamodb",
        DYNAMODB + "UpdateItem",
        {"TableName": "t", "Key": {"id": {"S": "m"}}, "ReturnValues": "ALL"},
        "ReturnValues is none of the enumeration: ALL",
    ),
    (
        "dynamodb",
        DYNAMODB + "Query",
        {"TableName": "t", "Limit": 0, "IndexName": "a b"},
        "Limit is not from 1 to None: 0",
    ),
    (
        "dynamodb",
        DYNAMODB + "BatchGetItem",
        {"RequestItems": {"t": {"Keys": [{"id": {"S": str(n)}} for n in range(101)]}}},
        "RequestItems{t}.Keys has a length of 101, not from 1 to 100",
    ),
    *(
        ("dynamodb", DYNAMODB + "PutItem", {"TableName": "t", "Item": {"id": {"S": "m"}, "a": value}}, finding)
        for value, finding in (
            ({"N": "1" * 39}, "Item.a.N has more than 38 digits"),
            ({"N": "1e126"}, "Item.a.N is too large or too small: 1e126"),
            ({"N": "one"}, "Item.a.N is no number: one"),
            ({"L": [{"M": {"": {"S": "v"}}}]}, "Item.a.L.M has a key of not 1 to 65535 bytes"),
            ({"M": {"k" * 65536: {"S": "v"}}}, "Item.a.M has a key of not 1 to 65535 bytes"),
        )
    ),
    ("ssm", SSM + "PutParameter", {"Name": "/a", "Value": "v", "Type": "Text"}, "Type is none of the enumeration"),
    ("ssm", SSM + "PutParameter", {"Name": "/a", "Value": "v", "Overwrite": "no"}, "Overwrite is text"),
    ("ssm", SSM + "PutParameter", {"Name": "", "Value": "v"}, "Name has a length of 0"),
    ("ssm", SSM + "SendCommand", {"DocumentName": "a b"}, "DocumentName does not match"),
]

SCHEDULE = {
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "ScheduleExpression": "at(2030-01-01T00:00:00)",
    "Target": {"Arn": "arn:aws:lambda:us-west-2:1:function:f", "RoleArn": "arn:aws:iam::123456789012:role/r"},
}
# Method, path, body, and what has to be said.
WRONG_SCHEDULES = [
    ("POST", "/schedules/n", {"FlexibleTimeWindow": {"Mode": "OFF"}}, "ScheduleExpression is missing"),
    ("POST", "/schedules/a%20b", SCHEDULE, "Name does not match"),
    ("POST", "/schedules/" + "n" * 65, SCHEDULE, "Name has a length of 65"),
    ("POST", "/schedules/n", SCHEDULE | {"State": "ON"}, "State is none of the enumeration: ON"),
    ("POST", "/schedules/n", SCHEDULE | {"groupName": "g"}, "groupName is no member that the model knows (it knows GroupName)"),
    ("POST", "/schedules/n", SCHEDULE | {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 0}}, "is not from 1 to 1440"),
    ("GET", "/schedules/n?group=g", None, "?group is no member that the model knows"),
    ("PATCH", "/schedules/n", SCHEDULE, "there is no such operation"),
]


class SchemaCase(LocalAwsCase):
    """What Amazon's own schema does not take is refused, and remembered."""

    def send(self, service, method, target, headers, body):
        connection = http.client.HTTPConnection(self.server.address, timeout=DEADLINE)
        self.addCleanup(connection.close)
        scope = f"AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/{service}/aws4_request"
        connection.request(method, target, body, {"Authorization": scope, **headers})
        return connection.getresponse()

    def check(self, reply, finding):
        self.assertEqual(reply.status, 400)
        said = html.unescape(reply.read().decode())
        self.assertIn("LocalSchemaViolation", said + str(reply.headers))
        self.assertIn(finding, said)
        self.assertIn(finding, " ".join(one["text"] for one in self.control("GET", "violations")))

    def test_launches(self):
        for wrong, finding in WRONG_LAUNCHES:
            form = {name: value for name, value in (self.launch_form() | wrong).items() if value is not None}
            with self.subTest(wrong):
                self.check(self.send_raw(form).getresponse(), finding)
        self.assertEqual(self.instances(), [])

    def test_lists(self):
        for name, finding in (
            ("no-such-filter", "DescribeInstances documents no filter of this name: no-such-filter"),
            ("Tag:Role", "DescribeInstances documents no filter of this name: Tag:Role"),
        ):
            with self.assertRaisesRegex(ClientError, finding):
                self.ec2.describe_instances(Filters=[{"Name": name, "Values": ["x"]}])
        with self.assertRaisesRegex(ClientError, "DescribeInstanceTypeOfferings documents no filter .*: tag:a"):
            self.ec2.describe_instance_type_offerings(Filters=[{"Name": "tag:a", "Values": ["x"]}])
        with self.assertRaisesRegex(ClientError, "more than 200 values"):
            self.ec2.describe_instances(Filters=[{"Name": "tag:a", "Values": [str(n) for n in range(201)]}])
        with self.assertRaisesRegex(ClientError, "MaxResults is not taken beside InstanceId"):
            self.ec2.describe_instances(InstanceIds=["i-0fffffffffffffff0"], MaxResults=5)

    def test_json(self):
        for service, target, body, finding in WRONG_JSON:
            kind = {"dynamodb": "application/x-amz-json-1.0", "ssm": "application/x-amz-json-1.1"}[service]
            headers = {"X-Amz-Target": target, "Content-Type": kind}
            with self.subTest(body):
                self.check(self.send(service, "POST", "/", headers, json.dumps(body)), finding)
        for body, finding in (('{"TableName": ', "its body is no JSON"), ('{"Key": {}, "Key": {}}', "a member twice")):
            headers = {"X-Amz-Target": DYNAMODB + "GetItem", "Content-Type": "application/x-amz-json-1.0"}
            self.check(self.send("dynamodb", "POST", "/", headers, body), finding)

    def test_schedules(self):
        for method, target, body, finding in WRONG_SCHEDULES:
            headers = {"Content-Type": "application/json"} if body else {}
            with self.subTest(target):
                self.check(self.send("scheduler", method, target, headers, body and json.dumps(body)), finding)

    def test_answers(self):
        """Planted ones, for ours have nothing wrong."""
        asked = ("POST", "/", {"authorization": f"Credential=local/20260101/{REGION}/ec2/aws4_request"})
        body = b"Action=DescribeInstances&Version=2016-11-15"
        for answer, finding in (
            (b"<a><reservations/></a>", "DescribeInstances, answer: reservations is no member"),
            (b"<a><reservationSet><member/></reservationSet></a>", "reservationSet has a member that is no <item>"),
            (
                b"<a><reservationSet><item><instancesSet><item><instanceState><name>up</name></instanceState></item>"
                b"</instancesSet></item></reservationSet></a>",
                "instanceState.name is none of the enumeration: up",
            ),
            (b"<html>", "is no XML"),
        ):
            schema.journal.violations.clear()
            schema.judge_answer(*asked, body, 200, answer)
            with self.subTest(finding):
                self.assertIn(finding, " ".join(map(str, schema.journal.violations)))
        schema.journal.violations.clear()
        headers = {"authorization": f"Credential=local/20260101/{REGION}/ssm/aws4_request", "x-amz-target": SSM + "GetParameter"}
        schema.judge_answer("POST", "/", headers, b"{}", 200, b"<html>")
        self.assertIn("GetParameter, answer: (whole) its body is no JSON", " ".join(map(str, schema.journal.violations)))
        schema.journal.violations.clear()
        schema.judge_answer(*asked, body, 500, b"<html>")
        schema.judge_answer(*asked, body, 200, b"<a><requestId>r</requestId><reservationSet/></a>")
        self.assertEqual(list(schema.journal.violations), [])


class ConcurrencyCase(LocalAwsCase):
    def race(self, contend):
        """What two threads that start together get."""
        start = threading.Barrier(2)

        def run(name):
            start.wait()
            return contend(name)

        return list(self.background.map(run, ("one", "two")))

    def test_conditional_write_has_one_winner(self):
        self.create_table()
        for n in range(40):
            results = self.race(lambda name, n=n: self.claim(f"meeting-{n}", name))
            self.assertEqual(sorted(results), [False, True], f"round {n}")

    def test_one_token_launches_one_instance(self):
        for n in range(5):
            first, second = self.race(lambda _, n=n: self.launch(f"token-{n}")["InstanceId"])
            self.assertEqual(first, second)
        self.assertEqual(len(self.instances()), 5)


class FaultCase(LocalAwsCase):
    def test_matchers(self):
        call = {
            "action": "RunInstances",
            "zone": "us-west-2a",
            "type": "t3.micro",
            "token": "token",
            "role": "teacher",
        }
        for name in call:
            self.script(
                {**call, name: "DescribeVpcs" if name == "action" else "other", "code": "Unavailable"}
            )
        self.launch()
        self.script({**call, "code": "Unavailable"})
        with self.refused("Unavailable", 503):
            self.launch()

    def test_writes(self):
        self.create_table()
        self.script({"writes": "launch_owner", "code": "InternalServerError"})
        for written, expression, names in (
            ("a,b,status", "SET #s = if_not_exists(a, :v), a=:v REMOVE b", {"#s": "status"}),
            ("a,launch_owner", "SET #o = :v, #a.#b = :v", {"#o": "launch_owner", "#a": "a", "#b": "b"}),
            ("launch_owner", "SET #o = :v", {"#o": "launch_owner"}),
        ):
            self.control("DELETE", "calls")
            with contextlib.suppress(ClientError):
                self.dynamodb.update_item(
                    TableName=TABLE,
                    Key={"id": {"S": "m"}},
                    UpdateExpression=expression,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues={":v": {"S": "v"}},
                )
            [call] = self.calls("UpdateItem")
            self.assertEqual(call["writes"], written)
            self.assertEqual(call["code"] == "InternalServerError", written == "launch_owner")

    def test_skip_and_times(self):
        self.script({"action": "DescribeVpcs", "skip": 1, "times": 2, "code": "InternalError"})
        self.ec2.describe_vpcs()
        for _ in range(2):
            with self.refused("InternalError", 500):
                self.ec2.describe_vpcs()
        self.ec2.describe_vpcs()
        left = {"action": "DescribeVpcs", "times": 0, "code": "InternalError"}
        self.assertEqual(self.control("GET", "faults"), [left])
        self.assertEqual(self.control("DELETE", "faults"), [])

    def test_status_of_codes(self):
        for code, status in (
            (NO_CAPACITY, 500),
            ("InternalError", 500),
            ("RequestLimitExceeded", 503),
            ("Unavailable", 503),
            ("ServiceUnavailable", 503),
            ("UnauthorizedOperation", 403),
            ("InvalidAMIID.NotFound", 400),
        ):
            self.script({"action": "RunInstances", "code": code, "times": 1})
            with self.subTest(code), self.refused(code, status):
                self.launch(code)
        self.script({"action": "RunInstances", "code": "Odd", "status": 418, "message": "tea & <cake>"})
        with self.refused("Odd", 418) as caught:
            self.launch()
        self.assertEqual(caught.exception.response["Error"]["Message"], "tea & <cake>")

    def test_wire_format_of_errors(self):
        self.script({"code": "InternalError", "action": "RunInstances"}, {"code": "InternalServerError"})
        reply = self.send_raw(self.launch_form()).getresponse()
        self.assertTrue(reply.headers["Content-Type"].startswith("text/xml"))
        self.assertRegex(
            reply.read().decode(),
            "<Response><Errors><Error><Code>InternalError</Code><Message>.+</Message></Error></Errors>"
            "<RequestID>[0-9a-f-]{36}</RequestID></Response>$",
        )
        with self.refused("InternalServerError", 500) as caught:
            self.dynamodb.list_tables()
        response = caught.exception.response["ResponseMetadata"]
        self.assertEqual(response["HTTPHeaders"]["content-type"], "application/x-amz-json-1.0")
        self.assertEqual(len(response["RequestId"]), 36)

    def test_dynamodb_throttle(self):
        self.create_table()
        self.script({"action": "UpdateItem", "code": "ProvisionedThroughputExceededException", "times": 1})
        with self.refused("ProvisionedThroughputExceededException", 400):
            self.claim("m", "one")
        self.assertTrue(self.claim("m", "two"))

    def test_error_after_the_work(self):
        self.script({"action": "RunInstances", "code": "InternalError", "after": True, "times": 1})
        with self.refused("InternalError", 500):
            self.launch()
        self.assertEqual(self.instances(), [self.launch()["InstanceId"]])

    def test_body(self):
        for after, launched in (False, 0), (True, 1):
            self.script({"action": "RunInstances", "body": "<html>", "after": after, "times": 1})
            reply = self.send_raw(self.launch_form()).getresponse()
            self.assertEqual((reply.status, reply.read()), (200, b"<html>"))
            self.assertEqual(len(self.instances()), launched)
        self.script({"action": "RunInstances", "body": "", "status": 502})
        self.assertEqual(self.send_raw(self.launch_form()).getresponse().status, 502)

    def test_delay(self):
        self.script({"action": "RunInstances", "delay": 0.3})
        started = time.monotonic()
        self.launch()
        self.assertGreaterEqual(time.monotonic() - started, 0.3)

    def test_delay_holds_up_no_other_call(self):
        self.script({"action": "RunInstances", "delay": LONG})
        self.background.submit(self.launch)
        self.wait_for_status(None)
        self.assertEqual(self.instances(), [])

    def test_drop(self):
        for stage, launched in ("before", 0), ("after", 1):
            self.script({"action": "RunInstances", "drop": stage, "times": 1})
            with self.subTest(stage), self.assertRaises(ConnectionClosedError):
                self.launch()
            self.assertEqual(len(self.instances()), launched)

    def test_drop_sends_not_a_byte(self):
        self.script({"drop": "after"})
        with self.assertRaises(http.client.RemoteDisconnected):
            self.send_raw(self.launch_form()).getresponse()

    def test_late(self):
        self.script({"action": "RunInstances", "late": 0.3})
        started = time.monotonic()
        with self.assertRaises(ConnectionClosedError):
            self.launch()
        self.assertEqual(self.calls()[0]["status"], "late")
        self.wait_until(self.instances)
        self.assertGreaterEqual(time.monotonic() - started, 0.3)
        self.wait_for_status("done late")

    def test_hold_before(self):
        self.script({"action": "RunInstances", "hold": "before"})
        held = self.background.submit(self.launch)
        self.wait_for_status("held before")
        self.assertEqual(self.instances(), [])
        self.assertEqual(self.control("POST", "release"), {"released": 1})
        instance_id = held.result(DEADLINE)["InstanceId"]
        self.assertEqual(self.instances(), [instance_id])
        self.assertEqual(self.calls()[0]["status"], 200)

    def test_hold_after(self):
        self.script({"action": "RunInstances", "hold": "after"})
        held = self.background.submit(self.launch)
        self.wait_for_status("held after")
        [instance_id] = self.instances()
        self.control("DELETE", "faults")
        self.assertEqual(held.result(DEADLINE)["InstanceId"], instance_id)

    def test_hold_discarded(self):
        for stage, launched in ("before", 0), ("after", 1):
            self.control("DELETE", "calls")
            self.script({"action": "RunInstances", "hold": stage, "times": 1})
            held = self.background.submit(self.launch)
            self.wait_for_status(f"held {stage}")
            self.control("POST", "release", {"discard": True})
            with self.subTest(stage), self.assertRaises(ConnectionClosedError):
                held.result(DEADLINE)
            self.assertEqual(self.calls()[0]["status"], f"dropped {stage}")
            self.assertEqual(len(self.instances()), launched)

    def test_held_call_meets_the_next_fault(self):
        refusal = {"action": "RunInstances", "code": NO_CAPACITY, "times": 1}
        for stage in "before", "after":
            self.control("DELETE", "calls")
            self.script({"action": "RunInstances", "hold": stage, "times": 1}, refusal)
            held = self.background.submit(self.launch)
            self.wait_for_status(f"held {stage}")
            left = [fault["times"] for fault in self.control("GET", "faults") if "code" in fault]
            self.assertEqual(left[-1], 0 if stage == "after" else 1)
            self.control("POST", "release")
            with self.subTest(stage), self.refused(NO_CAPACITY, 500):
                held.result(DEADLINE)
            self.assertEqual(self.calls()[0]["status"], 500)
        self.assertEqual(self.instances(), [])

    def test_client_that_leaves_while_held(self):
        for discard, launched in (True, 0), (False, 1):
            self.control("DELETE", "calls")
            self.script({"action": "RunInstances", "hold": "before", "times": 1})
            client = self.send_raw(self.launch_form())
            self.wait_for_status("held before")
            client.close()
            self.control("POST", "release", {"discard": discard})
            self.wait_for_status("dropped before" if discard else 200)
            self.assertEqual(len(self.instances()), launched)


class HabitCase(LocalAwsCase):
    """What EC2 forgets, and what it judges before it looks (habits.py)."""

    def settings(self, **settings):
        self.control("POST", "settings", settings)

    def launch_ours(self, token="token", zone="us-west-2a"):
        tags = [{"Key": "Role", "Value": "teacher"}, {"Key": "Project", "Value": "Elephant"}]
        return self.launch(token, zone, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])

    def described(self, instance):
        """The machine as a list by its id shows it, or None."""
        by_id = [{"Name": "instance-id", "Values": [instance["InstanceId"]]}]
        found = self.ec2.describe_instances(Filters=by_id)["Reservations"]
        return found[0]["Instances"][0] if found else None

    def test_terminated_machine_is_forgotten_on_command(self):
        machine = self.launch_ours()
        by_tag = {"Name": "tag:Project", "Values": ["Elephant"]}
        forget = {"instance": machine["InstanceId"], "what": "tags"}
        self.assertEqual(self.server.control("POST", "forget", forget)[0], 400, "it lives")
        self.terminate(machine)
        self.assertEqual(self.instances(by_tag), [machine["InstanceId"]])
        self.control("POST", "forget", forget)
        self.assertEqual(self.instances(by_tag), [])
        self.assertEqual(self.described(machine).get("Tags", []), [])
        self.assertEqual(self.described(machine)["State"]["Name"], "terminated")
        self.control("POST", "forget", {**forget, "what": "entry"})
        self.assertIsNone(self.described(machine))
        with self.refused("InvalidInstanceID.NotFound"):
            self.ec2.describe_instances(InstanceIds=[machine["InstanceId"]])
        # Its token is used up all the same.
        with self.refused("IdempotentInstanceTerminated"):
            self.launch_ours()

    def test_terminated_machine_is_forgotten_after_a_time(self):
        self.settings(forgets_tags_after=300, forgets_entry_after=3600)
        dead, alive = self.launch_ours(), self.launch_ours("other")
        self.terminate(dead)
        self.assertEqual(len(self.described(dead)["Tags"]), 2)
        self.control("POST", "age", {"seconds": 301})
        self.assertNotIn("Tags", {k: v for k, v in self.described(dead).items() if v})
        self.control("POST", "age", {"seconds": 3300})
        self.assertIsNone(self.described(dead))
        self.assertEqual(len(self.described(alive)["Tags"]), 2)

    def test_who_ended_a_machine_is_its_reason(self):
        machine, other = self.launch_ours(), self.launch_ours("other")
        self.terminate(machine)
        reason = self.described(machine)["StateReason"]["Code"]
        self.assertEqual(reason, "Client.UserInitiatedShutdown")
        died = {"instance": other["InstanceId"], "state": "terminated", "reason": "Server.SpotInstanceTermination"}
        self.control("POST", "state", died)
        self.assertEqual(self.described(other)["State"], {"Code": 48, "Name": "terminated"})
        self.assertEqual(self.described(other)["StateReason"]["Code"], "Server.SpotInstanceTermination")

    def test_machine_that_hangs_or_is_stopped_by_somebody(self):
        machine = self.launch_ours()
        for state in "shutting-down", "stopped", "running":
            self.control("POST", "state", {"instance": machine["InstanceId"], "state": state})
            self.assertEqual(self.described(machine)["State"]["Name"], state)
        self.ec2.stop_instances(InstanceIds=[machine["InstanceId"]])
        self.assertEqual(self.described(machine)["StateReason"]["Code"], "Client.UserInitiatedShutdown")

    def test_authorisation_by_tag_comes_before_existence(self):
        self.settings(judged_by_project="Elephant")
        ours, foreign = self.launch_ours(), self.launch("foreign")
        absent = {"InstanceId": "i-0fffffffffffffff0"}
        tag = [{"Key": "elephant:orphan-since", "Value": "now"}]
        actions = [
            lambda id: self.ec2.create_tags(Resources=[id], Tags=tag),
            lambda id: self.ec2.delete_tags(Resources=[id], Tags=[{"Key": "Role"}]),
            lambda id: self.ec2.stop_instances(InstanceIds=[id]),
            lambda id: self.ec2.start_instances(InstanceIds=[id]),
            lambda id: self.ec2.reboot_instances(InstanceIds=[id]),
            lambda id: self.ec2.get_console_output(InstanceId=id),
            lambda id: self.ec2.terminate_instances(InstanceIds=[id]),
        ]
        for action in actions:
            for other in foreign, absent:
                with self.refused("UnauthorizedOperation", 403):
                    action(other["InstanceId"])
            action(ours["InstanceId"])
        self.assertEqual(self.described(foreign)["State"]["Name"], "running")
        # Tags that are gone are as good as none.
        self.control("POST", "forget", {"instance": ours["InstanceId"], "what": "tags"})
        with self.refused("UnauthorizedOperation", 403):
            self.terminate(ours)

    def test_volumes_and_interfaces_are_judged_alike(self):
        tags = [{"Key": "Project", "Value": "Elephant"}]
        volume = self.ec2.create_volume(
            AvailabilityZone="us-west-2a", Size=1, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}]
        )["VolumeId"]
        interface = self.ec2.create_network_interface(
            SubnetId=self.subnets["us-west-2a"],
            TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}],
        )["NetworkInterface"]["NetworkInterfaceId"]
        self.settings(judged_by_project="Elephant")
        self.ec2.delete_volume(VolumeId=volume)
        self.ec2.delete_network_interface(NetworkInterfaceId=interface)
        with self.refused("UnauthorizedOperation", 403):
            self.ec2.delete_volume(VolumeId=volume)
        with self.refused("UnauthorizedOperation", 403):
            self.ec2.delete_network_interface(NetworkInterfaceId=interface)

    def test_what_was_just_tagged_is_not_seen_as_ours_for_a_while(self):
        self.settings(judged_by_project="Elephant", tags_unseen_for=60)
        ours = self.launch_ours()
        with self.refused("UnauthorizedOperation", 403):
            self.terminate(ours)
        self.control("POST", "age", {"seconds": 61})
        self.terminate(ours)

    def test_disruption_of_a_zone(self):
        here, there = self.launch_ours(), self.launch_ours("other", "us-west-2b")
        for code, status in ("InternalError", 500), ("Unavailable", 503):
            self.settings(disrupted_zone="us-west-2a", outage_code=code)
            for describe in self.ec2.describe_instances, self.ec2.describe_instance_status:
                with self.refused(code, status):
                    describe()
                with self.refused(code, status):
                    describe(Filters=[{"Name": "availability-zone", "Values": ["us-west-2b"]}])
                with self.refused(code, status):
                    describe(InstanceIds=[here["InstanceId"]])
                with self.refused(code, status):
                    describe(InstanceIds=[here["InstanceId"], there["InstanceId"]])
                describe(InstanceIds=[there["InstanceId"]])
            with self.refused(code, status):
                self.described(there)
        self.ec2.describe_subnets()

    def test_protection_by_hand(self):
        machine = self.launch_ours()["InstanceId"]
        for attribute in "DisableApiTermination", "DisableApiStop":
            self.ec2.modify_instance_attribute(InstanceId=machine, **{attribute: {"Value": True}})
            with self.refused("OperationNotPermitted"):
                self.ec2.terminate_instances(InstanceIds=[machine])
            if attribute == "DisableApiStop":
                with self.refused("OperationNotPermitted"):
                    self.ec2.stop_instances(InstanceIds=[machine])
            self.ec2.modify_instance_attribute(InstanceId=machine, **{attribute: {"Value": False}})
        self.ec2.terminate_instances(InstanceIds=[machine])

    def test_machine_that_dies_at_once(self):
        for reason in "Client.InternalError", "Server.InternalError", "Client.VolumeLimitExceeded":
            self.script({"action": "RunInstances", "role": "teacher", "dies": reason, "times": 1, "message": "why"})
            machine = self.launch(reason)
            self.assertEqual(machine["State"]["Name"], "pending")
            self.assertEqual(self.described(machine)["State"]["Name"], "terminated")
            expected = {"Code": reason, "Message": f"{reason}: why"}
            self.assertEqual(self.described(machine)["StateReason"], expected)
            with self.refused("IdempotentInstanceTerminated"):
                self.launch(reason)
        self.script({"action": "RunInstances", "dies": "Server.InternalError", "after": True, "times": 1})
        dead = self.launch("shown")
        self.assertEqual(dead["State"]["Name"], "terminated")
        self.assertEqual(dead["StateReason"], self.described(dead)["StateReason"])
        self.assertEqual(self.described(self.launch("well"))["State"]["Name"], "running")


class ControlCase(LocalAwsCase):
    def test_call_log(self):
        self.create_table()
        self.script({"action": "RunInstances", "zone": "us-west-2b", "code": NO_CAPACITY})
        self.launch()
        with self.refused(NO_CAPACITY, 500):
            self.launch("t2", "us-west-2b", "student")
        with self.refused("InvalidInstanceType.NotFound"):
            self.launch("t3", "us-west-2c", InstanceType="t99.huge")
        self.claim("m", "one")
        self.claim("m", "two")
        calls = self.control("GET", "calls")
        self.assertEqual([call["n"] - calls[0]["n"] for call in calls], list(range(6)))
        moments = [call["at"] for call in calls]
        self.assertEqual(moments, sorted(moments))
        logged = [[value for name, value in call.items() if name not in ("n", "at")] for call in calls]
        nothing = [None] * 7
        a, b, c = (self.subnets[f"us-west-2{letter}"] for letter in "abc")
        self.assertEqual(
            logged,
            [
                ["CreateTable", *nothing, 200, None],
                ["RunInstances", "us-west-2a", "t3.micro", None, "token", "teacher", a, None, 200, None],
                ["RunInstances", "us-west-2b", "t3.micro", None, "t2", "student", b, None, 500, NO_CAPACITY],
                [
                    "RunInstances",
                    "us-west-2c",
                    "t99.huge",
                    None,
                    "t3",
                    "teacher",
                    c,
                    None,
                    400,
                    "InvalidInstanceType.NotFound",
                ],
                ["UpdateItem", *nothing[1:], "launch_owner", 200, None],
                ["UpdateItem", *nothing[1:], "launch_owner", 400, "ConditionalCheckFailedException"],
            ],
        )
        self.assertEqual(self.control("DELETE", "calls"), [])
        self.assertEqual(self.control("GET", "calls"), [])

    def test_typos_are_refused(self):
        for name, content in (
            ("faults", {"code": "InternalError"}),
            ("faults", [{"code": "InternalError", "zon": "us-west-2a"}]),
            ("faults", [{"code": "InternalError", "action": "RunInstance"}]),
            ("faults", [{"code": "InternalError", "times": "1"}]),
            ("faults", [{"code": "InternalError", "times": True}]),
            ("faults", [{"code": "InternalError", "times": None}]),
            ("faults", [{"code": "InternalError", "skip": -1}]),
            ("faults", [{"code": "InternalError", "status": 200}]),
            ("faults", [{"body": "", "status": 199}]),
            ("faults", [{"body": "", "message": "no"}]),
            ("faults", [{"body": "", "drop": "after"}]),
            ("faults", [{"drop": "after", "after": True}]),
            ("faults", [{"code": "InternalError", "drop": "after"}]),
            ("faults", [{"drop": "afterwards"}]),
            ("faults", [{"hold": "after", "after": True}]),
            ("faults", [{"action": "RunInstances"}]),
            ("faults", [{"drop": "after"}, {"drop": "never"}]),
            ("faults", None),
            ("settings", {"terminated_tokens": "error"}),
            ("settings", {"terminated_token": "errors"}),
            ("settings", {"outage_code": "Outage"}),
            ("faults", [{"action": "StopInstances", "dies": "Client.InternalError"}]),
            ("state", {"instance": "i-0fffffffffffffff0", "state": "terminated"}),
            ("state", {"instance": "i-0fffffffffffffff0", "state": "dead"}),
            ("forget", {"instance": "i-0fffffffffffffff0", "what": "tags"}),
            ("forget", {"instance": "i-0fffffffffffffff0", "what": "name"}),
            ("release", {"discrad": True}),
        ):
            with self.subTest(name=name, content=content):
                status, answer = self.server.control("POST", name, content)
                self.assertEqual(status, 400)
                self.assertRegex(answer["error"], r"^[A-Z\d'].*\.$")
        self.assertEqual(self.control("GET", "faults"), [])
        self.assertEqual(self.server.control("POST", "fault", [])[0], 404)

    def test_reset(self):
        settings = self.control("GET", "settings")
        self.control("POST", "settings", {"terminated_token": "instance", "judged_by_project": "Elephant"})
        self.launch()
        self.create_table()
        self.control("DELETE", "calls")
        # Each in one of the waits a reset has to end.
        self.script(
            {"token": "held", "hold": "before"},
            {"token": "delayed", "delay": LONG},
            {"token": "late", "late": LONG},
        )
        waiting = [self.background.submit(self.launch, token) for token in ("held", "delayed", "late")]
        self.wait_until(lambda: {call["status"] for call in self.calls()} == {"held before", "late", None})
        self.control("POST", "reset")
        for call in waiting:
            with self.assertRaises(ConnectionClosedError):
                call.result(DEADLINE)
        self.assertEqual(self.control("GET", "calls"), [])
        self.assertEqual(self.control("GET", "faults"), [])
        self.assertEqual(self.control("GET", "settings"), settings)
        self.assertEqual(self.instances(), [])
        self.assertEqual(self.dynamodb.list_tables()["TableNames"], [])
        self.subnets = {"us-west-2a": self.ec2.describe_subnets()["Subnets"][0]["SubnetId"]}
        self.launch(ImageId=UBUNTU)

    def test_connection_is_kept_alive(self):
        connection = http.client.HTTPConnection(self.server.address, timeout=DEADLINE)
        self.addCleanup(connection.close)
        connection.connect()
        first_socket = connection.sock
        for _ in range(3):
            connection.request("GET", "/_local/calls")
            connection.getresponse().read()
            self.assertIs(connection.sock, first_socket)


class ProcessCase(unittest.TestCase):
    def test_one_line_and_end_of_stdin(self):
        server = Server()
        self.assertRegex(server.first_line, r'^\{"endpoint": "http://127\.0\.0\.1:\d+"\}$')
        server.client("dynamodb").list_tables()
        server.close_stdin()
        self.assertEqual(server.wait_for_end(), (0, ""))

    def test_end_by_signal_with_a_call_held(self):
        for number in signal.SIGTERM, signal.SIGINT:
            server = Server()
            self.addCleanup(server.close_stdin)
            server.control("POST", "faults", [{"hold": "before"}])
            with contextlib.closing(http.client.HTTPConnection(server.address)) as connection:
                connection.request("POST", "/", "Action=DescribeVpcs")
                server.process.send_signal(number)
                self.assertEqual(server.wait_for_end(), (0, ""))

    def test_port_may_be_chosen(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = Server("--port", str(port))
        self.addCleanup(server.stop)
        self.assertEqual(server.endpoint, f"http://127.0.0.1:{port}")


if __name__ == "__main__":
    # A proxy of this machine has no way to the server.
    os.environ["NO_PROXY"] = "127.0.0.1"
    unittest.main()

"""What each role of the template is for: every question that AWS puts to its policies, and near misses.

`calls` are to be allowed, all of them; `misses` denied, each of them: it is one question of a call that somebody could
make with the role's credentials, next to one that the role is for. Both are built from what the template hands the
function, its environment above all, so they change with the answers to the parameters.

A function that is added to the template gets a class like `Launch` and a row in ROLES.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from judge import Question

MEETING = "8d0f3c1e-demo"
INSTANCE = "instance/i-0123456789abcdef0"
SOME_VPC = "vpc-0a1b2c3d"
SOME_SUBNET = "subnet-0fedcba9876543210"
SOME_IMAGE = "ami-0123456789abcdef0"
SOME_SNAPSHOT = "snap-0a1b2c3d4e5f60718"
SOME_VOLUME = "vol-0a1b2c3d4e5f60718"
SOME_KEY = "key/12345678-90ab-cdef-1234-567890abcdef"
REMEMBERED_VPC = "/elephant/vpc/classroom/1"
SOME_PRIVATE_KEY = "/ec2/keypair/key-0a1b2c3d4e5f60718"
ZONE_ID = "usw2-az1"
SCHEDULE_NAME_LIMIT = 64

# How machines are bought, by MARKET. Which it is, Settings may say, and no policy can read them: as of all that they say,
# of key pair, launch template, zones, disk and clean-up too.
MARKETS = ["on-demand", "spot"]
# Public parameters of Systems Manager that short names stand for, one of each publisher.
OF_SHORT_NAMES = [
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
    "/aws/service/ami-windows-latest/Windows_Server-2022-English-Full-Base",
    "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    "/aws/service/debian/release/12/latest/arm64",
]
# The documents of Systems Manager that run a script, and what says how it went.
SCRIPTS = ["AWS-RunShellScript", "AWS-RunPowerShellScript"]
READS_OF_COMMANDS = ["GetCommandInvocation", "ListCommands"]
# What Lambda does with a queue whose messages it hands to a function.
TAKES_FROM_A_QUEUE = ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"]
# What EC2 asks of KMS for a disk, besides a grant.
OF_A_DISK = ["Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"]


@dataclass
class Role:
    """The tables of one role of the template."""

    # What the function's source asks for, and what a service does with the role on its own account.
    calls: Callable
    by_service: Callable
    misses: Callable
    # Who may assume the role, and who may not.
    trust: Callable
    mistrust: Callable
    # The function that runs with it, if one does.
    function: str = ""
    # The names of AWS's own policies that it has.
    of_aws: tuple = ()


def with_key(stack, what, action, via, key=None):
    """KMS, asked for the stack's own key by a service for us, or by ourselves."""
    context = {"dynamodb": "aws:dynamodb:tableName", "sqs": "aws:sqs:arn"}.get(via, "aws:s3:arn")
    keys = {"kms:CallerAccount": stack.place["account"], "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    keys |= {f"kms:EncryptionContext:{context}": "meetings", "kms:EncryptionContextKeys": context}
    keys |= {"kms:ViaService": f"{via}.{stack.place['region']}.{stack.place['suffix']}"} if via else {}
    return Question(what, f"kms:{action}", "key", key or stack.parameters["KmsKeyArn"] or stack.arn("kms", SOME_KEY), keys)


def key_calls(stack, table, sends, takes):
    """What DynamoDB and SQS ask of KMS on behalf of the role, if the stack has a key of its own."""
    if not stack.parameters["KmsKeyArn"]:
        return
    if table:
        yield with_key(stack, "open the encrypted table", "Decrypt", "dynamodb")
    if sends or takes:
        yield with_key(stack, "open an encrypted queue", "Decrypt", "sqs")
    if sends:
        yield with_key(stack, "encrypt what is sent to a queue", "GenerateDataKey", "sqs")


def key_misses(stack, table, sends, takes):
    """No other key, through no other service, and nothing else of it."""
    another = stack.arn("kms", SOME_KEY)
    for action in ["Decrypt", "GenerateDataKey"]:
        for via in ["dynamodb", "sqs"]:
            yield with_key(stack, "use another key than the stack's", action, via, another)
        yield with_key(stack, "use the stack's key without a service", action, None)
        yield with_key(stack, "use the stack's key through S3", action, "s3")
    if not table:
        yield with_key(stack, "open the encrypted table", "Decrypt", "dynamodb")
    if not (sends or takes):
        yield with_key(stack, "open an encrypted queue", "Decrypt", "sqs")
    if not sends:
        yield with_key(stack, "encrypt what is sent to a queue", "GenerateDataKey", "sqs")
    yield with_key(stack, "encrypt something with the stack's key", "Encrypt", "dynamodb")
    for action in ["PutKeyPolicy", "ScheduleKeyDeletion"]:
        key = stack.parameters["KmsKeyArn"] or another
        yield Question("change the stack's key", f"kms:{action}", "key", key)


def pieces(text):
    return [piece.strip() for piece in text.split(",") if piece.strip()]


def with_another_step(path):
    """a/b/c → a/other/c: the path once for each of its inner steps."""
    steps = path.split("/")
    return ["/".join([*steps[:i], "other", *steps[i + 1 :]]) for i in range(1, len(steps) - 1)]


class Function:
    """A function of the template, and what Lambda does with its role on its own account."""

    def __init__(self, stack, name):
        self.stack, self.name, self.arn = stack, name, stack.arn
        self.region = stack.place["region"]
        self.env = stack.properties(name)["Environment"]["Variables"]

    def iam(self, resource):
        return self.arn("iam", resource, region="")

    def by_lambda(self):
        yield self.log("open a log stream", "CreateLogStream")
        yield self.log("write to the log", "PutLogEvents")
        for queue in self.queues():
            yield Question("keep an event that failed", "sqs:SendMessage", "queue", queue)
        if (self.stack.property(self.name, "TracingConfig") or {}).get("Mode") == "Active":
            yield Question("send traces", "xray:PutTraceSegments", "", "*")
            yield Question("send the daemon's state", "xray:PutTelemetryRecords", "", "*")

        for queue in self.sources():
            for action in TAKES_FROM_A_QUEUE:
                yield Question("take what came into the queue", f"sqs:{action}", "queue", queue)

        yield from key_calls(self.stack, *self.of_key())

    def of_key(self):
        """Whether it has to do with the table; sends to a queue; takes from one."""
        return True, any(self.queues()), any(self.sources())

    def sources(self):
        """The queues whose messages Lambda takes out and hands to the function."""
        for source in map(self.stack.properties, self.stack.resources("AWS::Lambda::EventSourceMapping")):
            if source["FunctionName"] == self.stack.property(self.name, "FunctionName"):
                yield source["EventSourceArn"]

    def log(self, what, action, group=None):
        group = group or self.stack.property(self.name, "LoggingConfig")["LogGroup"]
        stream = self.arn("logs", f"log-group:{group}:log-stream:2026/01/05/[$LATEST]0123456789abcdef")
        return Question(what, f"logs:{action}", "log-stream", stream)

    def queues(self):
        """Where Lambda puts an event that failed for good."""
        for config in map(self.stack.properties, self.stack.resources("AWS::Lambda::EventInvokeConfig")):
            if config["FunctionName"] == self.stack.property(self.name, "FunctionName"):
                if "DestinationConfig" in config:
                    yield config["DestinationConfig"]["OnFailure"]["Destination"]

    def by_ec2(self):
        """What EC2 asks on its own account, by the role of whoever launches."""
        return []

    def by_lambda_misses(self):
        """Queue and log: written, never read, and no others. And nothing about functions, itself included."""
        for queue in self.queues():
            yield Question("read the failed events", "sqs:ReceiveMessage", "queue", queue)
            yield Question("delete a failed event", "sqs:DeleteMessage", "queue", queue)
            yield Question("send to another queue", "sqs:SendMessage", "queue", queue + "2")
        for queue in self.sources():
            for action in TAKES_FROM_A_QUEUE:
                yield Question("take from another queue", f"sqs:{action}", "queue", queue + "2")
            for action in ["SendMessage", "PurgeQueue", "SetQueueAttributes", "DeleteQueue"]:
                yield Question("change the queue", f"sqs:{action}", "queue", queue)
        yield from key_misses(self.stack, *self.of_key())
        group = self.stack.property(self.name, "LoggingConfig")["LogGroup"]
        yield self.log("write to another log", "PutLogEvents", "/aws/lambda/other")
        yield self.log("write to a log whose name begins like ours", "PutLogEvents", group + "2")
        for other in with_another_step(group):
            yield self.log("write to a log whose name ends like ours", "PutLogEvents", other)
        yield self.log("delete a log stream", "DeleteLogStream")
        yield self.log("read the log", "GetLogEvents")
        yield Question("read the traces", "xray:BatchGetTraces", "", "*")
        yield Question("change what is traced", "xray:PutEncryptionConfig", "", "*")
        own = self.stack.resolve({"Fn::GetAtt": [self.name, "Arn"]})
        yield Question("invoke itself", "lambda:InvokeFunction", "function", own)
        yield Question("change its own code", "lambda:UpdateFunctionCode", "function", own)


def record(function, what, action, table=None):
    """One record, by its key. AWS sends no dynamodb:Attributes that we could rely on: see NOT_SENT."""
    keys = {"dynamodb:LeadingKeys": [MEETING], "dynamodb:ReturnConsumedCapacity": "NONE"}
    keys |= {"dynamodb:Select": "ALL_ATTRIBUTES"} if action in ("GetItem", "BatchGetItem", "Query") else {}
    keys |= {"dynamodb:ReturnValues": "NONE"} if action in ("PutItem", "UpdateItem", "DeleteItem") else {}
    resource = function.arn("dynamodb", f"table/{table or function.env['TABLE_NAME']}")
    return Question(what, f"dynamodb:{action}", "table", resource, keys)


def table_misses(function):
    """No other table, and no other way to ours than by a record's key."""
    ours = function.record("", "GetItem").resource
    yield function.record("read another table", "GetItem", "other")
    yield function.record("write another table", "UpdateItem", "other")
    yield function.record("add to another table", "PutItem", "other")
    yield function.record("write a table whose name begins like ours", "UpdateItem", function.env["TABLE_NAME"] + "-2")
    yield Question("read all records", "dynamodb:Scan", "table", ours)
    yield Question("delete the table", "dynamodb:DeleteTable", "table", ours)


class Launch(Function):
    """The function `launch`: the calls of `launch` through the adapters ec2 and dynamodb."""

    def __init__(self, stack, name="LaunchFunction"):
        super().__init__(stack, name)
        self.subnets = pieces(self.env["SUBNET_IDS"]) or [SOME_SUBNET]
        self.zone = f"{self.region}a"
        self.types = pieces(self.env["INSTANCE_TYPE"])
        # Those that a record may ask for instead.
        self.override_types = pieces(stack.parameters["OverrideInstanceTypes"])
        self.vpc = self.env["VPC_ID"] or SOME_VPC
        ami = self.env["AMI_ID"]
        # The image, if it is known; the path of the parameter that says which it is, "*" for that of a short name.
        self.ami = ami if ami.startswith("ami-") else ""
        self.path = ami.split(":")[2] if ami.startswith("resolve:ssm:/") else ""
        if ami and not self.ami and not self.path and ":daily:" not in ami:
            self.path = "*"
        self.key = self.env["VOLUME_KMS_KEY_ID"]
        self.tags = {"Name": f"{MEETING}_teacher", "MeetingID": MEETING, "Role": "teacher"}
        self.tags["Project"] = self.env["PROJECT_TAG"]
        self.tags |= dict(tag.split("=", 1) for tag in pieces(self.env["EXTRA_TAGS"]))
        self.here = {"ec2:Region": self.region}
        self.role = stack.parameters["MachineRoleArn"] or stack.resolve({"Fn::GetAtt": ["MachineRole", "Arn"]})

    # --- The questions, with what a near miss may change ---------------------------------------------------

    def record(self, what, action, table=None):
        return record(self, what, action, table)

    def look_up(self, what, action, region=None):
        return Question(what, f"ec2:{action}", "", "*", {"ec2:Region": region or self.region})

    def parameter(self, what, path, action="GetParameter"):
        """Of Systems Manager: a public one is no account's."""
        account = "" if path.startswith("/aws/") else None
        return Question(what, f"ssm:{action}", "parameter", self.arn("ssm", f"parameter{path}", account=account))

    def run(self, what, kind, id, keys, anywhere=False, **arn):
        """RunInstances, judged for one of the resources that it touches."""
        keys = self.here | {"ec2:IsLaunchTemplateResource": "false"} | keys
        return Question(what, "ec2:RunInstances", kind, self.arn("ec2", f"{kind}/{id}", **arn), keys, anywhere)

    def tagged(self, tags):
        sent = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        return sent | ({"aws:TagKeys": list(tags)} if tags else {})

    def instance(self, what, type=None, tags=None, **changes):
        keys = self.of_instance(type, **changes) | self.tagged(self.tags if tags is None else tags)
        return self.run(what, "instance", "*", keys)

    def of_instance(self, type=None, market=None):
        """What AWS says of a machine, launched or to be launched, such as in the output shown in
        https://docs.aws.amazon.com/cli/latest/reference/sts/decode-authorization-message.html"""
        profile = self.env["IAM_PROFILE"]
        if profile and not profile.startswith("arn:"):
            profile = self.iam(f"instance-profile/{profile}")
        return (
            {"ec2:AvailabilityZone": self.zone, "ec2:AvailabilityZoneId": ZONE_ID}
            | {"ec2:InstanceID": "*", "ec2:InstanceType": type or self.types[0]}
            | {"ec2:InstanceMarketType": market or MARKETS[0]}
            | {"ec2:EbsOptimized": "false", "ec2:RootDeviceType": "ebs", "ec2:Tenancy": "default"}
            | {"ec2:InstanceBandwidthWeighting": "default", "ec2:InstanceMetadataTags": "disabled"}
            | {"ec2:MetadataHttpEndpoint": "enabled", "ec2:MetadataHttpPutResponseHopLimit": "2"}
            | ({"ec2:InstanceProfile": profile} if profile else {})
        )

    def volume(self, what, tags=None):
        keys = self.tagged(self.tags if tags is None else tags)
        return self.run(what, "volume", "*", self.of_volume() | keys)

    def of_volume(self):
        return (
            {"ec2:AvailabilityZone": self.zone, "ec2:AvailabilityZoneId": ZONE_ID}
            | {"ec2:VolumeSize": "60", "ec2:VolumeType": "gp3", "ec2:Encrypted": "true"}
        )

    def interface(self, what, tags=None):
        keys = self.tagged(self.tags if tags is None else tags)
        return self.run(what, "network-interface", "*", self.of_interface() | keys)

    def of_interface(self):
        subnet = self.arn("ec2", f"subnet/{self.subnets[0]}")
        return {"ec2:AvailabilityZone": self.zone, "ec2:Subnet": subnet, "ec2:Vpc": self.arn("ec2", f"vpc/{self.vpc}")}

    def spot_request(self, what, tags=None):
        """Tagged, and AWS says nothing else of it."""
        keys = self.here | self.tagged(self.tags if tags is None else tags)
        return Question(what, "ec2:RunInstances", "spot-instances-request", self.arn("ec2", "spot-instances-request/*"), keys)

    def launch_template(self, what, **arn):
        """Known by its name alone, so any of this account."""
        return self.run(what, "launch-template", "lt-0a1b2c3d4e5f60718", {}, **arn)

    def image(self, what, id=None, tags=None):
        id = id or self.ami or SOME_IMAGE
        return self.run(what, "image", id, self.of_image(id) | self.has(tags or {}), account="")

    def of_image(self, id):
        of_it = {"ec2:ImageID": id, "ec2:ImageType": "machine", "ec2:Owner": "123456789012", "ec2:Public": "false"}
        return of_it | {"ec2:RootDeviceType": "ebs"}

    def has(self, tags):
        """The tags of what is there already."""
        return {f"{prefix}:ResourceTag/{key}": tags[key] for key in tags for prefix in ("aws", "ec2")}

    def of_project(self, project):
        """Our tags; with another project, or "" for none."""
        tags = self.tags if project is None else self.tags | {"Project": project}
        return {key: value for key, value in tags.items() if value or key != "Project"}

    def group(self, what, id):
        of_it = {"ec2:SecurityGroupID": id, "ec2:Vpc": self.arn("ec2", f"vpc/{self.vpc}")}
        return self.run(what, "security-group", id, of_it, True)

    def subnet(self, what, id=None, vpc=None, **arn):
        of_it = {"ec2:AvailabilityZone": self.zone, "ec2:AvailabilityZoneId": ZONE_ID}
        of_it |= {"ec2:SubnetID": id or self.subnets[0], "ec2:Vpc": self.arn("ec2", f"vpc/{vpc or self.vpc}", **arn)}
        named = bool(self.env["SUBNET_IDS"] or self.env["VPC_ID"])
        return self.run(what, "subnet", id or self.subnets[0], of_it, anywhere=named, **arn)

    def key_pair(self, what, name="support", **arn):
        return self.run(what, "key-pair", name, {"ec2:KeyPairName": name, "ec2:KeyPairType": "rsa"}, **arn)

    def tag(self, what, kind, of_it, tags=None, create="RunInstances", id="*", **arn):
        """CreateTags, judged within the call that creates the resource; of that which is there already without one."""
        keys = self.here | of_it | self.tagged(self.tags if tags is None else tags)
        keys |= {"ec2:CreateAction": create} if create else {}
        return Question(what, "ec2:CreateTags", kind, self.arn("ec2", f"{kind}/{id}", **arn), keys)

    def on_machine(self, what, action, project=None, tag_keys=None, **arn):
        """A call about one machine that is up, with the tags that it has."""
        keys = self.here | self.has(self.of_project(project))
        if action == "TerminateInstances":
            keys |= self.of_instance() | {"ec2:InstanceID": INSTANCE.partition("/")[2]}
        if tag_keys is not None:
            keys |= {f"aws:RequestTag/{key}": "" for key in tag_keys} | ({"aws:TagKeys": tag_keys} if tag_keys else {})
        return Question(what, f"ec2:{action}", "instance", self.arn("ec2", INSTANCE, **arn), keys)

    def pass_role(self, what, role=None, service="ec2", to=None):
        suffix = self.stack.place["suffix"] if service == "ec2" else "amazonaws.com"
        to = to or self.arn("ec2", "instance/*")
        keys = {"iam:PassedToService": f"{service}.{suffix}", "iam:AssociatedResourceArn": to}
        return Question(what, "iam:PassRole", "role", role or self.role, keys)

    def encryption(self, what, action, key=None, via="ec2"):
        """KMS, asked by a service for us, or by ourselves. EC2 names the disk in the context of the encryption."""
        service = {"kms:ViaService": f"{via}.{self.region}.{self.stack.place['suffix']}"} if via else {}
        context = {"kms:EncryptionContext:aws:ebs:id": "vol-0a1b2c3d4e5f60718", "kms:EncryptionContextKeys": "aws:ebs:id"}
        algorithm = {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
        keys = {"kms:CallerAccount": self.stack.place["account"]} | service
        keys |= {} if action == "DescribeKey" else context if action == "CreateGrant" else context | algorithm
        return Question(what, f"kms:{action}", "key", key or self.key or self.arn("kms", SOME_KEY), keys)

    def grant(self, what, key=None, via="ec2", to_aws="true"):
        question = self.encryption(what, "CreateGrant", key, via)
        operations = {"kms:GrantOperations": ["Decrypt"], "kms:GrantConstraintType": "EncryptionContextSubset"}
        return replace(question, keys=question.keys | operations | {"kms:GrantIsForAWSResource": to_aws})

    # --- The tables ----------------------------------------------------------------------------------------

    def calls(self):
        yield self.record("read the record", "GetItem")
        yield self.record("claim, and write the ids", "UpdateItem")

        yield self.look_up("find the default VPC, or the one of that name", "DescribeVpcs")
        yield self.look_up("find the subnets", "DescribeSubnets")
        yield self.look_up("find the zones of the types", "DescribeInstanceTypeOfferings")
        yield from self.which_image()
        yield self.look_up("find the image, or those of a name", "DescribeImages")
        yield self.look_up("see whether there is the key pair", "DescribeKeyPairs")
        yield self.look_up("find the launch template", "DescribeLaunchTemplateVersions")
        yield self.look_up("find a machine by its token", "DescribeInstances")

        for type in self.types:
            yield self.instance("launch a machine", type)
        for type in self.override_types:
            yield self.instance("launch a machine of the type that its record asks for", type)
        for market in MARKETS:
            yield self.instance(f"launch a machine, {market}", market=market)
        yield self.spot_request("with its Spot request")
        yield self.volume("with its disk")
        yield self.interface("with its network interface")
        for id in self.subnets:
            yield self.subnet("in a subnet", id)
        yield self.image("from the image")
        yield self.image("from an image of ours, for which its record asks", SOME_IMAGE, self.tags)
        for id in pieces(self.env["SECURITY_GROUP_IDS"]):
            yield self.group("with a security group", id)
        yield self.key_pair("with the key pair")
        yield self.launch_template("from the launch template")
        yield self.tag("tag the machine at launch", "instance", self.of_instance())
        yield self.tag("tag its disk at launch", "volume", self.of_volume())
        yield self.tag("tag its network interface at launch", "network-interface", self.of_interface())
        yield self.tag("tag its Spot request at launch", "spot-instances-request", {})
        yield self.pass_role("give the machine its role")

        yield self.on_machine("take a machine's Role tag", "DeleteTags", tag_keys=["Role"])
        yield self.on_machine("end a machine", "TerminateInstances")

    def which_image(self):
        if self.path == "*":
            for path in OF_SHORT_NAMES:
                yield self.parameter("read which image a short name is", path)
        elif self.path:
            yield self.parameter("read which image it is", self.path)

    def by_ec2(self):
        """KMS judges EC2's requests for a disk by the role that launches."""
        if self.key:
            for action in OF_A_DISK:
                yield self.encryption("encrypt a disk at launch", action)
            yield self.grant("let EC2 open the disk")

    def misses(self):
        env = self.env
        foreign = {**self.tags, "Project": "Other"}
        untagged = {key: value for key, value in self.tags.items() if key != "Project"}
        machine, interface = self.arn("ec2", INSTANCE), self.of_interface()
        running = self.of_instance() | {"ec2:InstanceID": INSTANCE.partition("/")[2]}

        yield from table_misses(self)
        yield self.record("replace a record, attributes of others included", "PutItem")
        yield self.record("delete a record", "DeleteItem")

        # Look-ups: of this Region, and only those that the answers leave open.
        kinds = ["Instances", "InstanceTypeOfferings", "Subnets", "Vpcs", "Images", "KeyPairs", "LaunchTemplateVersions"]
        for action in kinds:
            yield self.look_up("look up in another Region", f"Describe{action}", "eu-central-1")
        yield self.launch_template("launch from another account's launch template", account="210987654321")
        yield self.look_up("list the Spot requests", "DescribeSpotInstanceRequests")
        yield Question("read a machine's user data", "ec2:DescribeInstanceAttribute", "instance", machine)
        yield Question("read a machine's password", "ec2:GetPasswordData", "instance", machine)

        # Parameters of Systems Manager: the one that holds the image's id, read and no more.
        yield from self.parameter_misses()

        # Launches: nothing else than what is configured, and nothing that the function could not end.
        yield self.instance("launch another type", "p5.48xlarge")
        for type in [self.types[0], *self.override_types]:
            yield self.instance("launch a type that begins like ours", type + "2")
        yield self.instance("launch a machine of another project", tags=foreign)
        yield self.instance("launch a machine without our tag", tags=untagged)
        yield self.instance("launch a machine without tags", tags={})
        yield self.volume("a disk of another project", foreign)
        yield self.volume("a disk without our tag", untagged)
        yield self.interface("a network interface of another project", foreign)
        yield self.interface("a network interface without our tag", untagged)
        if self.ami:
            yield self.image("launch another image", SOME_IMAGE)
            yield self.image("launch another project's image", SOME_IMAGE, foreign)
            begins_alike = self.of_project(env["PROJECT_TAG"] + "2")
            yield self.image("launch an image whose project begins like ours", SOME_IMAGE, begins_alike)
            yield self.image("launch an image without a project", SOME_IMAGE, untagged)
        yield self.group("launch with another security group", "sg-0fedcba9876543210")
        if env["SUBNET_IDS"]:
            yield self.subnet("launch into another subnet", SOME_SUBNET)
        elif env["VPC_ID"]:
            yield self.subnet("launch into a subnet of another VPC", vpc=SOME_VPC)
            yield self.subnet("launch into a subnet of a VPC whose id begins like ours", vpc=self.vpc + "2")
        else:
            yield self.subnet("launch into a subnet of another account", account="210987654321")
        yield self.spot_request("a Spot request of another project", foreign)
        yield self.spot_request("a Spot request without our tag", untagged)
        yield self.tag("tag a Spot request of no launch", "spot-instances-request", {}, create="RequestSpotInstances")
        yield self.instance("launch from a capacity block", market="capacity-block")
        yield self.key_pair("launch with another account's key pair", account="210987654321")
        yield self.run("launch into a placement group", "placement-group", "racked", {})
        yield self.run("launch into a capacity reservation", "capacity-reservation", "cr-0a1b2c3d4e5f60718", {})
        yield self.run("add a disk from a snapshot", "snapshot", "snap-0a1b2c3d4e5f60718", {}, account="")

        # The key of the disks: no other, through no one but EC2, for nothing but disks; none without one.
        yield from self.encryption_misses()

        # The key pair: the stack makes it and deletes it, and its private key is for people.
        for action in ["CreateKeyPair", "ImportKeyPair", "DeleteKeyPair"]:
            key_pair = self.arn("ec2", f"key-pair/support")
            yield Question("change a key pair", f"ec2:{action}", "key-pair", key_pair)
        yield self.parameter("read the private key of a key pair", SOME_PRIVATE_KEY)

        # Tags: none of anything that exists, and at launch none but ours.
        yield self.tag("tag a machine that runs", "instance", running, create="", id="i-0123456789abcdef0")
        yield self.tag("tag a disk that exists", "volume", self.of_volume(), create="", id="vol-0a1b2c3d4e5f60718")
        yield self.tag("tag an interface that exists", "network-interface", interface, create="", id="eni-0a1b2c3d")
        yield self.tag("tag a new disk of no launch", "volume", self.of_volume(), create="CreateVolume")
        yield self.tag("add a tag of our own making", "instance", self.of_instance(), self.tags | {"Owner": "root"})
        for tag in pieces(env["EXTRA_TAGS"]):
            for key in (tag, tag.partition("=")[0] + "2"):
                yield self.tag("add a tag that begins like one of ours", "volume", self.of_volume(), {key: ""})
        yield self.tag("tag a key pair", "key-pair", {}, create="", id="key-0a1b2c3d4e5f60718")

        yield from self.ending_misses()
        yield self.on_machine("change our machine", "ModifyInstanceAttribute")
        yield Question("run a command on a machine", "ssm:SendCommand", "instance", machine)

        # The machines' role: no other, to no one but EC2, for nothing but machines of this Region.
        here, elsewhere = self.arn("ec2", "instance/*"), self.arn("ec2", "instance/*", region="eu-central-1")
        yield self.pass_role("pass another role", self.iam("role/Admin"))
        yield self.pass_role("pass a role that begins like ours", self.role + "2")
        for other in with_another_step(self.role):
            yield self.pass_role("pass a role of another path", other)
        yield self.pass_role("pass the role to Lambda", service="lambda", to=self.arn("lambda", "function:mine"))
        yield self.pass_role("pass the role to Lambda, which says it is for a machine", service="lambda", to=here)
        yield self.pass_role("pass the role to Auto Scaling, for its machines", service="autoscaling", to=here)
        yield self.pass_role("pass the role to a machine of another Region", to=elsewhere)
        yield self.pass_role("pass the function's own role", self.iam("role/elephant-LaunchRole-1A2B3C4D5E6F"))
        yield Question("change the machines' role", "iam:PutRolePolicy", "role", self.role)
        yield Question("assume the machines' role", "sts:AssumeRole", "role", self.role)

        yield from self.by_lambda_misses()

    def ending_misses(self):
        """Machines: only ours are ended, and lose no tag but Role."""
        ours = self.env["PROJECT_TAG"]
        yield self.on_machine("end a machine of another project", "TerminateInstances", "Other")
        yield self.on_machine("end a machine without a project", "TerminateInstances", "")
        yield self.on_machine("end a machine whose project begins like ours", "TerminateInstances", ours + "2")
        yield self.on_machine("take the Role tag of another project's machine", "DeleteTags", "Other", ["Role"])
        yield self.on_machine("take the Role tag of a machine without a project", "DeleteTags", "", ["Role"])
        yield self.on_machine("take our machine's Project tag", "DeleteTags", tag_keys=["Project"])
        yield self.on_machine("take our machine's Role and Project tags", "DeleteTags", tag_keys=["Role", "Project"])
        yield self.on_machine("take all tags, which is to name none", "DeleteTags", tag_keys=[])
        yield self.delete_volume_tag("take the Role tag of a disk")
        yield self.on_machine("stop our machine", "StopInstances")

    def parameter_misses(self):
        public, own = OF_SHORT_NAMES[0], "/images/other"
        if self.path != "*":
            yield self.parameter("read a public parameter that is not the image's", public)
        yield self.parameter("read a parameter that is not the image's", own)
        for path in [public, own] + [self.path] * (self.path not in ("", "*")):
            yield self.parameter("read a parameter with those beside it", path, "GetParametersByPath")
            yield self.parameter("read what a parameter was", path, "GetParameterHistory")
            yield self.parameter("change a parameter", path, "PutParameter")
        if not self.path:
            return
        ours = self.parameter("read a parameter of another path", public if self.path == "*" else self.path)
        start, _, name = ours.resource.rpartition(":")
        for other in with_another_step(name):
            if self.path != "*" or not other.startswith("parameter/aws/service/"):
                yield replace(ours, resource=f"{start}:{other}")
        if self.path != "*":
            yield replace(ours, what="read a parameter whose name begins like ours", resource=ours.resource + "2")
            beside = ours.resource.rpartition("/")[0] + "/other"
            yield replace(ours, what="read a parameter beside ours", resource=beside)

    def encryption_misses(self):
        another = self.arn("kms", SOME_KEY)
        for action in OF_A_DISK:
            yield self.encryption("use another key for a disk", action, another)
            yield self.encryption("use the key without EC2", action, via=None)
            yield self.encryption("use the key through DynamoDB", action, via="dynamodb")
            if not self.key:
                yield self.encryption("use a key where there is none", action)
        yield self.grant("grant another key", another)
        yield self.grant("grant the key to somebody", via=None, to_aws="false")
        yield self.grant("grant the key through EC2, and not to AWS", to_aws="false")
        yield self.grant("grant the key to AWS, and not through EC2", via="dynamodb")
        if not self.key:
            yield self.grant("grant a key where there is none")
        yield self.encryption("encrypt something with the key", "Encrypt")
        yield self.encryption("take a data key in the clear", "GenerateDataKey")
        for action in ["PutKeyPolicy", "ScheduleKeyDeletion"]:
            yield Question("change the key", f"kms:{action}", "key", self.key or another)

    def delete_volume_tag(self, what):
        keys = self.here | {f"aws:ResourceTag/{key}": value for key, value in self.tags.items()}
        volume = self.arn("ec2", "volume/vol-0a1b2c3d4e5f60718")
        return Question(what, "ec2:DeleteTags", "volume", volume, keys | {"aws:TagKeys": ["Role"]})


def companions(function):
    """Group and name of each schedule of others that belongs to the meeting."""
    patterns = [pattern for pattern in function.env["COMPANION_SCHEDULES"].split(",") if pattern]
    return [pattern.replace("{meeting_id}", MEETING).split("/") for pattern in patterns]


def companion_misses(function):
    """Others of the same group, and the same name elsewhere; a new one in any case."""
    for group, name in companions(function):
        head = name.partition(MEETING)[0]
        for action in ["CreateSchedule", "GetSchedule", "UpdateSchedule", "DeleteSchedule"]:
            yield function.schedule(f"{action} beside the companions", action, f"other-{head}{MEETING}", group)
            yield function.schedule(f"{action} of a companion's name in another group", action, name, f"{group}2")
        yield function.schedule("make a companion", "CreateSchedule", name, group)


class Schedule(Function):
    """The function `schedule`: the record in DynamoDB, its one-time schedule in EventBridge Scheduler."""

    def __init__(self, stack):
        super().__init__(stack, "ScheduleFunction")
        self.role = self.env["SCHEDULER_ROLE_ARN"]

    def record(self, what, action, table=None):
        return record(self, what, action, table)

    def schedule(self, what, action, name=f"launch-{MEETING}", group=None):
        resource = self.arn("scheduler", f"schedule/{group or self.env['SCHEDULE_GROUP']}/{name}")
        return Question(what, f"scheduler:{action}", "schedule", resource)

    def companion(self, what, action, name, group):
        return replace(self.schedule(what, action, name, group), anywhere=True)

    def parameter(self, name):
        return self.stack.parameters[name]

    def pass_role(self, what, role=None, service="scheduler"):
        keys = {"iam:PassedToService": f"{service}.amazonaws.com"}
        return Question(what, "iam:PassRole", "role", role or self.role, keys)

    def calls(self):
        yield self.record("write a new record", "PutItem")
        yield self.record("read the record that is there already", "GetItem")
        yield self.record("move or cancel the meeting", "UpdateItem")
        yield self.schedule("create the schedule", "CreateSchedule")
        yield self.schedule("look at the schedule that is there already", "GetSchedule")
        yield self.schedule("move the schedule", "UpdateSchedule")
        yield self.schedule("delete the schedule", "DeleteSchedule")
        longest = "launch-" + "m" * (SCHEDULE_NAME_LIMIT - len("launch-"))
        yield self.schedule("create the schedule of a long id", "CreateSchedule", longest)
        yield self.pass_role("give the schedule its role")
        for group, name in companions(self):
            for action in ["GetSchedule", "UpdateSchedule", "DeleteSchedule"]:
                yield self.companion(f"{action} of a companion", action, name, group)
            yield self.pass_role("leave the companion its role", self.parameter("CompanionRoleArn"))

    def misses(self):
        ours = self.env["SCHEDULE_GROUP"]
        yield from companion_misses(self)
        yield from table_misses(self)
        yield self.record("delete a record", "DeleteItem")

        # Schedules: those of our group whose names begin with launch-, and nothing else of Scheduler's.
        safety = f"safety-{MEETING}"
        for action in ["CreateSchedule", "GetSchedule", "UpdateSchedule", "DeleteSchedule"]:
            yield self.schedule(f"{action} in the default group", action, group="default")
            yield self.schedule(f"{action} in a group whose name begins like ours", action, group=ours + "2")
            yield self.schedule(f"{action} of the safety net", action, safety)
            yield self.schedule(f"{action} of a name that ends like ours", action, f"re-launch-{MEETING}")
            if action == "CreateSchedule" or not self.env["COMPANION_SCHEDULES"]:
                yield self.schedule(f"{action} of the safety net in the default group", action, safety, "default")
        group = self.arn("scheduler", f"schedule-group/{ours}")
        yield Question("delete the group with its schedules", "scheduler:DeleteScheduleGroup", "schedule-group", group)
        yield Question("list the groups", "scheduler:ListScheduleGroups", "", "*")

        # The schedules' role: no other, to no one but Scheduler.
        yield self.pass_role("pass another role", self.iam("role/Admin"))
        yield self.pass_role("pass a role that begins like ours", self.role + "2")
        for other in with_another_step(self.role):
            yield self.pass_role("pass a role of another path", other)
        yield self.pass_role("pass the role of launch", self.stack.resolve({"Fn::GetAtt": ["LaunchRole", "Arn"]}))
        yield self.pass_role("pass its own role", self.stack.resolve({"Fn::GetAtt": ["ScheduleRole", "Arn"]}))
        yield self.pass_role("pass the role to Lambda", service="lambda")
        yield self.pass_role("pass the role to EC2", service="ec2")
        yield self.pass_role("pass the role to EventBridge's rules", service="events")
        yield Question("change the schedules' role", "iam:PutRolePolicy", "role", self.role)
        theirs = self.parameter("CompanionRoleArn")
        if theirs:
            yield self.pass_role("pass the companions' role to Lambda", theirs, "lambda")
            head, _, name = theirs.rpartition("/")
            yield self.pass_role("pass a role beside the companions'", f"{head}/other")
            yield self.pass_role("pass a role of that name with another path", f"{head}/other/{name}")
            yield self.pass_role("pass a role of that name", self.iam(f"role/other/{name}"))
        yield Question("assume the schedules' role", "sts:AssumeRole", "role", self.role)

        # Launching is another function's: not by its name, and not by EC2.
        launch = self.env["LAUNCH_FUNCTION_ARN"]
        yield Question("invoke launch at once", "lambda:InvokeFunction", "function", launch)
        machine = self.arn("ec2", INSTANCE)
        yield Question("end a machine", "ec2:TerminateInstances", "instance", machine, {"ec2:Region": self.region})
        dead_letters = self.env["SCHEDULE_DEAD_LETTERS_ARN"]
        yield Question("send to the schedules' dead letters", "sqs:SendMessage", "queue", dead_letters)

        yield from self.by_lambda_misses()


class OnMachines(Launch):
    """A function that touches machines, and launches none: what it has to say of one is what `launch` would."""

    def __init__(self, stack, name):
        Function.__init__(self, stack, name)
        launch = Launch(stack)
        self.types, self.zone = launch.types, launch.zone
        self.subnets, self.vpc = launch.subnets, launch.vpc
        self.tags, self.here = launch.tags, launch.here
        self.own, self.env = self.env, launch.env | self.env

    # It launches nothing.
    by_ec2 = Function.by_ec2

    def schedule(self, what, action, name=f"launch-{MEETING}", group=None):
        resource = self.arn("scheduler", f"schedule/{group or self.group}/{name}")
        return Question(what, f"scheduler:{action}", "schedule", resource)

    def companion(self, what, action, name, group):
        return replace(self.schedule(what, action, name, group), anywhere=True)

    def console(self, what, project=None):
        question = self.on_machine(what, "GetConsoleOutput", project)
        return replace(question, keys=question.keys | self.of_instance() | {"ec2:InstanceID": INSTANCE.partition("/")[2]})

    def launch_misses(self):
        yield self.instance("launch a machine")
        yield self.volume("launch its disk")
        yield Question("invoke launch", "lambda:InvokeFunction", "function", self.launch_arn())
        yield self.pass_role("pass a role to a machine", self.iam("role/machine"))

    def launch_arn(self):
        return self.stack.resolve({"Fn::GetAtt": ["LaunchFunction", "Arn"]})

    def console_misses(self):
        yield self.console("read the console of another project's machine", "Other")
        yield self.console("read the console of a machine without a project", "")
        yield Question("see a machine's screen", "ec2:GetConsoleScreenshot", "instance", self.arn("ec2", INSTANCE))
        yield Question("read a machine's password", "ec2:GetPasswordData", "instance", self.arn("ec2", INSTANCE))


class End(OnMachines):
    """The function `end`: the record, the machines, the schedule."""

    def __init__(self, stack):
        super().__init__(stack, "EndFunction")
        self.group = self.own["SCHEDULE_GROUP"]

    def calls(self):
        yield self.record("read the record", "GetItem")
        yield self.record("say that the meeting is over", "UpdateItem")
        yield self.look_up("find a machine by its token or its id", "DescribeInstances")
        yield self.on_machine("take a machine's Role tag", "DeleteTags", tag_keys=["Role"])
        yield self.on_machine("end a machine", "TerminateInstances")
        yield self.schedule("delete the schedule", "DeleteSchedule")
        for group, name in companions(self):
            for action in ["GetSchedule", "DeleteSchedule"]:
                yield self.companion(f"{action} of a companion", action, name, group)

    def misses(self):
        yield from table_misses(self)
        yield from companion_misses(self)
        for group, name in companions(self):
            yield self.schedule("move a companion", "UpdateSchedule", name, group)
        yield self.record("delete a record", "DeleteItem")
        yield self.look_up("look up in another Region", "DescribeInstances", "eu-central-1")
        yield self.look_up("find the subnets", "DescribeSubnets")
        yield from self.launch_misses()
        yield from self.ending_misses()
        yield self.console("read a machine's console")
        yield self.schedule("delete a schedule of the default group", "DeleteSchedule", group="default")
        yield self.schedule("delete the safety net", "DeleteSchedule", f"safety-{MEETING}")
        yield self.schedule("delete a name that ends like ours", "DeleteSchedule", f"re-launch-{MEETING}")
        for action in ["CreateSchedule", "GetSchedule", "UpdateSchedule"]:
            yield self.schedule("do more with the schedule than delete it", action)
        yield from self.by_lambda_misses()


class Status(OnMachines):
    """The function `status`, which only reads."""

    def __init__(self, stack):
        super().__init__(stack, "StatusFunction")

    def calls(self):
        yield self.record("read the record", "GetItem")
        yield self.look_up("see the machines", "DescribeInstances")
        yield self.console("read a machine's console")

    def misses(self):
        yield from table_misses(self)
        yield self.record("write the record", "UpdateItem")
        yield self.look_up("look up in another Region", "DescribeInstances", "eu-central-1")
        yield from self.launch_misses()
        yield from self.console_misses()
        yield self.on_machine("end a machine", "TerminateInstances")
        yield self.on_machine("take a machine's Role tag", "DeleteTags", tag_keys=["Role"])
        yield from self.by_lambda_misses()


class Operate(OnMachines):
    """The function `operate`: a machine, its images and their snapshots, its volumes, its network interfaces; commands
    on it; key pairs; VPCs."""

    LOOK_UPS = [
        *("Instances", "Images", "Snapshots", "Volumes", "NetworkInterfaces", "InstanceTypes", "KeyPairs"),
        *("AvailabilityZones", "InternetGateways", "RouteTables", "SecurityGroups", "Subnets", "Vpcs"),
    ]
    POWER = ["StopInstances", "StartInstances", "RebootInstances"]
    # What is done to a machine that is there and to something else that is there: both have to be ours.
    WITH_A_MACHINE = [
        ("AttachVolume", "volume"),
        ("DetachVolume", "volume"),
        ("ModifyInstanceAttribute", "volume"),
        ("AttachNetworkInterface", "network-interface"),
        ("DetachNetworkInterface", "network-interface"),
        ("ModifyNetworkInterfaceAttribute", "network-interface"),
    ]
    REMOVALS = [
        ("DeregisterImage", "image"),
        ("DeleteSnapshot", "snapshot"),
        ("DeleteVolume", "volume"),
        ("DeleteNetworkInterface", "network-interface"),
        ("DeleteKeyPair", "key-pair"),
        ("DeleteVpc", "vpc"),
        ("DeleteSubnet", "subnet"),
        ("DeleteInternetGateway", "internet-gateway"),
        ("DeleteRouteTable", "route-table"),
        ("DeleteSecurityGroup", "security-group"),
    ]
    # What is done to a VPC that is there, and to what is in it.
    OF_VPCS = [
        ("CreateSubnet", "vpc"),
        ("CreateRouteTable", "vpc"),
        ("CreateSecurityGroup", "vpc"),
        ("ModifyVpcAttribute", "vpc"),
        ("ModifySubnetAttribute", "subnet"),
        ("AttachInternetGateway", "internet-gateway"),
        ("AttachInternetGateway", "vpc"),
        ("DetachInternetGateway", "internet-gateway"),
        ("DetachInternetGateway", "vpc"),
        ("CreateRoute", "route-table"),
        ("AssociateRouteTable", "route-table"),
        ("AssociateRouteTable", "subnet"),
        ("DisassociateRouteTable", "route-table"),
        ("DisassociateRouteTable", "subnet"),
    ]
    # Each kind that is made, by which call.
    CREATIONS = [
        ("CreateImage", "image"),
        ("CreateImage", "snapshot"),
        ("CreateVolume", "volume"),
        ("CreateNetworkInterface", "network-interface"),
        ("CreateKeyPair", "key-pair"),
        ("ImportKeyPair", "key-pair"),
        ("CreateVpc", "vpc"),
        ("CreateSubnet", "subnet"),
        ("CreateInternetGateway", "internet-gateway"),
        ("CreateRouteTable", "route-table"),
        ("CreateSecurityGroup", "security-group"),
    ]
    IDS = {
        "image": SOME_IMAGE,
        "snapshot": SOME_SNAPSHOT,
        "volume": SOME_VOLUME,
        "network-interface": "eni-0a1b2c3d",
        "key-pair": "classroom",
        "vpc": SOME_VPC,
        "subnet": SOME_SUBNET,
        "internet-gateway": "igw-0a1b2c3d",
        "route-table": "rtb-0a1b2c3d",
        "security-group": "sg-0fedcba9876543210",
    }
    # The key by which AWS says which it is.
    KEYS_OF_IDS = {
        "volume": "ec2:VolumeID",
        "network-interface": "ec2:NetworkInterfaceID",
        "vpc": "ec2:VpcID",
        "subnet": "ec2:SubnetID",
        "internet-gateway": "ec2:InternetGatewayID",
        "route-table": "ec2:RouteTableID",
        "security-group": "ec2:SecurityGroupID",
    }
    # What has an id only when it is made.
    NAMED_BY_US = {"key-pair"}
    # Images and snapshots have none in their ARN.
    ACCOUNTS = {"image": "", "snapshot": ""}

    def __init__(self, stack):
        super().__init__(stack, "OperateFunction")
        self.group = stack.resolve({"Ref": "ScheduleGroup"})
        launch = Launch(stack)
        self.key, self.path = launch.key, launch.path
        # Not EXTRA_TAGS, of which it is not told.
        self.tags = {key: self.tags[key] for key in ("Name", "MeetingID", "Role", "Project")}

    def by_ec2(self):
        """A machine whose disk has a key of one's own, at its start."""
        if self.key:
            yield self.grant("let EC2 open the disk of a machine that starts")

    def machine(self, what, action, project=None):
        question = self.on_machine(what, action, project)
        return replace(question, keys=question.keys | self.of_instance() | {"ec2:InstanceID": INSTANCE.partition("/")[2]})

    def reboot(self, what, project=None, keys=("elephant:reboot",)):
        question = self.on_machine(what, "CreateTags", project, list(keys))
        return replace(question, keys=question.keys | self.of_instance() | {"ec2:InstanceID": INSTANCE.partition("/")[2]})

    def thing(self, what, action, kind, project=None, **keys):
        """A call about something that is there, with the tags that it has."""
        id = self.IDS[kind]
        keys = self.here | self.of(kind, id) | self.has(self.of_project(project)) | keys
        return Question(what, f"ec2:{action}", kind, self.at(kind, id), keys)

    def new(self, what, action, kind, tags=None):
        """A call that makes something, which has no id yet."""
        tags = self.tags_of(kind) if tags is None else tags
        id = self.new_id(kind)
        keys = self.here | self.of(kind, id) | self.tagged(tags)
        return Question(what, f"ec2:{action}", kind, self.at(kind, id), keys)

    def new_id(self, kind):
        return self.IDS[kind] if kind in self.NAMED_BY_US else "*"

    def tag_new(self, what, action, kind, tags=None, id=None):
        """CreateTags within that call; with no call, of something that is there."""
        id = id or self.new_id(kind)
        account = self.ACCOUNTS.get(kind)
        tags = self.tags_of(kind) if tags is None else tags
        return self.tag(what, kind, self.of(kind, id), tags, create=action, id=id, account=account)

    def at(self, kind, id):
        return self.arn("ec2", f"{kind}/{id}", account=self.ACCOUNTS.get(kind))

    def tags_of(self, kind):
        """Volumes and network interfaces have a name that a person gave them; the others are no machine's."""
        if kind == "key-pair":
            return {"Project": self.tags["Project"]}
        if kind in ("vpc", "subnet", "internet-gateway", "route-table", "security-group"):
            return {"Name": "classroom", "Project": self.tags["Project"]}
        return self.tags | ({"elephant:name": "notes"} if kind not in self.ACCOUNTS else {})

    def of(self, kind, id):
        """What AWS says of it."""
        if kind == "image":
            return self.of_image(id)
        if kind == "snapshot":
            volume = self.arn("ec2", f"volume/{SOME_VOLUME}")
            of_it = {"ec2:Owner": "123456789012", "ec2:ParentVolume": volume, "ec2:SnapshotID": id}
            return of_it | {"ec2:SnapshotTime": "2026-01-05T10:00:00Z", "ec2:VolumeSize": "60", "ec2:Encrypted": "true"}
        if kind == "key-pair":
            return {"ec2:KeyPairName": id, "ec2:KeyPairType": "ed25519"}
        vpc = {"ec2:Vpc": self.arn("ec2", f"vpc/{SOME_VPC}")}
        of_it = {
            "volume": self.of_volume(),
            "network-interface": self.of_interface(),
            "vpc": {"ec2:Tenancy": "default"},
            "subnet": vpc | {"ec2:AvailabilityZone": self.zone, "ec2:AvailabilityZoneId": ZONE_ID},
            "internet-gateway": {},
            "route-table": vpc,
            "security-group": vpc,
        }
        return of_it[kind] | {self.KEYS_OF_IDS[kind]: id}

    def place_of_interface(self, what, kind, **arn):
        """The subnet and the security groups of a new network interface: the machine's, whichever they are."""
        vpc = {"ec2:Vpc": self.arn("ec2", f"vpc/{self.vpc}")}
        zone = {"ec2:AvailabilityZone": self.zone, "ec2:AvailabilityZoneId": ZONE_ID}
        id = {"subnet": self.subnets[0], "security-group": "sg-0fedcba9876543210"}[kind]
        of_it = vpc | (zone | {"ec2:SubnetID": id} if kind == "subnet" else {"ec2:SecurityGroupID": id})
        resource = self.arn("ec2", f"{kind}/{id}", **arn)
        return Question(what, "ec2:CreateNetworkInterface", kind, resource, self.here | of_it)

    def command(self, what, project=None, action="SendCommand", **arn):
        """A call of SSM's about a machine, with the tags that it has."""
        tags = self.of_project(project).items()
        keys = {f"{prefix}/{key}": value for prefix in ("aws:ResourceTag", "ssm:resourceTag") for key, value in tags}
        return Question(what, f"ssm:{action}", "instance", self.arn("ec2", INSTANCE, **arn), keys)

    def document(self, what, name, account=""):
        """How a command is run. AWS's own documents are no account's."""
        return Question(what, "ssm:SendCommand", "document", self.arn("ssm", f"document/{name}", account=account))

    def all_of_ssm(self, what, action, region=None):
        """A call of SSM's that knows no resource."""
        return Question(what, f"ssm:{action}", "", "*", {"aws:RequestedRegion": region or self.region})

    def keep(self, what, path=SOME_PRIVATE_KEY, overwrite="false"):
        question = self.parameter(what, path, "PutParameter")
        return replace(question, keys={"ssm:Overwrite": overwrite} if overwrite else {})

    def calls(self):
        yield self.record("read the record", "GetItem")
        yield self.record("write the record", "UpdateItem")
        for kind in self.LOOK_UPS:
            yield self.look_up("see what there is", f"Describe{kind}")
        yield from self.which_image()
        yield self.look_up("see whether the launch template names the image", "DescribeLaunchTemplateVersions")
        for action in self.POWER:
            yield self.machine("stop, start or reboot a machine", action)
        yield self.reboot("remember a reboot")
        yield self.reboot("remember a stop", keys=["elephant:stopped"])
        yield self.machine("take an image of a machine", "CreateImage")
        for action, kind in self.CREATIONS:
            yield self.new(f"make a new {kind}", action, kind)
            yield self.tag_new(f"tag a new {kind}", action, kind)
        for kind in ["subnet", "security-group"]:
            yield self.place_of_interface("make a network interface there", kind)
        for action, kind in self.WITH_A_MACHINE:
            yield self.machine(f"join or part the machine and a {kind}", action)
            yield self.thing(f"join or part the machine and a {kind}", action, kind)
        for action, kind in self.REMOVALS:
            yield self.thing(f"remove the {kind}", action, kind)
        yield self.command("run a command on a machine")
        for name in SCRIPTS:
            yield self.document("run it as a script", name)
        for action in READS_OF_COMMANDS:
            yield self.all_of_ssm("see what became of a command", action)
        yield self.all_of_ssm("see whether a private key is kept", "DescribeParameters")
        yield self.keep("keep a private key")
        yield self.keep("keep a private key, without a word on replacing", overwrite="")
        for action, kind in self.OF_VPCS:
            yield self.thing(f"make something in a VPC, or change its {kind}", action, kind)
        yield self.keep("remember which VPC has a name", REMEMBERED_VPC)
        for action in ["GetParameter", "DeleteParameter"]:
            yield self.parameter("read or forget which VPC has a name", REMEMBERED_VPC, action)

    def misses(self):
        ours = self.own["PROJECT_TAG"]
        projects = {
            "another project": "Other",
            "no project": "",
            "a project that begins like ours": ours + "2",
        }
        yield from table_misses(self)
        yield self.record("replace a record, attributes of others included", "PutItem")
        yield self.record("delete a record", "DeleteItem")
        for kind in self.LOOK_UPS:
            yield self.look_up("look up in another Region", f"Describe{kind}", "eu-central-1")

        # Only what is ours, the machine and all that is joined to it.
        on_machines = [*self.POWER, "CreateImage", *(action for action, _ in self.WITH_A_MACHINE)]
        for whose, project in projects.items():
            for action in on_machines:
                yield self.machine(f"{action}: machine of {whose}", action, project)
            for action, kind in [*self.WITH_A_MACHINE, *self.OF_VPCS, *self.REMOVALS]:
                yield self.thing(f"{action}: {kind} of {whose}", action, kind, project)
            # Only what it could remove again.
            for action, kind in self.CREATIONS:
                tags = {key: value for key, value in (self.tags | {"Project": project}).items() if value}
                yield self.new(f"make a new {kind} of {whose}", action, kind, tags)
        for action, kind in self.CREATIONS:
            yield self.new(f"make a new {kind} without tags", action, kind, {})
        yield self.thing("make a volume of a snapshot", "CreateVolume", "snapshot")

        # Tags: none of anything that exists, and none but in the call that makes it.
        for action, kind in self.CREATIONS:
            id = self.IDS[kind]
            yield self.tag_new(f"tag the {kind} that exists", "", kind, id=id)
            for other in {action for action, _ in self.CREATIONS} | {"RunInstances"}:
                if (other, kind) in self.CREATIONS:
                    continue
                yield self.tag_new(f"tag a new {kind} in {other}", other, kind)
            keys = {f"aws:RequestTag/{key}": value for key, value in self.tags.items()} | {"aws:TagKeys": list(self.tags)}
            yield self.thing(f"take the tags of the {kind}", "DeleteTags", kind, **keys)
        for kind in ["image", "snapshot"]:
            foreign = self.tags | {"Project": "Other"}
            yield self.tag_new(f"tag a new {kind} as another project's", "CreateImage", kind, foreign)
            yield self.tag_new(f"tag a copied {kind}", "CopyImage", kind)
        yield self.tag("tag a machine at launch", "instance", self.of_instance())
        yield self.on_machine("mark a machine", "CreateTags", tag_keys=["elephant:keep"])
        yield self.on_machine("take a machine's Role tag", "DeleteTags", tag_keys=["Role"])

        # Nothing else of a machine, and nothing that hands what is ours to others.
        yield from self.launch_misses()
        yield self.on_machine("end a machine", "TerminateInstances")
        yield self.console("read a machine's console")
        yield from self.console_misses()
        machine = self.arn("ec2", INSTANCE)
        yield Question("read a machine's user data", "ec2:DescribeInstanceAttribute", "instance", machine)
        yield self.thing("copy an image", "CopyImage", "image")
        yield self.thing("share an image", "ModifyImageAttribute", "image")
        yield self.thing("share a snapshot", "ModifySnapshotAttribute", "snapshot")
        yield self.thing("let another account use an interface", "CreateNetworkInterfacePermission", "network-interface")
        yield self.thing("enlarge a volume", "ModifyVolume", "volume")
        for action in ["ModifyInstanceAttribute", "ModifyNetworkInterfaceAttribute"]:
            group = self.place_of_interface("change the security groups", "security-group")
            yield replace(group, action=f"ec2:{action}")
        for action in OF_A_DISK:
            yield self.encryption("use a key for a disk", action, self.arn("kms", SOME_KEY))
        yield self.grant("grant another key", self.arn("kms", SOME_KEY))
        yield self.grant("grant the key to somebody", via=None, to_aws="false")
        yield self.grant("grant the key through EC2, and not to AWS", to_aws="false")
        yield self.grant("grant the key to AWS, and not through EC2", via="dynamodb")
        yield self.reboot("remember a reboot of another project's machine", "Other")
        yield self.reboot("tag a machine with that and another", keys=["elephant:reboot", "Project"])
        yield self.reboot("tag a machine without a key", keys=[])
        yield self.schedule("delete the schedule", "DeleteSchedule")

        # Commands: on our machines, as scripts, and nothing else of SSM's.
        for whose, project in projects.items():
            yield self.command(f"run a command on a machine of {whose}", project)
        on_premises = self.arn("ssm", "managed-instance/mi-0a1b2c3d4e5f60718")
        yield Question("run a command on premises", "ssm:SendCommand", "managed-instance", on_premises)
        yield Question("send what it says to a bucket", "ssm:SendCommand", "bucket", "arn:aws:s3:::bucket")
        yield self.document("run a script from elsewhere", "AWS-RunRemoteScript")
        yield self.document("run a document of the account's own", SCRIPTS[0], account=None)
        for name in SCRIPTS:
            yield self.document("run a document whose name begins like a script's", name + "2")
        for action in [*READS_OF_COMMANDS, "DescribeParameters"]:
            yield self.all_of_ssm("look in another Region", action, "eu-central-1")
        yield self.all_of_ssm("read all that was said on all machines", "ListCommandInvocations")
        yield self.command("open a session on a machine", action="StartSession")
        yield Question("take a command back", "ssm:CancelCommand", "", "*")

        # Key pairs: their private keys are written once, and never read.
        for action in ["GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory", "DeleteParameter"]:
            yield self.parameter("read or delete a private key", SOME_PRIVATE_KEY, action)
        yield self.keep("replace a private key", overwrite="true")
        for other in with_another_step(f"parameter{SOME_PRIVATE_KEY}"):
            yield self.keep("keep something at another path", other.removeprefix("parameter"))
        yield self.keep("keep something beside the private keys", "/ec2/keypair2/key-0a1b2c3d4e5f60718")
        yield from self.parameter_misses()

        # VPCs: which of them has a name, and no other parameter; nothing that lets anybody in.
        yield self.keep("remember another VPC", REMEMBERED_VPC, overwrite="true")
        for other in [*with_another_step(f"parameter{REMEMBERED_VPC}")[:2], "parameter/elephant/vpc2/classroom/1"]:
            path = other.removeprefix("parameter")
            yield self.keep("remember a VPC at another path", path)
            for action in ["GetParameter", "DeleteParameter"]:
                yield self.parameter("read or delete a parameter of another path", path, action)
        yield self.parameter("read which VPCs have names", REMEMBERED_VPC, "GetParametersByPath")
        yield self.thing("let somebody in", "AuthorizeSecurityGroupIngress", "security-group")
        yield self.thing("take a route away", "DeleteRoute", "route-table")
        yield self.thing("join a VPC with another", "CreateVpcPeeringConnection", "vpc")

        yield from self.by_lambda_misses()


class Reconcile(Launch):
    """The function `reconcile`: all that `launch` does, many records, marks, consoles, and what is left over."""

    def __init__(self, stack):
        super().__init__(stack, "ReconcileFunction")

    def index(self, what, action="Query", name="open-meetings", table=None):
        keys = {"dynamodb:ReturnConsumedCapacity": "NONE", "dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
        keys |= {"dynamodb:LeadingKeys": ["SCHEDULED"]} if action == "Query" else {}
        resource = self.arn("dynamodb", f"table/{table or self.env['TABLE_NAME']}/index/{name}")
        return Question(what, f"dynamodb:{action}", "index", resource, keys)

    def left_over(self, what, action, kind, project=None, tag_keys=None):
        """A call about a volume or a network interface that is there, with the tags that it has."""
        tags = self.tags if project is None else self.tags | {"Project": project}
        id = {"volume": "vol-0a1b2c3d4e5f60718", "network-interface": "eni-0a1b2c3d"}[kind]
        of_it = self.of_volume() if kind == "volume" else self.of_interface()
        keys = self.here | of_it | {f"{prefix}:ResourceTag/{key}": tags[key] for key in tags for prefix in ("aws", "ec2")}
        if tag_keys is not None:
            keys |= {f"aws:RequestTag/{key}": "" for key in tag_keys} | ({"aws:TagKeys": tag_keys} if tag_keys else {})
        return Question(what, f"ec2:{action}", kind, self.arn("ec2", f"{kind}/{id}"), keys)

    def mark(self, what, action="CreateTags", project=None, keys=("elephant:orphan-since",)):
        question = self.on_machine(what, action, project, list(keys))
        return replace(question, keys=question.keys | (self.of_instance() if action == "CreateTags" else {}))

    def start(self, what, project=None):
        question = self.on_machine(what, "StartInstances", project)
        return replace(question, keys=question.keys | self.of_instance() | {"ec2:InstanceID": INSTANCE.partition("/")[2]})

    console = OnMachines.console
    console_misses = OnMachines.console_misses

    def calls(self):
        yield from super().calls()
        yield self.record("read many records", "BatchGetItem")
        yield self.index("find the meetings that are due")
        for action in ["DescribeInstanceStatus", "DescribeVolumes", "DescribeNetworkInterfaces"]:
            yield self.look_up("look for what fails, or is left over", action)
        yield self.console("read a machine's console")
        yield self.mark("mark an orphan")
        yield self.mark("take the mark back", "DeleteTags")
        yield self.start("start a machine that somebody stopped")
        for kind, action in [("volume", "DeleteVolume"), ("network-interface", "DeleteNetworkInterface")]:
            yield self.left_over("mark what is left over", "CreateTags", kind, tag_keys=["elephant:orphan-since"])
            yield self.left_over("take the mark back", "DeleteTags", kind, tag_keys=["elephant:orphan-since"])
            yield self.left_over("remove what is left over", action, kind)

    def misses(self):
        yield from super().misses()
        yield self.record("read many records of another table", "BatchGetItem", "other")
        yield self.record("write many records", "BatchWriteItem")
        yield self.index("ask another index", name="other")
        yield self.index("ask another table's index", table="other")
        yield self.index("read all of the index", "Scan")
        yield self.record("ask the table itself", "Query")
        for action in ["DescribeInstanceStatus", "DescribeVolumes", "DescribeNetworkInterfaces"]:
            yield self.look_up("look in another Region", action, "eu-central-1")
        yield from self.console_misses()
        yield self.start("start another project's machine", "Other")
        yield replace(self.start("stop a machine"), action="ec2:StopInstances")
        for action in ["CreateTags", "DeleteTags"]:
            yield self.mark("mark another project's machine", action, "Other")
            yield self.mark("another tag of ours", action, keys=["Project"])
            yield self.mark("the mark and another", action, keys=["elephant:orphan-since", "Project"])
            yield self.mark("the tag that keeps a machine", action, keys=["elephant:keep"])
        yield self.mark("tag without a key", keys=[])
        for kind, action in [("volume", "DeleteVolume"), ("network-interface", "DeleteNetworkInterface")]:
            yield self.left_over("remove what is another project's", action, kind, "Other")
            mark = ["elephant:orphan-since"]
            yield self.left_over("mark what is another project's", "CreateTags", kind, "Other", mark)
            yield self.left_over("tag what is left over otherwise", "CreateTags", kind, tag_keys=[*mark, "Project"])
            yield self.left_over("tag what is left over without a key", "CreateTags", kind, tag_keys=[])
        yield self.left_over("detach a volume", "DetachVolume", "volume")


class Scheduler:
    """The role of the schedules: EventBridge Scheduler invokes the function, and keeps what it could not deliver."""

    def __init__(self, stack):
        self.stack = stack
        self.launch = stack.resolve({"Fn::GetAtt": ["LaunchFunction", "Arn"]})
        self.dead_letters = stack.resolve({"Fn::GetAtt": ["ScheduleDeadLetters", "Arn"]})

    def calls(self):
        yield Question("invoke the function", "lambda:InvokeFunction", "function", self.launch)
        yield Question("keep what was not delivered", "sqs:SendMessage", "queue", self.dead_letters)
        yield from key_calls(self.stack, table=False, sends=True, takes=False)

    def misses(self):
        failures = self.stack.resolve({"Fn::GetAtt": ["LaunchFailures", "Arn"]})
        schedule = self.stack.resolve({"Fn::GetAtt": ["ScheduleFunction", "Arn"]})
        yield Question("invoke another function", "lambda:InvokeFunction", "function", self.launch + "2")
        yield Question("invoke schedule", "lambda:InvokeFunction", "function", schedule)
        yield Question("invoke an old version", "lambda:InvokeFunction", "function", self.launch + ":1")
        yield Question("change the function's code", "lambda:UpdateFunctionCode", "function", self.launch)
        yield Question("send to another queue", "sqs:SendMessage", "queue", self.dead_letters + "2")
        yield Question("send to the queue of failed deliveries", "sqs:SendMessage", "queue", failures)
        yield Question("read what was not delivered", "sqs:ReceiveMessage", "queue", self.dead_letters)
        yield from key_misses(self.stack, table=False, sends=True, takes=False)


def assumed(what, principal, **keys):
    """A question to a trust policy. It has no resource: it stands on the role itself."""
    keys = {f"aws:{key}": value for key, value in keys.items()}
    return Question(what, "sts:AssumeRole", "", "", keys, principal=principal)


def by_lambda_service(stack):
    yield assumed("Lambda runs the function", "lambda.amazonaws.com")


def by_others(stack):
    yield assumed("a machine of EC2", "ec2.amazonaws.com")
    yield assumed("a schedule", "scheduler.amazonaws.com")
    yield assumed("a role of the account", stack.arn("iam", "role/Admin", region=""))
    yield assumed("a role of another account", stack.arn("iam", "role/Admin", region="", account="210987654321"))


def by_ec2(stack):
    yield assumed("EC2 gives it to a machine", f"ec2.{stack.place['suffix']}")


def by_others_than_ec2(stack):
    yield assumed("Lambda", "lambda.amazonaws.com")
    yield assumed("Systems Manager", "ssm.amazonaws.com")
    yield assumed("a role of the account", stack.arn("iam", "role/Admin", region=""))
    yield assumed("a role of another account", stack.arn("iam", "role/Admin", region="", account="210987654321"))


def by_our_schedules(stack):
    group = stack.resolve({"Fn::GetAtt": ["ScheduleGroup", "Arn"]})
    account = stack.place["account"]
    yield assumed("a schedule of our group", "scheduler.amazonaws.com", SourceAccount=account, SourceArn=group)


def by_other_schedules(stack):
    [ours] = by_our_schedules(stack)
    account, group = ours.keys["aws:SourceAccount"], ours.keys["aws:SourceArn"]
    default = stack.arn("scheduler", "schedule-group/default")
    theirs = group.replace(account, "210987654321")

    def schedule(what, account, group):
        return assumed(what, ours.principal, SourceAccount=account, SourceArn=group)

    yield schedule("a schedule of another group", account, default)
    yield schedule("a schedule of a group whose name begins like ours", account, group + "2")
    yield schedule("a schedule of another account, whose group is named like ours", "210987654321", theirs)
    yield schedule("a schedule of another account, under the name of our group", "210987654321", group)
    yield schedule("a schedule of another Region", account, group.replace(stack.place["region"], "eu-central-1"))
    yield assumed("a schedule of which nothing is known", ours.principal)
    yield replace(ours, what="another service on behalf of our schedule", principal="events.amazonaws.com")
    yield replace(ours, what="a role of the account", principal=stack.arn("iam", "role/Admin", region=""))


def of_function(function, name):
    """The tables of the role of a function."""
    return Role(
        calls=lambda stack: function(stack).calls(),
        by_service=lambda stack: [*function(stack).by_lambda(), *function(stack).by_ec2()],
        misses=lambda stack: function(stack).misses(),
        trust=by_lambda_service,
        mistrust=by_others,
        function=name,
    )


ROLES = {
    "LaunchRole": of_function(Launch, "LaunchFunction"),
    "ScheduleRole": of_function(Schedule, "ScheduleFunction"),
    "EndRole": of_function(End, "EndFunction"),
    "ReconcileRole": of_function(Reconcile, "ReconcileFunction"),
    "StatusRole": of_function(Status, "StatusFunction"),
    "OperateRole": of_function(Operate, "OperateFunction"),
    "SchedulerRole": Role(
        calls=lambda stack: [],
        by_service=lambda stack: Scheduler(stack).calls(),
        misses=lambda stack: Scheduler(stack).misses(),
        trust=by_our_schedules,
        mistrust=by_other_schedules,
    ),
    # Not a word of ours: what Session Manager and Run Command need on a machine is AWS's to say.
    "MachineRole": Role(
        calls=lambda stack: [],
        by_service=lambda stack: [],
        misses=lambda stack: [],
        trust=by_ec2,
        mistrust=by_others_than_ec2,
        of_aws=("AmazonSSMManagedInstanceCore",),
    ),
}

# Kinds of resource that an action may touch, and ours never does: (action, kind) → why.
UNTOUCHED = {
    ("dynamodb:Query", "table"): "a query of an index is judged for the index alone: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/using-identity-based-policies.html",
    ("ec2:AssociateRouteTable", "internet-gateway"): "a table is that of subnets",
    ("ec2:AssociateRouteTable", "ipv4pool-ec2"): "the same",
    ("ec2:AssociateRouteTable", "vpn-gateway"): "the same",
    ("ec2:CreateSubnet", "ipam-pool"): "addresses are given, and of no pool",
    ("ec2:CreateVolume", "snapshot"): "a new volume is empty",
    ("ec2:CreateVpc", "ipam-pool"): "addresses are given, and of no pool",
    ("ec2:CreateVpc", "ipv6pool-ec2"): "the same",
    ("ec2:ModifyInstanceAttribute", "security-group"): "a machine keeps its groups",
    ("ec2:ModifyNetworkInterfaceAttribute", "security-group"): "a network interface keeps its groups",
    ("ec2:ModifyNetworkInterfaceAttribute", "subnet"): "a network interface keeps its subnet",
    ("ec2:RunInstances", "capacity-reservation"): "none is asked for",
    ("ec2:RunInstances", "elastic-gpu"): "none is asked for",
    ("ec2:RunInstances", "elastic-inference"): "none is asked for",
    ("ec2:RunInstances", "group"): "no resource group of capacity reservations is asked for",
    ("ec2:RunInstances", "license-configuration"): "none is asked for",
    ("ec2:RunInstances", "placement-group"): "none is asked for",
    ("ec2:RunInstances", "secondary-interface"): "a machine has one network interface",
    ("ec2:RunInstances", "secondary-subnet"): "a machine has one network interface",
    ("ec2:RunInstances", "snapshot"): "the request names none; the image's own are the image's",
    ("ec2:StartInstances", "group"): "a machine is in no resource group of capacity reservations",
    ("ec2:StartInstances", "license-configuration"): "a machine has none",
    ("ssm:SendCommand", "bucket"): "what a command says is read, and goes to no bucket",
    ("ssm:SendCommand", "managed-instance"): "a machine of EC2 is an instance",
}

# Condition keys that AWS documents for our calls, and that carry nothing in them: key → why. The key may be a pattern;
# with a kind of resource before it, it is of that kind alone.
NOT_SENT = {
    "aws:ResourceTag/${TagKey}": "tags of what others made are theirs to change; what is being created has none",
    "ec2:ResourceTag/${TagKey}": "the same",
    "dynamodb:Attributes": "a refused write asks for the whole record (ReturnValuesOnConditionCheckFailure), and AWS "
    "does not say what a list of attributes makes of that; so the policy leaves attributes alone",
    "dynamodb:EnclosingOperation": "there are no transactions",
    "ec2:AssociatePublicIpAddress": "the subnet decides, unless PUBLIC_IP does",
    "ec2:Attribute": "AWS does not say what it is where a volume or a network interface is to go with its machine; so the "
    "policy leaves attributes alone",
    "ec2:Attribute/${AttributeName}": "the same",
    "ec2:AuthorizedService": "the network interface is no service's",
    "ec2:AuthorizedUser": "the network interface is no one else's",
    "ec2:BootModeOverride": "not asked for",
    "ec2:CpuOptionsAmdSevSnp": "not asked for",
    "ec2:CreateAction": "sent where a tag comes with what it is on, and an orphan's mark comes later",
    "index: dynamodb:ReturnValues": "a query has none",
    "ec2:InstanceAutoRecovery": "not asked for",
    "ec2:InstanceProfile": "sent with a profile",
    "ec2:Ipv4IpamPoolId": "addresses are given, and of no pool",
    "ec2:Ipv6IpamPoolId": "the same",
    "ec2:KmsKeyId": "a new volume has the account's own key",
    "ec2:LaunchTemplate": "there is none",
    "ec2:ManagedResourceOperator": "no service manages what is launched",
    "ec2:MetadataHttpTokens": "what image and account decide, unless IMDS_TOKENS does",
    "ec2:NetworkInterfaceID": "one that is being made has none yet",
    "ec2:OutpostArn": "the machines are in the Region, and so are their snapshots",
    "ec2:ParentSnapshot": "the image's, if any: the request names none",
    "ec2:ParentVolume": "there is none",
    "ec2:Permission": "the network interface is no one else's",
    "ec2:PlacementGroup": "there is none",
    "ec2:ProductCode": "the image's, if any",
    "ec2:SourceOutpostArn": "the same",
    "ec2:VolumeID": "one that is being made has none yet",
    "ec2:VolumeInitializationRate": "not asked for",
    "ec2:VolumeIops": "sent with VOLUME_IOPS: VolumeType allows no type that needs it",
    "ec2:VolumeThroughput": "sent with VOLUME_THROUGHPUT",
    "iam:AssociatedResourceArn": "AWS does not say that Scheduler sends it; launch's PassRole, by EC2, has it",
    "kms:GrantConstraintSourceArn": "the grant is for one disk, by its context",
    "kms:GranteePrincipal": "whom EC2 lets open a disk is its own affair, but it is of AWS",
    "kms:GranteeServicePrincipal": "the same",
    "kms:ReEncryptOnSameKey": "the image may be encrypted with this key or another",
    "kms:RecipientAttestation:*": "EC2 is no enclave",
    "kms:RequestAlias": "the key is named by its ARN",
    "kms:RetiringPrincipal": "EC2's own affair",
    "kms:RetiringServicePrincipal": "the same",
    "lambda:EventSourceToken": "Alexa's",
    "lambda:InvokedViaFunctionUrl": "the function has no URL",
    "logs:LogGeneratingResourceArns": "of traces that CloudWatch Logs delivers for a service; Lambda sends its own",
    "parameter: aws:RequestTag/${TagKey}": "a parameter is not tagged",
    "parameter: aws:TagKeys": "the same",
    "snapshot: ec2:AvailabilityZone": "of one in a Local Zone",
    "ssm:Overwrite": "AWS does not say that it comes with a request that has no word on it",
    "ssm:Policies": "a parameter has none",
    "ssm:resourceTag/${TagKey}": "AWS's own documents have no tags",
}

"""The sets of answers to the template's parameters under which its policies are judged.

Together they take every branch that a policy has: what is left out when a parameter is empty, lists of one and of
several, a Region whose ARNs and services are named differently.
"""

from sam import REGION, Stack

# Nothing has to be answered.
LEAST = {}

EVERYTHING = {
    "AmiId": "ubuntu:daily:24.04",
    "InstanceType": "t3.large, m5.large,c7i-flex.large",
    "OverrideInstanceTypes": "t3.xlarge,u-6tb1.metal",
    "SecurityGroupIds": "sg-0a1b2c3d,sg-00112233445566778",
    "IamProfile": "machines",
    "MachineRoleArn": "arn:aws:iam::123456789012:role/meetings/machine",
    "UserData": "#!/bin/sh\necho @elephant:meeting_id@, @elephant:role@",
    "SubnetIds": "subnet-0a1b2c3d,subnet-00112233445566778",
    "VolumeKmsKeyArn": "arn:aws:kms:us-west-2:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    "ExistingTableName": "meetings.of-old",
    "ProjectTag": "Elephant: two/2",
    "ExtraTags": "Department=Maths,Cost centre=4=2,Empty=",
    "CompanionSchedules": "default/safety-{meeting_id},others.of/{meeting_id}_end",
    "CompanionRoleArn": "arn:aws:iam::123456789012:role/elephant/scheduler",
    "Settings": "KEY_NAME=support key;LAUNCH_TEMPLATE=class/rooms:$Latest;MARKET=spot-then-on-demand;PAIR=same-az",
    "LaunchTimeoutSeconds": "60",
    "AlarmTopicArn": "arn:aws:sns:us-west-2:123456789012:operators",
    "Alarms": "all",
    "KmsKeyArn": "arn:aws:kms:us-west-2:123456789012:key/9f8e7d6c-5b4a-3210-9876-543210fedcba",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundaries/classroom",
    "RolePath": "/teams/classroom/",
}

# Name → answers and Region.
SETS = {
    # The image in a public parameter, and a security group, a role and a profile of the stack's own in the default VPC.
    "no answer": (LEAST, REGION),
    "everything answered": (EVERYTHING, REGION),
    # A profile by its ARN, an image by its id.
    "a profile in the default VPC": (
        {
            "AmiId": "ami-0e7fd79d17e852d18",
            "SecurityGroupIds": "sg-0a1b2c3d",
            "IamProfile": "arn:aws:iam::123456789012:instance-profile/meetings/machines",
            "MachineRoleArn": "arn:aws:iam::123456789012:role/machine",
            "Alarms": "all",
            "AlarmTopicArn": "arn:aws:sns:us-west-2:123456789012:operators",
        },
        REGION,
    ),
    # An image that Settings name, one type that a record may ask for, subnets of a VPC in which the stack makes the
    # security group.
    "a role, but no profile": (
        {
            "OverrideInstanceTypes": "m5.2xlarge",
            "AmiId": "",
            "Settings": "AMI_ARCH=arm64;AMI_NAME=class*room [2026];AMI_OWNER=self;MARKET=spot",
            "MachineRoleArn": "arn:aws:iam::123456789012:role/machine",
            "SubnetIds": "subnet-0a1b2c3d",
            "Alarms": "none",
            "AlarmTopicArn": "arn:aws:sns:us-west-2:123456789012:operators",
            "VpcId": "vpc-0123456789abcdef0",
        },
        REGION,
    ),
    # And an image of a publisher's parameter, as many further tags as there may be.
    "a VPC by its id": (
        {
            "AmiId": "resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
            "VpcId": "vpc-0123456789abcdef0",
            "Alarms": "all",
            "AlarmEmail": "operators@example.com",
            "ExtraTags": ",".join(f"tag-{number}={number}" for number in range(10)),
            "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
            "RolePath": "/classroom/",
        },
        REGION,
    ),
    # An image of a parameter of our own.
    "China": (
        {
            "AmiId": "resolve:ssm:/images/ami-of/class.room:stable",
            "CompanionSchedules": "default/safety-{meeting_id}",
            "CompanionRoleArn": "arn:aws-cn:iam::123456789012:role/scheduler",
            "VolumeKmsKeyArn": "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "ExtraTags": "Term=spring",
            "AlarmEmail": "operators@example.com",
            "Settings": "VOLUME_DEVICE=/dev/xvda;VPC_NAME=class rooms",
            "KmsKeyArn": "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-9f8e7d6c5b4a32109876543210fedcba",
            "AlarmTopicArn": "arn:aws-cn:sns:cn-north-1:123456789012:operators",
        },
        "cn-north-1",
    ),
}

# Every answer that stands in a policy as long as AWS takes it, all at once, and lists as long as people use them: a Parameter
# Store name has 1011 characters at most, a role's path 512, a network interface 16 security groups, a Region 6 zones.
LONGEST = EVERYTHING | {
    "AmiId": f"resolve:ssm:/{'a' * 1010}",
    "InstanceType": ",".join(["c7i-flex.12xlarge"] * 8),
    "OverrideInstanceTypes": ",".join(["m7i-flex.12xlarge"] * 8),
    "SecurityGroupIds": ",".join(f"sg-{number:017x}" for number in range(16)),
    "SubnetIds": ",".join(f"subnet-{number:017x}" for number in range(6)),
    "MachineRoleArn": f"arn:aws:iam::123456789012:role/{'p' * 510}/{'r' * 64}",
    "ExistingTableName": "t" * 255,
    "RolePath": f"/{'p' * 510}/",
    "ProjectTag": "E" * 256,
    "ExtraTags": ",".join(f"{number}{'t' * 127}=" for number in range(10)),
    "CompanionSchedules": ",".join(f"{'g' * 64}/{number}{'n' * 26}-{{meeting_id}}" for number in range(10)),
    "CompanionRoleArn": f"arn:aws:iam::123456789012:role/{'p' * 510}/{'r' * 64}",
}

KEY = {"VolumeKmsKeyArn": EVERYTHING["VolumeKmsKeyArn"]}
COMPANION_ROLE = {"CompanionRoleArn": EVERYTHING["CompanionRoleArn"]}

# What CloudFormation has to refuse: name → answers.
REFUSED = {
    "a profile without its role": {"IamProfile": "machines"},
    "companions without their role": {"CompanionSchedules": "default/safety-{meeting_id}"},
    "one companion for all meetings": COMPANION_ROLE | {"CompanionSchedules": "default/safety"},
    "a wildcard among the companions": COMPANION_ROLE | {"CompanionSchedules": "default/*{meeting_id}"},
    "subnets of which nobody says where a security group belongs": {"SubnetIds": "subnet-0a1b2c3d"},
    "a setting that there is not": {"Settings": "MARKTE=spot"},
    "a setting that has a parameter": {"Settings": "AMI_ID=al2023"},
    "a setting that is the stack's": {"Settings": "SCHEDULE_GROUP=mine"},
    "a setting without a value": {"Settings": "MARKET=spot;PAIR="},
    "a value that there is not": {"Settings": "MARKET=ondemand"},
    "a number beyond its range": {"Settings": "LEAD_MINUTES=1441"},
    "settings that nothing separates": {"Settings": "MARKET=spot PAIR=any"},
    "a wildcard in the role": {"IamProfile": "m", "MachineRoleArn": "arn:aws:iam::123456789012:role/*"},
    "a wildcard for the image": {"AmiId": "*"},
    "a wildcard in the image's parameter": {"AmiId": "resolve:ssm:/images/*"},
    "a variable in the image's parameter": {"AmiId": "resolve:ssm:/images/${aws:username}"},
    "a wildcard among the types that a record may ask for": {"OverrideInstanceTypes": "t3.xlarge,t3.*"},
    "a wildcard among the security groups": {"SecurityGroupIds": "sg-0a1b2c3d,*"},
    "a wildcard for the subnets": {"SubnetIds": "*"},
    "a wildcard for the VPC": {"VpcId": "vpc-*"},
    "a wildcard for the key": {"VolumeKmsKeyArn": KEY["VolumeKmsKeyArn"].partition("/")[0] + "/*"},
    "a wildcard among the further tags": {"ExtraTags": "Department=Maths,*=2"},
    "a further tag whose key the function would read otherwise": {"ExtraTags": "Department=Maths, Owner=2"},
    "more further tags than the policy takes apart": {"ExtraTags": ",".join(f"t{i}=" for i in range(11))},
    "a wildcard for the table": {"ExistingTableName": "meet*"},
    "a variable in the project's tag": {"ProjectTag": "${aws:username}"},
    "an alarm topic that is none": {"AlarmTopicArn": "operators"},
    "alarms of a kind that there is not": {"Alarms": "some"},
    "a wildcard for the key of the stack": {"KmsKeyArn": KEY["VolumeKmsKeyArn"].partition("/")[0] + "/*"},
    "a permissions boundary that is no policy": {"PermissionsBoundaryArn": "boundary"},
    "a path without a slash at its end": {"RolePath": "/teams"},
}


def stacks(translated):
    """Each set's name with its stack."""
    return {name: Stack(translated, answers, region) for name, (answers, region) in SETS.items()}

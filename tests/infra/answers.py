"""The sets of answers to the template's parameters under which its policies are judged.

Together they take every branch that a policy has: what is left out when a parameter is empty, lists of one and of
several, a Region whose ARNs and services are named differently.
"""

from sam import REGION, Stack

LEAST = {"AmiId": "ami-0e7fd79d17e852d18", "InstanceType": "t3.large", "SecurityGroupIds": "sg-0a1b2c3d"}

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM0IxMQxbfINnDBFD+d23N5IEAKeZBzeUmxbv/7B93Cj support@example.com"

EVERYTHING = LEAST | {
    "AmiId": "ubuntu:daily:24.04",
    "AmiArch": "arm64",
    "InstanceType": "t3.large, m5.large,c7i-flex.large",
    "OverrideInstanceTypes": "t3.xlarge,u-6tb1.metal",
    "Market": "spot-then-on-demand",
    "Pair": "same-az",
    "LaunchTemplate": "class/rooms:$Latest",
    "SecurityGroupIds": "sg-0a1b2c3d,sg-00112233445566778",
    "KeyName": "support key",
    "IamProfile": "machines",
    "MachineRoleArn": "arn:aws:iam::123456789012:role/meetings/machine",
    "ImdsTokens": "required",
    "UserData": "#!/bin/sh\necho @elephant:meeting_id@, @elephant:role@",
    "SupportedAzs": "us-west-2a,us-west-2c",
    "SubnetIds": "subnet-0a1b2c3d,subnet-00112233445566778",
    "PublicIp": "false",
    "VolumeDevice": "/dev/sda1",
    "VolumeIops": "4000",
    "VolumeThroughput": "500",
    "VolumeKmsKeyArn": "arn:aws:kms:us-west-2:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    "ExistingTableName": "meetings.of-old",
    "ProjectTag": "Elephant: two/2",
    "ExtraTags": "Department=Maths,Cost centre=4=2,Empty=",
    "EarliestMinutes": "2880",
    "LeadMinutes": "30",
    "FlexibleWindowMinutes": "0",
    "CompanionSchedules": "default/safety-{meeting_id},others.of/{meeting_id}_end",
    "CompanionRoleArn": "arn:aws:iam::123456789012:role/elephant/scheduler",
    "GraceMinutes": "20",
    "MaxMeetingHours": "12",
    "DueMinutes": "10",
    "MaxReplacements": "1",
    "MaxEndings": "50",
    "ReadyMinutes": "30",
    "RelaunchUnready": "true",
    "CleanUp": "true",
    "SweepDryRun": "true",
    "LaunchEventAgeSeconds": "9000",
    "LaunchReservedConcurrency": "50",
    "ScheduleReservedConcurrency": "5",
    "LaunchTimeoutSeconds": "60",
    "LogFormat": "Text",
    "LogLevel": "DEBUG",
    "AlarmTopicArn": "arn:aws:sns:us-west-2:123456789012:operators",
    "Alarms": "all",
    "SlowLaunchSeconds": "20",
    "ShortLeadSeconds": "600",
    "KmsKeyArn": "arn:aws:kms:us-west-2:123456789012:key/9f8e7d6c-5b4a-3210-9876-543210fedcba",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundaries/classroom",
    "RolePath": "/teams/classroom/",
}

# Name → answers and Region.
SETS = {
    "what must be answered": (LEAST, REGION),
    "everything answered": (EVERYTHING, REGION),
    # A profile by its ARN, zones of the default VPC, a device that is looked up, an image by its short name, a key pair
    # that the stack imports.
    "a profile in the default VPC": (
        LEAST
        | {
            "AmiId": "debian:12",
            "AmiArch": "x86_64",
            "NewKeyName": "support key",
            "PublicKey": PUBLIC_KEY,
            "IamProfile": "arn:aws:iam::123456789012:instance-profile/meetings/machines",
            "MachineRoleArn": "arn:aws:iam::123456789012:role/machine",
            "ImdsTokens": "optional",
            "SupportedAzs": "us-west-2b",
            "Alarms": "all",
            "AlarmTopicArn": "arn:aws:sns:us-west-2:123456789012:operators",
        },
        REGION,
    ),
    # An image by its name, and one type that a record may ask for.
    "a role, but no profile": (
        LEAST
        | {
            "OverrideInstanceTypes": "m5.2xlarge",
            "AmiId": "",
            "AmiName": "class*room [2026]",
            "AmiOwner": "self",
            "AmiArch": "arm64",
            "Market": "spot",
            "MachineRoleArn": "arn:aws:iam::123456789012:role/machine",
            "SubnetIds": "subnet-0a1b2c3d",
            "VolumeDevice": "/dev/sda1",
            "VolumeEncrypted": "false",
            "TableStream": "NEW_AND_OLD_IMAGES",
            "Alarms": "none",
            "AlarmTopicArn": "arn:aws:sns:us-west-2:123456789012:operators",
        },
        REGION,
    ),
    # And an image of a publisher's parameter, as many further tags as there may be, a key pair that the stack makes.
    "a VPC by its id": (
        LEAST
        | {
            "AmiId": "resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
            "NewKeyName": "classroom",
            "NewKeyType": "rsa",
            "VpcId": "vpc-0123456789abcdef0",
            "PublicIp": "true",
            "TableStream": "NEW_IMAGE",
            # A dashboard, and nobody for the alarms to tell.
            "Alarms": "all",
            "ExtraTags": ",".join(f"tag-{number}={number}" for number in range(10)),
        },
        REGION,
    ),
    # A VPC by its name, an image of a parameter of our own.
    "China": (
        LEAST
        | {
            "AmiId": "resolve:ssm:/images/ami-of/class.room:stable",
            "KeyName": "support",
            "IamProfile": "machines",
            "MachineRoleArn": "arn:aws-cn:iam::123456789012:role/machine",
            "VpcName": "class rooms",
            "CompanionSchedules": "default/safety-{meeting_id}",
            "CompanionRoleArn": "arn:aws-cn:iam::123456789012:role/scheduler",
            "VolumeDevice": "/dev/xvda",
            "VolumeIops": "3000",
            "VolumeKmsKeyArn": "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "ExtraTags": "Term=spring",
            "LogLevel": "TRACE",
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
    "AmiArch": "",
    "InstanceType": ",".join(["c7i-flex.12xlarge"] * 8),
    "OverrideInstanceTypes": ",".join(["m7i-flex.12xlarge"] * 8),
    "SecurityGroupIds": ",".join(f"sg-{number:017x}" for number in range(16)),
    "SubnetIds": ",".join(f"subnet-{number:017x}" for number in range(6)),
    "SupportedAzs": ",".join(f"us-west-2{letter}" for letter in "abcdef"),
    "KeyName": "k" * 255,
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
NAMED = {"AmiName": "classroom-*", "AmiOwner": "self"}

# What CloudFormation has to refuse: name → answers.
REFUSED = {
    "a profile without its role": LEAST | {"IamProfile": "machines"},
    "no image": LEAST | {"AmiId": ""},
    "two images": LEAST | NAMED,
    "an image by its name, whoever made it": LEAST | NAMED | {"AmiId": "", "AmiOwner": ""},
    "an image's owner without a name": LEAST | {"AmiOwner": "amazon"},
    "companions without their role": LEAST | {"CompanionSchedules": "default/safety-{meeting_id}"},
    "one companion for all meetings": LEAST | COMPANION_ROLE | {"CompanionSchedules": "default/safety"},
    "a wildcard among the companions": LEAST | COMPANION_ROLE | {"CompanionSchedules": "default/*{meeting_id}"},
    "subnets and a VPC": LEAST | {"SubnetIds": "subnet-0a1b2c3d", "VpcId": "vpc-0a1b2c3d"},
    "subnets and the name of a VPC": LEAST | {"SubnetIds": "subnet-0a1b2c3d", "VpcName": "rooms"},
    "two VPCs": LEAST | {"VpcId": "vpc-0a1b2c3d", "VpcName": "rooms"},
    "operations per second of a type that has none": LEAST | {"VolumeType": "gp2", "VolumeIops": "3000"},
    "throughput of a type that has none": LEAST | {"VolumeType": "standard", "VolumeThroughput": "125"},
    "a key without encryption": LEAST | KEY | {"VolumeEncrypted": "false"},
    "two key pairs": LEAST | {"KeyName": "support", "NewKeyName": "classroom"},
    "a public key without a name": LEAST | {"PublicKey": PUBLIC_KEY},
    "a private key for the public one": LEAST | {"NewKeyName": "classroom", "PublicKey": "-----BEGIN PRIVATE KEY-----"},
    "a wildcard in the name of the key pair": LEAST | {"KeyName": "*"},
    "a wildcard in the name of the new key pair": LEAST | {"NewKeyName": "class*"},
    "a wildcard in the role": LEAST | {"IamProfile": "m", "MachineRoleArn": "arn:aws:iam::123456789012:role/*"},
    "a wildcard for the image": LEAST | {"AmiId": "*"},
    "a wildcard in the image's parameter": LEAST | {"AmiId": "resolve:ssm:/images/*"},
    "a variable in the image's parameter": LEAST | {"AmiId": "resolve:ssm:/images/${aws:username}"},
    "a wildcard among the types that a record may ask for": LEAST | {"OverrideInstanceTypes": "t3.xlarge,t3.*"},
    "a wildcard among the security groups": LEAST | {"SecurityGroupIds": "sg-0a1b2c3d,*"},
    "a wildcard for the subnets": LEAST | {"SubnetIds": "*"},
    "a wildcard for the VPC": LEAST | {"VpcId": "vpc-*"},
    "a wildcard for the key": LEAST | {"VolumeKmsKeyArn": KEY["VolumeKmsKeyArn"].partition("/")[0] + "/*"},
    "a wildcard among the further tags": LEAST | {"ExtraTags": "Department=Maths,*=2"},
    "a further tag whose key the function would read otherwise": LEAST | {"ExtraTags": "Department=Maths, Owner=2"},
    "more further tags than the policy takes apart": LEAST | {"ExtraTags": ",".join(f"t{i}=" for i in range(11))},
    "a wildcard for the table": LEAST | {"ExistingTableName": "meet*"},
    "a variable in the project's tag": LEAST | {"ProjectTag": "${aws:username}"},
    "a level of the log that drops the metrics": LEAST | {"LogLevel": "WARN"},
    "alarms of a kind that there is not": LEAST | {"Alarms": "some"},
    "an alarm topic that is none": LEAST | {"AlarmTopicArn": "operators"},
    "an event age that Lambda does not offer": LEAST | {"LaunchEventAgeSeconds": "43200"},
    "a wildcard for the key of the stack": LEAST | {"KmsKeyArn": KEY["VolumeKmsKeyArn"].partition("/")[0] + "/*"},
    "a permissions boundary that is no policy": LEAST | {"PermissionsBoundaryArn": "boundary"},
    "a path without a slash at its end": LEAST | {"RolePath": "/teams"},
    "a lead of more than a day": LEAST | {"LeadMinutes": "1441"},
}


def stacks(translated):
    """Each set's name with its stack."""
    return {name: Stack(translated, answers, region) for name, (answers, region) in SETS.items()}

"""The sets of answers to the template's parameters under which its policies are judged.

Together they take every branch that a policy has: what is left out when a parameter is empty, lists of one and of
several, a Region whose ARNs and services are named differently.
"""

from sam import REGION, Stack

LEAST = {"AmiId": "ami-0e7fd79d17e852d18", "InstanceType": "t3.large", "SecurityGroupIds": "sg-0a1b2c3d"}

EVERYTHING = LEAST | {
    "InstanceType": "t3.large, m5.large,c7i-flex.large",
    "SecurityGroupIds": "sg-0a1b2c3d,sg-00112233445566778",
    "KeyName": "support key",
    "IamProfile": "machines",
    "MachineRoleArn": "arn:aws:iam::123456789012:role/meetings/machine",
    "ImdsTokens": "required",
    "SupportedAzs": "us-west-2a,us-west-2c",
    "SubnetIds": "subnet-0a1b2c3d,subnet-00112233445566778",
    "VolumeDevice": "/dev/sda1",
    "VolumeEncrypted": "false",
    "ExistingTableName": "meetings.of-old",
    "ProjectTag": "Elephant: two/2",
    "LeadMinutes": "30",
    "FlexibleWindowMinutes": "0",
    "LaunchEventAgeSeconds": "9000",
    "LaunchReservedConcurrency": "50",
    "ScheduleReservedConcurrency": "5",
    "LaunchTimeoutSeconds": "60",
    "LogFormat": "Text",
    "LogLevel": "DEBUG",
    "AlarmTopicArn": "arn:aws:sns:us-west-2:123456789012:operators",
    "SlowLaunchSeconds": "20",
    "ShortLeadSeconds": "600",
}

# Name → answers and Region.
SETS = {
    "what must be answered": (LEAST, REGION),
    "everything answered": (EVERYTHING, REGION),
    # A profile by its ARN, zones of the default VPC, a device that is looked up.
    "a profile in the default VPC": (
        LEAST
        | {
            "IamProfile": "arn:aws:iam::123456789012:instance-profile/meetings/machines",
            "MachineRoleArn": "arn:aws:iam::123456789012:role/machine",
            "ImdsTokens": "optional",
            "SupportedAzs": "us-west-2b",
        },
        REGION,
    ),
    "a role, but no profile": (
        LEAST | {"MachineRoleArn": "arn:aws:iam::123456789012:role/machine", "SubnetIds": "subnet-0a1b2c3d"},
        REGION,
    ),
    "China": (
        LEAST
        | {
            "KeyName": "support",
            "IamProfile": "machines",
            "MachineRoleArn": "arn:aws-cn:iam::123456789012:role/machine",
            "VolumeDevice": "/dev/xvda",
            "LogLevel": "TRACE",
            "AlarmTopicArn": "arn:aws-cn:sns:cn-north-1:123456789012:operators",
        },
        "cn-north-1",
    ),
}

# What CloudFormation has to refuse: name → answers.
REFUSED = {
    "a profile without its role": LEAST | {"IamProfile": "machines"},
    "a wildcard in the name of the key pair": LEAST | {"KeyName": "*"},
    "a wildcard in the role": LEAST | {"IamProfile": "m", "MachineRoleArn": "arn:aws:iam::123456789012:role/*"},
    "a wildcard for the image": LEAST | {"AmiId": "*"},
    "a wildcard among the security groups": LEAST | {"SecurityGroupIds": "sg-0a1b2c3d,*"},
    "a wildcard for the subnets": LEAST | {"SubnetIds": "*"},
    "a wildcard for the table": LEAST | {"ExistingTableName": "meet*"},
    "a variable in the project's tag": LEAST | {"ProjectTag": "${aws:username}"},
    "a level of the log that drops the metrics": LEAST | {"LogLevel": "WARN"},
    "an alarm topic that is none": LEAST | {"AlarmTopicArn": "operators"},
    "an event age that Lambda does not offer": LEAST | {"LaunchEventAgeSeconds": "43200"},
    "a lead of more than a day": LEAST | {"LeadMinutes": "1441"},
}


def stacks(translated):
    """Each set's name with its stack."""
    return {name: Stack(translated, answers, region) for name, (answers, region) in SETS.items()}

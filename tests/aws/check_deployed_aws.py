"""Self-check of the AWS that stacks are deployed to: each thing that ministack_extension.py adds to MiniStack, seen from
outside with boto3, and what is left once it has ended.

    python check_deployed_aws.py

It starts the server itself. What it has to wait for it polls until a deadline.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import unittest
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-west-2"
ACCOUNT = "123456789012"
DEADLINE = 30
GROUP = "meetings"
SOON = "at(2026-01-05T10:00:00)"
LATER = "at(2040-01-05T10:00:00)"
CONTEXT = ("schedule-arn", "scheduled-time", "execution-id", "attempt-number")


class Server:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("deployed_aws.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.ready = json.loads(self.process.stdout.readline())

    def client(self, service, key="test", secret="test", endpoint=None):
        return boto3.client(
            service,
            endpoint_url=endpoint or self.ready["aws"],
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def control(self, name, content):
        request = urllib.request.Request(
            f"{self.ready['endpoint']}/_local/{name}", json.dumps(content).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return json.loads(answer.read())

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(DEADLINE)


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to pass in time")
        time.sleep(0.02)
    return found


def policy(*statements):
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}
                for action, resource, condition in statements
            ],
        }
    )


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "scheduler.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


class SchedulerCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)
        cls.scheduler, cls.sqs, cls.iam = (cls.server.client(name) for name in ("scheduler", "sqs", "iam"))
        cls.scheduler.create_schedule_group(Name=GROUP)
        cls.target, cls.target_url = cls.make_queue("target")
        cls.dead, cls.dead_url = cls.make_queue("dead")
        cls.role = cls.make_role("scheduler", policy(("sqs:SendMessage", [cls.target, cls.dead], {})))

    @classmethod
    def make_queue(cls, name):
        url = cls.sqs.create_queue(QueueName=name)["QueueUrl"]
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", url

    @classmethod
    def make_role(cls, name, document):
        role = cls.iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]
        cls.iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=document)
        return role["Arn"]

    def schedule(self, name="launch-m", expression=LATER, role=None, **more):
        return {
            "Name": name,
            "GroupName": GROUP,
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": self.target,
                "RoleArn": role or self.role,
                "DeadLetterConfig": {"Arn": self.dead},
                "RetryPolicy": {"MaximumEventAgeInSeconds": 8100, "MaximumRetryAttempts": 30},
                "Input": json.dumps({"meeting_id": "m", **{key: f"<aws.scheduler.{key}>" for key in CONTEXT}}),
            },
            **more,
        }

    @contextlib.contextmanager
    def refused(self, code, status):
        with self.assertRaises(ClientError) as caught:
            yield caught
        response = caught.exception.response
        self.assertEqual(response["Error"]["Code"], code)
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], status)

    def names(self):
        return [schedule["Name"] for schedule in self.scheduler.list_schedules(GroupName=GROUP)["Schedules"]]

    def message(self, url):
        def receive():
            messages = self.sqs.receive_message(QueueUrl=url).get("Messages", [])
            for message in messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return messages

        [message] = wait_until(receive)
        return json.loads(message["Body"])

    def test_a_schedule_is_made_once_read_changed_and_deleted(self):
        given = self.schedule("launch-once")
        arn = self.scheduler.create_schedule(**given)["ScheduleArn"]
        self.assertEqual(arn, f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{GROUP}/launch-once")
        with self.refused("ConflictException", 409):
            self.scheduler.create_schedule(**given)
        found = self.scheduler.get_schedule(Name="launch-once", GroupName=GROUP)
        self.assertEqual({key: found[key] for key in given}, given)
        self.assertEqual(found["State"], "ENABLED")
        self.scheduler.update_schedule(**{**given, "ScheduleExpression": "at(2041-01-05T10:00:00)"})
        found = self.scheduler.get_schedule(Name="launch-once", GroupName=GROUP)
        self.assertEqual(found["ScheduleExpression"], "at(2041-01-05T10:00:00)")
        self.scheduler.delete_schedule(Name="launch-once", GroupName=GROUP)
        self.assertNotIn("launch-once", self.names())

    def test_what_does_not_exist_is_not_found(self):
        with self.refused("ResourceNotFoundException", 404):
            self.scheduler.get_schedule(Name="launch-none", GroupName=GROUP)
        with self.refused("ResourceNotFoundException", 404):
            self.scheduler.update_schedule(**self.schedule("launch-none"))
        with self.refused("ResourceNotFoundException", 404):
            self.scheduler.delete_schedule(Name="launch-none", GroupName=GROUP)
        with self.refused("ResourceNotFoundException", 404):
            self.scheduler.create_schedule(**self.schedule(GroupName="nowhere"))

    def test_what_makes_no_sense_is_refused(self):
        target = self.schedule()["Target"]
        for wrong in (
            {"ScheduleExpression": "at(2026-01-05T10:00:00Z)"},
            {"ScheduleExpression": "at(2026-02-30T10:00:00)"},
            {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
            {"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
            {"Target": {**target, "Input": "no JSON"}},
        ):
            with self.subTest(wrong), self.refused("ValidationException", 400):
                self.scheduler.create_schedule(**{**self.schedule("launch-wrong"), **wrong})
        self.assertNotIn("launch-wrong", self.names())

    def test_what_the_schema_does_not_take_is_refused_and_remembered(self):
        target = self.schedule()["Target"]
        for wrong, finding in (
            ({"Name": "x" * 65}, "Name has a length of 65"),
            ({"ActionAfterCompletion": "FORGET"}, "ActionAfterCompletion is none of the enumeration: FORGET"),
            ({"Target": {**target, "RetryPolicy": {"MaximumRetryAttempts": 186}}}, "is not from 0 to 185: 186"),
        ):
            with self.subTest(wrong), self.refused("LocalSchemaViolation", 400) as caught:
                self.scheduler.create_schedule(**{**self.schedule("launch-wrong"), **wrong})
            self.assertIn(finding, str(caught.exception))
            with urllib.request.urlopen(f"{self.server.ready['endpoint']}/_local/violations", timeout=DEADLINE) as told:
                self.assertIn(finding, told.read().decode())

    def test_group_name_and_role_to_pass_are_judged(self):
        self.iam.create_user(UserName="clerk")
        key = self.iam.create_access_key(UserName="clerk")["AccessKey"]
        clerk = self.server.client("scheduler", key["AccessKeyId"], key["SecretAccessKey"])
        made = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{GROUP}/launch-*"
        to_scheduler = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}

        def allow(*statements):
            self.iam.put_user_policy(UserName="clerk", PolicyName="p", PolicyDocument=policy(*statements))

        allow(("scheduler:*", made, {}))
        with self.refused("AccessDeniedException", 403) as caught:
            clerk.create_schedule(**self.schedule("launch-clerk"))
        self.assertIn("iam:PassRole", str(caught.exception))
        allow(("scheduler:*", made, {}), ("iam:PassRole", self.role, to_scheduler))
        clerk.create_schedule(**self.schedule("launch-clerk"))
        clerk.update_schedule(**self.schedule("launch-clerk"))
        clerk.get_schedule(Name="launch-clerk", GroupName=GROUP)
        with self.refused("AccessDeniedException", 403):
            clerk.create_schedule(**self.schedule("other"))
        with self.refused("AccessDeniedException", 403):
            clerk.create_schedule(**self.schedule("launch-clerk", GroupName="default"))
        with self.refused("AccessDeniedException", 403):
            clerk.get_schedule(Name="launch-clerk")
        with self.refused("AccessDeniedException", 403):
            clerk.create_schedule(**self.schedule("launch-other", role=self.role + "x"))
        clerk.delete_schedule(Name="launch-clerk", GroupName=GROUP)

    def test_it_fires_once_with_its_context_and_is_gone(self):
        self.scheduler.create_schedule(**self.schedule("launch-now", SOON))
        sent = self.message(self.target_url)
        self.assertEqual(sent.pop("schedule-arn"), f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{GROUP}/launch-now")
        self.assertEqual(len(sent.pop("execution-id")), 36)
        self.assertEqual(
            sent, {"meeting_id": "m", "scheduled-time": "2026-01-05T10:00:00Z", "attempt-number": "1"}
        )
        wait_until(lambda: "launch-now" not in self.names())

    def test_one_that_is_due_in_years_fires_once_the_clock_is_put_ahead(self):
        self.scheduler.create_schedule(**self.schedule("launch-ahead"))
        self.server.control("ahead", {"seconds": 20 * 365 * 86400})
        self.addCleanup(self.server.control, "ahead", {"seconds": 0})
        self.assertIn("launch-ahead", self.message(self.target_url)["schedule-arn"])

    def test_what_its_role_may_not_do_ends_in_the_dead_letter_queue(self):
        role = self.make_role("narrow", policy(("sqs:SendMessage", self.dead, {})))
        self.scheduler.create_schedule(**self.schedule("launch-narrow", SOON, role))
        self.assertIn("launch-narrow", self.message(self.dead_url)["schedule-arn"])


    def test_a_rule_reaches_a_queue_only_if_its_policy_lets_it(self):
        events, (queue, url) = self.server.client("events"), self.make_queue("told")
        rule = events.put_rule(Name="told", EventPattern='{"source": ["aws.ec2"]}')["RuleArn"]
        events.put_targets(Rule="told", Targets=[{"Id": "queue", "Arn": queue}])
        event = {"Source": "aws.ec2", "DetailType": "d", "Detail": '{"state": "running"}'}

        def told():
            self.server.control("tell", {"events": [event]})
            return self.sqs.receive_message(QueueUrl=url).get("Messages", [])

        def policy_for(source, transport):
            allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
            allow |= {"Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": source}}}
            deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}
            deny |= {"Condition": {"Bool": {"aws:SecureTransport": transport}}}
            return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})}

        self.assertEqual(told(), [])
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes=policy_for(rule + "2", "false"))
        self.assertEqual(told(), [])
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes=policy_for(rule, "false"))
        [message] = told()
        self.assertEqual(json.loads(message["Body"])["detail"], {"state": "running"})
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes=policy_for(rule, "true"))
        with self.refused("AccessDenied", 403):
            told()

    def test_ec2_knows_whom_iam_knows(self):
        self.iam.create_user(UserName="driver")
        key = self.iam.create_access_key(UserName="driver")["AccessKey"]

        def ec2(key, secret):
            return self.server.client("ec2", key, secret, self.server.ready["endpoint"])

        self.assertTrue(ec2(key["AccessKeyId"], key["SecretAccessKey"]).describe_subnets()["Subnets"])
        with self.refused("AuthFailure", 401):
            ec2("AKIA0000000000000000", "secret").describe_subnets()


class EndCase(unittest.TestCase):
    def check_nothing_is_left(self, server):
        wait_until(lambda: not os.path.exists(server.ready["folder"]))
        wait_until(lambda: not is_alive(server.ready["tidy"]))

    def test_it_ends_with_its_stdin_and_leaves_nothing(self):
        server = Server()
        self.assertTrue(os.path.isdir(server.ready["folder"]))
        self.assertEqual(server.stop(), 0)
        self.check_nothing_is_left(server)

    def test_it_leaves_nothing_when_it_is_killed(self):
        server = Server()
        server.process.send_signal(signal.SIGKILL)
        server.stop()
        self.check_nothing_is_left(server)


def is_alive(pid):
    """A process that nobody waits for any more may stay as a zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() != "" and not state.startswith("Z")


if __name__ == "__main__":
    unittest.main()

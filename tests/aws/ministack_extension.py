"""What MiniStack lacks to stand for AWS here.

* EventBridge Scheduler judges what it is given (names, one-time expressions, windows, retries), asks for iam:PassRole,
  looks for a due schedule every second, fills in its context attributes, and invokes with the schedule's own role or not
  at all: what that role may not do ends in the schedule's dead-letter queue. Its clock can be put ahead.
* IAM sees a schedule in the group that it is in, a public parameter as one of no account, and a command by its document.
* A function gets its handler and its log settings in its environment, as Lambda gives them; and what it wrote before its answer is in the
  log of that delivery, however busy this machine is.
* A line in the embedded metric format becomes metrics.
* CloudFormation keeps an alarm on an expression, and saved queries. Neither is ever evaluated.
* What a stack makes for machines is made where the machines are, in moto's EC2 (local_aws.py): their security group and
  their instance profile. A Ref of a profile is its name. Public parameters name images that are there.
* Run Command reaches a machine that runs and whose profile has a role with AWS's policy for it, and no other.

Still other than AWS: flexible windows are not waited for, a schedule fires in UTC whatever its time zone, Scheduler does
not retry, and a ClientToken means nothing to it.
"""

import contextlib
import datetime
import json
import re
import select
import time
import uuid

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from ministack.core import iam_actions, iam_evaluator
from ministack.core.lambda_runtime import ProvidedWorker
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import cloudwatch, ec2, eventbridge, iam, lambda_svc, scheduler, sqs, ssm
from ministack.services.cloudformation import provisioners

from clients import ACCOUNT, REGION

TICK = 1
# For what has been read from a function's output to arrive in its log.
LOG_DELAY = 0.05

AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
# What a schedule's role needs for each kind of target.
ACTION_OF = {"lambda": "lambda:InvokeFunction", "sqs": "sqs:SendMessage"}
# What Systems Manager needs on a machine.
OF_MANAGED_MACHINES = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
# The newest image of Amazon Linux in amis.json.
AL2023 = "ami-0a1b2c3d4e5f60001"
SCHEDULE_PATH = re.compile(r"/schedules/([^/]+)")

plain_resource_arn = iam_actions.extract_resource_arn
plain_scheduler = scheduler.handle_request
plain_invoke_target = eventbridge._invoke_target
plain_acquire_slot = lambda_svc._acquire_execution_slot
plain_worker_env = lambda_svc._provided_worker_env
plain_emit_logs = lambda_svc._emit_lambda_logs
plain_drain_log = ProvidedWorker._drain_stderr_bounded
plain_alarm_record = provisioners._cw_metric_alarm_record


def install():
    """Put the extension into MiniStack, before it serves."""
    scheduler._SCHEDULE_TICK_INTERVAL = TICK
    scheduler.time = SchedulerClock()
    scheduler.handle_request = scheduler_request
    iam_actions.extract_resource_arn = resource_arn
    eventbridge._invoke_target = invoke_target
    iam_evaluator._request_origin = OverTls()
    lambda_svc._acquire_execution_slot = acquire_slot
    lambda_svc._provided_worker_env = worker_env
    lambda_svc._emit_lambda_logs = emit_logs
    ProvidedWorker._drain_stderr_bounded = drain_log
    provisioners._cw_metric_alarm_record = alarm_record
    types = provisioners._RESOURCE_HANDLERS
    types["AWS::Logs::QueryDefinition"] = {
        "create": lambda name, properties, stack: (str(uuid.uuid4()), {}),
        "delete": lambda physical_id, properties: None,
    }
    types["AWS::EC2::SecurityGroup"] = {"create": make_security_group, "delete": delete_security_group}
    types["AWS::IAM::InstanceProfile"] = {"create": make_instance_profile, "delete": delete_instance_profile}
    ssm._PUBLIC_AMI_PARAMETERS[ssm_name("al2023-ami-kernel-default-x86_64")] = AL2023
    ssm._managed_instance_ids = managed_machines
    ec2.exec_in_instance_blocking = run_on_machine


# --- Machines, which are moto's --------------------------------------------------------------------------------------


def ssm_name(image):
    return f"/aws/service/ami-amazon-linux-latest/{image}"


def make_security_group(logical_id, properties, stack):
    vpc = properties.get("VpcId")
    group = machines().create_security_group(f"{stack}-{logical_id}", properties["GroupDescription"], vpc_id=vpc)
    return group.id, {"GroupId": group.id, "VpcId": group.vpc_id}


def delete_security_group(id, _):
    # EC2 refuses it while a machine uses it.
    for machine in machines().all_instances():
        if machine.state != "terminated" and id in {group.id for group in machine.security_groups}:
            raise ValueError(f"DependencyViolation: resource {id} has a dependent object")
    machines().delete_security_group(group_id=id)


def make_instance_profile(logical_id, properties, stack):
    arn, attributes = provisioners._iam_ip_create(logical_id, properties, stack)
    name = arn.rpartition("/")[2]
    profiles().create_instance_profile(name=name, path="/", role_names=[])
    return name, attributes


def delete_instance_profile(name, properties):
    provisioners._iam_ip_delete(iam._instance_profiles[name]["Arn"], properties)
    profiles().delete_instance_profile(name)


def managed_machines():
    associations = machines().iam_instance_profile_associations.values()
    profile_of = {one.instance.id: one.iam_instance_profile.name for one in associations}
    running = {machine.id for machine in machines().all_instances() if machine.state == "running"}
    return {id for id in running & profile_of.keys() if is_managed(profile_of[id])}


def is_managed(profile):
    roles = [iam._roles[name] for name in iam._instance_profiles[profile]["Roles"]]
    return any(OF_MANAGED_MACHINES in role["AttachedPolicies"] for role in roles)


def run_on_machine(id, command):
    return 0, f"{id} ran: {command[-1]}\n", ""


def machines():
    return ec2_backends[ACCOUNT][REGION]


def profiles():
    return iam_backends[ACCOUNT]["aws"]


class SchedulerClock:
    """Takes the place of the module `time` in MiniStack's Scheduler: a schedule that is due tomorrow can fire now."""

    ahead = 0

    def time(self):
        return time.time() + self.ahead

    def sleep(self, seconds):
        time.sleep(seconds)


class OverTls:
    """Takes the place of MiniStack's note of where a request came from, and whether over TLS (aws:SecureTransport)."""

    def get(self):
        return "127.0.0.1", True

    def set(self, origin):
        pass


# --- EventBridge Scheduler: what it is asked -------------------------------------------------------------------------


def resource_arn(service, method, path, headers, body, query_params, region, account_id):
    """MiniStack takes every schedule for one of the group `default`, every parameter for one of the account,
    and of a command it knows no resource."""
    name = SCHEDULE_PATH.fullmatch(path)
    if service == "scheduler" and name:
        return f"arn:aws:scheduler:{region}:{account_id}:schedule/{group_of(body, query_params)}/{name[1]}"
    if service == "ssm" and headers.get("x-amz-target", "").endswith(".SendCommand"):
        # AWS judges the machine too, by its tags, of which MiniStack does not know.
        return f"arn:aws:ssm:{region}::document/{json.loads(body)['DocumentName']}"
    arn = plain_resource_arn(service, method, path, headers, body, query_params, region, account_id)
    return arn.replace(f":{account_id}:parameter/aws/service/", "::parameter/aws/service/")


def group_of(body, query_params):
    in_query = query_params.get("groupName") or ["default"]
    in_query = in_query[0] if isinstance(in_query, list) else in_query
    return json.loads(body).get("GroupName", "default") if body else in_query


async def scheduler_request(method, path, headers, body, query_params):
    name = SCHEDULE_PATH.fullmatch(path)
    if name and method in ("POST", "PUT"):
        schedule = json.loads(body)
        wrong = what_is_wrong(schedule)
        if wrong:
            return scheduler._error(400, "ValidationException", wrong)
        denied = may_not_pass(schedule["Target"]["RoleArn"], headers, query_params)
        if denied:
            return denied
    return await plain_scheduler(method, path, headers, body, query_params)


def what_is_wrong(schedule):
    """What the schema (schema.py) does not say: a sentence, or None. For one-time schedules; nobody here creates another."""
    window = schedule["FlexibleTimeWindow"]
    minutes = window.get("MaximumWindowInMinutes")
    for found, sentence in [
        (not is_one_time(schedule["ScheduleExpression"]), "the expression is no at(yyyy-mm-ddThh:mm:ss)"),
        (window["Mode"] == "OFF" and minutes is not None, "a window that is OFF has no length"),
        (window["Mode"] == "FLEXIBLE" and minutes is None, "a window has 1 to 1440 minutes"),
        (not is_json(schedule["Target"].get("Input", "{}")), "the input for a function is JSON"),
    ]:
        if found:
            return f"Invalid schedule: {sentence}."
    return None


def is_one_time(expression):
    found = AT.fullmatch(expression)
    try:
        return bool(found and datetime.datetime.fromisoformat(found[1]))
    except ValueError:
        return False


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def may_not_pass(role_arn, headers, query_params):
    """The refusal of iam:PassRole, or None. AWS asks whoever creates or changes a schedule."""
    denied = iam_evaluator.enforce(
        extract_access_key_id(headers, query_params),
        "iam:PassRole",
        "iam",
        get_region(),
        resource_arn=role_arn,
        service_context={"iam:PassedToService": "scheduler.amazonaws.com"},
    )
    if not denied:
        return None
    return iam_actions.access_denied_response(
        "scheduler", "iam:PassRole", getattr(denied, "principal_arn", ""), str(uuid.uuid4()), headers=headers
    )


# --- EventBridge Scheduler: what it does -----------------------------------------------------------------------------


def invoke_target(target, event, rule, view=None):
    """Of a rule of EventBridge as MiniStack does it, into a queue only where its policy lets the rule; of a schedule with its
    context attributes, and with its role."""
    if event.get("Source") != "aws.scheduler":
        into_queue = target["Arn"].split(":")[2] == "sqs"
        asked = target["Arn"], "events.amazonaws.com", rule["Arn"], get_account_id()
        if into_queue and not sqs.queue_policy_allows(*asked):
            return None
        return plain_invoke_target(target, event, rule, view)
    context = {
        "schedule-arn": rule["Arn"],
        "scheduled-time": scheduled_time(rule["ScheduleExpression"]),
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }
    given = target.get("Input", "{}")
    for key, value in context.items():
        given = given.replace(f"<aws.scheduler.{key}>", value)
    if role_allows(target["RoleArn"], ACTION_OF[target["Arn"].split(":")[2]], target["Arn"]):
        return plain_invoke_target({**target, "Input": given}, event, rule, view)
    queue = target.get("DeadLetterConfig", {}).get("Arn")
    # What Scheduler could not deliver goes to the queue with the same role, or is lost.
    if queue and role_allows(target["RoleArn"], "sqs:SendMessage", queue):
        return plain_invoke_target({"Arn": queue, "Input": given}, event, rule, view)
    return None


def scheduled_time(expression):
    found = AT.fullmatch(expression)
    return f"{found[1]}Z" if found else ""


def role_allows(role_arn, action, resource):
    account = get_account_id()
    name = role_arn.rsplit("/", 1)[-1]
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/scheduler",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        service_context={},
    )
    policies = iam_evaluator._gather_role_policies(name, account)
    return iam_evaluator.evaluate(context, policies).decision == "Allow"


# --- Lambda ----------------------------------------------------------------------------------------------------------


def acquire_slot(func, config):
    slot, limit = plain_acquire_slot(func, config)
    if slot is not None:
        working = lambda_svc.executions_in_flight()[1].get(slot, 1)
        of = {"FunctionName": config["FunctionName"]}
        cloudwatch.record_metric("AWS/Lambda", "ConcurrentExecutions", working, "Count", of)
    return slot, limit


def worker_env(config, code_dir, port):
    """MiniStack keeps Handler and LoggingConfig, and does not tell the function."""
    logging = config.get("LoggingConfig") or {}
    settings = {
        "_HANDLER": config.get("Handler"),
        "AWS_LAMBDA_LOG_FORMAT": logging.get("LogFormat"),
        "AWS_LAMBDA_LOG_LEVEL": logging.get("ApplicationLogLevel"),
        "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup"),
    }
    return {**plain_worker_env(config, code_dir, port), **{key: value for key, value in settings.items() if value}}


def drain_log(worker, first_line_wait=LOG_DELAY):
    """MiniStack looks for 5 ms, and what comes later it takes for the next delivery's."""
    process = worker._proc
    deadline = time.monotonic() + 1
    with contextlib.suppress(OSError, ValueError):
        while process and select.select([process.stdout], [], [], 0)[0] and time.monotonic() < deadline:
            # An end of file counts as something to read, for ever.
            if process.poll() is not None:
                break
            time.sleep(0.001)
    return plain_drain_log(worker, first_line_wait, idle_confirm=LOG_DELAY, hard_cap=1)


def emit_logs(func, request_id, log_text, *args, **more):
    for line in (log_text or "").splitlines():
        record_metrics(line)
    return plain_emit_logs(func, request_id, log_text, *args, **more)


def record_metrics(line):
    """What CloudWatch makes of a line in the embedded metric format:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    try:
        given = json.loads(line)
        directives = given["_aws"]["CloudWatchMetrics"]
    except (ValueError, LookupError, TypeError):
        return
    for directive in directives:
        for names in directive["Dimensions"]:
            dimensions = {name: given[name] for name in names}
            for metric in directive["Metrics"]:
                values = given[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    cloudwatch.record_metric(
                        directive["Namespace"], metric["Name"], value, metric.get("Unit", "None"), dimensions
                    )


# --- CloudFormation --------------------------------------------------------------------------------------------------


def alarm_record(name, properties):
    """MiniStack refuses an alarm on an expression."""
    if "Metrics" not in properties:
        return plain_alarm_record(name, properties)
    without = {key: value for key, value in properties.items() if key != "Metrics"}
    record = plain_alarm_record(name, {**without, "Namespace": "an expression", "MetricName": "of several metrics"})
    return {**record, "Metrics": properties["Metrics"]}

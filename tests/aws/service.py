"""The local AWS behind its HTTP server: moto under one lock, faults in front of it, and /_local/ to steer it.

moto checks a DynamoDB condition and then writes, without a lock, so two requests at once can both win: here
one request at a time gets through. The waits of a fault are outside that lock. Nothing looks whether the
client is still there, since AWS too executes what it has received.

    GET, POST, DELETE /_local/faults     a list (faults.Fault); POST appends; DELETE lets held calls go on
    POST /_local/release                 let the held calls go on; {"discard": true} cuts them off instead
    GET, DELETE /_local/calls            the call log (faults.Call), in order of arrival
    GET, POST /_local/settings           ec2_extension.Settings: {"terminated_token": "error" | "instance"}, habits of EC2
    POST /_local/habits                  {"behind": 2, "by_tag": true}: habits of EC2 (operate_habits.Habits); what is not named is off
    POST /_local/age                     {"seconds": 600} makes every machine, volume, snapshot and key pair that much older, and the marks of orphans
    POST /_local/state                   {"instance": "i-…", "state": "terminated", "reason": "Server.InternalError"}: by itself
    POST /_local/forget                  {"instance": "i-…", "what": "tags" | "entry"} of one that is terminated
    GET  /_local/violations              what Amazon's schema has against requests and answers so far (schema.py)
    POST /_local/reset                   everything as after the start; calls under way are cut off
"""

import io
import json
import re
import threading
import time
import traceback
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

from moto.ec2.exceptions import FilterNotImplementedError
from moto.ec2.models import ec2_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

import dynamodb_extension
import dynamodb_local
import ec2_extension
import habits
import operate_extension
import operate_habits
import schema
from faults import (
    LAUNCH_REFUSALS,
    Call,
    Fault,
    InvalidInput,
    Reply,
    check_fields,
    error_reply,
    is_json_protocol,
)

TERMINATED_TOKEN_CHOICES = ("error", "instance")

# In the answer of RunInstances.
INSTANCE_ID_IN_XML = re.compile(rb"<instanceId>(i-[0-9a-f]+)</instanceId>")
STATE_IN_XML = re.compile(rb"<instanceState>.*?</instanceState>", re.DOTALL)
STATE_REASON_IN_XML = re.compile(rb"<stateReason>.*?</stateReason>|<stateReason ?/>", re.DOTALL)

# When a sweep took a machine for an orphan.
MARK = "elephant:orphan-since"


@dataclass
class Request:
    environ: dict
    body: bytes
    # Set once the world this request came into has been reset.
    reset: threading.Event


@dataclass
class HeldCall:
    released: threading.Event = field(default_factory=threading.Event)
    discard: bool = False


@dataclass
class Release:
    discard: bool = False


@dataclass
class Age:
    seconds: float


@dataclass
class State:
    """A state that a machine comes into by itself, and EC2's StateReason."""

    instance: str
    state: str
    reason: str = ""
    message: str = ""


@dataclass
class Forget:
    instance: str
    what: str


class LocalAws:
    def __init__(self):
        dynamodb_extension.install()
        ec2_extension.install()
        habits.install()
        operate_extension.install()
        operate_habits.install()
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.dynamodb = dynamodb_local.DynamoDbLocal() if dynamodb_local.is_wanted() else None
        self.lock = threading.RLock()
        self.started = time.monotonic()
        self.reset_event = threading.Event()
        self.faults = []
        self.held = []
        self.calls = []
        self.last_n = 0
        self.routes = {
            ("GET", "faults"): self.list_faults,
            ("POST", "faults"): self.add_faults,
            ("DELETE", "faults"): self.delete_faults,
            ("POST", "release"): self.release,
            ("GET", "calls"): self.list_calls,
            ("DELETE", "calls"): self.delete_calls,
            ("GET", "settings"): self.show_settings,
            ("POST", "settings"): self.change_settings,
            ("POST", "habits"): self.change_habits,
            ("POST", "age"): self.age,
            ("POST", "state"): self.put_into_state,
            ("POST", "forget"): self.forget,
            ("GET", "violations"): lambda _: schema.journal.told(),
            ("POST", "reset"): self.reset,
        }

    def answer(self, environ, body):
        """The Reply to one HTTP request, or None to cut its connection."""
        path = environ["PATH_INFO"]
        if path.startswith("/_local/"):
            return self.control(environ["REQUEST_METHOD"], path.removeprefix("/_local/"), body)
        wrong = schema.refusal(*received(environ), body)
        with self.lock:
            request = Request(environ, body, self.reset_event)
            if path.startswith("/moto-api"):
                return self.work(request)
            call = self.log_call(request)
            if wrong:
                return self.finish(call, refused_by_schema(environ, wrong))
            fault = next((fault for fault in self.faults if fault.strikes(call)), None)
        return self.answer_with_fault(fault, call, request)

    def log_call(self, request):
        self.last_n += 1
        at = round(time.monotonic() - self.started, 3)
        call = Call.of_request(self.last_n, at, request.environ, request.body)
        self.calls.append(call)
        return call

    def work(self, request):
        """Let moto do what was asked. None if a reset has overtaken the request."""
        with self.lock:
            if request.reset.is_set():
                return None
            if self.dynamodb and request.environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
                return self.dynamodb.answer(received(request.environ)[2], request.body)
            action = self.ec2_action(request)
            habits.forget_the_dead(ec2_extension.settings)
            refused = action and habits.refusal(action, request.body, ec2_extension.settings)
            if refused:
                return error_reply(request.environ, *refused)
            request.environ["wsgi.input"] = io.BytesIO(request.body)
            try:
                response = Response.from_app(self.moto, request.environ, buffered=True)
            except ec2_extension.LaunchRefused as refusal:
                return refusal.reply
            except Exception as error:
                return moto_failure(request.environ, error)
            if action and response.status_code == 200:
                habits.remove_tags_of_deleted(action, request.body)
        schema.judge_answer(*received(request.environ), request.body, response.status_code, response.get_data())
        headers = [(k, v) for k, v in response.headers if k.lower() not in ("content-type", "content-length")]
        return Reply(response.status_code, response.content_type or "", response.get_data(), tuple(headers))

    def ec2_action(self, request):
        """None for every other service: they speak JSON."""
        if is_json_protocol(request.environ):
            return None
        return Call.of_request(0, 0, request.environ, request.body).action

    def finish(self, call, reply):
        if reply is None:
            return self.cut(call, "before")
        call.finish(reply)
        return reply

    def cut(self, call, stage):
        call.status = f"dropped {stage}"

    # Faults

    def answer_with_fault(self, fault, call, request):
        """As `answer`; without a fault as well."""
        if fault is None:
            return self.finish(call, self.work(request))
        if request.reset.wait(fault.delay):
            return self.cut(call, "before")
        if fault.code or fault.body is not None:
            return self.finish(call, self.answer_scripted(fault, call, request))
        if fault.drop == "after":
            self.work(request)
        if fault.drop:
            return self.cut(call, fault.drop)
        if fault.dies:
            return self.finish(call, self.work_and_die(fault, request))
        if fault.late is not None:
            call.status = "late"
            threading.Thread(target=self.work_late, args=(fault, call, request), daemon=True).start()
            return None
        if fault.hold:
            return self.answer_held(fault, call, request)
        return self.finish(call, self.work(request))

    def answer_scripted(self, fault, call, request):
        if fault.after:
            self.work(request)
        elif call.action == "RunInstances" and fault.code in LAUNCH_REFUSALS:
            refusal = ec2_extension.LaunchRefused(fault.reply(request.environ))
            request.environ[ec2_extension.REFUSAL_ENVIRON_KEY] = refusal
            return self.work(request)
        return fault.reply(request.environ)

    def work_and_die(self, fault, request):
        """The answer is good, and what it names is dead before anybody can look."""
        message = f"{fault.dies}: {fault.message or 'it died'}"
        with self.lock:
            reply = self.work(request)
            for instance_id in INSTANCE_ID_IN_XML.findall(reply.body) if reply else ():
                found = habits.find_instance(instance_id.decode())
                if found and found[1].state != "terminated":
                    habits.put_into_state(found[1], "terminated", fault.dies, message)
            if reply and fault.after:
                reply = replace(reply, body=dead_in_xml(reply.body, fault.dies, message))
            return reply

    def work_late(self, fault, call, request):
        request.reset.wait(fault.late)
        self.work(request)
        call.status = "done late"

    def answer_held(self, fault, call, request):
        if fault.hold == "before":
            if self.hold(fault, call, request):
                return self.cut(call, "before")
            return self.answer_unheld(call, request)
        reply = self.answer_unheld(call, request)
        status = call.status
        if self.hold(fault, call, request):
            return self.cut(call, "after")
        call.status = status
        return reply

    def answer_unheld(self, call, request):
        with self.lock:
            fault = next((fault for fault in self.faults if not fault.hold and fault.strikes(call)), None)
        return self.answer_with_fault(fault, call, request)

    def hold(self, fault, call, request):
        """Wait for the release. True if the call is to be discarded."""
        held = HeldCall()
        with self.lock:
            if request.reset.is_set():
                return True
            # Its fault may have been deleted since it struck: nobody would release this call.
            if fault not in self.faults:
                return False
            call.status = f"held {fault.hold}"
            self.held.append(held)
        held.released.wait()
        return held.discard

    def release_held(self, discard):
        released, self.held = self.held, []
        for held in released:
            held.discard = discard
            held.released.set()
        return len(released)

    # /_local/

    def control(self, method, name, body):
        route = self.routes.get((method, name))
        if route is None:
            return json_reply(404, {"error": f"There is no {method} /_local/{name}."})
        try:
            given = json.loads(body) if body else None
            with self.lock:
                return json_reply(200, route(given))
        except ValueError as error:
            return json_reply(400, {"error": str(error)})

    def list_faults(self, _=None):
        return [fault.to_json() for fault in self.faults]

    def add_faults(self, given):
        if not isinstance(given, list):
            raise InvalidInput("Faults come as a JSON list.")
        self.faults += [Fault.from_json(one) for one in given]
        return self.list_faults()

    def delete_faults(self, _):
        self.faults.clear()
        self.release_held(discard=False)
        return self.list_faults()

    def release(self, given):
        given = given or {}
        check_fields(given, Release)
        return {"released": self.release_held(Release(**given).discard)}

    def list_calls(self, _=None):
        return [call.to_json() for call in self.calls]

    def delete_calls(self, _):
        self.calls.clear()
        return self.list_calls()

    def show_settings(self, _=None):
        return asdict(ec2_extension.settings)

    def change_settings(self, given):
        check_fields(given, ec2_extension.Settings)
        if given.get("terminated_token", "error") not in TERMINATED_TOKEN_CHOICES:
            raise InvalidInput(f"'terminated_token' must be one of {', '.join(TERMINATED_TOKEN_CHOICES)}.")
        if given.get("outage_code", "InternalError") not in habits.OUTAGE_CODES:
            raise InvalidInput(f"'outage_code' must be one of {', '.join(habits.OUTAGE_CODES)}.")
        ec2_extension.settings = replace(ec2_extension.settings, **given)
        return self.show_settings()

    def change_habits(self, given):
        check_fields(given or {}, operate_habits.Habits)
        operate_habits.habits = operate_habits.Habits(**(given or {}))
        return asdict(operate_habits.habits)

    def age(self, given):
        """Make every machine, volume, snapshot and key pair that is there so many seconds older, and the marks of orphans with them."""
        check_fields(given or {}, Age)
        by = timedelta(seconds=Age(**(given or {})).seconds)
        for regions in ec2_backends.values():
            for backend in regions.values():
                for instance in backend.all_instances():
                    instance.launch_time -= by
                    tags = backend.tags.get(instance.id, {})
                    if MARK in tags:
                        tags[MARK] = (datetime.fromisoformat(tags[MARK]) - by).isoformat()
                for made in [*backend.key_pairs.values(), *backend.volumes.values()]:
                    made.create_time -= by
                for snapshot in backend.snapshots.values():
                    snapshot.start_time -= by
        habits.age(by.total_seconds())
        return {}

    def put_into_state(self, given):
        check_fields(given, State)
        wanted = State(**given)
        if wanted.state not in habits.STATES:
            raise InvalidInput(f"'state' must be one of {', '.join(habits.STATES)}.")
        _, instance = self.found(wanted.instance)
        habits.put_into_state(instance, wanted.state, wanted.reason, wanted.message)
        return {}

    def forget(self, given):
        check_fields(given, Forget)
        wanted = Forget(**given)
        forgets = {"tags": habits.forget_tags, "entry": habits.forget_entry}
        if wanted.what not in forgets:
            raise InvalidInput(f"'what' must be one of {', '.join(forgets)}.")
        backend, instance = self.found(wanted.instance)
        if instance.state != "terminated":
            raise InvalidInput("'instance' must be terminated: EC2 forgets no other.")
        forgets[wanted.what](backend, instance)
        return {}

    def found(self, instance_id):
        found = habits.find_instance(instance_id)
        if found is None:
            raise InvalidInput(f"There is no instance {instance_id!r}.")
        return found

    def reset(self, _):
        self.reset_event.set()
        self.reset_event = threading.Event()
        self.release_held(discard=True)
        self.faults.clear()
        self.calls.clear()
        self.last_n = 0
        ec2_extension.settings = ec2_extension.Settings()
        operate_habits.habits = operate_habits.Habits()
        moto_api_backend.reset()
        if self.dynamodb:
            self.dynamodb.reset(received(signed("dynamodb"))[2])
        return {}

    def warm_up(self, region):
        """Do once what makes moto's first calls slow: it imports its services and reads their models."""
        run_instances = (
            "Action=RunInstances&MinCount=1&MaxCount=1&DryRun=true&ImageId=ami-none&InstanceType=t3.micro"
        )
        for service, headers, body in [
            ("ec2", {"Content-Type": "application/x-www-form-urlencoded"}, "Action=DescribeInstances"),
            ("ec2", {"Content-Type": "application/x-www-form-urlencoded"}, run_instances),
            ("dynamodb", {"X-Amz-Target": "DynamoDB_20120810.ListTables"}, "{}"),
        ]:
            self.work(Request(signed(service, region, headers), body.encode(), self.reset_event))


def signed(service, region="us-west-2", headers=None):
    """The environ of a request of ours."""
    scope = f"AWS4-HMAC-SHA256 Credential=local/20260101/{region}/{service}/aws4_request"
    return EnvironBuilder(method="POST", headers={**(headers or {}), "Authorization": scope}).get_environ()


def dead_in_xml(body, code, message):
    state = "<instanceState><code>48</code><name>terminated</name></instanceState>"
    reason = f"<stateReason><code>{escape(code)}</code><message>{escape(message)}</message></stateReason>"
    return STATE_IN_XML.sub((state + reason).encode(), STATE_REASON_IN_XML.sub(b"", body))


def received(environ):
    """Method, target and headers of a request."""
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    return environ["REQUEST_METHOD"], environ.get("RAW_URI") or environ["PATH_INFO"], headers


def refused_by_schema(environ, wrong):
    if environ.get("CONTENT_TYPE", "").startswith("application/json") or not environ["REQUEST_METHOD"] == "POST":
        kind = ("x-amzn-ErrorType", schema.REFUSED)
        return Reply(400, "application/json", json.dumps({"Message": wrong}).encode(), (kind,))
    return error_reply(environ, schema.REFUSED, wrong)


def moto_failure(environ, error):
    """What moto answers with an HTML page and status 500, which an SDK would take for an outage and retry."""
    if isinstance(error, FilterNotImplementedError):
        message = f"Invalid, or unknown to the local AWS: {error}"
        return error_reply(environ, "InvalidParameterValue", message)
    traceback.print_exc()
    code = "ValidationException" if is_json_protocol(environ) else "UnsupportedOperation"
    return error_reply(environ, code, f"The local AWS cannot do this: {error!r}")


def json_reply(status, content):
    return Reply(status, "application/json", json.dumps(content).encode())

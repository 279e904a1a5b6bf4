"""Faults that a test scripts, and the log of the calls that met them.

AWS fails in ways that moto never does: it refuses, throttles, answers late or not at all, and it may have
done the work all the same. A fault is a JSON object of matchers and one effect: see `Fault`.
"""

import json
import re
import uuid
from dataclasses import asdict, dataclass, fields
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from moto.core.utils import get_service_model
from moto.ec2.models import ec2_backends

# HTTP status of each error code, where it is not 400.
ERROR_STATUS = {
    # EC2: a zone without room is a server error, which SDKs retry.
    "InsufficientInstanceCapacity": 500,
    "InsufficientCapacity": 500,
    "InsufficientHostCapacity": 500,
    "InsufficientReservedInstanceCapacity": 500,
    "InsufficientVolumeCapacity": 500,
    "InsufficientAddressCapacity": 500,
    "InternalError": 500,
    "InternalFailure": 500,
    "ServerInternal": 500,
    "BandwidthLimitExceeded": 503,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "Unavailable": 503,
    # EC2, authorisation
    "AuthFailure": 401,
    "OptInRequired": 401,
    "InvalidClientTokenId": 403,
    "SignatureDoesNotMatch": 403,
    "UnauthorizedOperation": 403,
    # DynamoDB
    "InternalServerError": 500,
}

# RequestLimitExceeded is the one code that the two services send with different statuses.
DYNAMODB_ERROR_STATUS = {**ERROR_STATUS, "RequestLimitExceeded": 400}

# What RunInstances answers once it has looked at the client token: this binds the token to its parameters.
LAUNCH_REFUSALS = {
    # no capacity
    "InsufficientInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientCapacityOnHost",
    "InsufficientCapacityOnOutpost",
    "InsufficientVolumeCapacity",
    "InsufficientAddressCapacity",
    "UnfulfillableCapacity",
    "ReservationCapacityExceeded",
    "SpotMaxPriceTooLow",
    # zone or subnet unfit
    "Unsupported",
    "VolumeTypeNotAvailableInZone",
    "InvalidAvailabilityZone",
    "InsufficientFreeAddressesInSubnet",
    "InvalidSubnetID.NotFound",
    # quota
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "VolumeLimitExceeded",
    "MaxIOPSLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "NetworkInterfaceLimitExceeded",
    "AddressLimitExceeded",
    "ResourceLimitExceeded",
}

EFFECTS = ("code", "body", "drop", "late", "hold", "dies")
STAGES = ("before", "after")

ROLE_TAG_KEY = re.compile(r"(TagSpecification\.\d+\.Tag\.\d+)\.Key")
ERROR_CODE_IN_XML = re.compile(rb"<Code>(.*?)</Code>")
# Neither a part of a path (.name) nor a value (:name) nor a function (name).
ATTRIBUTE_IN_EXPRESSION = re.compile(r"(?<![.:#\w])#?[A-Za-z_]\w*\b(?!\s*\()")
UPDATE_CLAUSES = {"SET", "REMOVE", "ADD", "DELETE"}


class InvalidInput(ValueError):
    """A sentence for the author of a test whose fault or setting makes no sense."""


@dataclass
class Reply:
    """What goes back to the client. In its place, None stands for a connection cut without a word."""

    status: int
    content_type: str
    body: bytes
    headers: tuple = ()


@dataclass(eq=False)
class Fault:
    """What a call meets that matches it. The first fault of the list that does wins.

    Matchers: action, zone, type (of instance), market ("spot", if it is asked for), token, role (value of the
    tag Role), writes (see Call). All given must match.
    How often: the first `skip` matching calls pass, the next `times` (default: all) meet the fault.
    Effects: first `delay` seconds of silence, then at most one of
    * code: this error, with `status` and `message`; with `after`, once the work is done. A code among
      LAUNCH_REFUSALS leaves a RunInstances alone whose token has its instance already, as AWS does.
    * body: this text in place of the answer, with `status` (default: 200); with `after`, once the work is done.
    * drop: the connection is cut "before" or "after" the work is done.
    * late: the connection is cut at once, and the work done that many seconds later.
    * dies: the work is done and answered, and the machines that a RunInstances names are dead at once, with this code
      as their StateReason, and `message`; with `after` false, the default, the answer calls them pending as ever, with
      `after` it shows them dead already.
    * hold: the call stops "before" or "after" the work until it is released. The work itself meets the first
      fault that matches and is no hold.
    """

    action: str = None
    zone: str = None
    type: str = None
    market: str = None
    token: str = None
    role: str = None
    writes: str = None
    skip: int = 0
    times: int = None
    delay: float = 0
    code: str = None
    body: str = None
    status: int = None
    message: str = None
    after: bool = False
    drop: str = None
    late: float = None
    hold: str = None
    dies: str = None

    @classmethod
    def from_json(cls, given):
        check_fields(given, cls)
        fault = cls(**given)
        fault.check()
        return fault

    def check(self):
        if self.action is not None and self.action not in known_actions():
            raise InvalidInput(f"Neither EC2 nor DynamoDB nor SSM has an action {self.action!r}.")
        for name in "skip", "times", "delay", "late":
            if (getattr(self, name) or 0) < 0:
                raise InvalidInput(f"{name!r} must not be negative.")
        for name in "drop", "hold":
            if getattr(self, name) not in (None, *STAGES):
                raise InvalidInput(f"{name!r} must be one of {', '.join(STAGES)}.")
        effects = [name for name in EFFECTS if getattr(self, name) is not None]
        if len(effects) > 1:
            raise InvalidInput(f"A fault has one effect besides its delay, not {' and '.join(effects)}.")
        if not effects and not self.delay:
            raise InvalidInput(f"A fault needs an effect: delay, {', '.join(EFFECTS)}.")
        if self.code is None and self.dies is None and self.message is not None:
            raise InvalidInput("'message' belongs to a 'code' or to 'dies'.")
        if self.dies is not None and self.action != "RunInstances":
            raise InvalidInput("'dies' is an effect of RunInstances alone: name that 'action'.")
        if self.code is None and self.body is None and self.status is not None:
            raise InvalidInput("'status' belongs to a 'code' or a 'body'.")
        if self.code is None and self.body is None and self.dies is None and self.after:
            raise InvalidInput("'after' belongs to a 'code', a 'body' or 'dies'.")
        if self.code is not None and self.status is not None and not 400 <= self.status <= 599:
            raise InvalidInput("'status' of a 'code' must be an HTTP error, 400 to 599.")
        if self.status is not None and not 200 <= self.status <= 599:
            raise InvalidInput("'status' must be an HTTP status, 200 to 599.")

    def strikes(self, call):
        """Whether this call meets the fault, which counts it."""
        matchers = ("action", "zone", "type", "market", "token", "role", "writes")
        if self.times == 0 or any(getattr(self, m) not in (None, getattr(call, m)) for m in matchers):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def reply(self, environ):
        if self.body is not None:
            return Reply(self.status or 200, "text/html", self.body.encode())
        message = self.message or f"{self.code}, scripted by a fault of the local AWS."
        return error_reply(environ, self.code, message, self.status)

    def to_json(self):
        """As it was given, with what is left of `skip` and `times`."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


JSON_TYPES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def check_fields(given, shape):
    """Refuse what a dataclass does not have, so that no misspelt field passes for a missing one."""
    if not isinstance(given, dict):
        raise InvalidInput(f"Not a JSON object: {given!r}.")
    types = {field.name: field.type for field in fields(shape)}
    for name, value in given.items():
        if name not in types:
            raise InvalidInput(f"There is no field {name!r}. Known: {', '.join(types)}.")
        # Compared exactly: to Python, True is a whole number too.
        if type(value) not in ((int, float) if types[name] is float else (types[name],)):
            raise InvalidInput(f"{name!r} must be {JSON_TYPES[types[name]]}, not {value!r}.")


def known_actions():
    return {name for service in ("ec2", "dynamodb", "ssm") for name in get_service_model(service).operation_names}


@dataclass
class Call:
    """One line of the call log.

    `writes` are the attributes that an UpdateItem sets or removes, sorted, with a comma between them.
    `status` is the HTTP status sent, or None while the call is under way, or "late" and then "done late", or
    "held" or "dropped", each of them "before" or "after" the work.
    """

    n: int
    action: str
    zone: str
    type: str
    market: str
    token: str
    role: str
    subnet: str
    writes: str
    at: float
    status: object = None
    code: str = None

    @classmethod
    def of_request(cls, n, at, environ, body):
        form = {} if is_json_protocol(environ) else dict(parse_qsl(body.decode("utf-8", "replace")))
        subnet = form.get("SubnetId") or form.get("NetworkInterface.1.SubnetId")
        return cls(
            n=n,
            action=environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2] or form.get("Action"),
            zone=zone_of_subnet(subnet) or form.get("Placement.AvailabilityZone"),
            type=form.get("InstanceType"),
            market=form.get("InstanceMarketOptions.MarketType"),
            token=form.get("ClientToken"),
            role=role_tag(form),
            subnet=subnet,
            writes=attributes_written(environ, body),
            at=at,
        )

    def finish(self, reply):
        self.status = reply.status
        self.code = error_code(reply)

    def to_json(self):
        return asdict(self)


def zone_of_subnet(subnet_id):
    """Subnet ids are unique, so any account and Region that knows this one will do."""
    for regions in list(ec2_backends.values()):
        for backend in list(regions.values()):
            for zone, subnets in backend.subnets.items():
                if subnet_id in subnets:
                    return zone
    return None


def role_tag(form):
    for name, value in form.items():
        key = ROLE_TAG_KEY.fullmatch(name)
        if key and value == "Role":
            return form.get(f"{key[1]}.Value")
    return None


def attributes_written(environ, body):
    if not environ.get("HTTP_X_AMZ_TARGET", "").endswith(".UpdateItem"):
        return None
    try:
        given = json.loads(body)
        found = set(ATTRIBUTE_IN_EXPRESSION.findall(given["UpdateExpression"])) - UPDATE_CLAUSES
        names = given.get("ExpressionAttributeNames", {})
        return ",".join(sorted(names.get(name, name) for name in found))
    except (ValueError, LookupError, TypeError, AttributeError):
        # moto says what is wrong with it.
        return None


def is_json_protocol(environ):
    """DynamoDB speaks AWS JSON 1.0, which names the action in a header; EC2 a query protocol of its own."""
    return "HTTP_X_AMZ_TARGET" in environ


def error_reply(environ, code, message, status=None):
    if is_json_protocol(environ):
        return dynamodb_error(code, message, status or DYNAMODB_ERROR_STATUS.get(code, 400))
    return ec2_error(code, message, status or ERROR_STATUS.get(code, 400))


def ec2_error(code, message, status):
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        "</Error></Errors>"
        f"<RequestID>{uuid.uuid4()}</RequestID></Response>"
    )
    return Reply(status, "text/xml;charset=UTF-8", body.encode())


def dynamodb_error(code, message, status):
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
    request_id = ("x-amzn-RequestId", str(uuid.uuid4()))
    return Reply(status, "application/x-amz-json-1.0", json.dumps(body).encode(), (request_id,))


def error_code(reply):
    """The error code inside a reply of either protocol, ours or moto's."""
    if reply.status < 400:
        return None
    if "json" in reply.content_type:
        return json.loads(reply.body).get("__type", "").rpartition("#")[2]
    in_xml = ERROR_CODE_IN_XML.search(reply.body)
    return in_xml[1].decode() if in_xml else None

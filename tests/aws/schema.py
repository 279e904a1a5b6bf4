"""Amazon's own schema as a judge: what arrives, and what is answered, against botocore's service models.

Every signed request to one of SERVICES is taken apart by the rules of its protocol, and each member is held against the
model: unknown or misspelt, missing, of another type, outside an enumeration, a pattern, a length or a range. Of EC2 the
model says some things only in its documentation: the names of filters and how many values they take, `MaxResults` beside
ids, the length of a client token. Tags are held to EC2's rules for them.

The real service would refuse such a request, so it is refused here too, with REFUSED and all that is wrong with it. It
also stands in `violations`, which whoever started the local AWS reads when a test ends: a refusal that nobody looks at
fails the test all the same.

An answer is judged by the members and enumerations that the model has: the services themselves keep to no length. What
moto and MiniStack answer otherwise is in PECULIARITIES, with what it is.

Not judged here: what depends on several members together, on what there is, on quotas and permissions.
"""

import base64
import binascii
import collections
import decimal
import functools
import html
import json
import re
import sys
import threading
import unicodedata
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, dataclass
from urllib.parse import parse_qsl, unquote

from moto.core.utils import get_service_model

# Those that the functions call, by the name that a request is signed for.
SERVICES = ("dynamodb", "ec2", "scheduler", "ssm")
SIGNED_FOR = re.compile(r"Credential=[^/]+/\d{8}/[^/]*/([^/]+)/aws4_request")

# A code that no service has, so that nobody takes it for an answer of AWS.
REFUSED = "LocalSchemaViolation"

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
TAG_KEY, TAG_VALUE = 128, 256
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
FILTER_VALUES = 200
# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html#client-tokens
CLIENT_TOKEN = 64
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html, before it is base64
USER_DATA = 16 * 1024

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
ATTRIBUTE_NAME, DIGITS = 65535, 38
# Without a loss, for whatever is sent.
WIDE = decimal.Context(prec=5000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)

# What EC2 has more of every month: a type that the model does not know is for the engine to refuse, in EC2's words.
CATALOGUES = {"InstanceType"}

# Answers that the model does not know: (service, operation, member) → what it is.
PECULIARITIES = {
    ("ec2", "DescribeInternetGateways", "internetGatewaySet.attachmentSet.state"): (
        "EC2 itself says `available` where one is attached, which its enumeration has not: "
        "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InternetGatewayAttachment.html"
    ),
}


@dataclass(frozen=True)
class Violation:
    side: str
    service: str
    operation: str
    member: str
    what: str
    value: str

    def __str__(self):
        value = f": {self.value}" if self.value else ""
        return f"{self.service} {self.operation}, {self.side}: {self.member or '(whole)'} {self.what}{value}"


class Journal:
    """What was found, each once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.violations = {}

    def note(self, found):
        with self.lock:
            self.violations.update(dict.fromkeys(found))

    def told(self):
        with self.lock:
            return [asdict(one) | {"text": str(one)} for one in self.violations]


journal = Journal()


def refusal(method, target, headers, body):
    """What is wrong with a request, as one text; None if nothing is, or nothing of it is judged here."""
    found = request(method, target, headers, body)
    journal.note(found)
    return "; ".join(map(str, found)) or None


def judge_answer(method, target, headers, body, status, content):
    """Note what is wrong with the answer to a request that was let pass."""
    service = signed_for(headers)
    if service is None or status >= 300:
        return
    name = PROTOCOLS[service].name_of(service, method, target, headers, body)
    shape = operation_of(service, name).output_shape
    try:
        found = [] if shape is None else list(PROTOCOLS[service].answer(shape, content))
    except Unreadable as error:
        found = [("", str(error), "")]
    journal.note(
        Violation("answer", service, name, at, what, shown(value))
        for at, what, value in found
        if (service, name, re.sub(r"\[\d+\]|\{.*?\}", "", at)) not in PECULIARITIES
    )


def request(method, target, headers, body):
    """The violations of a request; none of one that is not judged here."""
    service = signed_for(headers)
    if service is None:
        return []
    protocol = PROTOCOLS[service]
    try:
        name = protocol.name_of(service, method, target, headers, body)
        operation = operation_of(service, name)
        if operation is None:
            found = [("", "there is no such operation", name or f"{method} {target}")]
        else:
            found = protocol.request(operation, method, target, headers, body)
        found = list(found)
    except Unreadable as error:
        name, found = "?", [("", str(error), "")]
    return [Violation("request", service, name or "?", at, what, shown(value)) for at, what, value in found]


def signed_for(headers):
    signed = SIGNED_FOR.search(headers.get("authorization", ""))
    return signed[1] if signed and signed[1] in SERVICES else None


def shown(value):
    """Bounded, for a value may be a whole record."""
    return "" if value is None else str(value)[:200]


class Unreadable(Exception):
    """A body that is not of its protocol."""


@functools.cache
def operation_of(service, name):
    """Cached, because botocore makes its shapes anew for each model of an operation."""
    model = get_service_model(service)
    return model.operation_model(name) if name in model.operation_names else None


# --- One value ------------------------------------------------------------------------------------------------


def scalar(shape, value, at, strictly=True):
    """A value of no members against its shape; as text, what is no text is read."""
    kind, limits = shape.type_name, shape.metadata
    if kind == "string":
        if not isinstance(value, str):
            yield at, "is no string", value
            return
        if limits.get("enum") and value not in limits["enum"] and shape.name not in CATALOGUES:
            yield at, "is none of the enumeration", value
        if strictly:
            yield from length(limits, len(value), at, value)
            if limits.get("pattern") and not compiled(limits["pattern"]).fullmatch(value):
                yield at, f"does not match {limits['pattern']}", value
    elif kind == "boolean":
        if value not in (True, False, "true", "false"):
            yield at, "is neither true nor false", value
    elif kind in ("integer", "long", "float", "double"):
        number = as_number(value, whole=kind in ("integer", "long"))
        if number is None:
            yield at, f"is no {kind}", value
        elif strictly and not limits.get("min", number) <= number <= limits.get("max", number):
            yield at, f"is not from {limits.get('min')} to {limits.get('max')}", value
    elif kind == "blob":
        try:
            decoded = base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            yield at, "is not base64", value
        else:
            yield from length(limits, len(decoded), at, value) if strictly else ()
    elif kind != "timestamp":
        yield at, f"is of a type that is not known here, {kind}", value


def length(limits, size, at, value):
    if not limits.get("min", 0) <= size <= limits.get("max", size):
        yield at, f"has a length of {size}, not from {limits.get('min', 0)} to {limits.get('max', 'any')}", value


def as_number(value, whole):
    if isinstance(value, bool):
        return None
    try:
        return int(str(value)) if whole else float(value)
    except (ValueError, TypeError):
        return None


@functools.cache
def compiled(pattern):
    """A pattern of Java's, which knows classes of characters by their Unicode category."""
    return re.compile(re.sub(r"\\p\{([LMNPSZ])\}", lambda found: of_category(found[1]), pattern))


@functools.cache
def of_category(letter):
    """The characters of a category, as ranges for the inside of a class."""
    ranges = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code))[0] == letter:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)


def unknown(names, wire, at, value):
    near = [name for name in names if name.lower() == wire.lower()]
    return at, f"is no member that the model knows{f' (it knows {near[0]})' if near else ''}", value


def missing(shape, given, at):
    for name in shape.required_members:
        if name not in given:
            yield below(at, name), "is missing", None


def below(at, name):
    return f"{at}.{name}" if at else name


# --- EC2: a form, answered in XML -----------------------------------------------------------------------------


class Ec2:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html"""

    @staticmethod
    def name_of(_service, _method, _target, _headers, body):
        return dict(parse_qsl(body.decode("utf-8", "replace"))).get("Action")

    @staticmethod
    def request(operation, _method, _target, headers, body):
        if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            yield "Content-Type", "is no form's", headers.get("content-type")
        tree = form(body)
        tree.pop("Action")
        version, known = tree.pop("Version", None), operation.service_model.api_version
        if version != known:
            yield "Version", f"is not {known}", version
        if operation.input_shape is not None:
            found = list(of_form(operation.input_shape, tree, ""))
            yield from found or documented(operation, tree)

    @staticmethod
    def answer(shape, content):
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            yield "", f"is no XML: {error}", None
            return
        yield from of_xml(shape, root, "", beside=("requestId", "return"))


def form(body):
    """A.1.B=c as {"A": {"1": {"B": "c"}}}."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise Unreadable(f"its body is no form: {error}") from None
    tree = {}
    for name, value in pairs:
        at = tree
        *folders, leaf = name.split(".")
        for folder in folders:
            at = at.setdefault(folder, {})
            if not isinstance(at, dict):
                raise Unreadable(f"{name} is a value and has members")
        if leaf in at:
            raise Unreadable(f"{name} is given twice")
        at[leaf] = value
    return tree


@functools.cache
def members_of_form(shape):
    """By the name on the wire: `queryName` as it stands, any other with a capital."""
    names = {}
    for name, member in shape.members.items():
        wire = member.serialization.get("name", name)
        names[member.serialization.get("queryName") or wire[0].upper() + wire[1:]] = name, member
    return names


def of_form(shape, tree, at):
    kind = shape.type_name
    if kind not in ("structure", "list"):
        if isinstance(tree, dict):
            yield at, "has members, and is a value", tree
        else:
            yield from scalar(shape, tree, at)
    elif not isinstance(tree, dict):
        yield at, f"is a value, and should be a {kind}", tree
    elif kind == "list":
        if sorted(tree) != sorted(str(number + 1) for number in range(len(tree))):
            yield at, "is not numbered from 1 without a gap", sorted(tree)
        for number, value in tree.items():
            yield from of_form(shape.member, value, below(at, number))
    else:
        names = members_of_form(shape)
        for wire, value in tree.items():
            if wire in names:
                yield from of_form(names[wire][1], value, below(at, wire))
            else:
                yield unknown(names, wire, below(at, wire), value)
        yield from missing(shape, {names[wire][0] for wire in tree if wire in names}, at)


def documented(operation, tree):
    """What only the documentation in the model says, and EC2's rules for tags and user data."""
    shape = operation.input_shape
    filters = list((tree.get("Filter") or {}).values())
    known = documented_filters(operation.name)
    for one in filters:
        name = one.get("Name", "")
        if known and ("tag:" if name.startswith("tag:") else name) not in known:
            yield "Filter", f"{operation.name} documents no filter of this name", name
        if not one.get("Value"):
            yield "Filter", "has no value", name
    if sum(len(one.get("Value") or ()) for one in filters) > FILTER_VALUES:
        yield "Filter", f"has more than {FILTER_VALUES} values", None
    ids = [wire for wire in tree if wire.endswith("Id") and isinstance(tree[wire], dict)]
    if ids and "MaxResults" in tree and "cannot specify this parameter and" in said_of(shape, "MaxResults"):
        yield "MaxResults", f"is not taken beside {ids[0]}", tree["MaxResults"]
    token = tree.get("ClientToken", "")
    if len(token) > CLIENT_TOKEN or not token.isascii():
        yield "ClientToken", f"has more than {CLIENT_TOKEN} characters of ASCII", token
    for wire in ("Tag", "TagSpecification"):
        groups = [tree] if wire == "Tag" else list((tree.get(wire) or {}).values())
        for group in groups:
            yield from tags(list((group.get("Tag") or {}).values()), wire)
            if wire == "TagSpecification" and not group.get("ResourceType"):
                yield wire, "has no ResourceType", None
    if "UserData" in tree and operation.name == "RunInstances":
        try:
            if len(base64.b64decode(tree["UserData"], validate=True)) > USER_DATA:
                yield "UserData", f"is longer than {USER_DATA} bytes", None
        except binascii.Error:
            yield "UserData", "is not base64", None
    beside = [wire for wire in ("SubnetId", "SecurityGroupId", "PrivateIpAddress") if wire in tree]
    if "NetworkInterface" in tree and beside:
        yield "NetworkInterface", f"is not taken beside {beside[0]}", None


def tags(pairs, at):
    keys = [pair.get("Key", "") for pair in pairs]
    for key in keys:
        if key.lower().startswith("aws:"):
            yield at, "has a key of AWS's own", key
        if not 1 <= len(key) <= TAG_KEY:
            yield at, f"has a key of not 1 to {TAG_KEY} characters", key
    if len(set(keys)) < len(keys):
        yield at, "has a key twice", keys
    for pair in pairs:
        if len(pair.get("Value", "")) > TAG_VALUE:
            yield at, f"has a value of more than {TAG_VALUE} characters", pair["Value"]


@functools.cache
def said_of(shape, wire):
    _, member = members_of_form(shape).get(wire, (None, None))
    return "" if member is None else " ".join(re.sub("<[^>]*>", " ", member.documentation or "").split())


@functools.cache
def documented_filters(name):
    members = operation_of("ec2", name).input_shape.members
    text = members["Filters"].documentation if "Filters" in members else ""
    names = {html.unescape(name).strip() for name in re.findall(r"<li>\s*<p>\s*<code>([^<]+)", text)}
    # Written as `tag:<key>`, or as `tag` with the rest of it outside.
    by_tag = {name for name in names if name == "tag" or name.startswith("tag:")}
    return names - by_tag | ({"tag:"} if by_tag else set())


@functools.cache
def members_by_name(shape):
    return {member.serialization.get("name", name): member for name, member in shape.members.items()}


def of_xml(shape, node, at, beside=()):
    kind = shape.type_name
    if kind == "structure":
        names = members_by_name(shape)
        for child in node:
            tag = child.tag.rpartition("}")[2]
            if tag in names:
                yield from of_xml(names[tag], child, below(at, tag))
            elif tag not in beside:
                yield unknown(names, tag, below(at, tag), "".join(child.itertext()).strip())
    elif kind == "list":
        wanted = shape.member.serialization.get("name", "member")
        for child in node:
            if child.tag.rpartition("}")[2] == wanted:
                yield from of_xml(shape.member, child, at)
            else:
                yield at, f"has a member that is no <{wanted}>", child.tag
    elif len(node):
        yield at, "has members, and is a value", None
    elif node.text:
        yield from scalar(shape, node.text, at, strictly=False)


# --- DynamoDB and Systems Manager: JSON -----------------------------------------------------------------------


class Json:
    """The operation is in a header: https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html"""

    @staticmethod
    def name_of(_service, _method, _target, headers, _body):
        return headers.get("x-amz-target", "").rpartition(".")[2]

    @staticmethod
    def request(operation, _method, _target, headers, body):
        known = operation.service_model.metadata
        prefix = headers.get("x-amz-target", "").rpartition(".")[0]
        if prefix != known["targetPrefix"]:
            yield "X-Amz-Target", f"does not begin with {known['targetPrefix']}", prefix
        kind = f"application/x-amz-json-{known['jsonVersion']}"
        if headers.get("content-type") != kind:
            yield "Content-Type", f"is not {kind}", headers.get("content-type")
        if operation.input_shape is not None:
            value = read(body)
            yield from of_json(operation.input_shape, value, "")
            if operation.service_model.service_name == "dynamodb":
                yield from attributes(value, "")

    @staticmethod
    def answer(shape, content):
        yield from of_json(shape, read(content), "", strictly=False)


def attributes(value, at):
    """What only DynamoDB's documentation says of numbers and of names inside a value; DynamoDB Local keeps to it."""
    if isinstance(value, list):
        for one in value:
            yield from attributes(one, at)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name == "N" and isinstance(one, str):
                yield from number(one, below(at, name))
            if name == "M" and isinstance(one, dict):
                for key in one:
                    if not 1 <= len(key.encode("utf-8", "surrogatepass")) <= ATTRIBUTE_NAME:
                        yield below(at, name), f"has a key of not 1 to {ATTRIBUTE_NAME} bytes", key
            yield from attributes(one, below(at, name))


def number(text, at):
    try:
        digits = WIDE.create_decimal(text.strip()).normalize(WIDE)
    except decimal.InvalidOperation:
        digits = None
    if digits is None or not digits.is_finite():
        yield at, "is no number", text
    elif len(digits.as_tuple().digits) > DIGITS:
        yield at, f"has more than {DIGITS} digits", text
    elif digits and not -130 <= digits.adjusted() <= 125:
        yield at, "is too large or too small", text


def read(body):
    def once(pairs):
        if len(dict(pairs)) < len(pairs):
            raise Unreadable(f"its body has a member twice: {[name for name, _ in pairs]}")
        return dict(pairs)

    try:
        return json.loads(body or b"{}", object_pairs_hook=once)
    except ValueError as error:
        raise Unreadable(f"its body is no JSON: {error}") from None


def of_json(shape, value, at, strictly=True):
    kind = shape.type_name
    if value is None:
        # moto writes what is not there as null; the services leave it out, and every SDK takes both.
        yield from [(at, "is null", None)] if strictly else ()
    elif kind not in ("structure", "list", "map"):
        # JSON has numbers and truth values of its own, and text is neither.
        as_text = isinstance(value, str) and kind in ("boolean", "integer", "long", "float", "double")
        yield from [(at, f"is text, and should be a {kind}", value)] if as_text else scalar(shape, value, at, strictly)
    elif not isinstance(value, list if kind == "list" else dict):
        yield at, f"should be a {kind}", value
    elif kind == "structure":
        names = members_by_name(shape)
        for name, one in value.items():
            if name in names:
                yield from of_json(names[name], one, below(at, name), strictly)
            else:
                yield unknown(names, name, below(at, name), one)
        yield from missing(shape, value, at) if strictly else ()
    else:
        yield from length(shape.metadata, len(value), at, None) if strictly else ()
        for key, one in enumerate(value) if kind == "list" else value.items():
            if kind == "map":
                yield from scalar(shape.key, key, f"{at}{{{key}}}", strictly)
            member = shape.member if kind == "list" else shape.value
            yield from of_json(member, one, f"{at}[{key}]" if kind == "list" else f"{at}{{{key}}}", strictly)


# --- EventBridge Scheduler: paths, queries and JSON -----------------------------------------------------------


class RestJson:
    """https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html"""

    @staticmethod
    def name_of(service, method, target, _headers, _body):
        for name in get_service_model(service).operation_names:
            http = operation_of(service, name).http
            if http["method"] == method and path_of(http["requestUri"]).fullmatch(target.partition("?")[0]):
                return name
        return None

    @staticmethod
    def request(operation, _method, target, headers, body):
        path, _, query = target.partition("?")
        labels = path_of(operation.http["requestUri"]).fullmatch(path).groupdict()
        queries = collections.defaultdict(list)
        for name, value in parse_qsl(query, keep_blank_values=True):
            queries[name].append(value)
        given, in_body = read(body) if body else {}, {}
        found, arguments = [], set()
        for name, member in operation.input_shape.members.items():
            wire, place = member.serialization.get("name", name), member.serialization.get("location")
            if place is None:
                in_body[wire] = member
                arguments |= {name} & given.keys()
                continue
            values = [unquote(labels[wire])] if place == "uri" else queries.pop(wire, []) if place == "querystring" else []
            for value in values:
                arguments.add(name)
                found += scalar(member, value, wire)
        if given and headers.get("content-type") != "application/json":
            yield "Content-Type", "is not application/json", headers.get("content-type")
        yield from found
        for name, values in queries.items():
            yield f"?{name}", "is no member that the model knows", values
        for name, value in given.items():
            if name in in_body:
                yield from of_json(in_body[name], value, name)
            else:
                yield unknown(in_body, name, name, value)
        yield from missing(operation.input_shape, arguments, "")

    @staticmethod
    def answer(shape, content):
        yield from of_json(shape, read(content), "", strictly=False)


@functools.cache
def path_of(uri):
    """/schedules/{Name} as a pattern."""
    parts = re.split(r"\{(\w+)\}", uri)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part) for number, part in enumerate(parts)))


PROTOCOLS = {"dynamodb": Json, "ec2": Ec2, "scheduler": RestJson, "ssm": Json}

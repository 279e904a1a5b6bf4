"""Prints the tables of a Terraform module's README: its inputs and outputs, as variables.tf and outputs.tf have them.

    module_readme.py MODULE
"""

import json
import sys
from pathlib import Path

import terraform


def main():
    parsed = terraform.parse(Path(sys.argv[1]))
    scope = terraform.Scope(None, {})
    print("\n| input | type | default | what it is |\n|---|---|---|---|")
    for labels, block in sorted(parsed.of_type("variable"), key=lambda each: "default" in each[1].attributes):
        given = block.attributes
        default = f"`{json.dumps(terraform.evaluate(given['default'], scope))}`" if "default" in given else "required"
        described = terraform.evaluate(given["description"], scope)
        print(f"| `{labels[0]}` | `{terraform.text_of(given['type'])}` | {default} | {cell(described)} |")
    print("\n| output | what it is |\n|---|---|")
    for labels, block in parsed.of_type("output"):
        print(f"| `{labels[0]}` | {cell(terraform.evaluate(block.attributes['description'], scope))} |")


def cell(text):
    """In a table a bar would begin another cell, and outside of code a star would begin stressed words."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "\\<")


if __name__ == "__main__":
    main()

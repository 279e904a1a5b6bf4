"""A SAM template as CloudFormation will see it: translated, then resolved for one set of answers to its parameters.

The resolver is our own, and small: those to be had either make up what they cannot resolve (pycfmodel: GETATT,
UNDEFINED_PARAM), or want the ARNs written into the template (cloud-radar), or an account (cfn-policy-validator). This
one stops at whatever it does not know.
"""

import logging
import os
import re

import yaml

# A stack needs a Region to be judged in; it is also the one thing that the translator looks for outside the
# template. Set before the imports, and over whatever the machine is configured for, so that the result is the
# same everywhere.
REGION = "us-west-2"
os.environ["AWS_DEFAULT_REGION"] = REGION
os.environ["AWS_REGION"] = REGION

from samtranslator.model.exceptions import InvalidDocumentException  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import intrinsics_multi_constructor  # noqa: E402

ACCOUNT = "123456789012"

# The translator keeps metrics, and warns that nobody reads them.
logging.getLogger("samtranslator.metrics.metrics").setLevel(logging.ERROR)


class Loader(yaml.CSafeLoader):
    """As samtranslator reads a template, by libyaml: in a tenth of the time."""


Loader.add_multi_constructor("!", intrinsics_multi_constructor)


def code_uri(path):
    """The folder or the zip that the template names as the code of all functions."""
    return path.parent / read(path)["Globals"]["Function"]["CodeUri"]


def read(path):
    return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)


def translate(path):
    """The template as CloudFormation's own SAM transform would rewrite it, or what SAM has against it."""
    template = read(path)
    if not isinstance(template, dict):
        return None, ["not a template: expected a mapping with Resources"]
    for resource in template.get("Resources", {}).values():
        if resource.get("Type") == "AWS::Serverless::Function":
            # `sam package` puts the uploaded zip here; SAM refuses a folder.
            resource["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    try:
        return transform(template, {}, NoManagedPolicies()), []
    except InvalidDocumentException as error:
        return None, [f"SAM: {cause.message}" for cause in error.causes]


class NoManagedPolicies:
    """In place of a call to IAM, for a list of AWS's managed policies by name. We name none."""

    def load(self):
        return {}


class Unresolved(Exception):
    """The template asks for something that is not known here."""


# What a resource's Ref and attributes are, by its type: the property that names it (without it, CloudFormation makes
# a name up), Ref, and each attribute.
TYPES = {
    "AWS::CloudWatch::Dashboard": ("DashboardName", "{name}", {}),
    "AWS::DynamoDB::Table": (
        "TableName",
        "{name}",
        {"Arn": "arn:{partition}:dynamodb:{region}:{account}:table/{name}"},
    ),
    "AWS::EC2::SecurityGroup": ("GroupName", "{name}", {"GroupId": "sg-0fedcba987654321f"}),
    "AWS::Events::Rule": (
        "Name",
        "{name}",
        {"Arn": "arn:{partition}:events:{region}:{account}:rule/{name}"},
    ),
    "AWS::IAM::InstanceProfile": (
        "InstanceProfileName",
        "{name}",
        {"Arn": "arn:{partition}:iam::{account}:instance-profile{path}{name}"},
    ),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "arn:{partition}:iam::{account}:policy{path}{name}", {}),
    "AWS::IAM::Role": ("RoleName", "{name}", {"Arn": "arn:{partition}:iam::{account}:role{path}{name}"}),
    "AWS::Lambda::Function": (
        "FunctionName",
        "{name}",
        {"Arn": "arn:{partition}:lambda:{region}:{account}:function:{name}"},
    ),
    "AWS::Logs::LogGroup": (
        "LogGroupName",
        "{name}",
        {"Arn": "arn:{partition}:logs:{region}:{account}:log-group:{name}:*"},
    ),
    "AWS::SNS::Topic": ("TopicName", "arn:{partition}:sns:{region}:{account}:{name}", {}),
    "AWS::SQS::Queue": (
        "QueueName",
        "https://sqs.{region}.{suffix}/{account}/{name}",
        {"Arn": "arn:{partition}:sqs:{region}:{account}:{name}", "QueueName": "{name}"},
    ),
    "AWS::Scheduler::ScheduleGroup": (
        "Name",
        "{name}",
        {"Arn": "arn:{partition}:scheduler:{region}:{account}:schedule-group/{name}"},
    ),
}

NO_VALUE = object()


def is_between(least, text, most):
    try:
        return least <= float(text) <= most
    except ValueError:
        return False


class Stack:
    """What CloudFormation makes of a translated template with these answers, resolved as far as it is asked for."""

    def __init__(self, template, answers, region=REGION, name="elephant"):
        self.template = template
        # Conditions and properties are the same each time, once the parameters are answered.
        self.conditions, self.resolved = {}, {}
        china = region.startswith("cn-")
        self.place = {
            "partition": "aws-cn" if china else "aws",
            "region": region,
            "account": ACCOUNT,
            "suffix": "amazonaws.com.cn" if china else "amazonaws.com",
        }
        self.parameters = {
            "AWS::AccountId": ACCOUNT,
            "AWS::NoValue": NO_VALUE,
            "AWS::Partition": self.place["partition"],
            "AWS::Region": region,
            "AWS::StackName": name,
            "AWS::URLSuffix": self.place["suffix"],
        }
        self.refusals = [f"the template has no parameter {key}" for key in answers.keys() - self._declared().keys()]
        for key, declared in self._declared().items():
            self._answer(key, declared, answers.get(key, declared.get("Default")))
        self._judge_rules()

    def resources(self, of_type=None):
        """The logical names of the resources that this stack has."""
        return [
            name
            for name, resource in self.template["Resources"].items()
            if (of_type is None or resource["Type"] == of_type) and self._condition(resource.get("Condition"))
        ]

    def properties(self, name):
        if name not in self.resolved:
            self.resolved[name] = self.resolve(self._resource(name).get("Properties", {}))
        return dict(self.resolved[name])

    def policies(self, role):
        """What a role may do: the documents of its own policies, and of those that are put on it from outside."""
        return self.own_policies(role) + self.managed_policies(role)

    def own_policies(self, role):
        """Those that IAM keeps with the role. An AWS::IAM::Policy is one of each role that it names."""
        own = self.properties(role).get("Policies", [])
        return [policy["PolicyDocument"] for policy in own] + self._put_on(role, "AWS::IAM::Policy")

    def managed_policies(self, role):
        return self._put_on(role, "AWS::IAM::ManagedPolicy")

    def _put_on(self, role, of_type):
        name = self.resolve({"Ref": role})
        policies = [self.properties(policy) for policy in self.resources(of_type)]
        return [policy["PolicyDocument"] for policy in policies if name in policy["Roles"]]

    def outputs(self):
        declared = self.template.get("Outputs", {}).items()
        here = {name: output["Value"] for name, output in declared if self._condition(output.get("Condition"))}
        return {name: self.resolve(value) for name, value in here.items()}

    def property(self, name, key):
        return self.resolve(self._resource(name).get("Properties", {}).get(key))

    def arn(self, service, resource, region=None, account=None):
        """An ARN of this stack's Region and account, unless another is given; "" for none."""
        region = self.place["region"] if region is None else region
        account = self.place["account"] if account is None else account
        return f"arn:{self.place['partition']}:{service}:{region}:{account}:{resource}"

    # --- Parameters and rules -------------------------------------------------------------------------------

    def _declared(self):
        return self.template.get("Parameters", {})

    def _answer(self, key, declared, answer):
        if answer is None:
            self.refusals.append(f"{key} is not answered")
            return
        text = str(answer)
        pieces = [piece.strip() for piece in text.split(",")] if declared["Type"] == "CommaDelimitedList" else [text]
        allowed = [str(value) for value in declared.get("AllowedValues", [])]
        pattern = declared.get("AllowedPattern", "")
        least, most = float(declared.get("MinValue", "-inf")), float(declared.get("MaxValue", "inf"))
        if len(text) > declared.get("MaxLength", len(text)):
            self.refusals.append(f"{key} may not be longer than {declared['MaxLength']}")
        for piece in pieces:
            if declared["Type"] == "Number" and not is_between(least, piece, most):
                self.refusals.append(f"{key} may not be {piece!r}")
                continue
            if (allowed and piece not in allowed) or (pattern and not re.fullmatch(pattern, piece)):
                self.refusals.append(f"{key} may not be {piece!r}")
        self.parameters[key] = pieces if declared["Type"] == "CommaDelimitedList" else text

    def _judge_rules(self):
        for name, rule in {} if self.refusals else self.template.get("Rules", {}).items():
            if "RuleCondition" in rule and not self.resolve(rule["RuleCondition"]):
                continue
            self.refusals += [
                f"{name}: {assertion.get('AssertDescription', '')}"
                for assertion in rule["Assertions"]
                if not self.resolve(assertion["Assert"])
            ]

    # --- Intrinsic functions --------------------------------------------------------------------------------

    def resolve(self, value):
        if isinstance(value, list):
            return [piece for piece in map(self.resolve, value) if piece is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(key, argument)] = value.items()
            if key == "Ref":
                return self._ref(argument)
            # In a policy's statement `Condition` is something else, and a mapping.
            if key == "Condition" and isinstance(argument, str):
                return self._condition(argument)
            if key.startswith("Fn::"):
                return self._function(key, argument)
        resolved = {key: self.resolve(part) for key, part in value.items()}
        return {key: part for key, part in resolved.items() if part is not NO_VALUE}

    def _function(self, key, argument):
        if key == "Fn::If":
            condition, yes, no = argument
            return self.resolve(yes if self._condition(condition) else no)
        if key == "Fn::Sub":
            return self._sub(argument)
        if key == "Fn::GetAtt":
            name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
            return self._attribute(name, attribute)
        argument = self.resolve(argument)
        if key == "Fn::Equals":
            return str(argument[0]) == str(argument[1])
        if key == "Fn::Not":
            return not argument[0]
        if key == "Fn::And":
            return all(argument)
        if key == "Fn::Or":
            return any(argument)
        if key == "Fn::Join":
            return argument[0].join(argument[1])
        if key == "Fn::FindInMap":
            table, row, column = map(self.resolve, argument)
            return self.template["Mappings"][table][row][str(column)]
        if key == "Fn::Split":
            return argument[1].split(argument[0])
        if key == "Fn::Select":
            return argument[1][int(argument[0])]
        raise Unresolved(key)

    def _condition(self, name):
        if name is None:
            return True
        if name not in self.template.get("Conditions", {}):
            raise Unresolved(f"the condition {name}")
        if name not in self.conditions:
            self.conditions[name] = self.resolve(self.template["Conditions"][name])
        return self.conditions[name]

    def _ref(self, name):
        if name in self.parameters:
            return self.parameters[name]
        _, ref, _, known = self._known(name)
        return ref.format(**known)

    def _attribute(self, name, attribute):
        type, _, attributes, known = self._known(name)
        if attribute not in attributes:
            raise Unresolved(f"{attribute} of {name} ({type})")
        return attributes[attribute].format(**known)

    def _resource(self, name):
        resource = self.template["Resources"].get(name)
        if resource is None or not self._condition(resource.get("Condition")):
            raise Unresolved(f"{name}, which this stack does not have")
        return resource

    def _known(self, name):
        type = self._resource(name)["Type"]
        if type not in TYPES:
            raise Unresolved(f"{name} ({type}): add its type to TYPES in sam.py")
        naming, ref, attributes = TYPES[type]
        made_up = f"{self.parameters['AWS::StackName']}-{name}-1A2B3C4D5E6F"
        # Of what IAM has, a path stands before the name.
        path = self.property(name, "Path") or "/"
        return type, ref, attributes, {**self.place, "name": self.property(name, naming) or made_up, "path": path}

    def _sub(self, argument):
        text, more = (argument, {}) if isinstance(argument, str) else argument

        def value(match):
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in more:
                return str(self.resolve(more[name]))
            if "." in name:
                return self._attribute(*name.split(".", 1))
            return str(self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

"""Shows that the policies of a SAM template allow what its roles are for, and nothing near it.

    check_policies.py infra/template.yaml --asks LaunchFunction=dynamodb:GetItem,ec2:RunInstances,...

For every role of the translated template, under each set of answers to the parameters (answers.py), against the tables
of what the role is for (calls.py):

1. Sufficient: every call is allowed, whatever AWS asks about it.
2. Narrow: every near miss is denied, and so is every call in another Region or account.
3. Necessary: without any one statement, action, resource, principal, condition or value of a condition, or with a
   resource widened to its whole Region, to every account, to everything or in one step of its path, one of the two
   tables breaks.
4. The tables are true to AWS: they name every resource and condition key that the Service Authorization Reference
   lists for the calls, or say why it does not come up, and ask nothing that it does not list.
5. The calls of a function are those that its source asks for, as named on the command line.
6. parliament, the linter of policies, with its community's auditors, finds nothing without a reason (EXCEPTIONS); a
   reason that nothing needs is a finding too.
7. The policies of a role are no larger than IAM takes, also with every long answer at once.
8. Every role has the permissions boundary and the path that were answered, and every managed policy that path; every log
   group, queue, table and function has the key.
9. A queue takes TLS only, and lets in nobody by itself but a rule of this stack that has it for its target.
10. A role, or a policy elsewhere, that no table judges is a finding, as is an answer that would smuggle a wildcard in.

Prints one finding a line and ends with 1 if there is any, with 2 if the command line is wrong. Of several templates
each is judged by itself; what does not differ from the first is not asked again, so name the one that the others were
made from first. Needs no network and no AWS account.
"""

import copy
import json
import re
import sys
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from itertools import repeat
from multiprocessing import get_context

import arguments
from answers import LONGEST, REFUSED, SETS, stacks
from calls import NOT_SENT, ROLES, UNTOUCHED
from judge import allows, faults, kinds, trusts, unanswered
from sam import Stack, Unresolved, translate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # parliament imports pkg_resources, which warns of its end
    import parliament

# parliament's findings that are none: (finding, role, the statement's Sid) → why. Its community's auditors take part.
SPLIT = (
    "RunInstances is judged for each resource, and each kind has a statement with its own conditions; parliament wants "
    "all in one: https://github.com/duo-labs/parliament/issues/3"
)
MADE = (
    "what is made is tagged as ours, and what it is made of is ours, or anybody's: statements of their own; parliament "
    "wants all in one, as for RunInstances"
)
RUN = "a machine of ours, and AWS's own document, which has no account in its ARN: a statement each; parliament wants both in one"
PUBLIC = "AWS's own parameters have no account in their ARN, of which parliament does not know"
PASSES = "a machine with a profile is given its role: this one alone, by EC2 alone, in one Region alone"
EXCEPTIONS = {
    ("RESOURCE_MISMATCH", "LaunchRole", "ReadWhichImageItIs"): PUBLIC,
    ("RESOURCE_MISMATCH", "LaunchRole", "LaunchMachines"): SPLIT,
    ("RESOURCE_MISMATCH", "LaunchRole", "LaunchTheirDisksInterfacesAndSpotRequests"): SPLIT,
    ("RESOURCE_MISMATCH", "LaunchRole", "LaunchFromTheImage"): SPLIT,
    ("RESOURCE_MISMATCH", "LaunchRole", "LaunchFromOurImages"): SPLIT,
    ("RESOURCE_MISMATCH", "LaunchRole", "LaunchWithTheSecurityGroups"): SPLIT,
    ("RESOURCE_MISMATCH", "LaunchRole", "LaunchIntoSubnets"): SPLIT,
    ("RESOURCE_MISMATCH", "LaunchRole", "LaunchWithAKeyPairOrATemplate"): SPLIT,
    ("PERMISSIONS_MANAGEMENT_ACTIONS", "LaunchRole", "all statements"): PASSES,
    ("RESOURCE_MISMATCH", "OperateRole", "TakeImagesOfOurMachines"): MADE,
    ("RESOURCE_MISMATCH", "OperateRole", "MakeOurImages"): MADE,
    ("RESOURCE_MISMATCH", "OperateRole", "MakeVolumesInterfacesAndKeyPairs"): MADE,
    ("RESOURCE_MISMATCH", "OperateRole", "MakeInterfacesInSubnets"): MADE,
    ("RESOURCE_MISMATCH", "OperateRole", "MakeWhatIsInThem"): MADE,
    ("RESOURCE_MISMATCH", "OperateRole", "MakeItInOurVpcs"): MADE,
    ("RESOURCE_MISMATCH", "OperateRole", "ReadWhichImageItIs"): PUBLIC,
    ("RESOURCE_MISMATCH", "OperateRole", "RunCommandsOnOurMachines"): RUN,
    ("RESOURCE_MISMATCH", "OperateRole", "RunThemAsScripts"): RUN,
    ("PERMISSIONS_MANAGEMENT_ACTIONS", "OperateRole", "all statements"): (
        "EC2 is let open the disk of a machine that starts: one key, through EC2, for AWS's own services alone"
    ),
    ("PERMISSIONS_MANAGEMENT_ACTIONS", "ScheduleRole", "all statements"): (
        "a schedule is given the role by which it invokes launch: this one alone, and to Scheduler alone"
    ),
}
# Both launch, by one policy.
EXCEPTIONS |= {(issue, "ReconcileRole", sid): why for (issue, role, sid), why in EXCEPTIONS.items() if role == "LaunchRole"}

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MOST_OF_A_ROLE, MOST_OF_A_MANAGED_ONE = 10240, 6144
LARGEST, LARGEST_MANAGED = "characters in a role's own policies at most", "in a managed policy at most"

# What each statement answered, by how it was asked (a role's own or a trust policy) and its text: key → allowed.
ANSWERS = defaultdict(dict)
# What was found in a role's policies, by all that this depends on, and what was counted.
PROVED = {}

OF_ROLES, OF_FUNCTIONS = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"), "AWS::Lambda::Permission"
OF_QUEUES = "AWS::SQS::QueuePolicy"


def main():
    templates, asks, _ = arguments.parse(
        __doc__, "--asks", "FUNCTION=ACTION,ACTION,…", "the actions that the function's source asks for"
    )
    # A test has a hundred templates, each the first with one thing changed. The processes that judge the others are made
    # of this one and have its caches: of statements, of questions, of what parliament said.
    checked = [whole_check(templates[0], asks)]
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        checked += pool.map(whole_check, templates[1:], repeat(asks))
    for template, (findings, counts) in zip(templates, checked):
        for finding in findings:
            print(f"{template}: {finding}")
        if not findings:
            print(f"{template}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    sys.exit(1 if any(findings for findings, _ in checked) else 0)


def whole_check(template, asks):
    findings, counts = check(template, asks)
    return list(findings), dict(counts)


def check(template, asks):
    translated, errors = translate(template)
    if translated is None:
        return errors, {}
    report = Report()
    try:
        for name, stack in stacks(translated).items():
            report.answers = name
            too_large(stack, report)
            as_the_organisation_asks(stack, report)
            queues_are_closed(stack, report)
            for role in stack.resources("AWS::IAM::Role"):
                if role in ROLES:
                    judge(stack, role, report)
                    lint(stack, role, report)
        report.answers = "every long answer at once"
        too_large(Stack(translated, LONGEST), report)
        report.answers = None
        everything_is_judged(translated, asks, report)
    except Unresolved as error:
        report.add(f"cannot be resolved: {error}")
        return report.findings(), {}
    for name, answers in REFUSED.items():
        if not Stack(translated, answers).refusals:
            report.add(f"CloudFormation would take {name}")
    true_to_aws(report)
    for issue, role, sid in sorted(EXCEPTIONS.keys() - report.excepted):
        report.add(f"{role}: {sid}: parliament does not say {issue} any more: take its exception out")
    return report.findings(), report.counts


class Report:
    """What was found, and under which answers; what was counted; what was asked."""

    def __init__(self):
        self.found = {}
        self.answers = None
        self.counts = Counter({"sets of answers": len(SETS), "exceptions to parliament": len(EXCEPTIONS)})
        self.excepted = set()
        self.calls, self.misses = [], []

    def add(self, text):
        self.found.setdefault(text, []).append(self.answers)

    def findings(self):
        """Each once, with the answers under which it was found unless that is all of them."""
        for text, answers in self.found.items():
            everywhere = None in answers or set(answers) == SETS.keys()
            yield text if everywhere else f"{text} [with {', '.join(dict.fromkeys(answers))}]"


# --- One role under one set of answers -----------------------------------------------------------------------


def judge(stack, role, report):
    """Both tables against the role's policies, and those against its trust policy, whole and mutated."""
    tables, properties = ROLES[role], stack.properties(role)
    calls = [*tables.calls(stack), *tables.by_service(stack)]
    misses = [*tables.misses(stack), *elsewhere(calls)]
    policies = stack.policies(role)
    for statement in [statement for policy in policies for statement in listed(policy["Statement"])]:
        for operator, keys in (statement.get("Condition") or {}).items():
            if not keys:
                raise Unresolved(f"{role}: {statement.get('Sid')}: {operator} without a key")
    Proof(role, calls, misses, allows).of(policies, report)

    trust = [properties["AssumeRolePolicyDocument"]]
    Proof(f"trust of {role}", list(tables.trust(stack)), list(tables.mistrust(stack)), trusts).of(trust, report)

    of_aws = [stack.arn("iam", f"policy/{name}", region="", account="aws") for name in tables.of_aws]
    if properties.get("ManagedPolicyArns", []) != of_aws:
        report.add(f"{role}: managed policies that its table does not name are not judged here; write them out")
    report.calls.append((role, calls))
    report.misses += misses


def too_large(stack, report):
    """IAM counts all characters but white space: of a role's own policies together, of a managed one by itself."""
    for refusal in stack.refusals:
        report.add(f"CloudFormation refuses these answers: {refusal}")
    for role in stack.resources("AWS::IAM::Role"):
        size = sum(map(characters, stack.own_policies(role)))
        report.counts[LARGEST] = max(report.counts[LARGEST], size)
        if size > MOST_OF_A_ROLE:
            report.add(f"{role}: its own policies have {size} characters together, and IAM takes {MOST_OF_A_ROLE}")
        for size in map(characters, stack.managed_policies(role)):
            report.counts[LARGEST_MANAGED] = max(report.counts[LARGEST_MANAGED], size)
            if size > MOST_OF_A_MANAGED_ONE:
                report.add(f"{role}: a managed policy has {size} characters, and IAM takes {MOST_OF_A_MANAGED_ONE}")


# Where each type of resource has what an organisation asks of all of them, and the parameter that says what.
ASKED = [
    ("AWS::IAM::Role", ["Path"], "RolePath"),
    ("AWS::IAM::Role", ["PermissionsBoundary"], "PermissionsBoundaryArn"),
    ("AWS::IAM::ManagedPolicy", ["Path"], "RolePath"),
    ("AWS::DynamoDB::Table", ["SSESpecification", "KMSMasterKeyId"], "KmsKeyArn"),
    ("AWS::Lambda::Function", ["KmsKeyArn"], "KmsKeyArn"),
    ("AWS::Logs::LogGroup", ["KmsKeyId"], "KmsKeyArn"),
    ("AWS::SQS::Queue", ["KmsMasterKeyId"], "KmsKeyArn"),
]


def as_the_organisation_asks(stack, report):
    for of_type, steps, parameter in ASKED:
        for name in stack.resources(of_type):
            found = stack.properties(name)
            for step in steps:
                found = (found or {}).get(step)
            if found != (stack.parameters[parameter] or None):
                report.add(f"{name}: its {'.'.join(steps)} is {found}, and {parameter} is {stack.parameters[parameter]!r}")
    for name in stack.resources("AWS::SQS::Queue"):
        if stack.properties(name).get("SqsManagedSseEnabled") == bool(stack.parameters["KmsKeyArn"]):
            report.add(f"{name}: is encrypted with SQS's own key or with another, and not with both or neither")


def queues_are_closed(stack, report):
    """A queue takes TLS only, and from nobody who has no permission of a role's but the rules that have it for a target."""
    policies = [stack.properties(name) for name in stack.resources(OF_QUEUES)]
    rules = stack.resources("AWS::Events::Rule")
    for name in stack.resources("AWS::SQS::Queue"):
        url, arn = stack.resolve({"Ref": name}), stack.resolve({"Fn::GetAtt": [name, "Arn"]})
        own = [policy["PolicyDocument"]["Statement"] for policy in policies if url in policy["Queues"]]
        senders = [rule for rule in rules if arn in {target["Arn"] for target in stack.properties(rule)["Targets"]}]
        # "*" is each of several queues that share a policy.
        alone = any(policy["Queues"] == [url] for policy in policies)
        expected = [closed(arn if alone else "*"), *(lets_in(stack, rule, arn) for rule in senders)]
        if own != [expected]:
            report.add(f"{name}: expected one policy, {json.dumps(expected)}, found {json.dumps(own)}")


def closed(resource):
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    what = {"Sid": "TakeTlsOnly", "Effect": "Deny", "Principal": "*", "Action": "sqs:*"}
    return what | {"Resource": resource, "Condition": plain}


def lets_in(stack, rule, queue):
    source = {"ArnEquals": {"aws:SourceArn": stack.resolve({"Fn::GetAtt": [rule, "Arn"]})}}
    what = {"Sid": "LetTheRuleSend", "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}
    return what | {"Action": "sqs:SendMessage", "Resource": queue, "Condition": source}


def characters(policy):
    return len(json.dumps(policy, separators=(",", ":")))


def elsewhere(calls):
    """Every call once more in another Region, and on another account's resource."""
    for call in calls:
        if call.anywhere:
            continue
        if call.resource == "*":
            continue  # tables.misses has these: there the Region is a condition
        start, partition, service, region, account, resource = call.resource.split(":", 5)
        if region:
            there = [start, partition, service, "eu-central-1", account, resource]
            keys = call.keys | ({"ec2:Region": "eu-central-1"} if "ec2:Region" in call.keys else {})
            yield replace(call, what=f"{call.what}, in another Region", resource=":".join(there), keys=keys)
        if account:
            there = [start, partition, service, region, "210987654321", resource]
            yield replace(call, what=f"{call.what}, in another account", resource=":".join(there))


class Proof:
    """Calls that are to be allowed and near misses that are to be denied, by a role's policies or its trust policy."""

    def __init__(self, name, calls, misses, allows):
        self.name, self.calls, self.misses, self.allows = name, calls, misses, allows
        self.calls_by_action, self.misses_by_action = by_action(calls), by_action(misses)

    def of(self, policies, report):
        asked = [(question.what, question.key) for question in (*self.calls, *self.misses)]
        key = self.name, json.dumps(policies), len(self.calls), tuple(asked)
        if key not in PROVED:
            counts = Counter({"calls allowed": len(self.calls), "near misses denied": len(self.misses)})
            PROVED[key] = list(self.findings(policies, counts)), counts
        findings, counts = PROVED[key]
        for finding in findings:
            report.add(f"{self.name}: {finding}")
        report.counts += counts

    def findings(self, policies, counts):
        for policy in policies:
            yield from against_the_rules(policy)
        # Nothing but allows is judged, so the policies allow what any one statement of them allows.
        statements = [statement for policy in policies for statement in listed(policy["Statement"])]
        by_how_many = Counter(key for statement in statements for key in self.allowed_by(statement))
        for call in self.calls:
            if not by_how_many[call.key]:
                yield f"denied: {call}"
        for miss in self.misses:
            if by_how_many[miss.key]:
                yield f"allowed, and should not be: {miss}"
        for statement in statements:
            # The others are answered by other statements, which stay as they are.
            calls, misses = about(statement, self.calls_by_action), about(statement, self.misses_by_action)
            by_it = self.allowed_by(statement)
            by_others = {key for key, many in by_how_many.items() if many > (key in by_it)}
            for change, changed in mutations(statement):
                counts["mutations found"] += 1
                now = by_others | (self.allowed_by(changed) if changed else set())
                if all(call.key in now for call in calls) and not any(miss.key in now for miss in misses):
                    yield f"nothing breaks {change}"

    def allowed_by(self, statement):
        """The keys of the questions that a statement allows by itself. Each is asked once in a process."""
        text = json.dumps(statement)
        answers = ANSWERS[self.allows, text]
        questions = about(statement, self.calls_by_action) + about(statement, self.misses_by_action)
        for question in questions:
            if question.key not in answers:
                answers[question.key] = self.allows(text, question)
        return {question.key for question in questions if answers[question.key]}


def by_action(questions):
    grouped = defaultdict(list)
    for question in questions:
        grouped[question.action.lower()].append(question)
    return grouped


def about(statement, grouped):
    """The questions whose action a statement names."""
    named = [name.lower() for name in listed(statement.get("Action", "*"))]
    actions = [action for action in grouped if any(fnmatchcase(action, name) for name in named)]
    return [question for action in actions for question in grouped[action]]


def against_the_rules(policy):
    """Forms that a proof by mutation cannot judge, or that are never narrow."""
    for statement in listed(policy["Statement"]):
        name = statement.get("Sid", "a statement")
        if statement["Effect"] != "Allow":
            yield f"{name}: {statement['Effect']} is not judged here; allow less"
        for form in ("NotAction", "NotResource", "NotPrincipal"):
            if form in statement:
                yield f"{name}: {form} allows whatever it does not name"
        for action in listed(statement.get("Action", [])):
            if re.search(r"[*?]", action):
                yield f"{name}: a wildcard in an action ({action})"
        for resource in listed(statement.get("Resource", [])):
            if resource != "*" and re.search(r"[*?]", re.split("[/:]", resource.split(":", 5)[5])[0]):
                yield f"{name}: a wildcard in the kind of a resource ({resource})"


def mutations(statement):
    """Every statement that is this one with one thing less, or with one resource wider, and none in its place."""
    name = statement.get("Sid", "the statement")

    def changed(change):
        new = copy.deepcopy(statement)
        change(new)
        return new

    yield f"without {name}", None
    for part in ("Action", "Resource"):
        for value in several(statement.get(part, [])):
            rest = without(value, statement[part])
            yield f"without {value} in {name}", changed(lambda new: new.update({part: rest}))
    for resource in listed(statement.get("Resource", [])):
        for wide in wider(resource):
            rest = without(resource, statement["Resource"])
            yield f"with {wide} for {resource} in {name}", changed(lambda new: new.update(Resource=[*rest, wide]))
    if "Principal" in statement:
        yield f"with anybody for the principal of {name}", changed(lambda new: new.update(Principal="*"))
        for kind, principals in statement["Principal"].items():
            for value in several(principals):
                rest = {kind: without(value, principals)}
                yield f"without {value} in {name}", changed(lambda new: new["Principal"].update(rest))
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            at = f"{operator} {key} in {name}"
            yield f"without {at}", changed(lambda new: new["Condition"][operator].pop(key))
            for value in several(values):
                rest = without(value, values)
                yield f"without {value} in {at}", changed(lambda new: new["Condition"][operator].update({key: rest}))


def wider(resource):
    if resource == "*":
        return
    yield "*"
    parts = resource.split(":", 5)
    for position in (3, 4):
        if parts[position] not in ("", "*"):
            yield ":".join([*parts[:position], "*", *parts[position + 1 :]])
    # Of schedule/GROUP/launch-*: every group, every name.
    steps = parts[5].split("/")
    for position in range(1, len(steps)):
        # `index` is a word of DynamoDB's own, between the names of a table and of an index.
        if steps[position] not in ("*", "index"):
            yield ":".join([*parts[:5], "/".join([*steps[:position], "*", *steps[position + 1 :]])])


def listed(value):
    return value if isinstance(value, list) else [value]


def without(value, values):
    return [other for other in listed(values) if other != value]


def several(value):
    """The values of a list that has more than one: without its only one a statement is none."""
    return listed(value) if len(listed(value)) > 1 else []


# --- The linter ----------------------------------------------------------------------------------------------


def lint(stack, role, report):
    # A trust policy has no resources, which parliament cannot take; cfn-lint has it.
    for document in stack.policies(role):
        seen = set()
        # One by one, for parliament does not say to which statement a finding belongs; then what it and its community's
        # auditors have against all of them together.
        for statement in listed(document["Statement"]):
            for finding in against(json.dumps({**document, "Statement": [statement]})):
                seen.add(finding.issue)
                excuse(finding, role, statement.get("Sid", "a statement"), report)
        for finding in against(json.dumps(document), include_community_auditors=True):
            if finding.issue not in seen:
                excuse(finding, role, "all statements", report)


@cache
def against(document, **options):
    return parliament.analyze_policy_string(document, **options).findings


def excuse(finding, role, sid, report):
    place = (finding.issue, role, sid)
    report.excepted.add(place)
    if place not in EXCEPTIONS:
        detail = finding.detail or parliament.config.get(finding.issue, {}).get("title", "")
        report.add(f"{role}: {sid}: parliament says {finding.issue}: {detail}")


# --- The tables against AWS and against the template -----------------------------------------------------------


def true_to_aws(report):
    """What the tables get wrong about AWS, or leave out."""
    for question in [*report.misses, *(call for _, calls in report.calls for call in calls)]:
        for fault in faults(question):
            report.add(f"calls.py: {fault}")

    silent, untouched = set(), set()
    touched = {(call.action, call.kind) for _, calls in report.calls for call in calls}
    for role, calls in report.calls:
        calls = [call for call in calls if not faults(call)]
        for call in calls:
            for key in unanswered(call):
                reasons = reasons_for(call.kind, key)
                silent.update(reasons)
                if not reasons:
                    report.add(f"calls.py: {call}: says nothing of {key}, and NOT_SENT gives no reason")
        for action in {call.action for call in calls}:
            known = kinds(action)
            missing = {kind for kind in known if (action, kind) not in {(call.action, call.kind) for call in calls}}
            for kind in sorted(missing):
                if known[kind] and (action, kind) not in UNTOUCHED:
                    report.add(f"calls.py: {role}: {action} always touches {kind}, of which there is no question")
                # An action that needs no kind in particular (CreateTags) touches only those that it is given.
                elif any(known.values()) and (action, kind) not in touched:
                    untouched.add((action, kind))
                    if (action, kind) not in UNTOUCHED:
                        report.add(f"calls.py: {role}: {action} may touch {kind}: ask, or say why not in UNTOUCHED")
    for key in sorted(NOT_SENT.keys() - silent):
        report.add(f"calls.py: NOT_SENT explains {key}, which every call answers or none is asked for")
    for action, kind in sorted(UNTOUCHED.keys() - untouched):
        report.add(f"calls.py: UNTOUCHED explains {kind} for {action}, which is touched or not known")


@cache
def reasons_for(kind, key):
    """What NOT_SENT has of a key that a call says nothing of."""
    return [reason for reason in NOT_SENT if any(fnmatchcase(text, reason) for text in (key, f"{kind}: {key}"))]


def everything_is_judged(translated, asks, report):
    """What the template has and no table judges, and the other way round."""
    template = translated["Resources"]
    roles = {name for name, resource in template.items() if resource["Type"] == "AWS::IAM::Role"}
    for role in sorted(roles - ROLES.keys()):
        report.add(f"{role}: no table in calls.py says what this role is for")
    for role in sorted(ROLES.keys() - roles):
        report.add(f"{role}: not in the template, and calls.py has a table for it")
    for name, resource in template.items():
        # What is put on roles from outside is judged with them; a function's own policy lets our rules invoke it.
        if re.search("Policy|Permission", resource["Type"]) and resource["Type"] not in (*OF_ROLES, OF_FUNCTIONS, OF_QUEUES):
            report.add(f"{name} ({resource['Type']}): policies outside of roles are not judged here")
    for stack in stacks(translated).values():
        rules = {stack.resolve({"Fn::GetAtt": [rule, "Arn"]}): rule for rule in stack.resources("AWS::Events::Rule")}
        targets = {
            rule: {target["Arn"] for target in stack.properties(rule)["Targets"]} for rule in rules.values()
        }
        for name in stack.resources("AWS::Lambda::Permission"):
            given = stack.properties(name)
            rule = rules.get(given.get("SourceArn"))
            narrow = given.keys() == {"Action", "FunctionName", "Principal", "SourceArn"}
            if not narrow or (given["Action"], given["Principal"]) != ("lambda:InvokeFunction", "events.amazonaws.com"):
                report.add(f"{name}: lets somebody else than EventBridge invoke a function, or do more")
            elif rule is None or stack.arn("lambda", f"function:{given['FunctionName']}") not in targets[rule]:
                report.add(f"{name}: no rule of this stack has that function for its target")
        for policy in [policy for of_type in OF_ROLES for policy in stack.resources(of_type)]:
            judged = ROLES.keys() & {*stack.resources("AWS::IAM::Role")}
            names = {stack.resolve({"Ref": role}) for role in judged}
            if {"Groups", "Users"} & stack.properties(policy).keys() or not set(stack.properties(policy)["Roles"]) <= names:
                report.add(f"{policy}: is put on somebody whom no table judges")

    runs_with = {tables.function: role for role, tables in ROLES.items() if tables.function}
    every = list(stacks(translated).values())
    for function in every[0].resources("AWS::Lambda::Function"):
        role = runs_with.get(function)
        if role is None or role not in roles:
            report.add(f"{function}: no table in calls.py says what it calls")
        elif every[0].property(function, "Role") != every[0].resolve({"Fn::GetAtt": [role, "Arn"]}):
            report.add(f"{function}: does not run with {role}, for which its table is")
    for function, role in runs_with.items():
        calls = {call.action for stack in every for call in ROLES[role].calls(stack)}
        for action in sorted(asks.get(function, set()) - calls):
            report.add(f"{function}: its source asks for {action}, of which calls.py knows nothing")
        for action in sorted(calls - asks.get(function, set())):
            report.add(f"{function}: calls.py has {action}, for which its source does not ask")
    for function in sorted(asks.keys() - runs_with.keys()):
        report.add(f"{function}: --asks speaks of it, and calls.py has no table for it")


if __name__ == "__main__":
    main()

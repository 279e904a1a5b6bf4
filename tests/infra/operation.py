"""What an operator relies on, in a template under one set of answers: that nothing fails unseen.

1. Each function repeats a failed event, gives it up in time, and has a queue for what is left; it logs where a
   retention time is set, and sends traces. What sweeps needs no queue, for the next sweep does what is left; what only
   answers a person who waits repeats nothing, and needs no alarm either.
2. Each alarm watches a metric that is written (metrics.py), with the dimensions under which it is written, of a
   function, queue or group of this stack, by a statistic that makes sense of it; it tells the topic, takes a minute
   without a figure for a good one (but for what has to go on by itself), and says what to do. Nothing that needs an alarm is without one.
3. The dashboard, where it is asked for, is JSON, its widgets lie side by side, every metric on it is written, and
   they are no more than an account may have on a free one; every metric of ours is on it.
4. Each saved query asks for fields that the functions write into the logs that it reads, and no field is without one.
"""

import json
import re

from metrics import METRICS, OURS, PROPERTIES, known

FUNCTION, QUEUE, GROUP, ALARM = (
    "AWS::Lambda::Function",
    "AWS::SQS::Queue",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::CloudWatch::Alarm",
)
# A graph of the console is 24 columns wide.
COLUMNS = 24
# Three dashboards of an account are free, if each has no more metrics.
FREE = 50
PERIODS = (60, 300)

# The verbs whose failed events nobody has to look after.
SWEEPS = {"reconcile"}
ANSWERS = {"status", "operate"}

# What has to be watched, of each function of the stack (and for ours, of each that writes it), queue and group.
WATCHED = {
    ("AWS/Lambda", "DestinationDeliveryFailures"): "Sum",
    ("AWS/Lambda", "Duration"): "Maximum",
    ("AWS/Lambda", "Errors"): "Sum",
    ("AWS/Lambda", "Throttles"): "Sum",
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): "Maximum",
    ("AWS/Scheduler", "InvocationsFailedToBeSentToDeadLetterCount"): "Sum",
    (OURS, "CapacityRefusals"): "Sum",
    (OURS, "LeadTime"): "Minimum",
    (OURS, "Findings"): "Sum",
    (OURS, "OrphansEnded"): "Sum",
    (OURS, "MachinesLost"): "Sum",
    (OURS, "MeetingsLaunched"): "Sum",
    (OURS, "EndingsHeldBack"): "Sum",
    (OURS, "MachinesUnready"): "Sum",
    (OURS, "Throttles"): "Sum",
}

# What goes on by itself, so that silence is the failure: the sweeps that were started less what failed.
BEAT = (
    "started - failed",
    {"started": ("AWS/Events", "Invocations"), "failed": ("AWS/Lambda", "Errors")},
)
# A launch that takes longer than this is slow, long before its time-out is near.
SLOW = "Duration above 30 s"


def faults(stack):
    things = Things(stack)
    yield from of_functions(stack, things)
    yield from of_alarms(stack, things)
    yield from of_dashboards(stack, things)
    yield from of_queries(stack, things)


def queues(stack):
    return {stack.resolve({"Fn::GetAtt": [name, "Arn"]}): name for name in stack.resources(QUEUE)}


def sources(stack):
    return map(stack.properties, stack.resources("AWS::Lambda::EventSourceMapping"))


class Things:
    """The functions, queues and groups of a stack by the names that dimensions give them."""

    def __init__(self, stack):
        # Lambda takes their messages out and hands them to a function, so nobody has to look into them.
        self.sources = {source["EventSourceArn"]: source for source in sources(stack)}
        self.of = {
            "FunctionName": {stack.property(name, "FunctionName"): name for name in stack.resources(FUNCTION)},
            "QueueName": {arn.rpartition(":")[2]: name for arn, name in queues(stack).items() if arn not in self.sources},
            "RuleName": {stack.resolve({"Ref": name}): name for name in stack.resources("AWS::Events::Rule")},
            "ScheduleGroup": {stack.property(name, "Name"): name for name in stack.resources(GROUP)},
        }

    def verb(self, function_name):
        """elephant-launch runs `launch`."""
        return function_name.rpartition("-")[2]

    def fault(self, namespace, name, dimensions):
        """Why there is no such metric, or None."""
        metric = known(namespace, name)
        if metric is None:
            return f"nobody writes {namespace} {name}"
        if tuple(sorted(dimensions)) not in {tuple(sorted(names)) for names in metric.dimensions}:
            return f"{namespace} {name} is not written with the dimensions {', '.join(dimensions)}"
        for key, values in self.of.items():
            if key in dimensions and dimensions[key] not in values:
                return f"{namespace} {name}: this stack has no {key} {dimensions[key]}"
        if metric.verbs and self.verb(dimensions["FunctionName"]) not in metric.verbs:
            return f"{dimensions['FunctionName']} does not write {name}"
        return None

    def essential(self):
        """What nothing else stands in for: what a function gave up, and what the sweep found."""
        for queue, name in self.of["QueueName"].items():
            if name.endswith("Failures"):
                yield "AWS/SQS", "ApproximateNumberOfMessagesVisible", queue
        for function in self.of["FunctionName"]:
            if self.verb(function) in SWEEPS:
                yield OURS, "Findings", function

    def to_watch(self):
        """(namespace, metric, the name of what it is of) for all that may have an alarm."""
        for namespace, name in WATCHED:
            metric = known(namespace, name)
            for of in self.of[metric.dimensions[0][0]]:
                verb = self.verb(of) if metric.dimensions[0][0] == "FunctionName" else ""
                if verb in ANSWERS or (verb in SWEEPS and name in ("DestinationDeliveryFailures", "CapacityRefusals")):
                    # A sweep launches what launch could not, whose alarm has come.
                    continue
                if not metric.verbs or verb in metric.verbs:
                    yield namespace, name, of
                if name == "Duration" and verb == "launch":
                    yield namespace, SLOW, of


# --- Functions -------------------------------------------------------------------------------------------------


def of_functions(stack, things):
    configs = [stack.properties(name) for name in stack.resources("AWS::Lambda::EventInvokeConfig")]
    kept = queues(stack).keys() - things.sources.keys()
    logs = {stack.property(name, "LogGroupName"): name for name in stack.resources("AWS::Logs::LogGroup")}
    taken = []
    for name in things.of["FunctionName"].values():
        function = stack.properties(name)
        own = [config for config in configs if config["FunctionName"] == function["FunctionName"]]
        if len(own) != 1:
            yield f"{name}: expected one AWS::Lambda::EventInvokeConfig, found {len(own)}"
            continue
        verb = things.verb(function["FunctionName"])
        destination = own[0].get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        if verb not in SWEEPS | ANSWERS:
            taken.append(destination)
            if destination not in kept:
                yield f"{name}: an event that fails for good goes to no queue of this stack"
        elif destination:
            yield f"{name}: nobody has to look after its failed events"
        if own[0].get("MaximumRetryAttempts") != (0 if verb in ANSWERS else 2):
            yield f"{name}: a failed event is not repeated twice, or by nobody who waits not at all"
        if "MaximumEventAgeInSeconds" not in own[0]:
            yield f"{name}: an event may grow as old as Lambda likes"
        group = function.get("LoggingConfig", {}).get("LogGroup")
        if group not in logs or not stack.property(logs[group], "RetentionInDays"):
            yield f"{name}: its log is kept for ever, or is not this stack's"
        if function.get("TracingConfig", {}).get("Mode") != "Active":
            yield f"{name}: sends no traces"
        level = function.get("LoggingConfig", {}).get("ApplicationLogLevel")
        if (function.get("LoggingConfig", {}).get("LogFormat") == "Text") != (level is None):
            yield f"{name}: a level of the log goes with JSON, and with nothing else"
    for arn, source in things.sources.items():
        queue, timeout = queues(stack).get(arn), stack.properties(things.of["FunctionName"][source["FunctionName"]])["Timeout"]
        if queue is None:
            yield f"{source['FunctionName']}: takes messages from a queue that is not this stack's"
            continue
        if "MaximumConcurrency" not in source.get("ScalingConfig", {}):
            yield f"{queue}: its messages take as much of the account's concurrency as there is"
        own = stack.properties(queue)
        if not int(timeout) <= int(own.get("VisibilityTimeout", 30)):
            yield f"{queue}: a message comes back while the function still works on it, which Lambda refuses"
        if not int(own["MessageRetentionPeriod"]) <= int(own.get("VisibilityTimeout", 30)):
            yield f"{queue}: a message that failed is tried again, and nobody sees how often"
    if len(set(taken)) != len(taken):
        yield "two functions share a queue of failed events: a person could not tell whom to invoke again"


# What a person who deploys can take in at one look.
MOST_PARAMETERS = 25
# Minutes ahead of a meeting at which the existing system's own schedules fire. Scheduler is precise to one of them, and the
# launch wants another.
SHORTEST_LEAD = 5


def of_parameters(template):
    """Nothing has to be answered; each parameter is in one group of the console's form, and has a label there."""
    parameters = template["Parameters"]
    form = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in form["ParameterGroups"] for name in group["Parameters"]]
    for name in parameters:
        if "Default" not in parameters[name]:
            yield f"the parameter {name} must be answered"
        if grouped.count(name) != 1 or not form["ParameterLabels"].get(name, {}).get("default"):
            yield f"the parameter {name} is not in one group with a label"
    for name in sorted({*grouped, *form["ParameterLabels"]} - parameters.keys()):
        yield f"a group or a label of {name}, which is no parameter"
    if len(parameters) > MOST_PARAMETERS:
        yield f"{len(parameters)} parameters: expected at most {MOST_PARAMETERS}; what only tunes goes into Settings"


# --- Alarms ----------------------------------------------------------------------------------------------------


def of_alarms(stack, things):
    topics = [stack.resolve({"Ref": name}) for name in stack.resources("AWS::SNS::Topic")]
    topic = stack.parameters["AlarmTopicArn"] or next(iter(topics), "")
    subscriptions = [stack.properties(name) for name in stack.resources("AWS::SNS::Subscription")]
    email = {"TopicArn": topic, "Protocol": "email", "Endpoint": stack.parameters["AlarmEmail"]}
    if subscriptions != ([email] if email["Endpoint"] else []):
        yield "AlarmEmail is not subscribed to the topic of the alarms"
    wanted = stack.parameters["Alarms"]
    alarms = {name: stack.properties(name) for name in stack.resources(ALARM)}
    if not topic or wanted == "none":
        yield from (f"{name}: an alarm that {'nobody wants' if topic else 'tells nobody'}" for name in alarms)
        return
    watched = set()
    beats = [name for name, alarm in alarms.items() if "Metrics" in alarm]
    if len(beats) != 1:
        yield f"expected one alarm for the absence of sweeps, found {len(beats)}"
    for name, alarm in alarms.items():
        yield from of_words(stack, name, alarm, topic)
        if name in beats:
            yield from of_beat(things, name, alarm)
            continue
        namespace, metric = alarm.get("Namespace"), alarm.get("MetricName")
        dimensions = {pair["Name"]: pair["Value"] for pair in alarm.get("Dimensions", [])}
        fault = things.fault(namespace, metric, dimensions)
        if fault:
            yield f"{name}: {fault}"
            continue
        of = dimensions[known(namespace, metric).dimensions[0][0]]
        is_slow = metric == "Duration" and float(alarm["Threshold"]) == 30_000
        watched.add((namespace, SLOW if is_slow else metric, of))
        if alarm.get("Statistic") != WATCHED.get((namespace, metric)):
            yield f"{name}: expected the statistic {WATCHED.get((namespace, metric))} of {metric}"
        rising = "LessThan" not in alarm["ComparisonOperator"]
        if rising == (alarm["Statistic"] == "Minimum"):
            yield f"{name}: {alarm['Statistic']} and {alarm['ComparisonOperator']} do not go together"
        if alarm.get("TreatMissingData") != "notBreaching":
            yield f"{name}: a minute without a figure is not a bad one; expected TreatMissingData notBreaching"
        if alarm.get("Period") not in PERIODS or alarm.get("EvaluationPeriods") != 1:
            yield f"{name}: expected one period of {' or '.join(map(str, PERIODS))} s"
        if not is_slow:
            yield from of_threshold(stack, things, name, alarm, of)
    names = [alarm.get("AlarmName") for alarm in alarms.values()]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        yield f"two alarms are called {twice}"
    expected = set(things.essential() if wanted == "essential" else things.to_watch())
    for namespace, metric, of in sorted(expected - watched):
        yield f"no alarm watches {namespace} {metric} of {of}"
    for namespace, metric, of in sorted(watched - expected):
        yield f"{namespace} {metric} of {of} has an alarm that is not asked for"


def of_words(stack, name, alarm, topic):
    if alarm.get("AlarmActions") != [topic]:
        yield f"{name}: does not tell the topic"
    if not alarm.get("AlarmName", "").startswith(f"{stack.parameters['AWS::StackName']}-"):
        yield f"{name}: its name does not say whose it is"
    if len(re.findall(r"[.;]", alarm.get("AlarmDescription", ""))) < 2:
        yield f"{name}: its description does not say what happened and what to do"


def of_beat(things, name, alarm):
    expression, metrics = BEAT
    found = {query["Id"]: query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query}
    told = [query for query in alarm["Metrics"] if query["ReturnData"]]
    if [query.get("Expression") for query in told] != [expression]:
        yield f"{name}: expected the expression {expression}"
    if {key: (stat["Metric"]["Namespace"], stat["Metric"]["MetricName"]) for key, stat in found.items()} != metrics:
        yield f"{name}: expected the metrics {metrics}"
    for stat in found.values():
        metric = stat["Metric"]
        dimensions = {pair["Name"]: pair["Value"] for pair in metric["Dimensions"]}
        fault = things.fault(metric["Namespace"], metric["MetricName"], dimensions)
        if fault:
            yield f"{name}: {fault}"
        elif "FunctionName" in dimensions and things.verb(dimensions["FunctionName"]) not in SWEEPS:
            yield f"{name}: {dimensions['FunctionName']} sweeps nothing"
        if (stat["Stat"], stat["Period"], alarm["EvaluationPeriods"]) != ("Sum", 300, 3):
            yield f"{name}: expected the sums of 3 periods of 300 s"
    if (alarm["ComparisonOperator"], float(alarm["Threshold"])) != ("LessThanThreshold", 1):
        yield f"{name}: none is what it is to see"
    if alarm.get("TreatMissingData") != "breaching":
        yield f"{name}: without a figure it stands still, and that is the bad one; expected TreatMissingData breaching"


def of_threshold(stack, things, name, alarm, of):
    metric, threshold = alarm["MetricName"], float(alarm["Threshold"])
    if metric == "Duration":
        limit = int(stack.property(things.of["FunctionName"][of], "Timeout")) * 1000
        if not limit * 0.75 <= threshold < limit:
            yield f"{name}: {threshold:.0f} ms is not near the time-out of {limit} ms"
    elif metric == "LeadTime":
        if threshold > (SHORTEST_LEAD - 2) * 60:
            yield f"{name}: goes off for every launch of a schedule that fires five minutes ahead"
    elif alarm["Namespace"] == OURS and metric == "Throttles":
        if threshold < 1:
            yield f"{name}: AWS throttles now and then; that is no alarm"
    elif (alarm["ComparisonOperator"], threshold) != ("GreaterThanOrEqualToThreshold", 1):
        yield f"{name}: one is enough"


# --- Dashboards ------------------------------------------------------------------------------------------------


def of_dashboards(stack, things):
    dashboards = stack.resources("AWS::CloudWatch::Dashboard")
    if len(dashboards) != (stack.parameters["Alarms"] == "all"):
        yield f"a dashboard goes with Alarms all, and with nothing else; found {len(dashboards)}"
    for name in dashboards:
        try:
            widgets = json.loads(stack.property(name, "DashboardBody"))["widgets"]
        except (ValueError, KeyError, TypeError) as error:
            yield f"{name}: its body is not the JSON of a dashboard: {error!r}"
            continue
        yield from (f"{name}: {fault}" for fault in of_layout(widgets))
        shown = set()
        metrics = sum(len(widget["properties"]["metrics"]) for widget in widgets)
        if metrics > FREE:
            yield f"{name}: {metrics} metrics, and no more than {FREE} are free"
        for widget in widgets:
            properties = widget["properties"]
            title = properties.get("title", "a widget without a title")
            if properties.get("region") != stack.place["region"]:
                yield f"{name}: {title}: shows another Region"
            for namespace, metric, dimensions, statistic in on_widget(properties):
                fault = things.fault(namespace, metric, dimensions)
                if fault:
                    yield f"{name}: {title}: {fault}"
                elif statistic not in known(namespace, metric).statistics:
                    yield f"{name}: {title}: {statistic} of {metric} says nothing"
                else:
                    shown.add((namespace, metric, dimensions.get("FunctionName", "")))
        for function in things.of["FunctionName"]:
            verb = things.verb(function)
            for metric, of_it in METRICS[OURS].items():
                if verb in of_it.verbs and (OURS, metric, function) not in shown:
                    yield f"{name}: {metric} of {function} is not on it"
        for queue in things.of["QueueName"]:
            if not any(queue in json.dumps(widget) for widget in widgets):
                yield f"{name}: the queue {things.of['QueueName'][queue]} is not on it"


def of_layout(widgets):
    cells = {}
    for widget in widgets:
        title = widget["properties"].get("title")
        if widget["x"] + widget["width"] > COLUMNS:
            yield f"{title}: reaches beyond the right edge"
        for cell in [(x, y) for x in span(widget, "x", "width") for y in span(widget, "y", "height")]:
            if cells.setdefault(cell, title) != title:
                yield f"{title}: lies over {cells[cell]}"
                break


def span(widget, start, length):
    return range(widget[start], widget[start] + widget[length])


def on_widget(properties):
    """Each metric of a widget: namespace, name, dimensions, statistic."""
    for row in properties["metrics"]:
        options = row[-1] if isinstance(row[-1], dict) else {}
        namespace, name, *pairs = row if not isinstance(row[-1], dict) else row[:-1]
        statistic = options.get("stat", properties["stat"])
        yield namespace, name, dict(zip(pairs[::2], pairs[1::2])), statistic


# --- Saved queries ---------------------------------------------------------------------------------------------


def of_queries(stack, things):
    logs = {stack.property(name, "LogGroupName"): name for name in stack.resources("AWS::Logs::LogGroup")}
    writers = {"FunctionName": set(), **{name: set(metric.verbs) for name, metric in METRICS[OURS].items()}}
    writers |= {name: set(verbs) for name, verbs in PROPERTIES.items()}
    asked = set()
    for name in stack.resources("AWS::Logs::QueryDefinition"):
        query = stack.properties(name)
        if not query["Name"].startswith(f"{stack.parameters['AWS::StackName']}/"):
            yield f"{name}: its name does not say whose it is"
        unknown = [group for group in query["LogGroupNames"] if group not in logs]
        yield from (f"{name}: {group} is no log of this stack" for group in unknown)
        verbs = {things.verb(group) for group in query["LogGroupNames"]}
        # The fields of our lines begin with a capital letter, and nothing else of the query language does.
        for field in re.findall(r"\b[A-Z]\w+", query["QueryString"]):
            asked.add(field)
            if field not in writers:
                yield f"{name}: nobody writes {field}"
            elif field != "FunctionName" and not verbs & writers[field]:
                yield f"{name}: nobody writes {field} into the logs that it reads"
    yield from (f"no saved query asks for {field}" for field in sorted(PROPERTIES.keys() - asked))

"""What there is to look at: the metrics that the functions write, and those of AWS that alarms and dashboard use.

    metrics.py            prints our own as JSON, for a test that holds them against what the code writes

An alarm on a metric that nobody writes is silent for ever, and so is one with a dimension too many; operation.py holds
the template against this table.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

# The namespace of our own.
OURS = "ElephantLaunch"

ALL = ("launch", "schedule", "end", "reconcile", "status", "operate")


@dataclass(frozen=True)
class Metric:
    unit: str
    # Each set of dimensions under which it is written. CloudWatch adds nothing up: another set is another metric.
    dimensions: tuple
    # What can be asked of it with sense.
    statistics: tuple = ("Sum",)
    # The verbs that write it; of AWS's own it is none of ours.
    verbs: tuple = ()


FUNCTION = ("FunctionName",)
TIMES = ("Maximum", "Minimum", "Average", "p50", "p90", "p99")


def our_own():
    """The metrics, from the first table of docs/watch.md that is written from src/metrics.rs."""
    for name, unit, verbs, *_ in rows("<!-- generated -->"):
        yield name, Metric(unit, (FUNCTION,), ("Sum",) if unit == "Count" else TIMES, verbs_of(verbs))


def properties():
    """What stands in the lines and is no metric, and which verbs write it: the second table."""
    for name, verbs, *_ in rows("<!-- generated: properties -->"):
        yield name, verbs_of(verbs)


def rows(marker):
    page = (Path(__file__).parents[2] / "docs" / "watch.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\| `(\w+)` \| (.*) \|$", between(page, marker, "<!-- end -->"), re.MULTILINE):
        yield row[0], *row[1].split(" | ")


def verbs_of(text):
    return ALL if text == "all" else tuple(re.findall(r"\w+", text))


def between(text, start, end):
    return text.split(start)[1].split(end)[0]


PROPERTIES = dict(properties())

METRICS = {
    OURS: dict(our_own()),
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
    "AWS/Events": {
        "Invocations": Metric("Count", (("RuleName",),)),
    },
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {
        "DestinationDeliveryFailures": Metric("Count", (FUNCTION,)),
        "Duration": Metric("Milliseconds", (FUNCTION,), TIMES),
        "Errors": Metric("Count", (FUNCTION,)),
        "Invocations": Metric("Count", (FUNCTION,)),
        "Throttles": Metric("Count", (FUNCTION,)),
    },
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    "AWS/SQS": {
        "ApproximateNumberOfMessagesVisible": Metric("Count", (("QueueName",),), ("Maximum", "Average")),
    },
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
    "AWS/Scheduler": {
        "InvocationAttemptCount": Metric("Count", (("ScheduleGroup",),)),
        "InvocationDroppedCount": Metric("Count", (("ScheduleGroup",),)),
        "InvocationsFailedToBeSentToDeadLetterCount": Metric("Count", (("ScheduleGroup",),)),
    },
}

def known(namespace, name):
    return METRICS.get(namespace, {}).get(name)


def as_json():
    ours = {name: {"unit": metric.unit, "verbs": metric.verbs} for name, metric in METRICS[OURS].items()}
    return json.dumps({"metrics": ours, "properties": PROPERTIES}, indent=2)


if __name__ == "__main__":
    print(as_json())

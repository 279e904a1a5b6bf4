"""What there is to look at: the metrics that the functions write, and those of AWS that alarms and dashboard use.

    metrics.py            prints our own as JSON, for a test that holds them against what the code writes

An alarm on a metric that nobody writes is silent for ever, and so is one with a dimension too many; operation.py holds
the template against this table.
"""

import json
from dataclasses import dataclass

# The namespace of our own.
OURS = "ElephantLaunch"

ALL = ("launch", "schedule", "end", "reconcile", "status", "operate")
LAUNCH = ("launch",)
SWEEP = ("reconcile",)


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

METRICS = {
    OURS: {
        "Deliveries": Metric("Count", (FUNCTION, (*FUNCTION, "Outcome")), verbs=ALL),
        "LaunchDuration": Metric("Milliseconds", (FUNCTION,), TIMES, LAUNCH),
        "LeadTime": Metric("Seconds", (FUNCTION,), TIMES, LAUNCH),
        "Attempts": Metric("Count", (FUNCTION,), verbs=LAUNCH),
        "CapacityRefusals": Metric("Count", (FUNCTION,), verbs=LAUNCH),
        "Refusals": Metric("Count", ((*FUNCTION, "AvailabilityZone", "InstanceType"),), verbs=LAUNCH),
        "Failures": Metric("Count", (FUNCTION, (*FUNCTION, "ErrorType")), verbs=ALL),
        "AwsCalls": Metric("Count", (FUNCTION,), verbs=ALL),
        "Throttles": Metric("Count", (FUNCTION,), verbs=ALL),
        "Sweeps": Metric("Count", (FUNCTION,), verbs=SWEEP),
        "OrphansEnded": Metric("Count", (FUNCTION,), verbs=SWEEP),
        "MachinesLost": Metric("Count", (FUNCTION,), verbs=SWEEP),
        "MeetingsLaunched": Metric("Count", (FUNCTION,), verbs=SWEEP),
        "EndingsHeldBack": Metric("Count", (FUNCTION,), verbs=SWEEP),
        "MachinesUnready": Metric("Count", (FUNCTION,), verbs=SWEEP),
        "TimeToReady": Metric("Seconds", (FUNCTION,), TIMES, SWEEP),
    },
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {
        "DestinationDeliveryFailures": Metric("Count", (FUNCTION,)),
        "Duration": Metric("Milliseconds", (FUNCTION,), TIMES),
        "Errors": Metric("Count", (FUNCTION,)),
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

# The values of the dimension Outcome.
OUTCOMES = {
    "launch": ("launched", "adopted", "already_recorded", "skipped", "failed"),
    "schedule": ("scheduled", "moved", "unchanged", "superseded", "cancelled", "failed"),
    "end": ("ended", "already_over", "failed"),
    "reconcile": ("in_order", "repaired", "dry_run", "failed"),
    "status": ("shown", "console", "failed"),
    "operate": ("done", "unchanged", "failed"),
}


def known(namespace, name):
    return METRICS.get(namespace, {}).get(name)


def as_json():
    ours = {
        name: {"unit": metric.unit, "dimensions": metric.dimensions, "verbs": metric.verbs}
        for name, metric in METRICS[OURS].items()
    }
    return json.dumps({"namespace": OURS, "metrics": ours, "outcomes": OUTCOMES}, indent=2)


if __name__ == "__main__":
    print(as_json())

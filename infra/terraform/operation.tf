# What an operator sees. docs/runbook.md has a line for each alarm: what to do.

locals {
  queues = {
    launch_failures       = aws_sqs_queue.failures["launch"].name
    schedule_dead_letters = aws_sqs_queue.schedule_dead_letters.name
    schedule_failures     = aws_sqs_queue.failures["schedule"].name
    end_failures          = aws_sqs_queue.failures["end"].name
  }

  # Whether there are the essential alarms, and the others. An alarm that tells nobody is none.
  has_alarms        = (var.has_alarm_topic == null ? var.alarm_topic_arn != "" || var.alarm_email != "" : var.has_alarm_topic) && var.alarms != "none"
  has_all_alarms    = local.has_alarms && var.alarms == "all"
  has_dashboard     = var.alarms == "all"
  makes_alarm_topic = var.alarm_email == "" ? false : var.alarm_topic_arn == ""
  alarm_topic_arn   = local.makes_alarm_topic ? aws_sns_topic.alarms[0].arn : var.alarm_topic_arn

  # Each looks at one metric of one thing; a minute without a figure is a good minute. Those that nothing else stands in for are
  # essential; no_sweep, below, is another of them.
  alarms = {
    launch-failures = {
      essential   = true
      description = "A delivery failed three times or grew too old: a meeting may have no machines. Read the message in launch_failures, do what its errorType asks, invoke launch again."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = local.queues.launch_failures }
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-dead-letters = {
      description = "Scheduler could not hand a delivery to launch: a meeting may have no machines. Read the message in schedule_dead_letters with its attributes, correct what ERROR_CODE names, invoke launch by hand."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = local.queues.schedule_dead_letters }
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-failures = {
      essential   = true
      description = "A meeting was not planned, moved or cancelled, and whoever asked did not wait for the answer. Read the message in schedule_failures, do what its errorType asks, invoke schedule again."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = local.queues.schedule_failures }
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    launch-undelivered-failures = {
      description = "A delivery failed for good, and Lambda could not write it to launch_failures either: only the log has it. Look for the error in the log, invoke launch by hand, restore launch_role and the queue."
      namespace   = "AWS/Lambda"
      metric      = "DestinationDeliveryFailures"
      dimensions  = { FunctionName = aws_lambda_function.this["launch"].function_name }
      statistic   = "Sum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-undelivered-failures = {
      description = "A request failed for good, and Lambda could not write it to schedule_failures either: only the log has it. Look for the error in the log, invoke schedule by hand, restore schedule_role and the queue."
      namespace   = "AWS/Lambda"
      metric      = "DestinationDeliveryFailures"
      dimensions  = { FunctionName = aws_lambda_function.this["schedule"].function_name }
      statistic   = "Sum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-dropped = {
      description = "A delivery reached neither launch nor schedule_dead_letters: nothing but this figure tells of it. Look for meetings that begin soon and are still SCHEDULED, invoke launch for them, restore scheduler_role and the queue."
      namespace   = "AWS/Scheduler"
      metric      = "InvocationsFailedToBeSentToDeadLetterCount"
      dimensions  = { ScheduleGroup = aws_scheduler_schedule_group.meetings.name }
      statistic   = "Sum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    launch-errors = {
      description = "A delivery ended with an error. Lambda repeats it after one and two minutes, so there may be nothing to do; find its errorType in the log and its line in the runbook."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.this["launch"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-errors = {
      description = "A meeting was not planned, moved or cancelled as asked. Find the errorType in the log and its line in the runbook; whoever waited for the answer has been told."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.this["schedule"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    launch-throttles = {
      description = "Lambda had no room to run launch, and keeps the events until they are too old. Raise the account's concurrency in Service Quotas."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this["launch"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-throttles = {
      description = "Lambda had no room to run schedule; callers that wait were refused. Raise the account's concurrency in Service Quotas."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this["schedule"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    launch-duration = {
      description = "A delivery came near its time-out, launch_timeout_seconds. Its repeat goes on from the record. If this lasts, look in the log for what EC2 refuses or answers late: capacity, throttling, an outage."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.this["launch"].function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = var.launch_timeout_seconds == 60 ? 50000 : (var.launch_timeout_seconds - 30) * 1000
    }

    schedule-duration = {
      description = "A request came near its time-out of 30 s. Repeating it is safe. If this lasts, look in the log for what DynamoDB or Scheduler refuses or answers late."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.this["schedule"].function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 25000
    }

    slow-launch = {
      description = "A delivery of launch took longer than 30 seconds. See in the saved queries whether zones refuse or AWS throttles; add zones or instance types, or raise LEAD_MINUTES."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.this["launch"].function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 30000
    }

    short-lead = {
      description = "Machines were launched less than three minutes before their meeting, or after its start. Tell the people who wait; see whether launches are slow or repeated; raise LEAD_MINUTES."
      namespace   = "ElephantLaunch"
      metric      = "LeadTime"
      dimensions  = { FunctionName = aws_lambda_function.this["launch"].function_name }
      statistic   = "Minimum"
      period      = 300
      comparison  = "LessThanThreshold"
      threshold   = 180
    }

    capacity-refusals = {
      description = "EC2 had no machines of a type in a zone; the launch went on to the next. A saved query says which. Add zones or instance types before all of them refuse."
      namespace   = "ElephantLaunch"
      metric      = "CapacityRefusals"
      dimensions  = { FunctionName = aws_lambda_function.this["launch"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    launch-aws-throttles = {
      description = "AWS refused more than 20 requests of launch in five minutes for their rate; they were repeated. Raise FLEXIBLE_WINDOW_MINUTES to spread the meetings, or ask Service Quotas for a higher rate of RunInstances."
      namespace   = "ElephantLaunch"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this["launch"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 20
    }

    schedule-aws-throttles = {
      description = "AWS refused more than 20 requests of schedule in five minutes for their rate; they were repeated. Plan fewer meetings at once, or ask Service Quotas for a higher rate of CreateSchedule."
      namespace   = "ElephantLaunch"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this["schedule"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 20
    }

    end-failures = {
      essential   = true
      description = "A meeting was not ended, and whoever asked did not wait for the answer: its machines may run on. Read the message in end_failures, do what its errorType asks, invoke end again."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = local.queues.end_failures }
      statistic   = "Maximum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-undelivered-failures = {
      description = "A request failed for good, and Lambda could not write it to end_failures either: only the log has it. Look for the error in the log, invoke end by hand, restore end_role and the queue."
      namespace   = "AWS/Lambda"
      metric      = "DestinationDeliveryFailures"
      dimensions  = { FunctionName = aws_lambda_function.this["end"].function_name }
      statistic   = "Sum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-errors = {
      description = "A meeting was not ended as asked. Find the errorType in the log and its line in the runbook; whoever waited for the answer has been told."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.this["end"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    reconcile-errors = {
      description = "A sweep could not do all that it found. The next one goes on, so there may be nothing to do; find its errorType in the log and its line in the runbook if this lasts."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-throttles = {
      description = "Lambda had no room to run end; callers that wait were refused. Ask for more concurrency of the account in Service Quotas."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this["end"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    reconcile-throttles = {
      description = "Lambda had no room to run reconcile: machines that die are noticed late. Ask for more concurrency of the account in Service Quotas."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-duration = {
      description = "A request came near its time-out of 300 s. Repeating it is safe. If this lasts, look in the log for what DynamoDB, EC2 or Scheduler refuses or answers late."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.this["end"].function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 270000
    }

    reconcile-duration = {
      description = "A sweep came near its time-out of 300 s, and the next one goes on. If this lasts, look in the log for what takes so long: launches where EC2 has no room, requests that are refused for their rate."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 270000
    }

    # What a sweep found that a person should know, whatever it is: the figures of which it is the sum say what, and so does a
    # saved query.
    sweep-findings = {
      essential   = true
      description = "A sweep found machines that died or do not serve, a meeting that no delivery had launched, machines that no record names, or more to end than MAX_ENDINGS. The saved query \"what sweeps found\" says which; the runbook has a line for each."
      namespace   = "ElephantLaunch"
      metric      = "Findings"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    orphan-ended = {
      description = "The sweep ended a machine that no record named: somebody paid for it. Look in the log of reconcile for its id and its meeting, and there for why nobody recorded it."
      namespace   = "ElephantLaunch"
      metric      = "OrphansEnded"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    machine-lost = {
      description = "A machine of a meeting that is on died, and another was launched in its place. The record says why; tell the people who used it. If it is usual, buy on demand or add zones."
      namespace   = "ElephantLaunch"
      metric      = "MachinesLost"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    meeting-launched-late = {
      description = "A meeting that was due had no machines, and the sweep launched it: every delivery failed, or its schedule never fired. Look for its deliveries in the log of launch, and for its schedule."
      namespace   = "ElephantLaunch"
      metric      = "MeetingsLaunched"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    endings-held-back = {
      description = "A sweep found more machines to end than MAX_ENDINGS allows, and ended no more than that. See in the log whether they are really nobody's: a table that was restored or renamed looks like this. Then raise MAX_ENDINGS, or set DRY_RUN."
      namespace   = "ElephantLaunch"
      metric      = "EndingsHeldBack"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    machine-unready = {
      description = "A machine is up and does not serve, READY_MINUTES after its launch. The log of reconcile has the last lines of its console; mend the image or its user data, or set RELAUNCH_UNREADY."
      namespace   = "ElephantLaunch"
      metric      = "MachinesUnready"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-aws-throttles = {
      description = "AWS refused more than 20 requests of end in five minutes for their rate; they were repeated. End fewer meetings at once, or ask Service Quotas for a higher rate of TerminateInstances."
      namespace   = "ElephantLaunch"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this["end"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 20
    }

    reconcile-aws-throttles = {
      description = "AWS refused more than 20 requests of reconcile in five minutes for their rate; they were repeated. See what else in the account calls EC2 as often, or ask Service Quotas for a higher rate."
      namespace   = "ElephantLaunch"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 20
    }
  }
}

# Not encrypted: the key that SNS has for it does not let CloudWatch in, and an alarm says nothing of a meeting.
resource "aws_sns_topic" "alarms" {
  count = local.makes_alarm_topic ? 1 : 0

  name_prefix = "${var.name}-alarms-"
  tags        = var.tags
}

resource "aws_sns_topic_subscription" "alarm_email" {
  count = var.alarm_email == "" ? 0 : 1

  topic_arn = local.alarm_topic_arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_cloudwatch_metric_alarm" "this" {
  # None, unless there is somebody to tell.
  for_each = { for name, alarm in local.alarms : name => alarm if lookup(alarm, "essential", false) ? local.has_alarms : local.has_all_alarms }
  tags     = var.tags

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  alarm_actions       = [local.alarm_topic_arn]
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = 1
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
}

# Of Lambda's and EventBridge's own figures, which cost nothing but the alarm. Where nothing was started, or nothing ran, there is
# no figure at all. A failed sweep is repeated twice, so errors are no fewer than failed sweeps; they are those of all deliveries of
# reconcile, for Lambda does not tell sweeps from state changes.
resource "aws_cloudwatch_metric_alarm" "no_sweep" {
  count = local.has_alarms ? 1 : 0
  tags  = var.tags

  alarm_name          = "${var.name}-no-sweep"
  alarm_description   = "For a quarter of an hour no sweep has come to its end: nobody looks after machines that die or that no record names. See whether the rule is enabled and may invoke reconcile, and its log for what stops it."
  alarm_actions       = [local.alarm_topic_arn]
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"

  metric_query {
    id = "started"

    metric {
      namespace   = "AWS/Events"
      metric_name = "Invocations"
      dimensions  = { RuleName = aws_cloudwatch_event_rule.sweep.name }
      period      = 300
      stat        = "Sum"
    }
  }

  metric_query {
    id = "failed"

    metric {
      namespace   = "AWS/Lambda"
      metric_name = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.this["reconcile"].function_name }
      period      = 300
      stat        = "Sum"
    }
  }

  metric_query {
    id          = "done"
    label       = "Sweeps that came to their end"
    expression  = "started - failed"
    return_data = true
  }
}

# What only a person asks for: the fields of each delivery's last line, by saved queries, which cost nothing.
locals {
  queries = {
    "deliveries by outcome" = {
      of   = ["launch", "schedule", "end", "reconcile", "status", "operate"]
      text = "filter ispresent(Outcome) | stats count(*) as deliveries, sum(Sweeps) as sweeps by FunctionName, Outcome | sort FunctionName, Outcome"
    }
    "errors by type" = {
      of   = ["launch", "schedule", "end", "reconcile", "status", "operate"]
      text = "filter ispresent(ErrorType) | stats count(*) as deliveries, max(@timestamp) as last by FunctionName, ErrorType | sort deliveries desc"
    }
    "calls to AWS" = {
      of   = ["launch", "schedule", "end", "reconcile", "status", "operate"]
      text = "filter ispresent(AwsCalls) | stats count(*) as deliveries, sum(AwsCalls) as calls, max(AwsCalls) as most, sum(Throttles) as throttled by FunctionName"
    }
    "launches by day" = {
      of   = ["launch"]
      text = "filter ispresent(LaunchDuration) | stats count(*) as launches, pct(LaunchDuration, 50) as half_were_faster, max(LaunchDuration) as slowest, min(LeadTime) as least_lead, sum(Attempts) as requests by bin(1d)"
    }
    "refusals by zone and type" = {
      of   = ["launch", "reconcile"]
      text = "filter ispresent(Refusals) | stats sum(Refusals) as refusals by FunctionName, AvailabilityZone, InstanceType | sort refusals desc"
    }
    "what sweeps found" = {
      of   = ["reconcile"]
      text = "filter ispresent(Findings) | fields @timestamp, OrphansEnded, MachinesLost, MeetingsLaunched, EndingsHeldBack, MachinesUnready | sort @timestamp desc"
    }
  }
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = local.queries

  name            = "${var.name}/${each.key}"
  log_group_names = [for verb in each.value.of : aws_cloudwatch_log_group.this[verb].name]
  query_string    = each.value.text
}

# The dashboard: launches, the functions, what waits and what was found, what is refused.
locals {
  verbs = ["launch", "schedule", "end", "reconcile", "status", "operate"]

  # Each graph: its metrics, what they have in common, and its place, in thirds of a row.
  graphs = [
    {
      title = "How long a delivery of launch took (ms)"
      place = { column = 0, row = 0 }
      stat  = "Maximum"
      metrics = [
        ["AWS/Lambda", "Duration", "FunctionName", aws_lambda_function.this["launch"].function_name, { label = "slowest", stat = "Maximum" }],
        ["AWS/Lambda", "Duration", "FunctionName", aws_lambda_function.this["launch"].function_name, { label = "half were faster", stat = "p50" }],
      ]
    },
    {
      title = "Time left until the meeting (s)"
      place = { column = 1, row = 0 }
      stat  = "Minimum"
      metrics = [
        ["ElephantLaunch", "LeadTime", "FunctionName", aws_lambda_function.this["launch"].function_name, { label = "least", stat = "Minimum" }],
        ["ElephantLaunch", "LeadTime", "FunctionName", aws_lambda_function.this["launch"].function_name, { label = "average", stat = "Average" }],
      ]
    },
    {
      title = "From the launch until both machines run (s)"
      place = { column = 2, row = 0 }
      stat  = "Maximum"
      metrics = [
        ["ElephantLaunch", "TimeToReady", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "slowest", stat = "Maximum" }],
        ["ElephantLaunch", "TimeToReady", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "half were faster", stat = "p50" }],
      ]
    },
    {
      title   = "The functions: deliveries"
      place   = { column = 0, row = 1 }
      stat    = "Sum"
      metrics = [for verb in local.verbs : ["AWS/Lambda", "Invocations", "FunctionName", aws_lambda_function.this[verb].function_name, { label = verb }]]
    },
    {
      title   = "The functions: errors"
      place   = { column = 1, row = 1 }
      stat    = "Sum"
      metrics = [for verb in local.verbs : ["AWS/Lambda", "Errors", "FunctionName", aws_lambda_function.this[verb].function_name, { label = verb }]]
    },
    {
      title   = "The functions: slowest delivery (ms)"
      place   = { column = 2, row = 1 }
      stat    = "Maximum"
      metrics = [for verb in local.verbs : ["AWS/Lambda", "Duration", "FunctionName", aws_lambda_function.this[verb].function_name, { label = verb }]]
    },
    {
      title = "Lost, unless a person acts: messages in the queues"
      place = { column = 0, row = 2 }
      stat  = "Maximum"
      metrics = [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queues.launch_failures, { label = "LaunchFailures" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queues.schedule_dead_letters, { label = "ScheduleDeadLetters" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queues.schedule_failures, { label = "ScheduleFailures" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queues.end_failures, { label = "EndFailures" }],
      ]
    },
    {
      title = "What sweeps found"
      place = { column = 1, row = 2 }
      stat  = "Sum"
      metrics = [
        ["ElephantLaunch", "Findings", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "all" }],
        ["ElephantLaunch", "OrphansEnded", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "orphans ended" }],
        ["ElephantLaunch", "MachinesLost", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "machines that died" }],
        ["ElephantLaunch", "MeetingsLaunched", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "meetings launched late" }],
        ["ElephantLaunch", "MachinesUnready", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "machines that do not serve" }],
        ["ElephantLaunch", "EndingsHeldBack", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "endings held back" }],
      ]
    },
    {
      title = "What fires: schedules and sweeps"
      place = { column = 2, row = 2 }
      stat  = "Sum"
      metrics = [
        ["AWS/Scheduler", "InvocationAttemptCount", "ScheduleGroup", aws_scheduler_schedule_group.meetings.name, { label = "schedules fired" }],
        ["AWS/Scheduler", "InvocationDroppedCount", "ScheduleGroup", aws_scheduler_schedule_group.meetings.name, { label = "schedules given up" }],
        ["AWS/Events", "Invocations", "RuleName", aws_cloudwatch_event_rule.sweep.name, { label = "sweeps started" }],
      ]
    },
    {
      title   = "Requests that AWS refused for their rate"
      place   = { column = 0, row = 3 }
      stat    = "Sum"
      metrics = [for verb in local.verbs : ["ElephantLaunch", "Throttles", "FunctionName", aws_lambda_function.this[verb].function_name, { label = verb }]]
    },
    {
      title   = "Deliveries that Lambda refused for their rate"
      place   = { column = 1, row = 3 }
      stat    = "Sum"
      metrics = [for verb in ["launch", "schedule", "end", "reconcile"] : ["AWS/Lambda", "Throttles", "FunctionName", aws_lambda_function.this[verb].function_name, { label = verb }]]
    },
    {
      title = "Launches that EC2 refused for want of capacity"
      place = { column = 2, row = 3 }
      stat  = "Sum"
      metrics = [
        ["ElephantLaunch", "CapacityRefusals", "FunctionName", aws_lambda_function.this["launch"].function_name, { label = "launch" }],
        ["ElephantLaunch", "CapacityRefusals", "FunctionName", aws_lambda_function.this["reconcile"].function_name, { label = "reconcile" }],
      ]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  count = local.has_dashboard ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({
    start = "-PT12H"
    widgets = [
      for graph in local.graphs : {
        type   = "metric"
        x      = graph.place.column * 8
        y      = graph.place.row * 6
        width  = 8
        height = 6
        properties = {
          title   = graph.title
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stat    = graph.stat
          period  = 300
          metrics = graph.metrics
        }
      }
    ]
  })
}

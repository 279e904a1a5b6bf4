# What an operator sees. docs/runbook.md has a line for each alarm: what to do.

locals {
  queues = {
    launch_failures       = aws_sqs_queue.launch_failures.name
    schedule_dead_letters = aws_sqs_queue.schedule_dead_letters.name
    schedule_failures     = aws_sqs_queue.schedule_failures.name
    end_failures          = aws_sqs_queue.end_failures.name
  }

  has_alarms = var.alarms == null ? var.alarm_topic_arn != "" : var.alarms

  # Each looks at one metric of one thing; a minute without a figure is a good minute.
  alarms = {
    launch-failures = {
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
      dimensions  = { FunctionName = aws_lambda_function.launch.function_name }
      statistic   = "Sum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-undelivered-failures = {
      description = "A request failed for good, and Lambda could not write it to schedule_failures either: only the log has it. Look for the error in the log, invoke schedule by hand, restore schedule_role and the queue."
      namespace   = "AWS/Lambda"
      metric      = "DestinationDeliveryFailures"
      dimensions  = { FunctionName = aws_lambda_function.schedule.function_name }
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
      dimensions  = { FunctionName = aws_lambda_function.launch.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-errors = {
      description = "A meeting was not planned, moved or cancelled as asked. Find the errorType in the log and its line in the runbook; whoever waited for the answer has been told."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.schedule.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    launch-throttles = {
      description = "Lambda had no room to run launch, and keeps the events until they are too old. Raise launch_reserved_concurrency, or the account's concurrency in Service Quotas."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.launch.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    schedule-throttles = {
      description = "Lambda had no room to run schedule; callers that wait were refused. Raise schedule_reserved_concurrency, or the account's concurrency in Service Quotas."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.schedule.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    launch-duration = {
      description = "A delivery came near its time-out, launch_timeout_seconds. Its repeat goes on from the record. If this lasts, look in the log for what EC2 refuses or answers late: capacity, throttling, an outage."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.launch.function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = var.launch_timeout_seconds == 60 ? 50000 : (var.launch_timeout_seconds - 30) * 1000
    }

    schedule-duration = {
      description = "A request came near its time-out of 30 s. Repeating it is safe. If this lasts, look in the log for what DynamoDB or Scheduler refuses or answers late."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.schedule.function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 25000
    }

    slow-launch = {
      description = "A launch took longer than slow_launch_seconds. See on the dashboard whether zones refuse or AWS throttles; add zones or instance types, or raise lead_minutes."
      namespace   = "ElephantLaunch"
      metric      = "LaunchDuration"
      dimensions  = { FunctionName = aws_lambda_function.launch.function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = var.slow_launch_seconds * 1000
    }

    short-lead = {
      description = "Machines were launched less than short_lead_seconds before their meeting, or after its start. Tell the people who wait; see whether launches are slow or repeated; raise lead_minutes."
      namespace   = "ElephantLaunch"
      metric      = "LeadTime"
      dimensions  = { FunctionName = aws_lambda_function.launch.function_name }
      statistic   = "Minimum"
      period      = 300
      comparison  = "LessThanThreshold"
      threshold   = var.short_lead_seconds
    }

    capacity-refusals = {
      description = "EC2 had no machines of a type in a zone; the launch went on to the next. The dashboard says which. Add zones or instance types before all of them refuse."
      namespace   = "ElephantLaunch"
      metric      = "CapacityRefusals"
      dimensions  = { FunctionName = aws_lambda_function.launch.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    launch-aws-throttles = {
      description = "AWS refused more than 20 requests of launch in five minutes for their rate; they were repeated. Raise flexible_window_minutes to spread the meetings, or ask Service Quotas for a higher rate of RunInstances."
      namespace   = "ElephantLaunch"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.launch.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 20
    }

    schedule-aws-throttles = {
      description = "AWS refused more than 20 requests of schedule in five minutes for their rate; they were repeated. Plan fewer meetings at once, or ask Service Quotas for a higher rate of CreateSchedule."
      namespace   = "ElephantLaunch"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.schedule.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 20
    }

    end-failures = {
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
      dimensions  = { FunctionName = aws_lambda_function.end.function_name }
      statistic   = "Sum"
      period      = 60
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-errors = {
      description = "A meeting was not ended as asked. Find the errorType in the log and its line in the runbook; whoever waited for the answer has been told."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.end.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    reconcile-errors = {
      description = "A sweep could not do all that it found. The next one goes on, so there may be nothing to do; find its errorType in the log and its line in the runbook if this lasts."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-throttles = {
      description = "Lambda had no room to run end; callers that wait were refused. Ask for more concurrency of the account in Service Quotas."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.end.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    reconcile-throttles = {
      description = "Lambda had no room to run reconcile: machines that die are noticed late. Ask for more concurrency of the account in Service Quotas."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-duration = {
      description = "A request came near its time-out of 300 s. Repeating it is safe. If this lasts, look in the log for what DynamoDB, EC2 or Scheduler refuses or answers late."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.end.function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 270000
    }

    reconcile-duration = {
      description = "A sweep came near its time-out of 300 s, and the next one goes on. If this lasts, look in the log for what takes so long: launches where EC2 has no room, requests that are refused for their rate."
      namespace   = "AWS/Lambda"
      metric      = "Duration"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Maximum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 270000
    }

    no-sweep = {
      description = "For a quarter of an hour no sweep has come to its end: nobody looks after machines that die or that no record names. See whether the rule is enabled and may invoke reconcile, and its log for what stops it."
      namespace   = "ElephantLaunch"
      metric      = "Sweeps"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      # Silence is what it is for.
      periods    = 3
      missing    = "breaching"
      comparison = "LessThanThreshold"
      threshold  = 1
    }

    orphan-ended = {
      description = "The sweep ended a machine that no record named: somebody paid for it. Look in the log of reconcile for its id and its meeting, and there for why nobody recorded it."
      namespace   = "ElephantLaunch"
      metric      = "OrphansEnded"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    machine-lost = {
      description = "A machine of a meeting that is on died, and another was launched in its place. The record says why; tell the people who used it. If it is usual, buy on demand or add zones."
      namespace   = "ElephantLaunch"
      metric      = "MachinesLost"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    meeting-launched-late = {
      description = "A meeting that was due had no machines, and the sweep launched it: every delivery failed, or its schedule never fired. Look for its deliveries in the log of launch, and for its schedule."
      namespace   = "ElephantLaunch"
      metric      = "MeetingsLaunched"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    endings-held-back = {
      description = "A sweep found more machines to end than max_endings allows, and ended no more than that. See in the log whether they are really nobody's: a table that was restored or renamed looks like this. Then raise max_endings, or set sweep_dry_run."
      namespace   = "ElephantLaunch"
      metric      = "EndingsHeldBack"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    machine-unready = {
      description = "A machine is up and does not serve, ready_minutes after its launch. The log of reconcile has the last lines of its console; mend the image or its user data, or set relaunch_unready."
      namespace   = "ElephantLaunch"
      metric      = "MachinesUnready"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 1
    }

    end-aws-throttles = {
      description = "AWS refused more than 20 requests of end in five minutes for their rate; they were repeated. End fewer meetings at once, or ask Service Quotas for a higher rate of TerminateInstances."
      namespace   = "ElephantLaunch"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.end.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 20
    }

    reconcile-aws-throttles = {
      description = "AWS refused more than 20 requests of reconcile in five minutes for their rate; they were repeated. See on the dashboard what else calls EC2 as often, or ask Service Quotas for a higher rate."
      namespace   = "ElephantLaunch"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.reconcile.function_name }
      statistic   = "Sum"
      period      = 300
      comparison  = "GreaterThanThreshold"
      threshold   = 20
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  # None, unless there is somebody to tell.
  for_each = { for name, alarm in local.alarms : name => alarm if local.has_alarms }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  alarm_actions       = [var.alarm_topic_arn]
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = lookup(each.value, "periods", 1)
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = lookup(each.value, "missing", "notBreaching")
}

# The dashboard: launches, what AWS refuses, what goes wrong, the machinery.
locals {
  launch    = aws_lambda_function.launch.function_name
  schedule  = aws_lambda_function.schedule.function_name
  end       = aws_lambda_function.end.function_name
  reconcile = aws_lambda_function.reconcile.function_name
  status    = aws_lambda_function.status.function_name
  operate   = aws_lambda_function.operate.function_name

  # Each graph: its metrics, what they have in common, and its place, in thirds of a row.
  graphs = [
    {
      title   = "Meetings launched, by outcome"
      place   = { column = 0, row = 0 }
      stat    = "Sum"
      stacked = true
      metrics = [
        for outcome in ["launched", "adopted", "already_recorded", "skipped", "failed"] :
        ["ElephantLaunch", "Deliveries", "FunctionName", local.launch, "Outcome", outcome, { label = outcome }]
      ]
    },
    {
      title   = "How long a launch took (ms)"
      place   = { column = 1, row = 0 }
      stat    = "Maximum"
      stacked = false
      metrics = [
        ["ElephantLaunch", "LaunchDuration", "FunctionName", local.launch, { label = "slowest", stat = "Maximum" }],
        ["ElephantLaunch", "LaunchDuration", "FunctionName", local.launch, { label = "half were faster", stat = "p50" }],
      ]
    },
    {
      title   = "Time left until the meeting (s)"
      place   = { column = 2, row = 0 }
      stat    = "Minimum"
      stacked = false
      metrics = [
        ["ElephantLaunch", "LeadTime", "FunctionName", local.launch, { label = "least", stat = "Minimum" }],
        ["ElephantLaunch", "LeadTime", "FunctionName", local.launch, { label = "average", stat = "Average" }],
      ]
    },
    {
      title   = "Which zones refused"
      place   = { column = 0, row = 1 }
      stat    = "Sum"
      stacked = true
      metrics = [
        [{ expression = "SEARCH('{ElephantLaunch,FunctionName,AvailabilityZone,InstanceType} MetricName=\"Refusals\" FunctionName=\"${local.launch}\"', 'Sum', 300)", id = "refusals", label = "" }],
      ]
    },
    {
      title   = "Errors by type"
      place   = { column = 1, row = 1 }
      stat    = "Sum"
      stacked = true
      metrics = [
        [{ expression = "SEARCH('{ElephantLaunch,FunctionName,ErrorType} MetricName=\"Failures\" FunctionName=\"${local.launch}\"', 'Sum', 300)", id = "launch", label = "launch" }],
        [{ expression = "SEARCH('{ElephantLaunch,FunctionName,ErrorType} MetricName=\"Failures\" FunctionName=\"${local.schedule}\"', 'Sum', 300)", id = "schedule", label = "schedule" }],
        [{ expression = "SEARCH('{ElephantLaunch,FunctionName,ErrorType} MetricName=\"Failures\" FunctionName=\"${local.end}\"', 'Sum', 300)", id = "end", label = "end" }],
        [{ expression = "SEARCH('{ElephantLaunch,FunctionName,ErrorType} MetricName=\"Failures\" FunctionName=\"${local.reconcile}\"', 'Sum', 300)", id = "reconcile", label = "reconcile" }],
        [{ expression = "SEARCH('{ElephantLaunch,FunctionName,ErrorType} MetricName=\"Failures\" FunctionName=\"${local.status}\"', 'Sum', 300)", id = "status", label = "status" }],
        [{ expression = "SEARCH('{ElephantLaunch,FunctionName,ErrorType} MetricName=\"Failures\" FunctionName=\"${local.operate}\"', 'Sum', 300)", id = "operate", label = "operate" }],
      ]
    },
    {
      title   = "Launch requests to EC2"
      place   = { column = 2, row = 1 }
      stat    = "Sum"
      stacked = false
      metrics = [
        ["ElephantLaunch", "Attempts", "FunctionName", local.launch, { label = "sent" }],
        ["ElephantLaunch", "CapacityRefusals", "FunctionName", local.launch, { label = "refused for want of capacity" }],
      ]
    },
    {
      title   = "Meetings planned, by outcome"
      place   = { column = 0, row = 2 }
      stat    = "Sum"
      stacked = true
      metrics = [
        for outcome in ["scheduled", "moved", "unchanged", "superseded", "cancelled", "failed"] :
        ["ElephantLaunch", "Deliveries", "FunctionName", local.schedule, "Outcome", outcome, { label = outcome }]
      ]
    },
    {
      title   = "Lost, unless a person acts: messages in the queues"
      place   = { column = 1, row = 2 }
      stat    = "Maximum"
      stacked = false
      metrics = [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queues.launch_failures, { label = "LaunchFailures" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queues.schedule_dead_letters, { label = "ScheduleDeadLetters" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queues.schedule_failures, { label = "ScheduleFailures" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.queues.end_failures, { label = "EndFailures" }],
      ]
    },
    {
      title   = "Refused for their rate"
      place   = { column = 2, row = 2 }
      stat    = "Sum"
      stacked = false
      metrics = [
        ["AWS/Lambda", "Throttles", "FunctionName", local.launch, { label = "Lambda: launch" }],
        ["AWS/Lambda", "Throttles", "FunctionName", local.schedule, { label = "Lambda: schedule" }],
        ["AWS/Lambda", "Throttles", "FunctionName", local.end, { label = "Lambda: end" }],
        ["AWS/Lambda", "Throttles", "FunctionName", local.reconcile, { label = "Lambda: reconcile" }],
        ["ElephantLaunch", "Throttles", "FunctionName", local.launch, { label = "AWS calls of launch" }],
        ["ElephantLaunch", "Throttles", "FunctionName", local.schedule, { label = "AWS calls of schedule" }],
      ]
    },
    {
      title   = "The functions: deliveries and errors"
      place   = { column = 0, row = 3 }
      stat    = "Sum"
      stacked = false
      metrics = [
        ["ElephantLaunch", "Deliveries", "FunctionName", local.launch, { label = "launch: deliveries" }],
        ["AWS/Lambda", "Errors", "FunctionName", local.launch, { label = "launch: errors" }],
        ["ElephantLaunch", "Deliveries", "FunctionName", local.schedule, { label = "schedule: deliveries" }],
        ["AWS/Lambda", "Errors", "FunctionName", local.schedule, { label = "schedule: errors" }],
        ["ElephantLaunch", "Deliveries", "FunctionName", local.end, { label = "end: deliveries" }],
        ["AWS/Lambda", "Errors", "FunctionName", local.end, { label = "end: errors" }],
        ["ElephantLaunch", "Deliveries", "FunctionName", local.reconcile, { label = "reconcile: deliveries" }],
        ["AWS/Lambda", "Errors", "FunctionName", local.reconcile, { label = "reconcile: errors" }],
        ["ElephantLaunch", "Deliveries", "FunctionName", local.status, { label = "status: deliveries" }],
        ["AWS/Lambda", "Errors", "FunctionName", local.status, { label = "status: errors" }],
        ["ElephantLaunch", "Deliveries", "FunctionName", local.operate, { label = "operate: deliveries" }],
        ["AWS/Lambda", "Errors", "FunctionName", local.operate, { label = "operate: errors" }],
      ]
    },
    {
      title   = "The functions: slowest delivery (ms)"
      place   = { column = 1, row = 3 }
      stat    = "Maximum"
      stacked = false
      metrics = [
        ["AWS/Lambda", "Duration", "FunctionName", local.launch, { label = "launch" }],
        ["AWS/Lambda", "Duration", "FunctionName", local.schedule, { label = "schedule" }],
        ["AWS/Lambda", "Duration", "FunctionName", local.end, { label = "end" }],
        ["AWS/Lambda", "Duration", "FunctionName", local.reconcile, { label = "reconcile" }],
        ["AWS/Lambda", "Duration", "FunctionName", local.status, { label = "status" }],
        ["AWS/Lambda", "Duration", "FunctionName", local.operate, { label = "operate" }],
      ]
    },
    {
      title   = "The schedules, and the calls to AWS"
      place   = { column = 2, row = 3 }
      stat    = "Sum"
      stacked = false
      metrics = [
        ["AWS/Scheduler", "InvocationAttemptCount", "ScheduleGroup", aws_scheduler_schedule_group.meetings.name, { label = "schedules fired" }],
        ["AWS/Scheduler", "InvocationDroppedCount", "ScheduleGroup", aws_scheduler_schedule_group.meetings.name, { label = "given up" }],
        ["ElephantLaunch", "AwsCalls", "FunctionName", local.launch, { label = "AWS calls of launch" }],
        ["ElephantLaunch", "AwsCalls", "FunctionName", local.schedule, { label = "AWS calls of schedule" }],
      ]
    },
    {
      title   = "Meetings ended, by outcome"
      place   = { column = 0, row = 4 }
      stat    = "Sum"
      stacked = true
      metrics = [
        for outcome in ["ended", "already_over", "failed"] :
        ["ElephantLaunch", "Deliveries", "FunctionName", local.end, "Outcome", outcome, { label = outcome }]
      ]
    },
    {
      title   = "Sweeps, by outcome"
      place   = { column = 1, row = 4 }
      stat    = "Sum"
      stacked = true
      metrics = [
        for outcome in ["in_order", "repaired", "dry_run", "failed"] :
        ["ElephantLaunch", "Deliveries", "FunctionName", local.reconcile, "Outcome", outcome, { label = outcome }]
      ]
    },
    {
      title   = "What sweeps found"
      place   = { column = 2, row = 4 }
      stat    = "Sum"
      stacked = false
      metrics = [
        ["ElephantLaunch", "Sweeps", "FunctionName", local.reconcile, { label = "sweeps" }],
        ["ElephantLaunch", "OrphansEnded", "FunctionName", local.reconcile, { label = "orphans ended" }],
        ["ElephantLaunch", "MachinesLost", "FunctionName", local.reconcile, { label = "machines that died" }],
        ["ElephantLaunch", "MeetingsLaunched", "FunctionName", local.reconcile, { label = "meetings launched late" }],
        ["ElephantLaunch", "MachinesUnready", "FunctionName", local.reconcile, { label = "machines that do not serve" }],
        ["ElephantLaunch", "EndingsHeldBack", "FunctionName", local.reconcile, { label = "endings held back" }],
      ]
    },
    {
      title   = "From the launch until both machines run (s)"
      place   = { column = 0, row = 5 }
      stat    = "Maximum"
      stacked = false
      metrics = [
        ["ElephantLaunch", "TimeToReady", "FunctionName", local.reconcile, { label = "slowest", stat = "Maximum" }],
        ["ElephantLaunch", "TimeToReady", "FunctionName", local.reconcile, { label = "half were faster", stat = "p50" }],
      ]
    },
    {
      title   = "Questions, by outcome"
      place   = { column = 1, row = 5 }
      stat    = "Sum"
      stacked = true
      metrics = [
        for outcome in ["shown", "console", "failed"] :
        ["ElephantLaunch", "Deliveries", "FunctionName", local.status, "Outcome", outcome, { label = outcome }]
      ]
    },
    {
      title   = "Ending and keeping: calls to AWS, and those refused for their rate"
      place   = { column = 2, row = 5 }
      stat    = "Sum"
      stacked = false
      metrics = [
        ["ElephantLaunch", "AwsCalls", "FunctionName", local.end, { label = "AWS calls of end" }],
        ["ElephantLaunch", "AwsCalls", "FunctionName", local.reconcile, { label = "AWS calls of reconcile" }],
        ["ElephantLaunch", "AwsCalls", "FunctionName", local.status, { label = "AWS calls of status" }],
        ["ElephantLaunch", "Throttles", "FunctionName", local.end, { label = "refused of end" }],
        ["ElephantLaunch", "Throttles", "FunctionName", local.reconcile, { label = "refused of reconcile" }],
        ["ElephantLaunch", "Throttles", "FunctionName", local.status, { label = "refused of status" }],
      ]
    },
    {
      title   = "Machines operated, by outcome"
      place   = { column = 0, row = 6 }
      stat    = "Sum"
      stacked = true
      metrics = [
        for outcome in ["done", "unchanged", "failed"] :
        ["ElephantLaunch", "Deliveries", "FunctionName", local.operate, "Outcome", outcome, { label = outcome }]
      ]
    },
    {
      title   = "Operating: calls to AWS, and those refused for their rate"
      place   = { column = 1, row = 6 }
      stat    = "Sum"
      stacked = false
      metrics = [
        ["ElephantLaunch", "AwsCalls", "FunctionName", local.operate, { label = "AWS calls of operate" }],
        ["ElephantLaunch", "Throttles", "FunctionName", local.operate, { label = "refused of operate" }],
      ]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
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
          stacked = graph.stacked
          metrics = graph.metrics
        }
      }
    ]
  })
}

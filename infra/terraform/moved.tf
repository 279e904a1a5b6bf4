# What stood by itself before it was one of several: an existing stack keeps it.

moved {
  from = aws_cloudwatch_log_group.launch
  to   = aws_cloudwatch_log_group.this["launch"]
}

moved {
  from = aws_cloudwatch_log_group.schedule
  to   = aws_cloudwatch_log_group.this["schedule"]
}

moved {
  from = aws_cloudwatch_log_group.end
  to   = aws_cloudwatch_log_group.this["end"]
}

moved {
  from = aws_cloudwatch_log_group.reconcile
  to   = aws_cloudwatch_log_group.this["reconcile"]
}

moved {
  from = aws_cloudwatch_log_group.status
  to   = aws_cloudwatch_log_group.this["status"]
}

moved {
  from = aws_cloudwatch_log_group.operate
  to   = aws_cloudwatch_log_group.this["operate"]
}

moved {
  from = aws_iam_role.launch
  to   = aws_iam_role.this["launch"]
}

moved {
  from = aws_iam_role.schedule
  to   = aws_iam_role.this["schedule"]
}

moved {
  from = aws_iam_role.end
  to   = aws_iam_role.this["end"]
}

moved {
  from = aws_iam_role.reconcile
  to   = aws_iam_role.this["reconcile"]
}

moved {
  from = aws_iam_role.status
  to   = aws_iam_role.this["status"]
}

moved {
  from = aws_iam_role.operate
  to   = aws_iam_role.this["operate"]
}

moved {
  from = aws_iam_role_policy.launch
  to   = aws_iam_role_policy.this["launch"]
}

moved {
  from = aws_iam_role_policy.schedule
  to   = aws_iam_role_policy.this["schedule"]
}

moved {
  from = aws_iam_role_policy.end
  to   = aws_iam_role_policy.this["end"]
}

moved {
  from = aws_iam_role_policy.reconcile
  to   = aws_iam_role_policy.this["reconcile"]
}

moved {
  from = aws_iam_role_policy.status
  to   = aws_iam_role_policy.this["status"]
}

moved {
  from = aws_iam_role_policy.operate
  to   = aws_iam_role_policy.this["operate"]
}

moved {
  from = aws_lambda_function.launch
  to   = aws_lambda_function.this["launch"]
}

moved {
  from = aws_lambda_function.schedule
  to   = aws_lambda_function.this["schedule"]
}

moved {
  from = aws_lambda_function.end
  to   = aws_lambda_function.this["end"]
}

moved {
  from = aws_lambda_function.reconcile
  to   = aws_lambda_function.this["reconcile"]
}

moved {
  from = aws_lambda_function.status
  to   = aws_lambda_function.this["status"]
}

moved {
  from = aws_lambda_function.operate
  to   = aws_lambda_function.this["operate"]
}

moved {
  from = aws_lambda_function_event_invoke_config.launch
  to   = aws_lambda_function_event_invoke_config.this["launch"]
}

moved {
  from = aws_lambda_function_event_invoke_config.schedule
  to   = aws_lambda_function_event_invoke_config.this["schedule"]
}

moved {
  from = aws_lambda_function_event_invoke_config.end
  to   = aws_lambda_function_event_invoke_config.this["end"]
}

moved {
  from = aws_lambda_function_event_invoke_config.reconcile
  to   = aws_lambda_function_event_invoke_config.this["reconcile"]
}

moved {
  from = aws_lambda_function_event_invoke_config.status
  to   = aws_lambda_function_event_invoke_config.this["status"]
}

moved {
  from = aws_lambda_function_event_invoke_config.operate
  to   = aws_lambda_function_event_invoke_config.this["operate"]
}

moved {
  from = aws_sqs_queue.launch_failures
  to   = aws_sqs_queue.failures["launch"]
}

moved {
  from = aws_sqs_queue.schedule_failures
  to   = aws_sqs_queue.failures["schedule"]
}

moved {
  from = aws_sqs_queue.end_failures
  to   = aws_sqs_queue.failures["end"]
}

# The outputs of ../template.yaml.

output "preflight" {
  description = "The next step, to be pasted. It says what a launch would be refused for, and launches nothing."
  value = join(" ", [
    "aws lambda invoke --region ${local.region} --function-name ${aws_lambda_function.this["launch"].function_name}",
    "--cli-binary-format raw-in-base64-out --payload '{\"preflight\": true}' /dev/stdout",
  ])
}

output "launch_function_name" {
  description = "Name of the function, for aws lambda invoke."
  value       = aws_lambda_function.this["launch"].function_name
}

output "launch_function_arn" {
  description = "The target of a schedule (Target.Arn)."
  value       = aws_lambda_function.this["launch"].arn
}

output "launch_role_arn" {
  description = "Role of the function, for the policy of a customer managed key if there is one."
  value       = aws_iam_role.this["launch"].arn
}

output "launch_log_group_name" {
  description = "Where the function logs, for aws logs tail."
  value       = aws_cloudwatch_log_group.this["launch"].name
}

output "launch_failures_url" {
  description = "Queue of the deliveries that failed three times."
  value       = aws_sqs_queue.failures["launch"].url
}

output "launch_failures_arn" {
  description = "The same queue, for alarms and policies."
  value       = aws_sqs_queue.failures["launch"].arn
}

output "schedule_function_name" {
  description = "Name of the function that plans meetings, for aws lambda invoke."
  value       = aws_lambda_function.this["schedule"].function_name
}

output "schedule_function_arn" {
  description = "The same function, for the policy of whoever may plan meetings."
  value       = aws_lambda_function.this["schedule"].arn
}

output "schedule_role_arn" {
  description = "Role of that function, for the policy of a customer managed key if there is one."
  value       = aws_iam_role.this["schedule"].arn
}

output "schedule_log_group_name" {
  description = "Where it logs."
  value       = aws_cloudwatch_log_group.this["schedule"].name
}

output "schedule_failures_url" {
  description = "Queue of the requests to it that failed three times."
  value       = aws_sqs_queue.failures["schedule"].url
}

output "schedule_failures_arn" {
  description = "The same queue, for alarms and policies."
  value       = aws_sqs_queue.failures["schedule"].arn
}

output "end_function_name" {
  description = "Name of the function that ends meetings, for aws lambda invoke."
  value       = aws_lambda_function.this["end"].function_name
}

output "end_function_arn" {
  description = "The same function, for the policy of whoever may end meetings."
  value       = aws_lambda_function.this["end"].arn
}

output "end_role_arn" {
  description = "Role of that function."
  value       = aws_iam_role.this["end"].arn
}

output "end_log_group_name" {
  description = "Where it logs."
  value       = aws_cloudwatch_log_group.this["end"].name
}

output "end_failures_url" {
  description = "Queue of the requests to it that failed three times."
  value       = aws_sqs_queue.failures["end"].url
}

output "end_failures_arn" {
  description = "The same queue, for alarms and policies."
  value       = aws_sqs_queue.failures["end"].arn
}

output "reconcile_function_name" {
  description = "Name of the function that sweeps, for aws lambda invoke."
  value       = aws_lambda_function.this["reconcile"].function_name
}

output "reconcile_function_arn" {
  description = "The same function."
  value       = aws_lambda_function.this["reconcile"].arn
}

output "reconcile_role_arn" {
  description = "Role of that function, for the policy of a customer managed key if there is one."
  value       = aws_iam_role.this["reconcile"].arn
}

output "reconcile_log_group_name" {
  description = "Where it logs."
  value       = aws_cloudwatch_log_group.this["reconcile"].name
}

output "status_function_name" {
  description = "Name of the function that shows meetings, for aws lambda invoke."
  value       = aws_lambda_function.this["status"].function_name
}

output "status_function_arn" {
  description = "The same function, for the policy of whoever may look."
  value       = aws_lambda_function.this["status"].arn
}

output "status_role_arn" {
  description = "Role of that function."
  value       = aws_iam_role.this["status"].arn
}

output "status_log_group_name" {
  description = "Where it logs."
  value       = aws_cloudwatch_log_group.this["status"].name
}

output "operate_function_name" {
  description = "Name of the function that operates machines, for aws lambda invoke."
  value       = aws_lambda_function.this["operate"].function_name
}

output "operate_function_arn" {
  description = "The same function, for the policy of whoever may operate machines."
  value       = aws_lambda_function.this["operate"].arn
}

output "operate_role_arn" {
  description = "Role of that function, for the policy of a customer managed key if there is one."
  value       = aws_iam_role.this["operate"].arn
}

output "operate_log_group_name" {
  description = "Where it logs."
  value       = aws_cloudwatch_log_group.this["operate"].name
}

output "meetings_table_name" {
  description = "Table of the meetings."
  value       = local.table_name
}

output "schedule_group_name" {
  description = "The group in which each meeting gets its schedule (GroupName)."
  value       = aws_scheduler_schedule_group.meetings.name
}

output "scheduler_role_arn" {
  description = "The role of a schedule (Target.RoleArn)."
  value       = aws_iam_role.scheduler.arn
}

output "schedule_dead_letters_url" {
  description = "Queue of the deliveries that Scheduler could not hand to the function."
  value       = aws_sqs_queue.schedule_dead_letters.url
}

output "schedule_dead_letters_arn" {
  description = "The dead-letter queue of a schedule (Target.DeadLetterConfig.Arn)."
  value       = aws_sqs_queue.schedule_dead_letters.arn
}

output "dashboard_name" {
  description = "The dashboard, in CloudWatch under Dashboards."
  value       = local.has_dashboard ? aws_cloudwatch_dashboard.this[0].dashboard_name : null
}

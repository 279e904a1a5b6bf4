//! The template: cfn-lint on it and on what SAM makes of it, exactly the variables that the functions read, alarms and a
//! dashboard on metrics that are written, policies that are shown to be sufficient and necessary, schedule expressions
//! that EventBridge takes, and a Terraform module that is the same stack. And each check finds what it is there for.

use crate::local;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use elephant_core::error::Kind;
use elephant_core::settings;
use elephant_core::settings::{Function, given_to};

/// Each function of the template, and the verb that it runs.
const FUNCTIONS: [(&str, &str); 6] = [
    ("LaunchFunction", "launch"),
    ("ScheduleFunction", "schedule"),
    ("EndFunction", "end"),
    ("ReconcileFunction", "reconcile"),
    ("StatusFunction", "status"),
    ("OperateFunction", "operate"),
];

/// The exit code of one of the checks in `tests/infra/`, and everything that it printed.
pub fn check(script: &str, arguments: &[String]) -> (Option<i32>, String) {
    check_in("infra", "requirements.txt", script, arguments)
}

/// The same in a virtual environment of that name.
fn check_in(name: &str, requirements: &str, script: &str, arguments: &[String]) -> (Option<i32>, String) {
    let folder = local::top().join("tests").join("infra");
    let python = local::python::environment(name, &folder.join(requirements), &mut io::stderr())
        .expect("the virtual environment");
    let output = Command::new(python).arg(folder.join(script)).args(arguments).output().expect("Python runs");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn template() -> PathBuf {
    local::top().join("infra").join("template.yaml")
}

fn check_template(templates: &[PathBuf], options: &[&str]) -> (Option<i32>, String) {
    let variables = Function::ALL.map(|function| {
        ["--variables".to_owned(), format!("{function:?}Function={}", given_to(function).join(","))]
    });
    let options = options.iter().map(|&option| option.to_owned()).collect();
    check("check_template.py", &[words(templates), variables.concat(), options].concat())
}

fn check_policies(templates: &[PathBuf]) -> (Option<i32>, String) {
    let asks = FUNCTIONS.map(|(function, verb)| {
        let mut actions = actions_asked_for_by(verb);
        if verb == "reconcile" {
            actions.extend(actions_asked_for_by("launch"));
        }
        let actions: Vec<String> = actions.into_iter().collect();
        ["--asks".to_owned(), format!("{function}={}", actions.join(","))]
    });
    check("check_policies.py", &[words(templates), asks.concat()].concat())
}

fn words(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// The template with one thing changed, once for each change, in files of their own.
fn sabotaged(folder: &Path, changes: &[(&str, &str)]) -> Vec<PathBuf> {
    let right = fs::read_to_string(template()).expect("the template");
    let each = changes.iter().enumerate().map(|(number, (from, to))| {
        assert!(right.contains(from), "{from} is in the template");
        let wrong = folder.join(format!("{number}.yaml"));
        fs::write(&wrong, right.replace(from, to)).expect("it is written");
        wrong
    });
    each.collect()
}

/// What was printed about one of several files.
fn about<'t>(file: &Path, text: &'t str) -> Vec<&'t str> {
    text.lines().filter(|line| line.starts_with(&format!("{}:", file.display()))).collect()
}

// --- The template --------------------------------------------------------------------------------------------

#[test]
fn the_template_has_no_finding() {
    let (code, text) = check_template(&[template()], &[]);
    assert_eq!(code, Some(0), "{text}");
}

/// Each change, and a part of what the linter has to say about it.
#[rustfmt::skip]
const UNDEPLOYABLE: [(&str, &str, &str); 3] = [
    ("provided.al2023", "provided.al2099", "provided.al2099"),
    ("Timeout: 30", "Timeout: 1000", "1000 is greater than the maximum of 900"),
    ("ec2:RunInstances", "ec2:RunInstance", "'runinstance' is not one of"),
];

/// Each change, and a part of what the other checks have to say about it.
#[rustfmt::skip]
const FAULTY: [(&str, &str, &str); 43] = [
    ("      Handler: status\n", "      Handler: end\n", "StatusFunction would run end, not status"),
    // Variables.
    ("          USER_DATA:", "          USER_TEXT:", "the template sets USER_TEXT, which LaunchFunction does not read"),
    ("          SCHEDULE_GROUP: !Ref ScheduleGroup\n          SCHEDULE_DEAD", "          SCHEDULE_DEAD", "ScheduleFunction reads SCHEDULE_GROUP, which the template does not set"),
    // A person who deploys, and is asked what need not be asked.
    ("    Default: t3.small\n", "", "the parameter InstanceType must be answered"),
    ("[Settings, Alarms, AlarmTopicArn, ", "[Settings, Alarms, ", "the parameter AlarmTopicArn is not in one group with a label"),
    ("      VpcId: {default: ", "      VpcName: {default: ", "the parameter VpcId is not in one group with a label"),
    ("      Protocol: email\n", "      Protocol: sms\n", "AlarmEmail is not subscribed to the topic of the alarms"),
    // A failure that nobody sees.
    ("          Destination: !GetAtt ScheduleFailures.Arn", "          Destination: !GetAtt LaunchFailures.Arn", "two functions share a queue"),
    ("      MaximumEventAgeInSeconds: 3600\n", "", "ScheduleFunction: an event may grow as old as Lambda likes"),
    ("      RetentionInDays: !Ref LogRetentionDays\n", "", "LaunchFunction: its log is kept for ever"),
    ("    Tracing: Active\n", "", "ScheduleFunction: sends no traces"),
    ("        LogFormat: JSON\n", "        LogFormat: Text\n", "a level of the log goes with JSON"),
    // Notifications of other people's machines.
    ("            ScalingConfig:\n              MaximumConcurrency: 2\n", "", "StateChanges: its messages take as much of the account's concurrency as there is"),
    ("      VisibilityTimeout: 300\n", "", "StateChanges: a message comes back while the function still works on it"),
    ("      MessageRetentionPeriod: 300\n", "      MessageRetentionPeriod: 3600\n", "StateChanges: a message that failed is tried again"),
    ("    Type: AWS::Scheduler::ScheduleGroup\n", "    Type: AWS::EC2::VPCGatewayAttachment\n", "AWS::EC2::VPCGatewayAttachment: the tags of the stack do not reach it"),
    // An alarm that never comes, or comes to nobody.
    ("MetricName: CapacityRefusals", "MetricName: CapacityRefused", "CapacityRefusalsAlarm: nobody writes ElephantLaunch CapacityRefused"),
    ("MetricName: Findings", "MetricName: MachinesLost", "no alarm watches ElephantLaunch Findings"),
    ("Expression: started - failed", "Expression: started", "NoSweepAlarm: expected the expression started - failed"),
    ("Value: !Ref ReconcileFunctionSweep", "Value: !Ref ReconcileFunction", "NoSweepAlarm: AWS/Events Invocations: this stack has no RuleName elephant-reconcile"),
    ("        - Name: ScheduleGroup\n", "        - Name: GroupName\n", "InvocationsFailedToBeSentToDeadLetterCount is not written with the dimensions GroupName"),
    ("          Value: !GetAtt ScheduleDeadLetters.QueueName", "          Value: !GetAtt ScheduleFailures.QueueName", "no alarm watches AWS/SQS ApproximateNumberOfMessagesVisible of elephant-ScheduleDeadLetters-"),
    ("          Value: !GetAtt LaunchFailures.QueueName", "          Value: !Ref LaunchFailures", "this stack has no QueueName https://sqs"),
    ("      Statistic: Minimum", "      Statistic: Average", "ShortLeadAlarm: expected the statistic Minimum"),
    ("LessThanThreshold", "GreaterThanThreshold", "ShortLeadAlarm: Minimum and GreaterThanThreshold do not go together"),
    ("      Threshold: 30000\n", "      Threshold: 30\n", "no alarm watches AWS/Lambda Duration above 30 s of elephant-launch"),
    ("      Threshold: 180\n", "      Threshold: 240\n", "ShortLeadAlarm: goes off for every launch of a schedule that fires five minutes ahead"),
    ("\"300\": 270000", "\"300\": 305000", "LaunchDurationAlarm: 305000 ms is not near the time-out of 300000 ms"),
    ("TreatMissingData: notBreaching", "TreatMissingData: missing", "a minute without a figure is not a bad one"),
    ("TreatMissingData: breaching", "TreatMissingData: notBreaching", "NoSweepAlarm: without a figure it stands still"),
    ("EvaluationPeriods: 3", "EvaluationPeriods: 1", "NoSweepAlarm: expected the sums of 3 periods of 300 s"),
    ("AlarmActions: [!If [MakesAlarmTopic, !Ref AlarmTopic, !Ref AlarmTopicArn]]", "AlarmActions: [!Ref AlarmTopicArn]", "does not tell the topic"),
    ("    Condition: HasAlarms\n", "", "an alarm that tells nobody [with no answer"),
    ("    Condition: HasAllAlarms\n", "    Condition: HasAlarms\n", "has an alarm that is not asked for [with China]"),
    ("    - !Not [!Equals [!Ref Alarms, none]]\n", "", "an alarm that nobody wants"),
    // A dashboard that shows nothing.
    ("\"ElephantLaunch\", \"LeadTime\"", "\"ElephantLaunch\", \"LeadTimes\"", "Time left until the meeting (s): nobody writes ElephantLaunch LeadTimes"),
    ("HasDashboard: !Equals [!Ref Alarms, all]", "HasDashboard: !Not [!Equals [!Ref Alarms, none]]", "a dashboard goes with Alarms all"),
    ("\"start\": \"-PT12H\",", "\"start\": \"-PT12H\"", "its body is not the JSON of a dashboard"),
    ("\"x\": 16, \"y\": 6", "\"x\": 15, \"y\": 6", "The functions: slowest delivery (ms): lies over The functions: errors"),
    ("[\"AWS/Scheduler\", \"InvocationDroppedCount\", \"ScheduleGroup\", \"${ScheduleGroup}\", {\"label\": \"schedules given up\"}],", "[\"AWS/Scheduler\", \"InvocationDroppedCount\", \"ScheduleGroup\", \"${ScheduleGroup}\"], [\"AWS/Scheduler\", \"InvocationDroppedCount\", \"ScheduleGroup\", \"${ScheduleGroup}\"], [\"AWS/Scheduler\", \"InvocationDroppedCount\", \"ScheduleGroup\", \"${ScheduleGroup}\"],", "51 metrics, and no more than 50 are free"),
    // A question that nobody can answer.
    ("sum(Refusals)", "sum(Refusal)", "RefusalsQuery: nobody writes Refusal"),
    ("LogGroupNames: [!Ref LaunchLogGroup]", "LogGroupNames: [!Ref EndLogGroup]", "LaunchesQuery: nobody writes LaunchDuration into the logs that it reads"),
    ("sum(Sweeps)", "sum(AwsCalls)", "no saved query asks for Sweeps"),
];

#[test]
fn the_linter_finds_what_cannot_be_deployed() {
    each_is_found(&UNDEPLOYABLE, &[]);
}

#[test]
fn the_check_finds_what_is_wrong_with_a_template() {
    each_is_found(&FAULTY, &["--without-linter"]);
}

fn each_is_found(faulty: &[(&str, &str, &str)], options: &[&str]) {
    let changes: Vec<(&str, &str)> = faulty.iter().map(|&(from, to, _)| (from, to)).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = sabotaged(folder.path(), &changes);
    let (code, text) = check_template(&wrong, options);
    assert_eq!(code, Some(1), "{text}");
    for (file, (_, to, finding)) in wrong.iter().zip(faulty) {
        let name = file.display().to_string();
        let found: Vec<&str> = text.lines().filter(|line| line.starts_with(&name)).collect();
        assert!(
            found.iter().any(|line| line.contains(finding)),
            "{to:?}: {finding:?} is not among its findings:\n{}",
            found.join("\n")
        );
    }
}

// --- Its policies --------------------------------------------------------------------------------------------

#[test]
fn the_policies_allow_all_that_is_asked_for_and_nothing_near_it() {
    let (code, text) = check_policies(&[template()]);
    assert_eq!(code, Some(0), "{text}");
    eprint!("{text}");
}

/// Each change, and a part of what has to be said about it.
#[rustfmt::skip]
const WIDER_OR_WRONG: [(&str, &str, &str); 107] = [
    // A resource widened.
    ("!If [MakesMachineRole, !GetAtt MachineRole.Arn, !Ref MachineRoleArn]", "!Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*", "should not be: pass another role"),
    ("!If [MakesMachineRole, !GetAtt MachineRole.Arn, !Ref MachineRoleArn]", "!If [MakesMachineRole, !GetAtt MachineRole.Arn, !Sub \"${MachineRoleArn}*\"]", "should not be: pass a role that begins like ours"),
    ("${AWS::AccountId}:key-pair/*\n              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:launch-template/*", "*:key-pair/*\n              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:launch-template/*", "should not be: launch with another account's key pair"),
    ("policy/AmazonSSMManagedInstanceCore", "policy/AdministratorAccess", "MachineRole: managed policies that its table does not name"),
    ("              Service: !Sub ec2.${AWS::URLSuffix}\n", "              AWS: \"*\"\n", "trust of MachineRole: allowed, and should not be: Lambda"),
    ("image/${AmiId}", "image/*", "should not be: launch another image"),
    ("table/${ExistingTableName}", "table/*", "should not be: read another table"),
    ("parameter${Path}", "parameter/*", "should not be: read a parameter of another path"),
    ("::parameter/aws/service/*", "::parameter/*", "should not be: read a parameter of another path"),
    ("arn:*:ec2:*:*:security-group/", "arn:*:ec2:*:*:*/", "a wildcard in the kind of a resource"),
    ("vpc/${VpcId}", "vpc/*", "should not be: launch into a subnet of another VPC"),
    ("Resource: !Ref VolumeKmsKeyArn", "Resource: !Sub arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*", "should not be: use another key for a disk"),
    ("Resource: !GetAtt LaunchFailures.Arn", "Resource: \"*\"", "should not be: send to another queue"),
    ("schedule/${ScheduleGroup}/launch-*", "schedule/${ScheduleGroup}/*", "should not be: CreateSchedule of the safety net"),
    ("schedule/${ScheduleGroup}/launch-*", "schedule/*/launch-*", "should not be: UpdateSchedule in the default group"),
    ("schedule/${ScheduleGroup}/launch-*", "schedule/${ScheduleGroup}*/launch-*", "should not be: GetSchedule in a group whose name begins like ours"),
    ("!Split [\",\", !Join [\"*\", !Split [\"{meeting_id}\", !Ref CompanionSchedules]]]", "[\"default/*\"]", "should not be: GetSchedule beside the companions"),
    ("Resource: !Ref CompanionRoleArn", "Resource: \"*\"", "should not be: pass a role beside the companions'"),
    ("                  Action:\n                    - scheduler:GetSchedule\n                    - scheduler:DeleteSchedule\n", "                  Action:\n                    - scheduler:GetSchedule\n                    - scheduler:UpdateSchedule\n                    - scheduler:DeleteSchedule\n", "should not be: move a companion"),
    ("      - Assert: !Not [!Equals [!Ref CompanionRoleArn, \"\"]]\n", "      - Assert: !Equals [\"\", \"\"]\n", "CloudFormation would take companions without their role"),
    ("Resource: !GetAtt SchedulerRole.Arn", "Resource: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*", "should not be: pass the role of launch"),
    ("Resource: !GetAtt ScheduleFailures.Arn", "Resource: !Sub arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:*", "should not be: send to the schedules' dead letters"),
    ("/index/open-meetings", "/index/*", "should not be: ask another index"),
    ("- !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:security-group/*\n", "- arn:*:ec2:*:*:*/*\n", "OperateRole: MakeInterfacesInSubnets: a wildcard in the kind of a resource"),
    ("- !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:subnet/*\n", "- arn:*:ec2:*:*:subnet/*\n", "should not be: make a network interface there, in another account"),
    ("document/AWS-RunShellScript", "document/*", "should not be: run a script from elsewhere"),
    ("parameter/ec2/keypair/*", "parameter/ec2/*", "should not be: keep something beside the private keys"),
    ("parameter/elephant/vpc/*", "parameter/elephant/*", "should not be: remember a VPC at another path"),
    // A condition left out.
    ("                Action: ec2:TerminateInstances\n                Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:instance/*\n                Condition:\n                  StringEquals:\n                    aws:ResourceTag/Project: !Ref ProjectTag\n", "                Action: ec2:TerminateInstances\n                Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:instance/*\n", "EndRole: allowed, and should not be: end a machine of another project"),
    ("                  - ec2:RebootInstances\n                Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:instance/*\n                Condition:\n                  StringEquals:\n                    aws:ResourceTag/Project: !Ref ProjectTag\n", "                  - ec2:RebootInstances\n                Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:instance/*\n", "OperateRole: allowed, and should not be: StopInstances: machine of another project"),
    ("                Action: ec2:CreateImage\n                Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:instance/*\n                Condition:\n                  StringEquals:\n                    aws:ResourceTag/Project: !Ref ProjectTag\n", "                Action: ec2:CreateImage\n                Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:instance/*\n", "should not be: CreateImage: machine of no project"),
    ("                Action:\n                  - ec2:DeregisterImage\n                  - ec2:DeleteSnapshot\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::image/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*\n                Condition:\n                  StringEquals:\n                    aws:ResourceTag/Project: !Ref ProjectTag\n", "                Action:\n                  - ec2:DeregisterImage\n                  - ec2:DeleteSnapshot\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::image/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*\n", "should not be: DeregisterImage: image of another project"),
    ("                Action:\n                  - ec2:DeleteVolume\n                  - ec2:DeleteNetworkInterface\n                  - ec2:DeleteKeyPair\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:volume/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:network-interface/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:key-pair/*\n                Condition:\n                  StringEquals:\n                    aws:ResourceTag/Project: !Ref ProjectTag\n", "                Action:\n                  - ec2:DeleteVolume\n                  - ec2:DeleteNetworkInterface\n                  - ec2:DeleteKeyPair\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:volume/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:network-interface/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:key-pair/*\n", "should not be: DeleteKeyPair: key-pair of another project"),
    ("                Action:\n                  - ec2:CreateVolume\n                  - ec2:CreateNetworkInterface\n                  - ec2:CreateKeyPair\n                  - ec2:ImportKeyPair\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:volume/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:network-interface/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:key-pair/*\n                Condition:\n                  StringEquals:\n                    aws:RequestTag/Project: !Ref ProjectTag\n", "                Action:\n                  - ec2:CreateVolume\n                  - ec2:CreateNetworkInterface\n                  - ec2:CreateKeyPair\n                  - ec2:ImportKeyPair\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:volume/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:network-interface/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:key-pair/*\n", "should not be: make a new key-pair without tags"),
    ("                Action: ec2:CreateImage\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::image/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*\n                Condition:\n                  StringEquals:\n                    aws:RequestTag/Project: !Ref ProjectTag\n", "                Action: ec2:CreateImage\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::image/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::snapshot/*\n", "should not be: make a new snapshot of another project"),
    ("                    ec2:CreateAction: CreateImage\n", "", "should not be: tag the image that exists"),
    ("                Condition:\n                  StringEquals:\n                    ec2:CreateAction: CreateVolume\n", "", "should not be: tag the volume that exists"),
    ("ec2:CreateAction: CreateNetworkInterface\n", "ec2:CreateAction: [CreateNetworkInterface, RunInstances]\n", "should not be: tag a new network-interface in RunInstances"),
    ("                Condition:\n                  StringEquals:\n                    ssm:resourceTag/Project: !Ref ProjectTag\n", "", "should not be: run a command on a machine of another project"),
    ("                Condition:\n                  StringNotEquals:\n                    ssm:Overwrite: \"true\"\n", "", "should not be: replace a private key"),
    ("                    ec2:CreateAction:\n                      - CreateKeyPair\n", "                    ec2:CreateAction:\n                      - RunInstances\n                      - CreateKeyPair\n", "should not be: tag a new key-pair in RunInstances"),
    ("            Action: ec2:CreateVpc\n            Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc/*\n            Condition:\n              StringEquals:\n                aws:RequestTag/Project: !Ref ProjectTag\n", "            Action: ec2:CreateVpc\n            Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc/*\n", "should not be: make a new vpc without tags"),
    ("              - ec2:CreateSecurityGroup\n            Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc/*\n            Condition:\n              StringEquals:\n                aws:ResourceTag/Project: !Ref ProjectTag\n", "              - ec2:CreateSecurityGroup\n            Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc/*\n", "should not be: CreateSubnet: vpc of another project"),
    ("              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:internet-gateway/*\n              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:route-table/*\n            Condition:\n              StringEquals:\n                aws:ResourceTag/Project: !Ref ProjectTag\n", "              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:internet-gateway/*\n              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:route-table/*\n", "should not be: AssociateRouteTable: subnet of no project"),
    ("              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:route-table/*\n              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:security-group/*\n            Condition:\n              StringEquals:\n                aws:ResourceTag/Project: !Ref ProjectTag\n", "              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:route-table/*\n              - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:security-group/*\n", "should not be: DeleteVpc: vpc of another project"),
    ("            Condition:\n              StringEquals:\n                ec2:CreateAction: CreateSubnet\n", "", "should not be: tag the subnet that exists"),
    ("              Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::image/*\n              Condition:\n                StringEquals:\n                  aws:ResourceTag/Project: !Ref ProjectTag\n", "              Resource: !Sub arn:${AWS::Partition}:ec2:${AWS::Region}::image/*\n", "LaunchRole: allowed, and should not be: launch another project's image"),
    ("[elephant:orphan-since]", "[elephant:orphan-since, elephant:keep]", "should not be: the tag that keeps a machine"),
    ("                  - ec2:DeleteNetworkInterface\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:volume/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:network-interface/*\n                Condition:\n                  StringEquals:\n                    aws:ResourceTag/Project: !Ref ProjectTag\n", "                  - ec2:DeleteNetworkInterface\n                Resource:\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:volume/*\n                  - !Sub arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:network-interface/*\n", "should not be: remove what is another project's"),
    ("                    iam:PassedToService: scheduler.amazonaws.com\n", "                    iam:PassedToService: [scheduler.amazonaws.com, lambda.amazonaws.com]\n", "should not be: pass the role to Lambda"),
    ("              StringEquals:\n                ec2:CreateAction: RunInstances\n", "", "should not be: tag a machine that runs"),
    ("                  \"Null\":\n                    aws:TagKeys: \"false\"\n", "", "should not be: take all tags"),
    ("              StringEquals:\n                iam:PassedToService: !Sub ec2.${AWS::URLSuffix}\n", "", "should not be: pass the role to Auto Scaling"),
    ("                aws:SourceArn: !GetAtt ScheduleGroup.Arn\n", "", "should not be: a schedule of another group"),
    ("                aws:SourceAccount: !Ref AWS::AccountId\n", "", "should not be: a schedule of another account"),
    ("                ec2:InstanceMarketType: [on-demand, spot]\n", "", "should not be: launch from a capacity block"),
    ("                StringEquals:\n                  kms:ViaService: !Sub ec2.${AWS::Region}.${AWS::URLSuffix}\n                Bool:\n", "                Bool:\n", "should not be: grant the key to AWS, and not through EC2"),
    ("                Bool:\n                  kms:GrantIsForAWSResource: \"true\"\n", "", "should not be: grant the key through EC2, and not to AWS"),
    // More than is needed.
    ("- dynamodb:PutItem\n", "- dynamodb:PutItem\n                  - dynamodb:BatchGetItem\n", "nothing breaks without dynamodb:BatchGetItem"),
    ("    - !Equals [!Join [\"\", !Split [\":daily:\", !Ref AmiId]], !Ref AmiId]\n", "", "should not be: read a public parameter that is not the image's"),
    ("[Name, MeetingID, Role, Project]", "[Name, MeetingID, Role, Project, Owner]", "nothing breaks without Owner"),
    ("Service: lambda.amazonaws.com", "Service: [lambda.amazonaws.com, edgelambda.amazonaws.com]", "nothing breaks without edgelambda.amazonaws.com"),
    ("                  - scheduler:UpdateSchedule\n                  - scheduler:DeleteSchedule\n", "                  - scheduler:UpdateSchedule\n                  - scheduler:DeleteSchedule\n                  - scheduler:TagResource\n", "nothing breaks without scheduler:TagResource"),
    ("- xray:PutTelemetryRecords\n", "- xray:PutTelemetryRecords\n                  - xray:GetSamplingRules\n", "nothing breaks without xray:GetSamplingRules"),
    ("- ec2:RebootInstances\n", "- ec2:RebootInstances\n                  - ec2:TerminateInstances\n", "OperateRole: allowed, and should not be: end a machine"),
    ("Action: ssm:PutParameter\n", "Action: [ssm:PutParameter, ssm:GetParameter]\n", "should not be: read or delete a private key (ssm:GetParameter"),
    ("- ec2:DisassociateRouteTable\n", "- ec2:DisassociateRouteTable\n              - ec2:AuthorizeSecurityGroupIngress\n", "nothing breaks without ec2:AuthorizeSecurityGroupIngress"),
    ("  OperateNetworksPolicy:\n    Type: AWS::IAM::ManagedPolicy\n    Properties:\n      Description: What the operate function may do with VPCs and network interfaces.\n      Path: !Ref RolePath\n", "  OperateNetworksPolicy:\n    Type: AWS::IAM::Policy\n    Properties:\n      PolicyName: operate-networks\n", "OperateRole: its own policies have"),
    ("  RunInstancesPolicy:\n    Type: AWS::IAM::ManagedPolicy\n    Properties:\n      Description: What a launch may create, and from what.\n      Path: !Ref RolePath\n", "  RunInstancesPolicy:\n    Type: AWS::IAM::Policy\n    Properties:\n      PolicyName: run-instances\n", "ReconcileRole: its own policies have"),
    ("!Ref OverrideInstanceTypes]]]", "!Ref OverrideInstanceTypes, t3.nano]]]", "nothing breaks without t3.nano"),
    ("                  - xray:PutTraceSegments\n", "", "denied: send traces"),
    ("Action: ec2:TerminateInstances", "Action: ec2:Terminate*", "a wildcard in an action"),
    // A queue that is open.
    ("        - !Ref EndFailures\n", "", "EndFailures: expected one policy"),
    ("            Resource: \"*\"\n            Condition:\n              Bool:\n                aws:SecureTransport: \"false\"\n", "            Resource: \"*\"\n", "LaunchFailures: expected one policy"),
    ("                aws:SourceArn: !GetAtt StateChangeRule.Arn\n", "                aws:SourceArn: !GetAtt ReconcileFunctionSweep.Arn\n", "StateChanges: expected one policy"),
    ("            Action: sqs:SendMessage\n", "            Action: [sqs:SendMessage, sqs:ReceiveMessage]\n", "StateChanges: expected one policy"),
    ("                Resource: !GetAtt StateChanges.Arn\n", "                Resource: !Sub arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:*\n", "should not be: take from another queue"),
    ("                  - sqs:GetQueueAttributes\n", "", "denied: take what came into the queue (sqs:GetQueueAttributes"),
    // Not as the organisation asks.
    ("      Description: What the end function may do.\n      Path: !Ref RolePath\n", "      Description: What the end function may do.\n", "EndRole: its Path is None, and RolePath is"),
    ("      Description: What a launch may create, and from what.\n      Path: !Ref RolePath\n", "      Description: What a launch may create, and from what.\n      Path: /\n", "RunInstancesPolicy: its Path is /, and RolePath is"),
    ("      Description: EventBridge Scheduler invokes the launch function with this role.\n      Path: !Ref RolePath\n      PermissionsBoundary: !If [HasPermissionsBoundary, !Ref PermissionsBoundaryArn, !Ref AWS::NoValue]\n", "      Description: EventBridge Scheduler invokes the launch function with this role.\n      Path: !Ref RolePath\n", "SchedulerRole: its PermissionsBoundary is None, and PermissionsBoundaryArn is"),
    ("      LogGroupName: !Sub /aws/lambda/${AWS::StackName}-end\n      KmsKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]\n", "      LogGroupName: !Sub /aws/lambda/${AWS::StackName}-end\n", "EndLogGroup: its KmsKeyId is None, and KmsKeyArn is"),
    ("        KMSMasterKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]\n", "", "MeetingsTable: its SSESpecification.KMSMasterKeyId is None"),
    ("    KmsKeyArn: !If [HasKmsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]\n", "", "LaunchFunction: its KmsKeyArn is None"),
    ("SqsManagedSseEnabled: !If [HasKmsKey, false, true]", "SqsManagedSseEnabled: true", "is encrypted with SQS's own key or with another"),
    ("        - !Ref StatusRole\n", "", "StatusRole: denied: open the encrypted table"),
    ("              - kms:GenerateDataKey\n", "", "denied: encrypt what is sent to a queue"),
    ("      Description: Sends to the encrypted queues.\n      Path: !Ref RolePath\n      Roles:\n", "      Description: Sends to the encrypted queues.\n      Path: !Ref RolePath\n      Roles:\n        - !Ref ReconcileRole\n", "ReconcileRole: allowed, and should not be: encrypt what is sent to a queue"),
    ("            Condition:\n              StringEquals:\n                kms:ViaService: !Sub dynamodb.${AWS::Region}.${AWS::URLSuffix}\n", "", "should not be: use the stack's key without a service"),
    // Misspelt, or somewhere else.
    ("!If [MakesSecurityGroup, !GetAtt MachineSecurityGroup.GroupId, !Ref SecurityGroupIds]]\n", "!Ref SecurityGroupIds]\n", "denied: with a security group"),
    ("[\"=ami-\"", "[\"ami-\"", "denied: read which image it is"),
    ("Account: !If [ImageIsInAPublicParameter, \"\", !Ref AWS::AccountId]", "Account: !Ref AWS::AccountId", "denied: read which image it is"),
    ("!Select [9, !Split", "!Select [8, !Split", "denied: tag the machine at launch"),
    ("!Split [\",\", !Join [\",\", [!Join [\",\", !Ref InstanceType], !Ref OverrideInstanceTypes]]]", "!Ref InstanceType", "denied: launch a machine of the type that its record asks for"),
    ("ec2:CreateAction: CreateImage\n", "ec2:CreateAction: CopyImage\n", "denied: tag a new snapshot"),
    ("ssm:resourceTag/Project", "ssm:ResourceTags/Project", "denied: run a command on a machine"),
    ("Action: iam:PassRole", "Action: iam:PasRole", "UNKNOWN_ACTION"),
    ("aws:ResourceTag/Project", "aws:ResourceTagg/Project", "UNKNOWN_CONDITION_FOR_ACTION"),
    ("- scheduler:GetSchedule\n", "- scheduler:ReadSchedule\n", "UNKNOWN_ACTION"),
    ("Role: !GetAtt ScheduleRole.Arn", "Role: !GetAtt LaunchRole.Arn", "ScheduleFunction: does not run with ScheduleRole"),
    ("Role: !GetAtt LaunchRole.Arn", "Role: !GetAtt SchedulerRole.Arn", "LaunchFunction: does not run with LaunchRole"),
    // A parameter that lets a wildcard in, or a rule that lets two answers to one question pass.
    ("^([a-z0-9-]+\\.[a-z0-9-]+(,[a-z0-9-]+\\.[a-z0-9-]+)*)?$", "^.*$", "CloudFormation would take a wildcard among the types that a record may ask for"),
    ("(/[A-Za-z0-9_.-]+)+", "(/.+)+", "CloudFormation would take a wildcard in the image's parameter"),
    ("          - !Not [!Equals [!Ref SecurityGroupIds, \"\"]]\n", "          - !Not [!Equals [!Ref SubnetIds, \"\"]]\n", "CloudFormation would take subnets of which nobody says where a security group belongs"),
    ("|MARKET\\s*=", "|MARK[A-Z]*\\s*=", "CloudFormation would take a setting that there is not"),
    ("14[0-3][0-9]|1440)|FLEX", "14[0-4][0-9])|FLEX", "CloudFormation would take a number beyond its range"),
    ("\\s*(;|$))*$", "\\s*(;| |$))*$", "CloudFormation would take settings that nothing separates"),
];

#[test]
fn the_check_finds_what_is_wrong_with_a_policy() {
    let changes = WIDER_OR_WRONG.map(|(from, to, _)| (from, to));
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = sabotaged(folder.path(), &changes);
    // The right one first: of the others, only what differs from it is judged.
    let (code, text) = check_policies(&[vec![template()], wrong.clone()].concat());
    assert_eq!(code, Some(1), "{text}");
    assert!(about(&template(), &text)[0].contains("mutations found"), "{text}");
    for (file, (_, to, finding)) in wrong.iter().zip(WIDER_OR_WRONG) {
        let found = about(file, &text);
        assert!(
            found.iter().any(|line| line.contains(finding)),
            "{to:?}: {finding:?} is not among its findings:\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn the_check_knows_what_the_function_asks_for() {
    let changes = [
        ("LaunchFunction", "launch", "ec2:DeleteTags", "ec2:StopInstances"),
        ("ScheduleFunction", "schedule", "scheduler:UpdateSchedule", "scheduler:ListSchedules"),
    ];
    let mut arguments = vec![template().display().to_string()];
    for (function, verb, forgotten, new) in changes {
        let mut asks = actions_asked_for_by(verb);
        assert!(asks.remove(forgotten), "{verb} asks for {forgotten}: {asks:?}");
        asks.insert(new.to_owned());
        let asks = asks.into_iter().collect::<Vec<_>>().join(",");
        arguments.extend(["--asks".to_owned(), format!("{function}={asks}")]);
    }
    let (code, text) = check("check_policies.py", &arguments);
    assert_eq!(code, Some(1), "{text}");
    for (function, _, forgotten, new) in changes {
        let [unasked, unknown] = [
            format!("{function}: calls.py has {forgotten}, for which its source does not ask"),
            format!("{function}: its source asks for {new}, of which calls.py knows nothing"),
        ];
        assert!(text.contains(&unasked) && text.contains(&unknown), "{unasked}; {unknown}: {text}");
    }
}

/// A verb's policy is what its signatures ask for: the actions that `ports.rs` names for the traits that they are bound to.
fn actions_asked_for_by(verb: &str) -> BTreeSet<String> {
    let bounds = bounds(&sources("core", verb));
    let traits = actions_of_traits();
    let bound = traits.into_iter().filter(|(name, _)| bounds.contains(name));
    bound.flat_map(|(_, actions)| actions).collect()
}

/// What stands as a bound in the head of an `impl` or of a function, or of a type that a trait has; a comment has none.
fn bounds(code: &str) -> BTreeSet<String> {
    let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let heads = ["impl<", "fn ", "\n    type "].into_iter().flat_map(|start| code.split(start).skip(1));
    let heads = heads.map(|rest| rest.split(['{', ';']).next().unwrap_or_default());
    let bounds = heads.flat_map(|head| {
        head.split([':', '+'])
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != ' ').next())
    });
    bounds.map(|name| name.trim().to_owned()).collect()
}

#[test]
fn what_a_verb_asks_for_is_read_from_its_bounds_alone() {
    let code = "//! Machines, `Meetings`.\n/// E: PowerControl\npub trait EndPorts {\n    type Meetings: Meetings;\n    \
        type Ec2: FindByToken + DescribeById;\n}\nimpl<P: EndPorts> Ender<P> {\n    // C: Clock\n    \
        fn end<S>(&self, said: &str) where\n    S: Deletes,\n    { let text = \"Starts\"; Machines }\n}";
    let found = bounds(code);
    for name in ["Meetings", "FindByToken", "DescribeById", "Deletes"] {
        assert!(found.contains(name), "{name}: {found:?}");
    }
    for name in ["Machines", "PowerControl", "Clock", "Starts"] {
        assert!(!found.contains(name), "{name}: {found:?}");
    }
    assert!(actions_asked_for_by("end").contains("ec2:TerminateInstances"));
    assert!(
        !actions_asked_for_by("end").contains("ec2:RunInstances"),
        "its documentation speaks of machines"
    );
}

/// Each trait of `ports.rs` with the actions that its comments name, and those of the traits that it is made of.
fn actions_of_traits() -> BTreeMap<String, BTreeSet<String>> {
    let ports = sources("core", "ports");
    let mut traits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for text in ports.split("\npub trait ").skip(1) {
        let (head, body) = text.split_once('{').expect("a body");
        let mut names = head.split(|c: char| !c.is_alphanumeric());
        let name = names.next().expect("a name");
        let mut actions: BTreeSet<String> =
            names.filter_map(|part| traits.get(part)).flatten().cloned().collect();
        let body = if body.starts_with('}') { "" } else { body.split("\n}").next().unwrap_or_default() };
        actions.extend(body.split('`').filter(|word| is_action(word)).map(str::to_owned));
        traits.insert(name.to_owned(), actions);
    }
    traits
}

/// `ec2:RunInstances`
fn is_action(word: &str) -> bool {
    word.split_once(':').is_some_and(|(service, name)| {
        service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(char::is_alphanumeric)
    })
}

#[test]
fn every_request_of_the_adapters_is_named_in_the_ports() {
    let named: BTreeSet<String> = actions_of_traits().into_values().flatten().collect();
    let sent: BTreeSet<String> =
        ["dynamodb", "ec2", "scheduler", "ssm"].into_iter().flat_map(requests_of).collect();
    assert!(sent.len() >= 17, "the requests are found: {sent:?}");
    let unnamed: Vec<&String> = sent.difference(&named).collect();
    assert!(unnamed.is_empty(), "{unnamed:?} are sent, and ports.rs does not name them");
    // What AWS judges besides, within RunInstances.
    let besides: Vec<&str> = named.difference(&sent).map(String::as_str).collect();
    assert_eq!(besides, ["iam:PassRole"], "named in ports.rs beside the requests that are sent");
}

/// The operations that an adapter calls on its SDK client, as actions.
fn requests_of(adapter: &str) -> Vec<String> {
    let code = sources("aws", adapter);
    // A client that is made when it is first asked for is asked for with `client()`.
    let after_client = code
        .split("client")
        .skip(1)
        .filter_map(|rest| rest.strip_prefix("()").unwrap_or(rest).trim_start().strip_prefix('.'));
    let calls = after_client.filter_map(|rest| rest.split_once("()")).map(|(name, _)| name);
    // A client is asked for its configuration too, which is no request.
    let operations =
        calls.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && *name != "config");
    operations.map(|name| format!("{adapter}:{}", camel_case(name))).collect()
}

fn camel_case(name: &str) -> String {
    let mut letters = String::new();
    for word in name.split('_') {
        let mut rest = word.chars();
        letters.extend(rest.next().map(|first| first.to_ascii_uppercase()));
        letters.extend(rest);
    }
    letters
}

/// A room's file in one of the crates, and those of its folder.
fn sources(krate: &str, room: &str) -> String {
    let folder = local::top().join("crates").join(krate).join("src");
    let mut code = fs::read_to_string(folder.join(room).with_extension("rs")).expect("a source file");
    for file in fs::read_dir(folder.join(room)).into_iter().flatten() {
        code += &fs::read_to_string(file.expect("a file").path()).expect("a source file");
    }
    code
}

// --- checkov -------------------------------------------------------------------------------------------------

fn checkov(paths: &[PathBuf]) -> (Option<i32>, String) {
    check_in("checkov", "checkov/requirements.txt", "check_checkov.py", &words(paths))
}

#[test]
fn checkov_finds_nothing_without_a_reason() {
    let (code, text) = checkov(&[template(), module()]);
    assert_eq!(code, Some(0), "{text}");
    eprint!("{text}");
}

/// Each change, and a part of what has to be said about it.
#[rustfmt::skip]
const AGAINST_AUDITORS: [(&str, &str, &str); 3] = [
    ("PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", "AWS::DynamoDB::Table.MeetingsTable: CKV_AWS_28"),
    ("      SqsManagedSseEnabled: !If [HasKmsKey, false, true]\n      KmsMasterKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]\n", "", "AWS::SQS::Queue.LaunchFailures: CKV_AWS_27"),
    ("    Tracing: Active\n", "    Tracing: Active\n    VpcConfig: {SubnetIds: [subnet-0a1b2c3d], SecurityGroupIds: [sg-0a1b2c3d]}\n", "launch: CKV_AWS_117 finds nothing any more"),
];

#[test]
fn what_auditors_have_against_a_template_and_a_reason_that_nothing_needs_are_found() {
    let changes = AGAINST_AUDITORS.map(|(from, to, _)| (from, to));
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = sabotaged(folder.path(), &changes);
    let (code, text) = checkov(&wrong);
    assert_eq!(code, Some(1), "{text}");
    for (file, (_, to, finding)) in wrong.iter().zip(AGAINST_AUDITORS) {
        let found = about(file, &text);
        assert!(
            found.iter().any(|line| line.contains(finding)),
            "{to:?}: {finding:?}:\n{}",
            found.join("\n")
        );
    }
}

// --- Terraform -----------------------------------------------------------------------------------------------

#[test]
fn the_terraform_module_is_the_same_stack_in_every_value() {
    let (code, text) = check_terraform(&[module()], &["--bite"]);
    assert_eq!(code, Some(0), "{text}");
    eprint!("{text}");
}

/// Each change: the file, what is replaced, by what, and a part of what has to be said about it.
#[rustfmt::skip]
const DRIFTED: [(&str, &str, &str, &str); 47] = [
    ("roles.tf", "\"dynamodb:PutItem\", ", "", "ScheduleRole: Policies: Statement: ReadAndWriteMeetings: Action: expected"),
    ("roles.tf", "/launch-*", "/*", "Statement: ManageTheLaunchSchedules: Resource: 1: expected"),
    ("roles.tf", "StringEquals = { \"ec2:CreateAction\" = \"RunInstances\" }", "", "TagWhatIsLaunched: Condition: StringEquals is missing"),
    ("roles.tf", "          Null                        = { \"aws:TagKeys\" = \"false\" }\n", "", "RemoveTheirRoleTag: Condition: Null is missing"),
    ("roles.tf", "            \"aws:SourceArn\"     = aws_scheduler_schedule_group.meetings.arn\n", "", "SchedulerRole: AssumeRolePolicyDocument: Statement: 1: Condition: StringEquals: aws:SourceArn is missing"),
    ("roles.tf", "\"xray:PutTraceSegments\", ", "", "LaunchRole: Policies: Statement: SendTraces: Action: expected"),
    ("roles.tf", "element(split(\":\", var.ami_id), 2)", "element(split(\":\", var.ami_id), 1)", "Statement: ReadWhichImageItIs: Resource: 1: expected"),
    ("roles.tf", "          Bool         = { \"kms:GrantIsForAWSResource\" = \"true\" }\n", "", "Statement: LetEc2OpenTheirDisks: Condition: Bool is missing"),
    ("roles.tf", "[for tag in var.extra_tags : element(split(\"=\", tag), 0)],", "var.extra_tags,", "aws:TagKeys: 1: expected \"Cost centre\", found \"Cost centre=4=2\""),
    ("roles.tf", "StringNotEquals = { \"ssm:Overwrite\" = \"true\" }", "", "KeepPrivateKeys: Condition: StringNotEquals is missing"),
    ("roles.tf", "  role       = aws_iam_role.this[\"operate\"].name\n", "  role       = aws_iam_role.this[\"end\"].name\n", "OperateNetworksPolicy: Roles: 1: expected"),
    ("roles.tf", "toset([\"launch\", \"reconcile\"])", "toset([\"launch\", \"end\"])", "RunInstancesPolicy: Roles: 1: expected"),
    ("roles.tf", "\"${local.ec2}:internet-gateway/*\",\n", "\"${local.ec2}:egress-only-internet-gateway/*\",\n", "OperateNetworksPolicy: PolicyDocument: Statement: ChangeOurNetworks: Resource: 1: expected"),
    ("variables.tf", "length(var.security_group_ids) > 0 || length(var.subnet_ids) == 0", "true", "CloudFormation refuses {\"SubnetIds\": \"subnet-0a1b2c3d\""),
    ("variables.tf", "\"MARKET\", ", "", "CloudFormation takes {\"Settings\": \"MARKET=on-demand\"}, and Terraform does not"),
    ("main.tf", "cidr_blocks      = [\"0.0.0.0/0\"]", "cidr_blocks      = [\"10.0.0.0/8\"]", "expected the rule that EC2 gives a new group"),
    ("main.tf", "policy/AmazonSSMManagedInstanceCore", "policy/AdministratorAccess", "MachineRole: ManagedPolicyArns: 1: expected"),
    ("operation.tf", "  endpoint  = var.alarm_email\n", "  endpoint  = var.alarm_topic_arn\n", "AlarmSubscription: Endpoint: expected"),
    ("variables.tf", "length(var.extra_tags) <= 10", "length(var.extra_tags) <= 11", "CloudFormation refuses {\"ExtraTags\": \"t0="),
    ("variables.tf", "default     = 300", "default     = 60", "launch_timeout_seconds: expected the default 300, found 60"),
    ("variables.tf", "variable \"project_tag\"", "variable \"project\"", "no variable project_tag, for the parameter ProjectTag"),
    ("variables.tf", "655[0-2][0-9]|6553[0-6])", "655[0-9]{2})", "CloudFormation refuses {\"Settings\": \"VOLUME_SIZE_GB=65537\"}, and Terraform does not"),
    ("main.tf", "    SUBNET_IDS         = join(\",\", var.subnet_ids)\n", "", "LaunchFunction: Environment: Variables: SUBNET_IDS is missing"),
    ("main.tf", "${name}=${value}", "${name}:${value}", "Variables: SETTINGS: expected"),
    ("main.tf", "max_retries       = 2", "max_retries       = 0", "MaximumRetryAttempts: expected \"2\", found \"0\""),
    ("main.tf", "    enabled     = true\n    kms_key_arn = local.kms_key\n", "    enabled     = true\n", "MeetingsTable: SSESpecification: KMSMasterKeyId is missing"),
    ("main.tf", "  path        = var.role_path\n  tags        = var.tags\n", "  path        = var.role_path\n", "aws_iam_instance_profile.machine: expected tags = var.tags"),
    ("variables.tf", "!contains(keys(var.tags), \"Project\")", "true", "takes the tag Project"),
    ("main.tf", "maximum_concurrency = 2", "maximum_concurrency = 20", "ReconcileFunctionStateChanges: ScalingConfig: MaximumConcurrency: expected"),
    ("main.tf", "    end_failures          = aws_sqs_queue.failures[\"end\"].url\n", "", "QueuesPolicy: Queues: expected"),
    ("main.tf", "    prevent_destroy = true\n", "", "MeetingsTable: DeletionPolicy: expected \"Retain\", found \"Delete\""),
    ("main.tf", "  depends_on = [aws_iam_role_policy.this]\n", "", "aws_lambda_function_event_invoke_config.this: expected depends_on"),
    ("main.tf", "[aws_iam_role_policy.this, aws_iam_role_policy_attachment.run_instances]", "[aws_iam_role_policy.this]", "aws_lambda_function.this: expected depends_on"),
    ("main.tf", "= local.launch_function_arn", "= aws_lambda_function.this[\"launch\"].arn", " → local.functions → aws_lambda_function.this"),
    ("main.tf", "toset(local.functions_with_queues)", "local.functions_with_queues", "aws_sqs_queue.failures: for_each takes a map or a set"),
    ("main.tf", "each.value.has_failure_queue ? [each.key] : []", "[]", "EndFunctionEventInvokeConfig: DestinationConfig is missing"),
    ("main.tf", "statements        = local.status_statements", "statements        = local.end_statements", "StatusRole: Policies: Statement: ReadMeetings is missing"),
    ("roles.tf", "local.has_companions ? [\n", "local.has_companions ? [\n      { Sid = \"One\", Effect = \"Allow\", Action = \"sqs:SendMessage\", Resource = \"*\" },\n", "the two values of a condition must have one type: local.has_companions"),
    ("moved.tf", "from = aws_iam_role.launch\n", "from = aws_iam_role.scheduler\n", "moved from aws_iam_role.scheduler, which the module has"),
    ("moved.tf", "from = aws_iam_role.launch\n", "from = aws_iam_role.status\n", "aws_iam_role.this[launch]: expected one moved from aws_iam_role.launch"),
    ("moved.tf", "to   = aws_sqs_queue.failures[\"end\"]", "to   = aws_sqs_queue.failures[\"status\"]", "moved to aws_sqs_queue.failures[status], which the module does not have"),
    ("operation.tf", "launch_timeout_seconds - 30", "launch_timeout_seconds - 20", "elephant-launch-duration: Threshold: expected \"270000\", found \"280000\""),
    ("operation.tf", "label = \"half were faster\", stat = \"p50\"", "label = \"half were faster\", stat = \"p90\"", "Dashboard: DashboardBody: widgets: 1: properties: metrics: 2: 5: stat: expected"),
    ("operation.tf", "lookup(alarm, \"essential\", false) ? local.has_alarms : local.has_all_alarms", "local.has_alarms", "elephant-machine-lost is not in the template [with China]"),
    ("operation.tf", "expression  = \"started - failed\"", "expression  = \"started\"", "elephant-no-sweep: Metrics: 3: Expression: expected"),
    ("operation.tf", "sum(Refusals) as refusals", "sum(Refusals)", "elephant/refusals by zone and type: QueryString: expected"),
    ("outputs.tf", "aws_sqs_queue.failures[\"launch\"].url", "aws_sqs_queue.failures[\"schedule\"].url", "outputs: launch_failures_url: expected"),
];

#[test]
fn the_check_finds_what_is_not_the_same_in_terraform() {
    let folder = tempfile::tempdir().expect("a folder");
    let each = DRIFTED.iter().enumerate().map(|(number, (file, from, to, _))| {
        let wrong = folder.path().join(number.to_string());
        fs::create_dir(&wrong).expect("a folder");
        for entry in fs::read_dir(module()).expect("the module") {
            let path = entry.expect("a file").path();
            if path.is_file() {
                fs::copy(&path, wrong.join(path.file_name().expect("a name"))).expect("it is copied");
            }
        }
        let right = fs::read_to_string(wrong.join(file)).expect("a file of the module");
        assert!(right.contains(from), "{from} is in {file}");
        fs::write(wrong.join(file), right.replace(from, to)).expect("it is written");
        wrong
    });
    let wrong: Vec<PathBuf> = each.collect();
    let (code, text) = check_terraform(&wrong, &[]);
    assert_eq!(code, Some(1), "{text}");
    for (place, (_, from, _, finding)) in wrong.iter().zip(DRIFTED) {
        let found = about(place, &text);
        assert!(
            found.iter().any(|line| line.contains(finding)),
            "{from:?}: {finding:?} is not among its findings:\n{}",
            found.join("\n")
        );
    }
}

fn check_terraform(modules: &[PathBuf], options: &[&str]) -> (Option<i32>, String) {
    let options = options.iter().map(|&option| option.to_owned());
    let arguments = words(&[template()]).into_iter().chain(words(modules)).chain(options);
    check("check_terraform.py", &arguments.collect::<Vec<_>>())
}

fn module() -> PathBuf {
    local::top().join("infra").join("terraform")
}

// --- Schedules -----------------------------------------------------------------------------------------------

#[test]
fn schedule_expressions_are_such_as_eventbridge_takes() {
    // Of the template, of the example in the docs, and one of every form.
    let right = [
        "at(2026-01-05T09:50:00)",
        "rate(1 hour)",
        "rate(5 minutes)",
        "cron(0/5 * * * ? *)",
        "cron(30 9 ? * MON-FRI *)",
        "cron(0 18 L * ? 2026-2030)",
    ];
    let (code, text) = check_schedules(&[template(), page("operate.md")], &right);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("operate.md: 1 schedule expression,"), "the page's is found: {text}");
}

#[test]
fn the_check_finds_schedule_expressions_that_eventbridge_refuses() {
    let wrong = [
        "at(2026-02-30T09:50:00)",
        "at(2026-01-05T09:50:00Z)",
        "at(2026-01-05 09:50:00)",
        "at(2026-01-05T24:00:00)",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(2 weeks)",
        "rate(1.5 hours)",
        "cron(30 9 * * *)",
        "cron(30 9 * * * *)",
        "cron(60 9 ? * MON-FRI *)",
        "cron(30 9 ? * MON#6 *)",
        "every 5 minutes",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    // EventBridge's rules, which SAM makes of an event of type Schedule, know no at(…).
    let handler = "      Handler: schedule\n";
    let [scheduled, ruled] = [
        "Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minutes)}",
        "Type: Schedule, Properties: {Schedule: 'at(2026-01-05T09:50:00)'}",
    ]
    .map(|event| format!("{handler}      Events: {{Sweep: {{{event}}}}}\n"));
    let mut files = sabotaged(folder.path(), &[(handler, &scheduled), (handler, &ruled)]);
    // The example in the docs says how a time is written.
    let (from, to) = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S");
    let example = fs::read_to_string(page("operate.md")).expect("the page");
    assert!(example.contains(from), "{from} is in the page");
    files.push(folder.path().join("operate.md"));
    fs::write(&files[2], example.replace(from, to)).expect("it is written");

    let (code, text) = check_schedules(&files, &wrong);
    assert_eq!(code, Some(1), "{text}");
    for place in wrong.map(Path::new).into_iter().chain(files.iter().map(PathBuf::as_path)) {
        assert!(!about(place, &text).is_empty(), "nothing is found in {}:\n{text}", place.display());
    }
}

fn check_schedules(files: &[PathBuf], expressions: &[&str]) -> (Option<i32>, String) {
    let each = expressions.iter().flat_map(|expression| ["--expression", expression]).map(str::to_owned);
    check("check_schedules.py", &words(files).into_iter().chain(each).collect::<Vec<_>>())
}

fn page(name: &str) -> PathBuf {
    local::top().join("docs").join(name)
}

// --- The runbook ---------------------------------------------------------------------------------------------

#[test]
fn the_runbook_has_a_line_for_each_alarm_error_and_parameter() {
    let written = fs::read_to_string(template()).expect("the template");
    let alarms: Vec<&str> = written
        .lines()
        .filter_map(|line| line.trim().strip_prefix("AlarmName: !Sub ${AWS::StackName}-"))
        .collect();
    let parameters: Vec<&str> = written
        .split_once("\nParameters:\n")
        .and_then(|(_, rest)| rest.split_once("\nRules:\n"))
        .expect("parameters, then rules")
        .0
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| name.chars().all(char::is_alphanumeric))
        // The others are explained with their variables, in a table that is written.
        .filter(|name| {
            !settings::ALL.iter().any(|row| row.parameter().is_some_and(|known| known.name == *name))
        })
        .collect();
    assert!(alarms.len() > 20 && parameters.len() > 5, "{alarms:?} {parameters:?}");

    let errors: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let says = [("runbook.md", &alarms[..]), ("install.md", &parameters), ("errors.md", &errors)];
    for (name, words) in says {
        let text = fs::read_to_string(page(name)).expect("the page");
        for word in words {
            let is_its_row = |row: &&str| {
                row.starts_with("| ")
                    && row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{word}`")))
            };
            let says = text.lines().find(is_its_row).map_or(0, str::len);
            assert!(says > word.len() + 20, "docs/{name} has no line for {word}");
        }
    }
}

// --- The workflow --------------------------------------------------------------------------------------------

#[test]
fn every_action_of_the_workflow_is_named_by_its_commit() {
    let file = local::top().join(".github").join("workflows").join("ci.yml");
    let workflow = fs::read_to_string(file).expect("the workflow");
    let uses: Vec<&str> =
        workflow.lines().filter_map(|line| line.split_once("uses: ")).map(|(_, rest)| rest).collect();
    assert!(uses.len() >= 3, "the actions are found: {uses:?}");
    for action in uses {
        let (reference, version) = action.split_once(" # v").unwrap_or((action, ""));
        let commit = reference.split_once('@').map_or("", |(_, commit)| commit);
        let is_commit = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
        assert!(is_commit && !version.is_empty(), "expected NAME@COMMIT # vVERSION, found {action}");
    }
    assert!(workflow.contains("run: .ci/run"), "the workflow calls .ci/run");
}

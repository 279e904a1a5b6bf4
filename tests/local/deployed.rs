//! A release, deployed on a laptop: the stack that `sam deploy` would make of it, in an AWS of its own
//! (`tests/aws/deployed_aws.py`). It is a release around the binary that Cargo has built, or the one in the folder that
//! the variable `DIST` names.
//!
//! Not as on AWS: the functions are built for this machine; EC2 checks who asks and not what for; Lambda repeats a
//! failed delivery at once; and what the head of `tests/aws/ministack_extension.py` names.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::aws::LocalAws;
use super::lambda::Outcome;

/// The stack's name, from which the template makes those of its functions.
pub const STACK: &str = "elephant";
/// Of the functions' own metrics.
pub const NAMESPACE: &str = "ElephantLaunch";

pub struct Deployed {
    pub aws: LocalAws,
    /// By name: the type of each resource that the template asks for.
    pub resources: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, String>,
    /// Everything that may be left once it has ended.
    pub remains: Remains,
}

/// What AWS says no with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: String,
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Deployed {
    /// Start an AWS and deploy a release around this binary to it, with these answers.
    pub fn start(
        binary: &Path,
        parameters: &[(&str, &str)],
        progress: &mut dyn Write,
    ) -> Result<Deployed, String> {
        let (aws, ready) = LocalAws::run("deployed_aws.py", progress)?;
        let remains = Remains::of(&aws, &ready)?;
        let parameters: BTreeMap<&str, &str> = parameters.iter().copied().collect();
        let dist = match std::env::var_os("DIST") {
            Some(dist) => super::top().join(dist),
            None => release(binary, &remains.folder.join("dist"))?,
        };
        let template = dist.join(format!("template-{}.yaml", architecture()));
        let asked = json!({"template": template, "stack": STACK, "parameters": parameters});
        let made = answer(aws.control("POST", "deploy", Some(&asked)))
            .map_err(|refusal| format!("the template cannot be deployed: {}", refusal.message))?;
        let texts = |what: &str| {
            let pairs = made[what].as_object().cloned().unwrap_or_default();
            pairs
                .into_iter()
                .map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()))
                .collect()
        };
        Ok(Deployed { resources: texts("resources"), outputs: texts("outputs"), aws, remains })
    }

    /// One call, by boto3's name and in its words; for the services that have no Rust client here.
    pub fn call(&self, service: &str, operation: &str, parameters: Value) -> Result<Value, Refusal> {
        let asked = json!({"service": service, "operation": operation, "parameters": parameters});
        answer(self.aws.control("POST", "call", Some(&asked)))
    }

    /// One call that must go well.
    #[track_caller]
    pub fn ask(&self, service: &str, operation: &str, parameters: Value) -> Value {
        self.call(service, operation, parameters)
            .unwrap_or_else(|refusal| panic!("{service} {operation}: {refusal}"))
    }

    #[track_caller]
    pub fn output(&self, name: &str) -> &str {
        let output = self.outputs.get(name);
        output.unwrap_or_else(|| panic!("the stack has no output {name}, only {:?}", self.outputs))
    }

    /// Invoke the function that runs this verb, and wait for its answer.
    pub fn invoke(&self, verb: &str, payload: &Value) -> Outcome {
        let asked = json!({"FunctionName": self.function(verb), "Payload": payload.to_string()});
        let answered = self.ask("lambda", "invoke", asked);
        let payload = answered["Payload"].as_str().unwrap_or_default();
        let payload: Value = serde_json::from_str(payload).unwrap_or(Value::Null);
        if answered["FunctionError"].is_null() {
            return Outcome::Answer(payload);
        }
        let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
        Outcome::Error { error_type: text("errorType"), error_message: text("errorMessage") }
    }

    /// Hand the event over as Scheduler does: nobody waits for an answer.
    pub fn send(&self, verb: &str, payload: &Value) {
        let asked = json!({"FunctionName": self.function(verb), "InvocationType": "Event",
                           "Payload": payload.to_string()});
        self.ask("lambda", "invoke", asked);
    }

    pub fn function(&self, verb: &str) -> String {
        format!("{STACK}-{verb}")
    }

    pub fn log_group(&self, verb: &str) -> String {
        format!("/aws/lambda/{STACK}-{verb}")
    }

    /// Every line in the function's log group, in order. The lines of a delivery come once it has ended.
    pub fn log(&self, verb: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut token = Value::Null;
        loop {
            let mut asked = json!({"logGroupName": self.log_group(verb)});
            if !token.is_null() {
                asked["nextToken"] = token;
            }
            let page = self.ask("logs", "filter_log_events", asked);
            let events = page["events"].as_array().cloned().unwrap_or_default();
            lines.extend(events.iter().filter_map(|event| event["message"].as_str().map(str::to_owned)));
            token = page["nextToken"].clone();
            if token.is_null() {
                return lines;
            }
        }
    }

    /// A statistic of one of the functions' metrics under exactly these dimensions, in boto3's words: a data point for
    /// each period of the last hours that has one, with the unit.
    pub fn metric(&self, name: &str, statistic: &str, dimensions: &Value) -> Vec<Value> {
        self.metric_of(NAMESPACE, name, statistic, dimensions)
    }

    /// A statistic of what Lambda itself says of the function that runs this verb, over the last hours.
    pub fn lambda_metric(&self, verb: &str, name: &str, statistic: &str) -> f64 {
        let dimensions = json!([{"Name": "FunctionName", "Value": self.function(verb)}]);
        let found = self.metric_of("AWS/Lambda", name, statistic, &dimensions);
        found.iter().filter_map(|point| point[statistic].as_f64()).fold(0.0, f64::max)
    }

    fn metric_of(&self, namespace: &str, name: &str, statistic: &str, dimensions: &Value) -> Vec<Value> {
        let now = jiff::Timestamp::now();
        let hour = Duration::from_secs(3600);
        let asked = json!({
            "Namespace": namespace, "MetricName": name, "Dimensions": dimensions, "Statistics": [statistic],
            "Period": 7200, "StartTime": (now - hour).to_string(), "EndTime": (now + hour).to_string(),
        });
        let found = self.ask("cloudwatch", "get_metric_statistics", asked);
        found["Datapoints"].as_array().cloned().unwrap_or_default()
    }

    /// Take what is in the queue that this output names.
    pub fn take_messages(&self, output: &str) -> Vec<Value> {
        let url = self.output(output);
        let received =
            self.ask("sqs", "receive_message", json!({"QueueUrl": url, "MaxNumberOfMessages": 10}));
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        let taken = messages.iter().map(|message| {
            let handle = &message["ReceiptHandle"];
            self.ask("sqs", "delete_message", json!({"QueueUrl": url, "ReceiptHandle": handle}));
            serde_json::from_str(message["Body"].as_str().unwrap_or_default()).expect("a message in JSON")
        });
        taken.collect()
    }

    /// The schedule of this name in the stack's group, while it is there.
    pub fn schedule(&self, name: &str) -> Option<Value> {
        let asked = json!({"Name": name, "GroupName": self.output("ScheduleGroupName")});
        match self.call("scheduler", "get_schedule", asked) {
            Ok(schedule) => Some(schedule),
            Err(refusal) if refusal.code == "ResourceNotFoundException" => None,
            Err(refusal) => panic!("scheduler get_schedule: {refusal}"),
        }
    }

    /// From now on Scheduler's clock is that much ahead: what is due by then fires now.
    pub fn put_scheduler_ahead(&self, by: Duration) {
        self.aws.control("POST", "ahead", Some(&json!({"seconds": by.as_secs()})));
    }
}

/// What `.ci/release` makes of this binary, in this folder.
pub fn release(binary: &Path, dist: &Path) -> Result<PathBuf, String> {
    let made = Command::new(super::python::find_python(std::env::var_os("PATH"))?)
        .arg(super::top().join(".ci").join("release"))
        .args(["--architecture", architecture(), "--binary"])
        .arg(binary)
        .arg("--dist")
        .arg(dist)
        .output()
        .map_err(|error| format!(".ci/release cannot be run: {error}"))?;
    match made.status.success() {
        true => Ok(dist.to_owned()),
        false => Err(String::from_utf8_lossy(&made.stderr).into_owned()),
    }
}

/// This machine's processor, in Lambda's words.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

fn answer(reply: Value) -> Result<Value, Refusal> {
    if reply["error"].is_null() {
        return Ok(reply);
    }
    let text = |name: &str| reply["error"][name].as_str().unwrap_or_default().to_owned();
    Err(Refusal { code: text("code"), message: text("message") })
}

/// What a deployed stack has on this machine while it is up, and must not have afterwards.
#[derive(Clone, Debug)]
pub struct Remains {
    pub folder: PathBuf,
    pub addresses: [String; 2],
    /// The group of its processes, the functions among them, and the one that tidies up.
    pub group: u32,
    pub tidy: u64,
}

impl Remains {
    fn of(aws: &LocalAws, ready: &Value) -> Result<Remains, String> {
        let folder = ready["folder"].as_str().ok_or("the local AWS named no folder")?;
        let tidy = ready["tidy"].as_u64().ok_or("the local AWS named no process")?;
        let address = |endpoint: &str| endpoint.trim_start_matches("http://").to_owned();
        Ok(Remains {
            folder: folder.into(),
            addresses: [address(&aws.endpoint), address(&aws.aws)],
            group: aws.process(),
            tidy,
        })
    }

    /// The processes that are alive.
    pub fn processes(&self) -> Vec<String> {
        // A zombie is one that its parent, by then perhaps the first process of a container, has not asked for yet.
        let listed = Command::new("ps").args(["-A", "-o", "pid=,pgid=,stat=,command="]).output();
        let listed = listed.expect("ps runs").stdout;
        let ours = |line: &&str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [pid, group, state, ..] = fields[..] else { return false };
            !state.starts_with('Z') && (group == self.group.to_string() || pid == self.tidy.to_string())
        };
        String::from_utf8_lossy(&listed).lines().filter(ours).map(str::to_owned).collect()
    }

    /// What is there, in words; empty when nothing is.
    pub fn found(&self) -> Vec<String> {
        let mut found = self.processes();
        if self.folder.exists() {
            found.push(self.folder.display().to_string());
        }
        found.extend(
            self.addresses.iter().filter(|address| std::net::TcpStream::connect(address).is_ok()).cloned(),
        );
        found
    }
}

//! The whole process, from outside: the function as it is deployed, behind a Runtime API, against an AWS over TLS that
//! answers as late as the real one. It prints the table that `benches/README.md` keeps.
//!
//! Beside the function run a function that does nothing (the floor), the plain recipe (what the SDK's defaults make of the
//! same job) and the time that AWS's answers take by themselves (the critical path). All take turns, so that a busy minute
//! of the machine is everybody's.
//!
//! `cargo bench --bench process`; `RUNS` (10) says how often, `ALSO=name=path,…` adds other builds of the function, to
//! compare before with after.

#[path = "process/aws.rs"]
mod aws;
#[path = "process/certificates.rs"]
mod certificates;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/local/lambda.rs"]
mod lambda;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/local/process.rs"]
mod process;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use aws::{Aws, Call, DESCRIBE, READ, RUN_INSTANCES, WRITE, Wait};
use lambda::{Function, Lambda};
use process::Process;

/// The longest of what a delivery waits for when nothing is to be looked up: read, claim, launch, record.
const WARM_PATH: Duration =
    Duration::from_millis((READ.as_millis() + 2 * WRITE.as_millis() + RUN_INSTANCES.as_millis()) as u64);

fn main() {
    // `cargo test --all-targets` starts benches too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return eprintln!("nothing is measured without --bench: cargo bench --bench process");
    }
    let runs: usize = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir().expect("a folder");
    let certificates = certificates::make(folder.path());
    let aws = Aws::start(&certificates.chain, &certificates.key);
    let mut helper = Helper::start();

    // As many roots as in production: the plain recipe reads the system's, the function in Lambda Amazon's five.
    let system = ("SSL_CERT_FILE", path_of(&certificates.system_and_ours));
    let amazon = ("AWS_CA_BUNDLE", path_of(&certificates.amazon_and_ours));
    let function = PathBuf::from(env!("CARGO_BIN_EXE_launch"));
    let mut variants = vec![
        Variant::new("empty", build("empty"), None),
        Variant::new("plain", build("plain"), Some(&system)),
        Variant::new("launch", function, Some(&amazon)),
    ];
    let also = std::env::var("ALSO").unwrap_or_default();
    for (name, path) in also.split(',').filter_map(|pair| pair.split_once('=')) {
        variants.push(Variant::new(name, PathBuf::from(path), Some(&amazon)));
    }

    for run in 1..=runs {
        eprintln!("run {run} of {runs}");
        for variant in &mut variants {
            variant.measure(&aws, &mut helper);
        }
    }
    print(&variants, &mut helper, folder.path(), runs);
}

/// One that is measured, with every figure of every run.
struct Variant {
    name: String,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    runs: Vec<Run>,
}

/// Times in milliseconds.
struct Run {
    /// From the process's start to its first request for an event.
    start: f64,
    /// The same without what AWS's answers took.
    start_alone: f64,
    start_cpu: f64,
    /// From the process's start to the first answer.
    cold: f64,
    cold_cpu: f64,
    cold_calls: usize,
    cold_trips: usize,
    warm: f64,
    warm_cpu: f64,
    warm_calls: usize,
    warm_trips: usize,
    peak_kib: f64,
}

impl Variant {
    fn new(name: &str, binary: PathBuf, trust: Option<&(&'static str, String)>) -> Variant {
        let environment =
            trust.map(|(name, value)| ((*name).to_owned(), value.clone())).into_iter().collect();
        Variant { name: name.to_owned(), binary, environment, runs: Vec::new() }
    }

    fn lambda(&self, aws: &Aws) -> Lambda {
        let mut environment = self.environment.clone();
        // What Lambda sets for a function with a role, and the function's configuration.
        for (name, value) in [
            ("AWS_REGION", "us-west-2"),
            ("AWS_DEFAULT_REGION", "us-west-2"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_SESSION_TOKEN", "test"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &aws.dynamodb),
            ("AWS_ENDPOINT_URL_EC2", &aws.ec2),
            ("AMI_ID", "ami-0a1b2c3d4e5f60001"),
            ("INSTANCE_TYPE", "t3.large"),
            ("SECURITY_GROUP_IDS", "sg-0a1b2c3d4e5f60001"),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        let function = Function {
            name: "launch".into(),
            binary: self.binary.clone(),
            environment,
            timeout: Duration::from_secs(60),
            echo: None,
        };
        Lambda::start(function, 0).expect("the Runtime API listens")
    }

    fn measure(&mut self, aws: &Aws, helper: &mut Helper) {
        // A start with no event waiting, for what the start alone takes.
        aws.take_waits();
        let lambda = self.lambda(aws);
        lambda.warm_up();
        thread::sleep(QUIET);
        aws.take_calls();
        let moments = lambda.moments();
        let asked = moments.first_asked.expect("it is ready");
        let start_cpu = helper.cpu(&lambda);
        let start = asked - moments.started;
        let waited = waited(aws.take_waits(), asked);
        lambda.kill();

        // A start for an event, as Lambda's are; then another event.
        let lambda = self.lambda(aws);
        let event = json!({"meeting_id": "m"});
        let answer = lambda.invoke(&event);
        assert!(
            matches!(answer, lambda::Outcome::Answer(_)),
            "{}: {answer:?} {:#?}",
            self.name,
            lambda.whole_log()
        );
        rest(&lambda);
        let moments = lambda.moments();
        let cold = moments.answered.expect("it answered") - moments.started;
        let cold_calls = aws.take_calls();
        let cold_cpu = helper.cpu(&lambda);
        lambda.invoke(&event).answer();
        rest(&lambda);
        let moments = lambda.moments();
        let warm = moments.answered.expect("it answered") - moments.handed_out.expect("an event came");
        let warm_calls = aws.take_calls();
        let warm_cpu = helper.cpu(&lambda) - cold_cpu;
        self.runs.push(Run {
            start: ms(start),
            start_alone: ms(start.saturating_sub(waited)),
            start_cpu,
            cold: ms(cold),
            cold_cpu,
            cold_calls: cold_calls.len(),
            cold_trips: trips(&cold_calls),
            warm: ms(warm),
            warm_cpu,
            warm_calls: warm_calls.len(),
            warm_trips: trips(&warm_calls),
            peak_kib: peak(&lambda),
        });
        lambda.kill();
    }

    fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        match figures.len() % 2 {
            0 => f64::midpoint(figures[middle - 1], figures[middle]),
            _ => figures[middle],
        }
    }
}

/// After this long a process that has nothing to do is at rest.
const QUIET: Duration = Duration::from_millis(15);

/// Wait until the process has asked for the next event, and is at rest.
fn rest(lambda: &Lambda) {
    let start = Instant::now();
    while lambda.moments().asked <= lambda.moments().answered && start.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(QUIET);
}

/// How long before `end` something was waiting for an answer.
fn waited(mut waits: Vec<Wait>, end: Instant) -> Duration {
    waits.retain(|(from, _)| *from < end);
    waits.sort();
    let mut sum = Duration::ZERO;
    let mut counted: Option<Instant> = None;
    for (from, until) in waits {
        let from = counted.map_or(from, |counted| counted.max(from));
        let until = until.min(end);
        sum += until.saturating_duration_since(from);
        counted = Some(counted.map_or(until, |counted| counted.max(until)));
    }
    sum
}

/// How many requests followed one another: the most of which none began before another was answered.
fn trips(calls: &[Call]) -> usize {
    let mut calls: Vec<&Call> = calls.iter().collect();
    calls.sort_by_key(|call| call.until);
    let mut count = 0;
    let mut last: Option<Instant> = None;
    for call in calls {
        if last.is_none_or(|last| call.from >= last) {
            count += 1;
            last = Some(call.until);
        }
    }
    count
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn path_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The highest the process's resident memory was, in KiB.
fn peak(lambda: &Lambda) -> f64 {
    let id = lambda.process_id().expect("it runs");
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Build a package under `benches/`, with a target directory of its own: its features are not the function's.
fn build(name: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => top.join(dir),
        None => top.join("target"),
    };
    let target = target.join("bench").join(name);
    eprintln!("building benches/{name} (minutes, the first time)");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--quiet", "--locked", "--manifest-path"]);
    cargo.arg(top.join("benches").join(name).join("Cargo.toml")).arg("--target-dir").arg(&target);
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "benches/{name} does not build");
    target.join("release").join(name)
}

/// What the standard library has no call for, by Python: another process's CPU time to the microsecond (/proc counts in
/// hundredths of a second), and zip files.
struct Helper {
    process: Process,
    stdin: std::process::ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
}

const HELPER: &str = "
import sys, time, zipfile
for line in sys.stdin:
    words = line.rstrip('\\n').split('\\t')
    if words[0] == 'cpu':
        # What clock_getcpuclockid(3) makes of a process's number.
        print(time.clock_gettime((~int(words[1]) << 3) | 2), flush=True)
    else:
        with zipfile.ZipFile(words[2], 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            file.write(words[1], 'bootstrap')
        print('done', flush=True)
";

impl Helper {
    fn start() -> Helper {
        let mut command = Command::new("python3");
        command.args(["-c", HELPER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = Process::start(&mut command).expect("python3 runs");
        let stdin = process.take_stdin().expect("it is piped");
        let stdout = BufReader::new(process.take_stdout().expect("it is piped"));
        Helper { process, stdin, stdout }
    }

    fn ask(&mut self, words: &[&str]) -> String {
        writeln!(self.stdin, "{}", words.join("\t")).expect("the helper listens");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the helper answers");
        assert!(!line.is_empty(), "the helper ended: {:?}", self.process.ended());
        line.trim().to_owned()
    }

    /// User and system time of all of the process's threads so far, in milliseconds.
    fn cpu(&mut self, lambda: &Lambda) -> f64 {
        let id = lambda.process_id().expect("it runs").to_string();
        self.ask(&["cpu", &id]).parse::<f64>().expect("seconds") * 1e3
    }

    fn zipped(&mut self, binary: &Path, folder: &Path) -> u64 {
        let zip = folder.join("bootstrap.zip");
        self.ask(&["zip", &path_of(binary), &path_of(&zip)]);
        size(&zip)
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map(|file| file.len()).expect("the file is there")
}

#[allow(clippy::print_stdout, reason = "the table is what this is for")]
fn print(variants: &[Variant], helper: &mut Helper, folder: &Path, runs: usize) {
    let floor = variants[0].median(|run| run.start);
    let warm_path = ms(WARM_PATH);
    let cold_path = warm_path + ms(DESCRIBE);
    println!(
        "medians of {runs} runs, times in ms; critical path: warm {warm_path:.0}, cold {cold_path:.0}\n"
    );
    println!("| | {} |", variants.iter().map(|v| v.name.as_str()).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "--:|".repeat(variants.len()));
    let row = |what: &str, figure: &dyn Fn(&Variant) -> String| {
        let cells: Vec<String> = variants.iter().map(figure).collect();
        println!("| {what} | {} |", cells.join(" | "));
    };
    let number = |figure: fn(&Run) -> f64| move |v: &Variant| format!("{:.1}", v.median(figure));
    row("start → first request for an event", &number(|run| run.start));
    row("the same without AWS's answers", &number(|run| run.start_alone));
    row("… over the empty function's start", &|v| {
        format!("{:.2}", v.median(|run| run.start_alone) / floor)
    });
    row("CPU of the start", &number(|run| run.start_cpu));
    row("start → first answer (cold)", &number(|run| run.cold));
    row("… over empty start + cold path", &|v| {
        format!("{:.3}", v.median(|run| run.cold) / (floor + cold_path))
    });
    row("CPU until then", &number(|run| run.cold_cpu));
    let plain = variants[1].median(|run| run.cold_cpu);
    row("… over the plain recipe's", &|v| format!("{:.2}", v.median(|run| run.cold_cpu) / plain));
    row("requests, in sequence (cold)", &|v| {
        format!("{}, {}", v.median(|run| run.cold_calls as f64), v.median(|run| run.cold_trips as f64))
    });
    row("warm delivery", &number(|run| run.warm));
    row("… over the warm path", &|v| format!("{:.3}", v.median(|run| run.warm) / warm_path));
    row("CPU of it", &number(|run| run.warm_cpu));
    row("requests, in sequence (warm)", &|v| {
        format!("{}, {}", v.median(|run| run.warm_calls as f64), v.median(|run| run.warm_trips as f64))
    });
    row("peak memory, MiB", &|v| format!("{:.1}", v.median(|run| run.peak_kib) / 1024.0));
    row("binary, MB", &|v| format!("{:.2}", size(&v.binary) as f64 / 1e6));
    let zips: Vec<u64> = variants.iter().map(|v| helper.zipped(&v.binary, folder)).collect();
    let zips: Vec<String> = zips.iter().map(|bytes| format!("{:.2}", *bytes as f64 / 1e6)).collect();
    println!("| zip, MB | {} |", zips.join(" | "));
}

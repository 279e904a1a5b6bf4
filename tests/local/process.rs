//! Processes that never outlive the one that started them.
//!
//! A [`Process`] is killed when it is dropped; [`end_all`] kills every one that lives, for a program that is told to
//! stop. What a SIGKILL leaves behind ends by itself: the local AWS when its standard input closes, the function when
//! its Runtime API is gone, a build or an installation when it is done.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

static ALIVE: Mutex<Vec<Weak<Mutex<Running>>>> = Mutex::new(Vec::new());
/// Set before the first process is killed by [`end_all`].
static STOPPING: AtomicBool = AtomicBool::new(false);

/// How often a process that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(5);

pub struct Process {
    running: Arc<Mutex<Running>>,
}

struct Running {
    child: Child,
    /// It leads a group of its own, in which everything is that it starts.
    leads: bool,
}

impl Process {
    pub fn start(command: &mut Command) -> io::Result<Process> {
        Process::spawn(command, false)
    }

    /// Start one that starts others in its turn, as a build does: they end with it.
    pub fn start_group(command: &mut Command) -> io::Result<Process> {
        Process::spawn(command.process_group(0), true)
    }

    /// Run one, and what it starts, to its end, and return all that it said.
    pub fn output(command: &mut Command) -> io::Result<Output> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = Process::start_group(command)?;
        let stderr = process.take_stderr();
        let stderr = thread::spawn(move || all_of(stderr));
        let stdout = all_of(process.take_stdout())?;
        let stderr = stderr.join().unwrap_or_else(|_| Err(io::Error::other("its errors cannot be read")))?;
        Ok(Output { status: process.wait()?, stdout, stderr })
    }

    fn spawn(command: &mut Command, leads: bool) -> io::Result<Process> {
        let mut alive = locked(&ALIVE);
        if STOPPING.load(SeqCst) {
            drop(alive);
            stop_here_if_stopping();
            return Err(io::ErrorKind::Interrupted.into());
        }
        let running = Arc::new(Mutex::new(Running { child: command.spawn()?, leads }));
        alive.retain(|process| process.strong_count() > 0);
        alive.push(Arc::downgrade(&running));
        Ok(Process { running })
    }

    pub fn id(&self) -> u32 {
        locked(&self.running).child.id()
    }

    pub fn take_stdin(&self) -> Option<ChildStdin> {
        locked(&self.running).child.stdin.take()
    }

    pub fn take_stdout(&self) -> Option<ChildStdout> {
        locked(&self.running).child.stdout.take()
    }

    pub fn take_stderr(&self) -> Option<ChildStderr> {
        locked(&self.running).child.stderr.take()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        locked(&self.running).child.try_wait().ok().flatten()
    }

    /// Wait for its end. It is looked at again and again, because [`end_all`] must be able to reach it meanwhile.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            let ended = locked(&self.running).child.try_wait()?;
            stop_here_if_stopping();
            match ended {
                Some(status) => return Ok(status),
                None => thread::sleep(LOOK),
            }
        }
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&self) {
        end(&self.running);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&self.running);
    }
}

/// Kill every process that was started here and is still alive. No other is started afterwards: this program ends now.
pub fn end_all() {
    STOPPING.store(true, SeqCst);
    for process in locked(&ALIVE).iter().filter_map(Weak::upgrade) {
        end(&process);
    }
}

/// Wait for the end of this program, if it was told to stop: what [`end_all`] has cut short is no failure to speak of.
pub fn stop_here_if_stopping() {
    while STOPPING.load(SeqCst) {
        thread::park();
    }
}

fn end(running: &Mutex<Running>) {
    let mut running = locked(running);
    // Its number is its own until it was waited for.
    if running.leads && running.child.try_wait().is_ok_and(|ended| ended.is_none()) {
        let group = running.child.id().to_string();
        let mut kill = Command::new("sh");
        kill.args(["-c", r#"kill -s KILL -- "-$1""#, "sh", &group]).stderr(Stdio::null());
        let _ = kill.status();
    }
    let _ = running.child.kill();
    let _ = running.child.wait();
}

fn all_of(output: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut output) = output {
        output.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// A panic elsewhere leaves a list of processes as good as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Processes that never outlive the one that started them.
//!
//! A [`Process`] is killed when it is dropped; [`end_all`] kills every one that lives, for a program that is told to
//! stop. What a SIGKILL leaves behind ends by itself: the local AWS when its standard input closes, the function when
//! its Runtime API is gone.

use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

static ALIVE: Mutex<Vec<Weak<Mutex<Child>>>> = Mutex::new(Vec::new());

pub struct Process {
    child: Arc<Mutex<Child>>,
}

impl Process {
    pub fn start(command: &mut Command) -> io::Result<Process> {
        let child = Arc::new(Mutex::new(command.spawn()?));
        let mut alive = locked(&ALIVE);
        alive.retain(|process| process.strong_count() > 0);
        alive.push(Arc::downgrade(&child));
        Ok(Process { child })
    }

    pub fn take_stdin(&self) -> Option<ChildStdin> {
        locked(&self.child).stdin.take()
    }

    pub fn take_stdout(&self) -> Option<ChildStdout> {
        locked(&self.child).stdout.take()
    }

    pub fn take_stderr(&self) -> Option<ChildStderr> {
        locked(&self.child).stderr.take()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        locked(&self.child).try_wait().ok().flatten()
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&self) {
        end(&self.child);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&self.child);
    }
}

/// Kill every process that was started here and is still alive.
pub fn end_all() {
    for process in locked(&ALIVE).iter().filter_map(Weak::upgrade) {
        end(&process);
    }
}

fn end(child: &Mutex<Child>) {
    let mut child = locked(child);
    let _ = child.kill();
    let _ = child.wait();
}

/// A panic elsewhere leaves a list of processes as good as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

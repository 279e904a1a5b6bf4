//! Virtual environments under `target/`, made from pinned requirements at first use and kept.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::process::Process;

/// The oldest Python that moto runs on.
const OLDEST: (u32, u32) = (3, 10);

/// A virtual environment that holds what the requirements file pins; returns its Python. The first use takes a minute
/// and says so on `progress`. Another process that makes the same one at the same time is waited for.
pub fn environment(name: &str, requirements: &Path, progress: &mut dyn Write) -> Result<PathBuf, String> {
    let pinned = fs::read_to_string(requirements)
        .map_err(|error| format!("{} cannot be read: {error}", requirements.display()))?;
    let top = super::target().join("python");
    let dir = top.join(name);
    fs::create_dir_all(&top).map_err(|error| format!("{} cannot be made: {error}", top.display()))?;
    let lock = File::create(top.join(format!("{name}.lock"))).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| format!("{} cannot be locked: {error}", top.display()))?;

    // Written last, so that one that was cut short is made again, as is one of other requirements.
    let complete = dir.join("complete.txt");
    let python = dir.join("bin").join("python");
    if fs::read_to_string(&complete).is_ok_and(|made_from| made_from == pinned) {
        return Ok(python);
    }
    let system = find_python(std::env::var_os("PATH"))?;
    let mut say = |text: &str| writeln!(progress, "{text}").and_then(|()| progress.flush());
    let _ = say(&format!("making the virtual environment {} (once, about a minute)", dir.display()));
    let _ = fs::remove_dir_all(&dir);
    make_venv(&system, &dir)?;
    let mut install = Command::new(&python);
    // The file pins everything that is needed, so nothing is resolved. What is used is compiled when it is used.
    install.args([
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-compile",
        "--no-input",
        "--disable-pip-version-check",
    ]);
    install.arg("--requirement").arg(requirements);
    let output = run(&mut install)?;
    if !output.status.success() {
        return Err(format!(
            "pip could not install {} (it needs a package index, once):\n{}",
            requirements.display(),
            text_of(&output)
        ));
    }
    fs::write(&complete, pinned)
        .map_err(|error| format!("{} cannot be written: {error}", complete.display()))?;
    let _ = say("done");
    Ok(python)
}

/// A Python that is new enough, from the search path.
pub fn find_python(path: Option<std::ffi::OsString>) -> Result<PathBuf, String> {
    let folders: Vec<PathBuf> = path.map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let mut found = Vec::new();
    for name in ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"] {
        for candidate in folders.iter().map(|folder| folder.join(name)).filter(|file| file.is_file()) {
            match version(&candidate) {
                Ok(version) if version >= OLDEST => return Ok(candidate),
                Ok((major, minor)) => found.push(format!("{} is {major}.{minor}", candidate.display())),
                Err(why) => found.push(format!("{} {why}", candidate.display())),
            }
        }
    }
    let found = if found.is_empty() { "no Python was found".to_owned() } else { found.join(", ") };
    Err(format!(
        "the local AWS needs Python {}.{} or newer on the PATH, and {found}; install it (Debian, Ubuntu: apt install \
         python3 python3-venv; macOS: brew install python) and try again",
        OLDEST.0, OLDEST.1
    ))
}

fn version(python: &Path) -> Result<(u32, u32), String> {
    let output = run(Command::new(python).args(["-c", "import sys; print(*sys.version_info[:2])"]))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err("does not say its version".to_owned()),
    }
}

/// `python -m venv`; Debian and Ubuntu ship a Python that cannot.
pub fn make_venv(python: &Path, dir: &Path) -> Result<(), String> {
    let output = run(Command::new(python).args(["-m", "venv"]).arg(dir))?;
    if output.status.success() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(dir);
    Err(format!(
        "{} cannot make a virtual environment, its venv module is missing or broken; install it (Debian, Ubuntu: apt \
         install python3-venv) and try again. It said: {}",
        python.display(),
        text_of(&output)
    ))
}

fn run(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().to_owned();
    Process::output(command)
        .map_err(|error| format!("{} cannot be run: {error}", Path::new(&program).display()))
}

fn text_of(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

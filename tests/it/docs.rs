//! The pages: every link leads somewhere, every command line that is shown is one that there is, and what is drawn or listed from
//! elsewhere is as it is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::local::{python, top};

/// Every page of the tree, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut folders = vec![top().to_owned()];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).expect("a page");
                pages.push((path.strip_prefix(top()).expect("it is in there").to_owned(), text));
            }
        }
    }
    assert!(pages.len() > 15, "the pages were found: {}", pages.len());
    pages
}

/// The lines that are no code, and those of the blocks of shell.
fn prose_and_shell(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut prose, mut shell) = (Vec::new(), Vec::new());
    let mut fence = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(language), None) => fence = Some(language),
            (Some(_), Some(_)) => fence = None,
            (None, None) => prose.push(line),
            (None, Some("sh")) => shell.push(line),
            (None, Some(_)) => {}
        }
    }
    assert_eq!(fence, None, "a block of code has no end");
    (prose, shell)
}

/// The targets of the links, those of pictures too.
fn links<'t>(prose: &[&'t str]) -> Vec<&'t str> {
    let targets = prose.iter().flat_map(|line| line.split("](").skip(1));
    targets.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// As GitHub names a heading.
fn anchors(prose: &[&str]) -> BTreeSet<String> {
    let headings = prose.iter().filter(|line| line.starts_with('#'));
    let anchor = |heading: &&&str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.collect::<Vec<_>>().iter().map(anchor).collect()
}

/// What is wrong with the links of a page.
fn dead_links(page: &Path, text: &str) -> Vec<String> {
    let (prose, _) = prose_and_shell(text);
    let is_dead = |target: &&str| {
        if target.starts_with("https://") {
            return false;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let there = match file {
            "" => top().join(page),
            file => top().join(page).parent().expect("a folder").join(file),
        };
        let has = |file: &Path| {
            let text = fs::read_to_string(file).unwrap_or_default();
            anchors(&prose_and_shell(&text).0).contains(anchor)
        };
        match anchor {
            "" => !there.exists(),
            _ if file.is_empty() => !anchors(&prose).contains(anchor),
            _ => !has(&there),
        }
    };
    links(&prose).into_iter().filter(is_dead).map(|target| format!("{}: {target}", page.display())).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let dead: Vec<String> = pages.iter().flat_map(|(page, text)| dead_links(page, text)).collect();
    assert!(dead.is_empty(), "{dead:#?}");
    let all: usize = pages.iter().map(|(_, text)| links(&prose_and_shell(text).0).len()).sum();
    assert!(all > 100, "the links were found: {all}");
    for wrong in
        ["[a](no-such-page.md)", "[a](docs/cost.md#no-such-heading)", "[a](#no-such-heading)", "![a](x.svg)"]
    {
        assert_eq!(dead_links(Path::new("README.md"), wrong).len(), 1, "{wrong}");
    }
}

/// The template's outputs, as it has them.
static OUTPUTS: LazyLock<String> = LazyLock::new(|| {
    let template = fs::read_to_string(top().join("infra/template.yaml")).expect("the template");
    template.split_once("\nOutputs:").expect("outputs").1.to_owned()
});

/// What is wrong with a line of shell, of those that name something of ours.
fn wrong_line(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |option: &str| words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1));
    let no = |what: &str, name: &str| Some(format!("there is no {what} {name}: {line}"));
    let manifests =
        ["Cargo.toml", "crates/aws/Cargo.toml", "crates/core/Cargo.toml", "crates/world/Cargo.toml"];
    let is_one = |folders: &[&str], name: &str| {
        let named = |folder: &&str| {
            let path = top().join(folder).join(name);
            path.join("main.rs").exists() || path.with_extension("rs").exists()
        };
        folders.iter().any(named)
    };
    if words.contains(&"cargo") {
        let every = [
            ("--test", ["tests", "crates/core/tests", "crates/aws/tests"].as_slice()),
            ("--example", &["examples"]),
            ("--bench", &["benches", "crates/aws/benches"]),
            ("--bin", &["src/bin"]),
        ];
        for (option, folders) in every {
            if let Some(name) = after(option)
                && !is_one(folders, name)
            {
                return no(&option[2..], name);
            }
        }
        if let Some(name) = after("-p") {
            let line = format!("name = \"{name}\"");
            let is_one =
                |file: &&str| fs::read_to_string(top().join(file)).is_ok_and(|text| text.contains(&line));
            if !manifests.iter().any(is_one) {
                return no("package", name);
            }
        }
        if words.contains(&"invoke") && !is_one(&["src/bin"], after("invoke").unwrap_or(&"")) {
            return no("function", after("invoke").unwrap_or(&""));
        }
    }
    for file in
        words.iter().map(|word| word.trim_start_matches("file://")).filter(|word| word.starts_with("events/"))
    {
        if !file.contains('*') && !top().join(file).exists() {
            return no("sample", file);
        }
    }
    for name in line.split("$(output ").skip(1).filter_map(|rest| rest.split(')').next()) {
        if !name.starts_with('$') && !OUTPUTS.contains(&format!("\n  {name}:\n")) {
            return no("output", name);
        }
    }
    None
}

#[test]
fn every_command_line_that_is_shown_is_one_that_there_is() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        let (prose, shell) = prose_and_shell(&text);
        let inline = prose.iter().flat_map(|line| line.split('`').skip(1).step_by(2));
        for line in shell.into_iter().chain(inline.filter(|code| code.starts_with("cargo "))) {
            seen += 1;
            wrong.extend(wrong_line(line).map(|what| format!("{}: {what}", page.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 100, "the lines were found: {seen}");
    for line in [
        "cargo test --test exlporer",
        "cargo run --example demmo",
        "cargo test -p elephant-cores",
        "cargo lambda invoke lanch --data-file events/launch.json",
        "cargo lambda invoke launch --data-file events/lanch.json",
        "aws sqs purge-queue --queue-url \"$(output LaunchFailureUrl)\"",
    ] {
        assert!(wrong_line(line).is_some(), "{line}");
    }
}

#[test]
fn the_entrance_is_short_and_its_picture_is_drawn_from_its_source() {
    let readme = fs::read_to_string(top().join("README.md")).expect("README.md");
    assert!(readme.lines().count() <= 150, "{} lines", readme.lines().count());
    let python = python::find_python(std::env::var_os("PATH")).expect("a Python");
    let drawn = Command::new(python).arg(top().join("docs/picture.py")).output().expect("it draws").stdout;
    let there = fs::read(top().join("docs/picture.svg")).expect("the picture");
    assert!(drawn == there, "python3 docs/picture.py > docs/picture.svg");
}

//! The house stays in order: rooms import only what lies below them, and nothing is compiled twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The crates that are shipped: the folder of each, and the name that others use it by.
const CRATES: [(&str, &str); 3] =
    [("crates/core/src", "elephant_core"), ("crates/aws/src", "elephant_aws"), ("src", "elephant_launch")];

/// The table of rooms in the crate's `lib.rs`: name → number.
fn rooms(folder: &str) -> BTreeMap<String, u32> {
    let map = fs::read_to_string(top().join(folder).join("lib.rs")).expect("a lib.rs");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("//! | ")?.split(" | ");
        let name = cells.next()?.trim_matches(['[', ']', '`']).to_owned();
        Some((name, cells.next()?.parse().ok()?))
    };
    map.lines().filter_map(row).collect()
}

/// Every source file of a crate with the name of its room: `launch/role.rs` is in the room `launch`.
fn sources(folder: &str) -> Vec<(String, PathBuf, String)> {
    let source = top().join(folder);
    let mut folders = vec![source.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let relative = path.strip_prefix(&source).expect("it is in there").to_path_buf();
            let relative = relative.to_string_lossy().into_owned();
            let room = match relative.strip_prefix("bin/") {
                Some(_) => relative.clone(),
                None => relative.split(['/', '.']).next().expect("a name").to_owned(),
            };
            sources.push((room, PathBuf::from(relative), fs::read_to_string(&path).expect("text")));
        }
    }
    sources
}

/// The code of a file, without its comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The names that follow a prefix: `crate::plan::after` → `plan`, and each name in `crate::{plan, record}`.
fn names_after(prefix: &str, code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for rest in code.split(prefix).skip(1) {
        match rest.strip_prefix('{') {
            None => drop(names.insert(word(rest))),
            Some(group) => {
                let mut depth = 1;
                let mut piece = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || (depth == 1 && c == ',') {
                        names.insert(word(piece.trim()));
                        piece.clear();
                    } else {
                        piece.push(c);
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    names.remove("");
    names
}

#[test]
fn every_room_stands_in_the_map_and_every_room_of_the_map_stands() {
    for (folder, _) in CRATES {
        let mapped: BTreeSet<String> = rooms(folder).into_keys().collect();
        let built: BTreeSet<String> =
            sources(folder).into_iter().map(|(room, ..)| room).filter(|room| room != "lib").collect();
        assert_eq!(mapped, built, "the table in {folder}/lib.rs and the files beside it");
    }
}

#[test]
fn a_room_uses_only_rooms_with_a_lower_number() {
    let mut imports = 0;
    for (folder, name) in CRATES {
        let rooms = rooms(folder);
        for (room, file, text) in sources(folder).into_iter().filter(|(room, ..)| room != "lib") {
            let code = code(&text);
            for used in names_after("crate::", &code).union(&names_after(&format!("{name}::"), &code)) {
                if *used == room || used == "self" {
                    continue;
                }
                imports += 1;
                let file = file.display();
                let number = rooms.get(used).unwrap_or_else(|| panic!("{file} uses the unknown room {used}"));
                assert!(number < &rooms[&room], "{file} ({}) uses {used} ({number})", rooms[&room]);
            }
        }
    }
    assert!(imports > 30, "the imports were seen: {imports}");
}

/// A file that no `main.rs` names is a test that nobody runs, and so is one in `src`.
#[test]
fn every_file_of_the_tests_is_part_of_a_binary() {
    let mut reached = BTreeSet::new();
    let mut open: Vec<PathBuf> =
        ["tests/it", "crates/aws/tests/adapters", "crates/core/tests/explorer", "crates/core/tests/engine"]
            .map(|folder| top().join(folder).join("main.rs"))
            .into();
    while let Some(file) = open.pop() {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let folder = file.parent().expect("a folder");
        let of_its_own =
            ["main", "stack"].iter().any(|name| file.file_stem().is_some_and(|stem| stem == *name));
        let below = if of_its_own { folder.to_owned() } else { file.with_extension("") };
        let mut path = None;
        for line in text.lines() {
            if let Some(named) = line.strip_prefix("#[path = \"") {
                path = named.strip_suffix("\"]").map(str::to_owned);
            } else if let Some(name) = line.trim_start_matches("pub ").strip_prefix("mod ") {
                let Some(name) = name.strip_suffix(';') else { continue };
                open.push(match path.take() {
                    Some(path) => folder.join(path),
                    None => below.join(name).with_extension("rs"),
                });
            }
        }
        reached.insert(file.canonicalize().expect("it is there"));
    }
    let mut folders = ["tests", "crates", "src"].map(|folder| top().join(folder)).to_vec();
    let mut lost = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let of_a_test = path.components().any(|part| part.as_os_str() == "tests");
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let path = path.canonicalize().expect("it is there");
                // No binary of tests is made of src.
                let is_lost = match of_a_test {
                    true => !reached.contains(&path),
                    false => fs::read_to_string(&path).expect("text").contains("#[test]"),
                };
                lost.extend(Some(path).filter(|_| is_lost));
            }
        }
    }
    assert!(reached.len() > 40, "the files were found: {}", reached.len());
    assert!(lost.is_empty(), "no binary has these: {lost:#?}");
}

/// What the compiler cannot hold: that a crate uses another only where it should.
#[test]
fn types_of_an_sdk_stand_only_in_its_adapter_and_the_environment_is_read_in_one_room() {
    let only = [
        ("aws_sdk_ec2", ["ec2"].as_slice()),
        ("aws_sdk_dynamodb", ["dynamodb"].as_slice()),
        ("aws_sdk_scheduler", ["scheduler"].as_slice()),
        ("aws_sdk_ssm", ["ssm"].as_slice()),
        ("aws_smithy_runtime_api", ["sdk"].as_slice()),
        ("aws_smithy_types", ["sdk"].as_slice()),
        ("serde_dynamo", ["dynamodb"].as_slice()),
        ("aws_smithy_http_client", ["sdk"].as_slice()),
        ("rustls", ["sdk"].as_slice()),
        ("lambda_runtime_api_client", ["lambda"].as_slice()),
        ("std::env", ["access"].as_slice()),
        ("env::var", ["access"].as_slice()),
    ];
    for (room, file, text) in CRATES.iter().flat_map(|(folder, _)| sources(folder)) {
        let code = code(&text);
        for (name, allowed) in only {
            let named = code.contains(&format!("{name}::")) || code.contains(&format!("use {name}"));
            assert!(!named || allowed.contains(&room.as_str()), "{} names {name}", file.display());
        }
    }
}

/// aws-sdk-ec2 takes minutes and gigabytes to compile. If a dev-dependency changed a feature of anything below it,
/// `cargo test` and `cargo build` would each compile their own.
#[test]
fn the_tests_change_no_feature_of_anything_below_the_sdk() {
    let tree = |more: &[&str]| -> BTreeSet<String> {
        let mut tree = Command::new(env!("CARGO"));
        tree.args(["tree", "--offline", "--prefix", "none"]).args(more);
        let output = tree.current_dir(top()).output().expect("cargo tree runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).replace(" (*)", "");
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let name = |package: &str| package.split(' ').next().unwrap_or_default().to_owned();
    let of = ["--package", "aws-sdk-ec2", "--package", "aws-smithy-http-client"];
    let below = tree(&[&["--edges", "normal,build", "--format", "{p}"], of.as_slice()].concat());
    let below: BTreeSet<String> = below.iter().map(|package| name(package)).collect();
    let features =
        |whose: &[&str], edges: &str| tree(&[whose, &["--format", "{p} {f}", "--edges", edges]].concat());
    let built = features(&["--package", "elephant-launch"], "normal,build");
    let tested = features(&["--workspace"], "normal,build,dev");
    assert!(below.contains("hyper") && below.len() > 50, "{below:?}");
    let changed: Vec<&String> =
        built.difference(&tested).filter(|package| below.contains(&name(package))).collect();
    assert!(changed.is_empty(), "the tests build these with other features: {changed:#?}");
}

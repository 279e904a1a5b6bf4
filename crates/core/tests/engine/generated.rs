//! What stands elsewhere of [`settings`]: the docs' tables are written from it (`UPDATE=1 cargo test generated`; without, a
//! difference is an error). The parameters and environment blocks of both templates are held to it, line by line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use elephant_core::settings::{self, Default, Function, Parameter, Setting, Shape, Value};

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).expect("it is in the tree")
}

/// Reads a file of the tree, and holds what `write` makes of it to be what it is, or writes it.
fn holds(file: &str, write: impl Fn(String) -> String) {
    let found = read(file);
    let expected = write(found.clone());
    if found == expected {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path(file), expected).expect("it can be written");
        return;
    }
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    panic!(
        "{file} is not what crates/core/src/settings.rs says: UPDATE=1 cargo test generated. {differs:#?}"
    );
}

/// `text` with what stands between the two markers written anew.
fn between(text: &str, from: &str, to: &str, new: &str) -> String {
    let (before, rest) = text.split_once(from).unwrap_or_else(|| panic!("{from:?} is missing"));
    let (_, after) = rest.split_once(to).unwrap_or_else(|| panic!("{to:?} is missing after {from:?}"));
    format!("{before}{from}{new}{to}{after}")
}

fn row(setting: &Setting) -> String {
    let default = match setting.default {
        Default::Value(value) => format!("`{value}`"),
        Default::Unset(words) => words.to_owned(),
    };
    let space = if setting.more.is_empty() { "" } else { " " };
    let parameter = setting
        .parameter
        .map_or_else(|| "set by the stack".to_owned(), |parameter| format!("`{}`", parameter.name));
    let cell = |text: &str| text.replace('\\', "\\\\").replace('|', "\\|").replace('*', "\\*");
    format!(
        "| `{}` | {} | {default} | {}{space}{} | {parameter} |\n",
        setting.name,
        cell(&setting.expected()),
        cell(setting.means),
        setting.more
    )
}

/// The rows of those that `of` says.
fn table(of: impl Fn(&Setting) -> bool) -> String {
    let rows: String =
        settings::ALL.iter().filter(|setting| of(setting)).map(|setting| row(setting)).collect();
    format!("\n| variable | value | default | meaning | parameter |\n|---|---|---|---|---|\n{rows}")
}

#[test]
fn the_tables_of_the_docs() {
    let launch = |setting: &Setting| setting.is_read_by(Function::Launch);
    let tables = [
        ("launch", table(launch)),
        ("schedule", table(|setting| setting.is_read_by(Function::Schedule) && !launch(setting))),
        ("reconcile", table(|setting| setting.is_read_by(Function::Reconcile) && !launch(setting))),
    ];
    holds("docs/settings.md", |text| {
        tables.iter().fold(text, |text, (name, table)| {
            between(&text, &format!("<!-- generated: {name} -->\n"), "<!-- end -->", table)
        })
    });
}

/// Without the backticks, and in place of a variable the parameter that gives it.
fn in_the_templates(text: &str) -> String {
    let pieces = text.split('`').enumerate().map(|(place, piece)| {
        let setting = settings::ALL.iter().find(|setting| place % 2 == 1 && setting.name == piece);
        setting.and_then(|setting| setting.parameter).map_or(piece, |parameter| parameter.name)
    });
    pieces.collect()
}

/// `a_snake` of `ASnake`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Both templates take the same values for each parameter, with the same default, and refuse the same.
#[test]
fn each_parameter_is_in_both_templates_as_it_is_declared() {
    let (template, variables) = (read("infra/template.yaml"), read("infra/terraform/variables.tf"));
    for setting in settings::ALL {
        let Some(parameter) = setting.parameter else { continue };
        let start = format!("\n  {}:\n", parameter.name);
        let block = template.split(&start).nth(1).unwrap_or_else(|| panic!("no {start}"));
        let block = block.split("\n\n").next().unwrap_or_default();
        let prose: Vec<&str> = block.split_whitespace().collect();
        let words = in_the_templates(setting.means);
        assert!(prose.join(" ").contains(&words), "the template says of {} not: {words}", parameter.name);
        for line in template_lines(setting, &parameter) {
            let mut lines = block.lines().map(|found| found.replace('"', "").trim().to_owned());
            assert!(lines.any(|found| found == line), "{}: {line} is missing", parameter.name);
        }
        assert_eq!(allowed_values(block), words_of(setting), "{}", parameter.name);
        let start = format!("variable \"{}\" {{\n", snake(parameter.name));
        let variable = variables.split(&start).nth(1).unwrap_or_else(|| panic!("no {start}"));
        let variable = variable.split("\n}\n").next().unwrap_or_default();
        for line in terraform_pieces(setting, &parameter) {
            assert!(variable.contains(&line), "{}: {line} is missing", parameter.name);
        }
    }
}

/// The words between which a parameter of the template lets choose; the empty one stands for none.
fn allowed_values(block: &str) -> BTreeSet<String> {
    let line = block.lines().find_map(|line| line.trim().strip_prefix("AllowedValues: ["));
    let words = line.and_then(|line| line.strip_suffix(']')).into_iter().flat_map(|line| line.split(", "));
    words.map(|word| word.trim_matches('"').to_owned()).filter(|word| !word.is_empty()).collect()
}

fn words_of(setting: &Setting) -> BTreeSet<String> {
    let words = match setting.value {
        Value::OneOf(words) => words,
        Value::Truth => &["true", "false"],
        Value::Text(_) | Value::Whole { .. } => &[],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

/// What a parameter allows, and what it is by default, in lines of the template without quotation marks.
fn template_lines(setting: &Setting, parameter: &Parameter) -> Vec<String> {
    let mut lines = match (parameter.shape, setting.value) {
        (Shape::Text { pattern, constraint }, _) => {
            vec![format!("AllowedPattern: {pattern}"), format!("ConstraintDescription: {constraint}")]
        }
        (Shape::WholeOrZero { pattern }, _) => {
            return vec![format!("AllowedPattern: {pattern}"), "Default: 0".to_owned()];
        }
        (Shape::Long { most }, _) => vec![format!("MaxLength: {most}")],
        (Shape::List { piece, .. }, _) if is_required(setting) => {
            return vec![format!("AllowedPattern: ^{piece}$")];
        }
        (Shape::List { piece, most }, _) => {
            let further = most.map_or("*".to_owned(), |most| format!("{{0,{}}}", most - 1));
            vec![format!("AllowedPattern: ^({piece}(,{piece}){further})?$")]
        }
        (Shape::AsTheValue, Value::Whole { least, most, .. }) => {
            vec![format!("MinValue: {least}"), format!("MaxValue: {most}")]
        }
        (Shape::AsTheValue, _) => Vec::new(),
    };
    lines.push(format!("Default: {}", setting.default_value()).trim().to_owned());
    lines
}

/// The environment block of each function has a line for each setting that it reads, and no other.
#[test]
fn each_environment_block_is_what_its_function_reads() {
    let (template, module) = (read("infra/template.yaml"), read("infra/terraform/main.tf"));
    for function in Function::ALL {
        let name = format!("{function:?}");
        let resource = template.split(&format!("\n  {name}Function:\n")).nth(1).expect("the function");
        let block = resource.split("        Variables:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
        let lines = block.expect("variables").lines().map_while(|line| line.strip_prefix("          "));
        let found: BTreeSet<&str> = lines.filter(|line| !line.starts_with('#')).collect();
        let read = settings::ALL.iter().filter(|setting| setting.is_read_by(function));
        let expected: BTreeSet<String> =
            read.map(|setting| format!("{}: {}", setting.name, in_the_template(setting))).collect();
        assert_eq!(found, expected.iter().map(String::as_str).collect(), "{name} in the template");
    }
    for setting in settings::ALL {
        let Some((_, terraform)) = setting.given_by else { continue };
        let given = module.lines().filter_map(|line| line.split_once(" = "));
        let mut given =
            given.filter(|(name, _)| name.trim() == setting.name).map(|(_, value)| value).peekable();
        assert!(given.peek().is_some(), "the module gives nobody {}", setting.name);
        assert!(given.all(|value| value == terraform), "the module gives {} something else", setting.name);
    }
}

fn in_the_template(setting: &Setting) -> String {
    if let Some((expression, _)) = setting.given_by {
        return expression.to_owned();
    }
    let parameter = setting.parameter.expect("the stack or a parameter gives it");
    match parameter.shape {
        Shape::List { .. } if is_required(setting) => format!("!Join [\",\", !Ref {}]", parameter.name),
        _ => format!("!Ref {}", parameter.name),
    }
}

fn is_required(setting: &Setting) -> bool {
    matches!(setting.default, Default::Unset("required"))
}

/// The same of the module, and the conditions on several variables.
fn terraform_pieces(setting: &Setting, parameter: &Parameter) -> Vec<String> {
    let quoted = |text: &str| text.replace('\\', "\\\\");
    let rules = parameter.terraform_rules.iter();
    let mut pieces: Vec<String> =
        rules.flat_map(|(condition, message)| [(*condition).to_owned(), (*message).to_owned()]).collect();
    match parameter.shape {
        Shape::Text { pattern, constraint } => pieces
            .extend([format!("regex(\"{}\"", quoted(pattern)), format!("error_message = \"{constraint}\"")]),
        Shape::List { piece, .. } => pieces.push(format!("regex(\"^{}$\"", quoted(piece))),
        Shape::Long { most } => pieces.push(format!("<= {most}")),
        Shape::WholeOrZero { .. } => pieces.push("default     = 0".to_owned()),
        Shape::AsTheValue => match setting.default {
            Default::Value(value @ ("true" | "false")) => pieces.push(format!("default     = {value}")),
            Default::Value(value) if setting.whole_number(value).is_some() => {
                pieces.push(format!("default     = {value}"));
            }
            _ => pieces.push(format!("default     = \"{}\"", setting.default_value())),
        },
    }
    pieces
}

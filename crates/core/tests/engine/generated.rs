//! What is written from [`settings`] and from the tables of [`Kind`] and [`Verb`]: the docs' tables, the parameters and
//! environment blocks of both templates, and `events/launch.env`. `UPDATE=1 cargo test generated` writes it; without `UPDATE`,
//! a difference is an error.

mod file;

use std::path::Path;

use elephant_core::error::Kind;
use elephant_core::event::Verb;
use elephant_core::settings::{self, Default, Function, Parameter, Setting, Shape, Value};

use file::between;

const SETTINGS: &str = "crates/core/src/settings.rs";

fn holds(file: &str, table: &str, write: impl Fn(String) -> String) {
    file::holds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file), table, write);
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
    holds("docs/settings.md", SETTINGS, |text| {
        tables.iter().fold(text, |text, (name, table)| {
            between(&text, &format!("<!-- generated: {name} -->\n"), "<!-- end -->", table)
        })
    });
}

#[test]
fn the_table_of_error_types() {
    let row = |kind: &Kind| {
        let [of, happened, advice] = kind.explained();
        let helps = if kind.is_retryable() { "yes" } else { "no" };
        format!("| `{kind}` | {of} | {happened} | {helps} | {advice} |\n")
    };
    let panic = "| `Panic` | any | This program has a fault. | yes | Report it: the message says where. Then send the event again. \
                 The delivery goes on with what was begun. |\n";
    let head =
        "\n| `errorType` | of | what happened | does a repeat help? | what to do |\n|---|---|---|---|---|\n";
    let table = format!("{head}{}{panic}", Kind::ALL.iter().map(row).collect::<String>());
    holds("docs/errors.md", "crates/core/src/error.rs", |text| {
        between(&text, "<!-- generated -->\n", "<!-- end -->", &table)
    });
}

#[test]
fn the_table_of_verbs() {
    let of_operate = Verb::EXPLAINED.iter().map(|(verb, means)| {
        (format!("`operate`: `{verb}`"), *means, format!("operate-{}", verb.replace('_', "-")))
    });
    let rows = |functions: &[(&str, &'static str, &str)]| -> Vec<(String, &'static str, String)> {
        let row = |(name, means, sample): &(&str, &'static str, &str)| {
            (format!("`{name}`"), *means, (*sample).to_owned())
        };
        functions.iter().map(row).collect()
    };
    let rows: String = rows(&[
        ("schedule", "plans, moves or cancels a meeting: its record and its one-time schedule", "schedule"),
        (
            "launch",
            "launches both machines, exactly once; `preflight` says what a launch would be refused for",
            "launch",
        ),
        ("reconcile", "makes machines and records agree: a sweep, or a look at one machine", "reconcile"),
        ("status", "shows a meeting as the record and EC2 have it, and a machine's console", "status-wait"),
    ])
    .into_iter()
    .chain(of_operate)
    .chain(rows(&[("end", "ends a meeting, with its machines and its schedule", "end-wait")]))
    .map(|(name, means, sample)| {
        format!("| {name} | {means} | [`events/{sample}.json`](../events/{sample}.json) |\n")
    })
    .collect();
    let table = format!("\n| verb | what it does | sample |\n|---|---|---|\n{rows}");
    holds("docs/functions.md", "crates/core/src/event/operate.rs", |text| {
        between(&text, "<!-- generated -->\n", "<!-- end -->", &table)
    });
}

/// The text of a template: without backticks, and with the name of a parameter in place of its variable.
fn words(text: &str, parameter: impl Fn(&str) -> String) -> String {
    let pieces = text.split('`').enumerate().map(|(place, piece)| {
        if place % 2 == 0 {
            return piece.to_owned();
        }
        let setting = settings::ALL.iter().find(|setting| setting.name == piece);
        match setting.and_then(|setting| setting.parameter) {
            Some(known) => parameter(known.name),
            // A parameter that only the stack reads.
            None if piece.contains(|c: char| c.is_ascii_uppercase()) => parameter(piece),
            None => piece.to_owned(),
        }
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

/// `text` in lines of at most `width` characters that begin with `indent`.
fn fill(text: &str, indent: &str, width: usize) -> String {
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is a line");
        if last.len() + word.len() < width || last.len() == indent.len() {
            let space = if last.len() == indent.len() { "" } else { " " };
            *last = format!("{last}{space}{word}");
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.join("\n")
}

/// `text` with the block of each parameter written anew, up to `close`; `end` is what it is found by. A new one comes after
/// that of the row before.
fn with_blocks(
    mut text: String,
    start: impl Fn(&str) -> String,
    (close, end): (&str, &str),
    block: impl Fn(&Setting, &Parameter) -> String,
) -> String {
    let mut previous = None;
    for setting in settings::ALL {
        let Some(parameter) = &setting.parameter else { continue };
        let start = start(parameter.name);
        let new = format!("{start}{}{close}", block(setting, parameter));
        let from = text.find(&start);
        let length = from.map_or(0, |from| text[from..].find(end).expect("a block ends") + close.len());
        let from = from.unwrap_or_else(|| previous.expect("the first row has a block"));
        text.replace_range(from..from + length, &new);
        previous = Some(from + new.len());
    }
    text
}

fn is_required(setting: &Setting) -> bool {
    matches!(setting.default, Default::Unset("required"))
}

/// What may be chosen; with the empty text, where there is no default.
fn choices(setting: &Setting) -> Vec<&'static str> {
    let choices: &[&str] = match setting.value {
        Value::OneOf(choices) => choices,
        Value::Truth => &["true", "false"],
        Value::Text(_) | Value::Whole { .. } => &[],
    };
    let none = (!choices.is_empty() && setting.default_value().is_empty()).then_some("");
    none.into_iter().chain(choices.iter().copied()).collect()
}

/// What is wrong with a value that a template refuses. `list` writes pieces as the template's language does.
fn constraint(setting: &Setting, shape: Shape, list: impl Fn(&[&str]) -> String, empty: &str) -> String {
    match (shape, setting.value) {
        (Shape::Text { constraint, .. }, _) => constraint.to_owned(),
        (Shape::Long { most }, _) => format!("At most {most} characters."),
        (Shape::List { what, such_as, .. }, _) if is_required(setting) => {
            format!("{what} such as {}.", list(such_as))
        }
        (Shape::List { what, such_as, .. }, _) => format!("{what} such as {}{empty}.", list(such_as)),
        (Shape::WholeOrZero { .. }, Value::Whole { least, most, .. }) => {
            format!("A whole number from {least} to {most}, or 0.")
        }
        (_, Value::Whole { least, most, unit: "" | "GiB" }) => {
            format!("A whole number from {least} to {most}.")
        }
        (_, Value::Whole { .. }) => setting.expected().replacen('a', "A", 1) + ".",
        (_, Value::Truth) => "true or false.".to_owned(),
        _ => match choices(setting).split_first() {
            Some((&"", words)) => format!("One of {}, or nothing.", words.join(", ")),
            _ => format!("One of {}.", choices(setting).join(", ")),
        },
    }
}

#[test]
fn the_template() {
    holds("infra/template.yaml", SETTINGS, |text| {
        let text = with_blocks(text, |name| format!("\n  {name}:\n"), ("\n", "\n\n"), template_block);
        Function::ALL.into_iter().fold(text, with_environment)
    });
}

fn template_block(setting: &Setting, parameter: &Parameter) -> String {
    let yaml = |text: &str| {
        let is_another_type = matches!(text, "" | "true" | "false") || text.parse::<u64>().is_ok();
        let quote = is_another_type || text.contains(": ") || text.contains(" #");
        if quote { format!("\"{text}\"") } else { text.to_owned() }
    };
    let (kind, default) = match (parameter.shape, setting.value) {
        (Shape::List { .. }, _) if is_required(setting) => ("CommaDelimitedList", None),
        (Shape::WholeOrZero { .. }, _) => ("String", Some("\"0\"".to_owned())),
        (_, Value::Whole { .. }) => ("Number", Some(setting.default_value().to_owned())),
        _ => ("String", Some(yaml(setting.default_value()))),
    };
    let mut lines = vec![format!("Type: {kind}")];
    lines.extend(default.map(|default| format!("Default: {default}")));
    if let (Shape::AsTheValue, Value::Whole { least, most, .. }) = (parameter.shape, setting.value) {
        lines.extend([format!("MinValue: {least}"), format!("MaxValue: {most}")]);
    }
    if let Shape::Long { most } = parameter.shape {
        lines.push(format!("MaxLength: {most}"));
    }
    let choices: Vec<String> = choices(setting).into_iter().map(yaml).collect();
    if !choices.is_empty() {
        lines.push(format!("AllowedValues: [{}]", choices.join(", ")));
    }
    let means = format!("{}. {}", setting.name, words(setting.means, str::to_owned));
    lines.push(format!("Description: >-\n{}", fill(&means, "      ", 118)));
    match parameter.shape {
        Shape::Text { pattern, .. } | Shape::WholeOrZero { pattern } => {
            lines.push(format!("AllowedPattern: {}", yaml(pattern)));
        }
        Shape::List { piece, .. } if is_required(setting) => {
            lines.push(format!("AllowedPattern: ^{piece}$"));
        }
        Shape::List { piece, most, .. } => {
            let further = most.map_or("*".to_owned(), |most| format!("{{0,{}}}", most - 1));
            lines.push(format!("AllowedPattern: ^({piece}(,{piece}){further})?$"));
        }
        Shape::AsTheValue | Shape::Long { .. } => {}
    }
    let list = |pieces: &[&str]| pieces.join(",");
    let constraint = constraint(setting, parameter.shape, list, " without spaces, or nothing");
    lines.push(format!("ConstraintDescription: {}", yaml(&constraint)));
    format!("    {}", lines.join("\n    "))
}

#[test]
fn the_variables_of_the_module() {
    holds("infra/terraform/variables.tf", SETTINGS, |text| {
        let start = |name: &str| format!("\nvariable \"{}\" {{\n", snake(name));
        with_blocks(text, start, ("\n}\n", "\n}\n"), module_block)
    });
}

fn module_block(setting: &Setting, parameter: &Parameter) -> String {
    let quoted = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{}\"", text.replace("${", "$${").replace("%{", "%%{"))
    };
    let pieces = |pieces: &[&str]| {
        format!("[{}]", pieces.iter().map(|piece| quoted(piece)).collect::<Vec<_>>().join(", "))
    };
    let default = setting.default_value();
    let (kind, default) = match (parameter.shape, setting.value) {
        (Shape::List { .. }, _) => ("list(string)", (!is_required(setting)).then(|| "[]".to_owned())),
        (Shape::WholeOrZero { .. }, _) => ("number", Some("0".to_owned())),
        (_, Value::Whole { .. }) => ("number", Some(default.to_owned())),
        (_, Value::Truth) => ("bool", Some(default.to_owned())),
        _ => ("string", Some(quoted(default))),
    };
    let means = format!("{}. {}", setting.name, words(setting.means, snake));
    let means = means.replace("this stack", "this module").replace(", separated by commas", "");
    let mut lines = vec![format!("  type        = {kind}")];
    lines.extend(default.map(|default| format!("  default     = {default}")));
    lines.push(format!("  description = {}", quoted(&means)));
    let condition = module_condition(setting, parameter, &format!("var.{}", snake(parameter.name)));
    let constraint = constraint(setting, parameter.shape, pieces, ", or an empty list");
    let own = condition.map(|condition| (condition, constraint));
    let rules = parameter.terraform_rules.iter();
    let rules = rules.map(|&(condition, message)| (condition.to_owned(), message.to_owned()));
    lines.extend(own.into_iter().chain(rules).map(|(condition, message)| {
        let message = quoted(&message);
        format!("\n  validation {{\n    condition     = {condition}\n    error_message = {message}\n  }}")
    }));
    lines.join("\n")
}

fn module_condition(setting: &Setting, parameter: &Parameter, variable: &str) -> Option<String> {
    let matches =
        |pattern: &str, text: &str| format!("can(regex(\"{}\", {text}))", pattern.replace('\\', "\\\\"));
    let within = |least, most| {
        format!("{variable} == floor({variable}) && {variable} >= {least} && {variable} <= {most}")
    };
    Some(match (parameter.shape, setting.value) {
        (Shape::Text { pattern, .. }, _) => matches(pattern, variable),
        (Shape::Long { most }, _) => format!("length({variable}) <= {most}"),
        (Shape::List { piece, most, .. }, _) => {
            let some =
                if is_required(setting) { format!("length({variable}) > 0 && ") } else { String::new() };
            let few = most.map_or(String::new(), |most| format!("length({variable}) <= {most} && "));
            let each = matches(&format!("^{piece}$"), "piece");
            format!("{some}{few}alltrue([for piece in {variable} : {each}])")
        }
        (Shape::WholeOrZero { .. }, Value::Whole { least, most, .. }) => {
            format!("{variable} == 0 || ({})", within(least, most))
        }
        (_, Value::Whole { least, most, .. }) => within(least, most),
        (_, Value::OneOf(_)) => {
            let choices: Vec<String> =
                choices(setting).into_iter().map(|choice| format!("\"{choice}\"")).collect();
            format!("contains([{}], {variable})", choices.join(", "))
        }
        (_, Value::Truth | Value::Text(_)) => return None,
    })
}

/// The template with the environment block of a function written anew.
fn with_environment(text: String, function: Function) -> String {
    const INDENT: &str = "          ";
    let read = settings::ALL.iter().filter(|setting| setting.is_read_by(function));
    let lines = read.map(|setting| format!("{INDENT}{}: {}\n", setting.name, in_the_template(setting)));
    let resource = text.find(&format!("\n  {function:?}Function:\n")).expect("the function");
    let variables = "        Variables:\n";
    let from = resource + text[resource..].find(variables).expect("variables") + variables.len();
    let old = text[from..].lines().take_while(|line| line.starts_with(INDENT));
    let to = from + old.map(|line| line.len() + 1).sum::<usize>();
    format!("{}{}{}", &text[..from], lines.collect::<String>(), &text[to..])
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

/// `launch_variables` is what `launch` reads; `reconcile` reads all of it, and so adds to it.
#[test]
fn the_environment_blocks_of_the_module() {
    let block = |indent: &str, of: &dyn Fn(&Setting) -> bool| {
        let given: Vec<_> = settings::ALL.iter().filter(|setting| of(setting)).collect();
        let width = given.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
        let lines = given
            .iter()
            .map(|setting| format!("{indent}{:width$} = {}\n", setting.name, in_the_module(setting)));
        lines.collect::<String>()
    };
    let launch = |setting: &Setting| setting.is_read_by(Function::Launch);
    holds("infra/terraform/main.tf", SETTINGS, |text| {
        let text = between(&text, "  launch_variables = {\n", "  }\n", &block("    ", &launch));
        Function::ALL.into_iter().filter(|&function| function != Function::Launch).fold(
            text,
            |text, function| {
                let name = function.name().to_owned();
                let merged = function == Function::Reconcile;
                let lines =
                    block("      ", &|setting| setting.is_read_by(function) && !(merged && launch(setting)));
                let (open, close) =
                    if merged { ("merge(local.launch_variables, {", "})") } else { ("{", "}") };
                let resource = format!("resource \"aws_lambda_function\" \"{name}\" {{\n");
                let (before, rest) = text.split_once(&resource).expect("the function");
                let rest = between(
                    rest,
                    "  environment {\n",
                    "\n  }\n",
                    &format!("    variables = {open}\n{lines}    {close}"),
                );
                format!("{before}{resource}{rest}")
            },
        )
    });
}

fn in_the_module(setting: &Setting) -> String {
    if let Some((_, expression)) = setting.given_by {
        return expression.to_owned();
    }
    let parameter = setting.parameter.expect("the module or a variable gives it");
    let variable = format!("var.{}", snake(parameter.name));
    match (parameter.shape, setting.value) {
        (Shape::List { .. }, _) => format!("join(\",\", {variable})"),
        (_, Value::Whole { .. } | Value::Truth) => format!("tostring({variable})"),
        _ => variable,
    }
}

#[test]
fn the_sample_of_an_environment() {
    let launch = settings::ALL.iter().filter(|setting| setting.is_read_by(Function::Launch));
    let blocks: Vec<(bool, String)> = launch
        .filter_map(|setting| {
            let default = format!("{}={}", setting.name, setting.default_value());
            let lines = match setting.default {
                Default::Value(_) if setting.example.is_empty() => &[default.as_str()],
                _ => setting.example,
            };
            let is_needed = matches!(setting.default, Default::Unset(words) if words.starts_with("required"));
            let mark = if is_needed { "" } else { "# " };
            let lines: String = lines.iter().map(|line| format!("{mark}{line}\n")).collect();
            let means = setting.means.replace('`', "");
            let mut means = means.split_inclusive(". ").next().unwrap_or_default().trim().to_owned();
            if matches!(setting.value, Value::OneOf(_)) {
                means = format!("{means} Values: {}.", setting.expected());
            }
            (!lines.is_empty()).then(|| (is_needed, format!("\n{}\n{lines}", fill(&means, "# ", 118))))
        })
        .collect();
    let of =
        |needed: bool| blocks.iter().filter(move |(is, _)| *is == needed).map(|(_, block)| block.as_str());
    holds("events/launch.env", SETTINGS, |_| {
        format!(
            "# The environment of the function `launch`: cargo lambda watch --env-file events/launch.env\n\
             # What is not commented out is needed. Each block that is commented out can be taken by itself, in place of what\n\
             # it says anew; AMI_NAME in place of AMI_ID. This file is written from crates/core/src/settings.rs.\n{}{}",
            of(true).collect::<String>(),
            of(false).collect::<String>()
        )
    });
}

//! What is written from [`settings`] and from the tables of [`Kind`] and [`Verb`]: the docs' tables, the parameters and
//! environment blocks of both templates, and `events/launch.env`. `UPDATE=1 cargo test generated` writes it; without `UPDATE`,
//! a difference is an error.

mod file;

use std::path::Path;

use elephant_core::error::Kind;
use elephant_core::event::Verb;
use elephant_core::settings::{self, Default, Function, Parameter, Setting, Shape, Source, Value};

use file::between;

const SETTINGS: &str = "crates/core/src/settings.rs";

fn holds(file: &str, table: &str, write: impl Fn(String) -> String) {
    file::holds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file), table, write);
}

fn row(setting: &Setting) -> String {
    let mut default = match setting.default {
        Default::Value(value) => format!("`{value}`"),
        Default::Unset(words) => words.to_owned(),
    };
    let of_the_stack = setting.parameter().map_or("", |parameter| parameter.default);
    if of_the_stack != setting.default_value() {
        default = format!("{default}; of the stack `{of_the_stack}`");
    }
    let space = if setting.more.is_empty() { "" } else { " " };
    let parameter = match setting.source {
        Source::Parameter(parameter) => format!("`{}`", parameter.name),
        Source::Settings { .. } => "in `Settings`".to_owned(),
        Source::Stack => "set by the stack".to_owned(),
    };
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
        let setting = settings::ALL.iter().copied().find(|setting| setting.name == piece);
        match setting.and_then(Setting::parameter) {
            Some(known) => parameter(known.name),
            // A parameter that only the stack reads.
            None if piece.contains(|c: char| c.is_ascii_lowercase()) => parameter(piece),
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
        let Some(parameter) = setting.parameter() else { continue };
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

/// A list that is never empty: CloudFormation has a type for it.
fn has_one(parameter: &Parameter) -> bool {
    matches!(parameter.shape, Shape::List { .. }) && !parameter.default.is_empty()
}

/// The settings that come in `Settings`.
fn in_settings() -> impl Iterator<Item = &'static Setting> {
    settings::ALL.iter().copied().filter(|setting| setting.is_in_settings())
}

/// A regular expression for the value of a setting that comes in `Settings`.
fn pattern(setting: &Setting) -> String {
    match (setting.source, setting.value) {
        (_, Value::OneOf(words)) => words.join("|"),
        (_, Value::Truth) => "true|false".to_owned(),
        (_, Value::Whole { least, most, .. }) => between_numbers(least, most).join("|"),
        (Source::Settings { pattern }, Value::Text(_)) => pattern.to_owned(),
        _ => unreachable!("{} does not come in Settings", setting.name),
    }
}

/// Regular expressions for the whole numbers of a range.
fn between_numbers(least: u64, most: u64) -> Vec<String> {
    // From `least` on, each block of numbers that differ only in their last digits, as large as it may be.
    let (mut from, mut patterns) = (least, Vec::new());
    while from <= most {
        let mut block = 1;
        while from % (block * 10) == 0 && from > 0 && from + block * 10 - 1 <= most {
            block *= 10;
        }
        let (digit, head) = (from / block % 10, from / block / 10);
        let last = (9 - digit).min((most + 1 - from) / block - 1);
        let head = if head > 0 { head.to_string() } else { String::new() };
        let digits = if last == 0 { digit.to_string() } else { format!("[{digit}-{}]", digit + last) };
        let zeros = block.ilog10();
        let rest = match zeros {
            0 => String::new(),
            1 => "[0-9]".to_owned(),
            many => format!("[0-9]{{{many}}}"),
        };
        patterns.push(format!("{head}{digits}{rest}"));
        from += block * (last + 1);
    }
    patterns
}

#[test]
fn a_pattern_of_numbers_matches_those_between_and_no_other() {
    let ranges = [(0, 9), (1, 336), (0, 1440), (2, 1440), (125, 2000), (0, 10_000), (7, 7), (95, 105)];
    for (least, most) in ranges {
        let mut matched = Vec::new();
        for pattern in between_numbers(least, most) {
            matched.extend(expanded(&pattern));
        }
        assert_eq!(matched, (least..=most).collect::<Vec<u64>>(), "{:?}", between_numbers(least, most));
    }
}

/// Every number that a pattern of digits, `[a-b]` and `{n}` matches.
fn expanded(pattern: &str) -> Vec<u64> {
    let (mut numbers, mut rest) = (vec![0], pattern);
    while let Some(first) = rest.chars().next() {
        let (class, after) = rest
            .strip_prefix('[')
            .map_or((&rest[..1], &rest[1..]), |class| class.split_once(']').expect("]"));
        rest = after;
        let times = match rest.strip_prefix('{').and_then(|times| times.split_once('}')) {
            Some((times, after)) => {
                rest = after;
                times.parse().expect("a number")
            }
            None => 1,
        };
        let (low, high) = class.split_once('-').unwrap_or((class, class));
        let digit = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{first} in {pattern}"));
        for _ in 0..times {
            numbers =
                numbers.iter().flat_map(|n| (digit(low)..=digit(high)).map(move |d| n * 10 + d)).collect();
        }
    }
    numbers
}

/// What is wrong with a value that a template refuses. `list` writes pieces as the template's language does.
fn constraint(parameter: &Parameter, list: impl Fn(&[&str]) -> String, empty: &str) -> String {
    match parameter.shape {
        Shape::Text { constraint, .. } => constraint.to_owned(),
        Shape::Long { most } => format!("At most {most} characters."),
        Shape::List { what, such_as, .. } if has_one(parameter) => format!("{what} such as {}.", list(such_as)),
        Shape::List { what, such_as, .. } => format!("{what} such as {}{empty}.", list(such_as)),
        Shape::Pairs => "Pairs such as MARKET=spot;VOLUME_SIZE_GB=100 of the names and values in docs/settings.md, or nothing.".to_owned(),
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
    let kind = if has_one(parameter) { "CommaDelimitedList" } else { "String" };
    let mut lines = vec![format!("Type: {kind}"), format!("Default: {}", yaml(parameter.default))];
    if let Shape::Long { most } = parameter.shape {
        lines.push(format!("MaxLength: {most}"));
    }
    let means = format!("{}. {}", setting.name, words(setting.means, str::to_owned));
    lines.push(format!("Description: >-\n{}", fill(&means, "      ", 118)));
    match parameter.shape {
        Shape::Text { pattern, .. } => lines.push(format!("AllowedPattern: {}", yaml(pattern))),
        Shape::List { piece, .. } if has_one(parameter) => {
            lines.push(format!("AllowedPattern: ^{piece}$"));
        }
        Shape::List { piece, most, .. } => {
            let further = most.map_or("*".to_owned(), |most| format!("{{0,{}}}", most - 1));
            lines.push(format!("AllowedPattern: ^({piece}(,{piece}){further})?$"));
        }
        // Each pair up to a semicolon or the end.
        Shape::Pairs => {
            let pairs =
                in_settings().map(|setting| format!("{}\\s*=\\s*({})", setting.name, pattern(setting)));
            let pairs = pairs.collect::<Vec<_>>().join("|");
            lines.push(format!("AllowedPattern: ^(\\s*({pairs})?\\s*(;|$))*$"));
        }
        Shape::Long { .. } => {}
    }
    let list = |pieces: &[&str]| pieces.join(",");
    let constraint = constraint(parameter, list, " without spaces, or nothing");
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
    let (kind, default) = match parameter.shape {
        Shape::List { .. } => (
            "list(string)",
            pieces(&parameter.default.split(',').filter(|piece| !piece.is_empty()).collect::<Vec<_>>()),
        ),
        Shape::Pairs => ("map(string)", "{}".to_owned()),
        Shape::Text { .. } | Shape::Long { .. } => ("string", quoted(parameter.default)),
    };
    let means = format!("{}. {}", setting.name, words(setting.means, snake));
    let means = means.replace("this stack", "this module").replace(", separated by commas", "");
    let means = means.replace(
        "parameter of their own, as NAME=value pairs, separated by semicolons",
        "variable of their own, by name",
    );
    let means =
        means.replace("MARKET=spot;VOLUME_SIZE_GB=100", "{ MARKET = \"spot\", VOLUME_SIZE_GB = 100 }");
    let mut lines = vec![
        format!("  type        = {kind}"),
        format!("  default     = {default}"),
        format!("  description = {}", quoted(&means)),
    ];
    let own = module_conditions(parameter, &constraint(parameter, pieces, ", or an empty list"));
    let rules = parameter.terraform_rules.iter();
    let rules = rules.map(|&(condition, message)| (condition.to_owned(), message.to_owned()));
    lines.extend(own.into_iter().chain(rules).map(|(condition, message)| {
        let message = quoted(&message);
        format!("\n  validation {{\n    condition     = {condition}\n    error_message = {message}\n  }}")
    }));
    lines.join("\n")
}

/// The conditions on a variable by itself, each with its message.
fn module_conditions(parameter: &Parameter, constraint: &str) -> Vec<(String, String)> {
    let variable = format!("var.{}", snake(parameter.name));
    let matches =
        |pattern: &str, text: &str| format!("can(regex(\"{}\", {text}))", pattern.replace('\\', "\\\\"));
    let condition = match parameter.shape {
        Shape::Text { pattern, .. } => matches(pattern, &variable),
        Shape::Long { most } => format!("length({variable}) <= {most}"),
        Shape::List { piece, most, .. } => {
            let some = if has_one(parameter) { format!("length({variable}) > 0 && ") } else { String::new() };
            let few = most.map_or(String::new(), |most| format!("length({variable}) <= {most} && "));
            let each = matches(&format!("^{piece}$"), "piece");
            format!("{some}{few}alltrue([for piece in {variable} : {each}])")
        }
        Shape::Pairs => {
            let each = |condition: &str| format!("alltrue([for name, value in {variable} : {condition}])");
            let names: Vec<String> = in_settings().map(|setting| format!("\"{}\"", setting.name)).collect();
            let known = each(&format!("contains([{}], name)", names.join(", ")));
            let constraint = "A name in settings is none of those that docs/settings.md has for settings.";
            let each = in_settings().map(|setting| {
                let value = matches(&format!("^({})$", pattern(setting)), "value");
                let name = setting.name;
                let problem = format!("{name} in settings: expected {}.", setting.expected());
                (each(&format!("{value} if name == \"{name}\"")), problem)
            });
            return std::iter::once((known, constraint.to_owned())).chain(each).collect();
        }
    };
    vec![(condition, constraint.to_owned())]
}

/// The template with the environment block of a function written anew.
fn with_environment(text: String, function: Function) -> String {
    const INDENT: &str = "          ";
    let given =
        settings::ALL.iter().filter(|setting| setting.is_read_by(function) && !setting.is_in_settings());
    let lines = given.map(|setting| format!("{INDENT}{}: {}\n", setting.name, in_the_template(setting)));
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
    let parameter = setting.parameter().expect("the stack or a parameter gives it");
    if has_one(parameter) {
        format!("!Join [\",\", !Ref {}]", parameter.name)
    } else {
        format!("!Ref {}", parameter.name)
    }
}

/// `launch_variables` is what `launch` reads. `reconcile` reads all of it too, and what it reads besides is added.
#[test]
fn the_environment_blocks_of_the_module() {
    let block = |indent: &str, of: &dyn Fn(&Setting) -> bool| {
        let given = settings::ALL.iter().filter(|setting| of(setting) && !setting.is_in_settings());
        let given: Vec<_> = given.collect();
        let width = given.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
        let lines = given
            .iter()
            .map(|setting| format!("{indent}{:width$} = {}\n", setting.name, in_the_module(setting)));
        lines.collect::<String>()
    };
    let launch = |setting: &Setting| setting.is_read_by(Function::Launch);
    let environment = |function: Function| {
        let launches = matches!(function, Function::Launch | Function::Reconcile);
        let own =
            block("        ", &|setting| setting.is_read_by(function) && !(launches && launch(setting)));
        match (launches, own.is_empty()) {
            (true, true) => "local.launch_variables".to_owned(),
            (true, false) => format!("merge(local.launch_variables, {{\n{own}      }})"),
            (false, _) => format!("{{\n{own}      }}"),
        }
    };
    holds("infra/terraform/main.tf", SETTINGS, |text| {
        let text = between(&text, "  launch_variables = {\n", "  }\n", &block("    ", &launch));
        Function::ALL.into_iter().fold(text, |text, function| {
            let start = format!("\n    {} = {{\n", function.name());
            let (before, rest) = text.split_once(&start).expect("the function");
            let rest = between(rest, "\n      environment = ", "\n    }\n", &environment(function));
            format!("{before}{start}{rest}")
        })
    });
}

fn in_the_module(setting: &Setting) -> String {
    if let Some((_, expression)) = setting.given_by {
        return expression.to_owned();
    }
    let parameter = setting.parameter().expect("the module or a variable gives it");
    let variable = format!("var.{}", snake(parameter.name));
    match parameter.shape {
        Shape::List { .. } => format!("join(\",\", {variable})"),
        // main.tf puts the pairs together, once for all functions.
        Shape::Pairs => "local.settings".to_owned(),
        Shape::Text { .. } | Shape::Long { .. } => variable,
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

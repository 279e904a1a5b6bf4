//! The variable `SETTINGS`: settings as `NAME=value` pairs, separated by semicolons.
//!
//! Every function reads all pairs and names every problem, also of a setting that another function reads.

use std::collections::{BTreeMap, BTreeSet};

use strsim::levenshtein;

use super::{trimmed, wrong};
use crate::settings::{self, SETTINGS, Setting, Source, Value};

/// Each value by the name of its setting.
pub(super) type Pairs = BTreeMap<&'static str, String>;

/// The pairs that are right, and what is wrong with the others.
pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> (Pairs, Vec<String>) {
    let (mut pairs, mut problems, mut named) = (Pairs::new(), Vec::new(), BTreeSet::new());
    let text = trimmed(&variable, SETTINGS.name).unwrap_or_default();
    for piece in text.split(';').map(str::trim).filter(|piece| !piece.is_empty()) {
        let (setting, value) = match pair(piece) {
            Ok(pair) => pair,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let name = setting.name;
        if !named.insert(name) {
            problems.push(format!("SETTINGS names {name} twice: keep one"));
        } else if trimmed(&variable, name).is_some() {
            problems.push(format!("{name} is set in SETTINGS and as a variable: keep one"));
        } else if let Some(problem) = fault(setting, value) {
            problems.push(problem);
        } else {
            pairs.insert(name, value.to_owned());
        }
    }
    (pairs, problems)
}

fn pair(piece: &str) -> Result<(&'static Setting, &str), String> {
    let Some((name, value)) = piece.split_once('=') else {
        return Err(wrong("SETTINGS has a part that", piece, "NAME=value"));
    };
    let name = name.trim();
    let Some(setting) = settings::ALL.iter().find(|setting| setting.name == name) else {
        let written = name.to_uppercase();
        let nearest = settings::ALL.iter().min_by_key(|setting| levenshtein(&written, setting.name));
        let nearest = nearest.expect("there are settings").name;
        return Err(wrong("SETTINGS has a name that", name, &format!("one such as {nearest}")));
    };
    match setting.source {
        Source::Settings { .. } => Ok((setting, value.trim())),
        Source::Parameter(parameter) => {
            let parameter = parameter.name;
            Err(format!("SETTINGS names {name}, which has a parameter of its own: set {parameter}"))
        }
        Source::Stack => Err(format!("SETTINGS names {name}, which the stack itself sets: take it out")),
    }
}

/// What the table of settings has against a value. A text is judged by the function that reads it.
fn fault(setting: &Setting, value: &str) -> Option<String> {
    let is_right = match setting.value {
        Value::Text(_) => !value.is_empty(),
        Value::OneOf(_) => setting.has_word(value),
        Value::Truth => ["true", "false"].contains(&value),
        Value::Whole { .. } => setting.whole_number(value).is_some(),
    };
    (!is_right).then(|| wrong(setting.name, value, &setting.expected()))
}

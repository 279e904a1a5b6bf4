//! A file of the tree that is written from a table of the code: compared with it, or replaced.

use std::fs;
use std::path::Path;

/// Compares a file with what `write` makes of it, or replaces it by that where `UPDATE` is set. `table` is the file of the code
/// that has the table.
pub fn holds(file: &Path, table: &str, write: impl Fn(String) -> String) {
    let found = fs::read_to_string(file).expect("it is in the tree");
    let expected = write(found.clone());
    if found == expected {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, expected).expect("it can be written");
        return;
    }
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    panic!("{} is not what {table} says: UPDATE=1 cargo test generated. {differs:#?}", file.display());
}

/// `text` with `new` in place of what stands between the two markers.
pub fn between(text: &str, from: &str, to: &str, new: &str) -> String {
    let (before, rest) = text.split_once(from).unwrap_or_else(|| panic!("{from:?} is missing"));
    let (_, after) = rest.split_once(to).unwrap_or_else(|| panic!("{to:?} is missing after {from:?}"));
    format!("{before}{from}{new}{to}{after}")
}

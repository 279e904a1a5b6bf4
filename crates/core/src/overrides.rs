//! What a meeting's record may say of its own machines, in place of the settings; and how image ids, types and sizes are
//! written, in a setting as in a record.
//!
//! `image_id`, `instance_type` and `volume_size_gb` are for both machines, with `teacher_` or `student_` before them for one,
//! which goes before the other. They are read once a delivery and enter its attempts as the settings do: an attempt that
//! stands is replayed as it is. Not here: what else a machine is made from, which is the configuration's alone.

use crate::meeting::Role;
use crate::settings;

/// The names, without a role.
pub const ATTRIBUTES: [&str; 3] = ["image_id", "instance_type", "volume_size_gb"];

/// The settings that they go before, in the words of every advice that names them.
const SETTINGS: [&str; 3] = ["AMI_ID or AMI_NAME", "INSTANCE_TYPE", "VOLUME_SIZE_GB"];

const IMAGE_ID_EXPECTED: &str = "an image id, ami-…";

/// How much is said of a value that cannot be understood.
const SHOWN: usize = 100;

/// Of one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub image_id: Option<String>,
    /// In order of preference; empty: as configured.
    pub instance_types: Vec<String>,
    pub volume_size_gb: Option<i32>,
}

impl Overrides {
    /// Of a record that says nothing of its machines, in the order of [`Role::BOTH`].
    pub fn none() -> [Result<Overrides, String>; 2] {
        Role::BOTH.map(|_| Ok(Overrides::default()))
    }

    /// What a role's machine is launched with. `said` has each attribute in words, a number in its digits; of something
    /// else the kind of it.
    pub fn of(
        role: Role,
        said: impl Fn(&str) -> Result<Option<String>, &'static str>,
    ) -> Result<Overrides, String> {
        let (types, size) = (settings::INSTANCE_TYPE.expected(), settings::VOLUME_SIZE_GB.expected());
        Ok(Overrides {
            image_id: own_or_both(role, ATTRIBUTES[0], &said, IMAGE_ID_EXPECTED, image_id)?,
            instance_types: own_or_both(role, ATTRIBUTES[1], &said, &types, instance_types)?
                .unwrap_or_default(),
            volume_size_gb: own_or_both(role, ATTRIBUTES[2], &said, &size, volume_size)?,
        })
    }

    /// An advice for a machine of this role, which names the attribute in place of each setting that it goes before; `None`:
    /// it names no such setting.
    pub fn in_place_of_settings(&self, role: Role, advice: &str) -> Option<String> {
        let said = [self.image_id.is_some(), !self.instance_types.is_empty(), self.volume_size_gb.is_some()];
        let mut text = advice.to_owned();
        for ((setting, attribute), _) in
            SETTINGS.into_iter().zip(ATTRIBUTES).zip(said).filter(|(_, said)| *said)
        {
            text = text.replace(setting, &format!("{role}_{attribute} (or {attribute}) of the record"));
        }
        (text != advice).then_some(text)
    }
}

fn own_or_both<T>(
    role: Role,
    attribute: &str,
    said: impl Fn(&str) -> Result<Option<String>, &'static str>,
    expected: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    for name in [format!("{role}_{attribute}"), attribute.to_owned()] {
        match said(&name) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let wrong = || format!("the attribute {name} is {:?}, expected {expected}", shown(&text));
                return parse(text.trim()).map(Some).ok_or_else(wrong);
            }
            Err(kind) => return Err(format!("the attribute {name} is {kind}, expected {expected}")),
        }
    }
    Ok(None)
}

pub fn image_id(text: &str) -> Option<String> {
    resource_id("ami-", text)
}

pub fn instance_types(text: &str) -> Option<Vec<String>> {
    list(text, instance_type)
}

fn volume_size(text: &str) -> Option<i32> {
    settings::VOLUME_SIZE_GB.whole_number(text).and_then(|size| i32::try_from(size).ok())
}

/// `family.size`: `t3.large`, `u-6tb1.metal`.
fn instance_type(text: &str) -> Option<String> {
    let (family, size) = text.split_once('.')?;
    let word = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    (word(family) && word(size)).then(|| text.to_owned())
}

/// The id of a resource of EC2, by what stands before its hyphen.
pub fn resource_id(prefix: &str, text: &str) -> Option<String> {
    let rest = text.strip_prefix(prefix)?;
    (!rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
        .then(|| text.to_owned())
}

/// Pieces between commas; spaces and empty pieces are forgiven, a piece that does not parse is not, nor is no piece.
/// A piece that comes twice counts once.
pub fn list<T: PartialEq>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let mut pieces: Vec<T> = Vec::new();
    for piece in text.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
        let piece = parse(piece)?;
        if !pieces.contains(&piece) {
            pieces.push(piece);
        }
    }
    (!pieces.is_empty()).then_some(pieces)
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

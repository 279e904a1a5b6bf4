//! User data: what a machine runs at its first start, with its meeting and role filled in.
//!
//! EC2 accepts 16 KiB. A text is recognised by the first words that cloud-init and EC2Launch know; everything else must
//! be base64, so that nothing is guessed. In a text `@elephant:meeting_id@` and `@elephant:role@` are filled in. No
//! program that reads user data uses such words itself: braces belong to shells, awk, PowerShell, Terraform,
//! CloudFormation and, doubled, to Jinja in cloud-init; `%…%` to batch files; `$` to nearly every language.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::meeting::{MeetingId, Role};

/// The limit before the data is encoded in base64.
pub const LIMIT: usize = 16 * 1024;

const MEETING_ID: &str = "@elephant:meeting_id@";
const ROLE: &str = "@elephant:role@";

/// The markers that older versions filled in. A script may use them for something else.
const FORMER: [(&str, &str); 2] = [("{meeting_id}", MEETING_ID), ("{role}", ROLE)];

/// The first words of a text.
const BEGINNINGS: [&str; 10] = [
    "#!",
    "#cloud-config",
    "#cloud-boothook",
    "#include",
    "#part-handler",
    "## template:",
    "Content-Type:",
    "MIME-Version:",
    "version:",
    "<",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserData {
    Text(String),
    /// Nothing is filled in, for example into a compressed archive.
    Binary(Vec<u8>),
}

impl UserData {
    /// `None`: it is neither a text nor base64, or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let begins = |beginning: &str| {
            text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
        };
        let data = match BEGINNINGS.iter().any(|beginning| begins(beginning)) {
            true => UserData::Text(text.to_owned()),
            false => {
                let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                let bytes = STANDARD.decode(packed).ok().filter(|bytes| !bytes.is_empty())?;
                String::from_utf8(bytes).map_or_else(|e| UserData::Binary(e.into_bytes()), UserData::Text)
            }
        };
        (data.bytes().len() <= LIMIT).then_some(data)
    }

    /// A marker of older versions in the text, for a warning in the log; it stays as it is. A shell's `${role}` and
    /// Jinja's `{{role}}` do not count.
    pub fn former_marker(&self) -> Option<String> {
        let UserData::Text(text) = self else { return None };
        let stands =
            |marker: &str| text.match_indices(marker).any(|(at, _)| !text[..at].ends_with(['$', '{']));
        let (former, marker) = FORMER.into_iter().find(|(former, _)| stands(former))?;
        Some(format!(
            "USER_DATA has {former}, which stays as it is: if it is to be filled in, write {marker}"
        ))
    }

    /// The user data in base64, for this machine. An error with the reason if a shell would not read the id as one word,
    /// because the text may be a script that runs as root, or if the text has become too long.
    pub fn filled(&self, meeting: &MeetingId, role: Role) -> Result<String, String> {
        let text = match self {
            UserData::Binary(bytes) => return Ok(STANDARD.encode(bytes)),
            UserData::Text(text) => text,
        };
        let id = meeting.as_str();
        let harmless = |c: char| c.is_ascii_alphanumeric() || "-_.:@+=/".contains(c);
        if text.contains(MEETING_ID) && !id.chars().all(harmless) {
            return Err(format!(
                "USER_DATA asks for {MEETING_ID}, and the meeting's id has other characters than letters, digits and \
                 -_.:@+=/, which could be commands in a script"
            ));
        }
        // In this order: an id may have the other marker in it.
        let filled = text.replace(ROLE, role.as_str()).replace(MEETING_ID, id);
        match filled.len() {
            length if length > LIMIT => Err(format!(
                "USER_DATA has {length} bytes with the meeting's id filled in, and EC2 takes at most {LIMIT}"
            )),
            _ => Ok(STANDARD.encode(filled)),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            UserData::Text(text) => text.as_bytes(),
            UserData::Binary(bytes) => bytes,
        }
    }
}

//! User data: what a machine is told at its first start, and which meeting and role it is told of.
//!
//! EC2 takes 16 KiB. A text is recognised by the first words that cloud-init and EC2Launch know; anything else has to be
//! base64, so that nothing is guessed. `@elephant:meeting_id@` and `@elephant:role@` are filled in where the data is text.
//! Nothing that reads user data has such words for its own: braces are a shell's, awk's, PowerShell's, Terraform's,
//! CloudFormation's and, doubled, Jinja's in cloud-init; `%…%` is a batch file's; `$` nearly everybody's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::meeting::{MeetingId, Role};

/// Before it is put into base64.
pub const LIMIT: usize = 16 * 1024;

const MEETING_ID: &str = "@elephant:meeting_id@";
const ROLE: &str = "@elephant:role@";

/// What was filled in before there were the two above, and may be a script's own.
const FORMER: [(&str, &str); 2] = [("{meeting_id}", MEETING_ID), ("{role}", ROLE)];

/// What a text begins with.
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
    /// Nothing is filled in, a compressed archive for one.
    Binary(Vec<u8>),
}

impl UserData {
    /// `None`: it is neither, or too long.
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

    /// A text that could have meant a marker of old, which stays as it is now; for the log. Not a shell's
    /// `${role}`, nor Jinja's `{{role}}`.
    pub fn former_marker(&self) -> Option<String> {
        let UserData::Text(text) = self else { return None };
        let stands =
            |marker: &str| text.match_indices(marker).any(|(at, _)| !text[..at].ends_with(['$', '{']));
        let (former, marker) = FORMER.into_iter().find(|(former, _)| stands(former))?;
        Some(format!(
            "USER_DATA has {former}, which stays as it is: if it is to be filled in, write {marker}"
        ))
    }

    /// In base64, for this machine. Refused, with the reason: an id that a shell would not take for one word, for the
    /// text may be a script that runs as root, and a text that has become too long.
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

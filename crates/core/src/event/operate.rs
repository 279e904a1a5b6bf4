//! A request to operate a machine, or something that was made of a machine: `{"do": "<verb>", …}`.
//!
//! These requests are checked more strictly than the others: a field that the verb does not have is refused, because a
//! misspelt field would make something else than the caller asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{MEETING_ID, NAME_SHOWN, cut, fields, kind_of, meeting_id, refused};
use crate::command::Shell;
use crate::error::Error;
use crate::hardware::{InterfaceId, VOLUME_SIZES, VOLUME_TYPES, VolumeId};
use crate::key_pair::{KeyType, without_comment};
use crate::machine::InstanceId;
use crate::meeting::{MeetingId, Role, TAG_VALUE_LIMIT};
use crate::overrides::resource_id;
use crate::vpc::Cidr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operate {
    /// The machine. `images` may have none, and `delete_image` has none.
    pub target: Option<Target>,
    pub verb: Verb,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The machine that the meeting's record names for this role.
    RoleRecord(MeetingId, Role),
    Instance(InstanceId),
}

/// What to do. A `name` is the caller's: the same name is the same thing, so that a request may come twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `wait`: answer once it is stopped.
    Stop {
        wait: bool,
    },
    /// `wait`: answer once it runs.
    Start {
        wait: bool,
    },
    Reboot {
        name: String,
    },
    /// An image. `name`: EC2's name, 3 to 128 characters, unique in account and Region. `reboot`: whether the machine
    /// is restarted for it, so that its disks agree with each other. `wait`: answer once the image is available.
    Snapshot {
        name: String,
        reboot: bool,
        wait: bool,
    },
    /// Our images; if a machine is named, those of the machine.
    Images,
    /// The image with its snapshots.
    DeleteImage {
        image_id: String,
    },
    AddVolume(WantedVolume),
    RemoveVolume(Named<VolumeId>),
    AddNetworkInterface(WantedInterface),
    RemoveNetworkInterface(Named<InterfaceId>),
    Run(WantedCommand),
    EnsureKey {
        name: String,
        origin: KeyOrigin,
    },
    /// The image from which `launch` would start machines now.
    LatestImage,
    /// `name`: the tag that `VPC_NAME` finds. `cidr`: from /16 to /28.
    EnsureVpc {
        name: String,
        cidr: Cidr,
    },
    DeleteVpc {
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCommand {
    /// At most 100 characters.
    pub name: String,
    pub shell: Shell,
    pub command: String,
    /// From 5 to 172,800; after that the command is ended.
    pub timeout_seconds: u32,
}

/// Where a key pair comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// One line in OpenSSH's form, to be imported.
    Imported(String),
    /// EC2 makes the pair, and the private key is kept in Parameter Store. `None`: RSA if launches start from an image
    /// of Windows, else ED25519.
    Created(Option<KeyType>),
}

/// The thing to remove: by its own id, or by the name under which it was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<I> {
    Id(I),
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedVolume {
    pub name: String,
    /// GiB.
    pub size_gb: i32,
    /// EC2's word: `gp3`, `io2`, …
    pub volume_type: String,
    /// Only for gp3, io1 and io2.
    pub iops: Option<i32>,
    /// MiB/s; only for gp3.
    pub throughput: Option<i32>,
    /// Whether the disk is encrypted, with the account's own key for EBS.
    pub encrypted: bool,
}

impl WantedVolume {
    /// An encrypted gp3 disk of this size.
    pub fn new(name: &str, size_gb: i32) -> Self {
        WantedVolume {
            name: name.to_owned(),
            size_gb,
            volume_type: "gp3".to_owned(),
            iops: None,
            throughput: None,
            encrypted: true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedInterface {
    pub name: String,
    /// `None`: the machine's subnet.
    pub subnet_id: Option<String>,
    /// Empty: the machine's groups.
    pub security_group_ids: Vec<String>,
}

macro_rules! verbs {
    ($($verb:ident = $word:literal, $about:expr, $means:literal;)*) => {
        impl Verb {
            pub const ALL: &[&str] = &[$($word),*];

            /// Each verb with what it does, for the documentation: `docs/functions.md` is written from it.
            pub const EXPLAINED: &[(&str, &str)] = &[$(($word, $means)),*];

            pub fn as_str(&self) -> &'static str {
                match self {
                    $(Verb::$verb { .. } => $word,)*
                }
            }

            pub fn about(&self) -> About {
                match self {
                    $(Verb::$verb { .. } => $about,)*
                }
            }
        }
    };
}

/// The kind of target that a verb needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Machine,
    MachineOrAll,
    NoMachine,
}

use About::{Machine, MachineOrAll, NoMachine};

// The word of each verb, its target, and what it does; in an order in which all of them can be tried.
verbs! {
    LatestImage = "latest_image", NoMachine, "says which image a launch would start from";
    EnsureKey = "ensure_key", NoMachine, "makes or imports a key pair to launch with";
    EnsureVpc = "ensure_vpc", NoMachine, "makes a VPC to launch into";
    Run = "run", Machine, "runs a command on a machine, through Systems Manager";
    Snapshot = "snapshot", Machine, "makes an image of a machine";
    Images = "images", MachineOrAll, "lists these images";
    AddVolume = "add_volume", Machine, "adds a disk";
    AddNetworkInterface = "add_network_interface", Machine, "adds a network interface";
    Reboot = "reboot", Machine, "reboots a machine";
    Stop = "stop", Machine, "stops a machine";
    Start = "start", Machine, "starts a machine that is stopped";
    RemoveVolume = "remove_volume", Machine, "removes a disk that was added";
    RemoveNetworkInterface = "remove_network_interface", Machine, "removes a network interface that was added";
    DeleteImage = "delete_image", NoMachine, "deletes an image, with its snapshots";
    DeleteVpc = "delete_vpc", NoMachine, "deletes a VPC that was made, with all that is in it";
}

const EXPECTED: &str =
    r#"{"do": "…", "meeting_id": "…", "role": "teacher", …}, or "instance_id" in place of the two"#;

/// SSM's limit for the comment of a command.
const COMMENT_LIMIT: usize = 100;

/// EC2's own limits on an image's name.
const IMAGE_NAME: RangeInclusive<usize> = 3..=128;
const IMAGE_NAME_SIGNS: &str = " ()[]./-'@_";

impl Operate {
    pub fn from_json(event: &Value) -> Result<Self, Error> {
        let refused = |problem: String| refused(event, problem, EXPECTED);
        Self::read(event).map_err(refused)
    }

    fn read(event: &Value) -> Result<Self, String> {
        let fields = Fields { all: fields_of(event)?, read: RefCell::default() };
        let word = fields
            .text("do")?
            .ok_or_else(|| format!("has no do, and what is to be done is one of {}", Verb::ALL.join(", ")))?;
        let verb = match word {
            "stop" => Verb::Stop { wait: fields.flag("wait", false)? },
            "start" => Verb::Start { wait: fields.flag("wait", false)? },
            "reboot" => Verb::Reboot { name: fields.name()? },
            "snapshot" => Verb::Snapshot {
                name: fields.image_name()?,
                reboot: fields.flag("reboot", false)?,
                wait: fields.flag("wait", false)?,
            },
            "images" => Verb::Images,
            "delete_image" => Verb::DeleteImage { image_id: fields.needed_id("image_id", "ami-")? },
            "add_volume" => Verb::AddVolume(fields.volume()?),
            "remove_volume" => Verb::RemoveVolume(fields.named("volume_id", "vol-")?),
            "add_network_interface" => Verb::AddNetworkInterface(fields.interface()?),
            "remove_network_interface" => {
                Verb::RemoveNetworkInterface(fields.named("network_interface_id", "eni-")?)
            }
            "run" => Verb::Run(fields.command()?),
            "ensure_key" => Verb::EnsureKey { name: fields.key_name()?, origin: fields.key_origin()? },
            "latest_image" => Verb::LatestImage,
            "ensure_vpc" => Verb::EnsureVpc { name: fields.vpc_name()?, cidr: fields.cidr()? },
            "delete_vpc" => Verb::DeleteVpc { name: fields.vpc_name()? },
            other => {
                return Err(format!(
                    "has the do {:?}, which is none of {}",
                    cut(other, NAME_SHOWN),
                    Verb::ALL.join(", ")
                ));
            }
        };
        let target = fields.target()?;
        match (verb.about(), &target) {
            (NoMachine, Some(_)) => return Err(format!("names a machine, and {word} is about none")),
            (NoMachine | MachineOrAll, _) | (Machine, Some(_)) => {}
            (Machine, None) => {
                return Err(format!("has neither a meeting_id with a role nor an instance_id to {word}"));
            }
        }
        fields.nothing_else(word)?;
        Ok(Operate { target, verb })
    }
}

fn fields_of(event: &Value) -> Result<&Map<String, Value>, String> {
    // An object with a `do` is the request itself, even with a `detail`: all fields of a request are in one object.
    match event {
        Value::Object(outer) if outer.contains_key("do") => Ok(outer),
        other => fields(other),
    }
}

struct Fields<'f> {
    all: &'f Map<String, Value>,
    read: RefCell<BTreeSet<&'static str>>,
}

impl<'f> Fields<'f> {
    fn get(&self, name: &'static str) -> Option<&'f Value> {
        self.read.borrow_mut().insert(name);
        self.all.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Result<Option<&'f str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim())),
            Some(Value::String(_)) => Err(format!("has an empty {name}")),
            Some(other) => Err(format!("has {} that is {}, not a string", a(name), kind_of(other))),
        }
    }

    fn flag(&self, name: &'static str, otherwise: bool) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(otherwise),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(format!("has {} that is {}, not a boolean", a(name), kind_of(other))),
        }
    }

    fn whole(&self, name: &'static str, range: RangeInclusive<i32>) -> Result<Option<i32>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(format!(
                "has {} that is {}, not a whole number from {} to {}",
                a(name),
                cut(&value.to_string(), NAME_SHOWN),
                range.start(),
                range.end()
            )),
        }
    }

    fn id(&self, name: &'static str, prefix: &'static str) -> Result<Option<String>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match resource_id(prefix, text).filter(|id| id.len() <= 32) {
            Some(id) => Ok(Some(id)),
            None => {
                Err(format!("has the {name} {:?}, not an id such as {prefix}0a1b2c3d", cut(text, NAME_SHOWN)))
            }
        }
    }

    fn needed_id(&self, name: &'static str, prefix: &'static str) -> Result<String, String> {
        self.id(name, prefix)?.ok_or_else(|| format!("has no {name}"))
    }

    /// A word that the caller chooses: the same word is the same thing, so that a request may come twice.
    fn name(&self) -> Result<String, String> {
        match self.text("name")? {
            Some(name) if name.chars().count() <= TAG_VALUE_LIMIT => Ok(name.to_owned()),
            Some(_) => Err(format!("has a name of more than {TAG_VALUE_LIMIT} characters")),
            None => Err("has no name, by which a repeat of it would be known".to_owned()),
        }
    }

    fn image_name(&self) -> Result<String, String> {
        let name = self.name()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || IMAGE_NAME_SIGNS.contains(c);
        match IMAGE_NAME.contains(&name.len()) && name.chars().all(allowed) {
            true => Ok(name),
            false => Err(format!(
                "has the name {:?}, and EC2 takes 3 to 128 letters, digits, spaces and {} for an image",
                cut(&name, NAME_SHOWN),
                IMAGE_NAME_SIGNS.trim()
            )),
        }
    }

    fn command(&self) -> Result<WantedCommand, String> {
        let name = self.name()?;
        if name.chars().count() > COMMENT_LIMIT {
            return Err(format!(
                "has a name of more than {COMMENT_LIMIT} characters, the room that SSM has for it"
            ));
        }
        let shell = match self.text("shell")? {
            None | Some("sh") => Shell::Shell,
            Some("powershell") => Shell::PowerShell,
            Some(other) => {
                return Err(format!(
                    "has the shell {:?}, which is neither sh nor powershell",
                    cut(other, NAME_SHOWN)
                ));
            }
        };
        let command = self.text("command")?.ok_or("has no command")?.to_owned();
        let seconds = self.whole("timeout_seconds", 5..=172_800)?.unwrap_or(60);
        Ok(WantedCommand { name, shell, command, timeout_seconds: seconds.unsigned_abs() })
    }

    fn key_name(&self) -> Result<String, String> {
        let name = self.name()?;
        match name.len() <= 255 && name.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            true => Ok(name),
            false => Err("has a name that is no key pair's, at most 255 characters of ASCII".to_owned()),
        }
    }

    /// The name is also part of a parameter's name.
    fn vpc_name(&self) -> Result<String, String> {
        let name = self.name()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        match name.len() <= 64 && name.chars().all(allowed) && !name.starts_with("sg-") {
            true => Ok(name),
            false => Err(format!(
                "has the name {:?}, not at most 64 letters, digits, hyphens, dots and underscores",
                cut(&name, NAME_SHOWN)
            )),
        }
    }

    fn cidr(&self) -> Result<Cidr, String> {
        let text = self.text("cidr")?.ok_or("has no cidr")?;
        Cidr::parse(text).ok_or_else(|| {
            format!(
                "has the cidr {:?}, not a block such as 10.20.0.0/16, which EC2 takes from /16 to /28",
                cut(text, NAME_SHOWN)
            )
        })
    }

    fn key_origin(&self) -> Result<KeyOrigin, String> {
        let key_type = match self.text("key_type")? {
            None => None,
            Some(word) => match KeyType::BOTH.into_iter().find(|known| known.as_str() == word) {
                Some(known) => Some(known),
                None => {
                    let word = cut(word, NAME_SHOWN);
                    return Err(format!("has the key_type {word:?}, which is neither ed25519 nor rsa"));
                }
            },
        };
        let Some(text) = self.text("public_key")? else { return Ok(KeyOrigin::Created(key_type)) };
        if key_type.is_some() {
            return Err("has a key_type and a public_key, which has a type of its own".to_owned());
        }
        match without_comment(text) {
            Some(("ssh-ed25519" | "ssh-rsa", key)) if key.len() > 40 && !text.contains('\n') => {
                Ok(KeyOrigin::Imported(text.to_owned()))
            }
            _ => Err("has a public_key that is not one line such as \"ssh-ed25519 AAAA… name\"".to_owned()),
        }
    }

    fn named<I: From<String>>(&self, name: &'static str, prefix: &'static str) -> Result<Named<I>, String> {
        match (self.id(name, prefix)?, self.text("name")?) {
            (Some(id), None) => Ok(Named::Id(id.into())),
            (None, Some(_)) => Ok(Named::Name(self.name()?)),
            (None, None) => Err(format!("has neither a {name} nor a name")),
            (Some(_), Some(_)) => Err(format!("has a {name} and a name, and one is enough")),
        }
    }

    fn volume(&self) -> Result<WantedVolume, String> {
        let volume_type = self.text("volume_type")?.unwrap_or("gp3").to_owned();
        let Some(of) = VOLUME_TYPES.iter().find(|known| known.name == volume_type) else {
            return Err(format!(
                "has the volume_type {:?}, which is none of {}",
                cut(&volume_type, NAME_SHOWN),
                VOLUME_TYPES.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
            ));
        };
        let wanted = WantedVolume {
            name: self.name()?,
            size_gb: self.whole("size_gb", VOLUME_SIZES)?.ok_or("has no size_gb")?,
            iops: self.whole("iops", 100..=256_000)?,
            throughput: self.whole("throughput", 125..=2000)?,
            encrypted: self.flag("encrypted", true)?,
            volume_type,
        };
        match of.misfit(wanted.size_gb, wanted.iops, wanted.throughput) {
            Some(misfit) => Err(misfit),
            None => Ok(wanted),
        }
    }

    fn interface(&self) -> Result<WantedInterface, String> {
        let groups = match self.get("security_group_ids") {
            None => Vec::new(),
            Some(Value::Array(groups)) if !groups.is_empty() => {
                let id = |value: &Value| value.as_str().and_then(|text| resource_id("sg-", text));
                let ids = groups.iter().map(id).collect::<Option<Vec<_>>>();
                ids.ok_or("has security_group_ids that are not all ids such as sg-0a1b2c3d")?
            }
            Some(_) => return Err("has security_group_ids that are no list of ids".to_owned()),
        };
        Ok(WantedInterface {
            name: self.name()?,
            subnet_id: self.id("subnet_id", "subnet-")?,
            security_group_ids: groups,
        })
    }

    fn target(&self) -> Result<Option<Target>, String> {
        let instance = self.id("instance_id", "i-")?;
        let role = match self.text("role")? {
            None => None,
            Some(word) => match Role::BOTH.into_iter().find(|role| role.as_str() == word) {
                Some(role) => Some(role),
                None => return Err("has a role that is neither teacher nor student".to_owned()),
            },
        };
        let names_a_meeting = MEETING_ID.iter().any(|name| self.get(name).is_some());
        let meeting = names_a_meeting.then(|| meeting_id(self.all)).transpose()?;
        match (instance, meeting, role) {
            (Some(instance), None, None) => Ok(Some(Target::Instance(InstanceId::from(instance)))),
            (Some(_), _, _) => {
                Err("has an instance_id and a meeting_id or role, and one is enough".to_owned())
            }
            (None, Some(meeting), Some(role)) => Ok(Some(Target::RoleRecord(meeting, role))),
            (None, Some(_), None) => Err("has a meeting_id and no role".to_owned()),
            (None, None, Some(_)) => Err("has a role and no meeting_id".to_owned()),
            (None, None, None) => Ok(None),
        }
    }

    fn nothing_else(&self, verb: &str) -> Result<(), String> {
        let read = self.read.borrow();
        match self.all.keys().find(|name| !read.contains(name.as_str())) {
            Some(name) => Err(format!("has the field {:?}, which {verb} has not got", cut(name, NAME_SHOWN))),
            None => Ok(()),
        }
    }
}

/// The name with its article.
fn a(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {name}")
}

//! What is looked up once and kept: the subnets that can be used, the zones of each type, the image, the key pair. What does
//! not fit together is found out here, before anything is launched.
//!
//! None of it depends on the meeting, so it is looked up while the function initialises and kept for some minutes,
//! off the path of a delivery. It is looked up again when it is old, or when an answer of EC2 showed it stale.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::config::Config;
use crate::error::{AwsError, Class};
use crate::image::{self, Image, Source, newest};
use crate::needs::{Clock, LookUps, Parameters};
use crate::network::{Found, Offerings, Subnet, Wanted, usable};
use crate::timing::{Timing, after};

/// What a new attempt is made from, beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// At least one of the configured types is offered in the zone of one of them.
    pub subnets: Vec<Subnet>,
    /// `None`: EC2 had no time to say. A zone that does not offer a type then says so itself.
    pub offerings: Option<Offerings>,
    pub image: Image,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    Aws(AwsError),
    /// No subnet can be used; this is what was found.
    NoUsableSubnet(String),
    /// What was configured does not fit what was found; what to change.
    Misfit(String, &'static str),
}

#[derive(Default)]
pub struct Lookups {
    kept: RefCell<Option<(Timestamp, Rc<Surroundings>)>>,
    /// What was found while something else was not: where many functions start at once EC2 refuses some of their
    /// look-ups, and a function that asked for everything again would make it refuse more.
    found: RefCell<Part<Found>>,
    offerings: RefCell<Part<Option<Offerings>>>,
    image: RefCell<Part<Image>>,
    key_pair: RefCell<Part<()>>,
}

/// One of several look-ups, and since when it is known.
type Part<T> = Option<(Timestamp, T)>;

impl Lookups {
    pub async fn get(
        &self,
        ec2: &impl LookUps,
        parameters: &impl Parameters,
        clock: &impl Clock,
        config: &Config,
        wanted: &Wanted,
        timing: &Timing,
    ) -> Result<Rc<Surroundings>, LookupError> {
        let now = clock.now();
        if let Some((since, kept)) = &*self.kept.borrow()
            && now < after(*since, timing.lookups)
        {
            return Ok(kept.clone());
        }
        let believed = |since: Timestamp| now < after(since, timing.lookups);
        let types = &config.instance_types;
        let (found, offerings, image, key_pair) = tokio::join!(
            once(&self.found, believed, now, async { Ok(ec2.find_subnets(&wanted.network).await?) }),
            once(&self.offerings, believed, now, offerings_if_there_is_time(ec2, types)),
            once(&self.image, believed, now, find_image(ec2, parameters, &config.image, types)),
            once(&self.key_pair, believed, now, find_key_pair(ec2, config.key_name.as_deref())),
        );
        let (found, offerings, image) = (found?, offerings?, image?);
        let all = [found.0, offerings.0, image.0, key_pair?.0];
        let since = all.into_iter().min().unwrap_or(now);
        self.forget();
        let subnets = usable(&found.1, wanted).map_err(LookupError::NoUsableSubnet)?;
        if let Some(offerings) = &offerings.1 {
            offered(config, &subnets, offerings)?;
        }
        warn_of_another_architecture(config, &image.1);
        if let Some(least) = image.1.snapshot_gb.filter(|least| config.volume.size_gb < *least) {
            warn!(
                volume_size_gb = config.volume.size_gb,
                snapshot_gb = least,
                "VOLUME_SIZE_GB is less than the image's snapshot has: the volume gets the snapshot's size"
            );
        }
        let fresh = Rc::new(Surroundings { subnets, offerings: offerings.1, image: image.1 });
        *self.kept.borrow_mut() = Some((since, fresh.clone()));
        Ok(fresh)
    }

    /// An answer showed them stale: whoever needs them next looks again.
    pub fn forget(&self) {
        *self.kept.borrow_mut() = None;
        *self.found.borrow_mut() = None;
        *self.offerings.borrow_mut() = None;
        *self.image.borrow_mut() = None;
        *self.key_pair.borrow_mut() = None;
    }
}

/// What is known already, if it is not too old, or else what `look_up` finds.
async fn once<T: Clone>(
    part: &RefCell<Part<T>>,
    believed: impl Fn(Timestamp) -> bool,
    now: Timestamp,
    look_up: impl Future<Output = Result<T, LookupError>>,
) -> Result<(Timestamp, T), LookupError> {
    let known = part.borrow().clone();
    if let Some(known) = known.filter(|(since, _)| believed(*since)) {
        return Ok(known);
    }
    let found = (now, look_up.await?);
    *part.borrow_mut() = Some(found.clone());
    Ok(found)
}

/// Everything that is looked up, afresh and each for itself: for a person who wants to know all that is wrong.
pub struct Looked {
    pub subnets: Result<Vec<Subnet>, LookupError>,
    pub offerings: Result<Option<Offerings>, LookupError>,
    pub image: Result<Image, LookupError>,
    pub key_pair: Result<(), LookupError>,
}

impl Looked {
    pub async fn at(
        ec2: &impl LookUps,
        parameters: &impl Parameters,
        config: &Config,
        wanted: &Wanted,
    ) -> Self {
        let (found, offerings, image, key_pair) = tokio::join!(
            ec2.find_subnets(&wanted.network),
            offerings_if_there_is_time(ec2, &config.instance_types),
            find_image(ec2, parameters, &config.image, &config.instance_types),
            find_key_pair(ec2, config.key_name.as_deref()),
        );
        let subnets = found.map_err(LookupError::Aws);
        Looked {
            subnets: subnets.and_then(|found| usable(&found, wanted).map_err(LookupError::NoUsableSubnet)),
            offerings,
            image,
            key_pair,
        }
    }

    /// What does not fit together, of what was found.
    pub fn misfit(&self, config: &Config) -> Option<LookupError> {
        let (Ok(subnets), Ok(Some(offerings))) = (&self.subnets, &self.offerings) else { return None };
        offered(config, subnets, offerings).err()
    }
}

impl From<AwsError> for LookupError {
    fn from(error: AwsError) -> Self {
        LookupError::Aws(error)
    }
}

/// Asked once. Where hundreds of functions start together EC2 refuses most of their look-ups, and every one that has to
/// be repeated is time in which nothing is launched; this one can be done without.
async fn offerings_if_there_is_time(
    ec2: &impl LookUps,
    instance_types: &[String],
) -> Result<Option<Offerings>, LookupError> {
    match ec2.find_offerings(instance_types).await {
        Ok(offerings) => Ok(Some(offerings)),
        Err(error) if matches!(error.class, Class::Throttled | Class::Ambiguous) => {
            info!(%error, "not known which zone offers which type; the zones themselves will say");
            Ok(None)
        }
        Err(error) => Err(LookupError::Aws(error)),
    }
}

async fn find_image(
    ec2: &impl LookUps,
    parameters: &impl Parameters,
    source: &Source,
    instance_types: &[String],
) -> Result<Image, LookupError> {
    match source {
        Source::Id(id) => Ok(ec2.find_image(id).await?),
        Source::Parameter(name) => {
            let id = parameters.parameter(name).await?;
            if !id.starts_with("ami-") {
                let advice = "set AMI_ID to a parameter that holds an image's id";
                // Not what it holds instead: it may be a password, and this goes into the record.
                return Err(LookupError::Misfit(format!("the parameter {name} holds no image's id"), advice));
            }
            Ok(ec2.find_image(&id).await?)
        }
        Source::Named { pattern, owner, architecture } => {
            let mut found = ec2.find_images(pattern, owner, *architecture).await?;
            // Publishers bring out both architectures at once: without one said, what the first type can run.
            if let (None, Some(first)) = (architecture, instance_types.first()) {
                found.retain(|image| image::may_run_on(image, first));
            }
            newest(found).ok_or_else(|| {
                let of = architecture.map(|known| format!(" for {}", known.as_str())).unwrap_or_default();
                let problem = format!("{owner} has no available image{of} that is called {pattern}");
                LookupError::Misfit(
                    problem,
                    "change AMI_NAME, AMI_OWNER or AMI_ARCH, or the name that AMI_ID gives",
                )
            })
        }
    }
}

async fn find_key_pair(ec2: &impl LookUps, name: Option<&str>) -> Result<(), LookupError> {
    match name {
        Some(name) => Ok(ec2.find_key_pair(name).await?),
        None => Ok(()),
    }
}

/// At least one of the types in at least one of the zones.
fn offered(config: &Config, subnets: &[Subnet], offerings: &Offerings) -> Result<(), LookupError> {
    let zones: BTreeSet<&str> = subnets.iter().map(|subnet| subnet.availability_zone.as_str()).collect();
    if offerings.iter().any(|(_, zone)| zones.contains(zone.as_str())) {
        return Ok(());
    }
    let zones = zones.into_iter().collect::<Vec<_>>().join(", ");
    let offers: Vec<String> =
        offerings.iter().map(|(instance_type, zone)| format!("{instance_type} in {zone}")).collect();
    let offers = match offers.is_empty() {
        true => "no zone of this Region offers any of them".to_owned(),
        false => format!("offered are {}", offers.join(", ")),
    };
    let types = config.instance_types.join(",");
    Err(LookupError::Misfit(
        format!("INSTANCE_TYPE is {types}, and the usable zones are {zones}; {offers}"),
        "set INSTANCE_TYPE to types that these zones offer, or SUPPORTED_AZS to zones that offer the type",
    ))
}

/// EC2 refuses a type that cannot run the image, and says so well. It is said here already, but only said: what is known
/// without a request is how types are named.
fn warn_of_another_architecture(config: &Config, image: &Image) {
    let other = |instance_type: &&String| !image::may_run_on(image, instance_type);
    if let Some(instance_type) = config.instance_types.iter().find(other) {
        warn!(
            image_id = image.image_id,
            architecture = image.architecture,
            instance_type,
            "INSTANCE_TYPE names a type that by its name cannot run the image: change it, AMI_ID or AMI_ARCH"
        );
    }
}

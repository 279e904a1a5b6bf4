//! What is looked up once and kept: the subnets that can be used, the zones of each type, and the image's root device.
//!
//! None of it depends on the meeting, so it is looked up while the function initialises and kept for some minutes,
//! off the path of a delivery. It is looked up again when it is old, or when an answer of EC2 showed it stale.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;

use jiff::Timestamp;

use crate::config::Config;
use crate::error::AwsError;
use crate::needs::{Clock, LookUps, Networks};
use crate::network::{Found, Offerings, Subnet, Wanted, usable};
use crate::timing::{Timing, after};

/// What a new attempt is made from, beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// At least one of the configured types is offered in the zone of one of them.
    pub subnets: Vec<Subnet>,
    pub offerings: Offerings,
    pub root_device: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    Aws(AwsError),
    /// No subnet can be used; this is what was found.
    NoUsableSubnet(String),
    /// No zone of these subnets offers any of the types; this is what was found.
    NotOffered(String),
}

#[derive(Default)]
pub struct Lookups {
    kept: RefCell<Option<(Timestamp, Rc<Surroundings>)>>,
    /// What was found while something else was not: where many functions start at once EC2 refuses some of their
    /// look-ups, and a function that asked for everything again would make it refuse more.
    found: RefCell<Part<Found>>,
    offerings: RefCell<Part<Offerings>>,
    root_device: RefCell<Part<String>>,
}

/// One of several look-ups, and since when it is known.
type Part<T> = Option<(Timestamp, T)>;

impl Lookups {
    pub async fn get(
        &self,
        ec2: &impl LookUps,
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
        let (found, offerings, root_device) = tokio::join!(
            once(&self.found, believed, now, ec2.find_subnets(&wanted.network)),
            once(&self.offerings, believed, now, ec2.find_offerings(&config.instance_types)),
            once(&self.root_device, believed, now, root_device(ec2, config)),
        );
        let aws = LookupError::Aws;
        let (found, offerings) = (found.map_err(aws)?, offerings.map_err(aws)?);
        let root_device = root_device.map_err(aws)?;
        let since = found.0.min(offerings.0).min(root_device.0);
        self.forget();
        let subnets = usable(&found.1, wanted).map_err(LookupError::NoUsableSubnet)?;
        let offered = |s: &Subnet| offerings.1.iter().any(|(_, zone)| *zone == s.availability_zone);
        if !subnets.iter().any(offered) {
            return Err(LookupError::NotOffered(not_offered(config, &subnets, &offerings.1)));
        }
        let fresh = Rc::new(Surroundings { subnets, offerings: offerings.1, root_device: root_device.1 });
        *self.kept.borrow_mut() = Some((since, fresh.clone()));
        Ok(fresh)
    }

    /// An answer showed them stale: whoever needs them next looks again.
    pub fn forget(&self) {
        *self.kept.borrow_mut() = None;
        *self.found.borrow_mut() = None;
        *self.offerings.borrow_mut() = None;
        *self.root_device.borrow_mut() = None;
    }
}

/// What is known already, if it is not too old, or else what `look_up` finds.
async fn once<T: Clone>(
    part: &RefCell<Part<T>>,
    believed: impl Fn(Timestamp) -> bool,
    now: Timestamp,
    look_up: impl Future<Output = Result<T, AwsError>>,
) -> Result<(Timestamp, T), AwsError> {
    let known = part.borrow().clone();
    if let Some(known) = known.filter(|(since, _)| believed(*since)) {
        return Ok(known);
    }
    let found = (now, look_up.await?);
    *part.borrow_mut() = Some(found.clone());
    Ok(found)
}

fn not_offered(config: &Config, subnets: &[Subnet], offerings: &Offerings) -> String {
    let zones: BTreeSet<&str> = subnets.iter().map(|subnet| subnet.availability_zone.as_str()).collect();
    let zones = zones.into_iter().collect::<Vec<_>>().join(", ");
    let offers: Vec<String> =
        offerings.iter().map(|(instance_type, zone)| format!("{instance_type} in {zone}")).collect();
    let offers = match offers.is_empty() {
        true => "no zone of this Region offers any of them".to_owned(),
        false => format!("offered are {}", offers.join(", ")),
    };
    format!(
        "INSTANCE_TYPE is {}, and the usable zones are {zones}; {offers}",
        config.instance_types.join(",")
    )
}

async fn root_device(networks: &impl Networks, config: &Config) -> Result<String, AwsError> {
    match &config.volume.device {
        Some(device) => Ok(device.clone()),
        None => networks.find_root_device(&config.image_id).await,
    }
}

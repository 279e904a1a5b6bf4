//! What is looked up once and kept: the subnets that can be used, and the image's root device.
//!
//! Neither depends on the meeting, so they are looked up while the function initialises and kept for some minutes, off
//! the path of a delivery. They are looked up again when they are old, or when an answer of EC2 showed them stale.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use jiff::Timestamp;

use crate::config::Config;
use crate::error::AwsError;
use crate::needs::{Clock, Networks};
use crate::network::{Found, Subnet, Wanted, usable};
use crate::timing::{Timing, after};

/// What a new attempt is made from, beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Never empty.
    pub subnets: Vec<Subnet>,
    pub root_device: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    Aws(AwsError),
    /// No subnet can be used; this is what was found.
    NoUsableSubnet(String),
}

#[derive(Default)]
pub struct Lookups {
    kept: RefCell<Option<(Timestamp, Rc<Surroundings>)>>,
    /// What was found while something else was not: where many functions start at once EC2 refuses some of their
    /// look-ups, and a function that asked for everything again would make it refuse more.
    found: RefCell<Part<Found>>,
    root_device: RefCell<Part<String>>,
}

/// One of several look-ups, and since when it is known.
type Part<T> = Option<(Timestamp, T)>;

impl Lookups {
    pub async fn get(
        &self,
        networks: &impl Networks,
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
        let (found, root_device) = tokio::join!(
            once(&self.found, believed, now, networks.find_subnets(wanted.subnet_ids.as_deref())),
            once(&self.root_device, believed, now, root_device(networks, config)),
        );
        let (found, root_device) = (found.map_err(LookupError::Aws)?, root_device.map_err(LookupError::Aws)?);
        let since = found.0.min(root_device.0);
        self.forget();
        let subnets = usable(&found.1, wanted).map_err(LookupError::NoUsableSubnet)?;
        let fresh = Rc::new(Surroundings { subnets, root_device: root_device.1 });
        *self.kept.borrow_mut() = Some((since, fresh.clone()));
        Ok(fresh)
    }

    /// An answer showed them stale: whoever needs them next looks again.
    pub fn forget(&self) {
        *self.kept.borrow_mut() = None;
        *self.found.borrow_mut() = None;
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

async fn root_device(networks: &impl Networks, config: &Config) -> Result<String, AwsError> {
    match &config.volume.device {
        Some(device) => Ok(device.clone()),
        None => networks.find_root_device(&config.image_id).await,
    }
}

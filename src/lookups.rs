//! What is looked up once and kept: the subnets that can be used, and the image's root device.
//!
//! Neither depends on the meeting, so they are looked up while the function initialises and kept for some minutes, off
//! the path of a delivery. They are looked up again when they are old, or when an answer of EC2 showed them stale.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::Timestamp;

use crate::config::Config;
use crate::error::AwsError;
use crate::needs::{Clock, Networks};
use crate::network::{Subnet, Wanted, usable};
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
}

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
        let (found, root_device) =
            tokio::join!(networks.find_subnets(wanted.subnet_ids.as_deref()), root_device(networks, config));
        let subnets =
            usable(&found.map_err(LookupError::Aws)?, wanted).map_err(LookupError::NoUsableSubnet)?;
        let root_device = root_device.map_err(LookupError::Aws)?;
        let fresh = Rc::new(Surroundings { subnets, root_device });
        *self.kept.borrow_mut() = Some((now, fresh.clone()));
        Ok(fresh)
    }

    /// An answer showed them stale: whoever needs them next looks again.
    pub fn forget(&self) {
        *self.kept.borrow_mut() = None;
    }
}

async fn root_device(networks: &impl Networks, config: &Config) -> Result<String, AwsError> {
    match &config.volume.device {
        Some(device) => Ok(device.clone()),
        None => networks.find_root_device(&config.image_id).await,
    }
}

//! Look-ups that are made once and kept: the subnets that can be used, the zones of each type, the image, the key pair.
//! If they do not fit together, that is found out here, before anything is launched.
//!
//! None of them depends on the meeting. So they are made while the function initialises and kept for some minutes, and
//! deliveries do not wait for them. An image that a meeting's record names is looked up with the meeting's first
//! delivery, and kept as long. A look-up is made again when it is old, or when an answer of EC2 showed that it is
//! stale.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::config::Config;
use crate::error::{AwsError, Class};
use crate::image::{self, Image, Source, newest};
use crate::key_pair::KeyType;
use crate::launch_template::{LaunchTemplate, Pinned, Template};
use crate::machine::{IDENTITY_TAGS, Market};
use crate::network::{Found, Offerings, Subnet, SubnetSelection, usable};
use crate::plan::Origin;
use crate::ports::{Images, LaunchTemplates, LookUps, ParameterStore};
use crate::timing::{Timing, after};

/// What a new attempt is made from, besides the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedInputs {
    /// The zone of at least one of them offers at least one of the configured types.
    pub subnets: Vec<Subnet>,
    /// `None`: EC2 did not say. Then only EC2's answer to a launch says that a zone does not offer a type.
    pub offerings: Option<Offerings>,
    /// In order of preference, never empty.
    pub instance_types: Vec<String>,
    pub origin: Origin,
    /// The type of the key pair that is configured.
    pub key_type: Option<KeyType>,
    /// The devices of the launch template's disks.
    pub template_devices: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    Aws(AwsError),
    /// No subnet can be used; this is what was found.
    NoUsableSubnet(String),
    /// What was configured does not fit what was found. The second part says what to change.
    Misfit(String, &'static str),
    /// The image that a record names cannot be used.
    OwnImage(Box<AwsError>),
}

#[derive(Default)]
pub struct Lookups {
    kept: RefCell<Option<(Timestamp, Rc<ResolvedInputs>)>>,
    /// Each part that was found is kept even if another one was not. When many functions start at once, EC2 refuses
    /// some of their look-ups, and a function that asked for everything again would make EC2 refuse more.
    found: RefCell<Part<Found>>,
    template: RefCell<Part<Option<Template>>>,
    offerings: RefCell<Part<Option<Offerings>>>,
    image: RefCell<Part<Image>>,
    key_pair: RefCell<Part<Option<KeyType>>>,
    /// The images that records name, by their ids.
    own_images: RefCell<BTreeMap<String, (Timestamp, Image)>>,
}

/// One of several look-ups, and since when it is known.
type Part<T> = Option<(Timestamp, T)>;

/// What is to be resolved, and who is asked.
pub struct Inputs<'i, E, P> {
    pub ec2: &'i E,
    pub parameters: &'i P,
    pub config: &'i Config,
    pub wanted: &'i SubnetSelection,
}

/// All that was looked up, and since when the oldest of it is known.
struct Gathered {
    since: Timestamp,
    basis: Basis,
    found: Found,
    offerings: Option<Offerings>,
    image: Image,
    key_type: Option<KeyType>,
}

impl Lookups {
    pub async fn get<E: LookUps, P: ParameterStore>(
        &self,
        inputs: &Inputs<'_, E, P>,
        now: Timestamp,
        timing: &Timing,
    ) -> Result<Rc<ResolvedInputs>, LookupError> {
        let believed = |since: Timestamp| now < after(since, timing.lookups);
        if let Some((since, kept)) = &*self.kept.borrow()
            && believed(*since)
        {
            return Ok(kept.clone());
        }
        let gathered = self.gather(inputs, now, believed).await?;
        self.forget();
        let since = gathered.since;
        let fresh = Rc::new(gathered.fit_together(inputs.config, inputs.wanted)?);
        *self.kept.borrow_mut() = Some((since, fresh.clone()));
        Ok(fresh)
    }

    async fn gather<E: LookUps, P: ParameterStore>(
        &self,
        &Inputs { ec2, parameters, config, wanted }: &Inputs<'_, E, P>,
        now: Timestamp,
        believed: impl Fn(Timestamp) -> bool + Copy,
    ) -> Result<Gathered, LookupError> {
        // The template may determine the image and the types, so it comes first.
        let made_from = async {
            let template = once(&self.template, believed, now, find_template(ec2, config)).await?;
            let basis = basis(config, template.1)?;
            let (types, source) = (&basis.instance_types, &basis.image);
            let (offerings, image) = tokio::join!(
                once(&self.offerings, believed, now, offerings_if_there_is_time(ec2, types)),
                once(&self.image, believed, now, find_image(ec2, parameters, source, types)),
            );
            Ok::<_, LookupError>((template.0, basis, offerings?, image?))
        };
        let (found, made_from, key_pair) = tokio::join!(
            once(&self.found, believed, now, async { Ok(ec2.find_subnets(&wanted.network).await?) }),
            made_from,
            once(&self.key_pair, believed, now, find_key_pair(ec2, config.key_name.as_deref())),
        );
        let (found, (template, basis, offerings, image), key_pair) = (found?, made_from?, key_pair?);
        let all = [template, found.0, offerings.0, image.0, key_pair.0];
        Ok(Gathered {
            since: all.into_iter().min().unwrap_or(now),
            basis,
            found: found.1,
            offerings: offerings.1,
            image: image.1,
            key_type: key_pair.1,
        })
    }

    /// An image that a record names, looked up once like everything else.
    pub async fn own_image(
        &self,
        ec2: &impl Images,
        image_id: &str,
        now: Timestamp,
        timing: &Timing,
    ) -> Result<Image, AwsError> {
        let known = self.own_images.borrow().get(image_id).cloned();
        if let Some((_, image)) = known.filter(|(since, _)| now < after(*since, timing.lookups)) {
            return Ok(image);
        }
        let image = ec2.find_image(image_id).await?;
        self.own_images.borrow_mut().insert(image_id.to_owned(), (now, image.clone()));
        Ok(image)
    }

    /// An answer showed that the look-ups are stale: the next delivery that needs them looks again.
    pub fn forget(&self) {
        *self.kept.borrow_mut() = None;
        *self.found.borrow_mut() = None;
        *self.template.borrow_mut() = None;
        *self.offerings.borrow_mut() = None;
        *self.image.borrow_mut() = None;
        *self.key_pair.borrow_mut() = None;
        self.own_images.borrow_mut().clear();
    }
}

impl Gathered {
    fn fit_together(self, config: &Config, wanted: &SubnetSelection) -> Result<ResolvedInputs, LookupError> {
        let Gathered { basis, found, offerings, image, key_type, .. } = self;
        let subnets = usable(&found, wanted).map_err(LookupError::NoUsableSubnet)?;
        if let Some(offerings) = &offerings {
            offered(&basis.instance_types, &subnets, offerings)?;
        }
        of_one_architecture(&basis.instance_types, &image)?;
        takes_the_key(config, key_type, &image)?;
        let ours = !config.keeps_volume();
        if let Some(least) = image.snapshot_gb.filter(|least| ours && config.volume.size_gb < *least) {
            warn!(
                volume_size_gb = config.volume.size_gb,
                snapshot_gb = least,
                "VOLUME_SIZE_GB is less than the image's snapshot has: the volume gets the snapshot's size"
            );
        }
        Ok(basis.with(subnets, offerings, image, key_type))
    }
}

/// The kept look-up, if it is not too old, or else what `look_up` finds.
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

/// Everything that is looked up, afresh and each part for itself, for a person who wants to know all that is wrong.
pub struct Looked {
    /// What machines are made from. The look-ups of image and types depend on it.
    pub basis: Result<Basis, LookupError>,
    pub subnets: Result<Vec<Subnet>, LookupError>,
    pub offerings: Result<Option<Offerings>, LookupError>,
    pub image: Result<Image, LookupError>,
    pub key_pair: Result<Option<KeyType>, LookupError>,
}

impl Looked {
    pub async fn at<E: LookUps, P: ParameterStore>(
        &Inputs { ec2, parameters, config, wanted }: &Inputs<'_, E, P>,
    ) -> Self {
        let basis = find_template(ec2, config).await.and_then(|template| basis(config, template));
        let of_basis = async {
            match &basis {
                Ok(basis) => tokio::join!(
                    offerings_if_there_is_time(ec2, &basis.instance_types),
                    find_image(ec2, parameters, &basis.image, &basis.instance_types),
                ),
                Err(error) => (Ok(None), Err(error.clone())),
            }
        };
        let (found, (offerings, image), key_pair) = tokio::join!(
            ec2.find_subnets(&wanted.network),
            of_basis,
            find_key_pair(ec2, config.key_name.as_deref()),
        );
        let subnets = found.map_err(LookupError::Aws);
        Looked {
            subnets: subnets.and_then(|found| usable(&found, wanted).map_err(LookupError::NoUsableSubnet)),
            offerings,
            image,
            key_pair,
            basis,
        }
    }

    /// What machines are made from, of what was found: everything except where they may be.
    pub fn resolved_inputs(&self) -> Option<ResolvedInputs> {
        let (Ok(basis), Ok(image)) = (&self.basis, &self.image) else { return None };
        let key_type = self.key_pair.clone().unwrap_or_default();
        Some(basis.clone().with(Vec::new(), None, image.clone(), key_type))
    }

    /// The look-ups that failed, and why, in the order in which a person should mend them.
    pub fn failures(&self) -> impl Iterator<Item = &LookupError> {
        let failed = [
            self.image.as_ref().err(),
            self.key_pair.as_ref().err(),
            self.subnets.as_ref().err(),
            self.offerings.as_ref().err(),
        ];
        failed.into_iter().flatten()
    }

    /// Of what was found, everything that does not fit together.
    pub fn misfits(&self, config: &Config) -> Vec<LookupError> {
        let Ok(Basis { instance_types: types, .. }) = &self.basis else { return Vec::new() };
        let image = self.image.as_ref().ok().and_then(|image| of_one_architecture(types, image).err());
        let key = match (&self.image, &self.key_pair) {
            (Ok(image), Ok(key_type)) => takes_the_key(config, *key_type, image).err(),
            _ => None,
        };
        let zones = match (&self.subnets, &self.offerings) {
            (Ok(subnets), Ok(Some(offerings))) => offered(types, subnets, offerings).err(),
            _ => None,
        };
        image.into_iter().chain(key).chain(zones).collect()
    }
}

/// What machines are made from: the configuration, and the launch template for what the configuration does not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basis {
    pub image: Source,
    pub instance_types: Vec<String>,
    pub template: Option<Pinned>,
    pub template_devices: Vec<String>,
}

impl Basis {
    fn with(
        self,
        subnets: Vec<Subnet>,
        offerings: Option<Offerings>,
        image: Image,
        key_type: Option<KeyType>,
    ) -> ResolvedInputs {
        ResolvedInputs {
            subnets,
            offerings,
            instance_types: self.instance_types,
            origin: Origin { template: self.template, ..Origin::from(image) },
            key_type,
            template_devices: self.template_devices,
        }
    }
}

/// What is wrong with a template, and what to do about it.
type Unfit = (String, &'static str);

fn basis(config: &Config, template: Option<Template>) -> Result<Basis, LookupError> {
    let Config { image, instance_types, .. } = config;
    let (Some(wanted), Some(template)) = (&config.launch_template, template) else {
        return Ok(Basis {
            image: image.clone(),
            instance_types: instance_types.clone(),
            template: None,
            template_devices: Vec::new(),
        });
    };
    let Pinned { launch_template_id, version } = template.pinned.clone();
    of_both(config, template).map_err(|(what, advice)| {
        let problem =
            format!("LAUNCH_TEMPLATE is {wanted}, and version {version} of {launch_template_id} has {what}");
        LookupError::Misfit(problem, advice)
    })
}

/// Image and types come from the template if the configuration names none.
fn of_both(config: &Config, template: Template) -> Result<Basis, Unfit> {
    refused_with_each_launch(config, &template)?;
    tags_wrongly(config, &template.tags)?;
    chosen_for_each_launch(config, &template)?;
    let unfit = |what: &str, advice| Err((what.to_owned(), advice));
    let image = match (&config.image, template.image) {
        (Source::Template, None) => return unfit("no image", "set AMI_ID, or give the template an image"),
        (Source::Template, Some(text)) => of_template(text),
        (image, _) => image.clone(),
    };
    let instance_types = match (&config.instance_types[..], template.instance_type) {
        ([], None) => {
            return unfit("no instance type", "set INSTANCE_TYPE, or give the template an instance type");
        }
        ([], Some(instance_type)) => vec![instance_type],
        (types, _) => types.to_vec(),
    };
    let Template { pinned, devices, .. } = template;
    Ok(Basis { image, instance_types, template: Some(pinned), template_devices: devices })
}

/// The first row whose condition is true, as an error.
fn first_of<const N: usize>(rows: [(bool, &str, &'static str); N]) -> Result<(), Unfit> {
    match rows.into_iter().find(|(is_so, ..)| *is_so) {
        Some((_, what, advice)) => Err((what.to_owned(), advice)),
        None => Ok(()),
    }
}

/// With any of these, EC2 refuses every request of ours, or the machine could not be what it should be.
fn refused_with_each_launch(config: &Config, template: &Template) -> Result<(), Unfit> {
    first_of([
        (
            template.has_network_interfaces,
            "network interfaces, which leave no room for the subnet that is chosen for each launch",
            "take them out of the template, and set SECURITY_GROUP_IDS, and PUBLIC_IP if need be",
        ),
        (
            config.public_ip.is_some() && template.has_security_groups,
            "security groups, beside which EC2 takes no network interface, and PUBLIC_IP asks for one",
            "take them out of the template, and set SECURITY_GROUP_IDS; or unset PUBLIC_IP",
        ),
        (
            template.is_protected,
            "termination or stop protection, so that nobody could end its machines",
            "take DisableApiTermination and DisableApiStop out of the template",
        ),
        (
            template.has_groups_by_name,
            "security groups by name, which EC2 takes beside no subnet",
            "give the template its security groups by their ids",
        ),
        (
            template.has_no_metadata,
            "the instance metadata service disabled, by which a machine learns which one it is",
            "enable it in the template",
        ),
    ])
}

/// Tags of the template that EC2 refuses, or that the function's role may not write.
fn tags_wrongly(config: &Config, tags: &[(String, String)]) -> Result<(), Unfit> {
    if tags.iter().any(|(kind, _)| kind == SPOT_REQUEST) && config.markets.contains(&Market::OnDemand) {
        return Err((
            "tags of Spot requests, with which EC2 refuses a launch on demand".to_owned(),
            "take them out of the template, or set MARKET to spot",
        ));
    }
    if let Some((kind, _)) = tags.iter().find(|(kind, _)| !TAGGED.contains(&kind.as_str())) {
        return Err((
            format!("tags of {kind}, which the function's role may not write"),
            "take them out of the template",
        ));
    }
    match tags.iter().find(|(_, key)| !config.extra_tags.contains_key(key)) {
        None => Ok(()),
        Some((_, key)) if IDENTITY_TAGS.contains(&key.as_str()) => Err((
            format!("the tag {key}, which says of each machine whose it is"),
            "take it out of the template",
        )),
        Some((_, key)) => Err((
            format!("the tag {key}, which the function's role may not write"),
            "take it out of the template, and set it in EXTRA_TAGS",
        )),
    }
}

/// What each launch sets itself, so the template may not set it; and the security groups, which one of the two must
/// set.
fn chosen_for_each_launch(config: &Config, template: &Template) -> Result<(), Unfit> {
    let zone = template.availability_zone.as_deref();
    first_of([
        (
            template.has_instance_requirements,
            "instance requirements",
            "take them out of the template, and set INSTANCE_TYPE",
        ),
        (
            zone.is_some(),
            &format!("the zone {}, and the zone is chosen for each launch", zone.unwrap_or_default()),
            "take it out of the template, and set SUPPORTED_AZS",
        ),
        (template.has_market_options, "market options", "take them out of the template, and set MARKET"),
        (
            config.security_group_ids.is_empty() && !template.has_security_groups,
            "no security groups",
            "set SECURITY_GROUP_IDS, or give the template security groups",
        ),
    ])
}

/// The kinds of resources that a launch tags, in EC2's words.
const TAGGED: [&str; 4] = ["instance", "volume", "network-interface", SPOT_REQUEST];
const SPOT_REQUEST: &str = "spot-instances-request";

async fn find_template(ec2: &impl LookUps, config: &Config) -> Result<Option<Template>, LookupError> {
    match &config.launch_template {
        Some(wanted) => Ok(Some(ec2.find_launch_template(wanted).await?)),
        None => Ok(None),
    }
}

impl From<AwsError> for LookupError {
    fn from(error: AwsError) -> Self {
        LookupError::Aws(error)
    }
}

/// Ask only once. When hundreds of functions start together, EC2 refuses most of their look-ups, and nothing is
/// launched while they are repeated. A launch can do without this look-up.
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

/// The image that a launch would take now, found in the same way.
pub async fn latest_image(
    ec2: &(impl Images + LaunchTemplates),
    parameters: &impl ParameterStore,
    image: &Source,
    instance_types: &[String],
    launch_template: Option<&LaunchTemplate>,
) -> Result<Image, LookupError> {
    let (mut source, mut types) = (image.clone(), instance_types.to_vec());
    if let Some(wanted) = launch_template {
        let template = ec2.find_launch_template(wanted).await?;
        if let (Source::Template, Some(text)) = (image, template.image) {
            source = of_template(text);
        }
        if types.is_empty() {
            types.extend(template.instance_type);
        }
    }
    find_image(ec2, parameters, &source, &types).await
}

/// The image that a template names.
fn of_template(text: String) -> Source {
    match text.strip_prefix("resolve:ssm:") {
        Some(name) => Source::Parameter(name.to_owned()),
        None => Source::Id(text),
    }
}

async fn find_image(
    ec2: &impl Images,
    parameters: &impl ParameterStore,
    source: &Source,
    instance_types: &[String],
) -> Result<Image, LookupError> {
    match source {
        Source::Id(id) => Ok(ec2.find_image(id).await?),
        // This was resolved before: to the template's own image, or to the error that it has none.
        Source::Template => Err(LookupError::Misfit("no image is configured".to_owned(), "set AMI_ID")),
        Source::Parameter(name) => {
            let id = parameters.parameter(name).await?;
            if !id.starts_with("ami-") {
                let advice = "set AMI_ID to a parameter that holds an image's id";
                // The message does not tell the parameter's value: that may be a password, and the message goes into
                // the record.
                return Err(LookupError::Misfit(format!("the parameter {name} holds no image's id"), advice));
            }
            Ok(ec2.find_image(&id).await?)
        }
        Source::Named { pattern, owner, architecture } => {
            let mut found = ec2.find_images(pattern, owner, *architecture).await?;
            // Publishers bring out both architectures at once. If none is set, only what the first type can run counts.
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

async fn find_key_pair(ec2: &impl LookUps, name: Option<&str>) -> Result<Option<KeyType>, LookupError> {
    match name {
        Some(name) => Ok(ec2.find_key_pair(name).await?),
        None => Ok(None),
    }
}

/// EC2 would refuse the launch (attack_range #901); with an older image, the password could not be decrypted.
fn takes_the_key(config: &Config, key_type: Option<KeyType>, image: &Image) -> Result<(), LookupError> {
    match (&config.key_name, key_type) {
        (Some(name), Some(KeyType::Ed25519)) if image.is_windows => Err(LookupError::Misfit(
            format!(
                "KEY_NAME is {name}, an ED25519 key pair, and the image {} is of Windows",
                image.image_id
            ),
            "set KEY_NAME to an RSA key pair, or unset it: Windows takes no other",
        )),
        _ => Ok(()),
    }
}

/// Whether a machine from an image that its record names, and of one of these types, can be what was asked for; if not,
/// why. The disk is not checked: it is made for this image's root device.
pub fn own_image_fits(
    surroundings: &ResolvedInputs,
    config: &Config,
    image: &Image,
    types: &[String],
) -> Result<(), LookupError> {
    takes_the_key(config, surroundings.key_type, image)?;
    let (configured, own) = (&surroundings.origin.image.root_device, &image.root_device);
    if configured != own && surroundings.template_devices.contains(configured) {
        return Err(LookupError::Misfit(
            format!(
                "the image {} has its root on {own}, and the launch template's disk is {configured}",
                image.image_id
            ),
            "change AMI_ID or AMI_NAME to an image with that root device, or take the disk out of the template",
        ));
    }
    match types.iter().any(|instance_type| image::may_run_on(image, instance_type)) {
        true => Ok(()),
        false => of_one_architecture(types, image),
    }
}

/// At least one of the types must be offered in at least one of the zones.
fn offered(types: &[String], subnets: &[Subnet], offerings: &Offerings) -> Result<(), LookupError> {
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
    let types = types.join(",");
    Err(LookupError::Misfit(
        format!("INSTANCE_TYPE is {types}, and the usable zones are {zones}; {offers}"),
        "set INSTANCE_TYPE to types that these zones offer, or SUPPORTED_AZS to zones that offer the type",
    ))
}

/// The image must run on each of the types. The architecture of a type is known from its name, without a request. EC2
/// would refuse such a launch, too, but only after the other types and zones were tried.
fn of_one_architecture(types: &[String], image: &Image) -> Result<(), LookupError> {
    let other = |instance_type: &&String| !image::may_run_on(image, instance_type);
    let Some(instance_type) = types.iter().find(other) else { return Ok(()) };
    let Image { image_id, architecture, .. } = image;
    Err(LookupError::Misfit(
        format!("the image {image_id} is for {architecture}, which {instance_type} by its name does not run"),
        "change INSTANCE_TYPE, or AMI_ID or AMI_NAME, or AMI_ARCH",
    ))
}

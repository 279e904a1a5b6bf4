//! What is found out at the start: which image, which zones, and every setting that does not fit what AWS has.

use std::cell::{Cell, RefCell};
use std::future::Future;

use elephant_core::config::Config;
use elephant_core::error::{AwsError, Class};
use elephant_core::image::{Architecture, Image, Source, may_run_on, newest};
use elephant_core::key_pair::KeyType;
use elephant_core::launch_template::{LaunchTemplate, Pinned, Template};
use elephant_core::lookups::{Inputs, LookupError, Lookups, ResolvedInputs, own_image_fits};
use elephant_core::machine::Market;
use elephant_core::network::{Found, Network, Offerings, Subnet, SubnetSelection};
use elephant_core::ports::{Images, InstanceTypes, KeyPairs, LaunchTemplates, Networks, ParameterStore};
use elephant_core::timing::Timing;
use elephant_world::{aws_error, config, start};
use jiff::Timestamp;

/// An EC2 and a Parameter Store of which each story says what is in them.
struct Aws {
    vpcs: Vec<&'static str>,
    offerings: Vec<(&'static str, &'static str)>,
    images: Vec<Image>,
    key_pairs: Vec<(&'static str, Option<KeyType>)>,
    parameters: Vec<(&'static str, &'static str)>,
    template: Template,
    failing: Cell<Option<&'static str>>,
    asked: RefCell<Vec<String>>,
}

impl Default for Aws {
    fn default() -> Self {
        Aws {
            vpcs: vec!["vpc-1"],
            offerings: vec![("t3.large", "a"), ("t3.large", "b"), ("m5.large", "a"), ("t4g.large", "a")],
            images: vec![image("ami-1", "x86_64", "2026-01-01T00:00:00Z")],
            key_pairs: vec![("ours", Some(KeyType::Rsa)), ("curve", Some(KeyType::Ed25519)), ("old", None)],
            parameters: vec![("/image", "ami-1"), ("/words", "an image")],
            template: template(),
            failing: Cell::new(None),
            asked: RefCell::default(),
        }
    }
}

/// One that says all that has to be said.
fn template() -> Template {
    Template {
        pinned: Pinned { launch_template_id: "lt-1".into(), version: "7".into() },
        image: Some("ami-1".into()),
        instance_type: Some("m5.large".into()),
        has_security_groups: true,
        has_network_interfaces: false,
        has_market_options: false,
        has_instance_requirements: false,
        availability_zone: None,
        is_protected: false,
        has_groups_by_name: false,
        has_no_metadata: false,
        tags: vec![],
        devices: vec![],
    }
}

/// A configuration that leaves everything to the template.
fn of_the_template() -> Config {
    Config {
        launch_template: LaunchTemplate::parse("rooms"),
        image: Source::Template,
        instance_types: Vec::new(),
        security_group_ids: Vec::new(),
        ..config()
    }
}

fn image(id: &str, architecture: &str, created: &str) -> Image {
    Image {
        image_id: id.to_owned(),
        root_device: "/dev/xvda".to_owned(),
        snapshot_gb: Some(8),
        architecture: architecture.to_owned(),
        is_windows: false,
        created: created.parse().ok(),
    }
}

impl Aws {
    fn asked(&self, action: &str) -> Result<(), AwsError> {
        self.asked.borrow_mut().push(action.to_owned());
        match self.failing.get() {
            Some(failing) if failing == action => {
                Err(aws_error(failing, Class::Throttled, "RequestLimitExceeded"))
            }
            _ => Ok(()),
        }
    }
}

impl Networks for Aws {
    async fn find_subnets(&self, _: &Network) -> Result<Found, AwsError> {
        self.asked("DescribeSubnets")?;
        let subnet = |zone: &str| Subnet {
            subnet_id: format!("subnet-{zone}"),
            vpc_id: "vpc-1".into(),
            availability_zone: zone.into(),
            available_ip_addresses: 9,
        };
        let vpcs = self.vpcs.iter().map(|vpc| (*vpc).to_owned()).collect();
        Ok(Found { vpcs, subnets: ["a", "b"].map(subnet).to_vec() })
    }
}

impl InstanceTypes for Aws {
    async fn find_offerings(&self, instance_types: &[String]) -> Result<Offerings, AwsError> {
        self.asked("DescribeInstanceTypeOfferings")?;
        let asked = |(kind, _): &&(&str, &str)| instance_types.iter().any(|wanted| wanted == kind);
        let pair = |(kind, zone): &(&str, &str)| ((*kind).to_owned(), (*zone).to_owned());
        Ok(self.offerings.iter().filter(asked).map(pair).collect())
    }
}

impl Images for Aws {
    async fn find_image(&self, image_id: &str) -> Result<Image, AwsError> {
        self.asked("DescribeImages")?;
        let found = self.images.iter().find(|image| image.image_id == image_id).cloned();
        found.ok_or_else(|| aws_error("DescribeImages", Class::Misconfigured, "InvalidAMIID.NotFound"))
    }

    async fn find_images(
        &self,
        pattern: &str,
        _: &str,
        architecture: Option<Architecture>,
    ) -> Result<Vec<Image>, AwsError> {
        self.asked("DescribeImages")?;
        let fits = |image: &&Image| {
            pattern == "ours-*" && architecture.is_none_or(|known| known.as_str() == image.architecture)
        };
        Ok(self.images.iter().filter(fits).cloned().collect())
    }
}

impl KeyPairs for Aws {
    async fn find_key_pair(&self, name: &str) -> Result<Option<KeyType>, AwsError> {
        self.asked("DescribeKeyPairs")?;
        let found = self.key_pairs.iter().find(|(known, _)| *known == name);
        let missing = || aws_error("DescribeKeyPairs", Class::Misconfigured, "InvalidKeyPair.NotFound");
        found.map(|(_, kind)| *kind).ok_or_else(missing)
    }
}

impl LaunchTemplates for Aws {
    async fn find_launch_template(&self, _: &LaunchTemplate) -> Result<Template, AwsError> {
        self.asked("DescribeLaunchTemplateVersions")?;
        Ok(self.template.clone())
    }
}

impl ParameterStore for Aws {
    async fn parameter(&self, name: &str) -> Result<String, AwsError> {
        self.asked("GetParameter")?;
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        let missing = || aws_error("GetParameter", Class::Misconfigured, "ParameterNotFound");
        found.map(|(_, value)| (*value).to_owned()).ok_or_else(missing)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn look_up_with(
    lookups: &Lookups,
    aws: &Aws,
    config: &Config,
    now: Timestamp,
) -> Result<ResolvedInputs, LookupError> {
    let wanted = SubnetSelection { network: config.network.clone(), zones: config.supported_azs.clone() };
    let inputs = Inputs { ec2: aws, parameters: aws, config, wanted: &wanted };
    let found = block_on(lookups.get(&inputs, now, &Timing::DEFAULT));
    found.map(|found| (*found).clone())
}

fn look_up(aws: &Aws, config: &Config) -> Result<ResolvedInputs, LookupError> {
    look_up_with(&Lookups::default(), aws, config, start())
}

fn misfit(aws: &Aws, config: &Config) -> (String, &'static str) {
    match look_up(aws, config) {
        Err(LookupError::Misfit(problem, advice)) => (problem, advice),
        other => panic!("expected a misfit: {other:?}"),
    }
}

#[test]
fn an_image_is_found_by_each_of_its_sources() {
    let aws = Aws {
        images: vec![
            image("ami-1", "x86_64", "2026-01-01T00:00:00Z"),
            image("ami-2", "arm64", "2026-03-01T00:00:00Z"),
            image("ami-3", "x86_64", "2026-02-01T00:00:00Z"),
        ],
        ..Aws::default()
    };
    let named = |architecture| Source::Named { pattern: "ours-*".into(), owner: "self".into(), architecture };
    for (source, expected, asked) in [
        (Source::Id("ami-3".into()), "ami-3", 0),
        (Source::Parameter("/image".into()), "ami-1", 1),
        (named(Some(Architecture::X86_64)), "ami-3", 0),
        // The newest is for arm64, which the first type cannot run.
        (named(None), "ami-3", 0),
    ] {
        aws.asked.borrow_mut().clear();
        let found = look_up(&aws, &Config { image: source, ..config() }).expect("it is found");
        assert_eq!(found.origin.image.image_id, expected);
        let parameters = aws.asked.borrow().iter().filter(|action| *action == "GetParameter").count();
        assert_eq!(parameters, asked, "{expected}");
    }
}

#[test]
fn a_types_name_says_what_it_can_run() {
    let x86 = image("ami-1", "x86_64", "");
    let arm = image("ami-1", "arm64", "");
    for kind in [
        "t3.large",
        "m7i-flex.large",
        "g4dn.xlarge",
        "u-6tb1.metal",
        "c5a.large",
        "p4de.24xlarge",
        "inf2.xlarge",
    ] {
        assert!(may_run_on(&x86, kind) && !may_run_on(&arm, kind), "{kind}");
    }
    for kind in
        ["t4g.small", "c7gn.large", "g5g.xlarge", "a1.medium", "im4gn.large", "x2gd.medium", "hpc7g.4xlarge"]
    {
        assert!(may_run_on(&arm, kind) && !may_run_on(&x86, kind), "{kind}");
    }
    assert!(may_run_on(&image("ami-1", "arm64_mac", ""), "mac2.metal"), "nothing is known of it");
}

#[test]
fn the_newest_image_counts_whatever_the_order_of_the_answer() {
    let (old, new) =
        (image("ami-9", "x86_64", "2026-01-01T00:00:00Z"), image("ami-1", "x86_64", "2026-01-02T00:00:00Z"));
    let as_new = Image { image_id: "ami-5".into(), ..new.clone() };
    let undated = Image { created: None, ..image("ami-z", "x86_64", "") };
    for order in
        [[old.clone(), new.clone(), as_new.clone(), undated.clone()], [undated, as_new.clone(), new, old]]
    {
        assert_eq!(newest(order.to_vec()), Some(as_new.clone()));
    }
    assert_eq!(newest(Vec::new()), None);
}

/// Settings that are well-formed, and wrong for this account: what is said of each, and what to do.
#[test]
fn what_does_not_fit_is_said_before_anything_is_launched() {
    let types = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let named = |pattern: &str, architecture| Source::Named {
        pattern: pattern.into(),
        owner: "self".into(),
        architecture,
    };
    let cases: [(Config, &str, &str); 6] = [
        (
            Config { instance_types: types(&["t3.large", "t4g.large"]), ..config() },
            "the image ami-1 is for x86_64, which t4g.large by its name does not run",
            "INSTANCE_TYPE",
        ),
        (
            Config { instance_types: types(&["t9.huge"]), ..config() },
            "INSTANCE_TYPE is t9.huge, and the usable zones are a, b; no zone of this Region offers any of them",
            "INSTANCE_TYPE",
        ),
        (
            Config { instance_types: types(&["m5.large"]), supported_azs: Some(types(&["b"])), ..config() },
            "INSTANCE_TYPE is m5.large, and the usable zones are b; offered are m5.large in a",
            "SUPPORTED_AZS",
        ),
        (
            Config { image: named("theirs-*", None), ..config() },
            "self has no available image that is called theirs-*",
            "AMI_NAME",
        ),
        (
            Config { image: named("ours-*", Some(Architecture::Arm64)), ..config() },
            "self has no available image for arm64 that is called ours-*",
            "AMI_ARCH",
        ),
        (
            Config { image: Source::Parameter("/words".into()), ..config() },
            "the parameter /words holds no image's id",
            "AMI_ID",
        ),
    ];
    for (config, expected, variable) in cases {
        let (problem, advice) = misfit(&Aws::default(), &config);
        assert_eq!(problem, expected);
        assert!(advice.contains(variable), "{expected}: {advice}");
    }
}

/// EC2 refuses the launch, and of a machine that is there nobody could read the password.
#[test]
fn windows_takes_no_key_but_rsa() {
    let windows = Image { is_windows: true, ..image("ami-1", "x86_64", "2026-01-01T00:00:00Z") };
    let aws = Aws { images: vec![windows], ..Aws::default() };
    let with = |name: &str| Config { key_name: Some(name.into()), ..config() };
    let (problem, advice) = misfit(&aws, &with("curve"));
    assert_eq!(problem, "KEY_NAME is curve, an ED25519 key pair, and the image ami-1 is of Windows");
    assert!(advice.contains("KEY_NAME to an RSA key pair"), "{advice}");
    look_up(&aws, &with("ours")).expect("it is RSA");
    look_up(&aws, &with("old")).expect("EC2 does not say, and will itself");
    look_up(&aws, &config()).expect("no key, no question");
    look_up(&Aws::default(), &with("curve")).expect("Linux takes both");
}

/// An image that a record names is looked up once, beside all the rest, and forgotten with it.
#[test]
fn an_image_that_a_record_names_is_asked_for_once() {
    let (aws, clock, lookups) = (Aws::default(), Cell::new(start()), Lookups::default());
    let ask = || block_on(lookups.own_image(&aws, "ami-1", clock.get(), &Timing::DEFAULT));
    for _ in 0..3 {
        assert_eq!(ask().expect("it is there").image_id, "ami-1");
    }
    assert_eq!(*aws.asked.borrow(), ["DescribeImages"]);
    clock.set(start() + Timing::DEFAULT.lookups);
    ask().expect("it is there");
    lookups.forget();
    ask().expect("it is there");
    assert_eq!(aws.asked.borrow().len(), 3, "when it is old, and when it was stale");
    block_on(lookups.own_image(&aws, "ami-9", clock.get(), &Timing::DEFAULT)).expect_err("there is none");
    block_on(lookups.own_image(&aws, "ami-9", clock.get(), &Timing::DEFAULT))
        .expect_err("there is none still");
    assert_eq!(aws.asked.borrow().len(), 5, "what is not there is not kept");
}

#[test]
fn an_image_that_a_record_names_fits_a_type_the_key_and_the_templates_disk() {
    let aws =
        Aws { template: Template { devices: vec!["/dev/xvda".into()], ..template() }, ..Aws::default() };
    let config = Config { key_name: Some("curve".into()), ..of_the_template() };
    let surroundings = look_up(&aws, &config).expect("the template says it");
    let types = |of: &[&str]| of.iter().map(|of| (*of).to_owned()).collect::<Vec<_>>();
    let own = image("ami-2", "x86_64", "2026-01-01T00:00:00Z");
    let fits = |own: &Image, of: &[&str]| match own_image_fits(&surroundings, &config, own, &types(of)) {
        Ok(()) => String::new(),
        Err(LookupError::Misfit(problem, advice)) => format!("{problem}; {advice}"),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(fits(&own, &["t3.large"]), "");
    let arm = Image { architecture: "arm64".into(), ..own.clone() };
    assert_eq!(fits(&arm, &["t3.large", "t4g.large"]), "", "one of them will do");
    let said = fits(&arm, &["t3.large"]);
    assert!(said.contains("the image ami-2 is for arm64") && said.contains("AMI_ID or AMI_NAME"), "{said}");
    let said = fits(&Image { is_windows: true, ..own.clone() }, &["t3.large"]);
    assert!(said.contains("KEY_NAME is curve"), "{said}");
    let said = fits(&Image { root_device: "/dev/sda1".into(), ..own }, &["t3.large"]);
    assert!(said.contains("its root on /dev/sda1, and the launch template's disk is /dev/xvda"), "{said}");
}

#[test]
fn what_aws_refuses_is_told_as_it_says_it() {
    for (config, action, code) in [
        (
            Config { key_name: Some("theirs".into()), ..config() },
            "DescribeKeyPairs",
            "InvalidKeyPair.NotFound",
        ),
        (Config { image: Source::Id("ami-9".into()), ..config() }, "DescribeImages", "InvalidAMIID.NotFound"),
        (
            Config { image: Source::Parameter("/none".into()), ..config() },
            "GetParameter",
            "ParameterNotFound",
        ),
    ] {
        match look_up(&Aws::default(), &config) {
            Err(LookupError::Aws(error)) => assert_eq!((error.action, error.code()), (action, code)),
            other => panic!("{action}: {other:?}"),
        }
    }
    let none = Aws { vpcs: vec![], ..Aws::default() };
    assert!(matches!(look_up(&none, &config()), Err(LookupError::NoUsableSubnet(_))));
}

#[test]
fn which_zone_offers_which_type_can_be_done_without() {
    let aws = Aws::default();
    let known = look_up(&aws, &config()).expect("all is there").offerings.expect("it was said");
    assert!(known.contains(&("t3.large".to_owned(), "a".to_owned())), "{known:?}");
    aws.failing.set(Some("DescribeInstanceTypeOfferings"));
    assert_eq!(look_up(&aws, &config()).expect("the rest is there").offerings, None);
}

#[test]
fn a_key_pair_is_asked_for_only_where_one_is_configured() {
    let aws = Aws::default();
    look_up(&aws, &config()).expect("all is there");
    assert!(!aws.asked.borrow().iter().any(|action| action == "DescribeKeyPairs"));
    look_up(&aws, &Config { key_name: Some("ours".into()), ..config() }).expect("all is there");
    assert!(aws.asked.borrow().iter().any(|action| action == "DescribeKeyPairs"));
}

#[test]
fn what_is_known_is_not_asked_for_again_until_it_is_old() {
    let (aws, clock, lookups) = (Aws::default(), Cell::new(start()), Lookups::default());
    let config = Config { image: Source::Parameter("/image".into()), ..config() };
    aws.failing.set(Some("DescribeSubnets"));
    look_up_with(&lookups, &aws, &config, clock.get()).expect_err("one look-up fails");
    aws.failing.set(None);
    aws.asked.borrow_mut().clear();
    look_up_with(&lookups, &aws, &config, clock.get()).expect("the rest is there");
    assert_eq!(*aws.asked.borrow(), ["DescribeSubnets"], "only what was missing");
    look_up_with(&lookups, &aws, &config, clock.get()).expect("all is known");
    assert_eq!(aws.asked.borrow().len(), 1);
    clock.set(start() + Timing::DEFAULT.lookups);
    look_up_with(&lookups, &aws, &config, clock.get()).expect("it is there");
    assert_eq!(aws.asked.borrow().len(), 5, "everything, for it is old: {:?}", aws.asked.borrow());
    lookups.forget();
    look_up_with(&lookups, &aws, &config, clock.get()).expect("it is there");
    assert_eq!(aws.asked.borrow().len(), 9, "everything, for it was stale");
}

#[test]
fn what_is_not_configured_is_the_templates_and_its_version_is_pinned() {
    let aws = Aws::default();
    let found = look_up(&aws, &of_the_template()).expect("the template says it");
    assert_eq!(found.instance_types, ["m5.large"]);
    assert_eq!(
        (found.origin.image.image_id.as_str(), found.origin.template),
        ("ami-1", Some(template().pinned))
    );
    let ours = Config {
        image: Source::Id("ami-1".into()),
        instance_types: vec!["t3.large".into()],
        ..of_the_template()
    };
    let nothing =
        Aws { template: Template { image: None, instance_type: None, ..template() }, ..Aws::default() };
    assert_eq!(look_up(&nothing, &ours).expect("the configuration says it").instance_types, ["t3.large"]);
    let by_parameter = Template { image: Some("resolve:ssm:/image".into()), ..template() };
    let aws = Aws { template: by_parameter, ..Aws::default() };
    assert_eq!(look_up(&aws, &of_the_template()).expect("it holds one").origin.image.image_id, "ami-1");
    aws.asked.borrow_mut().clear();
    look_up(&aws, &config()).expect("all is there");
    assert!(
        !aws.asked.borrow().contains(&"DescribeLaunchTemplateVersions".to_owned()),
        "no template, no request"
    );
}

#[test]
fn a_template_that_does_not_fit_is_said_before_anything_is_launched() {
    let zone = Some("us-west-2a".to_owned());
    let tagged = |kind: &str, key: &str| Template { tags: vec![(kind.into(), key.into())], ..template() };
    let cases: [(Template, &str, &str); 14] = [
        (
            Template { is_protected: true, ..template() },
            "has termination or stop protection",
            "DisableApiStop",
        ),
        (Template { has_groups_by_name: true, ..template() }, "has security groups by name", "by their ids"),
        (
            Template { has_no_metadata: true, ..template() },
            "has the instance metadata service disabled",
            "enable",
        ),
        (tagged("spot-instances-request", "Team"), "has tags of Spot requests", "MARKET to spot"),
        (tagged("elastic-gpu", "Team"), "has tags of elastic-gpu", "out of the template"),
        (tagged("volume", "Role"), "has the tag Role, which says of each machine whose it is", "take it out"),
        (
            tagged("instance", "Team"),
            "has the tag Team, which the function's role may not write",
            "EXTRA_TAGS",
        ),
        (
            Template { has_instance_requirements: true, ..template() },
            "has instance requirements",
            "INSTANCE_TYPE",
        ),
        (Template { availability_zone: zone, ..template() }, "has the zone us-west-2a", "SUPPORTED_AZS"),
        (Template { image: None, ..template() }, "has no image", "AMI_ID"),
        (Template { instance_type: None, ..template() }, "has no instance type", "INSTANCE_TYPE"),
        (
            Template { has_security_groups: false, ..template() },
            "has no security groups",
            "SECURITY_GROUP_IDS",
        ),
        (Template { has_network_interfaces: true, ..template() }, "has network interfaces", "PUBLIC_IP"),
        (Template { has_market_options: true, ..template() }, "has market options", "MARKET"),
    ];
    for (template, expected, variable) in cases {
        let (problem, advice) = misfit(&Aws { template, ..Aws::default() }, &of_the_template());
        let said = format!("LAUNCH_TEMPLATE is rooms:$Default, and version 7 of lt-1 {expected}");
        assert!(problem.starts_with(&said), "{problem}");
        assert!(advice.contains(variable), "{expected}: {advice}");
    }
    // A key that the role may write, and a Spot request where nothing else is bought, are no fault.
    let extra_tags = [("Team".to_owned(), "A".to_owned())].into();
    let spot = Config { markets: vec![Market::Spot], extra_tags, ..of_the_template() };
    for kind in ["instance", "volume", "network-interface", "spot-instances-request"] {
        look_up(&Aws { template: tagged(kind, "Team"), ..Aws::default() }, &spot).expect(kind);
    }
    let public = Config { public_ip: Some(true), ..of_the_template() };
    let (problem, advice) = misfit(&Aws::default(), &public);
    assert!(
        problem.contains("has security groups") && advice.contains("SECURITY_GROUP_IDS"),
        "{problem}; {advice}"
    );
    let ours = Config { security_group_ids: vec!["sg-1".into()], ..public };
    let without = Aws { template: Template { has_security_groups: false, ..template() }, ..Aws::default() };
    look_up(&without, &ours).expect("the groups are on the interface");
}

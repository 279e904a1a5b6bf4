//! A check of everything that a launch needs, in place of a launch: what would be refused and what to mend, in the
//! order in which a person should mend it. It launches nothing and writes nothing.
//!
//! It does not check whether a zone has room, which only a launch can find out, nor what the machine's own IAM role may
//! do, nor the permissions to write, to look for machines and to end them.

use serde::Serialize;

use super::answer::{LaunchAnswer, failed_lookup};
use super::{LaunchDelivery, LaunchPorts, Launcher, OneRole};
use crate::answer;
use crate::config::Config;
use crate::deadline::{Backoff, not_sent};
use crate::error::{AwsError, Class, Error, Kind};
use crate::event;
use crate::lookups::Looked;
use crate::machine::{self, InstanceProfile, Market, Token};
use crate::meeting::{MeetingId, Role};
use crate::network::in_order;
use crate::overrides::Overrides;
use crate::plan::{self, Candidate, Origin, Plan, Refusal};
use crate::ports::{Clock, DryRuns, Tokens};

/// How often a dry run is sent if the answers say nothing about the request.
const TRIES: u32 = 4;

/// The meeting in the tags of a dry run if the event names none.
const NO_MEETING: &str = "preflight";

/// The answer to an event that asks for a launch or for a preflight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answered {
    Launch(LaunchAnswer),
    Preflight(Preflight),
}

impl answer::Outcome for Answered {
    fn outcome(&self) -> &'static str {
        match self {
            Answered::Launch(answer) => answer.outcome(),
            Answered::Preflight(_) => "preflight",
        }
    }

    fn launched(&self) -> bool {
        match self {
            Answered::Launch(answer) => answer.launched(),
            Answered::Preflight(_) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// Nothing was found for which a launch now would be refused.
    pub ready: bool,
    /// In the order in which a person should mend them.
    pub findings: Vec<Finding>,
    /// The image that the configured name, parameter or id stands for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// What a launch now would try, in this order.
    pub attempts: Vec<Place>,
    /// What a dry run cannot tell, and a person should check once. It is no reason against a launch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The `errorType` that a delivery would have.
    pub error_type: &'static str,
    pub problem: String,
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub market: Market,
    pub instance_type: String,
    pub availability_zone: String,
    pub subnet_id: String,
}

impl<P: LaunchPorts<Ec2: DryRuns>> Launcher<P> {
    pub async fn preflight(
        &self,
        request: &event::Preflight,
        deadline: jiff::Timestamp,
    ) -> Result<Preflight, Error> {
        let somebody = MeetingId::new(NO_MEETING).map_err(|problem| {
            Error::new(Kind::InvalidEvent, problem, "report this; it is a fault of ours")
        })?;
        let meeting = request.meeting_id.as_ref().unwrap_or(&somebody);
        let delivery = self.delivery(meeting, deadline);
        let mut findings = Vec::new();
        let overrides = delivery.look_at_record(request.meeting_id.is_some(), &mut findings).await;
        let looked = Looked::at(&self.inputs()).await;
        findings.extend(
            looked
                .failures()
                .chain(&looked.misfits(&self.config))
                .map(|error| Finding::of(failed_lookup(error))),
        );
        let candidates = delivery.ask_about_both(&overrides, &looked, &mut findings).await;
        Ok(Preflight {
            ready: findings.is_empty(),
            findings,
            image_id: looked.image.ok().map(|image| image.image_id),
            attempts: candidates.into_iter().map(Place::of).collect(),
            by_hand: by_hand(&self.config),
        })
    }
}

impl<P: LaunchPorts<Ec2: DryRuns>> LaunchDelivery<'_, P> {
    /// Whether a launch of this meeting would begin now, if a meeting is `named`; and what its record sets for its
    /// machines.
    async fn look_at_record(
        &self,
        named: bool,
        findings: &mut Vec<Finding>,
    ) -> [Result<Overrides, String>; 2] {
        match self.read().await {
            Err(error) => findings.push(Finding::of(self.table_failed(error))),
            Ok(None) if named => findings.push(Finding::of(self.no_such_meeting())),
            Ok(Some(record)) if named => {
                findings.extend(self.not_now(&record).map(Finding::of));
                let timing = &self.launcher.timing;
                if let Plan::Leased(until) = plan::plan(&record, self.now(), self.window(), timing) {
                    findings.push(Finding::of(self.busy(until)));
                }
                return record.overrides;
            }
            Ok(_) => {}
        }
        Overrides::none()
    }

    /// What a launch would try for either role.
    async fn ask_about_both(
        &self,
        overrides: &[Result<Overrides, String>; 2],
        looked: &Looked,
        findings: &mut Vec<Finding>,
    ) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut asked: Vec<&Overrides> = Vec::new();
        for role in Role::BOTH {
            let of = self.role(overrides, role);
            match of.overrides() {
                // Two roles with equal values in the record, as most have, need one question only.
                Ok(own) if asked.contains(&own) => {}
                Ok(own) => match of.ask_about(own, looked).await {
                    Ok((of_role, refused)) => {
                        findings.extend(refused.into_iter().map(Finding::of));
                        asked.push(own);
                        candidates.extend(
                            of_role.into_iter().filter(|c| !candidates.contains(c)).collect::<Vec<_>>(),
                        );
                    }
                    Err(error) => findings.push(Finding::of(error)),
                },
                Err(error) => findings.push(Finding::of(error)),
            }
        }
        candidates
    }

    /// Throttling, or no answer, says nothing about the request: the dry run is sent again, a few times.
    async fn dry_run(&self, parameters: &machine::Parameters) -> Result<(), AwsError> {
        let launcher = self.launcher;
        let mut tries = 0;
        loop {
            if !self.deadline.fits(launcher.timing.run_instances) {
                return Err(not_sent());
            }
            let error = match launcher.ec2.dry_run(parameters).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries += 1;
            let passes = matches!(error.class, Class::Throttled | Class::Ambiguous);
            let pause = Backoff::EC2.pause(tries, launcher.tokens.jitter());
            if !passes || tries == TRIES || !self.deadline.fits(pause) {
                return Err(error);
            }
            launcher.clock.sleep(pause).await;
        }
    }
}

impl<P: LaunchPorts<Ec2: DryRuns>> OneRole<'_, P> {
    /// What a launch would try, and what of it EC2 would refuse.
    async fn ask_about(
        &self,
        overrides: &Overrides,
        looked: &Looked,
    ) -> Result<(Vec<Candidate>, Vec<Error>), Error> {
        let LaunchDelivery { launcher, meeting, .. } = self.delivery;
        let mut candidates = match (&looked.basis, &looked.subnets, &looked.offerings) {
            (Ok(basis), Ok(subnets), Ok(offerings)) => {
                let subnets = in_order(meeting, subnets.clone());
                let (markets, types) = (&launcher.config.markets, &basis.instance_types);
                plan::candidates_for(overrides, markets, types, &subnets, offerings.as_ref())
            }
            _ => Vec::new(),
        };
        let Some(surroundings) = looked.resolved_inputs() else { return Ok((candidates, Vec::new())) };
        let own = self.own_image(&surroundings.origin.image.image_id).await;
        let own = own.map_err(|error| self.delivery.lookup_failed(&error))?;
        if let Some(image) = &own {
            self.keep_fitting(&surroundings, image, &mut candidates)?;
        }
        let origin = surroundings.origin.overridden(overrides, own.as_ref());
        let refused = self.dry_runs(&origin, &candidates).await;
        Ok((candidates, refused))
    }

    /// Ask once for each type in each subnet and market. Equal refusals are told once, with all their places. A refused
    /// place is no finding while another one is left: a launch would go on there, too.
    async fn dry_runs(&self, origin: &Origin, candidates: &[Candidate]) -> Vec<Error> {
        let mut refused: Vec<(AwsError, machine::Parameters, Vec<String>)> = Vec::new();
        let mut taken = 0;
        for candidate in candidates {
            let token = Token::from(String::new());
            let LaunchDelivery { launcher, meeting, .. } = self.delivery;
            let made = plan::attempt(&launcher.config, origin, meeting, self.role, 1, token, candidate);
            let attempt = match made {
                Ok(attempt) => attempt,
                Err(reason) => return vec![self.no_user_data(&reason)],
            };
            let error = match self.delivery.dry_run(&attempt.parameters).await {
                Ok(()) => {
                    taken += 1;
                    continue;
                }
                Err(error) => error,
            };
            let done = error.class == Class::NotSent;
            let Candidate { instance_type, subnet, .. } = candidate;
            let place = format!("{instance_type} in {} ({})", subnet.availability_zone, subnet.subnet_id);
            match refused
                .iter_mut()
                .find(|(known, ..)| known.code == error.code && known.advice == error.advice)
            {
                Some((.., places)) => places.push(place),
                None => refused.push((error, attempt.parameters, vec![place])),
            }
            if done {
                break;
            }
        }
        refused.retain(|(error, ..)| taken == 0 || Refusal::of(error.class).is_none());
        let told = |(error, asked, places): (AwsError, machine::Parameters, Vec<String>)| {
            self.of_the_record(&asked, would_be_refused(error, &places.join(", ")))
        };
        refused.into_iter().map(told).collect()
    }
}

fn would_be_refused(error: AwsError, places: &str) -> Error {
    let (kind, advice) = match error.class {
        Class::Throttled => (Kind::Throttled, "ask again: EC2 refused the question for its rate"),
        Class::Ambiguous => (Kind::Ec2Unavailable, "ask again: EC2 did not answer"),
        Class::NotSent => {
            (Kind::DeadlineTooClose, "ask again with a longer time-out: not every place was asked about")
        }
        Class::Quota => (Kind::QuotaExceeded, "ask for a higher quota in Service Quotas"),
        Class::Unauthorized => (Kind::Unauthorized, "change the permission that it names"),
        _ => (Kind::InvalidConfiguration, "change the setting that it names"),
    };
    let would = match error.class {
        Class::Throttled | Class::Ambiguous | Class::NotSent => "it is not known whether EC2 would launch",
        _ => "EC2 would not launch",
    };
    let advice = if error.advice.is_empty() { advice.to_owned() } else { error.advice.clone() };
    Error::new(kind, format!("{would} {places}"), advice).caused_by(error)
}

/// In a dry run EC2 asks neither KMS nor the profile's role, and this function may read neither.
fn by_hand(config: &Config) -> Vec<String> {
    let mut all = Vec::new();
    let has_template = config.launch_template.is_some();
    match &config.iam_profile {
        Some(InstanceProfile::Name(profile) | InstanceProfile::Arn(profile)) => all.push(format!(
            "whether the role of IAM_PROFILE ({profile}) has the policy AmazonSSMManagedInstanceCore: without it Session \
             Manager cannot reach the machines"
        )),
        None if has_template => all.push(
            "whether the launch template has an instance profile whose role has the policy \
             AmazonSSMManagedInstanceCore: without it Session Manager cannot reach the machines"
                .to_owned(),
        ),
        None => all.push(
            "IAM_PROFILE is not set, so Session Manager cannot reach the machines: set it to a profile whose role has \
             the policy AmazonSSMManagedInstanceCore, unless nobody has to"
                .to_owned(),
        ),
    }
    if let Some(key) = &config.volume.kms_key_id {
        all.push(format!(
            "whether the function's role may use VOLUME_KMS_KEY_ID ({key}) through EC2, by its own policy and the key's: \
             kms:CreateGrant (for AWS resources), kms:GenerateDataKeyWithoutPlaintext, kms:DescribeKey, kms:ReEncrypt*; a \
             machine whose key is refused dies while pending"
        ));
    }
    if config.markets.contains(&Market::Spot) {
        all.push(
            "whether the account has the role AWSServiceRoleForEC2Spot: `aws iam get-role --role-name \
             AWSServiceRoleForEC2Spot`"
                .to_owned(),
        );
    }
    all
}

impl Finding {
    fn of(error: Error) -> Self {
        let cause = error.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        Finding {
            error_type: error.kind.as_str(),
            problem: format!("{}{cause}", error.problem),
            remedy: error.advice,
        }
    }
}

impl Place {
    fn of(candidate: Candidate) -> Self {
        Place {
            market: candidate.market,
            instance_type: candidate.instance_type,
            availability_zone: candidate.subnet.availability_zone,
            subnet_id: candidate.subnet.subnet_id,
        }
    }
}

//! A look at everything that a launch needs, in place of one: what would be refused, and what to mend, in the order in
//! which a person should. It launches nothing and writes nothing.
//!
//! Not looked at: whether a zone has room, which only a launch finds out; what the machine's own role may do; and what is
//! asked for only besides a launch that goes well, to write, to look for machines and to end them.

use serde::Serialize;

use super::answer::{Answer, failed_lookup};
use super::{Delivery, LaunchPorts, Launcher};
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

/// How often a place is asked about that EC2 says nothing of.
const TRIES: u32 = 4;

/// Whose tags are asked about where no meeting is named.
const NO_MEETING: &str = "preflight";

/// What a delivery answers: to an event that asks for a launch, or for a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answered {
    Launch(Answer),
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
    /// Nothing was found that a launch now would be refused for.
    pub ready: bool,
    /// The first is to be mended first.
    pub findings: Vec<Finding>,
    /// What the image's name, parameter or id stands for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// What a launch now would try, one after the other.
    pub attempts: Vec<Place>,
    /// What a dry run cannot tell, and a person should look at once: it says nothing against a launch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// As a delivery's `errorType` would be.
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
        match delivery.read().await {
            Err(error) => findings.push(Finding::of(delivery.table_failed(error))),
            Ok(None) if request.meeting_id.is_some() => {
                findings.push(Finding::of(delivery.no_such_meeting()))
            }
            Ok(Some(record)) if request.meeting_id.is_some() => {
                *delivery.overrides.borrow_mut() = record.overrides.clone();
                findings.extend(delivery.not_now(&record).map(Finding::of));
                let window = self.config.window;
                if let Plan::Leased(until) = plan::plan(&record, self.clock.now(), window, &self.timing) {
                    findings.push(Finding::of(delivery.busy(until)));
                }
            }
            Ok(_) => {}
        }
        let looked = Looked::at(&self.inputs()).await;
        let failed = [
            looked.image.as_ref().err(),
            looked.key_pair.as_ref().err(),
            looked.subnets.as_ref().err(),
            looked.offerings.as_ref().err(),
        ];
        findings.extend(failed.into_iter().flatten().map(|error| Finding::of(failed_lookup(error))));
        findings.extend(looked.misfits(&self.config).iter().map(|error| Finding::of(failed_lookup(error))));

        let mut candidates: Vec<Candidate> = Vec::new();
        let mut asked: Vec<Overrides> = Vec::new();
        for role in Role::BOTH {
            let overrides = match delivery.overrides_of(role) {
                Ok(overrides) => overrides,
                Err(error) => {
                    findings.push(Finding::of(error));
                    continue;
                }
            };
            // Both alike, as most are, is one question.
            if asked.contains(&overrides) {
                continue;
            }
            let mut of_role = match (&looked.basis, &looked.subnets, &looked.offerings) {
                (Ok(basis), Ok(subnets), Ok(offerings)) => {
                    let subnets = in_order(meeting, subnets.clone());
                    let (markets, types) = (&self.config.markets, &basis.instance_types);
                    plan::candidates_for(&overrides, markets, types, &subnets, offerings.as_ref())
                }
                _ => Vec::new(),
            };
            if let Some(surroundings) = looked.resolved_inputs() {
                let configured = &surroundings.origin.image.image_id;
                let own = match delivery.own_image(role, configured).await {
                    Ok(own) => own,
                    Err(error) => {
                        findings.push(Finding::of(delivery.lookup_failed(&error)));
                        continue;
                    }
                };
                if let Some(image) = &own
                    && let Err(error) = delivery.keep_fitting(role, &surroundings, image, &mut of_role)
                {
                    findings.push(Finding::of(error));
                    continue;
                }
                let origin = surroundings.origin.overridden(&overrides, own.as_ref());
                for refused in delivery.dry_runs(role, &origin, &of_role).await {
                    findings.push(Finding::of(refused));
                }
            }
            asked.push(overrides);
            candidates.extend(of_role.into_iter().filter(|c| !candidates.contains(c)).collect::<Vec<_>>());
        }
        Ok(Preflight {
            ready: findings.is_empty(),
            findings,
            image_id: looked.image.ok().map(|image| image.image_id),
            attempts: candidates.into_iter().map(Place::of).collect(),
            by_hand: by_hand(&self.config),
        })
    }
}

impl<P: LaunchPorts<Ec2: DryRuns>> Delivery<'_, P> {
    /// Ask for each type once in each subnet and market. What is refused alike is told once, with every place. A place
    /// that falls away is no finding while another is left: a launch goes on there, too.
    async fn dry_runs(&self, role: Role, origin: &Origin, candidates: &[Candidate]) -> Vec<Error> {
        let mut refused: Vec<(AwsError, machine::Parameters, Vec<String>)> = Vec::new();
        let mut taken = 0;
        for candidate in candidates {
            let token = Token(String::new());
            let config = &self.launcher.config;
            let attempt = match plan::attempt(config, origin, self.meeting, role, 1, token, candidate) {
                Ok(attempt) => attempt,
                Err(reason) => return vec![self.no_user_data(role, &reason)],
            };
            let error = match self.dry_run(&attempt.parameters).await {
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
            self.of_the_record(role, &asked, self.would_be_refused(error, &places.join(", ")))
        };
        refused.into_iter().map(told).collect()
    }

    /// A refusal for the rate, or no answer, says nothing of the request: asked again, a few times.
    async fn dry_run(&self, parameters: &machine::Parameters) -> Result<(), AwsError> {
        let launcher = self.launcher;
        let mut tries = 0;
        loop {
            if !self.fits(launcher.timing.run_instances) {
                return Err(not_sent());
            }
            let error = match launcher.ec2.dry_run(parameters).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries += 1;
            let passes = matches!(error.class, Class::Throttled | Class::Ambiguous);
            let pause = Backoff::EC2.pause(tries, launcher.tokens.jitter());
            if !passes || tries == TRIES || !self.fits(pause) {
                return Err(error);
            }
            launcher.clock.sleep(pause).await;
        }
    }

    fn would_be_refused(&self, error: AwsError, places: &str) -> Error {
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
            Class::Throttled | Class::Ambiguous | Class::NotSent => {
                "it is not known whether EC2 would launch"
            }
            _ => "EC2 would not launch",
        };
        let advice = if error.advice.is_empty() { advice.to_owned() } else { error.advice.clone() };
        Error::new(kind, format!("{would} {places}"), advice).caused_by(error)
    }
}

/// EC2 asks neither KMS nor the profile's role in a dry run, and this function may read neither.
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

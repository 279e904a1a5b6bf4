//! A look at everything that a launch needs, in place of one: what would be refused, and what to mend, in the order in
//! which a person should. It launches nothing and writes nothing.
//!
//! Not looked at: whether a zone has room, which only a launch finds out, and what the machine's own role may do.

use serde::Serialize;

use super::answer::{Answer, failed_lookup};
use super::{Delivery, Launcher};
use crate::deadline::Backoff;
use crate::error::{AwsError, Error, Kind};
use crate::event;
use crate::lookups::Looked;
use crate::machine::{Market, Token};
use crate::meeting::{MeetingId, Role};
use crate::metrics;
use crate::needs::{Clock, DryRuns, LookUps, Machines, Meetings, Parameters, Tokens};
use crate::network::in_order;
use crate::plan::{self, Candidate};

/// Whose tags are asked about where no meeting is named.
const NO_MEETING: &str = "preflight";

/// What a delivery answers: to an event that asks for a launch, or for a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answered {
    Launch(Answer),
    Preflight(Preflight),
}

impl metrics::Outcome for Answered {
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

impl<M, E, P, C, T> Launcher<M, E, P, C, T>
where
    M: Meetings,
    E: Machines + LookUps + DryRuns,
    P: Parameters,
    C: Clock,
    T: Tokens,
{
    pub async fn preflight(
        &self,
        request: &event::Preflight,
        deadline: jiff::Timestamp,
    ) -> Result<Preflight, Error> {
        let somebody = MeetingId::new(NO_MEETING).map_err(|problem| {
            Error::new(Kind::InvalidEvent, problem, "report this; it is a fault of ours")
        })?;
        let meeting = request.meeting_id.as_ref().unwrap_or(&somebody);
        let delivery = Delivery { launcher: self, meeting, owner: self.tokens.owner(), deadline };
        let mut findings = Vec::new();
        match delivery.read().await {
            Err(error) => findings.push(Finding::of(delivery.table_failed(error))),
            Ok(None) if request.meeting_id.is_some() => {
                findings.push(Finding::of(delivery.no_such_meeting()))
            }
            Ok(Some(record)) if request.meeting_id.is_some() => {
                findings.extend(delivery.not_now(&record).map(Finding::of));
            }
            Ok(_) => {}
        }
        let looked = Looked::at(&self.ec2, &self.parameters, &self.config, &self.wanted).await;
        let failed =
            [looked.image.as_ref().err(), looked.key_pair.as_ref().err(), looked.subnets.as_ref().err()];
        let types = looked.offerings.as_ref().err();
        findings.extend(failed.into_iter().chain([types]).flatten().map(|e| Finding::of(failed_lookup(e))));
        findings.extend(looked.misfit(&self.config).map(|error| Finding::of(failed_lookup(&error))));

        let candidates = match (&looked.subnets, &looked.offerings) {
            (Ok(subnets), Ok(offerings)) => {
                let subnets = in_order(meeting, subnets.clone());
                let offerings = Some(offerings);
                plan::candidates(&self.config.markets, &self.config.instance_types, &subnets, offerings)
            }
            _ => Vec::new(),
        };
        if let Ok(image) = &looked.image {
            for refused in delivery.dry_runs(image, &candidates).await {
                findings.push(Finding::of(refused));
            }
        }
        Ok(Preflight {
            ready: findings.is_empty(),
            findings,
            image_id: looked.image.ok().map(|image| image.image_id),
            attempts: candidates.into_iter().map(Place::of).collect(),
        })
    }
}

impl<M, E, P, C, T> Delivery<'_, M, E, P, C, T>
where
    M: Meetings,
    E: Machines + LookUps + DryRuns,
    P: Parameters,
    C: Clock,
    T: Tokens,
{
    /// Ask for the first type of each subnet in each market. What is refused alike is told once, with every place.
    async fn dry_runs(&self, image: &crate::image::Image, candidates: &[Candidate]) -> Vec<Error> {
        let mut seen = Vec::new();
        let mut refused: Vec<(AwsError, Vec<String>)> = Vec::new();
        for candidate in candidates {
            let place = (candidate.market, candidate.subnet.subnet_id.as_str());
            if seen.contains(&place) {
                continue;
            }
            seen.push(place);
            let token = Token(String::new());
            let config = &self.launcher.config;
            let attempt = match plan::attempt(config, image, self.meeting, Role::Teacher, 1, token, candidate)
            {
                Ok(attempt) => attempt,
                Err(reason) => return vec![self.no_user_data(Role::Teacher, &reason)],
            };
            let ec2 = &self.launcher.ec2;
            let ask = || ec2.dry_run(&attempt.parameters);
            let limit = self.launcher.timing.run_instances;
            let Err(error) = self.persist(limit, Backoff::LAUNCH, || true, ask).await else { continue };
            let place = format!("{} ({})", candidate.subnet.availability_zone, candidate.subnet.subnet_id);
            match refused
                .iter_mut()
                .find(|(known, _)| known.code == error.code && known.advice == error.advice)
            {
                Some((_, places)) => places.push(place),
                None => refused.push((error, vec![place])),
            }
        }
        let told = |(error, places): (AwsError, Vec<String>)| {
            let mut told = self.refused_for_good(Role::Teacher, error);
            told.problem = format!("a launch would be refused in {}", places.join(", "));
            told
        };
        refused.into_iter().map(told).collect()
    }
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

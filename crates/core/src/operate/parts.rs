//! What volumes and network interfaces have in common: they are made for a machine under a name, attached, and removed.
//!
//! A part that cannot be attached is deleted at once. If a delivery dies in between, its repeat finds the part by its
//! tags or its client token.

use std::marker::PhantomData;

use super::{Found, OperateDelivery, OperatePorts, Outcome, Sight};
use crate::error::{AwsError, Error, Service};
use crate::event::Named;
use crate::hardware::{Attached, Hardware, INSTANCE_TAG, Made, NAME_TAG, Part};
use crate::machine::{InstanceId, Token};
use crate::plan::operate as plan;
use crate::ports::Parts;

/// The differences of the two kinds.
pub(super) trait Kind: Part {
    /// The words before a part's id in a sentence.
    const CALLED: &str;
    /// The words for how to remove a part.
    const REMOVE: &str;
    /// The words for what has to be done before EC2 detaches a part.
    const FIRST: &str;

    /// Whether the part is attached to nothing.
    fn is_detached(&self) -> bool;
    /// The places of the machine that are taken.
    fn taken(of: &Hardware) -> Vec<Self::Place>;
    /// The first free place, or the word for the places that the machine has no more of.
    fn free_place(taken: &[Self::Place]) -> Result<Self::Place, &'static str>;
}

/// What a look is about: whether the part exists, or whether it is attached to the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LookAt {
    Part,
    Attachment,
}

/// The parts of one kind that belong to a machine.
pub(super) struct PartsOf<'d, 'o, O: OperatePorts, P> {
    delivery: &'d OperateDelivery<'o, O>,
    of: &'d Hardware,
    kind: PhantomData<P>,
}

impl<'o, O: OperatePorts> OperateDelivery<'o, O> {
    pub(super) fn parts<'d, P>(&'d self, of: &'d Hardware) -> PartsOf<'d, 'o, O, P> {
        PartsOf { delivery: self, of, kind: PhantomData }
    }
}

impl<O: OperatePorts<Ec2: Parts<P>>, P: Kind> PartsOf<'_, '_, O, P> {
    fn ec2(&self) -> &impl Parts<P> {
        &self.delivery.operator.ec2
    }

    fn instance(&self) -> &InstanceId {
        self.of.instance_id()
    }

    fn called(&self, id: &P::Id) -> String {
        format!("{}{id}", P::CALLED)
    }

    fn refused(&self, id: &P::Id, why: impl AsRef<str>) -> Error {
        self.delivery.refused(format!("{} {}", self.called(id), why.as_ref()))
    }

    async fn find(&self, id: &P::Id) -> Result<Option<P>, Error> {
        self.delivery.ask(Service::Ec2, || self.ec2().find_part(id)).await
    }

    /// The part that was made for this machine under this name, if it is not being deleted.
    pub(super) async fn standing(&self, name: &str) -> Result<Option<P>, Error> {
        let find = || self.ec2().find_parts(self.instance(), name);
        let found = self.delivery.ask(Service::Ec2, find).await?;
        Ok(found.into_iter().find(|found: &P| self.delivery.is_ours(found.tags()) && found.stands()))
    }

    pub(super) async fn named(&self, named: &Named<P::Id>) -> Result<Option<P>, Error> {
        match named {
            Named::Id(id) => Ok(self.find(id).await?.filter(P::stands)),
            Named::Name(name) => self.standing(name).await,
        }
    }

    /// Make a part. `None`: as many parts of this name as there may be were made and removed.
    pub(super) async fn make(&self, name: &str, new: impl Fn(Token) -> P::New) -> Result<Option<P>, Error> {
        for generation in self.delivery.generations(P::KIND, self.of, name) {
            let new = new(plan::token(P::KIND, self.instance(), name, generation));
            let made = match self.delivery.ask(Service::Ec2, || self.ec2().create_part(&new)).await? {
                Made::This(made) if !P::stands(&made) => continue,
                Made::This(made) => Some(made),
                // Another request with this name is under way, or the one that used this token is history.
                Made::Mismatch => None,
            };
            if let Some(made) = self.until_made(name, made.as_ref()).await? {
                self.delivery.stands_under(P::KIND, self.of, name, generation);
                return Ok(Some(made));
            }
        }
        Ok(None)
    }

    /// Wait until the part is available. `None`: the part that the token made has been removed since. EC2 may not show
    /// a new part for a while, neither by its id nor by its tags; a second part would be worse than the wait.
    async fn until_made(&self, name: &str, made: Option<&P>) -> Result<Option<P>, Error> {
        let not_yet = format!("the {} {name:?} is not available yet", P::KIND);
        let look = async || {
            let by_id = match made {
                Some(made) => self.find(made.id()).await?,
                None => None,
            };
            let found = match by_id {
                Some(found) if !found.stands() => return Ok(Sight::Gone),
                Some(found) => Some(found),
                None => self.standing(name).await?,
            };
            let Some(found) = found else { return Ok(Sight::Unseen) };
            match found.state() {
                "creating" | "pending" => Ok(Sight::NotYet),
                "error" => {
                    let called = self.called(found.id());
                    Err(self.delivery.refused(format!("EC2 could not make {called}: its state is error")))
                }
                _ => Ok(Sight::There(found)),
            }
        };
        self.delivery.until_seen(&not_yet, made.and_then(P::created_at), look).await
    }

    /// Attach the part at the first free place. A part that cannot be attached is deleted.
    pub(super) async fn attach(&self, made: P) -> Result<(P, Outcome), Error> {
        match self.try_to_attach(made.clone()).await {
            Ok(attached) => Ok(attached),
            Err(error) => Err(self.roll_back(made.id(), error).await),
        }
    }

    /// Try the free places in order, because another request may take a place first.
    async fn try_to_attach(&self, mut made: P) -> Result<(P, Outcome), Error> {
        let (instance, id) = (self.instance(), made.id().clone());
        let mut taken = P::taken(self.of);
        let mut outcome = Outcome::Unchanged;
        loop {
            match made.attached_to() {
                Some(other) if other != instance => {
                    return Err(self.refused(&id, format!("is attached to {other}")));
                }
                Some(_) if made.is_attached() => return Ok((made, outcome)),
                Some(_) => {}
                None => {
                    let none_left = |what| self.delivery.refused(format!("{instance} has no {what}"));
                    let place = P::free_place(&taken).map_err(none_left)?;
                    let look = async |_: &AwsError| {
                        self.delivery.alive(instance).await?;
                        match self.look(LookAt::Part, &id).await? {
                            Found::Gone => Err(self.refused(&id, "is gone")),
                            stands => Ok(stands),
                        }
                    };
                    let attach = || self.ec2().attach_part(&id, instance, &place);
                    let answer = self.delivery.settle(Service::Ec2, attach, look).await?;
                    if answer == Some(Attached::PlaceTaken) {
                        taken.push(place);
                        continue;
                    }
                    outcome = Outcome::Done;
                }
            }
            let not_yet = format!("{} is not attached yet", self.called(&id));
            let look = async || Ok(self.find(&id).await?.filter(P::is_attached));
            made = self.delivery.until(&not_yet, look).await?;
        }
    }

    /// Delete a part that could not be attached, unless a repeat can still use it.
    async fn roll_back(&self, id: &P::Id, mut error: Error) -> Error {
        let called = self.called(id);
        let attached =
            self.find(id).await.map(|found| found.is_some_and(|found| found.attachment().is_some()));
        let delete = || self.ec2().delete_part(id);
        let what = format!("delete {called}, which could not be attached");
        if attached.unwrap_or(true) || error.kind.is_retryable() {
            error.advice = format!("{}; {called} stands, and a repeat goes on with it", error.advice);
        } else if !self.delivery.try_to(&what, delete).await {
            error.advice = format!("{}; {called} is left: {} it", error.advice, P::REMOVE);
        }
        error
    }

    /// A look at a part that EC2 refused to touch. The part must be attached to this machine or to none.
    pub(super) async fn look(&self, at: LookAt, id: &P::Id) -> Result<Found, Error> {
        let Some(found) = self.find(id).await?.filter(P::stands) else { return Ok(Found::Gone) };
        match found.attached_to() {
            Some(other) if other != self.instance() => {
                Err(self.refused(id, format!("is attached to {other}")))
            }
            None if at == LookAt::Attachment => Ok(Found::Gone),
            _ => self.is_ours(&found).map(|()| Found::Stands(found.created_at())),
        }
    }

    pub(super) fn is_ours(&self, found: &P) -> Result<(), Error> {
        match self.delivery.is_ours(found.tags()) {
            true => Ok(()),
            false => Err(self.refused(found.id(), "has not the tag Project of ours")),
        }
    }

    /// The part is attached to this machine; or it is attached to nothing, and was made for this machine.
    pub(super) fn is_of_this_machine(&self, found: &P) -> Result<(), Error> {
        let instance = self.instance();
        let made_for = found.tags().get(INSTANCE_TAG);
        match found.attached_to() {
            Some(other) if other == instance => Ok(()),
            None if made_for.is_none_or(|other| *other == instance.as_str()) => Ok(()),
            _ => Err(self.refused(found.id(), format!("is not one of {instance}"))),
        }
    }

    pub(super) async fn remove(&self, found: &P) -> Result<(), Error> {
        let id = found.id();
        if let Some(attachment) = found.attachment() {
            let detach = || self.ec2().detach_part(id, attachment);
            let look = async |_: &AwsError| self.look(LookAt::Attachment, id).await;
            self.delivery.settle(Service::Ec2, detach, look).await?;
            let not_yet = format!("{} is not detached yet{}", self.called(id), P::FIRST);
            let look = async || match self.find(id).await? {
                Some(found) if !found.is_detached() => Ok(None),
                _ => Ok(Some(())),
            };
            self.delivery.until(&not_yet, look).await?;
        }
        let look = async |_: &AwsError| self.look(LookAt::Part, id).await;
        self.delivery.settle(Service::Ec2, || self.ec2().delete_part(id), look).await?;
        if let Some(name) = found.tags().get(NAME_TAG) {
            self.delivery.is_history(P::KIND, self.of, name);
        }
        Ok(())
    }
}

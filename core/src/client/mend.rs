//! After a salvage ([`crate::store::Store::salvage`]): what only one of two places still holds is put into the other,
//! and lists and search are made anew from the documents.

use std::collections::BTreeSet;

use super::ErrorKind;
use super::enrol::Enrolment;
use super::error::Fault;
use super::fieldbook::Fieldbook;
use super::row::read_row;
use super::session;
use crate::access::FeedId;
use crate::document::layout::is_system_actor;
use crate::document::{ChangeState, Document, RawChange, RecordMeta, Rendition};
use crate::forms::FormDefinition;
use crate::ids::{ActorId, ChangeHash, RecordId};
use crate::intake;
use crate::store::{OutboxRow, View, Write};

/// Records that one transaction works on.
const BATCH: usize = 200;

/// Setting: the actor before the salvage, if something was lost.
const ACTOR_BEFORE: &str = "actor_before";

/// What is the same for every record.
struct Known {
    /// Unit of this phone, for a record whose own is lost.
    unit: String,
    /// Actors of this device.
    own: BTreeSet<ActorId>,
    /// Actors of other people.
    others: BTreeSet<ActorId>,
    /// Changes that the server is known to have.
    in_feeds: BTreeSet<ChangeHash>,
}

impl Known {
    fn is_here(&self, outbox: &[OutboxRow], hash: &ChangeHash) -> bool {
        self.in_feeds.contains(hash) || outbox.iter().any(|row| row.hash == *hash)
    }
}

impl Fieldbook {
    /// Does what a salvage left to do; nothing after an ordinary opening. A record whose form is lost too waits until
    /// a sync has brought the form, and then calls this again.
    pub(super) fn mend(&self) -> Result<(), Fault> {
        if !self.store.must_derive()? {
            return Ok(());
        }
        let known = self.store.read(known)?;
        let mut all = true;
        loop {
            let lost = self.store.read(|view| Ok::<_, Fault>(view.outbox_without_body(BATCH)?))?;
            let rebuilt = self.store.write(|write| {
                lost.iter().try_fold(0, |count, id| Ok::<_, Fault>(count + usize::from(self.rebuild(write, id)?)))
            })?;
            all &= rebuilt == lost.len();
            if rebuilt == 0 || lost.len() < BATCH {
                break;
            }
        }
        let mut after = 0;
        loop {
            let page = self.store.read(|view| Ok::<_, Fault>(view.stored_after(after, BATCH)?))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            all &= self.store.write(|write| {
                page.iter().try_fold(true, |all, (_, id)| Ok::<_, Fault>(self.derive(write, id, &known)? && all))
            })?;
        }
        if all {
            self.store.write(|write| Ok::<_, Fault>(write.derived()?))?;
        }
        Ok(self.store.tidy()?)
    }

    /// Puts into the outbox again what documents hold and no feed has: whose actors are lost too was not found when the
    /// phone was opened. Only when all feeds are whole: until then others' changes look the same. A record whose form is
    /// lost too waits for a later sync.
    pub(super) fn reclaim(&self) -> Result<(), Fault> {
        let known = self.store.read(|view| {
            let mut known = known(view)?;
            known.in_feeds.extend(view.lost_hashes()?);
            Ok::<_, Fault>(known)
        })?;
        let (mut after, mut all) = (0, true);
        loop {
            let page = self.store.read(|view| Ok::<_, Fault>(view.stored_after(after, BATCH)?))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            all &= self.store.write(|write| {
                page.iter().try_fold(true, |all, (_, id)| Ok::<_, Fault>(self.reclaim_one(write, id, &known)? && all))
            })?;
        }
        if all {
            self.store.write(|write| Ok::<_, Fault>(write.reclaimed()?))?;
        }
        Ok(())
    }

    fn reclaim_one(&self, write: &Write<'_>, id: &RecordId, known: &Known) -> Result<bool, Fault> {
        let view = write.view();
        let (Some(body), Some(meta)) = (view.body(id)?, view.meta(id)?) else { return Ok(true) };
        let Some(form) = self.definition_if_known(view, &meta.kind, None)? else { return Ok(false) };
        let (document, outbox) = (Document::load(&body)?, view.outbox_of(id)?);
        for change in document.changes() {
            let others = known.others.contains(&change.actor) || is_system_actor(&form, change.actor);
            if !others && !known.is_here(&outbox, &change.hash) {
                write.put_outbox(&unsent(change, id, &meta, &form.version))?;
            }
        }
        Ok(true)
    }

    fn definition_if_known(
        &self,
        view: View<'_>,
        kind: &str,
        version: Option<&str>,
    ) -> Result<Option<std::sync::Arc<FormDefinition>>, Fault> {
        match self.definition_in(view, kind, version) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// A record whose document is lost, from its unsent changes. Those that build on lost ones wait in the outbox; the
    /// sync brings back what the server has.
    fn rebuild(&self, write: &Write<'_>, id: &RecordId) -> Result<bool, Fault> {
        let view = write.view();
        let rows = view.outbox_of(id)?;
        let Some(first) = rows.first() else { return Ok(false) };
        let created = self.definition_if_known(view, &first.kind, Some(&first.created_version))?;
        let current = self.definition_if_known(view, &first.kind, None)?;
        let (Some(created), Some(current)) = (created, current) else { return Ok(false) };
        let mut document = Document::create(*id, &created)?;
        for row in &view.outbox_in_document(id)? {
            // A change whose causes are lost is refused here, and stays in the outbox.
            let _ = intake::admit(&mut document, &current, &row.bytes, None);
        }
        if view.meta(id)?.is_none_or(|meta| meta.kind.is_empty()) {
            let meta = RecordMeta {
                kind: first.kind.clone(),
                created_version: first.created_version.clone(),
                feed: first.feed.clone(),
                salt: None,
                moves: 0,
            };
            write.put_meta(id, &meta)?;
        }
        self.store_again(write, id, &document)?;
        Ok(true)
    }

    /// Makes all that is read of a stored document anew.
    fn derive(&self, write: &Write<'_>, id: &RecordId, known: &Known) -> Result<bool, Fault> {
        let view = write.view();
        let Some(body) = view.body(id)? else { return Ok(true) };
        let document = Document::load(&body)?;
        let head = document.record().clone();
        let Some(form) = self.definition_if_known(view, &head.kind, None)? else { return Ok(false) };
        let outbox = view.outbox_of(id)?;
        let mut meta = view.meta(id)?.ok_or_else(|| Fault::internal("a body without a record"))?;
        if meta.kind.is_empty() {
            let unit = outbox.first().map_or_else(|| known.unit.clone(), |row| row.feed.unit.clone());
            meta = RecordMeta {
                kind: head.kind,
                created_version: head.created_version,
                feed: FeedId { unit, area: form.area },
                salt: None,
                moves: 0,
            };
            write.put_meta(id, &meta)?;
        }
        for change in document.changes() {
            if known.own.contains(&change.actor) && !known.is_here(&outbox, &change.hash) {
                write.put_outbox(&unsent(change, id, &meta, &form.version))?;
            }
        }
        self.store_again(write, id, &document)?;
        Ok(true)
    }

    fn store_again(&self, write: &Write<'_>, id: &RecordId, document: &Document) -> Result<(), Fault> {
        let view = write.view();
        let meta = view.meta(id)?.ok_or_else(|| Fault::internal("a document without a record"))?;
        let form = self.form_in(view, &meta.kind, None)?;
        let review = session::last_review(view, document)?;
        let rendition = Rendition::of(document, form.definition());
        let row = read_row(document, &rendition, &form, &meta.feed.unit, review.as_ref(), self.language().tag());
        Ok(write.put_record(id, rendition.body(), &row)?)
    }
}

fn known(view: View<'_>) -> Result<Known, Fault> {
    let enrolment = Enrolment::load(view)?;
    let (device, user) = enrolment.as_ref().map(|enrolment| (enrolment.device, enrolment.user)).unzip();
    let (own, others): (Vec<_>, Vec<_>) = view.actors()?.into_iter().partition(|row| Some(row.device) == device);
    // Where the enrolment was lost with the rest, this phone has another name now.
    let others = others.into_iter().filter(|row| Some(row.user) != user);
    let mut own: BTreeSet<ActorId> = own.into_iter().map(|row| row.actor).collect();
    own.extend(view.outbox_actors()?);
    own.extend(view.setting(ACTOR_BEFORE)?.and_then(|bytes| ActorId::from_slice(&bytes).ok()));
    Ok(Known {
        unit: enrolment.map(|enrolment| enrolment.unit.code).unwrap_or_default(),
        own,
        others: others.map(|row| row.actor).collect(),
        in_feeds: view.feed_hashes()?,
    })
}

fn unsent(change: RawChange, record: &RecordId, meta: &RecordMeta, form_version: &str) -> OutboxRow {
    OutboxRow {
        hash: change.hash,
        record: *record,
        kind: meta.kind.clone(),
        created_version: meta.created_version.clone(),
        form_version: form_version.to_owned(),
        feed: meta.feed.clone(),
        actor: change.actor,
        state: ChangeState::Unstated,
        statement: None,
        bytes: change.bytes,
    }
}

//! The phone: opening, kinds, lists, records, status. Everything blocks; nothing waits for the network but `enrol` and
//! `sync`.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::documents::Documents;
use super::enrol::Enrolment;
use super::erase::finish_erasing;
use super::error::{Fault, guard};
use super::net::{Network, SystemNetwork, Transport};
use super::session::{self, DATABASE_KEY_BYTES};
use super::text::{Language, Text};
use super::types::{DraftInfo, KindInfo, StatusView};
use super::watch::Bell;
use super::{ClientError, ErrorKind};
use crate::forms::{Form, FormDefinition};
use crate::ids::ActorId;
use crate::ports::{Clock, Disk, KeyVault, Random};
use crate::store::{self, ListFilter, ListRow, Status, Store, SystemDisk, View, Write};

/// Compiled forms kept in memory.
const FORMS_KEPT_MAX: usize = 16;
/// Kinds that one phone knows.
const KINDS_MAX: usize = 1_000;

/// A compiled form in memory.
#[derive(Clone)]
struct Kept {
    form: Arc<Form>,
    definition: Arc<FormDefinition>,
}

/// What a phone needs of the world around it.
pub struct Ports {
    /// Small secrets.
    pub vault: Arc<dyn KeyVault>,
    /// Wall clock and boot clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness of ids, keys and row ids.
    pub random: Arc<dyn Random>,
    /// Where the store's files lie.
    pub disk: Arc<dyn Disk>,
    /// What reaches the server.
    pub network: Arc<dyn Network>,
}

/// One phone of one user: its store, its key, its forms and its connection.
pub struct Fieldbook {
    pub(super) store: Store,
    pub(super) vault: Arc<dyn KeyVault>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) network: Arc<dyn Network>,
    language: Mutex<Language>,
    forms: Mutex<HashMap<(String, String), Kept>>,
    /// Documents of the records last worked on.
    pub(super) documents: Mutex<Documents>,
    /// Records whose form is open: one session a record.
    pub(super) open_forms: Mutex<HashSet<crate::ids::RecordId>>,
    /// Held for the length of a sync or an enrolment.
    pub(super) connection: Mutex<Option<Box<dyn Transport>>>,
    /// Wakes a watch.
    pub(super) bell: Bell,
}

impl std::fmt::Debug for Fieldbook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fieldbook").field("store", &self.store).finish_non_exhaustive()
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fieldbook {
    /// Opens the phone in `folder`, or makes it, on the system's files and network: the database key is drawn at the
    /// first opening and lives in `vault`.
    ///
    /// # Errors
    /// `WrongKey`, `Damaged` (opening again salvages), `NeedsUpdate`, `StorageFull`, `Busy`, or `Internal` when the
    /// vault fails.
    pub fn open(
        folder: &Path,
        vault: Arc<dyn KeyVault>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        language: Language,
    ) -> Result<Arc<Self>, ClientError> {
        let ports = Ports { vault, clock, random, disk: Arc::new(SystemDisk), network: Arc::new(SystemNetwork) };
        Self::open_with(folder, ports, language)
    }

    /// The same on the files and the network that `ports` names.
    ///
    /// # Errors
    /// As [`Fieldbook::open`].
    pub fn open_with(folder: &Path, ports: Ports, language: Language) -> Result<Arc<Self>, ClientError> {
        let Ports { vault, clock, random, disk, network } = ports;
        guard(language, || {
            let erased = finish_erasing(folder, vault.as_ref(), disk.as_ref())?;
            let key = session::database_key(folder, vault.as_ref(), random.as_ref(), disk.as_ref())?;
            debug_assert_eq!(key.len(), DATABASE_KEY_BYTES);
            let store = Store::open(folder, &key, random.as_ref(), disk)?;
            session::settle_actor(&store, vault.as_ref(), clock.as_ref(), random.as_ref())?;
            if erased {
                store.write(|write| Ok::<_, Fault>(write.put_setting(session::REVOKED, b"1")?))?;
                store::forget_erased(folder)?;
            }
            let book = Arc::new(Self {
                store,
                vault,
                clock,
                random,
                network,
                language: Mutex::new(language),
                forms: Mutex::default(),
                documents: Mutex::default(),
                open_forms: Mutex::default(),
                connection: Mutex::default(),
                bell: Bell::default(),
            });
            book.mend()?;
            Ok(book)
        })
    }

    /// Marks a clean stop and folds the store's log into its file. Open forms keep their drafts.
    ///
    /// # Errors
    /// `StorageFull`, `Damaged`. Without it nothing is lost either.
    pub fn close(self: Arc<Self>) -> Result<(), ClientError> {
        let language = self.language();
        guard(language, || match Arc::try_unwrap(self) {
            Ok(book) => Ok(book.store.close()?),
            // A form handle is still held somewhere: the next opening counts this as an unclean stop.
            Err(_) => Ok(()),
        })
    }

    /// Folder of this phone.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.store.folder()
    }

    /// Language of messages and forms.
    #[must_use]
    pub fn language(&self) -> Language {
        *locked(&self.language)
    }

    /// Changes the language; open forms keep theirs.
    pub fn set_language(&self, language: Language) {
        *locked(&self.language) = language;
    }

    /// Keeps nothing of a record in memory.
    pub(super) fn forget_document(&self, id: &crate::ids::RecordId) {
        locked(&self.documents).forget(id);
    }

    pub(super) fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, ClientError> {
        guard(self.language(), work)
    }

    /// The kinds that this phone can fill in, by name.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn kinds(&self) -> Result<Vec<KindInfo>, ClientError> {
        self.guarded(|| {
            let (current, counts) = self.store.read(|view| Ok::<_, Fault>((view.current_forms()?, view.counts()?)))?;
            let mut kinds = Vec::new();
            for (kind, version) in current.into_iter().take(KINDS_MAX) {
                let form = self.form(&kind, Some(&version))?;
                let definition = form.definition();
                let count = counts.iter().find(|count| count.kind == kind);
                kinds.push(KindInfo {
                    title: form.pick(&definition.title, self.language().tag()).unwrap_or(&kind).to_owned(),
                    area: definition.area,
                    records: count.map_or(0, |count| count.records),
                    in_conflict: count.map_or(0, |count| count.in_conflict),
                    unsynced: count.map_or(0, |count| count.unsynced),
                    kind,
                    version,
                });
            }
            Ok(kinds)
        })
    }

    /// Records of a kind, the latest change first. `after` is the `place` of the last row of the page before.
    ///
    /// # Errors
    /// `NotFound` for an unknown kind; errors of the store.
    pub fn list(
        &self,
        kind: &str,
        filter: &ListFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<ListRow>, ClientError> {
        self.guarded(|| {
            self.require_kind(kind)?;
            self.store.read(|view| Ok(view.list(kind, filter, after, limit)?))
        })
    }

    /// Records of every kind that `text` finds, best first.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn search(&self, text: &str, limit: usize) -> Result<Vec<ListRow>, ClientError> {
        self.guarded(|| self.store.read(|view| Ok(view.search(text, limit)?)))
    }

    /// Forms that were being filled in when the app was closed or killed.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn drafts(&self) -> Result<Vec<DraftInfo>, ClientError> {
        self.guarded(|| {
            let drafts = self.store.read(|view| Ok::<_, Fault>(view.drafts()?))?;
            Ok(drafts
                .into_iter()
                .map(|draft| DraftInfo {
                    record: draft.key.record,
                    kind: draft.key.kind,
                    is_new: draft.key.is_new,
                    saved_ms: draft.saved_ms,
                })
                .collect())
        })
    }

    /// Who this phone is and what waits.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn status(&self) -> Result<StatusView, ClientError> {
        self.guarded(|| {
            self.store.read(|view| {
                let store = view.status()?;
                Ok(StatusView {
                    enrolment: Enrolment::load(view)?.map(|enrolment| enrolment.info()),
                    space_warning: space_warning(&store, self.language()),
                    store,
                    revoked: view.setting(session::REVOKED)?.is_some(),
                    salvaged: self.store.salvage().is_some(),
                    last_sync_ms: session::last_sync_ms(view)?,
                })
            })
        })
    }

    /// The form of `kind` in `version`, or its current one, as last committed.
    pub(super) fn form(&self, kind: &str, version: Option<&str>) -> Result<Arc<Form>, Fault> {
        self.store.read(|view| self.form_in(view, kind, version))
    }

    /// The same as an open transaction sees it.
    pub(super) fn form_in(&self, view: View<'_>, kind: &str, version: Option<&str>) -> Result<Arc<Form>, Fault> {
        self.kept_form(view, kind, version).map(|kept| kept.form)
    }

    /// The definition alone.
    pub(super) fn definition_in(
        &self,
        view: View<'_>,
        kind: &str,
        version: Option<&str>,
    ) -> Result<Arc<FormDefinition>, Fault> {
        self.kept_form(view, kind, version).map(|kept| kept.definition)
    }

    fn kept_form(&self, view: View<'_>, kind: &str, version: Option<&str>) -> Result<Kept, Fault> {
        let unknown = || Fault::new(ErrorKind::NotFound, Text::UnknownKind, kind);
        let version = match version {
            Some(version) => version.to_owned(),
            None => view.current_form(kind)?.ok_or_else(unknown)?,
        };
        let key = (kind.to_owned(), version);
        if let Some(kept) = locked(&self.forms).get(&key) {
            return Ok(kept.clone());
        }
        let bytes = view.form(kind, &key.1)?.ok_or_else(unknown)?;
        let form = Arc::new(Form::from_bytes(&bytes)?);
        let kept = Kept { definition: Arc::new(form.definition().clone()), form };
        let mut forms = locked(&self.forms);
        if forms.len() >= FORMS_KEPT_MAX {
            forms.clear();
        }
        forms.insert(key, kept.clone());
        Ok(kept)
    }

    /// A form was published again: it is read anew.
    pub(super) fn forget_form(&self, kind: &str, version: &str) {
        locked(&self.forms).remove(&(kind.to_owned(), version.to_owned()));
    }

    pub(super) fn forget_forms(&self) {
        locked(&self.forms).clear();
    }

    pub(super) fn require_kind(&self, kind: &str) -> Result<(), Fault> {
        self.form(kind, None).map(|_| ())
    }

    /// The form that a record is shown and edited with: the current one of its kind.
    pub(super) fn form_of(&self, kind: &str) -> Result<Arc<Form>, Fault> {
        self.form(kind, None)
    }

    pub(super) fn actor(&self, write: &Write<'_>) -> Result<ActorId, Fault> {
        session::actor(write.view())
    }

    pub(super) fn now_s(&self) -> i64 {
        self.clock.now_ms().div_euclid(1000)
    }
}

/// What the user is told while there is little space left.
pub(super) fn space_warning(status: &Status, language: Language) -> Option<String> {
    let free_bytes = status.free_bytes.filter(|_| status.space_low)?;
    Some(Text::SpaceLow.say(language, &format!("{} MB", free_bytes / 1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_told_with_how_much_is_left() {
        let low = Status { free_bytes: Some(12_345_678), space_low: true, ..Status::default() };
        let told = space_warning(&low, Language::English).unwrap_or_default();
        assert!(told.contains("12 MB"), "{told}");
        assert!(space_warning(&low, Language::Chinese).is_some_and(|told| told.contains("12 MB")));
        assert_eq!(space_warning(&Status { space_low: false, ..low }, Language::English), None);
    }
}

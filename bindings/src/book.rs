//! The phone: one object that screens hold.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use fieldbook_core::client::system::{SystemClock, SystemRandom};
use fieldbook_core::client::{self, Language};
use fieldbook_core::{access, store};

use crate::error::Sentence;
use crate::vault::AppVault;
use crate::{
    CancelHandle, FieldbookError, Filter, FormSession, KeyVault, ListRow, NotTaken, Page, Record, SyncListener,
    SyncReport, sync,
};

/// A kind of record that this phone can fill in.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct KindInfo {
    /// Its name.
    pub kind: String,
    /// Current version of its form.
    pub version: String,
    /// Title in the phone's language.
    pub title: String,
    /// Area that it belongs to: `aid`, `health`, `legal`, `finance`, `screening` or `general`.
    pub area: String,
    /// Records of it on this phone.
    pub records: u64,
    /// Of these, with conflicts.
    pub in_conflict: u64,
    /// Of these, not yet on the server.
    pub unsynced: u64,
}

impl From<client::KindInfo> for KindInfo {
    fn from(info: client::KindInfo) -> Self {
        let client::KindInfo { kind, version, title, area, records, in_conflict, unsynced } = info;
        Self { kind, version, title, area: area.word().to_owned(), records, in_conflict, unsynced }
    }
}

/// What the user may do at a unit and below.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Grant {
    /// Word of the role: `field`, `township`, `county`, …
    pub role: String,
    /// Code of the unit.
    pub unit: String,
}

impl From<(access::Role, String)> for Grant {
    fn from((role, unit): (access::Role, String)) -> Self {
        Self { role: role.word().to_owned(), unit }
    }
}

/// Who this phone is.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Enrolment {
    /// Address of the server.
    pub server: String,
    /// Name of the server.
    pub server_name: String,
    /// Name of the user.
    pub user_name: String,
    /// Code of the unit to which new records belong.
    pub unit: String,
    /// Name of that unit.
    pub unit_name: String,
    /// What the user may do, and where.
    pub roles: Vec<Grant>,
}

impl From<client::EnrolmentInfo> for Enrolment {
    fn from(info: client::EnrolmentInfo) -> Self {
        let client::EnrolmentInfo { server, server_name, user_name, unit, unit_name, roles } = info;
        Self { server, server_name, user_name, unit, unit_name, roles: roles.into_iter().map(Into::into).collect() }
    }
}

/// How the phone stands.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Status {
    /// Who it is; nothing before enrolling.
    pub enrolment: Option<Enrolment>,
    /// Records of which at least one change is only here.
    pub saved_here: u64,
    /// Records of which all was sent, unsigned yet.
    pub sent: u64,
    /// Records of which a hub holds all.
    pub at_township: u64,
    /// Records of which the server holds all.
    pub on_server: u64,
    /// Records of which the server did not take something, also those that have left this phone.
    pub not_taken: u64,
    /// Records in conflict.
    pub in_conflict: u64,
    /// Own changes that the server has not signed for yet.
    pub outbox_changes: u64,
    /// Forms that are open.
    pub drafts: u64,
    /// Entries that wait for a newer app, a form or an earlier change.
    pub pending: u64,
    /// Free bytes where the store is, if the system says.
    pub free_bytes: Option<u64>,
    /// There is little space left: free some.
    pub space_low: bool,
    /// The same: what to tell the user.
    pub space_warning: Option<String>,
    /// What was on this phone was erased, because its device was revoked; until it is enrolled again.
    pub revoked: bool,
    /// A damaged store was salvaged and the user has not acknowledged it.
    pub salvaged: bool,
    /// The last sync that ended well, milliseconds since 1970 UTC by the phone's clock.
    pub last_sync_ms: Option<i64>,
}

impl From<client::StatusView> for Status {
    fn from(status: client::StatusView) -> Self {
        let client::StatusView { enrolment, store, space_warning, revoked, salvaged, last_sync_ms } = status;
        let store::Status {
            saved_here,
            sent,
            at_township,
            on_server,
            not_taken,
            in_conflict,
            outbox_changes,
            drafts,
            pending,
            free_bytes,
            space_low,
        } = store;
        Self {
            enrolment: enrolment.map(Into::into),
            saved_here,
            sent,
            at_township,
            on_server,
            not_taken,
            in_conflict,
            outbox_changes,
            drafts,
            pending,
            free_bytes,
            space_low,
            space_warning,
            revoked,
            salvaged,
            last_sync_ms,
        }
    }
}

/// A form that was being filled in when the app was closed or killed; open it again to go on.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Draft {
    /// The record; for a new one the id that it will get.
    pub record: String,
    /// Its kind.
    pub kind: String,
    /// The record is not stored yet.
    pub is_new: bool,
    /// Last answer, milliseconds since 1970 UTC by the phone's clock.
    pub saved_ms: i64,
}

impl From<client::DraftInfo> for Draft {
    fn from(draft: client::DraftInfo) -> Self {
        let client::DraftInfo { record, kind, is_new, saved_ms } = draft;
        Self { record: record.to_string(), kind, is_new, saved_ms }
    }
}

/// What support calls a record's id.
pub(crate) const RECORD_ID: &str = "record id";

const CLOSED: Sentence =
    Sentence { chinese: "走访本已经关闭，请重新打开。", english: "Fieldbook was closed. Open it again." };
const NO_ID: Sentence = Sentence {
    chinese: "编号读不懂，请从列表里重新打开。",
    english: "This is no id. Open it from the list again.",
};
const NO_JSON: Sentence = Sentence {
    chinese: "这个值读不懂，请重新填写。",
    english: "This value cannot be read. Enter it again.",
};

/// The open store: the last object that holds it closes it cleanly.
pub(crate) struct Phone(Option<Arc<client::Fieldbook>>);

impl Phone {
    pub(crate) fn book(&self) -> Result<&Arc<client::Fieldbook>, FieldbookError> {
        self.0.as_ref().ok_or_else(|| FieldbookError::of_app(self.language(), CLOSED, "the phone is closed"))
    }

    fn language(&self) -> Language {
        self.0.as_ref().map(|book| book.language()).unwrap_or_default()
    }

    /// Reads an id; `what` names it for support.
    pub(crate) fn id<T: FromStr>(&self, text: &str, what: &str) -> Result<T, FieldbookError> {
        text.parse().map_err(|_| FieldbookError::bad_input(self.language(), NO_ID, format!("no {what}: {text}")))
    }

    pub(crate) fn json(&self, text: &str) -> Result<serde_json::Value, FieldbookError> {
        serde_json::from_str(text)
            .map_err(|error| FieldbookError::bad_input(self.language(), NO_JSON, format!("no JSON: {error}")))
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        if let Some(book) = self.0.take() {
            // Without a clean stop nothing is lost either: the next opening looks closer.
            let _ = book.close();
        }
    }
}

/// One phone of one user. Letting go of it (Kotlin: `close()` or `use`) and of its forms stops it cleanly.
#[derive(uniffi::Object)]
pub struct Fieldbook {
    phone: Arc<Phone>,
}

#[uniffi::export]
impl Fieldbook {
    /// Opens the phone in `folder`, or makes it: the database key is drawn at the first opening and lives in `vault`.
    /// `language` is a tag such as `zh-Hans` or `en`, for forms and errors.
    ///
    /// # Errors
    /// `WrongKey`, `Damaged` (opening again salvages), `NeedsUpdate`, `StorageFull`, `Busy`, or `Internal` when the
    /// vault fails.
    #[uniffi::constructor]
    pub fn open(folder: String, vault: Arc<dyn KeyVault>, language: String) -> Result<Arc<Self>, FieldbookError> {
        let book = client::Fieldbook::open(
            Path::new(&folder),
            Arc::new(AppVault(vault)),
            Arc::new(SystemClock::new()),
            Arc::new(SystemRandom::new()),
            Language::of_tag(&language),
        )?;
        Ok(Arc::new(Self { phone: Arc::new(Phone(Some(book))) }))
    }

    /// Makes this phone a device of the server that `link` names, with the link's one-time code. Blocks.
    ///
    /// # Errors
    /// `BadInput` for a link that is none or a phone that is enrolled, `Network`, `ServerIdentity`, `Refused` for a code
    /// that is unknown, used or too old.
    pub fn enrol(&self, link: String, device_name: String) -> Result<Enrolment, FieldbookError> {
        Ok(self.phone.book()?.enrol(&link, &device_name)?.into())
    }

    /// The kinds that this phone can fill in, by name.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn kinds(&self) -> Result<Vec<KindInfo>, FieldbookError> {
        Ok(self.phone.book()?.kinds()?.into_iter().map(Into::into).collect())
    }

    /// Records of a kind, the latest change first.
    ///
    /// # Errors
    /// `NotFound` for an unknown kind; errors of the store.
    pub fn list(&self, kind: String, filter: Filter, page: Page) -> Result<Vec<ListRow>, FieldbookError> {
        let Page { after, rows } = page;
        let rows = self.phone.book()?.list(&kind, &filter.into(), after, rows as usize)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// At most `rows` records of every kind that `text` finds, best first.
    ///
    /// # Errors
    /// Errors of the store.
    #[uniffi::method(default(rows = 50))]
    pub fn search(&self, text: String, rows: u32) -> Result<Vec<ListRow>, FieldbookError> {
        Ok(self.phone.book()?.search(&text, rows as usize)?.into_iter().map(Into::into).collect())
    }

    /// A record with conflicts, problems, reviews and history.
    ///
    /// # Errors
    /// `NotFound`; errors of the store.
    pub fn record(&self, id: String) -> Result<Record, FieldbookError> {
        Ok(self.phone.book()?.record(self.phone.id(&id, RECORD_ID)?)?.into())
    }

    /// Opens a form: a new record of `kind`, or `record` as it is now. Where a draft is kept for `record`, the form goes on
    /// with it.
    ///
    /// # Errors
    /// `NotFound` for an unknown kind or record, `BadInput` when the record is of another kind, `NotEnrolled`, `Busy`
    /// while the record is open in another form.
    #[uniffi::method(default(record = None))]
    pub fn open_form(&self, kind: String, record: Option<String>) -> Result<Arc<FormSession>, FieldbookError> {
        FormSession::open(&self.phone, &kind, record)
    }

    /// Decides a conflict by an ordinary edit: writes `value` (JSON: one of the conflicting ones or another) at `path`.
    /// Returns the change, or nothing if nothing differed.
    ///
    /// # Errors
    /// `NotFound` for an unknown record, `BadInput` when there is no conflict at `path` or the value is not valid.
    pub fn resolve(&self, id: String, path: String, value: String) -> Result<Option<String>, FieldbookError> {
        let (id, value) = (self.phone.id(&id, RECORD_ID)?, self.phone.json(&value)?);
        let client::Saved { record: _, change } = self.phone.book()?.resolve(id, &path, &value)?;
        Ok(change.map(|change| change.to_string()))
    }

    /// What this phone's user wrote and the server did not take, the oldest first, also of records that have left the
    /// phone since.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn not_taken(&self, page: Page) -> Result<Vec<NotTaken>, FieldbookError> {
        let Page { after, rows } = page;
        let found = self.phone.book()?.not_taken(after.unwrap_or_default(), rows as usize)?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// The user has seen to what was not taken of a record: it is no longer shown. It cannot be had back.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn dismiss_not_taken(&self, id: String) -> Result<(), FieldbookError> {
        Ok(self.phone.book()?.dismiss_not_taken(self.phone.id(&id, RECORD_ID)?)?)
    }

    /// Forms that were being filled in when the app was closed or killed.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn drafts(&self) -> Result<Vec<Draft>, FieldbookError> {
        Ok(self.phone.book()?.drafts()?.into_iter().map(Into::into).collect())
    }

    /// Exchanges with the server until nothing waits on either side. Blocks; breaks are taken up again a few times; what
    /// has arrived before an error stays.
    ///
    /// # Errors
    /// `NotEnrolled`, `Network`, `ServerIdentity`, `Revoked`, `Refused`, `NeedsUpdate`, `Busy` while another sync runs,
    /// `Cancelled`, `Internal` when the listener threw, and errors of the store.
    pub fn sync(
        &self,
        listener: Arc<dyn SyncListener>,
        cancel: Arc<CancelHandle>,
    ) -> Result<SyncReport, FieldbookError> {
        sync::run(self.phone.book()?, None, listener.as_ref(), &cancel)
    }

    /// The same with the township hub at `hub` (`HOST:PORT`): what it takes is shown as at the township, and goes to the
    /// server all the same.
    ///
    /// # Errors
    /// As `sync`; `ServerIdentity` also where the hub's answer does not fit the server's signatures, `Refused` where the
    /// server must be asked first, `BadInput` for an address that is none.
    pub fn sync_at_hub(
        &self,
        hub: String,
        listener: Arc<dyn SyncListener>,
        cancel: Arc<CancelHandle>,
    ) -> Result<SyncReport, FieldbookError> {
        sync::run(self.phone.book()?, Some(&hub), listener.as_ref(), &cancel)
    }

    /// Who this phone is and what waits.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn status(&self) -> Result<Status, FieldbookError> {
        Ok(self.phone.book()?.status()?.into())
    }
}

//! Few stable kinds of error for screens and scripts, each with a sentence that says what to do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::link::LinkError;
use super::net::NetError;
use super::text::{Language, Text};
use crate::forms::{FormFault, ValueError};
use crate::ids::RecordId;
use crate::ports::VaultError;
use crate::protocol;
use crate::store::StoreError;

/// Stable kinds of [`ClientError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was given is not valid: correct it.
    BadInput,
    /// No such record, kind or field on this phone.
    NotFound,
    /// The phone must enrol first.
    NotEnrolled,
    /// No connection, or it broke: try again.
    Network,
    /// What answers is not the server that was enrolled with, or none at all. Nothing was sent to it.
    ServerIdentity,
    /// The server said no.
    Refused,
    /// The device is full; nothing was stored.
    StorageFull,
    /// The device's storage cannot be read or written, and not for want of space; nothing was stored.
    StorageFailed,
    /// The database key does not fit.
    WrongKey,
    /// The store is damaged; it was set aside.
    Damaged,
    /// App and server or store have versions that do not fit.
    NeedsUpdate,
    /// This device was revoked: what it held here is erased.
    Revoked,
    /// In use elsewhere, or the other side is: try again.
    Busy,
    /// The caller cancelled.
    Cancelled,
    /// A mistake of this program.
    Internal,
}

impl ErrorKind {
    /// The word in JSON and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BadInput => "bad_input",
            Self::NotFound => "not_found",
            Self::NotEnrolled => "not_enrolled",
            Self::Network => "network",
            Self::ServerIdentity => "server_identity",
            Self::Refused => "refused",
            Self::StorageFull => "storage_full",
            Self::StorageFailed => "storage_failed",
            Self::WrongKey => "wrong_key",
            Self::Damaged => "damaged",
            Self::NeedsUpdate => "needs_update",
            Self::Revoked => "revoked",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// What every call of the facade returns when it could not do what was asked. Nothing is half done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// For programs.
    pub kind: ErrorKind,
    /// For the user, in the user's language: what happened, and what to do.
    pub message: String,
    /// For support, in English; holds no personal data.
    pub detail: String,
    /// The record that it is about.
    pub record: Option<RecordId>,
    /// The field that it is about.
    pub path: Option<String>,
    /// The line of an import that it is about, from 1.
    pub line: Option<u64>,
}

/// What is said to the user, before the language is known.
#[derive(Clone, Debug)]
enum Say {
    Text(Text, String),
    /// Chinese and English, from another catalogue.
    Both(String, String),
}

/// An error inside the facade; becomes a [`ClientError`] at its border.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    kind: ErrorKind,
    say: Say,
    detail: String,
    record: Option<RecordId>,
    path: Option<String>,
}

impl Fault {
    /// `text` about `about`.
    pub(crate) fn new(kind: ErrorKind, text: Text, about: impl ToString) -> Self {
        let about = about.to_string();
        let detail = text.say(Language::English, &about);
        Self { kind, say: Say::Text(text, about), detail, record: None, path: None }
    }

    /// A sentence of another catalogue.
    pub(crate) fn said(kind: ErrorKind, chinese: String, english: String) -> Self {
        Self { kind, detail: english.clone(), say: Say::Both(chinese, english), record: None, path: None }
    }

    /// `text` about a reason that is a sentence of its own.
    pub(crate) fn because(kind: ErrorKind, text: Text, why: Text) -> Self {
        let say = |language| text.say(language, &why.say(language, ""));
        Self::said(kind, say(Language::Chinese), say(Language::English))
    }

    /// Where it speaks of the server that was asked, it was a township hub at `address`.
    pub(crate) fn of_hub(mut self, address: &str) -> Self {
        self.say = match self.say {
            Say::Text(Text::HubNotBelieved, _) => Say::Text(Text::HubNotBelieved, address.to_owned()),
            Say::Text(Text::Unreachable, _) => Say::Text(Text::HubUnreachable, address.to_owned()),
            Say::Text(Text::Broken, _) => Say::Text(Text::HubBroken, address.to_owned()),
            Say::Text(Text::WrongServer | Text::NotAServer, _) => Say::Text(Text::NotAHub, address.to_owned()),
            other => other,
        };
        self
    }

    /// A mistake of this program.
    pub(crate) fn internal(detail: impl ToString) -> Self {
        Self::new(ErrorKind::Internal, Text::Internal, detail)
    }

    /// Names the record.
    pub(crate) fn record(mut self, record: RecordId) -> Self {
        self.record = Some(record);
        self
    }

    /// Names the field.
    pub(crate) fn path(mut self, path: impl ToString) -> Self {
        self.path = Some(path.to_string());
        self
    }

    /// Adds what support needs to know.
    pub(crate) fn detail(mut self, detail: impl ToString) -> Self {
        self.detail = detail.to_string();
        self
    }

    pub(crate) fn detail_text(&self) -> &str {
        &self.detail
    }

    /// One item of a batch is not valid: the others can go on.
    pub(crate) fn is_of_item(&self) -> bool {
        matches!(self.kind, ErrorKind::BadInput | ErrorKind::NotFound)
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error as the caller gets it.
    pub(crate) fn speak(self, language: Language) -> ClientError {
        let message = match (self.say, language) {
            (Say::Text(text, about), _) => text.say(language, &about),
            (Say::Both(chinese, _), Language::Chinese) => chinese,
            (Say::Both(_, english), Language::English) => english,
        };
        ClientError { kind: self.kind, message, detail: self.detail, record: self.record, path: self.path, line: None }
    }
}

impl ClientError {
    /// Names the line of an import.
    #[must_use]
    pub fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }
}

/// The facade's border: speaks the user's language, and lets no panic through.
pub(crate) fn guard<T>(language: Language, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, ClientError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|fault| fault.speak(language)),
        Err(panic) => {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic".to_owned());
            Err(Fault::internal("panic").detail(what).speak(language))
        }
    }
}

impl From<VaultError> for Fault {
    fn from(error: VaultError) -> Self {
        Fault::new(ErrorKind::Internal, Text::Vault, &error.reason).detail(&error)
    }
}

impl From<LinkError> for Fault {
    fn from(error: LinkError) -> Self {
        Fault::because(ErrorKind::BadInput, Text::BadLink, error.0)
    }
}

impl From<ValueError> for Fault {
    fn from(error: ValueError) -> Self {
        let say = |language: Language| format!("{}：{}", error.path, error.text(language.tag()));
        Fault::said(ErrorKind::BadInput, say(Language::Chinese), say(Language::English).replace('：', ": "))
            .path(&error.path)
    }
}

impl From<FormFault> for Fault {
    fn from(fault: FormFault) -> Self {
        let say = |language: Language| Text::BadForm.say(language, &fault.text(language.tag()));
        Fault::said(ErrorKind::NeedsUpdate, say(Language::Chinese), say(Language::English))
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        let fault = match error {
            StoreError::WrongKey { .. } | StoreError::WrongKeyOrDamaged { .. } => {
                Fault::new(ErrorKind::WrongKey, Text::WrongKey, "")
            }
            StoreError::Newer { .. } => Fault::new(ErrorKind::NeedsUpdate, Text::NewerStore, ""),
            StoreError::Damaged { detail, .. } => Fault::new(ErrorKind::Damaged, Text::Damaged, detail),
            StoreError::Full { .. } => Fault::new(ErrorKind::StorageFull, Text::Full, ""),
            StoreError::Storage { source, .. } => Fault::new(ErrorKind::StorageFailed, Text::Storage, source),
            StoreError::Io { source, .. } => Fault::new(ErrorKind::StorageFailed, Text::Storage, source),
            StoreError::Erased => Fault::new(ErrorKind::Revoked, Text::Revoked, ""),
            StoreError::Busy { .. } => Fault::new(ErrorKind::Busy, Text::InUse, ""),
            StoreError::Purged(record) => Fault::new(ErrorKind::BadInput, Text::Purged, record).record(record),
            StoreError::Limit { what, .. } => Fault::new(ErrorKind::BadInput, Text::NotWritable, what),
            other => Fault::internal(other),
        };
        fault.detail(detail)
    }
}

impl From<NetError> for Fault {
    fn from(error: NetError) -> Self {
        let detail = error.to_string();
        let fault = match error {
            NetError::Unreachable { address, .. } => Fault::new(ErrorKind::Network, Text::Unreachable, address),
            NetError::Broken { address, .. } => Fault::new(ErrorKind::Network, Text::Broken, address),
            NetError::Identity { address, .. } => Fault::new(ErrorKind::ServerIdentity, Text::WrongServer, address),
            NetError::NotOurs { address, .. } => Fault::new(ErrorKind::ServerIdentity, Text::NotAServer, address),
            NetError::Refused(answer) => return answer.into(),
            NetError::Cancelled => Fault::new(ErrorKind::Cancelled, Text::Cancelled, ""),
        };
        fault.detail(detail)
    }
}

impl From<protocol::ErrorAnswer> for Fault {
    fn from(answer: protocol::ErrorAnswer) -> Self {
        use protocol::ErrorKind as Answer;
        let detail = format!("the server said {:?}: {}", answer.kind, answer.detail);
        let fault = match answer.kind {
            Answer::Version => Fault::new(ErrorKind::NeedsUpdate, Text::NeedsUpdate, ""),
            Answer::UnknownDevice => Fault::new(ErrorKind::Refused, Text::UnknownDevice, ""),
            Answer::Code => Fault::new(ErrorKind::Refused, Text::CodeRefused, ""),
            Answer::Unavailable | Answer::Busy => Fault::new(ErrorKind::Busy, Text::ServerBusy, ""),
            _ => Fault::new(ErrorKind::Refused, Text::ServerRefused, format!("{:?}", answer.kind)),
        };
        fault.detail(detail)
    }
}

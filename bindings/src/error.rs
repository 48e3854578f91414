//! One error for every call: few stable kinds, each with words for the user and detail for support.

use fieldbook_core::client::{ClientError, ErrorKind, Language};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident),+ $(,)?) => {
        /// Why a call did not do what was asked. Nothing is half done.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
        pub enum FieldbookError {
            $(
                $(#[$doc])*
                #[error("{text}")]
                $kind {
                    /// For the user, in the user's language: what happened, and what to do.
                    text: String,
                    /// For support, in English; holds no personal data.
                    detail: String,
                    /// The record that it is about.
                    record: Option<String>,
                    /// The field that it is about.
                    path: Option<String>,
                },
            )+
        }

        impl FieldbookError {
            fn of_kind(kind: ErrorKind, text: String, detail: String, record: Option<String>, path: Option<String>) -> Self {
                match kind {
                    $(ErrorKind::$kind => Self::$kind { text, detail, record, path },)+
                }
            }
        }

        #[uniffi::export]
        impl FieldbookError {
            /// What a screen shows, whatever the kind.
            pub fn words(&self) -> String {
                match self {
                    $(Self::$kind { text, .. } => text.clone(),)+
                }
            }
        }
    };
}

kinds! {
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
    /// This device was revoked.
    Revoked,
    /// In use elsewhere, or the other side is: try again.
    Busy,
    /// The caller cancelled.
    Cancelled,
    /// A mistake of this program, or of what the app gave it: a vault or a listener that threw.
    Internal,
}

impl From<ClientError> for FieldbookError {
    fn from(error: ClientError) -> Self {
        // A line is of an import's file, which these calls do not have.
        let ClientError { kind, message, detail, record, path, line: _ } = error;
        Self::of_kind(kind, message, detail, record.map(|record| record.to_string()), path)
    }
}

/// A sentence of this crate, in the languages that the core speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sentence {
    pub(crate) chinese: &'static str,
    pub(crate) english: &'static str,
}

impl FieldbookError {
    /// What was given cannot be read.
    pub(crate) fn bad_input(language: Language, sentence: Sentence, detail: impl ToString) -> Self {
        Self::of_kind(ErrorKind::BadInput, sentence.say(language), detail.to_string(), None, None)
    }

    /// What the app handed over failed, or the app misused it.
    pub(crate) fn of_app(language: Language, sentence: Sentence, detail: impl ToString) -> Self {
        Self::of_kind(ErrorKind::Internal, sentence.say(language), detail.to_string(), None, None)
    }
}

impl Sentence {
    fn say(self, language: Language) -> String {
        match language {
            Language::Chinese => self.chinese.to_owned(),
            Language::English => self.english.to_owned(),
        }
    }
}

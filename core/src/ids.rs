//! Identifiers that travel: fixed-size, shown as lower-case hex (records as UUIDs).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ports::Random;

/// A text that is no identifier of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {wanted}")]
pub struct IdError {
    /// What was given, at most 64 characters of it.
    pub text: String,
    /// Which identifier was expected.
    pub wanted: &'static str,
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// Draws a new random identifier.
            #[must_use]
            pub fn random(random: &dyn Random) -> Self {
                let mut bytes = [0; $size];
                random.fill(&mut bytes);
                Self(bytes)
            }

            /// The bytes as they are stored and sent.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// From exactly the right number of bytes.
            ///
            /// # Errors
            /// [`IdError`] on any other length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                <[u8; $size]>::try_from(bytes)
                    .map(Self)
                    .map_err(|_| IdError { text: format!("{} bytes", bytes.len()), wanted: stringify!($name) })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::from_slice(d.bytes()?).map_err(|error| minicbor::decode::Error::message(error.to_string()))
            }
        }
    };
}

macro_rules! hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = Self([0; size_of::<Self>()]);
                hex::decode_to_slice(text, &mut bytes.0)
                    .map_err(|_| IdError { text: text.chars().take(64).collect(), wanted: stringify!($name) })?;
                Ok(bytes)
            }
        }
    };
}

byte_id!(
    /// A record, for ever and everywhere: a random UUID.
    RecordId, 16
);
byte_id!(
    /// One automerge change: the SHA-256 of its content.
    ChangeHash, 32
);
byte_id!(
    /// Who writes in automerge's sense: one per installation, 16 random bytes.
    ActorId, 16
);
byte_id!(
    /// One enrolled installation.
    DeviceId, 16
);
byte_id!(
    /// A person with a login and roles.
    UserId, 16
);
byte_id!(
    /// One server's log: drawn at its first start.
    LogId, 16
);
byte_id!(
    /// A row of a repeat: 64 random bits, shown as 16 hex digits.
    RowId, 8
);
hex_text!(ChangeHash);
hex_text!(ActorId);
hex_text!(DeviceId);
hex_text!(UserId);
hex_text!(LogId);
hex_text!(RowId);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", uuid::Uuid::from_bytes(self.0))
    }
}

impl FromStr for RecordId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        uuid::Uuid::try_parse(text)
            .map(|id| Self(*id.as_bytes()))
            .map_err(|_| IdError { text: text.chars().take(64).collect(), wanted: "record id (UUID)" })
    }
}

impl RecordId {
    /// Draws a new random (version 4) record id.
    #[must_use]
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(*uuid::Builder::from_random_bytes(bytes).as_uuid().as_bytes())
    }
}

//! What the machine itself must remember between exchanges.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::PhoneLog;
use super::upload::Behind;
use crate::protocol::limits::{EXCHANGE_UP_BYTES_MAX, EXCHANGE_UP_BYTES_MIN};
use crate::sync::LogError;
use crate::sync::wire::{from_cbor, to_cbor};

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct SyncState {
    /// Counter of the last request that was begun.
    #[n(0)]
    pub(super) counter: u64,
    /// An exchange was begun and its end was not seen: the next one only asks.
    #[n(1)]
    pub(super) open: bool,
    /// That exchange carried an upload.
    #[n(2)]
    pub(super) open_upload: bool,
    /// Digest of the cursors that the server confirmed.
    #[n(3)]
    pub(super) digest: Option<ByteArray<16>>,
    /// Version of the feed list held.
    #[n(4)]
    pub(super) registry: u64,
    /// Number of the last verdict stored.
    #[n(5)]
    pub(super) verdicts: u64,
    /// Number of the last statement that the server holds.
    #[n(6)]
    pub(super) statement: u64,
    /// Last body that the server holds.
    #[n(7)]
    pub(super) taken: Option<(u64, u32)>,
    /// Upload per exchange, halved by breaks without progress; 0 = the most.
    #[n(8)]
    pub(super) up_bytes: u64,
    /// The next exchange shortens nothing: own changes are lost here, or one side could not make out what was shortened.
    #[n(9)]
    pub(super) in_full: bool,
    /// The device was cloned or rolled back: when all that the server has is here, everything that it does not have is
    /// issued again under a new actor.
    #[n(10)]
    pub(super) forked: bool,
    /// Feeds were left: their records leave as soon as nothing of them waits.
    #[n(11)]
    pub(super) leaving: bool,
    /// The server has said, signed, that this device is revoked: all that it sends is held apart, and issued again it
    /// would be there twice.
    #[n(12)]
    pub(super) revoked: bool,
    /// What the server lost and this phone has to give back.
    #[n(13)]
    pub(super) recalls: Vec<crate::sync::returned::Recall>,
    /// Forms whose notices are here, but not the forms themselves, in the order of their notices.
    #[n(14)]
    pub(super) forms: Vec<WantedForm>,
    /// The township hub that this phone spoke with last.
    #[n(15)]
    pub(super) hub: Option<super::hub::HubState>,
}

/// A form that is still to come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct WantedForm {
    #[n(0)]
    pub(super) kind: String,
    #[n(1)]
    pub(super) version: String,
    /// SHA-256 of its bytes.
    #[n(2)]
    pub(super) hash: ByteArray<32>,
}

impl SyncState {
    pub(super) fn load(log: &mut dyn PhoneLog) -> Result<Self, LogError> {
        match log.sync_state()? {
            None => Ok(Self::default()),
            Some(bytes) => from_cbor(&bytes).ok_or_else(|| LogError::damaged("the sync state does not read back")),
        }
    }

    /// As an exchange begins with it. Where a damaged store lost statements that the server has, what is stated next must
    /// follow the server's last one: it is as if the phone were rolled back.
    pub(super) fn at_start(log: &mut dyn PhoneLog) -> Result<Self, LogError> {
        let mut state = Self::load(log)?;
        state.forked |= log.last_statement()?.0 < state.statement;
        Ok(state)
    }

    pub(super) fn store(&self, log: &mut dyn PhoneLog) -> Result<(), LogError> {
        log.put_sync_state(&to_cbor(self))
    }

    /// How far the server has come.
    pub(super) fn behind(&self) -> Behind {
        Behind { statement: self.statement, taken: self.taken, in_full: self.in_full, by_hash: false }
    }

    pub(super) fn up_bytes(&self) -> usize {
        if self.up_bytes == 0 { EXCHANGE_UP_BYTES_MAX } else { self.up_bytes as usize }
    }

    pub(super) fn halve_upload(&mut self) {
        self.up_bytes = (self.up_bytes() / 2).max(EXCHANGE_UP_BYTES_MIN) as u64;
    }
}

/// Runs `work` in a transaction.
pub(super) fn transact<T, E: From<LogError>>(
    log: &mut dyn PhoneLog,
    work: impl FnOnce(&mut dyn PhoneLog) -> Result<T, E>,
) -> Result<T, E> {
    log.begin()?;
    match work(log) {
        Ok(value) => {
            log.commit()?;
            Ok(value)
        }
        Err(failure) => {
            log.rollback();
            Err(failure)
        }
    }
}

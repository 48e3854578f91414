//! What a request reaches: the server, or a township hub.

use std::path::PathBuf;
use std::sync::Arc;

use fieldbook_core::ids::DeviceId;
use fieldbook_core::protocol::ErrorAnswer;
use fieldbook_core::sync::LogError;
use fieldbook_server::hub::{self, HubStore, Missing};
use fieldbook_server::store::Store;
use fieldbook_server::{exchange, hub::Segments};

use super::ether::{Ether, HubServing, Serving};

/// A running process at the other end of a line.
#[derive(Clone)]
pub enum FarEnd {
    /// The server.
    Server(Serving),
    /// A township hub.
    Hub(HubServing),
}

impl FarEnd {
    /// The server, or the hub of this number, if it runs.
    #[must_use]
    pub fn of(ether: &Ether, hub: Option<usize>) -> Option<Self> {
        match hub {
            None => ether.serving().map(|serving| Self::Server(Serving { store: serving.either(ether), ..serving })),
            Some(number) => ether.hub(number).map(Self::Hub),
        }
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self, ether: &Ether) -> bool {
        match self {
            Self::Server(serving) => serving.runs(ether),
            Self::Hub(serving) => serving.runs(ether),
        }
    }

    /// A hub that says what is not so.
    #[must_use]
    pub fn lies(&self) -> bool {
        matches!(self, Self::Hub(serving) if serving.lies)
    }

    /// Its half of an exchange of which nothing has arrived yet.
    #[must_use]
    pub fn exchange(&self) -> Answering {
        match self {
            Self::Server(serving) => {
                Answering::Server(Box::new(exchange::Exchange::new(&serving.store)), Arc::clone(&serving.store))
            }
            Self::Hub(serving) => Answering::Hub(Box::default(), Arc::clone(&serving.store)),
        }
    }

    /// The file of a segment, if it is to be had here.
    ///
    /// # Errors
    /// What the store said.
    pub fn segment_file(&self, name: &[u8; 32]) -> Result<Option<PathBuf>, ErrorAnswer> {
        match self {
            Self::Server(serving) => Ok(serving.store.segment_file(name)?),
            Self::Hub(serving) => Ok(cached(&serving.segments, name)?),
        }
    }
}

fn cached(segments: &Segments, name: &[u8; 32]) -> Result<Option<PathBuf>, LogError> {
    match segments.file(name) {
        Ok(file) => Ok(Some(file)),
        Err(Missing::Unknown) => Ok(None),
        Err(missing) => Err(LogError::other(missing.to_string())),
    }
}

/// The far end's half of one exchange.
pub enum Answering {
    /// The server's.
    Server(Box<exchange::Exchange>, Arc<Store>),
    /// A hub's.
    Hub(Box<hub::Exchange>, Arc<HubStore>),
}

impl Answering {
    /// The device, once the request is verified.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Server(exchange, _) => exchange.device(),
            Self::Hub(exchange, _) => exchange.device(),
        }
    }

    /// Takes the next bytes of the request.
    ///
    /// # Errors
    /// The whole answer.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), ErrorAnswer> {
        match self {
            Self::Server(exchange, store) => exchange.receive(store, bytes),
            Self::Hub(exchange, store) => exchange.receive(store, bytes),
        }
    }

    /// The request has ended: the first frame of the answer, and the second if it is there already.
    ///
    /// # Errors
    /// The whole answer.
    pub fn begin_answer(&mut self) -> Result<(Vec<u8>, Option<Vec<u8>>), ErrorAnswer> {
        match self {
            Self::Server(exchange, store) => exchange.begin_answer(store),
            Self::Hub(exchange, store) => exchange.begin_answer(store).map(|first| (first, None)),
        }
    }

    /// The next frame of the answer.
    ///
    /// # Errors
    /// The answer breaks off.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        match self {
            Self::Server(exchange, store) => exchange.next_frame(store),
            Self::Hub(exchange, store) => exchange.next_frame(store),
        }
    }
}

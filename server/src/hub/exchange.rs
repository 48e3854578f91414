//! The hub's half of one exchange with a phone, whatever carries the bytes.

use fieldbook_core::ids::DeviceId;
use fieldbook_core::protocol::ErrorAnswer;
use fieldbook_core::sync::LogError;
use fieldbook_core::sync::hub::HubSession;
use fieldbook_core::sync::server::Traffic;

use super::log::HubView;
use super::store::HubStore;

/// The store is held only within a call: nothing is locked while the network is slow.
#[derive(Default)]
pub struct Exchange {
    session: Box<HubSession>,
}

impl Exchange {
    /// The device, once the request is verified.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.session.device()
    }

    /// What was moved so far; `accepted` are the bodies that were kept.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.session.traffic()
    }

    /// Takes the next bytes of the request body. Every whole frame in it is durable when this returns.
    ///
    /// # Errors
    /// An [`ErrorAnswer`] while the request is not verified: it is the whole answer.
    pub fn receive(&mut self, store: &HubStore, bytes: &[u8]) -> Result<(), ErrorAnswer> {
        self.session.receive(&mut HubView::new(store), store.now_ms(), bytes)
    }

    /// The request body has ended: the first frame of the answer. A failure until here can still be told by itself; after
    /// this the answer can only break off.
    ///
    /// # Errors
    /// An [`ErrorAnswer`], which is the whole answer.
    pub fn begin_answer(&mut self, store: &HubStore) -> Result<Vec<u8>, ErrorAnswer> {
        let mut log = HubView::new(store);
        self.session.end_of_request(&mut log)?;
        Ok(self.session.next_frame(&mut log, store.now_ms())?.unwrap_or_default())
    }

    /// The next frame of the answer; `None` at its end.
    ///
    /// # Errors
    /// [`LogError`]: the answer must then break off.
    pub fn next_frame(&mut self, store: &HubStore) -> Result<Option<Vec<u8>>, LogError> {
        self.session.next_frame(&mut HubView::new(store), store.now_ms())
    }
}

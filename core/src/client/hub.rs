//! Syncing at a township hub.

use super::error::Fault;
use super::fieldbook::Fieldbook;
use super::net::{CancelFlag, HUB_NAME, ServerAddress, host_and_port};
use super::sync::With;
use super::text::Text;
use super::types::{SyncListener, SyncReport};
use super::{ClientError, ErrorKind};

/// Setting: the hub that was last synced with, `HOST:PORT`.
const HUB: &str = "hub";

impl Fieldbook {
    /// Exchanges with the township hub at `address` (`HOST:PORT`) until nothing waits on either side. It must be one that
    /// the server has certified. What it takes is shown as at the township, and goes to the server all the same: only what
    /// the server has signed leaves the outbox. Of what it shows, nothing is used that the server has not signed. Blocks.
    ///
    /// # Errors
    /// As [`Fieldbook::sync`]; `ServerIdentity` also where the hub's answer does not fit the server's signatures (nothing
    /// of it was used), `Refused` where the server must be asked first, `BadInput` for an address that is none.
    pub fn sync_at_hub(
        &self,
        address: &str,
        listener: &dyn SyncListener,
        cancel: &CancelFlag,
    ) -> Result<SyncReport, ClientError> {
        self.sync_with(With::Hub(&self.hub_at(address)?), listener, cancel)
    }

    /// Exchanges with the server as [`Fieldbook::sync`] does, and fetches what a first download is made of from the
    /// township hub at `address`, which need not bring it twice over a poor line; what the hub has not, from the server.
    ///
    /// # Errors
    /// As [`Fieldbook::sync`]; `BadInput` for an address that is none.
    pub fn sync_with_segments_at(
        &self,
        address: &str,
        listener: &dyn SyncListener,
        cancel: &CancelFlag,
    ) -> Result<SyncReport, ClientError> {
        self.sync_with(With::SegmentsAt(&self.hub_at(address)?), listener, cancel)
    }

    fn hub_at(&self, address: &str) -> Result<ServerAddress, ClientError> {
        self.guarded(|| {
            let bad = || Fault::new(ErrorKind::BadInput, Text::BadHub, address);
            let (host, port) = host_and_port(address).ok_or_else(bad)?;
            let root_key = self.enrolled()?.root_key;
            self.store.write(|write| Ok::<_, Fault>(write.put_setting(HUB, address.as_bytes())?))?;
            Ok(ServerAddress { host, port, root_key, name: HUB_NAME })
        })
    }

    /// Address of the township hub that was last synced with.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn last_hub(&self) -> Result<Option<String>, ClientError> {
        self.guarded(|| {
            let bytes = self.store.read(|view| Ok::<_, Fault>(view.setting(HUB)?))?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        })
    }
}

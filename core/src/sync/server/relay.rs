//! What a township hub brings: statements and changes of the devices that it serves, each judged as its own author's. A
//! device with which something is wrong does not keep the others from going on.

use sha2::{Digest, Sha256};

use super::session::{Caller, Traffic};
use super::upload::Upload;
use super::{Scope, ServerLog, error, restored};
use crate::ids::DeviceId;
use crate::protocol::limits::HOSTED_DEVICES_MAX;
use crate::protocol::{Down, ErrorAnswer, ErrorKind, Hosted, HostedDevice, Township, Up};
use crate::sync::LogError;
use crate::sync::wire::to_cbor;

/// Digest of a hub that holds no list.
const NO_DEVICES: [u8; 16] = [0; 16];

/// Names a list of hosted devices: first 16 bytes of the SHA-256 of its CBOR.
#[must_use]
pub fn devices_digest(devices: &[HostedDevice]) -> [u8; 16] {
    let mut digest = NO_DEVICES;
    digest.copy_from_slice(&Sha256::digest(to_cbor(&devices.to_vec()))[..16]);
    digest
}

/// The hub's side of one request.
pub(super) struct Relay {
    hub: DeviceId,
    /// The hub is revoked: what it brings goes to quarantine.
    revoked: bool,
    takes: bool,
    in_full: bool,
    server_key: [u8; 32],
    header: crate::protocol::RequestHeader,
    /// The device that it speaks for now.
    open: Option<Upload>,
    /// What is wrong with that device: the rest of it is not read.
    failure: Option<ErrorAnswer>,
    done: Vec<Hosted>,
}

impl Relay {
    /// `None` for a device that is no hub, or does not speak as one.
    pub(super) fn of(
        log: &mut dyn ServerLog,
        caller: &Caller,
        takes: bool,
        server_key: [u8; 32],
    ) -> Result<Option<Self>, ErrorAnswer> {
        if !matches!(caller.header.township, Some(Township::ByHub { .. })) {
            return Ok(None);
        }
        if log.hosted(&caller.device)?.is_none() {
            return Err(error(ErrorKind::Malformed, "this device is no township hub"));
        }
        Ok(Some(Self {
            hub: caller.device,
            revoked: caller.row.revoked,
            takes,
            in_full: caller.header.in_full,
            server_key,
            header: caller.header.clone(),
            open: None,
            failure: None,
            done: Vec::new(),
        }))
    }

    /// Takes one frame: what is of one device is one transaction.
    pub(super) fn take(
        &mut self,
        log: &mut dyn ServerLog,
        now_ms: i64,
        messages: Vec<Up>,
        traffic: &mut Traffic,
    ) -> Result<(), ErrorAnswer> {
        let mut messages = messages.into_iter().peekable();
        while let Some(first) = messages.next() {
            if let Up::OnBehalf(device) = first {
                self.close();
                self.open(log, device)?;
                continue;
            }
            let returns = |message: &Up| matches!(message, Up::Head(_) | Up::Returned(_));
            let given_back = returns(&first);
            let mut part = vec![first];
            while let Some(next) =
                messages.next_if(|next| !matches!(next, Up::OnBehalf(_)) && returns(next) == given_back)
            {
                part.push(next);
            }
            if given_back {
                restored::take_all(log, &self.server_key, part)?;
                continue;
            }
            if self.failure.is_some() {
                continue;
            }
            let Some(upload) = &mut self.open else {
                return Err(error(ErrorKind::Malformed, "a hub brings changes and does not say whose"));
            };
            if part.iter().any(|message| !matches!(message, Up::Changes(_))) {
                return Err(error(ErrorKind::Malformed, "a hub brings nothing but changes"));
            }
            self.failure = upload.take(log, now_ms, part, traffic).err();
        }
        Ok(())
    }

    fn open(&mut self, log: &mut dyn ServerLog, device: DeviceId) -> Result<(), ErrorAnswer> {
        if self.done.len() >= HOSTED_DEVICES_MAX {
            return Err(error(ErrorKind::TooLarge, format!("a hub serves at most {HOSTED_DEVICES_MAX} devices")));
        }
        let row = if log.hosts(&self.hub, &device)? { log.device(&device)? } else { None };
        let Some(row) = row else {
            self.done.push(Hosted {
                device,
                statement: 0,
                statement_hash: [0; 32],
                taken: None,
                through: None,
                failure: Some(error(ErrorKind::UnknownDevice, "this hub does not serve that device")),
            });
            self.failure = Some(error(ErrorKind::UnknownDevice, "this hub does not serve that device"));
            return Ok(());
        };
        let scope = log.scope(&device)?;
        let header = crate::protocol::RequestHeader {
            device,
            probe: false,
            in_full: self.in_full,
            township: None,
            ..self.header.clone()
        };
        let upload = Upload::of_device((Caller { device, row, header }, scope), self.takes, self.server_key);
        self.open = Some(upload.by_hub(self.revoked));
        Ok(())
    }

    fn close(&mut self) {
        let failure = self.failure.take();
        let Some(upload) = self.open.take() else { return };
        let Caller { device, row, .. } = upload.caller();
        self.done.push(Hosted {
            device: *device,
            statement: row.statement,
            statement_hash: row.statement_hash,
            taken: row.taken,
            through: upload.through(),
            failure,
        });
    }

    /// What the hub is told behind Hello.
    pub(super) fn told(
        mut self,
        log: &mut dyn ServerLog,
        caller: &Caller,
        scope: &Scope,
    ) -> Result<Vec<Down>, ErrorAnswer> {
        self.close();
        let mut told: Vec<Down> = std::mem::take(&mut self.done).into_iter().map(Down::Hosted).collect();
        let Some(Township::ByHub { devices, tls_key }) = &caller.header.township else { return Ok(told) };
        // A restored server's lists are as old as its backup: nobody is shown anything by them before it is confirmed.
        if self.revoked || log.awaiting()? {
            return Ok(told);
        }
        if let Some(key) = tls_key {
            told.push(Down::Certificate(log.certify_hub(key)?.into()));
        }
        let hosted = log.hosted(&self.hub)?.unwrap_or_default();
        if hosted.iter().flat_map(|one| &one.feeds).any(|feed| *feed as usize >= scope.feeds.len()) {
            return Err(
                LogError::damaged("a phone of a township's is given a feed that its hub does not follow").into()
            );
        }
        if devices_digest(&hosted) != **devices {
            told.push(Down::Devices(hosted));
        }
        Ok(told)
    }
}

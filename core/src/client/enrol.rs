//! Becoming a device of a server: a new key, a one-time code, and what the server says about itself.

use std::ops::ControlFlow;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};

use super::error::Fault;
use super::fieldbook::{Fieldbook, locked};
use super::link::{EnrolLink, LinkError, ServerAddress};
use super::log::SYNC_STATE;
use super::net::{CancelFlag, SERVER_NAME, Transport};
use super::session::{self, REVOKED, VAULT_DEVICE_KEY};
use super::text::Text;
use super::types::EnrolmentInfo;
use super::{ClientError, ErrorKind};
use crate::access::{Area, Role, Unit};
use crate::ids::{DeviceId, LogId, UserId};
use crate::limits::DEVICE_NAME_CHARS_MAX;
use crate::protocol::{EnrolAnswer, EnrolRequest, limits::PROTOCOL_VERSION};
use crate::store::{View, Write};
use crate::sync::signing;

/// Setting: CBOR of [`Enrolment`].
const ENROLMENT: &str = "enrolment";
/// Setting: there while whoever answered last for the server did not hold the root's key.
const STRANGER: &str = "stranger";
/// The answer to an enrolment is read up to here.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Path of the endpoint.
const ENROL_PATH: &str = "/sync/1/enrol";

/// Who this installation is, fixed when it enrolled; roles and unit as the server said last.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Enrolment {
    #[n(0)]
    pub host: String,
    #[n(1)]
    pub port: u16,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub root_key: [u8; 32],
    #[n(3)]
    pub device: DeviceId,
    #[n(4)]
    pub user: UserId,
    #[n(5)]
    pub user_name: String,
    #[n(6)]
    pub unit: Unit,
    #[n(7)]
    pub roles: Vec<(Role, String)>,
    #[n(8)]
    pub log: LogId,
    #[cbor(n(9), with = "minicbor::bytes")]
    pub server_key: [u8; 32],
    #[n(10)]
    pub server_name: String,
    #[n(11)]
    pub areas: Vec<Area>,
    /// Public half of the device's key, as the server holds it.
    #[cbor(n(12), with = "minicbor::bytes")]
    pub device_key: [u8; 32],
    /// The root that the present one has announced as its successor.
    #[cbor(n(13), with = "minicbor::bytes")]
    pub successor: Option<[u8; 32]>,
}

impl Enrolment {
    fn of(server: &ServerAddress, answer: EnrolAnswer, key: &SigningKey) -> Self {
        Self {
            host: server.host.clone(),
            port: server.port,
            root_key: server.root_key,
            device: answer.device,
            user: answer.user,
            user_name: answer.user_name,
            unit: answer.unit,
            roles: answer.roles,
            log: answer.log,
            server_key: answer.server_key,
            server_name: answer.server_name,
            areas: answer.areas,
            device_key: key.verifying_key().to_bytes(),
            successor: None,
        }
    }

    /// The enrolment of this store, if it is enrolled.
    pub(super) fn load(view: View<'_>) -> Result<Option<Self>, Fault> {
        view.setting(ENROLMENT)?
            .map(|bytes| {
                minicbor::decode(&bytes).map_err(|error| Fault::internal(format!("stored enrolment: {error}")))
            })
            .transpose()
    }

    fn store(&self, write: &Write<'_>) -> Result<(), Fault> {
        let bytes = minicbor::to_vec(self).map_err(|error| Fault::internal(error.to_string()))?;
        Ok(write.put_setting(ENROLMENT, &bytes)?)
    }

    /// The server changed what the user may do, or moved the user to another unit. Its name may come later.
    pub(super) fn set_place(write: &Write<'_>, roles: &[(Role, String)], unit: &str) -> Result<(), Fault> {
        let Some(mut enrolment) = Self::load(write.view())? else { return Ok(()) };
        enrolment.roles = roles.to_vec();
        if enrolment.unit.code != unit {
            let known = write.view().units()?.into_iter().find(|known| known.code == unit);
            let nameless = || Unit { code: unit.to_owned(), name: unit.to_owned(), parent: None, division: None };
            enrolment.unit = known.unwrap_or_else(nameless);
        }
        enrolment.store(write)
    }

    /// A unit is as the server says from now on.
    pub(super) fn note_unit(write: &Write<'_>, unit: &Unit) -> Result<(), Fault> {
        match Self::load(write.view())? {
            Some(mut enrolment) if enrolment.unit.code == unit.code && enrolment.unit != *unit => {
                enrolment.unit = unit.clone();
                enrolment.store(write)
            }
            _ => Ok(()),
        }
    }

    /// The root announced a successor. What another root says, such as one that was replaced before this phone enrolled,
    /// changes nothing.
    pub(super) fn note_successor(write: &Write<'_>, root: &[u8; 32], signature: &[u8; 64]) -> Result<(), Fault> {
        let Some(mut enrolment) = Self::load(write.view())? else { return Ok(()) };
        if !signing::root_is_announced(&enrolment.root_key, enrolment.log, root, signature) {
            return Ok(());
        }
        enrolment.successor = Some(*root);
        enrolment.store(write)
    }

    /// The successor has taken over: whoever shows the root before it is not the server any more.
    pub(super) fn take_over(&mut self, write: &Write<'_>) -> Result<(), Fault> {
        self.root_key = self.successor.take().unwrap_or(self.root_key);
        self.store(write)
    }

    /// The same user at the same server: its log and the key that signs heads outlive every root.
    fn is_same_as(&self, other: &Self) -> bool {
        (self.user, self.log, self.server_key) == (other.user, other.log, other.server_key)
    }

    /// Where the server is.
    pub(super) fn server(&self) -> ServerAddress {
        ServerAddress { host: self.host.clone(), port: self.port, root_key: self.root_key, name: SERVER_NAME }
    }

    pub(super) fn info(&self) -> EnrolmentInfo {
        EnrolmentInfo {
            server: self.server().to_string(),
            server_name: self.server_name.clone(),
            user_name: self.user_name.clone(),
            unit: self.unit.code.clone(),
            unit_name: self.unit.name.clone(),
            roles: self.roles.clone(),
        }
    }
}

impl Fieldbook {
    /// Makes this phone a device of the server that `link` names. Blocks for a network exchange. A phone whose vault lost
    /// the key that it was enrolled with may enrol again, as a new device of the same user at the same server: what was
    /// not sent yet goes out under the new one. So may a phone that did not hear of a new root key, with a link that
    /// names it.
    ///
    /// # Errors
    /// `BadInput` for a text that is no link, `Refused` for a code that is used, unknown or too old, `ServerIdentity`
    /// when another server answers, `Network`, `Busy` while enrolling or syncing already.
    pub fn enrol(&self, link: &str, device_name: &str) -> Result<EnrolmentInfo, ClientError> {
        self.guarded(|| {
            let link: EnrolLink = link.parse()?;
            let existing = self.store.read(Enrolment::load)?;
            if let Some(existing) = &existing
                && !self.may_enrol_again(existing, &link)?
            {
                return Err(Fault::new(ErrorKind::BadInput, Text::AlreadyEnrolled, &existing.user_name));
            }
            let mut connection =
                self.connection.try_lock().map_err(|_| Fault::new(ErrorKind::Busy, Text::InUse, ""))?;
            let before = self.vault.load(VAULT_DEVICE_KEY)?;
            let key = self.fresh_device_key()?;
            let mut fresh = self.network.transport(link.server.clone()).map_err(Fault::internal)?;
            let asked = ask(fresh.as_mut(), &link, &key, device_name).and_then(|answer| {
                check_server_key(&link, &answer)?;
                let enrolment = Enrolment::of(&link.server, answer, &key);
                match existing.as_ref().filter(|existing| !existing.is_same_as(&enrolment)) {
                    Some(existing) => Err(Fault::new(ErrorKind::BadInput, Text::AlreadyEnrolled, &existing.user_name)),
                    None => Ok(enrolment),
                }
            });
            let enrolment = asked.inspect_err(|_| {
                // Whom this phone was enrolled with knows the key before. Where even this fails, a new link helps.
                if let Some(before) = &before {
                    let _ = self.vault.store(VAULT_DEVICE_KEY, before);
                }
            })?;
            self.store.write(|write| {
                if Enrolment::load(write.view())?.is_some() {
                    // This store may be a copy of one that the old device still writes in.
                    session::doubt_own_actors(write)?;
                }
                enrolment.store(write)?;
                write.put_unit(&enrolment.unit)?;
                // After a vault that lost the key, or a salvage that lost the enrolment, unsent changes may be left of
                // what was another device: what that one had stated, this one states anew.
                write.adopt_statement(0, &[0; 32])?;
                write.remove_setting(SYNC_STATE)?;
                Ok::<_, Fault>(write.remove_setting(REVOKED)?)
            })?;
            *connection = Some(fresh);
            Ok(enrolment.info())
        })
    }

    /// Its key is lost, or whoever answers for its server does not hold the root that it knows and the link names another.
    /// Without that, the code of another server's link would be used up for nothing.
    fn may_enrol_again(&self, existing: &Enrolment, link: &EnrolLink) -> Result<bool, Fault> {
        match existing.root_key == link.server.root_key {
            true => Ok(self.device_key(existing).is_err()),
            false => self.store.read(|view| Ok(view.setting(STRANGER)?.is_some())),
        }
    }

    /// Notes whether a stranger answered where the server should be, by how a sync with it ended.
    pub(super) fn note_stranger(&self, ended: Option<&Fault>) -> Result<(), Fault> {
        let is_one = match ended {
            None => false,
            Some(fault) if fault.kind() == ErrorKind::ServerIdentity => true,
            Some(_) => return Ok(()),
        };
        let noted = self.store.read(|view| Ok::<_, Fault>(view.setting(STRANGER)?.is_some()))?;
        match (noted, is_one) {
            (false, true) => self.store.write(|write| Ok(write.put_setting(STRANGER, b"1")?)),
            (true, false) => self.store.write(|write| Ok(write.remove_setting(STRANGER)?)),
            _ => Ok(()),
        }
    }

    /// The enrolment, which syncing and saving need.
    pub(super) fn enrolled(&self) -> Result<Enrolment, Fault> {
        let (enrolment, revoked) =
            self.store.read(|view| Ok::<_, Fault>((Enrolment::load(view)?, view.setting(REVOKED)?.is_some())))?;
        enrolment.ok_or_else(|| match revoked {
            true => Fault::new(ErrorKind::Revoked, Text::Revoked, ""),
            false => Fault::new(ErrorKind::NotEnrolled, Text::NotEnrolled, ""),
        })
    }

    /// The key that signs statements and requests. It is the enrolled one or none: what another one has signed could not
    /// be taken back, and no server would take it.
    pub(super) fn device_key(&self, enrolment: &Enrolment) -> Result<SigningKey, Fault> {
        let lost = |detail: &str| Fault::new(ErrorKind::NotEnrolled, Text::KeyLost, "").detail(detail);
        let secret = self.vault.load(VAULT_DEVICE_KEY)?.ok_or_else(|| lost("the vault holds no device key"))?;
        let secret = <[u8; 32]>::try_from(secret.as_slice()).map_err(|_| lost("the device key has no 32 bytes"))?;
        let key = SigningKey::from_bytes(&secret);
        match key.verifying_key().to_bytes() == enrolment.device_key {
            true => Ok(key),
            false => Err(lost("the vault's device key is not the enrolled one")),
        }
    }

    fn fresh_device_key(&self) -> Result<SigningKey, Fault> {
        let mut secret = [0; 32];
        self.random.fill(&mut secret);
        // Before it is sent: a key that the server knows and the phone lost would use up the code for nothing.
        self.vault.store(VAULT_DEVICE_KEY, &secret)?;
        Ok(SigningKey::from_bytes(&secret))
    }

    /// Drops the connection, so that the next exchange connects anew.
    pub fn disconnect(&self) {
        *locked(&self.connection) = None;
    }
}

fn ask(
    connection: &mut dyn Transport,
    link: &EnrolLink,
    key: &SigningKey,
    device_name: &str,
) -> Result<EnrolAnswer, Fault> {
    let mut signed = b"fieldbook enrol v1\0".to_vec();
    signed.extend_from_slice(link.code.as_bytes());
    let request = EnrolRequest {
        version: PROTOCOL_VERSION,
        code: link.code.clone(),
        device_key: key.verifying_key().to_bytes(),
        signature: key.sign(&signed).to_bytes(),
        device_name: device_name.chars().take(DEVICE_NAME_CHARS_MAX).collect(),
    };
    let body = minicbor::to_vec(&request).map_err(|error| Fault::internal(error.to_string()))?;
    let mut answer = Vec::new();
    connection.post(ENROL_PATH, body, &CancelFlag::default(), &|_| {}, &mut |bytes| {
        answer.extend_from_slice(bytes);
        if answer.len() > ANSWER_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(bad_enrolment(Text::AnswerTooLong));
    }
    minicbor::decode(&answer).map_err(|_| {
        Fault::new(ErrorKind::ServerIdentity, Text::NotAServer, &link.server).detail("the enrolment answer is not CBOR")
    })
}

fn bad_enrolment(why: Text) -> Fault {
    Fault::because(ErrorKind::ServerIdentity, Text::BadEnrolment, why)
}

/// The signing key of the server counts only if the pinned root has certified it.
fn check_server_key(link: &EnrolLink, answer: &EnrolAnswer) -> Result<(), Fault> {
    let root = VerifyingKey::from_bytes(&link.server.root_key).map_err(|_| LinkError(Text::LinkPin))?;
    let mut signed = b"fieldbook server key v1\0".to_vec();
    signed.extend_from_slice(&answer.server_key);
    root.verify_strict(&signed, &Signature::from_bytes(&answer.server_key_signature))
        .map_err(|_| bad_enrolment(Text::KeyNotSigned))
}

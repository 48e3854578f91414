//! A hub becomes a device of its server by an enrolment link, as a phone does.

use std::ops::ControlFlow;

use fieldbook_core::access::Role;
use fieldbook_core::net::{CancelFlag, NetError, Network, Transport};
use fieldbook_core::protocol::limits::PROTOCOL_VERSION;
use fieldbook_core::protocol::{EnrolAnswer, EnrolRequest};
use fieldbook_core::sync::signing::{self, Signer};
use fieldbook_core::sync::{from_cbor, to_cbor};

use super::store::{Enrolment, HubStore};
use crate::link::{self, Link};
use crate::store::{Problem, StoreError};

/// Path of the endpoint.
const ENROL_PATH: &str = "/sync/1/enrol";
/// The answer is read up to here.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl HubStore {
    /// Makes this hub a device of the server that `link` names, over `network`. Once it is one, the same server's link changes nothing but
    /// the address at which the server is looked for.
    ///
    /// # Errors
    /// `link_malformed`, `hub_other_server`, `hub_not_enrolled` with what the server said, `no_hub_role` where the link is
    /// of a user who is no hub.
    pub fn enrol(&self, link: &str, name: &str, network: &dyn Network) -> Result<(), StoreError> {
        let Link { server, code } = link::parse(link).ok_or_else(|| Problem::new("link_malformed"))?;
        if let Some(own) = self.enrolment()? {
            if own.root_key != server.root_key {
                return Err(Problem::new("hub_other_server").with("address", &server).into());
            }
            return self.put_enrolment(&Enrolment { host: server.host, port: server.port, ..own });
        }
        let refused = |detail: String| Problem::new("hub_not_enrolled").with("detail", detail);
        let key = self.device_key();
        let request = EnrolRequest {
            version: PROTOCOL_VERSION,
            signature: signing::sign(key, signing::ENROL, code.as_bytes()),
            code,
            device_key: key.public_key(),
            device_name: name.to_owned(),
        };
        let mut connection = network.transport(server.clone()).map_err(refused)?;
        let answer = ask(connection.as_mut(), to_cbor(&request)).map_err(|error| refused(error.to_string()))?;
        let answer: EnrolAnswer = from_cbor(&answer).ok_or_else(|| refused("the answer is no enrolment".to_owned()))?;
        let signed = &answer.server_key_signature;
        if !signing::verify(&server.root_key, signing::SERVER_KEY, &answer.server_key, signed) {
            return Err(refused("the server's key is not signed by its root".to_owned()).into());
        }
        if !answer.roles.iter().any(|(role, _)| *role == Role::Hub) {
            return Err(Problem::new("no_hub_role").with("name", &answer.user_name).into());
        }
        self.put_enrolment(&Enrolment {
            host: server.host,
            port: server.port,
            root_key: server.root_key,
            device: answer.device,
            log: answer.log,
            server_key: answer.server_key,
            successor: None,
        })
    }
}

fn ask(connection: &mut dyn Transport, body: Vec<u8>) -> Result<Vec<u8>, NetError> {
    let mut answer = Vec::new();
    connection.post(ENROL_PATH, body, &CancelFlag::default(), &|_| {}, &mut |bytes| {
        answer.extend_from_slice(bytes);
        if answer.len() > ANSWER_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(answer)
}

//! `key`: the root key and its successor.

use super::commands::say;
use super::options::KeyTask;
use crate::clock_text::shanghai;
use crate::link;
use crate::store::{Store, StoreError, Succession};
use crate::text::Language;

/// `key status`, `key succeed`, `key takeover`.
pub(super) fn key(language: Language, store: &Store, task: &KeyTask) -> Result<bool, StoreError> {
    match task {
        KeyTask::Status => {
            let identity = store.identity();
            let pin = link::pin(&identity.root_public());
            say(language, "key_now", &[("pin", pin), ("until", shanghai(identity.leaf_until_ms()))]);
            match store.succession()? {
                Some(succession) => shown(language, &succession),
                None => say(language, "key_alone", &[]),
            }
        }
        KeyTask::Succeed { after_days } => {
            shown(language, &store.announce_root(*after_days)?);
            say(language, "key_announced", &[]);
        }
        KeyTask::Takeover { leave_behind } => {
            store.take_over(*leave_behind)?;
            say(language, "key_taken_over", &[("pin", link::pin(&store.identity().root_public()))]);
        }
    }
    Ok(true)
}

fn shown(language: Language, succession: &Succession) {
    let args = [
        ("pin", link::pin(&succession.root)),
        ("announced", shanghai(succession.announced_ms)),
        ("from", shanghai(succession.from_ms)),
        ("unaware", succession.unaware.len().to_string()),
    ];
    say(language, "key_next", &args);
    for device in &succession.unaware {
        println!("unaware\t{}\t{}\t{}\t{}", device.id, device.user_name, device.unit, device.name);
    }
    if !succession.backed_up {
        say(language, "key_not_backed_up", &[]);
    }
}

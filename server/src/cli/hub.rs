//! Running a township hub.

use std::sync::Arc;
use std::time::Duration;

use fieldbook_core::net::{CancelFlag, SystemNetwork};

use super::commands::{log_to_stderr, say};
use super::options::{Options, Serve};
use crate::certificates::Tls;
use crate::clock_text;
use crate::hub::{self, HubStore, Pace, Upstream, Waiting};
use crate::store::{Problem, StoreError};
use crate::system::{SystemClock, SystemRandom};
use crate::text::Language;
use crate::{identity, link, serve};

/// How often the hub looks whether the server gave it another certificate.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Name of the hub as administrators see it among the devices, where none is given.
const DEVICE_NAME: &str = "township hub";

fn open(options: &Options) -> Result<Arc<HubStore>, StoreError> {
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    Ok(Arc::new(HubStore::open(&options.data, options.key_file.as_deref(), clock, random)?))
}

/// Serves as a hub until stopped. The link is needed once.
pub(super) fn serve(language: Language, options: &Options, task: &Serve) -> Result<bool, StoreError> {
    log_to_stderr(options, task);
    let store = open(options)?;
    if let Some(link) = &task.upstream {
        store.enrol(link, task.name.as_deref().unwrap_or(DEVICE_NAME), &SystemNetwork)?;
    }
    let pace = Pace { every: Duration::from_secs(task.upstream_seconds) };
    let (mut upstream, bell) = Upstream::new(&store, pace, Arc::new(SystemNetwork))?;
    upstream.first()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Problem::new("failed").with("detail", error))?;
    let mut bound = runtime.block_on(serve::bind_at(&task.listen, task.plain_http))?;
    if !task.plain_http {
        bound = bound.with(Tls::always(hub_tls(&store)?));
        runtime.spawn(kept(Arc::clone(&store), bound.tls()));
    }
    let root_key = store.enrolment()?.map(|own| own.root_key).unwrap_or_default();
    say(language, "root_pin", &[("pin", link::pin(&root_key))]);
    say(language, "hub_listening", &[("url", bound.url())]);
    let cancel = Arc::new(CancelFlag::default());
    let stopped = Arc::clone(&cancel);
    // It ends with the process: an exchange that is cut off goes on from there at the next start.
    std::thread::spawn(move || upstream.run(&stopped));
    let router = hub::router(Arc::clone(&store), bell)?;
    runtime.block_on(async {
        serve::run(bound, router, serve::stop_signal()).await;
    });
    cancel.cancel();
    say(language, "stopped", &[]);
    Ok(true)
}

fn hub_tls(store: &HubStore) -> Result<rustls::ServerConfig, StoreError> {
    let certificate = store.certificate()?.unwrap_or_default();
    identity::tls(store.tls_key(), certificate).map_err(|error| Problem::new("failed").with("detail", error).into())
}

/// Shows the certificate that the server gave last.
async fn kept(store: Arc<HubStore>, tls: Option<Tls>) {
    let certificate = || store.certificate().ok().flatten();
    let mut shown = certificate();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = certificate();
        if now.is_none() || now == shown {
            continue;
        }
        match (hub_tls(&store), &tls) {
            (Ok(config), Some(tls)) => {
                tls.put(config);
                shown = now;
            }
            (Err(error), _) => tracing::error!(%error, "the new certificate cannot be used"),
            (Ok(_), None) => return,
        }
    }
}

/// What waits at a hub.
pub(super) fn status(language: Language, options: &Options) -> Result<bool, StoreError> {
    if !HubStore::is_there(&options.data) {
        return Err(Problem::new("no_hub_here").with("path", options.data.display()).into());
    }
    let Waiting { upstream, last_exchange_ms, devices, changes, waiting_devices, aside, entries } =
        open(options)?.status()?;
    let last = last_exchange_ms.map_or_else(|| "-".to_owned(), clock_text::shanghai);
    say(
        language,
        "hub_status",
        &[
            ("upstream", upstream),
            ("last", last),
            ("devices", devices.to_string()),
            ("entries", entries.to_string()),
            ("changes", changes.to_string()),
            ("waiting", waiting_devices.to_string()),
            ("aside", aside.to_string()),
        ],
    );
    Ok(true)
}

//! What Prometheus reads: counts of this process, and what the database and the disk say when it asks. No names, no ids.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fieldbook_core::sync::server::Traffic;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::store::{Beside, Problem, Store, StoreError, Vitals};

/// Upper ends of the buckets of exchanges' lengths in seconds: 128 KB at 60 kbit/s take 18.
const SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    Done,
    Refused,
    Busy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Fate {
    Accepted,
    Known,
    NotTaken,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFate {
    fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Direction {
    Up,
    Down,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDirection {
    direction: Direction,
}

/// Counts since the process began.
struct Counts {
    exchanges: Family<ByOutcome, Counter>,
    seconds: Histogram,
    changes: Family<ByFate, Counter>,
    bytes: Family<ByDirection, Counter>,
    exchanges_open: Gauge,
    connections_open: Gauge,
}

static COUNTS: LazyLock<Counts> = LazyLock::new(|| Counts {
    exchanges: Family::default(),
    seconds: Histogram::new(SECONDS),
    changes: Family::default(),
    bytes: Family::default(),
    exchanges_open: Gauge::default(),
    connections_open: Gauge::default(),
});

/// Something that is open while this lives.
pub(crate) struct Open(&'static Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn open(gauge: &'static Gauge) -> Open {
    gauge.inc();
    Open(gauge)
}

/// A connection was accepted.
pub(crate) fn opened() -> Open {
    open(&COUNTS.connections_open)
}

/// An exchange that runs; it counts as refused unless it says that it is done.
pub(crate) struct Running {
    since: Instant,
    done: bool,
    _open: Open,
}

impl Running {
    pub(crate) fn begin() -> Self {
        Self { since: Instant::now(), done: false, _open: open(&COUNTS.exchanges_open) }
    }

    /// It came to its end.
    pub(crate) fn done(mut self, traffic: Traffic) {
        self.done = true;
        for (fate, many) in
            [(Fate::Accepted, traffic.accepted), (Fate::Known, traffic.known), (Fate::NotTaken, traffic.not_taken)]
        {
            COUNTS.changes.get_or_create(&ByFate { fate }).inc_by(many);
        }
        for (direction, many) in [(Direction::Up, traffic.bytes_up), (Direction::Down, traffic.bytes_down)] {
            COUNTS.bytes.get_or_create(&ByDirection { direction }).inc_by(many);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let outcome = if self.done { Outcome::Done } else { Outcome::Refused };
        COUNTS.exchanges.get_or_create(&ByOutcome { outcome }).inc();
        COUNTS.seconds.observe(self.since.elapsed().as_secs_f64());
    }
}

/// An exchange was sent away for want of a place.
pub(crate) fn busy() {
    COUNTS.exchanges.get_or_create(&ByOutcome { outcome: Outcome::Busy }).inc();
}

type Measured = Gauge<f64, AtomicU64>;

fn registry(vitals: &Vitals) -> Registry {
    let mut registry = Registry::with_prefix("fieldbook");
    let counts = &*COUNTS;
    registry.register("exchanges", "Exchanges of devices, by how they ended", counts.exchanges.clone());
    registry.register_with_unit("exchange", "How long exchanges took", Unit::Seconds, counts.seconds.clone());
    registry.register("changes", "Changes that devices sent, by what became of them", counts.changes.clone());
    registry.register_with_unit("exchanged", "Bytes of exchanges", Unit::Bytes, counts.bytes.clone());
    registry.register("exchanges_open", "Exchanges that run", counts.exchanges_open.clone());
    registry.register("connections_open", "Connections", counts.connections_open.clone());
    for (name, help, value) in vitals.gauges() {
        let gauge = Measured::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    registry
}

async fn metrics(State((store, beside)): State<(Arc<Store>, Arc<Beside>)>) -> Response {
    let vitals = match tokio::task::spawn_blocking(move || store.vitals(&beside)).await {
        Ok(Ok(vitals)) => vitals,
        Ok(Err(error)) => {
            tracing::error!(%error, "the store has no measurements");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let mut text = String::new();
    if encode(&mut text, &registry(&vitals)).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Serves `/metrics`, and nothing else, without TLS at an address of its own until `stop` turns true. Returns where.
///
/// # Errors
/// `listen_failed`.
pub(crate) async fn serve(
    store: &Arc<Store>,
    beside: Beside,
    listen: &str,
    mut stop: watch::Receiver<bool>,
) -> Result<SocketAddr, StoreError> {
    let failed = |error: std::io::Error| Problem::new("listen_failed").with("address", listen).with("detail", error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let router = Router::new().route("/metrics", get(metrics)).with_state((Arc::clone(store), Arc::new(beside)));
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
    };
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the metrics ended");
        }
    });
    Ok(local)
}

#[cfg(test)]
mod tests;

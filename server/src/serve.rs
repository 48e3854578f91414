//! The listener: TLS, limits, and the router behind it, until SIGTERM or SIGINT.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::certificates::{Files, Tls};
use crate::metrics;
use crate::store::{Problem, Store, StoreError};

/// Connections open at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 2_048;
/// From the TCP connection to the end of the TLS handshake: slow networks take several seconds a round trip.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// For a connection's first request to arrive.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// For a connection to ask again, and for that request's head. It begins when an answer has been handed to the network: a
/// phone on a slow one may read what lies in buffers for minutes, and connecting anew costs it three round trips.
const HEADER_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes of a request's head, and of one read.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// How long open exchanges may take to end when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after the system refuses a connection (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// `HOST:PORT`; port 0 lets the system choose.
    pub listen: String,
    /// `HOST:PORT` put into enrolment links; by default where it listens.
    pub address: Option<String>,
    /// Name of the server as phones show it.
    pub name: Option<String>,
    /// Without TLS; only on loopback.
    pub plain_http: bool,
    /// Certificate chain and key (PEM files) for browsers, in place of the server's own.
    pub certificate: Option<Files>,
}

/// A bound server, not yet serving.
pub struct Bound {
    listener: TcpListener,
    tls: Option<Tls>,
    /// Where it really listens.
    pub local: SocketAddr,
}

impl Bound {
    /// What a browser would be given.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.local)
    }

    /// What it shows in handshakes; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }
}

/// Binds the address, and stores name and link address for `device enrol`.
///
/// # Errors
/// `listen_failed`, `plain_only_loopback`, or what the store said.
pub async fn bind(store: &Store, options: &ServeOptions) -> Result<Bound, StoreError> {
    let mut bound = bind_at(&options.listen, options.plain_http).await?;
    let local = bound.local;
    // Nobody can reach `0.0.0.0`: without --address, links keep the address of an earlier start, or ask for one.
    let reachable = (!local.ip().is_unspecified()).then(|| local.to_string());
    if let Some(address) = options.address.clone().or(reachable) {
        store.set_setting("address", &address)?;
    }
    if let Some(name) = &options.name {
        store.set_setting("server_name", name)?;
    }
    if !options.plain_http {
        bound.tls = Some(Tls::of_server(store, options.certificate.clone())?);
    }
    Ok(bound)
}

/// Binds an address, yet without TLS; where it stays so, only on loopback.
///
/// # Errors
/// `listen_failed`, `plain_only_loopback`.
pub(crate) async fn bind_at(listen: &str, plain_http: bool) -> Result<Bound, StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::from(Problem::new("listen_failed").with("address", listen).with("detail", error))
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    if plain_http && !local.ip().is_loopback() {
        return Err(Problem::new("plain_only_loopback").with("address", local).into());
    }
    Ok(Bound { listener, tls: None, local })
}

impl Bound {
    /// With TLS, as `tls` says.
    pub(crate) fn with(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }
}

/// Serves until `stop` turns true, then lets open exchanges end.
pub async fn run(bound: Bound, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = bound.listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let tls = bound.tls.as_ref().map(|tls| TlsAcceptor::from(tls.now()));
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            let _open = metrics::opened();
            connection(stream, peer, tls, router, stop).await;
            drop(place);
        });
    }
    drop(bound.listener);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, places.acquire_many(all)).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    // Frames are small and each waits for an answer: never hold one back for the next.
    let _ = stream.set_nodelay(true);
    match tls {
        None => http(stream, peer, router, stop).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, peer, router, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
            Err(_) => tracing::debug!("TLS took too long"),
        },
    }
}

async fn http<S>(stream: S, peer: SocketAddr, router: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&asked);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let router = router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {}))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        // Every byte of an idle exchange counts; nobody here reads the date.
        .auto_date_header(false);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = silence(&first) => return tracing::debug!(%peer, "a connection without a request"),
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Waits until a connection that has not asked for anything must go; for ever, where it has.
async fn silence(asked: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST_TIMEOUT).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Waits until the server is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender is gone only when the process ends anyway.
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}

/// Turns true at SIGTERM or SIGINT.
#[must_use]
pub fn stop_signal() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let interrupt = tokio::signal::ctrl_c();
        let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
        let _ = sender.send(true);
    });
    receiver
}

//! One connection to one server: HTTP/1.1 over pinned TLS, kept open between exchanges, every HTTP byte counted.
//!
//! hyper's connection is driven directly, because a client library above it adds headers that a phone on 60 kbit/s
//! pays for, and hides the byte counts that a sync reports.

mod counted;
mod tls;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use self::counted::{Counted, Counters};
pub use self::tls::{HUB_NAME, SERVER_NAME, config as tls_config};
use crate::protocol::ErrorAnswer;

/// How long a TCP connection may take. Three lost SYNs on a 600 ms path take 7 s.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take: one round trip and 2 KB.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(30);
/// How long nothing at all may move, in either direction. 128 KB that the kernel took at once need 17 s at 60 kbit/s.
const IDLE_WAIT: Duration = Duration::from_secs(60);
/// How often cancelling and idling are looked at.
const TICK: Duration = Duration::from_millis(100);
/// The body of an error status is read up to here.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;
/// hyper's read buffer: also the most that a response head may take.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Why an exchange did not happen or did not end.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No connection: no signal, wrong address, server down.
    #[error("no connection to {address}: {detail}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        detail: String,
    },
    /// Whoever answers does not hold the pinned root's key. Nothing of ours was sent.
    #[error("the server at {address} is not the one that the link named: {detail}")]
    Identity {
        /// Host and port.
        address: String,
        /// What did not fit.
        detail: String,
    },
    /// The connection broke or stood still.
    #[error("the connection to {address} broke: {detail}")]
    Broken {
        /// Host and port.
        address: String,
        /// What the system said.
        detail: String,
    },
    /// The answer is not one of a Fieldbook server.
    #[error("what answers at {address} is no Fieldbook server: {detail}")]
    NotOurs {
        /// Host and port.
        address: String,
        /// What it said instead.
        detail: String,
    },
    /// The server answered with an error.
    #[error("the server said {:?}: {}", .0.kind, .0.detail)]
    Refused(ErrorAnswer),
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Stops an exchange between two frames, from any thread.
#[derive(Debug, Default)]
pub struct CancelFlag(AtomicBool);

impl CancelFlag {
    /// Asks the exchange to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Somebody asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// HTTP bytes as this end counts them: request and status lines, headers, bodies; without TLS, TCP and IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteCount {
    /// Sent.
    pub up: u64,
    /// Received.
    pub down: u64,
}

/// A way to the server, kept between exchanges.
pub trait Transport: Send {
    /// HTTP bytes since this value was made.
    fn bytes(&self) -> ByteCount;

    /// One POST. `on_bytes` gets the body of a 200 answer as it arrives; when it breaks, the exchange ends there and this
    /// returns `Ok`. `on_move` hears the bytes since this value was made whenever some moved, at most ten times a second.
    ///
    /// # Errors
    /// [`NetError`]. After an error or a break by `on_bytes` the next call connects anew.
    fn post(
        &mut self,
        path: &'static str,
        body: Vec<u8>,
        cancel: &CancelFlag,
        on_move: &dyn Fn(ByteCount),
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError>;

    /// One GET of bytes that never change, from byte `from` on. `on_bytes` and `on_move` as in [`Transport::post`]. False
    /// if whoever answers does not have them.
    ///
    /// # Errors
    /// [`NetError`]. After an error or a break by `on_bytes` the next call connects anew.
    fn get(
        &mut self,
        path: &str,
        from: u64,
        cancel: &CancelFlag,
        on_move: &dyn Fn(ByteCount),
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool, NetError>;
}

/// Where a server or hub listens and the key that proves that it is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The root's Ed25519 public key: certifies the server's certificate, those of its hubs, and its signing key.
    pub root_key: [u8; 32],
    /// Whose certificate is asked for: [`SERVER_NAME`] or [`HUB_NAME`]. A hub is never taken for the server.
    pub name: &'static str,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Host and port of a text such as `10.0.0.5:8443` or `[fd00::5]:8443`; `None` where it is none.
#[must_use]
pub fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port: u16 = port.parse().ok()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'_');
    if host.is_empty() || port == 0 || !host.bytes().all(allowed) {
        return None;
    }
    Some((host.to_owned(), port))
}

/// What reaches servers.
pub trait Network: Send + Sync {
    /// Prepares a way to `server`, without connecting.
    ///
    /// # Errors
    /// A text when the system gives no means to.
    fn transport(&self, server: ServerAddress) -> Result<Box<dyn Transport>, String>;
}

/// The system's network: TCP, TLS, HTTP/1.1.
#[derive(Debug)]
pub struct SystemNetwork;

impl Network for SystemNetwork {
    fn transport(&self, server: ServerAddress) -> Result<Box<dyn Transport>, String> {
        Ok(Box::new(Connection::new(server)?))
    }
}

/// The connection to one server.
pub struct Connection {
    server: ServerAddress,
    tls: Arc<rustls::ClientConfig>,
    runtime: Runtime,
    counters: Arc<Counters>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Prepares, without connecting.
    ///
    /// # Errors
    /// A text when the system gives no event loop.
    pub fn new(server: ServerAddress) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| format!("no event loop: {error}"))?;
        let tls = tls::config(&server.root_key)?;
        Ok(Self { server, tls, runtime, counters: Arc::default(), sender: None })
    }
}

impl Transport for Connection {
    fn bytes(&self) -> ByteCount {
        self.counters.read()
    }

    fn post(
        &mut self,
        path: &'static str,
        body: Vec<u8>,
        cancel: &CancelFlag,
        on_move: &dyn Fn(ByteCount),
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError> {
        let request = self.request(Method::POST, path, None, body)?;
        let sender = self.sender.take();
        let sender = self.exchange(cancel, on_move, |exchange, runtime| {
            runtime.block_on(async {
                let (sender, response) = exchange.ask(sender, request).await?;
                if response.status() != StatusCode::OK {
                    return Err(exchange.refusal(response).await);
                }
                Ok(exchange.read(response, 0, on_bytes).await?.then_some(sender))
            })
        })?;
        self.sender = sender;
        Ok(())
    }

    fn get(
        &mut self,
        path: &str,
        from: u64,
        cancel: &CancelFlag,
        on_move: &dyn Fn(ByteCount),
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool, NetError> {
        let request = self.request(Method::GET, path, (from > 0).then(|| format!("bytes={from}-")), Vec::new())?;
        let sender = self.sender.take();
        let (found, sender) = self.exchange(cancel, on_move, |exchange, runtime| {
            runtime.block_on(async {
                let (sender, response) = exchange.ask(sender, request).await?;
                let (found, skip) = match response.status() {
                    StatusCode::PARTIAL_CONTENT => (true, 0),
                    // Whoever knows no ranges sends everything.
                    StatusCode::OK => (true, from),
                    StatusCode::NOT_FOUND | StatusCode::GONE => (false, u64::MAX),
                    _ => return Err(exchange.refusal(response).await),
                };
                Ok((found, exchange.read(response, skip, on_bytes).await?.then_some(sender)))
            })
        })?;
        self.sender = sender;
        Ok(found)
    }
}

impl Connection {
    fn request(
        &self,
        method: Method,
        path: &str,
        range: Option<String>,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, NetError> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.server.name);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let not_ours = |error: hyper::http::Error| NetError::NotOurs {
            address: self.server.to_string(),
            detail: error.to_string(),
        };
        request.body(Full::new(Bytes::from(body))).map_err(not_ours)
    }

    fn exchange<T>(
        &self,
        cancel: &CancelFlag,
        on_move: &dyn Fn(ByteCount),
        work: impl FnOnce(&Exchange<'_>, &Runtime) -> Result<T, NetError>,
    ) -> Result<T, NetError> {
        let exchange = Exchange {
            server: &self.server,
            tls: &self.tls,
            counters: &self.counters,
            cancel,
            on_move,
            told: Cell::new(tokio::time::Instant::now()),
        };
        work(&exchange, &self.runtime)
    }
}

/// What one request needs; borrowed from the connection while its event loop runs.
struct Exchange<'a> {
    server: &'a ServerAddress,
    tls: &'a Arc<rustls::ClientConfig>,
    counters: &'a Arc<Counters>,
    cancel: &'a CancelFlag,
    on_move: &'a dyn Fn(ByteCount),
    /// When `on_move` was last called.
    told: Cell<tokio::time::Instant>,
}

impl Exchange<'_> {
    /// Calls `on_move`, at most once a tick.
    fn tell(&self) {
        if self.told.get().elapsed() >= TICK {
            self.told.set(tokio::time::Instant::now());
            (self.on_move)(self.counters.read());
        }
    }

    /// Sends a request over the kept connection, or a new one.
    async fn ask(
        &self,
        kept: Option<SendRequest<Full<Bytes>>>,
        request: Request<Full<Bytes>>,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), NetError> {
        let mut sender = match self.still_open(kept).await {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = self.watched(sender.send_request(request)).await?.map_err(|error| self.classify(&error))?;
        Ok((sender, response))
    }

    /// Hands on the body from byte `skip` on. False if `on_bytes` broke off: the connection cannot be used again then.
    async fn read(
        &self,
        response: Response<Incoming>,
        mut skip: u64,
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool, NetError> {
        let mut body = response.into_body();
        while let Some(chunk) = self.next_chunk(&mut body).await? {
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            let rest = &chunk[skipped as usize..];
            if !rest.is_empty() && on_bytes(rest).is_break() {
                return Ok(false);
            }
            // Where chunks come more often than ticks, nobody else tells.
            self.tell();
        }
        Ok(true)
    }

    /// A connection kept from an earlier exchange, if the server has not closed it since.
    async fn still_open(&self, kept: Option<SendRequest<Full<Bytes>>>) -> Option<SendRequest<Full<Bytes>>> {
        let mut sender = kept?;
        // Lets the connection's task see what arrived while nothing ran.
        let _ = tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
        (!sender.is_closed() && sender.ready().await.is_ok()).then_some(sender)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NetError> {
        let unreachable = |detail: String| NetError::Unreachable { address: self.server.to_string(), detail };
        let connecting = TcpStream::connect((self.server.host.as_str(), self.server.port));
        let stream = self
            .within(CONNECT_WAIT, connecting)
            .await?
            .ok_or_else(|| unreachable(format!("no answer within {} s", CONNECT_WAIT.as_secs())))?
            .map_err(|error| unreachable(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        let name = ServerName::try_from(self.server.name).map_err(|error| unreachable(error.to_string()))?;
        let handshake = TlsConnector::from(Arc::clone(self.tls)).connect(name, stream);
        let stream = self
            .within(HANDSHAKE_WAIT, handshake)
            .await?
            .ok_or_else(|| unreachable(format!("no TLS within {} s", HANDSHAKE_WAIT.as_secs())))?
            .map_err(|error| self.handshake_error(&error))?;
        let io = TokioIo::new(Counted::new(stream, Arc::clone(self.counters)));
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER_BYTES)
            .handshake(io)
            .await
            .map_err(|error| self.classify(&error))?;
        tokio::spawn(async move {
            // Its error reaches the request that waits for it.
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn handshake_error(&self, error: &io::Error) -> NetError {
        let address = self.server.to_string();
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(detail)) => {
                NetError::Identity { address, detail: format!("{detail:?}") }
            }
            Some(rustls::Error::InvalidMessage(detail)) => {
                NetError::NotOurs { address, detail: format!("it does not speak TLS ({detail:?})") }
            }
            Some(other) => NetError::NotOurs { address, detail: other.to_string() },
            None => NetError::Broken { address, detail: format!("during the handshake: {error}") },
        }
    }

    fn classify(&self, error: &hyper::Error) -> NetError {
        let address = self.server.to_string();
        if error.is_parse() {
            NetError::NotOurs { address, detail: error.to_string() }
        } else {
            NetError::Broken { address, detail: error.to_string() }
        }
    }

    async fn refusal(&self, response: Response<Incoming>) -> NetError {
        let status = response.status();
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = self.next_chunk(&mut body).await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ERROR_BODY_BYTES_MAX {
                break;
            }
        }
        match minicbor::decode::<ErrorAnswer>(&bytes) {
            Ok(answer) => NetError::Refused(answer),
            Err(_) => NetError::NotOurs { address: self.server.to_string(), detail: format!("HTTP status {status}") },
        }
    }

    async fn next_chunk(&self, body: &mut Incoming) -> Result<Option<Bytes>, NetError> {
        loop {
            match self.watched(body.frame()).await? {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.classify(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Waits for `future` at most `limit`; `None` when it took longer.
    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Result<Option<T>, NetError> {
        tokio::select! {
            done = tokio::time::timeout(limit, future) => Ok(done.ok()),
            () = self.cancelled() => Err(NetError::Cancelled),
        }
    }

    async fn cancelled(&self) {
        while !self.cancel.is_cancelled() {
            tokio::time::sleep(TICK).await;
        }
    }

    /// Waits for `future` as long as bytes move in either direction.
    async fn watched<T>(&self, future: impl Future<Output = T>) -> Result<T, NetError> {
        let watch = async {
            let mut last = (self.counters.read(), tokio::time::Instant::now());
            loop {
                tokio::time::sleep(TICK).await;
                let bytes = self.counters.read();
                if bytes != last.0 {
                    last = (bytes, tokio::time::Instant::now());
                    self.tell();
                } else if last.1.elapsed() > IDLE_WAIT {
                    return;
                }
            }
        };
        tokio::select! {
            done = future => Ok(done),
            () = self.cancelled() => Err(NetError::Cancelled),
            () = watch => Err(NetError::Broken {
                address: self.server.to_string(),
                detail: format!("nothing moved for {} s", IDLE_WAIT.as_secs()),
            }),
        }
    }
}

//! A TCP proxy between phone and server: a slow line that counts what crosses it, and breaks when told to.
//!
//! One shared line a direction, as a phone's radio has: a byte rate, a delay each way, and a cut after a number of
//! bytes. TLS passes through untouched; requests are counted from the record headers, which TLS leaves readable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::Instant;

mod flights;
use flights::Flights;

/// Bytes that the line carries as one piece.
const PIECE_BYTES: usize = 1_400;
/// Pieces in flight on one direction of one connection.
const PIECES_IN_FLIGHT: usize = 256;

/// How bad the line is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// Bits a second, each way; 0 = unlimited.
    pub bits_per_s: u64,
    /// Delay each way: half of the round trip.
    pub delay_ms: u64,
    /// Cuts the connection once, after this many bytes of both directions; 0 = never.
    pub cut_after_bytes: u64,
    /// Cuts every connection after this many bytes of its own, of both directions; 0 = never.
    pub cut_each_after_bytes: u64,
}

/// What crossed the line so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// TCP payload from the phone, TLS included.
    pub bytes_up: u64,
    /// TCP payload to the phone, TLS included.
    pub bytes_down: u64,
    /// Connections opened.
    pub connections: u64,
    /// Requests: flights of encrypted data from the phone that the server answered.
    pub requests: u64,
    /// Connections cut by the line.
    pub cuts: u64,
    /// TLS records with encrypted data, both ways.
    pub records: u64,
}

impl Counted {
    /// What crossed after `then` was read.
    #[must_use]
    pub fn since(self, then: Self) -> Self {
        Self {
            bytes_up: self.bytes_up - then.bytes_up,
            bytes_down: self.bytes_down - then.bytes_down,
            connections: self.connections - then.connections,
            requests: self.requests - then.requests,
            cuts: self.cuts - then.cuts,
            records: self.records - then.records,
        }
    }
}

#[derive(Default)]
struct Counters {
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    requests: AtomicU64,
    cuts: AtomicU64,
    records: AtomicU64,
}

/// One direction of the shared line: when it is free again.
struct Direction {
    free_at: Mutex<Instant>,
}

impl Direction {
    /// Waits for its turn on the line; returns when the piece has left and when it arrives.
    async fn carry(&self, line: Line, bytes: usize) -> Instant {
        let mut free_at = self.free_at.lock().await;
        let start = (*free_at).max(Instant::now());
        let takes_us = (bytes as u64 * 8 * 1_000_000).checked_div(line.bits_per_s).unwrap_or(0);
        let takes = Duration::from_micros(takes_us);
        *free_at = start + takes;
        let left = *free_at;
        drop(free_at);
        tokio::time::sleep_until(left).await;
        left + Duration::from_millis(line.delay_ms)
    }
}

/// A running proxy; ends when it is dropped.
pub struct Proxy {
    address: std::net::SocketAddr,
    wire: Arc<Wire>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Wire {
    server: std::sync::Mutex<std::net::SocketAddr>,
    line: std::sync::Mutex<Line>,
    up: Direction,
    down: Direction,
    counters: Counters,
    hang_up: Notify,
    /// The next cut has not happened yet.
    armed: AtomicBool,
    /// Bytes carried when the line was last set: a cut counts from there.
    carried_before: AtomicU64,
}

impl Wire {
    fn line(&self) -> Line {
        *self.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn carried(&self) -> u64 {
        self.counters.up.load(Relaxed) + self.counters.down.load(Relaxed)
    }

    /// True when a connection that has carried so many bytes of its own, or the line, breaks: exactly one caller sees it.
    fn breaks(&self, before: u64, carried: u64) -> bool {
        let line = self.line();
        let limit = line.cut_each_after_bytes;
        if limit > 0 && before < limit && carried >= limit {
            self.counters.cuts.fetch_add(1, Relaxed);
            return true;
        }
        let limit = line.cut_after_bytes;
        let due = limit > 0 && self.carried() - self.carried_before.load(Relaxed) >= limit;
        due && self.armed.swap(false, Relaxed) && {
            self.counters.cuts.fetch_add(1, Relaxed);
            true
        }
    }
}

impl Proxy {
    /// Listens on a free loopback port and passes every connection on to `server`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(server: std::net::SocketAddr, line: Line) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let now = Instant::now();
        let wire = Arc::new(Wire {
            server: std::sync::Mutex::new(server),
            line: std::sync::Mutex::new(line),
            up: Direction { free_at: Mutex::new(now) },
            down: Direction { free_at: Mutex::new(now) },
            counters: Counters::default(),
            hang_up: Notify::new(),
            armed: AtomicBool::new(true),
            carried_before: AtomicU64::new(0),
        });
        let accepting = wire.clone();
        let task = tokio::spawn(async move {
            while let Ok((phone, _)) = listener.accept().await {
                tokio::spawn(connection(phone, accepting.clone()));
            }
        });
        Ok(Self { address, wire, task })
    }

    /// Changes the line from now on, for open connections too; a cut that already happened may happen once more.
    pub fn set_line(&self, line: Line) {
        *self.wire.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = line;
        self.wire.carried_before.store(self.wire.carried(), Relaxed);
        self.wire.armed.store(true, Relaxed);
    }

    /// Passes the connections that come from now on to another server.
    pub fn set_server(&self, server: std::net::SocketAddr) {
        *self.wire.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = server;
    }

    /// Ends every open connection; whoever comes next is served.
    pub fn hang_up(&self) {
        self.wire.hang_up.notify_waiters();
    }

    /// Where phones connect.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// What crossed so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted {
            bytes_up: self.wire.counters.up.load(Relaxed),
            bytes_down: self.wire.counters.down.load(Relaxed),
            connections: self.wire.counters.connections.load(Relaxed),
            requests: self.wire.counters.requests.load(Relaxed),
            cuts: self.wire.counters.cuts.load(Relaxed),
            records: self.wire.counters.records.load(Relaxed),
        }
    }
}

async fn connection(phone: TcpStream, wire: Arc<Wire>) {
    wire.counters.connections.fetch_add(1, Relaxed);
    // The handshake of TCP costs a round trip on the line.
    tokio::time::sleep(Duration::from_millis(2 * wire.line().delay_ms)).await;
    let server = *wire.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = phone.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (phone_read, phone_write) = phone.into_split();
    let (server_read, server_write) = server.into_split();
    let (flights, carried) = (Flights::default(), AtomicU64::new(0));
    let both = Both { wire: &wire, flights: &flights, carried: &carried };
    tokio::select! {
        () = pump(phone_read, server_write, both, true) => {}
        () = pump(server_read, phone_write, both, false) => {}
        () = wire.hang_up.notified() => {}
    }
}

/// What both directions of one connection share.
#[derive(Clone, Copy)]
struct Both<'a> {
    wire: &'a Wire,
    flights: &'a Flights,
    /// Bytes that this connection has carried.
    carried: &'a AtomicU64,
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    both: Both<'_>,
    up: bool,
) {
    let Both { wire, flights, carried } = both;
    let (send, mut arrive) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_IN_FLIGHT);
    let deliver = async move {
        while let Some((at, piece)) = arrive.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    let carry = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
            let direction = if up { &wire.up } else { &wire.down };
            let at = direction.carry(wire.line(), count).await;
            let counter = if up { &wire.counters.up } else { &wire.counters.down };
            counter.fetch_add(count as u64, Relaxed);
            let seen = flights.see(up, &buffer[..count]);
            wire.counters.records.fetch_add(seen.records, Relaxed);
            wire.counters.requests.fetch_add(seen.answered, Relaxed);
            let before = carried.fetch_add(count as u64, Relaxed);
            if wire.breaks(before, before + count as u64) || send.send((at, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    // What was read before an end still arrives; a cut loses what is in flight.
    let cut_before = wire.counters.cuts.load(Relaxed);
    tokio::pin!(deliver);
    tokio::select! {
        () = &mut deliver => {}
        () = carry => {
            if wire.counters.cuts.load(Relaxed) == cut_before {
                deliver.await;
            }
        }
    }
}

//! What a connection costs, apart from what is said on it: with a whole handshake, with a resumed one, with none.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fieldbook_core::client::Fieldbook;
use fieldbook_tests::bench::{enrolled, open, synced};
use fieldbook_tests::demo::stage::{Failure, Server};
use fieldbook_tests::meter::{Meter, own_cpu_ms};
use fieldbook_tests::proxy::{Line, Proxy};
use serde::Serialize;
use tokio::runtime::Runtime;

use super::report::{figure, median, table};
use super::server::close;

/// Idle syncs of each sort for bytes and CPU, and on the far line for seconds.
const NEAR_SYNCS: usize = 40;
const FAR_SYNCS: usize = 5;
/// Delay of the far line, each way.
const FAR_DELAY_MS: u64 = 300;

/// How an idle sync comes to its connection.
#[derive(Clone, Copy)]
enum Begins {
    Whole,
    Resumed,
    Kept,
}

/// Medians of an idle sync.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// TCP payload both ways beyond HTTP.
    pub bytes: f64,
    pub far_s: f64,
    /// CPU of the phone with the line, which run in one process, and of the server.
    pub phone_cpu_ms: f64,
    pub server_cpu_ms: f64,
}

/// The figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Connections {
    pub whole: Cost,
    pub resumed: Cost,
    pub kept: Cost,
}

struct Scene<'s> {
    server: &'s Server,
    line: &'s Proxy,
    home: &'s Path,
    phone: Arc<Fieldbook>,
}

impl Scene<'_> {
    fn one(&mut self, begins: Begins) -> Result<Cost, Failure> {
        match begins {
            Begins::Whole => {
                close(Arc::clone(&self.phone))?;
                self.phone = open(self.home)?;
            }
            Begins::Resumed => self.line.hang_up(),
            Begins::Kept => {}
        }
        let (before, meter, own_ms) = (self.line.counted(), Meter::start(self.server.process())?, own_cpu_ms());
        let start = Instant::now();
        let report = synced(&self.phone)?;
        let far_s = start.elapsed().as_secs_f64();
        let crossed = self.line.counted().since(before);
        let bytes = crossed.bytes_up + crossed.bytes_down - report.bytes_up - report.bytes_down;
        let connections = u64::from(!matches!(begins, Begins::Kept));
        if crossed.connections != connections {
            return Err(format!("{} connections, not {connections}", crossed.connections));
        }
        let (phone_cpu_ms, server_cpu_ms) = (own_cpu_ms() - own_ms, meter.end()?.cpu_ms);
        Ok(Cost { bytes: bytes as f64, far_s, phone_cpu_ms, server_cpu_ms })
    }

    fn cost(&mut self, begins: Begins) -> Result<Cost, Failure> {
        let near: Vec<Cost> = (0..NEAR_SYNCS).map(|_| self.one(begins)).collect::<Result<_, _>>()?;
        self.line.set_line(Line { delay_ms: FAR_DELAY_MS, ..Line::default() });
        let far: Vec<f64> = (0..FAR_SYNCS).map(|_| Ok(self.one(begins)?.far_s)).collect::<Result<_, Failure>>()?;
        self.line.set_line(Line::default());
        let of = |part: fn(&Cost) -> f64| median(near.iter().map(part).collect());
        Ok(Cost {
            bytes: of(|cost| cost.bytes),
            far_s: median(far),
            phone_cpu_ms: of(|cost| cost.phone_cpu_ms),
            server_cpu_ms: of(|cost| cost.server_cpu_ms),
        })
    }
}

/// Measures idle syncs of one phone on a copy of a seeded server's data.
pub fn run(runtime: &Runtime, data: &Path, homes: &Path) -> Result<Connections, Failure> {
    let mut server = Server::start(data)?;
    let line = runtime.block_on(Proxy::start(server.address, Line::default())).map_err(|error| error.to_string())?;
    server.address = line.address();
    let home = homes.join("connections");
    let phone = enrolled(&server, &home, "a")?;
    synced(&phone)?;
    let mut scene = Scene { server: &server, line: &line, home: &home, phone };
    let kept = scene.cost(Begins::Kept)?;
    let connections = Connections { whole: scene.cost(Begins::Whole)?, resumed: scene.cost(Begins::Resumed)?, kept };
    close(scene.phone)?;
    Ok(connections)
}

/// The section of connections.
pub fn section(connections: &Connections, machine: &str) -> String {
    let row = |what: &str, cost: &Cost| {
        let figures = [cost.bytes, cost.far_s, cost.phone_cpu_ms, cost.server_cpu_ms];
        std::iter::once(what.to_owned()).chain(figures.map(figure)).collect()
    };
    let rows = [
        row("a whole handshake", &connections.whole),
        row("a resumed session", &connections.resumed),
        row("the connection is open", &connections.kept),
    ];
    let head = ["an idle sync for which there is", "bytes beyond HTTP", "s far", "phone CPU ms", "server CPU ms"];
    format!("{machine}\n\n{}", table(&head, &rows))
}

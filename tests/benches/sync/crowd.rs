//! Fifty phones that come in one moment.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fieldbook_core::client::Fieldbook;
use fieldbook_tests::bench::{enrolled, fill, synced};
use fieldbook_tests::demo::stage::{Failure, Server};
use fieldbook_tests::meter::Meter;
use serde::Serialize;

use super::report::{figure, kilo};
use super::server::close;

/// Phones that come at once, and what each has to send.
const PHONES: usize = 50;
const EDITS: u32 = 5;

/// The figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Crowd {
    /// Until the first had sent and got everything, seconds.
    pub first_s: f64,
    /// Until half had.
    pub half_s: f64,
    /// Until the last had.
    pub last_s: f64,
    /// Largest resident size of the server.
    pub peak_kb: u64,
}

/// Seconds from the moment when all begin to that when each has ended.
fn arrive(phones: &[Arc<Fieldbook>]) -> Result<Vec<f64>, Failure> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = phones
            .iter()
            .map(|phone| scope.spawn(move || synced(phone).map(|_| start.elapsed().as_secs_f64())))
            .collect();
        all.into_iter().map(|one| one.join().map_err(|_| "a phone failed".to_owned())?).collect()
    })
}

/// The fifty phones: seconds until each had ended, ascending.
fn fifty(server: &Server, homes: &Path, seed: u32) -> Result<Vec<f64>, Failure> {
    println!("  {PHONES} phones");
    let phones: Vec<Arc<Fieldbook>> = (0..PHONES)
        .map(|number| enrolled(server, &homes.join(format!("one-of-fifty-{number}")), "field-11"))
        .collect::<Result<_, _>>()?;
    for (number, phone) in (0..).zip(&phones) {
        fill(phone, seed + 200 + number, 0..EDITS)?;
    }
    let mut ended = arrive(&phones)?;
    ended.sort_by(f64::total_cmp);
    for phone in phones {
        close(phone)?;
    }
    Ok(ended)
}

/// Measures on a copy of a seeded server's data.
pub fn run(data: &Path, homes: &Path, seed: u32) -> Result<Crowd, Failure> {
    let server = Server::start(data)?;
    let watch = Meter::start(server.process())?;
    let ended = fifty(&server, homes, seed)?;
    let (first_s, half_s, last_s) = (ended[0], ended[ended.len() / 2], ended[ended.len() - 1]);
    Ok(Crowd { first_s, half_s, last_s, peak_kb: watch.end()?.peak_kb })
}

impl Crowd {
    /// The section of the page.
    pub fn section(&self, machine: &str) -> String {
        let Self { first_s, half_s, last_s, peak_kb } = *self;
        let text = format!(
            "{PHONES} phones of one township that began in the same moment, each with {EDITS} new records: the first had sent \
             and got everything after {} s, half of them after {} s, the last after {} s. Largest resident size of the \
             server: {} MB.\n",
            figure(first_s),
            figure(half_s),
            figure(last_s),
            kilo(peak_kb as f64),
        );
        [format!("{machine}\n"), text].join("\n")
    }
}

//! First downloads through segments: fetched in ranges, from a stock nginx that caches them, over lines that die, and never
//! what was erased.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fieldbook_core::client::net::tls_config;
use fieldbook_tests::proxy::{Line, Proxy};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::inside::noise;
use super::nginx::{World, visits};
use super::office::Phone;
use super::phone::visit;

/// Visits on the server: more than what is sealed at least.
const VISITS: usize = 280;
/// Characters of noise in each: some 500 bytes on the line.
const NOTE_CHARS: usize = 350;
/// Phones of one township.
const PHONES: usize = 20;
/// What a connection carries before it dies, both ways.
const CONNECTION_BYTES: u64 = 40 * 1024;

/// A phone that has made all visits, and sent them.
fn filled(world: &World) -> Phone {
    let phone = world.phone("duojie", world.nginx.address);
    let mut seed = 31;
    for _ in 0..VISITS {
        phone.create("visit", None, visit(&noise(&mut seed, NOTE_CHARS)));
    }
    phone.sync();
    phone
}

/// Names of the segments that lie in the server's folder.
fn sealed(world: &World) -> BTreeSet<String> {
    let Ok(listed) = std::fs::read_dir(world.folder.path().join("server/segments")) else { return BTreeSet::new() };
    listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A piece of a segment, over a connection of its own.
async fn piece(address: SocketAddr, name: &str, range: Option<(u64, u64)>) -> (u16, Vec<u8>) {
    // Never used: the address is no https.
    let tls = tls_config(&[1; 32]).unwrap();
    let client = reqwest::Client::builder().tls_backend_preconfigured(Arc::unwrap_or_clone(tls)).build().unwrap();
    let mut request = client.get(format!("http://{address}/sync/1/segments/{name}"));
    if let Some((first, last)) = range {
        request = request.header("range", format!("bytes={first}-{last}"));
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

#[test]
fn a_segment_in_37_ranges_with_pauses_hashes_to_its_name() {
    let world = World::start();
    filled(&world);
    let reader = world.enrolled("reader", "maxiuying", world.nginx.address);
    reader.sync();
    let names = sealed(&world);
    assert!(!names.is_empty());
    runtime().block_on(async {
        for name in names {
            let length = piece(world.server.address, &name, None).await.1.len() as u64;
            let (mut bytes, mut first) = (Vec::new(), 0);
            for part in 1..=37 {
                let end = length * part / 37;
                let (status, came) = piece(world.server.address, &name, Some((first, end - 1))).await;
                assert_eq!((status, came.len() as u64), (206, end - first));
                bytes.extend(came);
                first = end;
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
            assert_eq!(hex::encode(Sha256::digest(&bytes)), name);
        }
        for foreign in ["00".repeat(32), "..%2Ffieldbook.db".to_owned(), "key".to_owned()] {
            assert_eq!(piece(world.server.address, &foreign, None).await.0, 404, "{foreign}");
        }
    });
}

#[test]
fn behind_a_caching_nginx_the_server_sends_each_segment_once_to_twenty_phones() {
    let world = World::start();
    let near = filled(&world);
    let expected = visits(&near);
    let mut names = BTreeSet::new();
    for number in 0..PHONES {
        let phone = world.enrolled(&format!("phone-{number}"), "maxiuying", world.nginx.address);
        phone.sync();
        assert_eq!(visits(&phone), expected, "phone {number}");
        names = if number == 0 { sealed(&world) } else { names };
    }
    assert_eq!(sealed(&world), names, "sealed once, for the first of them");
    let requests = world.nginx.requests();
    let asked: Vec<_> = requests.iter().filter(|asked| asked.path.contains("/segments/")).collect();
    assert!(asked.iter().all(|asked| asked.status == 200 || asked.status == 206));
    let from_the_server = asked.iter().filter(|asked| asked.cache != "HIT").count();
    println!("{} fetches of {} segments, {from_the_server} from the server", asked.len(), names.len());
    assert_eq!(from_the_server, names.len());
    assert!(asked.len() >= PHONES * names.len());
}

#[test]
fn on_a_line_that_dies_again_and_again_a_first_download_goes_on_where_it_was() {
    let world = World::start();
    let runtime = runtime();
    let line = runtime.block_on(Proxy::start(world.nginx.address, Line::default())).unwrap();
    // The forms come in the exchange. The phone is opened anew, so that it connects anew.
    drop(world.phone("maxiuying", line.address()));
    let far = Phone::at(&world.folder.path().join("maxiuying"));
    let near = filled(&world);
    line.set_line(Line { cut_each_after_bytes: CONNECTION_BYTES, ..Line::default() });
    let begun = line.counted();
    let report = far.sync();
    let counted = line.counted().since(begun);
    assert_eq!(visits(&far), visits(&near));
    let folder = world.folder.path().join("server/segments");
    let bytes = |name: String| std::fs::metadata(folder.join(name)).unwrap().len();
    let whole: u64 = sealed(&world).into_iter().map(bytes).sum();
    println!("{counted:?}, {} breaks, segments of {whole} bytes", report.breaks);
    assert!(counted.cuts >= 3, "{counted:?}");
    // A connection costs a handshake and an exchange that says what is to be fetched; nothing of a segment comes twice.
    let around = (counted.connections + 1) * 16 * 1024;
    assert!(counted.bytes_down < whole + around, "{} of {whole}", counted.bytes_down);
}

#[test]
fn what_is_erased_is_in_no_segment_that_the_server_gives_out() {
    let world = World::start();
    let near = filled(&world);
    let first = world.enrolled("first", "maxiuying", world.nginx.address);
    first.sync();
    let before = sealed(&world);
    let gone = visits(&near)[7].0;
    world.server.administer(&["record", "purge", &gone.to_string(), "--reason", "test"]).unwrap();
    assert!(sealed(&world).is_disjoint(&before), "what held it is gone");
    let runtime = runtime();
    for name in &before {
        assert_eq!(runtime.block_on(piece(world.server.address, name, None)).0, 404);
    }
    let second = world.enrolled("second", "maxiuying", world.nginx.address);
    second.sync();
    first.sync();
    near.sync();
    assert!(!sealed(&world).is_empty());
    assert_eq!(visits(&second).len(), VISITS - 1);
    assert_eq!((visits(&second), visits(&first)), (visits(&near), visits(&near)));
    let verified = world.server.administer(&["verify"]).unwrap();
    assert!(verified.contains("segments") && !verified.contains("BAD"), "{verified}");
}

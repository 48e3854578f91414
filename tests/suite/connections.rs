//! Connections to a real server: one is kept from sync to sync, and a new one of the same app resumes its TLS session.

use fieldbook_core::client::Fieldbook;
use fieldbook_tests::bench;
use fieldbook_tests::proxy::{Counted, Line, Proxy};
use tokio::runtime::Runtime;

use super::phone::World;

/// What a sync costs on the line beyond its HTTP, and what crossed.
fn beyond_http(line: &Proxy, phone: &Fieldbook) -> (u64, Counted) {
    let before = line.counted();
    let report = bench::synced(phone).unwrap();
    let crossed = line.counted().since(before);
    (crossed.bytes_up + crossed.bytes_down - report.bytes_up - report.bytes_down, crossed)
}

#[test]
fn a_connection_is_kept_and_the_next_one_resumes_its_session() {
    let mut world = World::start();
    let runtime = Runtime::new().unwrap();
    let line = runtime.block_on(Proxy::start(world.server.address, Line::default())).unwrap();
    world.server.address = line.address();
    let home = world.home("duojie");
    let phone = bench::enrolled(&world.server, &home, "duojie").unwrap();
    beyond_http(&line, &phone);
    let (kept, crossed) = beyond_http(&line, &phone);
    assert_eq!((crossed.connections, crossed.requests), (0, 1), "{crossed:?}");
    assert!(kept <= 22 * crossed.records, "{kept} bytes in {} records", crossed.records);
    line.hang_up();
    let (resumed, crossed) = beyond_http(&line, &phone);
    assert_eq!(crossed.connections, 1);
    phone.close().unwrap();
    let phone = bench::open(&home).unwrap();
    let (whole, _) = beyond_http(&line, &phone);
    println!("beyond HTTP: {whole} bytes with a whole handshake, {resumed} with a resumed one, {kept} with none");
    // The certificate and its signatures are left out.
    assert!(resumed + 250 < whole, "{resumed} of {whole}");
    phone.close().unwrap();
}

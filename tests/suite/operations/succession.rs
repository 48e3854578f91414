//! A new root key: phones that hear of it follow by themselves, one that was away all the time is told what to do.

use std::ops::ControlFlow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldbook_core::client::net::{CancelFlag, Network, SERVER_NAME, ServerAddress, SystemNetwork};
use fieldbook_tests::demo::stage::Server;

use super::{link_in, narratives, writes};
use crate::phone::World;

/// How often the server is asked whether it has changed.
const TRIES_MAX: u32 = 120;
const PAUSE: Duration = Duration::from_millis(500);

/// Until the running server shows this root; it looks every few seconds.
async fn shows(server: &Server, pin: &str) {
    let root_key = URL_SAFE_NO_PAD.decode(pin).unwrap().try_into().unwrap();
    let host = server.address.ip().to_string();
    let address = ServerAddress { host, port: server.address.port(), root_key, name: SERVER_NAME };
    let asked = tokio::task::spawn_blocking(move || {
        (0..TRIES_MAX).any(|_| {
            let mut connection = SystemNetwork.transport(address.clone()).unwrap();
            let cancel = CancelFlag::default();
            let held = connection.get("/healthz", 0, &cancel, &|_| {}, &mut |_| ControlFlow::Continue(())).is_ok();
            if !held {
                std::thread::sleep(PAUSE);
            }
            held
        })
    });
    assert!(asked.await.unwrap(), "the server still shows the root before");
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_follow_a_new_root_key_and_one_that_was_away_enrols_again_without_losing_work() {
    let world = World::start();
    world
        .server
        .administer(&["user", "add", "才让", "--unit", "632323100", "--role", "field", "--login", "cairang"])
        .unwrap();
    let (heard, late) = (world.phone("duojie").await, world.phone("maxiuying").await);
    let away = world.phone("cairang").await;
    for phone in [&heard, &late, &away] {
        phone.sync().await.unwrap();
    }
    writes(&heard, &["之前"]).await;

    let announced = world.server.administer(&["key", "succeed", "--after-days", "30"]).unwrap();
    assert_eq!(announced.lines().filter(|line| line.starts_with("unaware\t")).count(), 3, "{announced}");
    assert!(world.server.administer(&["key", "succeed"]).unwrap_err().contains("already"));
    assert!(world.server.administer(&["key", "takeover"]).unwrap_err().contains("backup"));
    world.server.back_up(&world.home("backup.age")).unwrap();
    // During: nothing changes for phones, whether they hear of it or not.
    writes(&heard, &["其间"]).await;
    late.sync().await.unwrap();
    let status = world.server.administer(&["key", "status"]).unwrap();
    assert_eq!(status.lines().filter(|line| line.starts_with("unaware\t")).count(), 1, "{status}");
    assert!(world.server.administer(&["key", "takeover"]).unwrap_err().contains("1 devices"));
    away.feed(&["import", "visit"], &[serde_json::json!({ "values": crate::phone::visit("离线") }).to_string()])
        .await
        .unwrap();

    let taken = world.server.administer(&["key", "takeover", "--leave-behind"]).unwrap();
    let pin = taken.split([';', '.', ' ', '\n']).find(|word| word.len() == 43).unwrap().to_owned();
    assert_ne!(pin, world.server.pin);
    shows(&world.server, &pin).await;
    for phone in [&heard, &late] {
        phone.sync().await.unwrap();
    }
    writes(&late, &["之后"]).await;
    heard.sync().await.unwrap();
    assert_eq!(narratives(&heard).await, ["之前", "之后", "其间"]);

    // Away all the time: it is told what to do, sends nothing, and loses nothing.
    let refused = away.run(&["sync"]).await.unwrap_err();
    assert!(refused.contains("new link") || refused.contains("新的绑定链接"), "{refused}");
    let printed = world.server.administer(&["device", "enrol", "cairang"]).unwrap();
    let link = link_in(&printed, &away.line.address().to_string());
    assert!(link.contains(&pin), "{link}");
    away.run(&["enrol", &link]).await.unwrap();
    away.sync().await.unwrap();
    heard.sync().await.unwrap();
    assert_eq!(narratives(&heard).await, ["之前", "之后", "其间", "离线"]);
    assert_eq!(narratives(&away).await.len(), 4);
    let verified = Server::command(&world.home("server"), &["verify"]).unwrap();
    assert!(!verified.contains("BAD"), "{verified}");
}

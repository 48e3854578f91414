//! Enrolment: the picture is readable, the link works once.

use std::process::Command;

use fieldbook_tests::demo::stage::{Phone, Server, programs_are_beside};

fn data_with_user(folder: &std::path::Path) -> std::path::PathBuf {
    programs_are_beside(std::path::Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
    let data = folder.join("server");
    Server::command(&data, &["unit", "add", "1", "县总工会"]).unwrap();
    Server::command(&data, &["user", "add", "才让", "--unit", "1", "--role", "field", "--login", "cairang"]).unwrap();
    data
}

#[test]
fn the_picture_holds_the_link() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_with_user(folder.path());
    let picture = folder.path().join("link.png");
    let arguments = ["device", "enrol", "cairang", "--address", "192.0.2.7:8443", "--png", &picture.to_string_lossy()];
    let printed = Server::command(&data, &arguments).unwrap();
    let link = printed.split_whitespace().find(|word| word.starts_with("fieldbook://")).unwrap();
    let read = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&picture).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), link);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_works_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_with_user(folder.path());
    let server = Server::start(&data).unwrap();
    let printed = server.administer(&["device", "enrol", "cairang"]).unwrap();
    let link = printed.split_whitespace().find(|word| word.starts_with("fieldbook://")).unwrap();
    let (_, query) = link.split_once("/enrol").unwrap();
    let link = format!("fieldbook://{}/enrol{query}", server.address);
    let first = Phone::unenrolled(&server, folder.path().join("first"), "cairang").await.unwrap();
    let second = Phone::unenrolled(&server, folder.path().join("second"), "cairang").await.unwrap();
    first.run(&["enrol", &link]).await.unwrap();
    let refused = second.run(&["enrol", &link]).await.unwrap_err();
    assert!(refused.contains('码') || refused.contains("code"), "{refused}");
    assert!(second.run(&["sync"]).await.is_err(), "a phone that is not enrolled must not sync");
    first.run(&["sync"]).await.unwrap();
}

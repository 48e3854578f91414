//! The restore drill: a server is set up, used, backed up as its timer does, lost with its disk, restored, and confirmed.

use std::path::Path;

use fieldbook_tests::demo::stage::{Phone, Server, programs_are_beside};

use super::{narratives, text, writes};

const UNITS: &str = "code,name,parent,division\n632323,泽库县总工会,,\n632323100,泽曲镇工会,632323,\n";

/// Counts that `verify` prints, all of which are fine.
fn verified(data: &Path) -> String {
    let printed = Server::command(data, &["verify"]).unwrap();
    assert!(!printed.contains("BAD"), "{printed}");
    printed
}

fn told(step: &str) {
    println!("  ✓ {step}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_lost_with_its_disk_comes_back_from_its_backup() {
    programs_are_beside(Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, config, backups, key) = (at("server"), text(&at("server.toml")), at("backups"), text(&at("usb.key")));
    let units = text(&at("units.csv"));
    std::fs::write(&units, UNITS).unwrap();
    let setup = [
        "--config",
        &config,
        "setup",
        "--yes",
        "--listen",
        "127.0.0.1:0",
        "--address",
        "127.0.0.1:8443",
        "--name",
        "泽库县总工会",
        "--units",
        &units,
        "--admin-name",
        "李措毛",
        "--backup-folder",
        &text(&backups),
        "--backup-key-file",
        &key,
    ];
    // A port is not one that a browser could use; `serve` gets its own.
    let setup: Vec<&str> =
        setup.iter().map(|word| if *word == "127.0.0.1:0" { "127.0.0.1:8443" } else { word }).collect();
    Server::command(&data, &setup).unwrap();
    let configured = ["--config", config.as_str()];
    let mut server = Server::start_with(&data, &configured).unwrap();
    told("set up from flags, and serving by its configuration");

    for (login, name) in [("duojie", "多杰"), ("maxiuying", "马秀英")] {
        server.administer(&["user", "add", name, "--unit", "632323100", "--role", "field", "--login", login]).unwrap();
    }
    let a = Phone::enrol(&server, at("a"), "duojie").await.unwrap();
    let b = Phone::enrol(&server, at("b"), "maxiuying").await.unwrap();
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    writes(&a, &["备份之前一", "备份之前二"]).await;
    let before = verified(&data);
    let printed = server.administer(&[&configured[..], &["backup"]].concat()).unwrap();
    assert!(printed.contains("rows"), "{printed}");
    let backup = std::fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().path());
    let backup = backup.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "age")).unwrap();
    told("backed up while it ran");

    writes(&b, &["备份之后"]).await;
    a.sync().await.unwrap();
    let lost = a.export("visit").await.unwrap().remove(0)["id"].as_str().unwrap().to_owned();
    server.administer(&["record", "purge", &lost, "--reason", "drill"]).unwrap();
    let left = narratives(&b).await.len() - 1;
    let list = std::fs::read(data.join("never-again.list")).unwrap();
    let address = server.address.to_string();
    server.end().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    told("lost: the folder with database, key and segments is gone");

    let checked = Server::command(&data, &["backup-check", &text(&backup), "--key", &key]).unwrap();
    assert!(checked.contains("whole"), "{checked}");
    let printed = Server::command(&data, &["restore", &text(&backup), "--key", &key]).unwrap();
    assert!(printed.contains("never-again.list"), "it is missed: {printed}");
    std::fs::write(data.join("never-again.list"), list).unwrap();
    assert_eq!(
        verified(&data).lines().find(|line| line.contains("records")),
        before.lines().find(|line| line.contains("records"))
    );
    drop(server);
    let mut more = configured.to_vec();
    more.extend(["--listen", &address]);
    let server = Server::start_with(&data, &more).unwrap();
    a.sync().await.unwrap_err();
    let shown = server.administer(&["restored"]).unwrap();
    assert!(shown.contains(&lost), "{shown}");
    told("restored without the old key: it takes uploads and serves nothing");

    server.administer(&["restored", "confirm"]).unwrap();
    for _ in 0..2 {
        a.sync().await.unwrap();
        b.sync().await.unwrap();
    }
    for phone in [&a, &b] {
        let found = narratives(phone).await;
        assert_eq!(found.len(), left, "{found:?}");
        assert!(found.contains(&"备份之后".to_owned()), "given back: {found:?}");
    }
    writes(&a, &["恢复之后"]).await;
    b.sync().await.unwrap();
    assert_eq!(narratives(&b).await.len(), left + 1);
    verified(&data);
    told("confirmed: phones gave back the rest, the purged record stays away, verify finds nothing");

    let doctor = Server::command(&data, &[&configured[..], &["doctor", "--json"]].concat());
    let printed = doctor.unwrap_or_else(|printed| printed);
    for check in ["disk", "wal", "secrets", "owner", "database", "backup", "devices", "clock", "certificate", "port"] {
        assert!(printed.contains(&format!("\"check\": \"{check}\"")), "{check} in {printed}");
    }
    told("doctor has looked at it");
}

#[test]
fn flags_count_before_the_environment_and_that_before_the_file() {
    programs_are_beside(Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("server.toml"), format!("language = \"en\"\n[data]\nfolder = \"{}\"\n", text(&at("file"))))
        .unwrap();
    let run = |more: &[&str], environment: Option<&Path>| {
        let mut command =
            std::process::Command::new(fieldbook_tests::demo::stage::program("fieldbook-server").unwrap());
        command.arg("--config").arg(at("server.toml")).args(more).args(["unit", "list"]);
        if let Some(folder) = environment {
            command.env("FIELDBOOK_DATA", folder);
        }
        command.output().unwrap()
    };
    assert!(run(&[], None).status.success());
    assert!(at("file").join("fieldbook.db").exists());
    assert!(run(&[], Some(&at("environment"))).status.success());
    assert!(at("environment").exists());
    let flag = text(&at("flag"));
    assert!(run(&["--data", &flag], Some(&at("never"))).status.success());
    assert!(at("flag").exists() && !at("never").exists());
    std::fs::write(at("server.toml"), "language = \"en\"\n\n[data]\nfolders = \"x\"\n").unwrap();
    let refused = run(&[], None);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("4") && said.contains("folders"), "{said}");
}

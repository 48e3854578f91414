//! The restore drill: a server is set up, used, backed up as its timer does, lost with its disk, restored, and confirmed.

use std::path::Path;

use fieldbook_tests::demo::stage::{Phone, programs_are_beside};

use super::installation::Installation;
use super::{narratives, text, writes};

fn told(step: &str) {
    println!("  ✓ {step}");
}

impl Installation {
    /// The folder with database, key and segments goes, and comes back from the backup.
    fn lose_and_restore(&self, records: &str) {
        let list = std::fs::read(self.data().join("never-again.list")).unwrap();
        std::fs::remove_dir_all(self.data()).unwrap();
        told("lost: the folder with database, key and segments is gone");
        let (backup, key) = (text(&self.backup()), text(&self.at("usb.key")));
        let checked = self.run(&["backup-check", &backup, "--key", &key]).unwrap();
        assert!(checked.contains("whole"), "{checked}");
        let printed = self.run(&["restore", &backup, "--key", &key]).unwrap();
        assert!(printed.contains("no never-again.list"), "it is missed: {printed}");
        assert!(self.verified().contains(records), "as many records as when it was made");
        std::fs::write(self.data().join("never-again.list"), list).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_lost_with_its_disk_comes_back_from_its_backup() {
    let own = Installation::set_up();
    let mut server = own.start("127.0.0.1:0");
    told("set up from flags, and serving by its configuration");
    for (login, name) in [("duojie", "多杰"), ("maxiuying", "马秀英")] {
        own.run(&["user", "add", name, "--unit", "632323100", "--role", "field", "--login", login]).unwrap();
    }
    let a = Phone::enrol(&server, own.at("a"), "duojie").await.unwrap();
    let b = Phone::enrol(&server, own.at("b"), "maxiuying").await.unwrap();
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    writes(&a, &["备份之前一", "备份之前二"]).await;
    let before = own.verified();
    own.run(&["backup"]).unwrap();
    told("backed up while it ran");

    writes(&b, &["备份之后"]).await;
    a.sync().await.unwrap();
    let lost = a.export("visit").await.unwrap();
    let lost = lost.iter().find(|record| record["values"]["situation"]["narrative"] == "备份之前一").unwrap();
    let lost = lost["id"].as_str().unwrap();
    own.run(&["record", "purge", lost, "--reason", "drill"]).unwrap();
    let address = server.address.to_string();
    server.end().unwrap();
    own.lose_and_restore(before.lines().find(|line| line.contains("records")).unwrap());

    let server = own.start(&address);
    a.sync().await.unwrap_err();
    let shown = own.run(&["restored"]).unwrap();
    assert!(shown.contains(lost), "{shown}");
    told("restored without the old key: it takes uploads and serves nothing");
    own.run(&["restored", "confirm"]).unwrap();
    for phone in [&a, &b, &a, &b] {
        phone.sync().await.unwrap();
    }
    writes(&a, &["恢复之后"]).await;
    b.sync().await.unwrap();
    for phone in [&a, &b] {
        assert_eq!(narratives(phone).await, ["备份之前二", "备份之后", "恢复之后"]);
    }
    own.verified();
    told("confirmed: phones gave back the rest, the purged record stays away, verify finds nothing");
    let doctor = own.run(&["doctor", "--json"]).unwrap_or_else(|printed| printed);
    for check in ["disk", "wal", "secrets", "owner", "database", "backup", "devices", "clock", "certificate", "port"] {
        assert!(doctor.contains(&format!("\"check\": \"{check}\"")), "{check} in {doctor}");
    }
    told("doctor has looked at it");
    drop(server);
}

#[test]
fn flags_count_before_the_environment_and_that_before_the_file() {
    programs_are_beside(Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let config = format!("language = \"en\"\n[data]\nfolder = \"{}\"\n", text(&at("file")));
    std::fs::write(at("server.toml"), config).unwrap();
    let run = |more: &[&str], environment: Option<&Path>| {
        let program = fieldbook_tests::demo::stage::program("fieldbook-server").unwrap();
        let mut command = std::process::Command::new(program);
        command.arg("--config").arg(at("server.toml")).args(more).args(["unit", "list"]);
        if let Some(folder) = environment {
            command.env("FIELDBOOK_DATA", folder);
        }
        command.output().unwrap()
    };
    // None of them holds a server, and the message says which of them was looked at.
    let looked_at = |more: &[&str], environment: Option<&Path>| {
        let said = String::from_utf8(run(more, environment).stderr).unwrap();
        ["file", "environment", "flag"].into_iter().find(|name| said.contains(&format!("{}:", text(&at(name)))))
    };
    assert_eq!(looked_at(&[], None), Some("file"));
    assert_eq!(looked_at(&[], Some(&at("environment"))), Some("environment"));
    assert_eq!(looked_at(&["--data", &text(&at("flag"))], Some(&at("environment"))), Some("flag"));
    std::fs::write(at("server.toml"), "language = \"en\"\n\n[data]\nfolders = \"x\"\n").unwrap();
    let refused = run(&[], None);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains('4') && said.contains("folders"), "{said}");
}

//! What an operator gets wrong at night: a disk that is not mounted, an old database put back, a clock that stands in another
//! year. Nothing of it may cost a backup, or pass unnoticed.

use std::collections::BTreeMap;
use std::path::Path;

use super::installation::Installation;
use super::text;

/// What is in a folder, by name; times of the list of files do not count.
fn held(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let listed = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    listed
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap_or_default()))
        .collect()
}

/// The finding of `doctor` on `check`: how it ended, and its text.
fn finding(own: &Installation, check: &str) -> (String, String) {
    let printed = own.run(&["doctor", "--json"]).unwrap_or_else(|printed| printed);
    let json = &printed[printed.find('[').unwrap()..=printed.rfind(']').unwrap()];
    let found: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    let of = found.iter().find(|found| found["check"] == check).unwrap_or_else(|| panic!("{check} in {printed}"));
    (of["health"].as_str().unwrap().to_owned(), of["detail"].as_str().unwrap().to_owned())
}

/// Names of backups have seconds: the next one gets another.
fn pause() {
    std::thread::sleep(std::time::Duration::from_secs(1));
}

fn backups(own: &Installation) -> usize {
    held(&own.at("backups")).keys().filter(|name| name.ends_with(".age")).count()
}

#[test]
fn a_disk_that_is_not_mounted_is_no_new_server() {
    let own = Installation::set_up();
    own.run(&["backup"]).unwrap();
    let before = held(&own.at("backups"));
    std::fs::rename(own.data(), own.at("elsewhere")).unwrap();
    for (mounted, file) in [(false, false), (true, false), (true, true)] {
        if mounted {
            std::fs::create_dir_all(own.data()).unwrap();
        }
        if file {
            // What a copy that was killed at its beginning leaves.
            std::fs::write(own.data().join("fieldbook.db"), "").unwrap();
            std::fs::copy(own.at("elsewhere/key"), own.data().join("key")).unwrap();
        }
        for command in [
            &["backup"][..],
            &["verify"],
            &["serve", "--listen", "127.0.0.1:0"],
            &["unit", "list"],
            &["unit", "add", "1", "x"],
            &["user", "add", "x", "--unit", "632323", "--role", "field"],
            &["move-store", "--to-embedded"],
            &["restored"],
        ] {
            let said = own.run(command).unwrap_err();
            // A move to where the rows are already is refused before anything is looked at.
            let fine = said.contains("no database in") || command[0] == "move-store";
            assert!(fine, "{command:?}: {said}");
        }
        assert_eq!(finding(&own, "database").0, "fault");
        assert_eq!(own.data().exists(), mounted);
        let made: Vec<String> = if mounted { held(&own.data()).into_keys().collect() } else { Vec::new() };
        assert_eq!(made, if file { vec!["fieldbook.db", "key"] } else { Vec::new() }, "nothing was made");
    }
    assert_eq!(std::fs::metadata(own.data().join("fieldbook.db")).unwrap().len(), 0);
    assert_eq!(held(&own.at("backups")), before);
    std::fs::remove_dir_all(own.data()).unwrap();
    std::fs::rename(own.at("elsewhere"), own.data()).unwrap();
    own.verified();
}

#[test]
fn the_backups_of_another_server_are_left_alone() {
    let (own, other) = (Installation::set_up(), Installation::set_up());
    own.run(&["backup"]).unwrap();
    let before = held(&own.at("backups"));
    let config = std::fs::read_to_string(other.at("server.toml")).unwrap();
    let config = config.replace(&text(&other.at("backups")), &text(&own.at("backups")));
    std::fs::write(other.at("server.toml"), config).unwrap();
    let said = other.run(&["backup"]).unwrap_err();
    assert!(said.contains("another server's"), "{said}");
    assert_eq!(finding(&other, "audit").0, "fault");
    assert_eq!(held(&own.at("backups")), before);
    own.verified();
}

#[test]
fn a_shorter_list_of_what_was_purged_replaces_no_longer_one() {
    let own = Installation::set_up();
    let line = "revoked 00112233445566778899aabbccddeeff\n";
    std::fs::write(own.at("backups/never-again.list"), line).unwrap();
    let said = own.run(&["backup"]).unwrap_err();
    assert!(said.contains("has 1 lines that the one in"), "{said}");
    assert_eq!(std::fs::read_to_string(own.at("backups/never-again.list")).unwrap(), line);
    assert_eq!(finding(&own, "list").0, "fault");
    // The remedy that it names.
    std::fs::copy(own.at("backups/never-again.list"), own.data().join("never-again.list")).unwrap();
    pause();
    own.run(&["backup"]).unwrap();
}

#[test]
fn an_older_database_that_was_put_back_is_noticed_by_its_audit_log() {
    let own = Installation::set_up();
    let old = std::fs::read(own.data().join("fieldbook.db")).unwrap();
    own.run(&["user", "add", "多杰", "--unit", "632323100", "--role", "field", "--login", "duojie"]).unwrap();
    let printed = own.run(&["backup"]).unwrap();
    let head = printed.lines().find(|line| line.starts_with("audit log")).unwrap();
    assert!(own.run(&["verify"]).unwrap().contains(head), "{head}");
    let backup = text(&own.backup());
    let checked = own.run(&["backup-check", &backup, "--key", &text(&own.at("usb.key"))]).unwrap();
    assert!(checked.contains(head), "{checked}");
    assert_eq!(finding(&own, "audit").0, "fine");

    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(own.data().join(format!("fieldbook.db{ending}")));
    }
    std::fs::write(own.data().join("fieldbook.db"), old).unwrap();
    let (health, detail) = finding(&own, "audit");
    assert!(health == "fault" && detail.contains("lacks rows"), "{detail}");
    pause();
    let said = own.run(&["backup"]).unwrap_err();
    assert!(said.contains("lacks rows"), "{said}");
    assert_eq!(backups(&own), 2, "it is backed up all the same, and nothing is removed");
    assert_eq!(finding(&own, "audit").0, "fault", "until somebody has looked");
}

#[test]
fn what_is_in_the_folder_counts_and_not_what_the_database_notes() {
    let own = Installation::set_up();
    own.run(&["backup"]).unwrap();
    assert_eq!(finding(&own, "backup").0, "fine");
    let path = own.backup();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[1..]).unwrap();
    let (health, detail) = finding(&own, "backup");
    assert!(health == "fault" && detail.contains("not what its hash says"), "{detail}");
    std::fs::remove_file(&path).unwrap();
    let (health, detail) = finding(&own, "backup");
    assert!(health == "fault" && detail.contains("no backup"), "{detail}");
    // One that is dated in the future: the clock was wrong when it was made, or is now.
    let future = own.at("backups/fieldbook-2199-01-01T00-00-00.age");
    std::fs::write(&future, "x").unwrap();
    pause();
    let said = own.run(&["backup"]).unwrap_err();
    assert!(said.contains("dated later"), "{said}");
    assert_eq!(backups(&own), 2, "the new one and the misdated one");
    std::fs::remove_file(future).unwrap();
    assert_eq!(finding(&own, "backup").0, "fine");
}

#[test]
fn what_others_may_read_or_change_is_a_fault() {
    use std::os::unix::fs::PermissionsExt;
    let own = Installation::set_up();
    assert_eq!(finding(&own, "permissions").0, "fine");
    let set = |name: &str, mode| {
        std::fs::set_permissions(own.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, open, closed) in [("server", 0o755, 0o700), ("backups", 0o777, 0o700), ("server.toml", 0o666, 0o644)] {
        set(name, open);
        let (health, detail) = finding(&own, "permissions");
        assert!(health == "fault" && detail.contains(&text(&own.at(name))), "{detail}");
        set(name, closed);
    }
    set("server/key", 0o644);
    let said = own.run(&["unit", "list"]).unwrap_err();
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn the_restore_of_a_wrong_backup_costs_no_right_one() {
    let own = Installation::set_up();
    own.run(&["backup"]).unwrap();
    let (old, key) = (own.at("old.age"), text(&own.at("usb.key")));
    std::fs::rename(own.backup(), &old).unwrap();
    own.run(&["user", "add", "多杰", "--unit", "632323100", "--role", "field", "--login", "duojie"]).unwrap();
    pause();
    own.run(&["backup"]).unwrap();
    let right = own.backup();
    for restored in [&old, &old, &old, &right] {
        std::fs::remove_file(own.data().join("fieldbook.db")).unwrap();
        own.run(&["restore", &text(restored), "--key", &key]).unwrap();
        own.run(&["restored", "confirm"]).unwrap();
        assert_eq!(finding(&own, "audit").0, "warning", "nothing to compare with yet");
        pause();
        let said = own.run(&["backup"]).unwrap();
        assert!(said.contains(&text(&right)) && right.exists(), "of the same day, and kept: {said}");
        assert_eq!(finding(&own, "audit").0, "fine");
    }
    assert!(own.run(&["user", "list"]).unwrap().contains("duojie"), "what the right one held is back");
    std::fs::remove_file(own.at("backups/of-server.json")).unwrap();
    assert_eq!(finding(&own, "audit").0, "fault", "somebody removed what was noted");
    pause();
    let said = own.run(&["backup"]).unwrap_err();
    assert!(said.contains("of-server.json"), "{said}");
}

#[test]
fn what_root_makes_by_hand_is_the_servers_user_s() {
    use std::os::unix::fs::MetadataExt;
    let own = Installation::set_up();
    if std::fs::metadata(own.data()).unwrap().uid() != 0 && std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let nobody = 65_534;
    for folder in ["server", "backups"] {
        std::os::unix::fs::chown(own.at(folder), Some(nobody), Some(nobody)).unwrap();
    }
    own.run(&["backup"]).unwrap();
    for folder in ["server", "backups"] {
        for entry in std::fs::read_dir(own.at(folder)).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().uid(), nobody, "{:?}", entry.path());
        }
    }
    assert_eq!(finding(&own, "owner").0, "fine");
}

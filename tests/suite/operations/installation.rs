//! An installation that `setup` made.

use std::path::{Path, PathBuf};

use fieldbook_tests::demo::stage::{Server, programs_are_beside};
use tempfile::TempDir;

use super::text;

const UNITS: &str = "code,name,parent,division\n632323,泽库县总工会,,\n632323100,泽曲镇工会,632323,\n";

/// An installation as an administrator has it: folders, a configuration, a key that is elsewhere.
pub(super) struct Installation {
    folder: TempDir,
}

impl Installation {
    pub(super) fn set_up() -> Self {
        programs_are_beside(Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
        let installation = Self { folder: tempfile::tempdir().unwrap() };
        let (config, units, backups) =
            (installation.at("server.toml"), installation.at("units.csv"), installation.at("backups"));
        std::fs::write(&units, UNITS).unwrap();
        let key = text(&installation.at("usb.key"));
        let more = ["--units", &text(&units), "--backup-folder", &text(&backups), "--backup-key-file", &key];
        let setup =
            ["setup", "--yes", "--address", "127.0.0.1:8443", "--name", "泽库县总工会", "--admin-name", "李措毛"];
        let config = text(&config);
        let all = [&["--config", config.as_str()], &setup[..], &more].concat();
        Server::command(&installation.data(), &all).unwrap();
        installation
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.at("server")
    }

    pub(super) fn start(&self, listen: &str) -> Server {
        Server::start_at(
            &self.data(),
            listen,
            &["--config", &text(&self.at("server.toml")), "--metrics", "127.0.0.1:0"],
        )
        .unwrap()
    }

    /// A command by the configuration file.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        Server::command(&self.data(), &[&["--config", &text(&self.at("server.toml"))], arguments].concat())
    }

    /// What `verify` prints; all of it is fine.
    pub(super) fn verified(&self) -> String {
        let printed = self.run(&["verify"]).unwrap();
        assert!(!printed.contains("BAD"), "{printed}");
        printed
    }

    /// The one backup.
    pub(super) fn backup(&self) -> PathBuf {
        let listed = std::fs::read_dir(self.at("backups")).unwrap().map(|entry| entry.unwrap().path());
        let mut backups: Vec<PathBuf> =
            listed.filter(|path| path.extension().is_some_and(|end| end == "age")).collect();
        assert_eq!(backups.len(), 1, "{backups:?}");
        backups.remove(0)
    }
}

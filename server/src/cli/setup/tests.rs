use clap::Parser;

use super::*;

/// What `setup` prints and answers, given these lines.
fn run(arguments: &[&str], typed: Option<&str>) -> (String, Result<bool, StoreError>) {
    let mut options = Options::parse_from([&["fieldbook-server"], arguments].concat());
    let command = std::mem::replace(&mut options.command, super::super::options::Task::Verify);
    let super::super::options::Task::Setup(given) = command else { panic!("setup") };
    let mut printed = Vec::new();
    let mut typed = typed.map(str::as_bytes);
    let input = typed.as_mut().map(|typed| typed as &mut dyn BufRead);
    let done = set_up(Questions { language: Language::English, input, output: &mut printed }, &options, &given);
    (String::from_utf8(printed).unwrap(), done)
}

fn word(answer: Result<bool, StoreError>) -> &'static str {
    match answer {
        Err(StoreError::Problem(problem)) => problem.word,
        other => panic!("no problem but {other:?}"),
    }
}

#[test]
fn questions_are_asked_until_the_answer_passes_and_the_file_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let typed = format!(
        "relative\n{}\n\n\nsync.example.cn\nsync.example.cn:8443\n泽库县总工会\n632323\n\n李措毛\nlicuomao\n{}\n\n{}\n",
        at("data"),
        at("backups"),
        at("backup.key")
    );
    let (printed, done) = run(&["--config", &at("server.toml"), "setup"], Some(&typed));
    assert!(done.unwrap(), "{printed}");
    assert!(printed.contains("relative must be an absolute path"), "{printed}");
    assert!(printed.contains("sync.example.cn must be HOST:PORT"), "{printed}");
    let config = config::read(Some(Path::new(&at("server.toml")))).unwrap();
    assert_eq!(config.data.folder.as_deref(), Some(Path::new(&at("data"))));
    assert_eq!(config.server.address.as_deref(), Some("sync.example.cn:8443"));
    assert_eq!((config.server.name.as_deref(), config.language.as_deref()), (Some("泽库县总工会"), Some("en")));
    let recipient = config.backup.recipient.unwrap();
    assert_eq!(BackupKey::read(Path::new(&at("backup.key"))).unwrap().recipient().to_string(), recipient);
    let text = std::fs::read_to_string(at("server.toml")).unwrap();
    assert!(!text.contains("AGE-SECRET"), "what opens backups is not on the server");
    let options = Options::parse_from(["fieldbook-server", "--data", &at("data"), "verify"]);
    let store = open(&options, (Path::new(&at("data")), None)).unwrap();
    assert_eq!(store.units().unwrap()[0].name, "泽库县总工会");
    assert_eq!(store.users().unwrap()[0].0.login, "licuomao");
    let (_, again) = run(&["--config", &at("server.toml"), "setup", "--yes"], None);
    assert_eq!(word(again), "setup_done");
}

#[test]
fn flags_answer_every_question_and_what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (config, data, backups, key) = (at("etc/server.toml"), at("data"), at("backups"), at("backup.key"));
    let mut arguments = vec![
        "--config",
        &config,
        "--data",
        &data,
        "setup",
        "--yes",
        "--address",
        "127.0.0.1:8443",
        "--name",
        "a \"county\"",
        "--unit-name",
        "county",
        "--admin-name",
        "Li",
        "--backup-folder",
        &backups,
    ];
    let (_, done) = run(&arguments, None);
    let Err(StoreError::Problem(problem)) = done else { panic!("{done:?}") };
    assert_eq!(problem.word, "setup_unanswered");
    assert_eq!(problem.args, [("flag", "--unit-code, --backup-key-file".to_owned())], "all that is missing at once");
    assert!([&config, &data, &backups].iter().all(|path| !Path::new(path).exists()), "and nothing is made before");
    arguments.extend(["--unit-code", "63", "--backup-key-file", &key]);
    let (_, done) = run(&arguments, None);
    assert!(done.unwrap());
    let read = config::read(Some(Path::new(&config))).unwrap();
    assert_eq!(read.server.name.as_deref(), Some("a \"county\""));
    assert_eq!(read.backup.keep(), crate::store::Keep::default());
}

/// A package makes the folder before `setup` is run, and gives it to the server's user.
#[test]
fn what_root_sets_up_belongs_to_the_server_also_in_a_folder_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    if folder.path().metadata().unwrap().uid() != 0 {
        return;
    }
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (config, data, backups, key) = (at("server.toml"), at("data"), at("backups"), at("backup.key"));
    let (nobody, group) = (65_534, 65_534);
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(nobody), Some(group)).unwrap();
    std::fs::create_dir(at("elsewhere")).unwrap();
    std::fs::write(at("elsewhere/file"), "root's").unwrap();
    let foreign = Path::new(&data).join("notes.txt");
    std::fs::write(&foreign, "root's").unwrap();
    let arguments = [
        ["--config", &config],
        ["--data", &data],
        ["setup", "--yes"],
        ["--address", "sync.example.cn:8443"],
        ["--name", "泽库县总工会"],
        ["--unit-code", "632323"],
        ["--admin-name", "李措毛"],
        ["--owner", "nobody"],
        ["--backup-folder", &backups],
        ["--backup-key-file", &key],
    ];
    assert_eq!(word(run(&arguments.concat(), None).1), "folder_not_own");
    assert_eq!(std::fs::metadata(&foreign).unwrap().uid(), 0);
    std::fs::remove_file(foreign).unwrap();
    // Names of its own, but not its own files.
    std::os::unix::fs::symlink(at("elsewhere"), Path::new(&data).join("segments")).unwrap();
    std::fs::hard_link(at("elsewhere/file"), Path::new(&data).join("never-again.list")).unwrap();
    run(&arguments.concat(), None).1.unwrap();
    assert_eq!(std::fs::metadata(at("elsewhere/file")).unwrap().uid(), 0, "what has a second name is not given away");
    std::fs::remove_file(Path::new(&data).join("never-again.list")).unwrap();
    std::fs::remove_file(Path::new(&data).join("segments")).unwrap();
    for folder in [&data, &backups] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().uid(), nobody, "{:?}", entry.path());
        }
        assert_eq!(std::fs::metadata(folder).unwrap().uid(), nobody, "{folder}");
    }
    assert_eq!(std::fs::metadata(at("elsewhere")).unwrap().uid(), 0, "what a link names is not given away");
}

#[test]
fn folders_are_this_servers_alone_and_the_key_of_backups_is_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(at("nas")).unwrap();
    std::fs::write(at("nas/photos.zip"), "").unwrap();
    std::fs::create_dir(at("data")).unwrap();
    let refused = |answer: Checked<PathBuf>| match answer {
        Err(StoreError::Problem(problem)) => problem.word,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(folder_of(&at("nas"), is_of_backups)), "folder_not_own");
    let (data, nas) = (PathBuf::from(at("data")), PathBuf::from(at("nas")));
    for inside in ["data/backup.key", "nas/backup.key", "nas/../data/backup.key"] {
        assert_eq!(refused(key_file_of(&at(inside), [&data, &nas])), "key_file_inside", "{inside}");
    }
    assert!(key_file_of(&at("no/such/backup.key"), [&data, &nas]).is_err(), "found before anything is made");
    assert!(key_file_of(&at("backup.key"), [&data, &nas]).is_ok());
    std::fs::remove_file(at("nas/photos.zip")).unwrap();
    for name in ["lost+found", "of-server.json", "fieldbook-2026-06-01T00-00-00.age.sha256"] {
        std::fs::write(nas.join(name), "").unwrap();
    }
    assert_eq!(folder_of(&at("nas"), is_of_backups).unwrap(), nas);
}

#[test]
fn units_are_told_of_folders_that_they_may_not_write() {
    let answers = |data: &str, backups: &str| Answers {
        data: data.into(),
        key_file: None,
        url_file: None,
        listen: String::new(),
        address: String::new(),
        name: String::new(),
        units: Units::There,
        admin: (String::new(), String::new()),
        backup_folder: backups.into(),
        recipient: Recipient::Drawn(PathBuf::new()),
    };
    assert_eq!(drop_in(&answers(USUAL_DATA, USUAL_BACKUPS)), None);
    let told = drop_in(&answers(USUAL_DATA, "/mnt/backups")).unwrap();
    assert_eq!(told, "[Service]\nReadWritePaths=\"/mnt/backups\"\n");
    let told = drop_in(&answers("/home/a b", "/mnt/backups")).unwrap();
    assert_eq!(told, "[Service]\nReadWritePaths=\"/home/a b\" \"/mnt/backups\"\nProtectHome=no\n");
    let folder = tempfile::tempdir().unwrap();
    let packaged = folder.path().join("fieldbook.service");
    assert!(tell_units(&told, &packaged, folder.path()).unwrap().is_empty(), "no package, no units");
    std::fs::write(&packaged, "").unwrap();
    for path in tell_units(&told, &packaged, folder.path()).unwrap() {
        assert_eq!(std::fs::read_to_string(path).unwrap(), told);
    }
}

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
    std::fs::write(at("elsewhere"), "root's").unwrap();
    std::os::unix::fs::symlink(at("elsewhere"), Path::new(&data).join("link")).unwrap();
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
    run(&arguments.concat(), None).1.unwrap();
    for folder in [&data, &backups] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().uid(), nobody, "{:?}", entry.path());
        }
        assert_eq!(std::fs::metadata(folder).unwrap().uid(), nobody, "{folder}");
    }
    assert_eq!(std::fs::metadata(at("elsewhere")).unwrap().uid(), 0, "what a link names is not given away");
}

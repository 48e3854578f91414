//! What each command does.

use std::path::Path;
use std::sync::Arc;

use fieldbook_core::access::{Role, Unit};

use super::options::{DeviceTask, FormTask, Options, Serve, Task, UnitTask, UserTask, role_words};
use super::{backup, doctor, hub, keys, records, setup};
use crate::hub::HubStore;
use crate::store::{Problem, Store, StoreError, UserRow};
use crate::text::{Language, text};
use crate::{link, serve};

/// Prints a text of the catalogue.
pub(super) fn say(language: Language, word: &str, args: &[(&'static str, String)]) {
    println!("{}", text(language, word, args));
}

/// Runs the asked task; false = something asked for was not fine, and said so.
pub(super) fn execute(
    options: &Options,
    language: Language,
    open: impl Fn() -> Result<Arc<Store>, StoreError>,
) -> Result<bool, StoreError> {
    match &options.command {
        Task::Serve(task) if task.upstream.is_some() || HubStore::is_there(&options.data) => {
            hub::serve(language, options, task)
        }
        Task::Serve(task) => serve_until_stopped(language, options, &open()?, task),
        Task::Unit(task) => unit(language, &*open()?, task),
        Task::User(task) => user(language, &*open()?, task),
        Task::Device(task) => device(language, &*open()?, task),
        Task::Form(FormTask::Check { files }) => Ok(records::check(language, files)),
        Task::Form(task) => records::form(language, &*open()?, task),
        Task::Record(task) => records::record(language, &*open()?, task),
        Task::Certificate { folder } => certificate(language, &*open()?, folder),
        Task::Status => hub::status(language, options),
        Task::Verify => records::verify(language, &*open()?),
        Task::Setup(task) => setup::setup(language, options, task),
        Task::Key(task) => keys::key(language, &*open()?, task),
        Task::Doctor { json } => doctor::doctor(language, options, open, *json),
        Task::Backup { file, recipient } => {
            backup::backup(language, options, &*open()?, (file.as_deref(), recipient.as_deref()))
        }
        Task::BackupKey { file } => backup::key(language, file),
        Task::BackupCheck { file, key } => backup::check(language, file, key),
        Task::Restore { file, key } => backup::restore(language, options, file, key),
        Task::MoveStore { to_url_file, .. } => backup::relocated(language, options, to_url_file.as_deref()),
        Task::Restored(task) => backup::restored(language, &*open()?, task.task.as_ref()),
    }
}

/// Writes certificate and key for a proxy that ends TLS; the key for nobody but its owner.
fn certificate(language: Language, store: &Store, folder: &Path) -> Result<bool, StoreError> {
    crate::data_folder::make_private(folder)?;
    let (certificate, key) = store.identity().leaf_pem();
    let office = store.office_root_pem()?;
    store.wrote_certificate()?;
    for (name, pem) in [("fieldbook.crt", certificate), ("fieldbook.key", key), ("fieldbook-office.crt", office)] {
        crate::data_folder::replace_private(&folder.join(name), &pem)?;
    }
    say(language, "certificate_written", &[("folder", folder.display().to_string())]);
    Ok(true)
}

/// Log lines go to standard error, as text or as JSON: at the level that `RUST_LOG` names, else the configuration.
pub(super) fn log_to_stderr(options: &Options, task: &Serve) {
    let level = options.config.log.level.as_deref().unwrap_or("info");
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("{level},automerge=off")));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    if task.log_format.as_deref() == Some("json") {
        lines.json().flatten_event(true).init();
    } else {
        lines.init();
    }
}

fn serve_until_stopped(
    language: Language,
    options: &Options,
    store: &Arc<Store>,
    task: &Serve,
) -> Result<bool, StoreError> {
    log_to_stderr(options, task);
    let part = &options.config.server;
    let serving = serve::ServeOptions {
        listen: task.listen.clone(),
        address: task.address.clone(),
        name: task.name.clone(),
        plain_http: task.plain_http,
        certificate: part.certificate.clone().zip(part.certificate_key.clone()),
    };
    if let Some(address) = &task.address {
        check_address(address)?;
    }
    store.publish_builtin()?;
    if store.units()?.is_empty() {
        say(language, "no_units_yet", &[]);
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Problem::new("failed").with("detail", error))?;
    let lists = Arc::clone(store);
    runtime.spawn_blocking(move || {
        if let Err(error) = lists.warm() {
            tracing::warn!(%error, "the lists are read when the first of them is asked for");
        }
    });
    runtime.block_on(async {
        let bound = serve::bind(store, &serving).await?;
        let stop = serve::stop_signal();
        if let Some(listen) = &task.metrics {
            let backups = options.config.backup.folder.clone();
            let (certificate, is_proxied) = (serving.certificate.clone(), serving.plain_http);
            let beside = crate::store::Beside { backups, certificate, is_proxied };
            let local = crate::metrics::serve(store, beside, listen, stop.clone()).await?;
            say(language, "metrics_listening", &[("address", local.to_string())]);
        }
        tokio::spawn(crate::certificates::kept(Arc::clone(store), bound.tls(), stop.clone()));
        tokio::spawn(crate::store::neighbours::followed(Arc::clone(store), stop.clone()));
        say(language, "root_pin", &[("pin", link::pin(&store.identity().root_public()))]);
        say(language, "listening", &[("url", bound.url())]);
        serve::run(bound, crate::router(Arc::clone(store)), stop).await;
        Ok::<_, StoreError>(())
    })?;
    say(language, "stopped", &[]);
    Ok(true)
}

/// HOST:PORT, with a port from `port_min`.
pub(super) fn is_address(address: &str, port_min: u16) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(['/', '?', '#', ' ', '：'])
            && port.parse::<u16>().is_ok_and(|port| port >= port_min)
    })
}

pub(super) fn check_address(address: &str) -> Result<(), Problem> {
    if is_address(address, 1) { Ok(()) } else { Err(Problem::new("address_malformed").with("address", address)) }
}

fn unit(language: Language, store: &Store, task: &UnitTask) -> Result<bool, StoreError> {
    match task {
        UnitTask::Add { code, name, parent, division } => {
            let new =
                Unit { code: code.clone(), name: name.clone(), parent: parent.clone(), division: division.clone() };
            store.add_unit(&new)?;
            say(language, "unit_added", &[("unit", code.clone()), ("name", name.clone())]);
        }
        UnitTask::Import { file } => {
            let table = std::fs::File::open(file)
                .map_err(|error| Problem::new("file_unreadable").with("path", file.display()).with("detail", error))?;
            let count = store.import_units(table)?;
            say(language, "units_imported", &[("count", count.to_string())]);
        }
        UnitTask::List => {
            for unit in store.units()? {
                let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                println!("{}\t{}\t{}\t{}", unit.code, unit.name, or_dash(unit.parent), or_dash(unit.division));
            }
        }
    }
    Ok(true)
}

fn role(word: &str) -> Result<Role, Problem> {
    Role::from_word(word).ok_or_else(|| Problem::new("role_unknown").with("role", word).with("roles", role_words()))
}

fn grants(texts: &[String]) -> Result<Vec<(Role, String)>, Problem> {
    texts
        .iter()
        .map(|text| {
            let (word, unit) =
                text.split_once('@').ok_or_else(|| Problem::new("grant_malformed").with("text", text))?;
            Ok((role(word)?, unit.to_owned()))
        })
        .collect()
}

fn with_password(language: Language, word: &str, user: UserRow, password: String) {
    say(language, word, &[("name", user.name), ("login", user.login), ("password", password)]);
}

fn user(language: Language, store: &Store, task: &UserTask) -> Result<bool, StoreError> {
    match task {
        UserTask::Add { name, unit, role: words, login } => {
            let roles = words.iter().map(|word| role(word)).collect::<Result<Vec<_>, _>>()?;
            let (user, password) = store.add_user(name, unit, &roles, login.as_deref())?;
            with_password(language, "user_added", user, password);
        }
        UserTask::List => {
            for (user, roles) in store.users()? {
                println!("{}\t{}\t{}\t{}", user.login, user.name, user.unit, granted(&roles));
            }
        }
        UserTask::Role { user, give, take } => {
            let roles = store.change_roles(user, &grants(give)?, &grants(take)?)?;
            say(language, "user_roles", &[("name", user.clone()), ("roles", granted(&roles))]);
        }
        UserTask::ResetPassword { user } => {
            let (user, password) = store.reset_password(user)?;
            with_password(language, "password_reset", user, password);
        }
        UserTask::ResetFactor { user } => {
            let user = store.reset_second_factor(user)?;
            say(language, "factor_reset", &[("login", user.login)]);
        }
        UserTask::SecondFactor { wish } => {
            store.require_second_factor(wish == "required")?;
            say(language, &format!("factor_{wish}"), &[]);
        }
    }
    Ok(true)
}

fn granted(roles: &[(Role, String)]) -> String {
    roles.iter().map(|(role, unit)| format!("{role}@{unit}")).collect::<Vec<_>>().join(" ")
}

fn device(language: Language, store: &Store, task: &DeviceTask) -> Result<bool, StoreError> {
    match task {
        DeviceTask::Enrol { user, days, png, address } => {
            let address = match address {
                Some(address) => address.clone(),
                None => store.setting("address")?.ok_or_else(|| Problem::new("address_unknown"))?,
            };
            check_address(&address)?;
            let enrolment = store.new_enrolment(user, *days)?;
            let link = link::enrolment(&address, &store.identity().root_public(), &enrolment.code);
            let time = crate::clock_text::shanghai(enrolment.expires_ms);
            say(language, "enrol_link", &[("name", enrolment.user.name), ("time", time)]);
            println!("{link}");
            print!("{}", link::terminal_qr(&link)?);
            // Last: the link is shown whatever becomes of the picture, and the one before it works no more.
            if let Some(path) = png {
                link::write_png(&link, path)?;
            }
        }
        DeviceTask::List => {
            let when = |time: Option<i64>| time.map_or_else(|| "-".to_owned(), crate::clock_text::shanghai);
            if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
                say(language, "device_columns", &[]);
            }
            for device in store.devices()? {
                println!(
                    "{}\t{}\t{}\t{}\t{}\t{}",
                    device.id,
                    device.user_name,
                    device.unit,
                    device.name,
                    when(device.last_contact_ms),
                    when(device.revoked_ms)
                );
            }
        }
        DeviceTask::Revoke { device } => {
            let id = device.parse().map_err(|_| Problem::new("device_unknown").with("device", device))?;
            let word = if store.revoke_device(id)? { "device_revoked" } else { "device_revoked_before" };
            say(language, word, &[("device", id.to_string())]);
        }
    }
    Ok(true)
}

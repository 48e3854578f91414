//! What each command does.

use std::path::Path;
use std::sync::Arc;

use fieldbook_core::access::{Role, Unit};

use super::options::{DeviceTask, FormTask, Options, Serve, Task, UnitTask, UserTask, role_words};
use super::{backup, hub, records};
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
        Task::Serve(task) => serve_until_stopped(language, &open()?, task),
        Task::Unit(task) => unit(language, &*open()?, task),
        Task::User(task) => user(language, &*open()?, task),
        Task::Device(task) => device(language, &*open()?, task),
        Task::Form(FormTask::Check { files }) => Ok(records::check(language, files)),
        Task::Form(task) => records::form(language, &*open()?, task),
        Task::Record(task) => records::record(language, &*open()?, task),
        Task::Certificate { folder } => certificate(language, &*open()?, folder),
        Task::Status => hub::status(language, options),
        Task::Verify => records::verify(language, &*open()?),
        Task::Backup { file } => backup::backup(language, &*open()?, file),
        Task::Restore { file } => backup::restore(language, options, file),
        Task::Restored(task) => backup::restored(language, &*open()?, task.task.as_ref()),
    }
}

/// Writes certificate and key for a proxy that ends TLS; the key for nobody but its owner.
fn certificate(language: Language, store: &Store, folder: &Path) -> Result<bool, StoreError> {
    let (certificate, key) = store.identity().leaf_pem();
    for (name, pem) in [("fieldbook.crt", certificate), ("fieldbook.key", key)] {
        crate::data_folder::write_private(&folder.join(name), &pem)?;
    }
    say(language, "certificate_written", &[("folder", folder.display().to_string())]);
    Ok(true)
}

/// Log lines go to standard error, by `RUST_LOG`.
pub(super) fn log_to_stderr() {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,automerge=off")),
        )
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
}

fn serve_until_stopped(language: Language, store: &Arc<Store>, task: &Serve) -> Result<bool, StoreError> {
    log_to_stderr();
    let options = serve::ServeOptions {
        listen: task.listen.clone(),
        address: task.address.clone(),
        name: task.name.clone(),
        plain_http: task.plain_http,
    };
    if let Some(address) = &task.address {
        check_address(address)?;
    }
    store.publish_builtin()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Problem::new("failed").with("detail", error))?;
    let lists = Arc::clone(store);
    runtime.spawn_blocking(move || {
        if let Err(error) = lists.warm() {
            tracing::warn!(%error, "the lists are read when the first of them is asked for");
        }
    });
    runtime.block_on(async {
        let bound = serve::bind(store, &options).await?;
        let stop = serve::stop_signal();
        say(language, "root_pin", &[("pin", link::pin(&store.identity().root_public()))]);
        say(language, "listening", &[("url", bound.url())]);
        serve::run(bound, crate::router(Arc::clone(store)), stop).await;
        Ok::<_, StoreError>(())
    })?;
    say(language, "stopped", &[]);
    Ok(true)
}

fn check_address(address: &str) -> Result<(), Problem> {
    let fits = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '?', '#', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if fits { Ok(()) } else { Err(Problem::new("address_malformed").with("address", address)) }
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
    }
    Ok(true)
}

fn granted(roles: &[(Role, String)]) -> String {
    roles.iter().map(|(role, unit)| format!("{role}@{unit}")).collect::<Vec<_>>().join(" ")
}

fn device(language: Language, store: &Store, task: &DeviceTask) -> Result<bool, StoreError> {
    match task {
        DeviceTask::Enrol { user, png, address } => {
            let address = match address {
                Some(address) => address.clone(),
                None => store.setting("address")?.ok_or_else(|| Problem::new("address_unknown"))?,
            };
            check_address(&address)?;
            let enrolment = store.new_enrolment(user)?;
            let link = link::enrolment(&address, &store.identity().root_public(), &enrolment.code);
            if let Some(path) = png {
                link::write_png(&link, path)?;
            }
            say(language, "enrol_link", &[("name", enrolment.user.name)]);
            println!("{link}");
            print!("{}", link::terminal_qr(&link)?);
        }
        DeviceTask::List => {
            for device in store.devices()? {
                let when = |time: Option<i64>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
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

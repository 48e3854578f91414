//! Behind a stock nginx, which ends TLS with the server's own certificate and hands a request on only when it has all of
//! it, on a line that dies again and again: a phone with much to send and much to get advances with each connection.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldbook_core::client::net::{CancelFlag, tls_config};
use fieldbook_core::client::{Progress, SyncListener};
use fieldbook_core::protocol::limits::EXCHANGE_UP_BYTES_MAX;
use fieldbook_core::store::ListFilter;
use fieldbook_tests::demo::report::password;
use fieldbook_tests::demo::stage::{Server, programs_are_beside};
use fieldbook_tests::proxy::{Line, Proxy};
use serde_json::json;
use tempfile::TempDir;

use super::inside::noise;
use super::office::{Phone, sync_all};
use super::phone::{at_address, visit};

/// What a connection carries before it dies, both ways: somewhat more than one exchange's upload, as 60 kbit/s do that
/// die every half minute.
const CONNECTION_BYTES: u64 = 160 * 1024;
/// A request's line and headers, its own header, and how far the last frame may lie above the target.
const AROUND_BYTES: u64 = 4 * 1024;
/// Visits on each side, of some 5 KB on the line.
const VISITS: usize = 60;
/// Asked for nginx to listen; each time it has a while.
const TRIES_MAX: u32 = 600;

/// One request as nginx saw it.
pub(crate) struct Asked {
    /// Its bytes.
    pub(crate) bytes: u64,
    pub(crate) status: u16,
    /// What its cache had: `HIT`, `MISS`, or `-` where it does not cache.
    pub(crate) cache: String,
    pub(crate) path: String,
}

/// A running nginx; ends when it is dropped.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The same without TLS.
    plain: SocketAddr,
    log: PathBuf,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nginx {
    /// Everything but addresses, files and the log's format is as nginx comes, or as docs/OPERATIONS.md says.
    fn config(folder: &Path, [address, plain]: [SocketAddr; 2], server: SocketAddr) -> String {
        let folder = folder.display();
        format!(
            "daemon off; master_process off; pid {folder}/pid; events {{}}
             http {{
               client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
               scgi_temp_path {folder}/scgi; uwsgi_temp_path {folder}/uwsgi;
               proxy_cache_path {folder}/cache keys_zone=segments:1m;
               log_format asked '$request_length $status $upstream_cache_status $uri'; access_log {folder}/requests asked;
               server {{
                 listen {address} ssl; listen {plain}; ssl_protocols TLSv1.3;
                 client_max_body_size 8m; proxy_set_header Host $http_host;
                 ssl_certificate {folder}/fieldbook.crt; ssl_certificate_key {folder}/fieldbook.key;
                 location / {{ proxy_pass http://{server}; }}
                 location /sync/1/segments/ {{
                   proxy_cache segments; proxy_cache_lock on; proxy_pass http://{server};
                 }}
               }}
             }}"
        )
    }

    fn before(server: &Server, folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        server.administer(&["certificate", folder.to_str().unwrap()]).unwrap();
        // Both are held until both are drawn.
        let drawn = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, plain] = drawn.each_ref().map(|listener| listener.local_addr().unwrap());
        drop(drawn);
        let config = folder.join("nginx.conf");
        std::fs::write(&config, Self::config(folder, [address, plain], server.address)).unwrap();
        // Debian keeps it where an ordinary user's path does not look.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let mut nginx = Command::new("nginx");
        nginx.env("PATH", path).arg("-e").arg(folder.join("errors")).arg("-p").arg(folder).arg("-c").arg(&config);
        let child = nginx.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nginx: tests/scripts/setup.sh");
        let mut running = Self { child, address, plain, log: folder.join("requests") };
        for _ in 0..TRIES_MAX {
            if TcpStream::connect(address).is_ok() {
                return running;
            }
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("nginx ended with {status}: {}", std::fs::read_to_string(folder.join("errors")).unwrap());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nginx does not listen");
    }

    /// Each request that arrived whole or in part.
    pub(crate) fn requests(&self) -> Vec<Asked> {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let line = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [bytes, status, cache, path] = words[..] else { panic!("{line}") };
            let (bytes, status) = (bytes.parse().unwrap(), status.parse().unwrap());
            Asked { bytes, status, cache: cache.to_owned(), path: path.to_owned() }
        };
        log.lines().map(line).collect()
    }
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
    pub(crate) nginx: Nginx,
}

impl World {
    pub(crate) fn start() -> Self {
        programs_are_beside(Path::new(env!("CARGO_BIN_EXE_fieldbook-phone")));
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("server");
        Server::command(&data, &["unit", "add", "632323", "泽库县总工会"]).unwrap();
        for (login, name) in [("duojie", "多杰"), ("maxiuying", "马秀英")] {
            let arguments = ["user", "add", name, "--unit", "632323", "--role", "field", "--login", login];
            Server::command(&data, &arguments).unwrap();
        }
        let server = Server::start_plain(&data).unwrap();
        let nginx = Nginx::before(&server, &folder.path().join("nginx"));
        Self { folder, server, nginx }
    }

    /// A phone with the forms, over a line that leads to nginx.
    pub(crate) fn phone(&self, login: &str, address: SocketAddr) -> Phone {
        let phone = self.enrolled(login, login, address);
        phone.sync();
        phone
    }

    /// A phone in the folder `name` that has not synced yet.
    pub(crate) fn enrolled(&self, name: &str, login: &str, address: SocketAddr) -> Phone {
        let phone = Phone::at(&self.folder.path().join(name));
        let printed = self.server.administer(&["device", "enrol", login]).unwrap();
        let link = printed.split_whitespace().find(|word| word.starts_with("fieldbook://")).unwrap();
        phone.book.enrol(&at_address(link, &address.to_string()), "test").unwrap();
        phone
    }
}

/// How many changes each connection had brought to their place when it ended.
struct Watching<'a> {
    line: &'a Proxy,
    moved: Mutex<Vec<u64>>,
}

impl SyncListener for Watching<'_> {
    fn progress(&self, progress: Progress) {
        let mut moved = self.moved.lock().unwrap();
        let connection = self.line.counted().connections as usize;
        let (count, before) = (moved.len(), moved.last().copied().unwrap_or(0));
        moved.resize(connection.max(count), before);
        if let Some(last) = moved.last_mut() {
            *last = (*last).max(progress.changes_sent + progress.changes_received);
        }
    }
}

fn work(phone: &Phone, seed: &mut u64) {
    for _ in 0..VISITS {
        phone.create("visit", None, visit(&noise(seed, 3_000)));
    }
}

/// Its visits, each with its heads.
pub(crate) fn visits(phone: &Phone) -> Vec<(fieldbook_core::ids::RecordId, Vec<fieldbook_core::ids::ChangeHash>)> {
    let rows = phone.book.list("visit", &ListFilter::default(), None, 1_000).unwrap();
    let mut found: Vec<_> = rows.into_iter().map(|row| (row.id, phone.record(row.id).heads)).collect();
    found.sort();
    found
}

#[test]
fn a_phone_behind_nginx_advances_with_each_connection_of_a_line_that_dies_again_and_again() {
    let world = World::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let line = runtime.block_on(Proxy::start(world.nginx.address, Line::default())).unwrap();
    let (near, far) = (world.phone("duojie", world.nginx.address), world.phone("maxiuying", line.address()));
    let mut seed = 23;
    work(&near, &mut seed);
    near.sync();
    work(&far, &mut seed);

    // The connection that is open goes on with the new line, and dies like the others.
    line.set_line(Line { cut_each_after_bytes: CONNECTION_BYTES, ..Line::default() });
    let (begun, asked) = (line.counted(), world.nginx.requests().len());
    let listener = Watching { line: &line, moved: Mutex::new(Vec::new()) };
    let report = far.book.sync(&listener, &CancelFlag::default()).unwrap();
    let counted = line.counted().since(begun);
    println!("{counted:?}, {} breaks, moved {:?}", report.breaks, listener.moved.lock().unwrap());
    assert!(counted.cuts >= 4, "{counted:?}");
    assert_eq!((report.changes_sent, report.changes_received), (VISITS as u64, VISITS as u64), "{report:?}");
    let moved = listener.moved.lock().unwrap()[begun.connections as usize - 1..].to_vec();
    assert!(moved.windows(2).all(|pair| pair[0] < pair[1]), "a connection brought nothing: {moved:?}");
    let requests = world.nginx.requests().split_off(asked);
    println!("{:?}", requests.iter().map(|asked| (asked.bytes, asked.status)).collect::<Vec<_>>());
    let largest = requests.iter().map(|asked| asked.bytes).max().unwrap();
    assert!(largest <= EXCHANGE_UP_BYTES_MAX as u64 + AROUND_BYTES, "{largest} bytes in one exchange");

    near.sync();
    assert_eq!(visits(&far).len(), 2 * VISITS);
    assert_eq!(visits(&far), visits(&near));
    for phone in [&near, &far] {
        assert_eq!(phone.book.status().unwrap().store.outbox_changes, 0);
    }
    let verified = world.server.administer(&["verify"]).unwrap();
    assert!(!verified.contains("BAD"), "{verified}");
    sync_all(&[&near, &far]);
}

#[tokio::test]
async fn the_console_changes_things_from_behind_it() {
    let world = World::start();
    let arguments = ["user", "add", "李措毛", "--unit", "632323", "--role", "county", "--login", "licuomao"];
    let first = password(&world.server.administer(&arguments).unwrap()).unwrap();
    let site = format!("http://{}", world.nginx.plain);
    // Never used: the address is no https.
    let tls = Arc::unwrap_or_clone(tls_config(&[1; 32]).unwrap());
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
    let ask = |path: &str, body: String| {
        let request = client.post(format!("{site}/api/v1/{path}")).body(body);
        request.header("content-type", "application/json").header("origin", &site).header("x-fieldbook-console", "1")
    };
    let entered = ask("login", json!({ "login": "licuomao", "password": first }).to_string()).send().await.unwrap();
    assert_eq!(entered.status(), 200);
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let change = json!({ "old": first, "new": "一个足够长的新密码2026" }).to_string();
    let changed = ask("account/password", change).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(changed.status(), 204, "{}", changed.text().await.unwrap());
    let large = ask("forms/previews", "x".repeat(2 << 20)).header("cookie", &cookie).send().await.unwrap();
    assert_ne!(large.status(), 413, "nginx hands on what the server takes");
}

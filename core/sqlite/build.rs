//! Compiles SQLite3MultipleCiphers with ChaCha20 as its only strong cipher beside SQLCipher's (the way out).

/// Compile-time options of the library: name and value, `None` for a bare definition.
const OPTIONS: &[(&str, Option<&str>)] = &[
    ("SQLITE_CORE", None),
    ("SQLITE_USE_URI", Some("1")),
    ("HAVE_ISNAN", Some("1")),
    ("HAVE_LOCALTIME_R", Some("1")),
    ("HAVE_USLEEP", Some("1")),
    ("SQLITE_ENABLE_API_ARMOR", None),
    ("SQLITE_ENABLE_COLUMN_METADATA", None),
    ("SQLITE_ENABLE_DBSTAT_VTAB", None),
    ("SQLITE_ENABLE_FTS5", None),
    ("SQLITE_ENABLE_RTREE", None),
    ("SQLITE_ENABLE_STAT4", None),
    ("SQLITE_DEFAULT_FOREIGN_KEYS", Some("1")),
    ("SQLITE_THREADSAFE", Some("1")),
    ("SQLITE_TEMP_STORE", Some("3")),
    ("SQLITE_OMIT_LOAD_EXTENSION", Some("1")),
    ("SQLITE_DQS", Some("0")),
    ("CODEC_TYPE", Some("CODEC_TYPE_CHACHA20")),
    ("HAVE_CIPHER_AES_128_CBC", Some("0")),
    ("HAVE_CIPHER_AES_256_CBC", Some("0")),
    ("HAVE_CIPHER_RC4", Some("0")),
    ("HAVE_CIPHER_ASCON128", Some("0")),
    ("HAVE_CIPHER_AEGIS", Some("0")),
];

fn main() {
    let source = sqlite3mc_src::source_dir();
    let mut build = cc::Build::new();
    build.include(source).file(source.join(sqlite3mc_src::SOURCE_FILE)).warnings(false).opt_level(2);
    for (name, value) in OPTIONS {
        build.define(name, *value);
    }
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("aarch64") {
        build.flag("-march=armv8-a+crypto");
    }
    build.compile("sqlite3mc");
    println!("cargo:rerun-if-changed=build.rs");
}

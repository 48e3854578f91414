use std::io::Write;

use super::*;

#[test]
fn the_certificates_are_taken_out_of_the_address() {
    for (address, without, file) in [
        ("host=a user=b", "host=a user=b", None),
        ("host=a sslrootcert=/c.pem user=b", "host=a user=b", Some("/c.pem")),
        ("sslrootcert = /c.pem host=a", "host=a", Some("/c.pem")),
        ("host=a sslrootcert='/a folder/c.pem'", "host=a", Some("/a folder/c.pem")),
        ("host=a password=sslrootcert", "host=a password=sslrootcert", None),
        ("host=a password=xsslrootcert=1", "host=a password=xsslrootcert=1", None),
        ("postgres://b@a/d?sslrootcert=/c.pem", "postgres://b@a/d", Some("/c.pem")),
        ("postgres://b@a/d?sslrootcert=/c.pem&connect_timeout=5", "postgres://b@a/d?connect_timeout=5", Some("/c.pem")),
        ("postgres://b@a/d?connect_timeout=5&sslrootcert=/c.pem", "postgres://b@a/d?connect_timeout=5", Some("/c.pem")),
    ] {
        assert_eq!(without_roots(address), (without.to_owned(), file.map(PathBuf::from)), "{address}");
        without.parse::<Config>().unwrap();
    }
}

#[test]
fn what_leaves_the_machine_is_told_from_what_does_not() {
    for (address, crosses) in [
        ("host=/run/postgresql", false),
        ("host=localhost", false),
        ("host=127.0.0.1", false),
        ("host=::1", false),
        ("postgres://a@[::1]/d", false),
        ("host=10.0.0.7", true),
        ("host=db.county.example", true),
        ("host=localhost,db.county.example", true),
        ("host=db.county.example hostaddr=127.0.0.1", false),
        ("host=localhost hostaddr=10.0.0.7", true),
    ] {
        assert_eq!(crosses_a_network(&address.parse().unwrap()), crosses, "{address}");
    }
}

#[test]
fn nothing_leaves_the_machine_in_the_clear() {
    for address in ["host=192.0.2.1", "host=192.0.2.1 sslmode=disable", "host=192.0.2.1 sslmode=prefer"] {
        assert!(matches!(connect(address), Err(Error::InTheClear)), "{address}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let address = format!("host=192.0.2.1 sslrootcert={}", file.path().display());
    assert!(matches!(connect(&address), Err(Error::Roots { .. })), "an empty file");
    assert!(matches!(connect("host=192.0.2.1 sslrootcert=/no/such/file"), Err(Error::Roots { .. })));
}

/// `make postgres` gives a PostgreSQL that speaks TLS.
#[test]
fn the_database_must_show_a_certificate_that_descends_from_the_named_ones_and_is_for_its_host() {
    let Ok(address) = std::env::var("FIELDBOOK_TEST_POSTGRES_TLS") else { return };
    let mut client = connect(&address).unwrap();
    let sql = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = client.query_one(sql, &[]).unwrap();
    assert_eq!((row.get::<_, bool>(0), row.get::<_, String>(1).as_str()), (true, "TLSv1.3"));
    drop(client);

    assert!(connect(&address.replace("host=127.0.0.1", "host=localhost")).is_err(), "it is for the address");
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(other.cert.pem().as_bytes()).unwrap();
    let (address, _) = without_roots(&address);
    assert!(connect(&format!("{address} sslrootcert={}", file.path().display())).is_err(), "somebody else's");
}

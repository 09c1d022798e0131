//! Connections over TLS, and what is checked of the certificate of the server.

use std::net::TcpListener;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::server::TestServer;
use crate::store::log::Log;
use crate::store::log::conformance::{chunk, puts};
use crate::store::postgres::PostgresLog;

/// Writes `ca.pem`, another authority `other.pem`, and the certificate and key of a server named `localhost`.
fn write_certificates(dir: &Path) {
    let authority = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(dir.join(name), params.self_signed(&key).unwrap().pem()).unwrap();
        Issuer::new(params, key)
    };
    authority("other.pem");
    let issuer = authority("ca.pem");
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("server.crt"), own.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.join("server.key"), mode).unwrap();
}

#[test]
fn the_certificate_of_the_server_is_checked_as_the_url_says() {
    // Nothing else listens on the port until the server does.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = TestServer::set_up(|dir| {
        write_certificates(dir);
        let dir = dir.display();
        format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on \
             -c ssl_cert_file='{dir}/server.crt' -c ssl_key_file='{dir}/server.key'"
        )
    });
    let dir = server.socket_dir().display();
    let open = |host: &str, query: &str| {
        let url = format!("postgresql://cortado@{host}:{port}/postgres{query}");
        PostgresLog::create_if_missing(url.parse().unwrap(), Default::default())
    };
    let is_encrypted = || {
        server.execute_at(
            port,
            "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)
             where application_name = 'cortado'",
        )
    };
    let number = std::cell::Cell::new(0);
    for (host, query, encrypted) in [
        ("127.0.0.1", "?sslmode=disable".to_owned(), "f"),
        ("127.0.0.1", String::new(), "t"),
        ("127.0.0.1", "?sslmode=prefer".to_owned(), "t"),
        ("127.0.0.1", "?sslmode=require".to_owned(), "t"),
        ("127.0.0.1", format!("?sslmode=require&sslrootcert={dir}/ca.pem"), "t"),
        ("127.0.0.1", format!("?sslmode=verify-ca&sslrootcert={dir}/ca.pem"), "t"),
        ("localhost", format!("?sslmode=verify-full&sslrootcert={dir}/ca.pem"), "t"),
    ] {
        let log = open(host, &query).unwrap_or_else(|error| panic!("{host}{query}: {error}"));
        log.apply_alone(puts(&[(&chunk(number.get()), b"chunk")])).unwrap();
        number.set(number.get() + 1);
        // Sessions of the log before may not have ended yet.
        while is_encrypted() != [encrypted] {
            std::thread::yield_now();
        }
    }
    for (host, query, why) in [
        (
            "127.0.0.1",
            format!("?sslmode=verify-full&sslrootcert={dir}/ca.pem"),
            "not valid for name",
        ),
        (
            "localhost",
            format!("?sslmode=verify-full&sslrootcert={dir}/other.pem"),
            "invalid peer certificate",
        ),
        (
            "localhost",
            format!("?sslmode=verify-ca&sslrootcert={dir}/other.pem"),
            "invalid peer certificate",
        ),
    ] {
        let error = open(host, &query).err().expect(&query).to_string();
        assert!(error.contains(why), "{query}: {error}");
    }

    server.execute_at(port, "create role locked login password 's3cret'");
    for (password, why) in [("s3cret", "no store"), ("wr0ng", "password authentication failed")] {
        let query = "sslmode=require&channel_binding=require";
        let url = format!("postgresql://locked:{password}@127.0.0.1:{port}/template1?{query}");
        let error = PostgresLog::open(url.parse().unwrap()).err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}

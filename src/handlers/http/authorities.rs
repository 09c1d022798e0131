//! Certificate authorities in PEM files, for servers whose certificates no public authority has signed.

use std::path::Path;

use reqwest::Certificate;

use crate::job::causes;

/// Reads the certificate authorities in a PEM file.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub fn read_authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let shown = path.display();
    let unreadable =
        |why: String| format!("cannot read the certificate authorities in {shown}: {why}");
    let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(causes(&error)))?;
    if found.is_empty() {
        return Err(format!("there is no certificate in {shown}: a PEM file is expected"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::PathBuf;
    use std::sync::Arc;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use crate::handlers::http::{Http, HttpSettings, SystemAuthorities};
    use crate::handlers::testing::{context, result, retried, run};

    /// A server on loopback whose certificate a new authority has signed, and the certificate of that authority as PEM.
    async fn server() -> (SocketAddr, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let own = own.unwrap().signed_by(&key, &issuer).unwrap();
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![own.der().clone()], secret).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust the certificate ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = [0; 1_024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        });
        (address, authority)
    }

    #[tokio::test]
    async fn a_private_authority_is_trusted_if_it_is_listed() {
        use SystemAuthorities::{Ignored, Trusted};
        let dir = tempfile::tempdir().unwrap();
        let [(address, own), (_, other)] = [server().await, server().await];
        let file = |name: &str, pem: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let [own, other, both] = [
            file("own.pem", &own),
            file("other.pem", &other),
            file("both.pem", &format!("{other}\n{own}")),
        ];
        for (ca_files, system_authorities, is_trusted) in [
            (vec![], Trusted, false),
            (vec![], Ignored, false),
            (vec![&other], Trusted, false),
            (vec![&other], Ignored, false),
            (vec![&own], Trusted, true),
            (vec![&own], Ignored, true),
            (vec![&other, &own], Trusted, true),
            (vec![&both], Ignored, true),
        ] {
            let settings = HttpSettings {
                allow: vec![
                    "127.0.0.1/32".parse().unwrap(),
                    format!("localhost:{}", address.port()).parse().unwrap(),
                ],
                ca_files: ca_files.into_iter().cloned().collect(),
                system_authorities,
                ..HttpSettings::default()
            };
            let handler = Http::new(&settings).unwrap();
            // Both clients of the handler: for targets that it checks, and for sites that are allowed by name.
            for host in ["127.0.0.1", "localhost"] {
                let payload = json!({ "url": format!("https://{host}:{}/", address.port()) });
                let outcome = run(&handler, &context(&payload.to_string(), 1)).await;
                if is_trusted {
                    assert_eq!(result(outcome)["status"], 204, "{settings:?}");
                } else {
                    let (error, _) = retried(outcome);
                    assert!(error.contains("certificate"), "{settings:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let missing: PathBuf = dir.path().join("missing.pem");
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        for (path, why) in [(missing, "cannot read"), (empty, "no certificate in")] {
            let settings = HttpSettings { ca_files: vec![path.clone()], ..HttpSettings::default() };
            let refused = Http::new(&settings).err().unwrap().to_string();
            assert!(refused.contains(why) && refused.contains(path.to_str().unwrap()), "{refused}");
        }
    }
}

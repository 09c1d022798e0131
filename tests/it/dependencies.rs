//! What a program links that uses only the client library, or a server without some features.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::process::cargo;

const BOUND: Duration = Duration::from_secs(120);

/// The names of all crates that the library needs with these features.
async fn crates(features: &[&str]) -> Vec<String> {
    let mut cargo = cargo();
    cargo.args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none"]);
    let output = timeout(BOUND, cargo.args(features).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_client_needs_nothing_of_the_server() {
    let server = crates(&[]).await;
    let client = crates(&["--no-default-features", "--features", "client"]).await;
    for name in ["argon2", "askama", "axum", "clap", "jiff", "jsonschema", "openidconnect", "sled"]
    {
        assert!(server.iter().any(|it| it == name), "the server does not need {name}");
        assert!(!client.iter().any(|it| it == name), "the client needs {name}");
    }
    assert!(client.iter().any(|it| it == "tokio-tungstenite"), "{client:?}");
}

#[tokio::test]
async fn a_server_without_a_feature_needs_nothing_of_it() {
    let server = crates(&[]).await;
    let small = crates(&["--no-default-features", "--features", "server"]).await;
    for name in ["openidconnect", "p256", "rsa", "chrono", "tokio-postgres", "postgres-protocol"] {
        assert!(server.iter().any(|it| it == name), "the server does not need {name}");
        assert!(!small.iter().any(|it| it == name), "the server needs {name}");
    }
    assert!(small.iter().any(|it| it == "sled"), "{small:?}");
}

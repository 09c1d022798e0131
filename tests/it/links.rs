//! Share links with the real binary: over restarts, in the log, and from the command line.

use serde_json::{Value, json};

use crate::support::process::lasting_address;
use crate::support::{Dir, Server, within};

const TOKEN: &str = "token-0123456789abcdef";

/// Runs a command on a server, and returns what it prints.
async fn cli(server: &Server, line: &str) -> Result<String, String> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cortado"));
    let url = format!("http://{}", server.address);
    command.args(line.split(' ')).args(["--server", &url]).kill_on_drop(true);
    command.env("CORTADO_AUTH_TOKEN", TOKEN);
    let ended = within(line, command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if ended.status.success() { Ok(text(ended.stdout)) } else { Err(text(ended.stderr)) }
}

/// The status of a request without credentials.
async fn open(url: &str) -> u16 {
    let client = cortado::internal::cli::http_client().unwrap();
    let request = client.get(url).header("accept", "text/html");
    within(url, request.send()).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn links_survive_restarts_until_they_are_revoked_and_are_in_no_log() {
    let dir = Dir::new();
    let config = format!(
        "[auth]\ntoken = '{TOKEN}'\n[log]\nfilter = 'debug'\naccess = 'debug'\naccess_format = 'combined'\n"
    );
    let (address, config) = (lasting_address(), dir.config(&config));
    let start = async || Server::start_on(address, &dir.data(), &["--config", &config]).await;
    let server = start().await;
    let job = json!({"kind": "echo", "queue": "mail", "delay_ms": 3_600_000}).to_string();
    let submitted = cli(&server, "submit echo 1 --queue mail --delay 1h").await;
    let id = submitted.unwrap_or_else(|error| panic!("{error} {job}"));
    let id = id.trim().rsplit(' ').next().unwrap().to_owned();
    let of_job =
        cli(&server, &format!("link create --job {id} --expires-in 7d --hide-payload")).await;
    let of_job = of_job.unwrap().trim().to_owned();
    let of_queue = cli(&server, "link create --queue mail --json").await.unwrap();
    let of_queue: Value = serde_json::from_str(&of_queue).unwrap();
    let of_queue = of_queue["url"].as_str().unwrap();
    assert!(of_job.starts_with(&format!("http://{address}/shared/")), "{of_job}");
    for wrong in ["link create", "link create --job x", "link create --queue mail --hide-payload"] {
        assert!(cli(&server, wrong).await.is_err(), "{wrong}");
    }
    let refused = cli(&server, "link create --queue mail --expires-in 60d").await.unwrap_err();
    assert!(refused.contains("expires_in") && refused.contains("30 days"), "{refused}");
    let list = cli(&server, "link list").await.unwrap();
    for shown in [&of_job, of_queue, &format!("job {id}"), "queue mail", "token:environment"] {
        assert!(list.contains(shown), "{shown}: {list}");
    }
    assert_eq!((open(&of_job).await, open(of_queue).await), (200, 200));
    let mut logs = server.stop().await;

    let server = start().await;
    assert_eq!((open(&of_job).await, open(of_queue).await), (200, 200), "after a restart");
    assert_eq!(cli(&server, "link list").await.unwrap(), list);
    let (link, signature) = of_job.rsplit_once('/').unwrap().1.split_once('.').unwrap();
    let revoked = cli(&server, &format!("link revoke {link}")).await.unwrap();
    assert_eq!(revoked, format!("link {link} was revoked\n"));
    assert!(cli(&server, &format!("link revoke {link}")).await.is_err(), "it is gone");
    assert_eq!((open(&of_job).await, open(of_queue).await), (404, 200));
    logs.extend(server.stop().await);

    let server = start().await;
    assert_eq!((open(&of_job).await, open(of_queue).await), (404, 200), "after a restart");
    logs.extend(server.stop().await);
    let path = format!("/shared/{link}.(not shown)");
    assert!(logs.iter().any(|line| line.contains(&path)), "the access log has the request");
    let of_queue = of_queue.rsplit_once('.').unwrap().1;
    for line in &logs {
        assert!(
            !line.contains(signature) && !line.contains(of_queue),
            "a signature in the log: {line}"
        );
    }
}

//! `cortado user`, `cortado token` and `cortado session` with the real binary, on a running server, on the directory of
//! a stopped one, and on a database with and without running servers.

use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::nodes::Nodes;
use crate::support::{Dir, Server, within};

const PASSWORD: &str = "correct horse battery";

/// What a command has done.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs a command with this text on its standard input.
async fn run(args: &[&str], input: &str, token: Option<&str>) -> Ran {
    let token = token.map(|token| ("CORTADO_AUTH_TOKEN", token));
    run_with(args, input, token.as_slice()).await
}

/// Runs a command with this text on its standard input, and with these variables.
async fn run_with(args: &[&str], input: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cortado"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CORTADO_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.args(args).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may have ended already.
    let _unread = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let ended = within(&args.join(" "), child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: ended.status.code(), out: text(ended.stdout), err: text(ended.stderr) }
}

/// A server or a directory, and the token that its commands use.
struct Target<'a> {
    flags: [&'a str; 2],
    token: Option<&'a str>,
}

impl Target<'_> {
    async fn run(&self, line: &str, input: &str) -> Ran {
        let args: Vec<&str> = line.split(' ').chain(self.flags).collect();
        run(&args, input, self.token).await
    }

    /// Runs a command that must succeed, and returns its output.
    async fn ok(&self, line: &str, input: &str) -> String {
        let ran = self.run(line, input).await;
        assert_eq!(ran.code, Some(0), "{line}: {}", ran.err);
        assert!(!ran.out.contains(PASSWORD) && !ran.err.contains(PASSWORD), "{line}");
        ran.out
    }

    /// Runs a command that must fail with code 2.
    async fn refused(&self, line: &str, input: &str, says: &str) {
        let ran = self.run(line, input).await;
        assert_eq!(ran.code, Some(2), "{line}: {}", ran.out);
        assert!(ran.err.contains(says), "{line}: {}", ran.err);
        assert!(!ran.err.contains(input) || input.is_empty(), "{line}: {}", ran.err);
    }

    async fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(line, "").await).unwrap()
    }
}

/// Runs every command; both targets answer in the same way.
async fn exercise(target: &Target<'_>) -> String {
    target.refused("user add bert --role boss", "", "viewer, submitter").await;
    target.refused("user add bert --role viewer", "short\n", "at least 12 characters").await;
    target.refused("user add bert --role viewer", "", "the password is empty").await;
    let added = target.ok("user add bert --role viewer", &format!("{PASSWORD}\n")).await;
    assert_eq!(added, "user bert was added with the role viewer\n");
    target.refused("user add bert --role viewer", PASSWORD, "already a user").await;
    target.ok("user set-role bert operator", "").await;
    target.ok("user disable bert", "").await;
    let list = target.json("user list --json").await;
    let users = list["users"].as_array().unwrap();
    let bert = users.iter().find(|user| user["name"] == "bert").unwrap();
    assert_eq!((&bert["role"], &bert["disabled"]), (&"operator".into(), &true.into()));
    assert!(bert["created_at"].is_string() && bert["changed_at"].is_string(), "{bert}");
    assert!(bert.get("password").is_none(), "{bert}");
    target.ok("user enable bert", "").await;
    let generated = target.ok("user set-password bert --generate", "").await;
    let (_, generated) = generated.split_once("password: ").unwrap();
    assert!(generated.trim().len() >= 20, "{generated}");
    let table = target.ok("user list", "").await;
    let row = table.lines().find(|line| line.starts_with("bert")).unwrap();
    assert!(table.starts_with("NAME") && row.contains("operator  active"), "{table}");
    target.refused("user set-role carla viewer", "", "no such user").await;
    target.refused("user delete anna", "", "only user with the role admin").await;
    target.ok("user delete bert", "").await;

    let text =
        target.ok("token create ci --role submitter --expires 90d --queue mail --queue web", "");
    let text = text.await.trim().to_owned();
    assert!(text.starts_with("cortado_") && text.len() == 51, "{text}");
    target.refused("token create ci --role viewer", "", "already a token").await;
    let list = target.json("token list --json").await;
    assert!(!list.to_string().contains(&text), "the secret is shown once");
    let tokens = list["tokens"].as_array().unwrap();
    let ci = tokens.iter().find(|token| token["name"] == "ci").unwrap();
    assert_eq!(ci["queues"], serde_json::json!(["mail", "web"]));
    assert!(ci["kinds"].is_null() && ci["expires_at"].is_string(), "{ci}");
    let table = target.ok("token list", "").await;
    assert!(table.contains("queues mail,web"), "{table}");
    let other = target.json("token create tmp --role viewer --json").await;
    assert!(other["token"].as_str().unwrap().starts_with("cortado_"), "{other}");
    target.ok("token revoke tmp", "").await;
    target.refused("token revoke tmp", "", "there is no token tmp").await;
    target.refused("session revoke 0000", "", "no such session").await;
    assert!(target.json("session list --json").await["sessions"].is_array());
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_tokens_and_sessions_are_managed_on_a_running_server() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let url = format!("http://{}", server.address);
    let open = Target { flags: ["--server", &url], token: None };
    open.refused("user add anna --role viewer", PASSWORD, "first user must have the role admin")
        .await;
    open.ok("user add anna --role admin --password-file -", PASSWORD).await;
    // From now on, the server asks who its clients are.
    open.refused("user list", "", "(unauthorized)").await;
    let http = cortado::internal::cli::http_client().unwrap();
    let body = serde_json::json!({ "name": "root", "role": "admin" });
    let made = http.post(format!("{url}/api/v1/tokens")).basic_auth("anna", Some(PASSWORD));
    let made = made.json(&body).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    let token = made["token"].as_str();
    let admin = Target { flags: ["--server", &url], token };
    let ci = exercise(&admin).await;

    let submitter = Target { flags: ["--server", &url], token: Some(&ci) };
    submitter.refused("user list", "", "(forbidden)").await;

    // A session of a browser is listed and ends when it is revoked.
    let browser = crate::support::http::http_builder().redirect(reqwest::redirect::Policy::none());
    let browser = browser.no_proxy().build().unwrap();
    let form = format!("name=anna&password={}&next=", PASSWORD.replace(' ', "+"));
    let login = browser
        .post(format!("{url}/login"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("user-agent", "test\u{9b}31m")
        .body(form)
        .send()
        .await
        .unwrap();
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    let cookie = login.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let visit = || browser.get(format!("{url}/api/v1/stats")).header("cookie", cookie).send();
    assert_eq!(visit().await.unwrap().status(), StatusCode::OK);
    let sessions = admin.ok("session list --user anna", "").await;
    assert!(sessions.contains("user:anna") && !sessions.contains('\u{9b}'), "{sessions:?}");
    assert_eq!(admin.ok("session revoke --user anna", "").await, "1 session was revoked\n");
    assert_eq!(visit().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_locked_out_gets_in_again_with_the_directory_of_the_stopped_server() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let data = dir.data().to_str().unwrap().to_owned();
    let offline = Target { flags: ["--data-dir", &data], token: None };
    offline.refused("user list", "", "in use").await;
    server.stop().await;
    let nowhere = format!("{data}-none");
    let missing = Target { flags: ["--data-dir", &nowhere], token: None };
    missing.refused("user list", "", "there is no directory").await;
    assert!(!std::path::Path::new(&nowhere).exists(), "nothing is created");

    let file = dir.data().with_file_name("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let add = format!("user add anna --role admin --password-file {}", file.display());
    offline.ok(&add, "").await;
    exercise(&offline).await;
    let server = Server::start(&dir, &[]).await;
    let http = cortado::internal::cli::http_client().unwrap();
    let stats = || http.get(format!("http://{}/api/v1/stats", server.address));
    assert_eq!(stats().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let answer = stats().basic_auth("anna", Some(PASSWORD)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_locked_out_gets_in_again_with_the_database_while_its_nodes_go_on() {
    let cluster = Nodes::new(2).await;
    let url = cluster.postgres.url();
    let database = Target { flags: ["--store", &url], token: None };
    database.refused("user list", "", "there is no store in this database").await;
    let tables = "select count(*) from pg_namespace where nspname = 'cortado'";
    assert_eq!(cluster.postgres.sql_in(&url, tables).await, "0", "nothing is created");
    let (one, two) = (cluster.node(0).await, cluster.node(1).await);
    let waiting = serde_json::json!({ "kind": "sleep", "payload": { "ms": 60_000 } });
    let running = one.client.submit(&waiting).await;
    one.client.job_in(&running, "running").await;

    database.refused("user add anna --role viewer", PASSWORD, "must have the role admin").await;
    database.ok("user add anna --role admin", PASSWORD).await;
    exercise(&database).await;
    // Both nodes ask from now on who their clients are, and let the new admin in.
    let http = cortado::internal::cli::http_client().unwrap();
    for server in [&one, &two] {
        let stats = || http.get(format!("http://{}/api/v1/stats", server.address));
        assert_eq!(stats().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let answer = stats().basic_auth("anna", Some(PASSWORD)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let nodes = http.get(format!("http://{}/api/v1/nodes", server.address));
        let nodes = nodes.basic_auth("anna", Some(PASSWORD)).send().await.unwrap();
        let nodes: Value = nodes.json().await.unwrap();
        assert_eq!(nodes["nodes"].as_array().unwrap().len(), 2, "a command is no node: {nodes}");
        let job = http.get(format!("http://{}/api/v1/jobs/{running}", server.address));
        let job: Value =
            job.basic_auth("anna", Some(PASSWORD)).send().await.unwrap().json().await.unwrap();
        assert_eq!((&job["state"], &job["attempt"]), (&"running".into(), &1.into()), "{job}");
    }
    one.kill().await;
    two.kill().await;

    // The nodes have ended.
    let count = "select count(*) from cortado.chunk";
    let chunks = cluster.postgres.sql_in(&url, count).await;
    let list = database.json("user list --json").await;
    assert_eq!(list["users"][0]["name"], "anna", "{list}");
    assert_eq!(cluster.postgres.sql_in(&url, count).await, chunks, "a list writes nothing");
    database.ok("user set-password anna --generate", "").await;
    let two = cluster.node(1).await;
    let stats = http.get(format!("http://{}/api/v1/stats", two.address));
    let answer = stats.basic_auth("anna", Some(PASSWORD)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "the old password is refused");
    two.kill().await;

    // A store that was moved is named with its new place.
    let moved = "insert into cortado.meta (key, value) values ('moved_to', '/srv/jobs')";
    cluster.postgres.sql_in(&url, moved).await;
    database.refused("user list", "", "was moved to /srv/jobs").await;
    let both = Target { flags: ["--data-dir=x", "--store=postgres://db/jobs"], token: None };
    both.refused("user list", "", "works on either a directory or a database").await;
    let wrong = Target { flags: ["--store", "mysql://anna:s3cret@db/jobs"], token: None };
    wrong.refused("user list", "s3cret", "--store").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_a_database_can_come_from_the_environment() {
    let cluster = Nodes::new(1).await;
    let url = cluster.postgres.url();
    let node = cluster.node(0).await;
    // The server of the tests asks this role for its password.
    let role = "create role locked superuser login password 's3cret'";
    cluster.postgres.sql_in(&url, role).await;
    let url = url.replace("cortado@", "locked@");
    let args = ["user", "list", "--store", &url];
    let refused = run(&args, "", None).await;
    assert!(refused.code == Some(2) && refused.err.contains("password"), "{}", refused.err);
    let ran = run_with(&args, "", &[("PGPASSWORD", "s3cret")]).await;
    assert_eq!((ran.code, &*ran.out), (Some(0), "NAME  ROLE  STATUS  CREATED\n"), "{}", ran.err);
    node.stop().await;
}

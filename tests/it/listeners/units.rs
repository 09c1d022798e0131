//! The systemd units in docs/operations.md: their keys exist, their command line is accepted, and what they say fits the
//! server.

use std::collections::BTreeMap;

use clap::Parser as _;
use cortado::internal::config::{Cli, CliCommand};

use crate::support::Command;

/// Every unit of the document: its name, and its lines as `section.key` with their values.
fn units() -> BTreeMap<String, Vec<(String, String)>> {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let text = std::fs::read_to_string(document).unwrap();
    let blocks = text.split("```ini\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let units = blocks.map(|block| {
        let (name, lines) = block.split_once('\n').unwrap();
        let name = name.strip_prefix("# /etc/systemd/system/").unwrap().to_owned();
        let (mut section, mut settings) = ("", Vec::new());
        for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            } else {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
                settings.push((format!("{section}.{key}"), value.to_owned()));
            }
        }
        (name, settings)
    });
    units.collect()
}

#[test]
fn the_units_of_the_documentation_fit_the_server() {
    let units = units();
    let names: Vec<_> = units.keys().map(String::as_str).collect();
    assert_eq!(names, ["cortado.service", "cortado.socket"]);
    let known = [
        "Unit.Description",
        "Unit.Documentation",
        "Unit.Requires",
        "Unit.After",
        "Service.Type",
        "Service.ExecReload",
        "Service.ExecStart",
        "Service.Restart",
        "Service.User",
        "Service.DynamicUser",
        "Service.StateDirectory",
        "Service.RuntimeDirectory",
        "Service.EnvironmentFile",
        "Service.Environment",
        "Service.LoadCredential",
        "Service.TimeoutStartSec",
        "Service.TimeoutStopSec",
        "Service.WatchdogSec",
        "Service.LimitNOFILE",
        "Service.KillMode",
        "Service.NotifyAccess",
        "Socket.ListenStream",
        "Socket.Backlog",
        "Socket.FileDescriptorName",
        "Install.WantedBy",
    ];
    for (key, value) in units.values().flatten() {
        assert!(known.contains(&key.as_str()), "{key}={value}");
    }
    let service: BTreeMap<_, _> = units["cortado.service"].iter().cloned().collect();
    assert_eq!(service["Service.Type"], "notify");
    // The signal that restarts in place.
    assert_eq!(service["Service.ExecReload"], "/bin/kill -USR2 $MAINPID");
    let line = service["Service.ExecStart"].split_whitespace();
    let Ok(CliCommand::Serve(args)) = Cli::try_parse_from(line).map(Cli::into_command) else {
        panic!("{}", service["Service.ExecStart"]);
    };
    let directory = format!("/var/lib/{}", service["Service.StateDirectory"]);
    assert_eq!(args.data_dir.unwrap().to_str().unwrap(), directory);
    // The stop takes the grace period, and a few seconds for each of its steps.
    let grace = cortado::internal::config::FileConfig::default().stop.grace.as_secs();
    let stop: u64 = service["Service.TimeoutStopSec"].parse().unwrap();
    assert!(stop >= grace + 20, "{stop} s");
    let socket: BTreeMap<_, _> = units["cortado.socket"].iter().cloned().collect();
    assert_eq!(socket["Socket.Backlog"], "4096");
    assert!(
        socket["Socket.ListenStream"].parse::<std::net::SocketAddr>().unwrap().ip().is_loopback()
    );
}

#[tokio::test]
async fn systemd_finds_no_mistake_in_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let units = units();
    let paths: Vec<_> = units
        .iter()
        .map(|(name, settings)| {
            let (mut text, mut section) = (String::new(), "");
            for (key, value) in settings {
                let (of, key) = key.split_once('.').unwrap();
                if of != section {
                    text += &format!("[{of}]\n");
                    section = of;
                }
                // The program must exist.
                let value = value.replace("/usr/local/bin/cortado", env!("CARGO_BIN_EXE_cortado"));
                text += &format!("{key}={value}\n");
            }
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let installed = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| dir.join("systemd-analyze").is_file())
    });
    if !installed {
        return; // the test above checks what it can without systemd
    }
    let mut args = vec!["verify"];
    args.extend(paths.iter().map(String::as_str));
    let mut analyze = Command::of("systemd-analyze", &args);
    let status = analyze.exit().await;
    assert!(status.success() && analyze.err.so_far().is_empty(), "{:?}", analyze.err.so_far());
}

//! The systemd units in `docs/deploy`: their keys exist, their command line is accepted, and what they say fits the
//! server.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Parser as _;
use cortado::internal::config::{Cli, CliCommand};

use super::longest_stop;
use crate::support::Command;
use crate::tidy::read;

/// Keys of systemd that the units may use.
const KNOWN: [&str; 44] = [
    "Unit.Description",
    "Unit.Requires",
    "Unit.After",
    "Service.Type",
    "Service.ExecReload",
    "Service.ExecStart",
    "Service.Restart",
    "Service.User",
    "Service.Group",
    "Service.StateDirectory",
    "Service.StateDirectoryMode",
    "Service.EnvironmentFile",
    "Service.TimeoutStartSec",
    "Service.TimeoutStopSec",
    "Service.WatchdogSec",
    "Service.LimitNOFILE",
    "Service.CapabilityBoundingSet",
    "Service.LockPersonality",
    "Service.MemoryDenyWriteExecute",
    "Service.NoNewPrivileges",
    "Service.PrivateDevices",
    "Service.PrivateTmp",
    "Service.PrivateUsers",
    "Service.ProtectClock",
    "Service.ProtectControlGroups",
    "Service.ProtectHome",
    "Service.ProtectHostname",
    "Service.ProtectKernelLogs",
    "Service.ProtectKernelModules",
    "Service.ProtectKernelTunables",
    "Service.ProtectProc",
    "Service.ProtectSystem",
    "Service.RemoveIPC",
    "Service.RestrictAddressFamilies",
    "Service.RestrictNamespaces",
    "Service.RestrictRealtime",
    "Service.RestrictSUIDSGID",
    "Service.SystemCallArchitectures",
    "Service.SystemCallErrorNumber",
    "Service.SystemCallFilter",
    "Service.UMask",
    "Socket.ListenStream",
    "Socket.Backlog",
    "Install.WantedBy",
];

/// The units: each with its lines as `section.key` with their values.
fn units() -> BTreeMap<&'static str, Vec<(String, String)>> {
    let units = ["cortado.service", "cortado.socket"].map(|name| {
        let text = read(&format!("docs/deploy/{name}"));
        assert!(text.starts_with(&format!("# /etc/systemd/system/{name}\n")), "{text}");
        let (mut section, mut settings) = ("", Vec::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            } else {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
                settings.push((format!("{section}.{key}"), value.to_owned()));
            }
        }
        (name, settings)
    });
    units.into()
}

#[test]
fn the_units_of_the_documentation_fit_the_server() {
    let units = units();
    for (key, value) in units.values().flatten() {
        assert!(KNOWN.contains(&key.as_str()), "{key}={value}");
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
    let stop: u64 = service["Service.TimeoutStopSec"].parse().unwrap();
    assert!(stop >= longest_stop().as_secs(), "{stop} s");
    let socket: BTreeMap<_, _> = units["cortado.socket"].iter().cloned().collect();
    assert_eq!(socket["Socket.Backlog"], "4096");
    assert!(
        socket["Socket.ListenStream"].parse::<std::net::SocketAddr>().unwrap().ip().is_loopback()
    );
}

/// The units as files in a directory, with the program of this test, because systemd wants it to exist.
fn write_units(dir: &Path) -> Vec<String> {
    let paths = ["cortado.service", "cortado.socket"].map(|name| {
        let text = read(&format!("docs/deploy/{name}"));
        let path = dir.join(name);
        let program = env!("CARGO_BIN_EXE_cortado");
        std::fs::write(&path, text.replace("/usr/local/bin/cortado", program)).unwrap();
        path.to_str().unwrap().to_owned()
    });
    paths.into()
}

fn is_systemd_here() -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| dir.join("systemd-analyze").is_file())
    });
    if !found {
        println!("skipped: there is no systemd-analyze here");
    }
    found
}

#[tokio::test]
async fn systemd_finds_no_mistake_in_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let paths = write_units(dir.path());
    if !is_systemd_here() {
        return;
    }
    let mut args = vec!["verify"];
    args.extend(paths.iter().map(String::as_str));
    let mut analyze = Command::of("systemd-analyze", &args);
    let status = analyze.exit().await;
    assert!(status.success() && analyze.err.so_far().is_empty(), "{:?}", analyze.err.so_far());
}

/// The exposure, from 0 to 100, that systemd computes for a unit. Without a sandbox it is above 90.
const EXPOSURE: &str = "--threshold=15";

#[tokio::test]
async fn systemd_rates_the_sandbox_of_the_service_as_tight() {
    let dir = tempfile::tempdir().unwrap();
    let paths = write_units(dir.path());
    if !is_systemd_here() {
        return;
    }
    let args = ["security", "--offline=true", "--no-pager", EXPOSURE, &paths[0]];
    let mut analyze = Command::of("systemd-analyze", &args);
    let status = analyze.exit().await;
    let said = [analyze.out.so_far(), analyze.err.so_far()].concat().join("\n");
    if said.contains("unrecognized option") {
        return println!("skipped: this systemd cannot rate a file");
    }
    assert!(status.success() && said.contains("Overall exposure level"), "{said}");
}

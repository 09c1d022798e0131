//! The files in `docs/deploy`: what they say about paths, ports, users and times fits the program and the other files.

mod dockerfile;
mod image;
mod release;
mod units;
mod yaml;

use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use cortado::internal::config::variables::unknown;
use cortado::internal::config::{Cli, CliCommand, FileConfig, HealthArgs, ServeArgs};
use serde_json::Value;

use crate::support::{Command, Dir, Server, eventually};
use crate::tidy::read;
use dockerfile::LastStage;

/// How much longer than the grace period of jobs a stop may take: a few seconds for each of its steps.
const STEPS_OF_A_STOP: Duration = Duration::from_secs(20);

/// The time after which whoever stops the server may kill it.
fn longest_stop() -> Duration {
    FileConfig::default().stop.grace + STEPS_OF_A_STOP
}

fn serve_args(line: &[String]) -> ServeArgs {
    match Cli::try_parse_from(line).map(Cli::into_command) {
        Ok(CliCommand::Serve(args)) => args,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn health_args(line: &[String]) -> HealthArgs {
    match Cli::try_parse_from(line).map(Cli::into_command) {
        Ok(CliCommand::Health(args)) => args,
        other => panic!("{line:?}: {other:?}"),
    }
}

/// Reads a duration such as `60s` or `5m`.
fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = ["s", "m"].iter().zip([1, 60]).find(|(name, _)| **name == unit).unwrap().1;
    Duration::from_secs(number.parse::<u64>().unwrap() * seconds)
}

fn words(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// The name of the image with the version of this crate.
fn tag() -> String {
    format!("cortado:{}", env!("CARGO_PKG_VERSION"))
}

fn assert_known_variables(names: impl IntoIterator<Item = String>) {
    let names: Vec<String> = names.into_iter().collect();
    let unknown = unknown(names.iter().map(Into::into));
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_image_fits_the_program() {
    let text = read(dockerfile::PATH);
    let manifest = read("Cargo.toml");
    let field = |name: &str| {
        let (_, value) = manifest.split_once(&format!("\n{name} = \"")).unwrap();
        value.split('"').next().unwrap().to_owned()
    };
    assert!(text.contains(&format!("\nARG RUST_VERSION={}\n", field("rust-version"))));
    assert!(text.contains(&format!("--tag {} .\n", tag())));
    assert!(text.contains("cargo build --release --locked --bin cortado"));

    let stage = LastStage::read();
    assert_eq!(stage.only("FROM"), "scratch");
    assert!(stage.names().all(|name| name != "RUN" && name != "ADD"), "there is no shell");
    for (label, value) in stage.pairs("LABEL") {
        let name = label.strip_prefix("org.opencontainers.image.").unwrap();
        let expected = match name {
            "title" => field("name"),
            "licenses" => field("license"),
            "version" | "description" => field(name),
            _ => panic!("{label}"),
        };
        let is_same =
            if name == "description" { expected.starts_with(&value) } else { expected == value };
        assert!(is_same, "{label}={value}");
    }
    let (uid, gid) = stage.only("USER").split_once(':').unwrap();
    assert!(uid.parse::<u32>().unwrap() > 0 && gid.parse::<u32>().unwrap() > 0);
    let (volume, data) = (stage.only("VOLUME"), stage.variable("CORTADO_DATA_DIR"));
    assert_eq!(Path::new(&data).parent().unwrap(), Path::new(volume));
    let mut copies = stage.copies();
    let position = copies.iter().position(|copy| copy.to == volume).expect("the volume");
    assert_eq!(copies.remove(position).owner.as_deref(), Some(stage.only("USER")));
    assert!(copies.iter().all(|copy| copy.owner.is_none()), "the server cannot change its files");
    let program = copies.iter().find(|copy| copy.from.ends_with("/cortado")).unwrap();

    let line = [stage.list("ENTRYPOINT"), stage.list("CMD")].concat();
    assert_eq!(line[0], program.to);
    serve_args(&line);
    assert_known_variables(stage.pairs("ENV").into_iter().map(|(name, _)| name));
    let listen = stage.variable("CORTADO_LISTEN");
    assert_eq!(listen, format!("0.0.0.0:{}", stage.only("EXPOSE")));
    assert_eq!(stage.only("STOPSIGNAL"), "SIGTERM");
    let (flags, command) = stage.health_check();
    assert_eq!(command[0], program.to);
    let timeout = flags.iter().find(|(name, _)| name == "timeout").unwrap();
    assert!(duration(&timeout.1) > health_args(&command).timeout, "its own timeout comes first");
}

#[test]
fn the_image_is_built_from_everything_that_cargo_needs() {
    let wanted = read("docs/deploy/Dockerfile.dockerignore");
    let wanted: Vec<&str> = wanted.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let context = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = |path: &Path| {
        let to = context.path().join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(root.join(path), to).unwrap();
    };
    for pattern in &wanted {
        match pattern.split_once("/*.") {
            Some((dir, end)) => {
                for entry in std::fs::read_dir(root.join(dir)).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    if name.ends_with(&format!(".{end}")) {
                        copy(&Path::new(dir).join(name));
                    }
                }
            }
            None => copy(Path::new(pattern)),
        }
    }
    // Cargo finds the same targets in it. Without its file, an example may be left out or be an error.
    let targets = |dir: &Path| {
        let metadata = ["metadata", "--offline", "--locked", "--format-version", "1", "--no-deps"];
        let mut cargo = std::process::Command::new(env!("CARGO"));
        let output = cargo.args(metadata).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let targets = metadata["packages"][0]["targets"].as_array().unwrap();
        targets.iter().map(|target| target["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(targets(context.path()), targets(root));
    // Every file that the program includes is there.
    for (path, text) in crate::tidy::rust_files("src") {
        let code = text.split("#[cfg(test)]").next().unwrap();
        if path.contains("/tests") {
            continue;
        }
        for line in code.lines().filter(|line| line.contains("include_str!(\"../")) {
            let file = line.split("include_str!(\"").nth(1).unwrap().split('"').next().unwrap();
            let file = file.trim_start_matches("../");
            let top = file.split('/').next().unwrap();
            assert!(wanted.contains(&top), "{path} includes {file}");
        }
    }
}

#[test]
fn the_compose_file_fits_the_image() {
    let stage = LastStage::read();
    let [file] = &yaml::documents(&read("docs/deploy/compose.yaml"))[..] else { panic!() };
    let server = &file["services"]["cortado"];
    assert_eq!(server["image"], tag());
    let context = Path::new("docs/deploy").join(server["build"]["context"].as_str().unwrap());
    assert_eq!(context, Path::new("docs/deploy/../.."));
    assert_eq!(server["build"]["dockerfile"], dockerfile::PATH);
    let port = stage.only("EXPOSE");
    assert_eq!(words(&server["ports"]), [format!("127.0.0.1:{port}:{port}")]);
    let volume = stage.only("VOLUME");
    assert_eq!(words(&server["volumes"]), [format!("data:{volume}")]);
    assert!(file["volumes"].as_object().unwrap().contains_key("data"));
    let (flags, command) = stage.health_check();
    let check = &server["healthcheck"];
    assert_eq!(words(&check["test"]), [vec!["CMD".to_owned()], command].concat());
    for (flag, value) in flags {
        let same = match &check[flag.replace('-', "_")] {
            Value::Number(number) => number.to_string() == value,
            text => *text == value,
        };
        assert!(same, "--{flag}={value}: {check}");
    }
    for (name, service) in file["services"].as_object().unwrap() {
        let stop = duration(service["stop_grace_period"].as_str().unwrap());
        assert!(stop >= longest_stop(), "{name}: {stop:?}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(words(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        let variables = service["environment"].as_object().into_iter().flatten();
        assert_known_variables(variables.map(|(name, _)| name.clone()));
    }
    assert_eq!(server["ulimits"]["nofile"], 65_536);

    let worker = &file["services"]["worker"];
    assert_eq!(worker["environment"]["CORTADO_SERVER"], format!("http://cortado:{port}"));
    assert_eq!(worker["depends_on"]["cortado"]["condition"], "service_healthy");
    for mount in words(&worker["volumes"]) {
        let [from, to, mode] = mount.split(':').collect::<Vec<_>>()[..] else { panic!("{mount}") };
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy").join(from).exists());
        assert_eq!(mode, "ro");
        let used = [worker["command"].to_string(), worker["environment"].to_string()];
        assert!(used.iter().any(|used| used.contains(to)), "{mount}");
    }
}

#[test]
fn the_compose_file_of_several_nodes_fits_the_image_and_its_proxy() {
    let stage = LastStage::read();
    let [file] = &yaml::documents(&read("docs/deploy/compose.nodes.yaml"))[..] else { panic!() };
    let (port, volume) = (stage.only("EXPOSE"), stage.only("VOLUME"));
    let proxy = read("docs/deploy/nginx.nodes.conf");
    let database = &file["services"]["postgres"]["environment"];
    for node in ["node-1", "node-2"] {
        let server = &file["services"][node];
        assert_eq!(server["image"], tag());
        assert_eq!(words(&server["volumes"]), [format!("{node}:{volume}")]);
        assert_eq!(words(&server["healthcheck"]["test"])[1..], stage.health_check().1[..]);
        let stop = duration(server["stop_grace_period"].as_str().unwrap());
        assert!(stop >= longest_stop(), "{node}: {stop:?}");
        assert_eq!(server["read_only"], true, "{node}");
        assert_eq!(words(&server["cap_drop"]), ["ALL"], "{node}");
        let environment = &server["environment"];
        let names = environment.as_object().unwrap().keys();
        assert_known_variables(names.cloned());
        assert_eq!(environment["CORTADO_NODE"], node, "each node has a name of its own");
        let url = format!(
            "postgres://{}:{}@postgres/{}",
            database["POSTGRES_USER"].as_str().unwrap(),
            database["POSTGRES_PASSWORD"].as_str().unwrap(),
            database["POSTGRES_DB"].as_str().unwrap()
        );
        assert_eq!(environment["CORTADO_STORE"], url);
        assert!(proxy.contains(&format!("server {node}:{port} ")), "{proxy}");
        assert!(file["volumes"].as_object().unwrap().contains_key(node));
    }
    // Apart from TLS, it is the configuration that the browser tests run.
    let shown = read("docs/several-nodes.md");
    let location = |text: &str| {
        let from = text.find("    location / {").unwrap();
        text[from..from + text[from..].find("\n    }\n").unwrap()].to_owned()
    };
    assert_eq!(location(&proxy), location(&shown));
}

#[test]
fn the_kubernetes_manifest_fits_the_image() {
    let stage = LastStage::read();
    let documents = yaml::documents(&read("docs/deploy/kubernetes.yaml"));
    let [service, set] = &documents[..] else { panic!("a service and a stateful set") };
    assert_eq!((&service["kind"], &set["kind"]), (&"Service".into(), &"StatefulSet".into()));
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    assert_eq!(set["spec"]["replicas"], 1, "the store has one owner");
    assert_eq!(set["spec"]["updateStrategy"]["type"], "RollingUpdate");

    let pod = &set["spec"]["template"]["spec"];
    let stop = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap());
    assert!(stop >= longest_stop(), "{stop:?}");
    let user = pod["securityContext"].clone();
    assert_eq!(format!("{}:{}", user["runAsUser"], user["runAsGroup"]), stage.only("USER"));
    assert_eq!((&user["runAsNonRoot"], &user["fsGroup"]), (&true.into(), &user["runAsGroup"]));
    assert_eq!(user["seccompProfile"]["type"], "RuntimeDefault");

    let [container] = &pod["containers"].as_array().unwrap()[..] else { panic!("one container") };
    assert_eq!(container["image"], tag());
    let port = &container["ports"][0];
    assert_eq!(port["containerPort"].to_string(), stage.only("EXPOSE"));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
    assert_eq!(service["spec"]["ports"][0]["port"], port["containerPort"]);
    let mount = &container["volumeMounts"][0];
    assert_eq!(mount["mountPath"], stage.only("VOLUME"));
    assert_eq!(mount["name"], set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]);
    let context = &container["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(words(&context["capabilities"]["drop"]), ["ALL"]);

    let routes = read("src/http/access/routes.rs");
    for (probe, path) in
        [("startupProbe", "/healthz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")]
    {
        let get = &container[probe]["httpGet"];
        assert_eq!((&get["path"], &get["port"]), (&path.into(), &port["name"]), "{probe}");
        assert!(routes.contains(&format!("rule(\"GET\", \"{path}\", Everybody")), "{path}");
    }
}

#[tokio::test]
async fn a_yaml_parser_reads_the_files_as_these_tests_do() {
    let program = "import json, sys, yaml\n\
                   print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let mut available = Command::of("python3", &["-c", "import yaml"]);
    if !available.exit().await.success() {
        return println!("skipped: Python has no yaml here");
    }
    for name in ["compose.yaml", "compose.nodes.yaml", "kubernetes.yaml"] {
        let path = format!("{}/docs/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut parser = Command::of("python3", &["-c", program, &path]);
        assert!(parser.exit().await.success(), "{name}: {:?}", parser.err.so_far());
        let parsed: Vec<Value> = serde_json::from_str(&parser.out.so_far().join("\n")).unwrap();
        assert_eq!(parsed, yaml::documents(&read(&format!("docs/deploy/{name}"))), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worker_of_the_compose_file_runs_jobs() {
    let dir = Dir::new();
    let token = "0123456789abcdef";
    let config = dir.config(&format!("[auth]\ntoken = '{token}'"));
    let server = Server::start(&dir, &["--config", &config]).await;
    let root = env!("CARGO_MANIFEST_DIR");
    let url = format!("http://{}", server.address);
    // As PYTHONPATH does in the container; here it has the packages of other tests.
    let script = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2])";
    let paths = ["clients/python/src", "docs/deploy/worker.py"].map(|it| format!("{root}/{it}"));
    let args = ["-c", script, &paths[0], &paths[1]];
    let mut worker = Command::changed("python3", &args, |command| {
        command.env("CORTADO_SERVER", &url).env("CORTADO_AUTH_TOKEN", token);
    });
    let submit = ["submit", "resize", r#"{"width":640,"height":480}"#, "--wait"];
    let submitted = eventually("a worker that has declared the kind", || async {
        let mut submit = Command::changed(env!("CARGO_BIN_EXE_cortado"), &submit, |command| {
            command.env("CORTADO_SERVER", &url).env("CORTADO_AUTH_TOKEN", token);
        });
        submit.exit().await.success().then(|| submit.out.so_far())
    });
    assert_eq!(submitted.await, ["307200"]);
    worker.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(worker.exit().await.success(), "{:?}", worker.err.so_far());
    server.stop().await;
}

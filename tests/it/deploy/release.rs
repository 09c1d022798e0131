//! Releases: what the package for the registry has, and the release script with a compiler that only pretends to build.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Writes a program that prints its version to where a build puts it.
const CARGO: &str = r#"#!/bin/sh
[ "$*" = "build --release --locked --bin cortado --target x86_64-unknown-linux-musl" ] || exit 9
mkdir -p target/x86_64-unknown-linux-musl/release
printf '#!/bin/sh\necho cortado VERSION\n' >target/x86_64-unknown-linux-musl/release/cortado
chmod 755 target/x86_64-unknown-linux-musl/release/cortado
"#;

/// A repository with the files of a release.
struct Repository(TempDir);

impl Repository {
    fn new(version: &str, changelog: &str) -> Repository {
        let repository = Repository(tempfile::tempdir().unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in [
            "Cargo.toml",
            "README.md",
            "LICENSE-MIT",
            "LICENSE-APACHE",
            "docs/cortado.example.toml",
            "docs/deploy/cortado.service",
            "docs/deploy/cortado.socket",
            "docs/deploy/release.sh",
        ] {
            let to = repository.0.path().join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(root.join(file), to).unwrap();
        }
        repository.write("CHANGELOG.md", changelog);
        repository.write(".gitignore", "/target\n/bin\n");
        let cargo = repository.write("bin/cargo", &CARGO.replace("VERSION", version));
        std::fs::set_permissions(cargo, Permissions::from_mode(0o755)).unwrap();
        repository.git(&["init", "--quiet"]);
        repository.commit();
        repository
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn git(&self, args: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(args);
        git.env("GIT_COMMITTER_DATE", "2026-12-01T08:00:00Z").current_dir(self.0.path());
        assert!(git.status().unwrap().success(), "git {args:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "A commit"]);
    }

    fn release(&self) -> Output {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.0.path().join("bin").display());
        let mut script = Command::new(self.0.path().join("docs/deploy/release.sh"));
        script.arg(TARGET).env("PATH", path).env_remove("CARGO_TARGET_DIR");
        script.output().unwrap()
    }

    fn refusal(&self) -> String {
        let output = self.release();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_release_is_an_archive_with_a_checksum_that_only_depends_on_the_commit() {
    let version = env!("CARGO_PKG_VERSION");
    let repository = Repository::new(version, &format!("## [{version}] - 2026-12-01\n"));
    let checksums = || {
        let output = repository.release();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = checksums();
    let archives = repository.0.path().join("target/release-archives");
    let name = format!("cortado-{version}-{TARGET}");
    assert!(first.ends_with(&format!("  {name}.tar.gz\n")), "{first}");
    assert_eq!(std::fs::read_to_string(archives.join("SHA256SUMS")).unwrap(), first);
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&archives);
    assert!(check.status().unwrap().success());
    let mut list = Command::new("tar");
    list.args(["--list", "--verbose", "--full-time", "--file", &format!("{name}.tar.gz")]);
    list.env("TZ", "UTC").current_dir(&archives);
    let listed = String::from_utf8(list.output().unwrap().stdout).unwrap();
    for file in ["cortado", "LICENSE-MIT", "cortado.service", "cortado.example.toml"] {
        let line = listed.lines().find(|line| line.ends_with(&format!(" {name}/{file}")));
        let rights = if file == "cortado" { "-rwxr-xr-x 0/0" } else { "-rw-r--r-- 0/0" };
        assert!(line.is_some_and(|line| line.starts_with(rights)), "{file}: {listed}");
    }
    // The order and the times do not depend on the machine.
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next_back()).collect();
    assert!(names.is_sorted() && names.len() == 9, "{listed}");
    assert!(listed.lines().all(|line| line.contains(" 2026-12-01 08:00:00 ")), "{listed}");
    assert_eq!(checksums(), first);
}

#[test]
fn a_release_that_is_not_what_it_says_is_refused() {
    let version = env!("CARGO_PKG_VERSION");
    let entry = format!("## [{version}] - 2026-12-01\n");
    let refused = |repository: Repository, says: &str| {
        let why = repository.refusal();
        assert!(why.contains(says), "{why}");
    };
    refused(Repository::new(version, "## [Unreleased]\n"), "has no entry for");
    refused(Repository::new("9.9.9", &entry), "says cortado 9.9.9 instead of");
    let changed = Repository::new(version, &entry);
    changed.write("README.md", "changed");
    refused(changed, "the tree has changes");
}

/// What cargo prints about the manifest of this crate.
fn cargo(args: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_package_has_what_a_build_needs_and_neither_tests_nor_pictures() {
    let list = cargo(&["package", "--list", "--offline", "--allow-dirty"]);
    let files: Vec<&str> = list.lines().collect();
    for file in ["Cargo.lock", "src/main.rs", "static/app.css", "templates/layout.html"] {
        assert!(files.contains(&file), "{file}: {list}");
    }
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "docs/deploy/Dockerfile"] {
        assert!(files.contains(&file), "{file}: {list}");
    }
    let unwanted = ["tests/", ".ci/", ".git", "data/", "clients/", "test"];
    for file in files {
        assert!(!unwanted.iter().any(|start| file.starts_with(start)), "{file}");
        assert!(!file.ends_with(".png"), "{file}");
    }
}

#[test]
fn an_installation_has_one_program() {
    let text = cargo(&["metadata", "--offline", "--locked", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let package = &metadata["packages"][0];
    let default = package["features"]["default"].as_array().unwrap();
    let is_installed = |target: &&Value| {
        let needed = target["required-features"].as_array();
        let is_program = target["kind"].as_array().unwrap().contains(&"bin".into());
        is_program && needed.into_iter().flatten().all(|feature| default.contains(feature))
    };
    let targets = package["targets"].as_array().unwrap();
    let names: Vec<&Value> = targets.iter().filter(is_installed).map(|it| &it["name"]).collect();
    assert_eq!(names, ["cortado"]);
    for field in ["description", "license", "documentation", "readme"] {
        assert!(package[field].is_string(), "{field}");
    }
    for field in ["keywords", "categories"] {
        assert!((1..=5).contains(&package[field].as_array().unwrap().len()), "{field}");
    }
    assert!(package["publish"].is_null(), "it may be published");
}

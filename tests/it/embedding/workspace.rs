//! A workspace outside of this one, whose packages depend on the crate as programs of other people do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::support::process::cargo;
use crate::tidy::read;

/// Long enough for the library and its dependencies on a busy machine.
const BUILD: Duration = Duration::from_secs(1_500);

/// A workspace in a temporary directory, whose path has a space.
///
/// Its builds share the compiled dependencies of these tests. For that, the versions, features and profiles must be the
/// same: it has a copy of `Cargo.lock` and of the profiles, and each package depends on two packages that have no code and
/// the dependencies of this one.
pub struct Workspace {
    dir: TempDir,
    packages: Vec<String>,
}

/// What cargo says about a file that it has built.
#[derive(Deserialize)]
struct BuildMessage {
    target: Option<MessageTarget>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
}

/// The programs of a build, with their names.
pub struct Executables(Vec<(String, PathBuf)>);

impl Executables {
    pub fn of(&self, name: &str) -> &Path {
        let found = self.0.iter().find(|(of, _)| of == name);
        &found.unwrap_or_else(|| panic!("{name} was not built")).1
    }
}

impl Workspace {
    pub fn new() -> Workspace {
        let dir = tempfile::Builder::new().prefix("programs of others ").tempdir().unwrap();
        let manifest = read("Cargo.toml");
        let (package, profiles) = manifest.split_at(manifest.find("\n[profile.").unwrap());
        let members = "[workspace]\nmembers = [\"*\"]\nexclude = [\"work\"]\nresolver = \"3\"\n";
        fs::write(dir.path().join("Cargo.toml"), format!("{members}{profiles}")).unwrap();
        fs::write(dir.path().join("Cargo.lock"), read("Cargo.lock")).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        let this = Workspace { dir, packages: Vec::new() };
        let (features, dev) = package.split_at(package.find("\n[dev-dependencies]").unwrap());
        let features = &features[features.find("\n[features]").unwrap()..];
        let dev = dev.replacen("[dev-dependencies]", "[dependencies]", 1);
        for (name, text) in [("same-features", features), ("same-dev-features", &dev)] {
            this.write(name, "src/lib.rs", "");
            this.manifest(name, text);
        }
        this
    }

    /// A directory for the programs to run in.
    pub fn work_dir(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join("work").join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Writes a file of a package.
    pub fn write(&self, package: &str, file: &str, text: &str) {
        let path = self.dir.path().join(package).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds a package that depends on the crate with these features, and on what the pages say.
    pub fn add_package(&mut self, name: &str, features: &str) {
        let crate_path = serde_json::to_string(env!("CARGO_MANIFEST_DIR")).unwrap();
        let dependencies = format!(
            "[dependencies]\n\
             cortado = {{ path = {crate_path}, {features} }}\n\
             anyhow = \"1\"\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\n\
             serde_json = \"1\"\n\
             tokio = \"1\"\n\
             same-features = {{ path = \"../same-features\" }}\n\
             same-dev-features = {{ path = \"../same-dev-features\" }}\n\
             [lints.rust]\n\
             warnings = \"deny\"\n"
        );
        self.manifest(name, &dependencies);
        self.packages.push(name.to_owned());
    }

    fn manifest(&self, name: &str, rest: &str) {
        let package =
            format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n");
        self.write(name, "Cargo.toml", &format!("{package}publish = false\n{rest}"));
    }

    fn cargo(&self, command: &str, packages: &[&str]) -> tokio::process::Command {
        let mut cargo = cargo();
        let built = Path::new(env!("CARGO_BIN_EXE_cortado")).parent().unwrap();
        cargo.current_dir(self.dir.path()).args([command, "--quiet", "--offline"]);
        cargo.env("CARGO_TARGET_DIR", built.parent().unwrap());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        for package in packages {
            cargo.args(["--package", package]);
        }
        cargo
    }

    /// Builds these targets of packages, and panics if that fails.
    pub async fn build(&self, packages: &[&str], targets: &[&str]) -> Executables {
        let mut cargo = self.cargo("build", packages);
        cargo.args(targets).arg("--message-format=json-render-diagnostics").stderr(Stdio::piped());
        let built = tokio::time::timeout(BUILD, cargo.output()).await;
        let built = built.expect("the programs are not built in time").unwrap();
        let errors = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "the programs of the pages do not compile:\n{errors}");
        let lines = String::from_utf8(built.stdout).unwrap();
        let messages = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        let named = messages.filter_map(|it: BuildMessage| Some((it.target?.name, it.executable?)));
        Executables(named.collect())
    }

    /// Removes what was built of the packages. Their directory is another one each time, so nothing would reuse it.
    pub async fn clean(self) {
        let packages: Vec<&str> = self.packages.iter().map(String::as_str).collect();
        let cleaned = self.cargo("clean", &packages).status().await.unwrap();
        assert!(cleaned.success(), "cannot remove the programs");
    }
}

//! The settings of a builder. Each call adds a layer: what is called later overrides what was called before.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Builder, Environment};
use crate::app::access::MissingToken;
use crate::app::options::{QueueOptions, RetentionOptions};
use crate::config::{Config, SettingValue};

impl Builder {
    /// Sets a finished configuration, as `cortado serve` does, and lets the environment name the password of the first
    /// admin. Only the methods that have a place in it change it afterwards.
    #[doc(hidden)]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self.environment = Environment::Read;
        self
    }

    /// Reads settings from a TOML file at the start; docs/cortado.example.toml lists them all. Several files and texts can be
    /// given: each overrides what was set before it, and leaves the other settings as they are.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.file(path.into());
        self
    }

    /// Sets what a TOML text says, as [`Builder::config_file`] does with a file.
    ///
    /// ```
    /// let builder = cortado::Cortado::builder().config_text("[stop]\ngrace = '10s'");
    /// ```
    pub fn config_text(mut self, toml: impl Into<String>) -> Self {
        self.settings.text(toml.into());
        self
    }

    /// Sets one setting by its name in docs/cortado.example.toml. A name with other characters than letters, digits, `-`
    /// and `_` is in quotes: `queues."my queue".weight`. The start fails when the setting does not exist or the value is not
    /// acceptable; the error names the setting.
    ///
    /// ```
    /// let builder = cortado::Cortado::builder()
    ///     .set("stop.grace", "10s")
    ///     .set("http.max_connections", 2_000)
    ///     .set("http.trusted_proxies", ["10.0.0.0/8"]);
    /// ```
    pub fn set(mut self, name: &str, value: impl Into<SettingValue>) -> Self {
        self.settings.set(name, value.into());
        self
    }

    /// Reads the variables of the environment that `cortado serve` reads, such as `CORTADO_LISTEN`, `CORTADO_AUTH_TOKEN`,
    /// `CORTADO_ADMIN_PASSWORD` and `CORTADO_CONFIG`. They override everything that the program sets, because whoever runs
    /// the program sets them; only the file that `CORTADO_CONFIG` names is read where this method is called. Without this
    /// call, the server reads none of them.
    pub fn environment(mut self) -> Self {
        self.environment = Environment::Read;
        if let Some(path) = std::env::var_os("CORTADO_CONFIG") {
            self.settings.file(path.into());
        }
        self
    }

    /// Listens on this address; port 0 selects a free port. If other machines can reach the address, requests need
    /// credentials, and the first start creates a user: see [`Server::first_admin`](crate::Server::first_admin). The setting
    /// `listen` takes several addresses and Unix sockets. The default is 127.0.0.1:8080.
    pub fn listen(mut self, address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        self.changes.listen = Some(address);
        self.set("listen", address.to_string())
    }

    /// Requires credentials of every request, and accepts this token besides users and tokens of the store: at least 16
    /// visible ASCII characters. It may do everything. This is the setting `auth.token`.
    pub fn auth_token(mut self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.changes.token = Some(token.clone());
        self.set("auth.token", token)
    }

    /// Requires no credentials as long as there is neither a token nor a user, even if other machines can reach the
    /// address. Everybody who can reach it may then use all of it, so something in front of it must decide who that is.
    pub fn allow_without_token(mut self) -> Self {
        self.missing_token = MissingToken::Allowed;
        self
    }

    /// Stores the jobs in this directory, which is created if it does not exist. The default is `data`.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        self.settings.set("data_dir", dir.as_path().into());
        self.changes.data_dir = Some(dir);
        self
    }

    /// Starts paused, as `cortado serve --paused` does: no job starts and no schedule fires until the server is resumed, on
    /// its System page or with `cortado resume`.
    pub fn paused(mut self) -> Self {
        self.changes.paused = true;
        self.set("paused", true)
    }

    /// Sets how jobs of a queue run: the settings `queues.NAME`.
    ///
    /// ```
    /// use cortado::{Cortado, QueueOptions};
    ///
    /// let images = QueueOptions::new().concurrency(4).rate_limit("100/1m");
    /// let builder = Cortado::builder().queue("images", images);
    /// ```
    pub fn queue(mut self, name: &str, options: QueueOptions) -> Self {
        for (part, value) in options.into_settings() {
            self.settings.set_part(&["queues", name, part], value);
        }
        self
    }

    /// Sets how many attempts of one queue run at once in this process, unless the queue has a setting of its own:
    /// `engine.concurrency`, from 1 to 1,000,000. The default is 64.
    pub fn concurrency(self, attempts: usize) -> Self {
        self.set("engine.concurrency", attempts)
    }

    /// Sets how long an attempt may take when its job sets no timeout: `engine.timeout`. The default is 30 minutes.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set("engine.timeout", timeout)
    }

    /// Sets how many jobs may wait; further submissions are refused: `store.max_waiting`. The default is ten million.
    pub fn max_waiting(self, jobs: u64) -> Self {
        self.set("store.max_waiting", jobs)
    }

    /// Sets how long, and how many, finished jobs and events are kept: the settings `retention`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cortado::{Cortado, RetentionOptions};
    ///
    /// let week = Duration::from_secs(7 * 24 * 60 * 60);
    /// let builder = Cortado::builder().retention(RetentionOptions::new().completed(week, 500_000));
    /// ```
    pub fn retention(mut self, options: RetentionOptions) -> Self {
        for (part, name, value) in options.into_settings() {
            self.settings.set_part(&["retention", part, name], value);
        }
        self
    }

    /// Sets how long running jobs may continue when the server stops; then they are interrupted and given back:
    /// `stop.grace`. The default is 25 seconds.
    pub fn stop_grace(self, grace: Duration) -> Self {
        self.set("stop.grace", grace)
    }
}

//! Checks the database that several servers may share.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::InvalidSettings;
use crate::config::file::StoreSection;
use crate::config::parts::DatabaseSettings;
use crate::engine::EngineConfig;
use crate::job::WorkerName;
use crate::store::database::PostgresSettings;

/// How long a node may be silent before it is thought to have ended. It sends a heartbeat at least every second, and several
/// of them may be late.
const SILENCE: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3_600);
/// How long a statement or the opening of a connection may take. Less would refuse work whenever the disk is slow for a
/// moment; with more, a server that does not answer is never given up.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

impl InvalidSettings {
    /// The database, if there is one. Its node has the name of the machine unless something else is set, and its worker has
    /// the name of the node, so that each attempt tells where it runs.
    pub fn database(
        &mut self,
        section: &StoreSection,
        engine: &mut EngineConfig,
    ) -> Option<DatabaseSettings> {
        self.duration_in("store.node_silence", section.node_silence, SILENCE, "5s to 1h");
        for (key, timeout) in [
            ("store.statement_timeout", section.statement_timeout),
            ("store.connect_timeout", section.connect_timeout),
        ] {
            self.duration_in(key, timeout, TIMEOUT, "1s to 10m");
        }
        self.integer("store.read_connections", section.read_connections);
        let node = section.node.clone().unwrap_or_else(machine_name);
        let node = self.take("store.node", WorkerName::parse(&node));
        let Some(url) = section.url.clone() else {
            if section.projection {
                self.add("store.projection", "needs a PostgreSQL database (store.url)");
            }
            return None;
        };
        engine.projection = section.projection;
        self.take("store.url", url.expose().parse::<PostgresSettings>())?;
        let node = node?;
        if engine.worker == EngineConfig::default().worker {
            engine.worker = node.clone();
        }
        Some(DatabaseSettings {
            url,
            node,
            statement_timeout: section.statement_timeout,
            connect_timeout: section.connect_timeout,
            read_connections: section.read_connections,
        })
    }

    fn duration_in(
        &mut self,
        key: &str,
        found: Duration,
        accepted: RangeInclusive<Duration>,
        in_words: &str,
    ) {
        if !accepted.contains(&found) {
            self.add(key, format!("must be from {in_words}, but is {found:?}"));
        }
    }
}

/// The name of the machine, as far as it is a name for a node.
fn machine_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    if WorkerName::parse(&name).is_ok() { name } else { "local".to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError, FileConfig, ServeArgs};

    fn config(toml: &str, args: &ServeArgs) -> Result<Config, ConfigError> {
        Config::build(FileConfig::parse(toml).unwrap(), args)
    }

    #[test]
    fn jobs_are_in_a_directory_unless_a_database_is_named() {
        let node = ServeArgs { node: Some("web-1".into()), ..ServeArgs::default() };
        let without = config("", &node).unwrap();
        assert!(without.database.is_none());
        assert_eq!(without.engine.worker.as_str(), "local");
        let url = "[store]\nurl = 'postgres://cortado:s3cret@db/jobs'\n";
        let with = config(url, &node).unwrap();
        assert_eq!(with.database.as_ref().unwrap().node.as_str(), "web-1");
        assert_eq!(with.engine.worker.as_str(), "web-1");
        assert!(!format!("{with:?}").contains("s3cret"), "{with:?}");
        let own = config(&format!("{url}[engine]\nworker = 'mine'\n"), &node).unwrap();
        assert_eq!(own.engine.worker.as_str(), "mine");
        assert_eq!(own.limits.node_silence, std::time::Duration::from_secs(15));
        let named = config(&format!("{url}node = 'web-2'\n"), &ServeArgs::default()).unwrap();
        assert_eq!(named.database.unwrap().node.as_str(), "web-2");
        let unnamed = config(url, &ServeArgs::default()).unwrap();
        assert!(!unnamed.database.unwrap().node.as_str().is_empty(), "the name of the machine");
    }

    #[test]
    fn jobs_for_queries_need_a_database() {
        let url = "[store]\nurl = 'postgres://cortado:s3cret@db/jobs'\n";
        assert!(!config(url, &ServeArgs::default()).unwrap().engine.projection);
        let on = format!("{url}projection = true\n");
        assert!(config(&on, &ServeArgs::default()).unwrap().engine.projection);
        let error = config("[store]\nprojection = true\n", &ServeArgs::default()).unwrap_err();
        assert!(error.to_string().contains("needs a PostgreSQL database"), "{error}");
    }

    #[test]
    fn a_silence_that_is_too_short_or_too_long_is_refused() {
        let silence = |text: &str| {
            let toml = format!("[store]\nnode_silence = '{text}'\n");
            config(&toml, &ServeArgs::default()).map(|config| config.limits.node_silence)
        };
        assert_eq!(silence("30s").unwrap().as_secs(), 30);
        for wrong in ["4s", "0s", "2h"] {
            let error = silence(wrong).unwrap_err().to_string();
            assert!(error.contains("store.node_silence") && error.contains("5s to 1h"), "{error}");
        }
    }

    #[test]
    fn the_store_is_told_how_long_and_with_how_many_connections_it_may_read() {
        let url = "[store]\nurl = 'postgres://cortado@db/jobs'\n";
        let told = |more: &str| {
            let config = config(&format!("{url}{more}"), &ServeArgs::default())?;
            let told = config.database.unwrap().connections().unwrap();
            Ok::<_, ConfigError>((told.timeout, told.connect_timeout, told.readers))
        };
        let seconds = std::time::Duration::from_secs;
        assert_eq!(told("").unwrap(), (seconds(10), seconds(5), 4));
        let all = "statement_timeout = '30s'\nconnect_timeout = '2s'\nread_connections = 9\n";
        assert_eq!(told(all).unwrap(), (seconds(30), seconds(2), 9));
        for (wrong, accepted) in [
            ("statement_timeout = '0s'", "store.statement_timeout: must be from 1s to 10m"),
            ("statement_timeout = '11m'", "store.statement_timeout: must be from 1s to 10m"),
            ("connect_timeout = '900ms'", "store.connect_timeout: must be from 1s to 10m"),
            ("read_connections = 0", "store.read_connections: must be"),
            ("read_connections = 1001", "1000"),
        ] {
            let error = told(wrong).unwrap_err().to_string();
            assert!(error.contains(accepted), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_wrong_url_or_name_is_blamed_on_where_it_comes_from() {
        let args = ServeArgs {
            store: Some("mysql://anna:s3cret@db/jobs".into()),
            node: Some("a\nb".into()),
            ..ServeArgs::default()
        };
        let error = config("", &args).unwrap_err().to_string();
        for (key, source) in [
            ("store.url", "(set by --store or CORTADO_STORE)"),
            ("store.node", "(set by --node or CORTADO_NODE)"),
        ] {
            let line = error.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
            assert!(line.ends_with(source), "{line}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    }
}

//! The hosts of a URL, each in a configuration of its own. The driver limits only how long a host may take to accept a
//! connection; one that accepts it and then says nothing would use up the time of the others.

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};

/// A configuration for each host, in the order in which they are tried. One whose lists do not fit together is returned
/// as it is, and the driver says what is wrong with it.
pub fn each_host(config: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) =
        (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |len: usize| len == 0 || len == count;
    if count < 2
        || !fits(hosts.len())
        || !fits(addresses.len())
        || ports.len() > 1 && !fits(ports.len())
    {
        return vec![config.clone()];
    }
    let mut each: Vec<Config> = (0..count)
        .map(|n| {
            let mut one = without_hosts(config);
            match hosts.get(n) {
                Some(Host::Tcp(name)) => drop(one.host(name)),
                #[cfg(unix)]
                Some(Host::Unix(path)) => drop(one.host_path(path)),
                None => {}
            }
            if let Some(address) = addresses.get(n) {
                one.hostaddr(*address);
            }
            if let Some(port) = ports.get(n).or(ports.first()) {
                one.port(*port);
            }
            one
        })
        .collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        fastrand::shuffle(&mut each);
    }
    each
}

/// Everything but the hosts, their addresses and their ports.
fn without_hosts(config: &Config) -> Config {
    let mut other = Config::new();
    other
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    config.get_user().map(|user| other.user(user));
    config.get_password().map(|password| other.password(password));
    config.get_dbname().map(|name| other.dbname(name));
    config.get_options().map(|options| other.options(options));
    config.get_application_name().map(|name| other.application_name(name));
    config.get_connect_timeout().map(|limit| other.connect_timeout(*limit));
    config.get_tcp_user_timeout().map(|limit| other.tcp_user_timeout(*limit));
    config.get_keepalives_interval().map(|interval| other.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| other.keepalives_retries(retries));
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Config {
        url.parse().unwrap()
    }

    #[test]
    fn each_host_has_its_port_and_everything_else() {
        let rest = "user=u password=p dbname=d options='-c a=b' application_name=n sslmode=require \
                    connect_timeout=3 keepalives_idle=7 target_session_attrs=read-write";
        for (hosts, each) in [
            ("host=a,b port=1,2", ["host=a port=1", "host=b port=2"]),
            ("host=a,/s port=5", ["host=a port=5", "host=/s port=5"]),
            ("host=a,b", ["host=a", "host=b"]),
            ("hostaddr=1.1.1.1,2.2.2.2", ["hostaddr=1.1.1.1", "hostaddr=2.2.2.2"]),
            (
                "host=a,b hostaddr=1.1.1.1,2.2.2.2",
                ["host=a hostaddr=1.1.1.1", "host=b hostaddr=2.2.2.2"],
            ),
        ] {
            let split = each_host(&config(&format!("{hosts} {rest}")));
            assert_eq!(split, each.map(|one| config(&format!("{one} {rest}"))), "{hosts}");
        }
    }

    #[test]
    fn lists_that_do_not_fit_together_are_left_to_the_driver() {
        for url in ["host=a", "host=a,b port=1,2,3", "host=a,b hostaddr=1.1.1.1", ""] {
            assert_eq!(each_host(&config(url)), [config(url)], "{url}");
        }
    }

    #[test]
    fn hosts_that_share_the_load_are_tried_in_any_order() {
        let balanced = config("host=a,b load_balance_hosts=random");
        let first = |_| each_host(&balanced)[0].get_hosts()[0].clone();
        let tried: Vec<Host> = (0..200).map(first).collect();
        for host in ["a", "b"] {
            assert!(tried.contains(&Host::Tcp(host.to_owned())), "{host}");
        }
    }
}

//! Several servers on one PostgreSQL database, each of which reaches it through a proxy of the test: they and the database
//! are killed at random, many clients write and read through all of them, and subscribers change from one to another.

mod crash;
mod cursors;
mod leases;
mod load;
mod order;
mod subscriber;
mod transcript;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::postgres::Postgres;
use crate::support::process::{borrowed, lasting_address};
use crate::support::proxy::{Proxy, Target};
use crate::support::{Client, Command, Dir, Server, eventually};

/// Servers that share a database. Dropping it drops the database and the connections to it.
pub struct Cluster {
    pub nodes: Vec<Arc<Node>>,
    pub database: Postgres,
}

/// A server of a cluster, which may be running or not.
pub struct Node {
    pub address: SocketAddr,
    pub client: Client,
    /// What it reaches the database through.
    pub link: Proxy,
    dir: Dir,
    args: Vec<String>,
}

impl Cluster {
    /// Starts the database. No server is running yet.
    pub async fn new(nodes: usize, config: &str) -> Cluster {
        let database = Postgres::start().await;
        let mut all = Vec::new();
        for number in 0..nodes {
            let link = Proxy::start(Target::Socket(database.socket())).await;
            all.push(Arc::new(Node::new(number, link, config)));
        }
        Cluster { nodes: all, database }
    }

    /// Starts all servers.
    pub async fn start(&self) -> Vec<Server> {
        let mut servers = Vec::new();
        for node in &self.nodes {
            servers.push(node.start().await);
        }
        servers
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }
}

impl Node {
    fn new(number: usize, link: Proxy, config: &str) -> Node {
        let (dir, address) = (Dir::new(), lasting_address());
        let config = dir.config(config);
        let url = format!("postgresql://cortado@{}/postgres?sslmode=disable", link.address);
        let name = format!("server-{number}");
        let args = ["--log", "warn", "--grace", "1s", "--store", &url, "--node", &name];
        let args = args.into_iter().chain(["--config", &config]).map(str::to_owned).collect();
        Node { address, client: Client::new(address), link, dir, args }
    }

    /// Starts its process and waits until it listens. A process that ends, because it cannot reach the database, is started
    /// again.
    pub async fn start(&self) -> Server {
        eventually("a node that listens", || async {
            let process = Server::launch(self.address, &self.dir.data(), &borrowed(&self.args));
            match Server::unless_ended(process).await {
                Ok(server) => Some(server),
                Err(mut process) => {
                    process.exit().await;
                    assert_no_fault(&process);
                    None
                }
            }
        })
        .await
    }
}

/// Asserts that a server has neither panicked nor found its store damaged.
pub fn assert_no_fault(process: &Command) {
    let lines = process.err.so_far();
    let is_fault = |line: &&String| {
        ["panicked", "damaged", "lost commits", "cannot be read"].iter().any(|it| line.contains(it))
    };
    let fault = lines.iter().find(is_fault);
    assert!(fault.is_none(), "{fault:?} in\n{}", lines.join("\n"));
}

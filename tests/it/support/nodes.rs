//! Servers that share a database, each with a directory and a name of its own.

use super::postgres::Postgres;
use super::{Dir, Server};

pub struct Nodes {
    pub postgres: Postgres,
    pub dirs: Vec<Dir>,
}

impl Nodes {
    /// Starts the database. No server is running yet.
    pub async fn new(nodes: usize) -> Nodes {
        let dirs = (0..nodes).map(|_| Dir::new()).collect();
        Nodes { postgres: Postgres::start().await, dirs }
    }

    /// Starts a server, with these further arguments.
    pub async fn node_with(&self, number: usize, more: &[&str]) -> Server {
        let (url, name) = (self.postgres.url(), format!("node-{number}"));
        let args = [&["--store", &url, "--node", &name], more].concat();
        Server::start(&self.dirs[number], &args).await
    }

    /// Starts a server.
    pub async fn node(&self, number: usize) -> Server {
        self.node_with(number, &[]).await
    }
}

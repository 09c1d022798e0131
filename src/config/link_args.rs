//! The arguments of `cortado link`, which works on a running server.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::client_args::ClientArgs;
use crate::job::{JobId, LinkId, QueueName};
use crate::units::parse_duration;

/// What to do with share links.
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// The command.
    #[command(subcommand)]
    pub command: LinkCommand,
}

/// The commands about share links.
#[derive(Debug, Clone, Subcommand)]
pub enum LinkCommand {
    /// Create a link that shows one job or one queue without a login, and print its address
    #[command(group = clap::ArgGroup::new("subject").required(true).args(["job", "queue"]))]
    Create {
        /// Show this job
        #[arg(long, value_name = "ID")]
        job: Option<JobId>,
        /// Show this queue: its numbers, and the ids, kinds and states of its newest jobs
        #[arg(long, value_name = "NAME")]
        queue: Option<QueueName>,
        /// Expire after this time, such as 1h or 7d
        #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = parse_duration)]
        expires_in: Duration,
        /// Do not show the payload of the job
        #[arg(long, conflicts_with = "queue")]
        hide_payload: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// List the links that have not ended, with their addresses
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Revoke a link, which opens nothing from then on
    Revoke {
        /// Id of the link, which is also the part of its address before the dot
        #[arg(value_name = "ID")]
        id: LinkId,
        /// The server.
        #[command(flatten)]
        client: ClientArgs,
    },
}

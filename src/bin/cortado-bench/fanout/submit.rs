//! Jobs at a steady pace, each with the moment of its submission as a tag.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::{sleep, sleep_until};

use super::wire::stamp;
use crate::figures::Latencies;
use crate::http::{Client, get, post};

/// One connection that submits.
pub struct Submitter {
    client: Client,
    address: String,
}

/// What the jobs of a steady stream do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// They wait for an hour: one event per job.
    Waiting,
    /// They run at once: three events per job.
    Running,
}

impl Sort {
    /// The number of events of such a job.
    pub fn events(self) -> usize {
        match self {
            Sort::Waiting => 1,
            Sort::Running => 3,
        }
    }

    fn job(self, more: &str) -> String {
        let stamp = stamp();
        let delay = match self {
            Sort::Waiting => r#","delay_ms":3600000"#,
            Sort::Running => "",
        };
        format!(r#"{{"kind":"echo","tags":["{stamp}"{more}]{delay}}}"#)
    }
}

impl Submitter {
    pub async fn connect(address: &str) -> anyhow::Result<Submitter> {
        Ok(Submitter { client: Client::connect(address).await?, address: address.to_owned() })
    }

    /// Submits one job after the other, with a pause between them. Returns the response times.
    pub async fn singles(&mut self, count: usize, pause: Duration) -> anyhow::Result<Latencies> {
        let mut acks = Latencies::default();
        for _ in 0..count {
            sleep(pause).await;
            let begun = Instant::now();
            self.submit(&Sort::Waiting.job("")).await?;
            acks.add(begun.elapsed());
        }
        Ok(acks)
    }

    /// Submits this many jobs per second, one by one, for a while. Returns the response times.
    pub async fn steady(
        &mut self,
        sort: Sort,
        per_second: f64,
        seconds: f64,
    ) -> anyhow::Result<Latencies> {
        self.padded(sort, "", per_second, seconds).await
    }

    /// Does the same with more tags.
    pub async fn padded(
        &mut self,
        sort: Sort,
        more: &str,
        per_second: f64,
        seconds: f64,
    ) -> anyhow::Result<Latencies> {
        let (begun, count) = (tokio::time::Instant::now(), (per_second * seconds) as u32);
        let mut acks = Latencies::default();
        for n in 0..count {
            sleep_until(begun + Duration::from_secs_f64(f64::from(n) / per_second)).await;
            let sent = Instant::now();
            self.submit(&sort.job(more)).await?;
            acks.add(sent.elapsed());
        }
        Ok(acks)
    }

    /// Submits one job, or an array of them, as JSON.
    pub async fn submit(&mut self, body: &str) -> anyhow::Result<()> {
        let request = post(&self.address, body);
        self.client.ask(&request, 202).await.map(|_| ())
    }

    /// The counters of the server.
    pub async fn stats(&mut self) -> anyhow::Result<Value> {
        let request = get(&self.address, "/api/v1/stats");
        Ok(serde_json::from_str(&self.client.ask(&request, 200).await?)?)
    }

    /// The number of the newest event.
    pub async fn head(&mut self) -> anyhow::Result<u64> {
        let stats = self.stats().await?;
        let cursor = stats["cursor"].as_str().unwrap_or_default();
        Ok(cursor.rsplit(':').next().unwrap_or_default().parse()?)
    }

    /// The position of the log's end.
    pub async fn cursor(&mut self) -> anyhow::Result<String> {
        Ok(self.stats().await?["cursor"].as_str().unwrap_or_default().to_owned())
    }
}

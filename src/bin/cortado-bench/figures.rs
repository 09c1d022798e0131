//! Numbers for people: medians, percentiles, memory, and a table that prints as it grows.

use std::time::Duration;

/// A table of figures.
pub struct Table {
    title: &'static str,
    rows: Vec<(String, String)>,
}

impl Table {
    pub fn new(title: &'static str) -> Table {
        Table { title, rows: Vec::new() }
    }

    /// Adds a row, and prints it to standard error at once, because some rows take a minute to measure.
    pub fn row(&mut self, name: impl Into<String>, figure: impl Into<String>) {
        let (name, figure) = (name.into(), figure.into());
        eprintln!("  {name}: {figure}");
        self.rows.push((name, figure));
    }

    /// Prints the table as Markdown.
    pub fn print(&self) {
        println!("\n| {} | figure |\n|---|---|", self.title);
        for (name, figure) in &self.rows {
            println!("| {name} | {figure} |");
        }
    }
}

/// The median of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The latencies of one run.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, one: Duration) {
        self.0.push(one);
    }

    pub fn append(&mut self, mut other: Latencies) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency below which `share` of all stay, in milliseconds.
    pub fn at(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let place = ((self.0.len() as f64 * share) as usize).min(self.0.len().saturating_sub(1));
        self.0.get(place).map_or(f64::NAN, |one| one.as_secs_f64() * 1e3)
    }

    /// The median and the 99th percentile, as text.
    pub fn words(&mut self) -> String {
        if self.0.is_empty() {
            return "none came in that time".into();
        }
        format!("p50 {:.2} ms, p99 {:.2} ms", self.at(0.5), self.at(0.99))
    }
}

/// How many happened per second.
pub fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// A rate as text: `123,000/s`.
pub fn per_second(rate: f64) -> String {
    let rounded = if rate >= 1_000.0 { (rate / 100.0).round() * 100.0 } else { rate.round() };
    let digits = format!("{rounded:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + "/s"
}

/// The resident memory of a process, in bytes.
pub fn rss(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most resident memory a process ever had, in bytes.
pub fn peak_rss(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0 kB");
    let kilobytes = line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}

pub fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
}

/// Bytes of all files under a directory.
pub fn disk(dir: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The number of cores and the model of the processor, printed with the figures.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(':').nth(1)).unwrap_or("unknown").trim();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {model}")
}

/// The value below which `share` of the sorted values stay; zero when there are none.
pub fn at(sorted: &[u32], share: f64) -> u32 {
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

/// Processor time that a process has used so far, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    ticks_of(pid, 2) as f64 / 100.0
}

/// The first of the fields of a process that say how much processor time it has used, added up, in ticks of a hundredth
/// of a second: user and system time, and those of its children that have ended.
pub fn ticks_of(pid: u32, fields: usize) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold spaces; the times are the 12th field behind it and those that follow.
    let all = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    all.skip(11).take(fields).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Kernel memory of all TCP sockets of this machine, in bytes.
pub fn tcp_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem").skip(1);
    words.next().and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4_096
}

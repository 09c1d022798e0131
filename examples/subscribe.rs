//! Prints every event as a line of JSON and resumes after the cursor that it keeps in a file:
//! `cargo run --example subscribe -- http://127.0.0.1:8080 cursor.txt 'type=job.*'`

use std::{fs, time::Duration};

use futures_util::StreamExt;
use serde_json::Value;
use tokio_tungstenite::{connect_async, tungstenite::Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let arg = |at: usize, or: &str| args.get(at).map_or(or, String::as_str).to_owned();
    let base = arg(1, "http://127.0.0.1:8080").replacen("http", "ws", 1);
    let (file, query) = (arg(2, "cursor.txt"), arg(3, ""));
    let mut cursor = fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
    loop {
        match connect_async(format!("{base}/api/v1/ws?{query}&after={cursor}")).await {
            Err(error) => eprintln!("{error}"),
            Ok((mut socket, _)) => {
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else { continue };
                    let message: Value = serde_json::from_str(&text)?;
                    let events = message["events"].as_array().into_iter().flatten();
                    events.for_each(|event| println!("{event}"));
                    if message["type"] == "gap" {
                        eprintln!("gap: fetch a fresh list {message}");
                    }
                    if let Some(place) = message["cursor"].as_str().or(message["to"].as_str()) {
                        cursor = place.to_owned();
                        let new = format!("{file}.new"); // a kill in between leaves the older cursor whole
                        fs::write(&new, &cursor).and_then(|()| fs::rename(&new, &file))?;
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..2_000))).await; // not all at once
    }
}

//! The example of the library: it compiles, runs, and prints what the README shows.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::process::cargo_example;

const BUILD_AND_RUN: Duration = Duration::from_secs(600);

#[tokio::test]
async fn the_example_runs_its_own_handler_and_stops_in_order() {
    let mut command = cargo_example("run", "embedded");
    // Cargo may have to build the example first.
    let output = timeout(BUILD_AND_RUN, command.output()).await.unwrap().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let lines: Vec<&str> = out.lines().collect();
    let [first, second, third] = lines[..] else { panic!("three lines were expected: {out}") };
    assert!(first.starts_with("the dashboard is at http://127.0.0.1:"), "{first}");
    assert!(second.ends_with(" is completed: 307200 pixels"), "{second}");
    assert_eq!(third, "stopped, clean: true");
}

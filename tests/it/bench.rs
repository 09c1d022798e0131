//! The load generator works: it runs once with small sizes. The published figures come from the large ones. These tests
//! need the feature `bench`, without which cargo does not build the program; `./test` sets it.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::{Command, tools};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cortado-bench");
/// On a busy machine, a benchmark takes longer than one wait of the other tests may.
const BOUND: Duration = Duration::from_secs(300);

#[tokio::test]
async fn the_figures_of_the_stream_can_be_taken() {
    let mut bench = Command::of(PROGRAM, &["fanout", "--quick"]);
    let last = bench.err.line_with("back after a restart");
    let last = timeout(BOUND, last).await.expect("the last figure");
    assert!(last.is_some(), "{:?}", bench.err.so_far());
    let status = bench.exit().await;
    let printed = bench.out.so_far();
    assert!(status.success(), "{printed:?}");
    let row = |name: &str| {
        let found = printed.iter().find(|line| line.contains(name));
        found.unwrap_or_else(|| panic!("no {name}: {printed:?}")).clone()
    };
    assert!(row("stop with 60 WebSockets").contains("100.0 % close frames, 0 resets"));
    assert!(row("take nothing").contains("nothing lost"));
    for figure in [
        "idle subscribers",
        "one event to 60",
        "committer's processor time",
        "dead peers",
        "back after a restart",
    ] {
        row(figure);
    }
    let broken = printed.iter().find(|line| line.contains("NaN"));
    assert!(broken.is_none(), "{broken:?}");
}

#[tokio::test]
async fn the_figures_of_workers_can_be_taken() {
    tools::assert_there();
    let args = ["workers", "--quick", "--passes", "1"];
    let mut bench = Command::of(PROGRAM, &args);
    let last = bench.err.line_with("60 claims that wait for jobs");
    let last = timeout(BOUND, last).await.expect("the last figure");
    assert!(last.is_some(), "{:?}", bench.err.so_far());
    assert!(bench.exit().await.success());
    let printed = bench.out.so_far().join("\n");
    for figure in [
        "in-process",
        "Rust over websocket",
        "Rust over http",
        "Node over websocket",
        "Python over http",
        "start in a Rust worker over websocket",
        "request to cancel",
        "60 idle workers on WebSockets",
    ] {
        assert!(printed.contains(figure), "no {figure}: {printed}");
    }
    assert!(!printed.contains("NaN") && !printed.contains("none came"), "{printed}");
}

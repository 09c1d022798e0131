//! The load generator works: it runs once with small sizes. The published figures come from the large ones.

use crate::support::{Command, within};

#[tokio::test]
async fn the_figures_of_the_stream_can_be_taken() {
    let mut bench = Command::of(env!("CARGO_BIN_EXE_cortado-bench"), &["fanout", "--quick"]);
    let status = within("the end of the benchmark", async { bench.exit().await }).await;
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

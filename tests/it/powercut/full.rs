//! A disk that becomes full during a start or `verify`: once it has space again, the next start finds everything.

use super::*;

fn fault(full: usize) -> Option<(&'static str, String)> {
    Some(("CORTADO_RECORD_FULL", full.to_string()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_at_any_operation_of_a_start_or_a_verify_damages_nothing() {
    let mut recording =
        Recording { recorder: Recorder::new(), facts: Vec::new(), parts: Vec::new() };
    let server = recording.server("first start", "data").await;
    recording.submit(&server, 5).await;
    server.kill().await;
    let recorder = &recording.recorder;
    let data = recorder.base().join("data");
    let known = recording.known_at(usize::MAX);

    let before = recorder.length();
    let mut server = recorder.serve("data", None);
    assert!(within("a server that listens", server.out.line_with("listening on")).await.is_some());
    server.signal(Signal::SIGKILL);
    server.exit().await;
    let log = std::fs::read(recorder.log()).unwrap();
    let operations = disk::parse(&log[before..]).len();

    let seed = number("CORTADO_POWER_SEED", fastrand::u64(..));
    println!("CORTADO_POWER_SEED={seed}"); // shown when the test fails
    let most = usize::try_from(number("CORTADO_POWER_CUTS", 40)).unwrap();
    let mut places = Rng::with_seed(seed).choose_multiple(1..=operations, most);
    places.sort_unstable();
    let (mut refused, count) = (0, places.len());
    for full in places {
        let mut server = recorder.serve("data", fault(full));
        let listens = within("a server", server.out.line_with("listening on")).await.is_some();
        if listens {
            server.signal(Signal::SIGKILL);
        }
        let status = server.exit().await;
        if !listens {
            assert!(status.code().is_some_and(|code| code != 0), "{status}");
            let said = server.err.so_far().join("\n");
            assert!(said.contains("No space left"), "full from {full} on: {said}");
            refused += 1;
        }
        let mut command =
            recorder.run(&["verify", "--data-dir", data.to_str().unwrap()], fault(full));
        command.exit().await;

        let report = verify(&data);
        assert!(report.is_sound(), "full from {full} on: {report}");
        let found = start(&data).await.unwrap();
        assert!(found.is_superset(&known.jobs), "full from {full} on");
    }
    println!("full from {count} of {operations} operations on; {refused} starts refused");
    assert!(refused > 3, "the disk was never full");
}

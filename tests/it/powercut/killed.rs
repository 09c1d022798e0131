//! An import or a restore that is killed at any of its file operations: a server refuses the directory, or it holds
//! everything. A second try that is killed as well changes nothing about that.

use super::*;

/// At most this many operations are chosen, evenly, so that the test does not take too long.
const MOST_PLACES: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_or_a_restore_that_is_killed_is_never_an_empty_store() {
    let mut recording =
        Recording { recorder: Recorder::new(), facts: Vec::new(), parts: Vec::new() };
    let server = recording.server("first start", "data").await;
    recording.submit(&server, 5).await;
    server.stop().await;
    let recorder = &recording.recorder;
    let path = |name: &str| recorder.base().join(name).to_str().unwrap().to_owned();
    let known = recording.known_at(usize::MAX).jobs;
    let (data, file) = (path("data"), path("export.jsonl"));
    let mut export = recorder.run(&["export", "--data-dir", &data], None);
    assert!(export.exit().await.success());
    std::fs::write(&file, export.out.so_far().join("\n") + "\n").unwrap();

    for (command, source) in [("import", &file), ("restore", &data)] {
        let target = path(command);
        let args = [command, source, "--data-dir", &target];
        let before = recorder.length();
        assert!(recorder.run(&args, None).exit().await.success());
        let log = std::fs::read(recorder.log()).unwrap();
        let operations = disk::parse(&log[before..]).len();
        let killed = |after: usize| Some(("CORTADO_RECORD_KILL", after.to_string()));
        let (mut refused, mut complete) = (0, 0);
        for after in (1..=operations).step_by(operations.div_ceil(MOST_PLACES)) {
            // A process that was killed early has not created it.
            let _ = std::fs::remove_dir_all(&target);
            // The second try begins with what the first one has left, and is killed, too.
            for (first, second) in [(after, None), (operations / 2, Some(after))] {
                recorder.run(&args, killed(first)).exit().await;
                if let Some(second) = second {
                    recorder.run(&args, killed(second)).exit().await;
                }
                let names = std::fs::read_dir(&target).map(Iterator::count).unwrap_or_default();
                if names == 0 {
                    assert!(after < 3, "{command} killed after {after} operations left nothing");
                    continue;
                }
                match start(Path::new(&target)).await {
                    Ok(found) => {
                        assert_eq!(found, known, "{command} killed after {after} operations");
                        complete += 1;
                        break; // there is a store, so another try is refused
                    }
                    Err(error) => {
                        assert!(error.to_string().contains("unfinished"), "{after}: {error}");
                        refused += 1;
                    }
                }
            }
        }
        println!("{command}: {operations} operations; {refused} refused, {complete} complete");
        assert!(refused > 10 && complete > 0, "{command} was not killed where it matters");
        std::fs::remove_dir_all(&target).unwrap();
        assert!(recorder.run(&args, None).exit().await.success());
    }
}

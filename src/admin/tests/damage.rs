//! Imports of what is not as it was written: each is refused with the line, and leaves no store.

use super::*;
use std::sync::Arc;

use crate::clock::SystemClock;
use crate::store::StoreLimits;
use crate::store::data_dir;

/// Imports bytes into a directory, and answers with why not.
fn refusal(dirs: &tempfile::TempDir, bytes: &[u8], dir: &Path) -> String {
    let file = place(dirs, "import.jsonl");
    std::fs::write(&file, bytes).unwrap();
    let args = ImportArgs { file, data_dir: dir.to_owned(), store: None };
    import(&args, &mut Vec::new()).expect_err("it was imported").to_string()
}

/// Says that an import left no store: a server does not begin with an empty one there, either.
fn assert_no_store(dir: &Path, what: &str) {
    let left = std::fs::read_dir(dir).map(|entries| entries.map(|one| one.unwrap().file_name()));
    let left: Vec<_> = left.map(Iterator::collect).unwrap_or_default();
    let is_expected = |name: &std::ffi::OsString| name == ".gitkeep" || name == "incomplete";
    assert!(left.iter().all(is_expected), "{what}: {left:?}");
    let opened = data_dir::open(dir, StoreLimits::default(), Arc::new(SystemClock));
    let why = opened.err().unwrap().to_string();
    assert!(why.contains("unfinished"), "{what}: {why}");
}

/// A small store's export, in which every line matters.
async fn small(dirs: &tempfile::TempDir) -> Vec<u8> {
    let server = serve(&place(dirs, "data")).await;
    let engine = server.engine();
    done(engine, BIG).await;
    submit(engine, LATER).await;
    engine.pause(QueueName::parse("later").unwrap()).await.unwrap();
    assert!(server.stop().await.clean);
    let mut out = Vec::new();
    export(&place(dirs, "data").as_path().into(), &mut out).unwrap();
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_what_was_changed_names_the_line_and_leaves_no_store() {
    let dirs = tempfile::tempdir().unwrap();
    let bytes = small(&dirs).await;
    let text = String::from_utf8(bytes.clone()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let last = lines.len();
    let less = |without: usize| {
        let kept = lines.iter().enumerate().filter(|(n, _)| *n != without);
        kept.map(|(_, line)| *line).collect::<String>()
    };
    let new = place(&dirs, "new");
    let here = place(&dirs, "here");
    std::fs::create_dir(&here).unwrap();
    std::fs::write(here.join(".gitkeep"), "").unwrap();
    let changed = [
        (
            text.replacen(r#""kind":"echo""#, r#""kind":"evil""#, 1),
            "line 3: it was changed".to_owned(),
        ),
        (less(0), "line 1: it is not the head".into()),
        (less(1), format!("line {}: lines before it are missing", last - 1)),
        (less(3), "line 4: the snapshot cannot be used: event".into()),
        (less(last - 1), format!("the export breaks off after line {}", last - 1)),
        (format!("{text}{}", lines[1]), format!("line {}: there is more", last + 1)),
        (text.replace('\n', "\r\n"), "line 1: it ends with a carriage return".into()),
        (text[..text.len() / 2].to_owned(), "it is cut off".into()),
        (text[..10].to_owned(), "line 1: ".into()),
        (String::new(), "the export is empty".into()),
    ];
    for (bad, reason) in changed {
        for dir in [&new, &here] {
            let why = refusal(&dirs, bad.as_bytes(), dir);
            assert!(why.contains(&reason), "expected {reason:?}, not {why:?}");
            assert!(why.contains("import.jsonl"), "{why}");
            assert_no_store(dir, &reason);
        }
    }
    // Flips anywhere, all the way: the reader's own test tries every one of them.
    for n in 0..40 {
        let place = n * (bytes.len() - 1) / 39;
        let mut bad = bytes.clone();
        bad[place] ^= 1 << (n % 8);
        refusal(&dirs, &bad, &new);
        assert_no_store(&new, &format!("byte {place}"));
    }
    // What is in use is refused before anything is touched.
    std::fs::write(here.join("mine"), "mine").unwrap();
    assert!(refusal(&dirs, &bytes, &here).contains("not empty"));
    assert_eq!(std::fs::read(here.join("mine")).unwrap(), b"mine");
    std::fs::remove_file(here.join("mine")).unwrap();

    for dir in [new, here] {
        let args =
            ImportArgs { file: place(&dirs, "whole.jsonl"), data_dir: dir.clone(), store: None };
        std::fs::write(&args.file, &bytes).unwrap();
        import(&args, &mut Vec::new()).unwrap();
        assert_eq!(verify(&VerifyArgs { data_dir: dir, store: None }, &mut Vec::new()), Ok(0));
    }
}

#[test]
fn an_export_of_the_first_format_is_imported() {
    let dirs = tempfile::tempdir().unwrap();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1.jsonl");
    let bytes = std::fs::read(&old).unwrap();
    let imported =
        read_in(&mut &*bytes, &place(&dirs, "old").as_path().into(), LinesFrom::Export).unwrap();
    assert!(!imported.has_checksums);
    assert_eq!((imported.totals.jobs, imported.totals.events), (29, 111));
    let mut out = Vec::new();
    import(&ImportArgs { file: old, data_dir: place(&dirs, "again"), store: None }, &mut out)
        .unwrap();
    assert!(String::from_utf8(out).unwrap().contains("29 jobs and 111 events"));
    let newer = exported(&place(&dirs, "old"));
    let lines = newer.iter().map(|line| format!("{line}\n")).collect::<String>();
    let imported =
        read_in(&mut lines.as_bytes(), &place(&dirs, "new").as_path().into(), LinesFrom::Export)
            .unwrap();
    assert!(imported.has_checksums);
}

/// Every command says the same of what a newer version wrote, and has an exit code for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_wrote_has_its_own_words_and_exit_code() {
    let dirs = tempfile::tempdir().unwrap();
    let text = String::from_utf8(small(&dirs).await).unwrap();
    let file = place(&dirs, "newer.jsonl");
    std::fs::write(&file, text.replacen("\"cortado_export\":4", "\"cortado_export\":9", 1))
        .unwrap();
    let new = place(&dirs, "new");
    let args = ImportArgs { file, data_dir: new.clone(), store: None };
    let why = import(&args, &mut Vec::new()).unwrap_err();
    assert!(matches!(why, Failed::Newer(_)) && why.exit_code() == 3, "{why:?}");
    let words = "newer version of Cortado (format 9; this version reads up to 4)";
    assert!(why.to_string().contains(words), "{why}");

    // A backup is a directory: its head file stands for all that can be newer in it.
    let data = place(&dirs, "data");
    let head = std::fs::read_to_string(data.join("head")).unwrap();
    std::fs::write(data.join("head"), head.replace("cortado head 1", "cortado head 2")).unwrap();
    let args = RestoreArgs { backup: data.clone(), data_dir: new.clone(), store: None };
    let restored = restore(&args, &mut Vec::new()).unwrap_err();
    let out = export(&data.as_path().into(), &mut Vec::new()).unwrap_err();
    for why in [restored, out] {
        assert!(matches!(why, Failed::Newer(_)), "{why:?}");
    }
    assert_no_store(&new, "a newer version wrote it");
    let mut out = Vec::new();
    assert_eq!(
        verify(&VerifyArgs { data_dir: data.clone(), store: None }, &mut out),
        Ok(Failed::NEWER)
    );
    let opened = data_dir::open(&data, StoreLimits::default(), Arc::new(SystemClock));
    assert!(matches!(opened.err(), Some(crate::store::StoreError::Newer { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_fails_leaves_no_store() {
    let dirs = tempfile::tempdir().unwrap();
    small(&dirs).await;
    let args = RestoreArgs {
        backup: place(&dirs, "data"),
        data_dir: place(&dirs, "restored"),
        store: None,
    };
    restore(&args, &mut Vec::new()).unwrap();
    let log = place(&dirs, "data").join("db");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..500]).unwrap();
    let args =
        RestoreArgs { backup: place(&dirs, "data"), data_dir: place(&dirs, "new"), store: None };
    restore(&args, &mut Vec::new()).unwrap_err();
    assert_no_store(&place(&dirs, "new"), "half of a backup");
    // A name that was misspelt does not even create the directory.
    let args =
        RestoreArgs { backup: place(&dirs, "dato"), data_dir: place(&dirs, "other"), store: None };
    let why = restore(&args, &mut Vec::new()).unwrap_err().to_string();
    assert!(why.contains("there is no directory") && why.contains("dato"), "{why}");
    assert!(!place(&dirs, "other").exists());
}

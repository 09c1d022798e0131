//! The commands against a server of this process and against directories.

mod damage;
mod input;

use std::future::{pending, ready};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::access::tests::{add_user, new_session, new_token};
use crate::access::{AccessCommand, AccessRecord, AccessTable, Role, SessionOwner};
use crate::app::{Cortado, Server};
use crate::clock::SystemClock;
use crate::config::{BackupArgs, ClientArgs, ExportArgs, StatsArgs};
use crate::engine::{Engine, Submission};
use crate::job::{Cursor, JobId, QueueName, State};
use crate::store::data_dir;
use crate::store::{Events, Piece, Store, StoreLimits};

async fn serve(dir: &Path) -> Server {
    Cortado::builder().listen(([127, 0, 0, 1], 0)).data_dir(dir).start().await.unwrap()
}

fn client(server: &Server) -> ClientArgs {
    let server = format!("http://{}", server.address()).parse().unwrap();
    ClientArgs::of(server)
}

async fn submit(engine: &Engine, json: &str) -> JobId {
    let new = Submission::parse(json, engine.kinds()).unwrap();
    engine.enqueue(vec![new]).await.unwrap().remove(0).job().id
}

async fn done(engine: &Engine, json: &str) -> JobId {
    let id = submit(engine, json).await;
    let job = engine.wait_final(id, Duration::from_secs(20)).await.unwrap().unwrap();
    assert_eq!(job.status.state, State::Completed);
    id
}

fn lines(out: Vec<u8>) -> Vec<String> {
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn exported(dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    export(&dir.into(), &mut out).unwrap();
    lines(out)
}

/// The pieces in the lines, with a head that is the same for every life and moment.
fn comparable(lines: &[String]) -> Vec<Piece> {
    let mut reader = ExportReader::default();
    let read = lines.iter().map(|line| reader.piece(format!("{line}\n").as_bytes()).unwrap());
    let mut pieces: Vec<Piece> = read.collect();
    let Piece::Head(head) = &mut pieces[0] else { panic!() };
    head.epoch.0 = 0;
    head.at = Default::default();
    pieces
}

async fn back_up(server: &Server, dir: &Path) -> Result<String, Failed> {
    let args = BackupArgs { client: client(server), dir: dir.to_owned(), store: None };
    let mut out = Vec::new();
    backup::run(args, pending(), &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

fn place(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

const BIG: &str =
    r#"{"kind":"echo","payload":{"n":12345678901234567890123},"idempotency_key":"k"}"#;
const LATER: &str = r#"{"kind":"echo","delay_ms":3600000,"queue":"later"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_server_at_work_is_whole_and_can_be_restored() {
    let dirs = tempfile::tempdir().unwrap();
    let server = serve(&place(&dirs, "data")).await;
    let engine = server.engine().clone();
    let mut acked = vec![done(&engine, BIG).await, submit(&engine, LATER).await];
    for n in 0..200 {
        acked.push(submit(&engine, &format!(r#"{{"kind":"echo","payload":{n}}}"#)).await);
    }
    let before = engine.head();
    let at_work = tokio::spawn({
        let engine = engine.clone();
        async move {
            loop {
                submit(&engine, r#"{"kind":"echo","payload":"meanwhile"}"#).await;
            }
        }
    });
    let said = back_up(&server, &place(&dirs, "copy")).await.unwrap();
    at_work.abort();
    assert!(said.contains("verified"), "{said}");

    let args = RestoreArgs {
        backup: place(&dirs, "copy"),
        data_dir: place(&dirs, "restored"),
        store: None,
    };
    restore(&args, &mut Vec::new()).unwrap();
    let again = restore(&args, &mut Vec::new()).unwrap_err();
    assert!(again.to_string().contains("not empty"), "{again}");
    assert!(server.stop().await.clean);

    let restored = serve(&place(&dirs, "restored")).await;
    let engine = restored.engine();
    for id in acked {
        assert!(engine.job(id).await.unwrap().0.is_some(), "{id} is lost");
    }
    assert!(engine.head().seq >= before.seq);
    assert_ne!(engine.head().epoch, before.epoch);
    let answer = engine.events(before, 10).await.unwrap();
    assert!(matches!(answer, Events::Gap { .. }), "an old cursor is of another life: {answer:?}");
    let same = submit(engine, BIG).await;
    let first = engine.job(same).await.unwrap().0.unwrap();
    assert_eq!(first.spec.payload.as_str(), r#"{"n":12345678901234567890123}"#);
    assert_eq!(first.status.state, State::Completed, "its key is still taken");
    assert!(restored.stop().await.clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_the_same_from_a_server_from_its_directory_and_through_an_import() {
    let dirs = tempfile::tempdir().unwrap();
    let server = serve(&place(&dirs, "data")).await;
    let engine = server.engine();
    done(engine, BIG).await;
    submit(engine, LATER).await;
    engine.pause(QueueName::parse("later").unwrap()).await.unwrap();
    let args = ExportArgs { client: client(&server), data_dir: None, store: None };
    let mut out = Vec::new();
    crate::cli::export::run(args, pending(), &mut out).await.unwrap();
    let live = lines(out);
    assert!(server.stop().await.clean);

    let offline = exported(&place(&dirs, "data"));
    assert_eq!(comparable(&live), comparable(&offline));
    assert!(offline.iter().any(|line| line.contains("12345678901234567890123")));

    let file = place(&dirs, "all.jsonl");
    std::fs::write(&file, offline.join("\n") + "\n").unwrap();
    let args = ImportArgs { file, data_dir: place(&dirs, "imported"), store: None };
    import(&args, &mut Vec::new()).unwrap();
    let again = import(&args, &mut Vec::new()).unwrap_err();
    assert!(again.to_string().contains("not empty"), "{again}");
    let again = exported(&place(&dirs, "imported"));
    assert_ne!(again[0], offline[0], "a new life");
    assert_eq!(comparable(&again), comparable(&offline));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_has_users_and_tokens_and_an_export_has_none() {
    let dirs = tempfile::tempdir().unwrap();
    let server = serve(&place(&dirs, "data")).await;
    let (token, _) = new_token("ci", Role::Viewer);
    let (of_client, text) = new_token("client", Role::Admin);
    let client_id = of_client.id.clone();
    let token_id = token.id.clone();
    for command in [
        add_user("anna", Role::Admin),
        AccessCommand::AddToken(token),
        AccessCommand::AddToken(of_client),
        AccessCommand::OpenSession(new_session(SessionOwner::Environment, None)),
    ] {
        server.engine().access(command).await.unwrap();
    }
    submit(server.engine(), LATER).await;
    let table = server.engine().access_table().borrow().clone();
    let client = ClientArgs { auth_token: Some(text.clone()), ..client(&server) };
    let api = crate::cli::api::ApiClient::new(&client).unwrap();
    let backup = api.get("/api/v1/backup").await.unwrap().text().await.unwrap();
    let args = ExportArgs { client: client.clone(), data_dir: None, store: None };
    let mut out = Vec::new();
    crate::cli::export::run(args, pending(), &mut out).await.unwrap();
    let live = lines(out);
    let args = BackupArgs { client, dir: place(&dirs, "copy"), store: None };
    backup::run(args, pending(), &mut Vec::new()).await.unwrap();
    assert!(server.stop().await.clean);

    // Nothing but the events tells that they exist.
    let offline = exported(&place(&dirs, "data"));
    assert_eq!(comparable(&live), comparable(&offline));
    for line in live.iter().chain(&offline) {
        assert!(!line.starts_with("{\"access\"") && !line.contains("argon2"), "{line}");
        assert!(!line.contains(text.expose()), "{line}");
    }
    assert!(live.iter().any(|line| line.contains("token_added")));
    let end = live.last().unwrap();
    assert!(end.contains(r#""schedules":0},"export_crc""#), "{end}");

    // A backup has everything, also after a restore.
    let args = RestoreArgs {
        backup: place(&dirs, "copy"),
        data_dir: place(&dirs, "restored"),
        store: None,
    };
    restore(&args, &mut Vec::new()).unwrap();
    let restored = serve(&place(&dirs, "restored")).await;
    let again = restored.engine().access_table().borrow().clone();
    // The token of the client was used meanwhile.
    let records = |table: &AccessTable| -> Vec<AccessRecord> {
        let is_used = |record: &AccessRecord| matches!(record, AccessRecord::Token(token) if token.id == client_id);
        table.records().filter(|record| !is_used(record)).collect()
    };
    assert_eq!(records(&again), records(&table));
    assert!(again.token(&client_id).is_some());
    assert!(again.token(&token_id).is_some() && again.signing_key().is_some());
    assert!(restored.stop().await.clean);

    // Its lines are no export: whoever wrote them could bring an admin along.
    assert_eq!(backup.lines().filter(|line| line.starts_with("{\"access\"")).count(), 5);
    let file = place(&dirs, "all.jsonl");
    std::fs::write(&file, &backup).unwrap();
    let args = ImportArgs { file, data_dir: place(&dirs, "imported"), store: None };
    let refused = import(&args, &mut Vec::new()).unwrap_err().to_string();
    assert!(refused.contains("line 2: an export has no users and tokens"), "{refused}");
    assert!(!place(&dirs, "imported").join("db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_broken_off_is_no_store_and_a_whole_one_is_sound() {
    let dirs = tempfile::tempdir().unwrap();
    let server = serve(&place(&dirs, "data")).await;
    submit(server.engine(), LATER).await;
    let args = BackupArgs { client: client(&server), dir: place(&dirs, "copy"), store: None };
    // Whichever comes first, the answer or the stop, the words and the directory agree.
    let ended = backup::run(args, ready(()), &mut Vec::new()).await;
    let sound = crate::store::data_dir::verify(&place(&dirs, "copy")).is_sound();
    assert_eq!(ended.is_ok(), sound, "{ended:?}");
    let used = back_up(&server, &place(&dirs, "data")).await.unwrap_err();
    assert!(used.to_string().contains("not empty"), "{used}");
    back_up(&server, &place(&dirs, "whole")).await.unwrap();
    let args = VerifyArgs { data_dir: place(&dirs, "whole"), store: None };
    assert_eq!(verify(&args, &mut Vec::new()), Ok(0));
    assert!(server.stop().await.clean);
    let nothing = restore(
        &RestoreArgs { backup: place(&dirs, "none"), data_dir: place(&dirs, "new"), store: None },
        &mut Vec::new(),
    );
    assert!(nothing.unwrap_err().to_string().contains("there is no directory"));
    assert!(!place(&dirs, "new").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_statistics_tell_what_the_store_takes() {
    let dirs = tempfile::tempdir().unwrap();
    let server = serve(&place(&dirs, "data")).await;
    done(server.engine(), BIG).await;
    let stats = |json| {
        let args = StatsArgs { client: client(&server), json };
        async move {
            let mut out = Vec::new();
            crate::cli::stats::run(args, &mut out).await.unwrap();
            String::from_utf8(out).unwrap()
        }
    };
    let json: serde_json::Value = serde_json::from_str(&stats(true).await).unwrap();
    let store = |field: &str| json["store"][field].as_u64().unwrap();
    let stored = store("written_bytes");
    assert!(stored > store("journal_bytes") && store("journal_bytes") > 100, "{json}");
    assert!(store("accepted_bytes") > 100 && store("disk_bytes") > 0, "{json}");
    assert!(store("groups") >= 2 && store("syncs") >= store("groups"), "{json}");
    assert!(store("journal_chunks") >= 2 && store("archive_runs") == 0, "{json}");
    let table = stats(false).await;
    assert!(table.contains("completed                1\n"), "{table}");
    assert!(server.stop().await.clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_use_is_refused_by_what_needs_a_closed_directory() {
    let dirs = tempfile::tempdir().unwrap();
    let dir = place(&dirs, "data");
    let store = data_dir::open(&dir, StoreLimits::default(), Arc::new(SystemClock)).unwrap();
    let why = export(&dir.as_path().into(), &mut Vec::new()).unwrap_err();
    assert!(why.to_string().contains("in use"), "{why}");
    let mut out = Vec::new();
    assert_eq!(verify(&VerifyArgs { data_dir: dir, store: None }, &mut out), Ok(2));
    assert!(String::from_utf8(out).unwrap().contains("in use"));
    let _here: Cursor = store.head(); // it was open all the time
}

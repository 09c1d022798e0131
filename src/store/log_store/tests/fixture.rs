//! A directory in which everything occurs that this version can write. `tests/fixtures` keeps one of each format; its
//! README says how it was made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::Tuning;
use crate::access::tests::{add_user, new_session, new_token, password, user};
use crate::access::{AccessCommand, NewLink, Role, SessionOwner};
use crate::clock::ManualClock;
use crate::job::{
    Actor, Failure, FailureClass, Interruption, JobId, Json, Kind, LinkSubject, LogLine, NewJob,
    Origin, Overlap, Progress, ScheduleSpec, Stream, Time, Verdict, WorkerChange, WorkerLeft,
    WorkerName,
};
use crate::store::conformance::schedule::{every, named};
use crate::store::conformance::{
    Draft, Harness, Rig, draft, kinds, lines, per_minute, queue, secs,
};
use crate::store::data_dir;
use crate::store::sled::faults::Faults;
use crate::store::{
    Claim, Control, Keep, KindCommand, Lease, Note, Retention, ScheduleCommand, Store, StoreLimits,
    WorkerNotice, WorkerPlace,
};

/// A harness in a directory that the caller keeps.
struct AtDir {
    clock: ManualClock,
    dir: PathBuf,
    tuning: Tuning,
    limits: StoreLimits,
}

impl Harness for AtDir {
    fn new(_: ManualClock) -> Self {
        unreachable!("made by hand")
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn open(&mut self, limits: StoreLimits) -> Arc<dyn Store> {
        self.limits = limits.clone();
        let clock = Arc::new(self.clock.clone());
        data_dir::open_tuned(&self.dir, limits, clock, self.tuning, Faults::default()).unwrap()
    }

    async fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().await.unwrap();
        drop(store);
        self.open(self.limits.clone()).await
    }

    async fn crash(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.open(self.limits.clone()).await
    }
}

/// Incompressible text, so that it takes several pieces.
fn noise(len: usize) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    (0..len).map(|_| random.alphanumeric()).collect()
}

fn odd() -> Draft {
    let json =
        "{\n  \"big\": 123456789012345678901234567890, \"one\": 1.0, \"é\\u0000\": \"☕\"\n}";
    draft().payload(Json::parse(json).unwrap()).tag("röst=dark").priority(-7).timeout(1_500)
}

async fn settle<H: Harness>(rig: &Rig<H>, lease: &Lease, verdict: Verdict) {
    rig.settle(lease, verdict).await.unwrap();
}

fn failed(class: FailureClass, message: &str) -> Verdict {
    Verdict::Failed { failure: Failure::new(class, message), retry_in: secs(30) }
}

/// Fills an empty directory in two processes. The jobs of the first are archived in small runs. The second has jobs in
/// every state, and ends with a run that is retired and not yet removed.
pub(crate) async fn fill(dir: &Path) {
    let clock = ManualClock::at(Time::from_millis(1_790_000_000_000));
    let tiny = Tuning {
        run_from: 3,
        rewrite_percent: 0,
        drop_at_once: 0,
        carry_above: 0,
        ..Tuning::default()
    };
    let at = |tuning| AtDir {
        clock: clock.clone(),
        dir: dir.to_owned(),
        tuning,
        limits: StoreLimits::default(),
    };
    let rig = Rig::open(at(tiny)).await;
    let (archived, lost) = first_life(&rig).await;
    rig.store.close().await.unwrap();
    drop(rig);

    let none = Keep { age: Duration::MAX, count: 0 };
    let retention = Retention { cancelled: none, ..Retention::default() };
    let limits = StoreLimits { retention, ..StoreLimits::default() };
    let rig = Rig::open_with(at(Tuning::default()), limits).await;
    assert_eq!(rig.job(lost).await.history.len(), 2, "the running job was rescued");
    second_life(&rig, &archived).await;
    drop(rig); // as a crash: a close would remove the retired run
}

/// Returns archived jobs, and one that is running when this process ends.
async fn first_life(rig: &Rig<AtDir>) -> (Vec<JobId>, JobId) {
    let mut archived = Vec::new();
    for n in 0..9 {
        let lease = rig.start(draft().key(&format!("order {n}"))).await;
        let result = Json::parse(&format!("{{\"cup\": {n}}}")).unwrap();
        settle(rig, &lease, Verdict::Completed { result }).await;
        archived.push(lease.job.id);
        rig.pass(secs(1));
    }
    let dead = rig.start(odd().attempts(1)).await;
    settle(rig, &dead, failed(FailureClass::Panic, "it broke\ntwice")).await;
    let given_up = rig.start(odd()).await;
    let failure = Failure::new(FailureClass::Error, "no such coffee");
    settle(rig, &given_up, Verdict::Discarded { failure }).await;
    archived.push(dead.job.id);
    while rig.store.storage().await.unwrap().archived_jobs < 11 {
        let another = rig.finish(draft()).await; // lets the archiver check again
        archived.push(another);
        rig.tick().await;
    }
    let lost = rig.start(draft().queue("lost")).await.job.id;
    rig.log().await;
    (archived, lost)
}

async fn second_life(rig: &Rig<AtDir>, archived: &[JobId]) {
    let large = Json::parse(&format!("\"{}\"", noise(20_000))).unwrap();
    rig.add(draft().payload(large).queue("large")).await;
    rig.add(odd().queue("later").after(secs(3_600)).key("clé ☕")).await;

    let chatty = rig.start(draft().queue("chatty")).await;
    let line = |stream| LogLine { at: rig.now(), stream, text: "grinding…".into() };
    let progress = |total, message: Option<&str>| Progress {
        done: 3,
        total,
        message: message.map(Into::into),
    };
    let said = [Stream::Log, Stream::Stdout, Stream::Stderr].map(line).to_vec();
    let note = |lines, progress| Note { lease: chatty.key(), lines, progress: Some(progress) };
    let notes =
        vec![note(said, progress(Some(9), Some("beans"))), note(vec![], progress(None, None))];
    rig.store.annotate(notes).await.unwrap();
    settle(rig, &chatty, Verdict::Completed { result: Json::null() }).await;

    let failing = rig.start(draft().queue("failing")).await;
    settle(rig, &failing, failed(FailureClass::Timeout, "too slow")).await;
    let due = rig.start(draft().queue("due")).await;
    settle(rig, &due, failed(FailureClass::Error, "")).await;
    rig.pass(secs(30));
    rig.tick().await;
    let again = rig.start(draft().queue("again")).await;
    settle(rig, &again, failed(FailureClass::Error, "not yet")).await;
    let snoozing = rig.start(draft().queue("snoozing")).await;
    settle(rig, &snoozing, Verdict::Snoozed { delay: secs(900) }).await;
    let stopped = rig.start(draft().queue("stopped")).await;
    settle(rig, &stopped, Verdict::Interrupted { why: Interruption::Stop }).await;
    let expired = rig.start(draft().queue("expired").attempts(1)).await;
    rig.start(draft().queue("expired")).await;
    rig.pass(secs(31));
    rig.tick().await;
    assert!(rig.job(expired.job.id).await.status.state.is_final());

    let asked = rig.start(draft().queue("asked")).await;
    rig.note(&asked, &["last words"]).await;
    rig.cancel(asked.job.id).await.unwrap();
    settle(rig, &asked, Verdict::Cancelled).await;
    let pruned = rig.add(draft().key("forgotten")).await;
    rig.cancel(pruned.id).await.unwrap();
    assert_eq!(rig.catch_up().await.pruned, 2);
    schedules(rig).await;
    let cancelled = rig.add(draft()).await;
    rig.cancel(cancelled.id).await.unwrap();

    let resting = rig.start(draft().queue("resting")).await;
    settle(rig, &resting, failed(FailureClass::Error, "later")).await;
    for (queue, change) in [("held", 1), ("freed", 1), ("freed", 2), ("large", 1)] {
        match change {
            1 => rig.pause(queue).await,
            _ => rig.resume(queue).await,
        }
    }
    let placed = rig.add(draft().queue("from")).await.id;
    rig.move_to(placed, "to").await.unwrap();
    rig.reprioritise(placed, 7).await.unwrap();
    rig.set_concurrency("held", Some(2)).await;
    rig.set_rate_limit("held", Some(per_minute(9))).await;
    rig.start(draft().queue("running")).await;
    let asked = rig.start(draft().queue("running")).await;
    rig.cancel(asked.job.id).await.unwrap();
    rig.store.annotate(vec![Note { lines: lines(&["half"]), ..empty_note(&asked) }]).await.unwrap();
    users(rig).await;
    declare_kinds(rig).await;
    remote_worker(rig).await;
    rig.log().await;

    rig.retry(archived[0]).await.unwrap(); // comes back from the archive
    rig.retry(archived[9]).await.unwrap();
    rig.delete(archived[1]).await.unwrap(); // the last group, so its run is only retired
}

/// Every command, a run, and a time that is skipped because the run before is not finished.
async fn schedules(rig: &Rig<AtDir>) {
    let careful = |job| ScheduleSpec { overlap: Overlap::Skip, ..every("every 1m", job) };
    rig.set("nightly", careful(odd().queue("scheduled"))).await;
    rig.set("gone", every("every 1h", draft())).await;
    let asked = [
        ScheduleCommand::Delete(named("gone"), Origin::Api),
        ScheduleCommand::Fire(named("nightly")),
        ScheduleCommand::Pause(named("nightly")),
        ScheduleCommand::Resume(named("nightly")),
    ];
    for command in asked {
        rig.schedule(command).await.unwrap();
    }
    rig.pass(secs(60));
    assert_eq!(rig.tick().await.skipped, 1);
}

/// Users, tokens, sessions and share links, and changes in the name of each sort of actor.
async fn users(rig: &Rig<AtDir>) {
    let anna: Actor = "user:anna".parse().unwrap();
    let fingerprint = Some(password(1).fingerprint());
    let (mut worker, _) = new_token("worker", Role::Worker);
    worker.queues = Some(vec![queue("running")]);
    worker.kinds = Some(vec![Kind::parse("echo").unwrap()]);
    worker.expires_at = Some(rig.now().after(secs(1_000_000_000)));
    let (revoked, _) = new_token("revoked", Role::Viewer);
    let (revoked_id, end) = (revoked.id.clone(), rig.now().after(secs(1_000_000_000)));
    let link = |subject| NewLink::generate(subject, end).unwrap();
    let bob = || user("bob");
    let closed = new_session(SessionOwner::Environment, None);
    let closed_id = closed.id.clone();
    let unlinked = link(LinkSubject::Queue(queue("large")));
    let unlinked_id = unlinked.id.clone();
    for command in [
        add_user("anna", Role::Admin),
        add_user("bob", Role::Viewer),
        AccessCommand::SetRole { name: bob(), role: Role::Operator },
        AccessCommand::SetPassword { name: bob(), password: password(2), replaces: None },
        add_user("gone", Role::Viewer),
        AccessCommand::DeleteUser(user("gone")),
        AccessCommand::DisableUser(bob()),
        AccessCommand::EnableUser(bob()),
        AccessCommand::DisableUser(bob()),
        AccessCommand::AddToken(worker),
        AccessCommand::AddToken(revoked),
        AccessCommand::RevokeToken(revoked_id),
        AccessCommand::OpenSession(new_session(SessionOwner::User(user("anna")), fingerprint)),
        AccessCommand::OpenSession(new_session(SessionOwner::Environment, None)),
        AccessCommand::OpenSession(closed),
        AccessCommand::CloseSession(closed_id),
        AccessCommand::AddLink(unlinked),
        AccessCommand::RevokeLink(unlinked_id),
        AccessCommand::AddLink(link(LinkSubject::Queue(queue("running")))),
        AccessCommand::AddLink(link(LinkSubject::Job(JobId::from_u128(7)))),
    ] {
        rig.store.access(command, Some(anna.clone())).await.unwrap();
    }
    for by in ["user:anna", "token:worker", "link:7"] {
        let by: Option<Actor> = by.parse().ok();
        let new = NewJob { by: by.clone(), ..draft().queue("named").job() };
        let job = rig.add(new).await;
        rig.store.control(Control::Cancel(vec![job.id]), by).await.unwrap();
    }
}

/// Kinds of every origin, and one that is deleted.
async fn declare_kinds(rig: &Rig<AtDir>) {
    let set = |name| KindCommand::Set(kinds::kind(name), kinds::spec("Resizes pictures.").into());
    let announced = ["bill", "gone"].map(kinds::kind).to_vec();
    for command in [
        set("resize"),
        KindCommand::Announce(announced),
        KindCommand::Delete(kinds::kind("gone")),
        KindCommand::Set(kinds::kind("plain"), Box::default()),
    ] {
        rig.store.kind(command, "token:worker".parse().ok()).await.unwrap();
    }
}

/// What happens to a worker in another process, a job that it gives back, and one that it still runs.
async fn remote_worker(rig: &Rig<AtDir>) {
    let worker = WorkerName::parse("web-1:4711").unwrap();
    let changes = [
        WorkerChange::Connected,
        WorkerChange::Quieted,
        WorkerChange::Resumed,
        WorkerChange::Stopping,
        WorkerChange::Left { why: WorkerLeft::SignedOff },
        WorkerChange::Left { why: WorkerLeft::Silent },
        WorkerChange::Left { why: WorkerLeft::Replaced },
    ];
    let by: Option<Actor> = "user:anna".parse().ok();
    let notice = |change| WorkerNotice { worker: worker.clone(), change, by: by.clone() };
    rig.store.report(changes.map(notice).to_vec()).await.unwrap();
    for _ in 0..2 {
        rig.add(draft().queue("remote")).await;
    }
    let (place, queues) = (WorkerPlace::Remote, vec![queue("remote")]);
    let claim = Claim { queues, place, worker, ..rig.claim_request(2) };
    let leases = rig.store.claim(claim).await.unwrap().leases;
    settle(rig, &leases[0], Verdict::Interrupted { why: Interruption::Returned }).await;
}

fn empty_note(lease: &Lease) -> Note {
    Note { lease: lease.key(), lines: Vec::new(), progress: None }
}

/// Copies the files of a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[cfg(test)]
mod tests;

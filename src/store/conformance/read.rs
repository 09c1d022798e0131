//! Reading jobs: one job, a page of jobs, and the counters.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{LARGE, READ_BYTES, large_jobs};
use super::rig::{completed, failed, failure};
use super::{Harness, Rig, draft, queue, secs};
use crate::job::{Job, JobId, JobQuery, Json, Kind, PageCursor, State, Tag, Time, Verdict};

/// Jobs in every state, in two queues, of two kinds, with and without a tag.
async fn zoo<H: Harness>(rig: &Rig<H>) -> Vec<Job> {
    for name in ["a", "b"] {
        for kind in ["k1", "k2"] {
            let job = || draft().queue(name).kind(kind);
            let failing = rig.start(job()).await;
            rig.settle(&failing, failed(secs(9))).await.unwrap();
            let dead = rig.start(job().tag("red")).await;
            rig.settle(&dead, Verdict::Discarded { failure: failure() }).await.unwrap();
            rig.finish(job()).await;
            let gone = rig.add(job().tag("red")).await;
            rig.cancel(gone.id).await.unwrap();
            rig.add(job().after(secs(60)).tag("blue")).await;
            let running = rig.start(job()).await;
            rig.note(&running, &["a line"]).await;
        }
    }
    for name in ["a", "b"] {
        rig.add(draft().queue(name).kind("k1").tag("red")).await;
    }
    rig.jobs().await
}

pub(crate) async fn a_job_that_never_was_is_not_found(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.add(draft()).await;
    assert_eq!(rig.store.get(JobId::generate()).await.unwrap().0, None);
}

pub(crate) async fn what_was_answered_is_seen_by_the_next_reader(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for n in 1..=20 {
        let id = rig.add(draft()).await.id;
        assert_eq!(rig.state(id).await, State::Available);
        let lease = rig.claim_one().await;
        assert_eq!(rig.job(id).await, *lease.job);
        let running = JobQuery { states: vec![State::Running], limit: 9, ..JobQuery::default() };
        assert_eq!(rig.all(running).await.len(), 1);
        assert_eq!(rig.stats().await.states[&State::Running], 1);
        rig.note(&lease, &["said"]).await;
        assert_eq!(rig.job(id).await.log.len(), 1);
        rig.settle(&lease, completed()).await.unwrap();
        assert_eq!(rig.stats().await.states[&State::Completed], n);
    }
}

pub(crate) async fn jobs_are_listed_newest_first_each_once(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut ids: Vec<JobId> = zoo(&rig).await.iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), 26);
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]));
    for limit in [1, 3, 26, 500] {
        let listed = rig.all(JobQuery { limit, ..JobQuery::default() }).await;
        assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), ids, "limit {limit}");
    }
    let after = Some(PageCursor(ids[9]));
    let rest = rig.all(JobQuery { after, limit: 10, ..JobQuery::default() }).await;
    assert_eq!(rest.iter().map(|job| job.id).collect::<Vec<_>>(), ids.split_off(10));
}

pub(crate) async fn a_listed_job_is_the_whole_job(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for job in zoo(&rig).await {
        assert_eq!(rig.job(job.id).await, job);
    }
}

pub(crate) async fn a_list_can_be_filtered(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let zoo = zoo(&rig).await;
    let (red, k1) = (Tag::parse("red").unwrap(), Kind::parse("k1").unwrap());
    let mut queries = vec![
        JobQuery { queues: vec![queue("a")], ..JobQuery::default() },
        JobQuery { queues: vec![queue("none")], ..JobQuery::default() },
        JobQuery { kinds: vec![k1.clone()], ..JobQuery::default() },
        JobQuery { tags: vec![red.clone()], ..JobQuery::default() },
        JobQuery { states: State::ALL.into(), ..JobQuery::default() },
    ];
    for state in State::ALL {
        let states = vec![state];
        queries.push(JobQuery { states: states.clone(), ..JobQuery::default() });
        let queues = vec![queue("b"), queue("c")];
        let (kinds, tags) = (vec![k1.clone()], vec![red.clone()]);
        queries.push(JobQuery { states, queues, kinds, tags, ..JobQuery::default() });
    }
    for query in queries {
        let wanted = zoo.iter().filter(|job| query.matches(&job.labels, job.status.state));
        let expected: Vec<&Job> = wanted.collect();
        for limit in [2, 100] {
            let listed = rig.all(JobQuery { limit, ..query.clone() }).await;
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{query:?}");
        }
    }
}

pub(crate) async fn a_page_is_never_longer_than_the_limit_allows(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let batch = (0..JobQuery::MAX_LIMIT + 1).map(|_| draft().job()).collect();
    rig.store.enqueue(batch).await.unwrap();
    let query = |limit| JobQuery { limit, ..JobQuery::default() };
    let page = rig.store.list(query(usize::MAX)).await.unwrap();
    assert!(page.jobs.len() <= JobQuery::MAX_LIMIT);
    assert!(page.next.is_some());
    assert_eq!(rig.all(query(JobQuery::MAX_LIMIT)).await.len(), JobQuery::MAX_LIMIT + 1);
}

pub(crate) async fn a_job_added_while_paging_disturbs_no_page(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let batch = (0..10).map(|_| draft().job()).collect();
    rig.store.enqueue(batch).await.unwrap();
    let mut query = JobQuery { limit: 4, ..JobQuery::default() };
    let mut seen = BTreeSet::new();
    loop {
        let page = rig.store.list(query.clone()).await.unwrap();
        assert!(page.next.is_none() || page.next != query.after, "the pages do not advance");
        for job in page.jobs {
            assert!(seen.insert(job.id), "{} came twice", job.id);
        }
        rig.add(draft()).await;
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 10);
}

async fn assert_counted<H: Harness>(rig: &Rig<H>) {
    let mut states: BTreeMap<State, u64> = State::ALL.into_iter().map(|s| (s, 0)).collect();
    let mut queues: BTreeMap<_, BTreeMap<State, u64>> = BTreeMap::new();
    let mut kinds: BTreeMap<_, BTreeMap<State, u64>> = BTreeMap::new();
    for job in rig.jobs().await {
        let state = job.status.state;
        *states.get_mut(&state).unwrap() += 1;
        *queues.entry(job.labels.queue.clone()).or_default().entry(state).or_default() += 1;
        *kinds.entry(job.labels.kind.clone()).or_default().entry(state).or_default() += 1;
    }
    let mut stats = rig.stats().await;
    assert_eq!(stats.states, states);
    let without_zeros = |counts: &mut BTreeMap<State, u64>| counts.retain(|_, count| *count > 0);
    stats.kinds.values_mut().for_each(without_zeros);
    stats.kinds.retain(|_, counts| !counts.is_empty());
    assert_eq!(stats.kinds, kinds);
    let mut counted = BTreeMap::new();
    for (name, mut stats) in stats.queues {
        without_zeros(&mut stats.states);
        assert!(stats.settings.paused || !stats.states.is_empty(), "{name} has no jobs");
        counted.insert(name, stats.states);
    }
    counted.retain(|_, counts| !counts.is_empty());
    assert_eq!(counted, queues);
}

pub(crate) async fn the_counters_equal_a_recount(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    assert_counted(&rig).await;
    let zoo = zoo(&rig).await;
    assert_counted(&rig).await;
    for (n, job) in zoo.iter().enumerate() {
        // Refusals are allowed: this test does not care which control meets which state.
        match n % 3 {
            0 => rig.cancel(job.id).await.map(drop).unwrap_or_default(),
            1 => rig.retry(job.id).await.map(drop).unwrap_or_default(),
            _ => rig.delete(job.id).await.map(drop).unwrap_or_default(),
        }
        assert_counted(&rig).await;
    }
    rig.pass(secs(100));
    rig.tick().await;
    assert_counted(&rig).await;
    let rig = rig.crash().await;
    assert_counted(&rig).await;
    let rig = rig.reopen().await;
    assert_counted(&rig).await;
}

pub(crate) async fn a_queue_is_known_while_it_has_jobs_or_is_paused(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let known = async || rig.stats().await.queues.into_keys().collect::<Vec<_>>();
    let id = rig.finish(draft().queue("a")).await;
    rig.pause("b").await;
    rig.resume("c").await;
    assert_eq!(known().await, [queue("a"), queue("b")]);
    rig.delete(id).await.unwrap();
    rig.resume("b").await;
    assert_eq!(known().await, []);
}

pub(crate) async fn a_queue_tells_since_when_its_oldest_job_waits(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let since = async || {
        rig.stats().await.queues.get(&queue("default")).and_then(|queue| queue.waiting_since)
    };
    assert_eq!(since().await, None);
    rig.add(draft().after(secs(10))).await;
    assert_eq!(since().await, None, "a scheduled job does not wait yet");
    let start = rig.now();
    for priority in [0, -300, 7] {
        rig.pass(secs(1));
        rig.add(draft().priority(priority)).await;
    }
    assert_eq!(since().await, Some(start.after(secs(1))));
    assert_eq!(rig.claim_one().await.job.spec.priority, 7);
    let oldest = rig.claim_one().await;
    assert_eq!(since().await, Some(start.after(secs(2))));
    rig.pass(secs(60));
    rig.tick().await; // the lease has expired: the job waits again from now on
    assert_eq!(rig.job(oldest.job.id).await.run_at, rig.now());
    assert_eq!(since().await, Some(start.after(secs(2))));
    rig.claim(9).await;
    assert_eq!(since().await, None);
}

pub(crate) async fn a_ready_job_knows_how_many_are_claimed_before_it(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for n in 0..12 {
        let job = draft().priority([0, 5, -5][n % 3]).after(secs(n as u64 % 4));
        rig.add(job.queue(if n == 7 { "other" } else { "default" })).await;
    }
    rig.pass(secs(9));
    rig.tick().await;
    let ready = JobQuery { states: vec![State::Available], limit: 99, ..JobQuery::default() };
    let mut places = Vec::new();
    for job in rig.all(ready).await {
        let ahead = rig.store.ahead(job.id, 999).await.unwrap().unwrap();
        assert_eq!(rig.store.ahead(job.id, 3).await.unwrap(), Some(ahead.min(3)));
        match job.labels.queue.as_str() {
            "other" => assert_eq!(ahead, 0),
            _ => places.push((ahead, job.id)),
        }
    }
    rig.pause("default").await;
    for (ahead, id) in &places {
        assert_eq!(rig.store.ahead(*id, 999).await.unwrap(), Some(*ahead));
    }
    rig.resume("default").await;
    places.sort();
    let claimed: Vec<JobId> = rig.claim(99).await.iter().map(|lease| lease.job.id).collect();
    assert_eq!(places.iter().map(|(_, id)| *id).collect::<Vec<_>>(), claimed);
    assert_eq!(
        places.iter().map(|(ahead, _)| *ahead).collect::<Vec<_>>(),
        (0..11).collect::<Vec<_>>()
    );
}

pub(crate) async fn only_a_ready_job_has_a_place(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    zoo(&rig).await;
    for job in rig.jobs().await {
        let place = rig.store.ahead(job.id, 9).await.unwrap();
        assert_eq!(place.is_some(), job.status.state == State::Available, "{:?}", job.status);
    }
    assert_eq!(rig.store.ahead(JobId::generate(), 9).await.unwrap(), None);
}

pub(crate) async fn a_page_is_bounded_by_bytes_and_goes_on_where_it_ended(harness: impl Harness) {
    let rig = large_jobs(harness, 20).await;
    rig.catch_up().await;
    let waiting = || draft().payload(Json::of(&"x".repeat(LARGE)).unwrap()).after(secs(9)).job();
    let jobs = vec![waiting(), waiting()];
    let added = rig.store.enqueue(jobs).await.unwrap();
    let (first, second) = (added[0].job().id, added[1].job().id);
    for terms in ["", "payload:xxxx", "xxxx"] {
        let mut query = JobQuery { limit: 100, ..JobQuery::default() };
        query.narrow(terms, Time::default()).unwrap();
        let (mut ids, mut pages) = (Vec::new(), 0);
        loop {
            let page = rig.store.list(query.clone()).await.unwrap();
            assert!(
                (1..=READ_BYTES / LARGE).contains(&page.jobs.len()),
                "{} rows",
                page.jobs.len()
            );
            assert!(page.jobs.iter().all(|job| job.bytes() < LARGE), "a row holds a payload");
            ids.extend(page.jobs.iter().map(|job| job.id));
            pages += 1;
            query.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert!(ids.len() == 22 && ids.is_sorted_by(|a, b| a > b), "{ids:?}");
        assert_eq!(ids[..2], [second, first]);
        assert!(pages >= 11, "{pages} pages");
    }
    let whole = rig.job(first).await;
    assert!(whole.bytes() > LARGE, "one job is whole");
}

//! Searching jobs by submission time and by the content of their records, in several steps.

use super::rig::failed;
use super::{Harness, Rig, draft, queue, secs};
use crate::job::{Failure, FailureClass, Job, JobId, JobQuery, Json, NewJob, State, Time, Verdict};
use crate::store::StoreLimits;

/// The query that a search text stands for.
fn search(words: &str) -> JobQuery {
    let mut query = JobQuery { limit: 2, ..JobQuery::default() };
    query.narrow(words, Time::default()).unwrap();
    query
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

fn payload(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// Waiting, failed, dead and completed jobs with different content.
async fn corpus<H: Harness>(rig: &Rig<H>) -> [JobId; 5] {
    let user = |id: u32| draft().payload(payload(&format!(r#"{{"user":{{"id":{id}}}}}"#)));
    let completed = rig.finish(user(42)).await;
    let dead = rig.start(draft().kind("http").payload(payload(r#"{"on":true}"#))).await;
    let failure = Failure::new(FailureClass::Timeout, "no answer from Example.org");
    rig.settle(&dead, Verdict::Discarded { failure }).await.unwrap();
    let failing = rig.start(user(42).queue("mail")).await;
    rig.settle(&failing, failed(secs(60))).await.unwrap();
    let tagged = rig.add(user(7).tag("customer 42")).await.id;
    let plain = rig.add(draft().queue("mail").payload(payload(r#""42""#))).await.id;
    [completed, dead.job.id, failing.job.id, tagged, plain]
}

pub(crate) async fn a_search_finds_what_stands_in_the_record(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let [completed, dead, failing, tagged, plain] = corpus(&rig).await;
    let mut rig = rig;
    for round in 0..3 {
        for (words, found) in [
            ("payload.user.id:42", &[failing, completed][..]),
            ("payload.user.id:42 state:completed", &[completed]),
            ("payload.user.id:\"42\"", &[]),
            ("payload.on:true", &[dead]),
            ("42", &[plain, tagged, failing, completed]),
            ("payload:42", &[plain, failing, completed]),
            ("\"customer 42\"", &[tagged]),
            ("example.ORG", &[dead]),
            ("error:timeout", &[dead]),
            ("error:broke", &[failing]),
            ("error:broke queue:mail,web", &[failing]),
            ("http", &[dead]),
            ("user queue:mail", &[failing]),
            ("nowhere", &[]),
        ] {
            assert_eq!(ids(&rig.all(search(words)).await), found, "{words}, round {round}");
        }
        // By now the store may have moved finished and waiting jobs elsewhere.
        rig = if round == 0 { rig.reopen().await } else { rig };
        for n in 0..20 {
            rig.finish(draft().queue(&format!("other{}", n % 2))).await;
        }
        rig.catch_up().await;
    }
}

pub(crate) async fn the_error_of_a_job_that_came_through_is_not_found(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.settle(&lease, failed(secs(1))).await.unwrap();
    assert_eq!(rig.all(search("error:broke")).await.len(), 1);
    rig.pass(secs(1));
    rig.catch_up().await;
    let lease = rig.claim_one().await;
    rig.complete(&lease).await;
    assert_eq!(rig.all(search("error:broke")).await.len(), 0);
}

pub(crate) async fn a_list_is_bounded_by_the_time_in_the_ids(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let at = |ms: i64| Time::from_millis(1_000_000 + ms);
    let job = |ms: i64, n: u128| {
        let id = JobId::from_u128(JobId::first_of(at(ms)).as_u128() + n);
        NewJob { id, ..draft().job() }
    };
    let jobs: Vec<NewJob> =
        [0, 1, 1, 2, 3].into_iter().zip(1..).map(|(ms, n)| job(ms, n)).collect();
    rig.store.enqueue(jobs).await.unwrap();
    for lease in rig.claim(3).await {
        rig.complete(&lease).await;
    }
    for (since, until, found) in [
        (None, None, 5),
        (Some(1), None, 4),
        (None, Some(1), 1),
        (Some(1), Some(3), 3),
        (Some(2), Some(2), 0),
        (Some(3), Some(1), 0),
        (Some(4), None, 0),
    ] {
        for states in [vec![], vec![State::Available, State::Completed]] {
            let (since, until) = (since.map(at), until.map(at));
            let query = JobQuery { states, since, until, limit: 2, ..JobQuery::default() };
            assert_eq!(rig.all(query.clone()).await.len(), found, "{query:?}");
        }
    }
}

pub(crate) async fn a_search_stops_after_its_step_and_goes_on_from_there(harness: impl Harness) {
    let limits = StoreLimits { search_step: 7, ..StoreLimits::default() };
    let rig = Rig::open_with(harness, limits).await;
    let wanted = hay_and_needles(&rig).await;
    assert_eq!(in_pages(&rig, "payload.a:needle", 7).await, wanted);
    let few = JobQuery { most_examined: Some(3), limit: 10, ..search("payload.a:needle") };
    let page = rig.store.list(few).await.unwrap();
    assert!(page.examined <= 4 && page.next.is_some(), "{page:?}");
    let all = JobQuery { limit: 10, queues: vec![queue("done")], ..JobQuery::default() };
    assert_eq!(rig.all(all).await.len(), 20);
}

pub(crate) async fn a_search_stops_when_its_time_is_over_and_goes_on_from_there(
    harness: impl Harness,
) {
    // Without any search time, each answer examines one job.
    let limits = StoreLimits { search_time: secs(0), ..StoreLimits::default() };
    let rig = Rig::open_with(harness, limits).await;
    let wanted = hay_and_needles(&rig).await;
    assert_eq!(in_pages(&rig, "payload.a:needle", 1).await, wanted);
    let all = JobQuery { limit: 10, queues: vec![queue("done")], ..JobQuery::default() };
    assert_eq!(rig.all(all).await.len(), 20);
}

pub(crate) async fn searches_that_are_to_end_still_come_further(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let wanted = hay_and_needles(&rig).await;
    rig.store.end_searches();
    rig.pass(secs(60));
    assert_eq!(ids(&rig.all(search("payload.a:needle")).await), wanted);
    assert_eq!(rig.all(JobQuery { limit: 50, ..JobQuery::default() }).await.len(), 60);
}

/// Older versions accepted such payloads, and they can still be searched.
pub(crate) async fn a_hostile_payload_is_searched_like_any_other(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let nested = format!("{}9{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = rig.finish(draft().payload(payload(&format!("\"{}\"", "a".repeat(40_000))))).await;
    let deep = rig.add(draft().payload(payload(&nested))).await.id;
    rig.catch_up().await;
    let almost = format!("payload:{}b", "a".repeat(900));
    for (words, found) in [
        ("payload.9:1", &[][..]),
        ("payload.0:9", &[deep]),
        ("payload.0.0.0.0.0:2", &[]),
        ("payload.0.0.0.0.0:9", &[deep]),
        ("payload:aaaaaaaa", &[long]),
        (&almost, &[]),
    ] {
        assert_eq!(ids(&rig.all(search(words)).await), found, "{words}");
    }
}

/// Enqueues sixty jobs, some of which finish. Returns those that match the search, newest first.
async fn hay_and_needles<H: Harness>(rig: &Rig<H>) -> Vec<JobId> {
    let mut wanted = Vec::new();
    for n in 0..60 {
        let text = if n % 25 == 3 { r#"{"a":"needle"}"# } else { r#"{"a":"hay"}"# };
        let id = match n % 3 {
            0 => rig.finish(draft().payload(payload(text)).queue("done")).await,
            _ => rig.add(draft().payload(payload(text))).await.id,
        };
        if n % 25 == 3 {
            wanted.push(id);
        }
    }
    wanted.reverse();
    wanted
}

/// Everything that a search finds, over several answers. Each may examine at most `most` + 1 jobs.
async fn in_pages<H: Harness>(rig: &Rig<H>, words: &str, most: u64) -> Vec<JobId> {
    let mut query = JobQuery { limit: 10, ..search(words) };
    let (mut found, mut pages, mut examined) = (Vec::new(), 0, 0);
    loop {
        let page = rig.store.list(query.clone()).await.unwrap();
        assert!(page.jobs.len() < 10 && page.examined > 0, "{page:?}");
        assert!(page.examined <= most + 1, "{page:?}");
        found.extend(ids(&page.jobs));
        (pages, examined) = (pages + 1, examined + page.examined);
        let Some(next) = page.next else { break };
        assert!(query.after.is_none_or(|after| next.0 < after.0), "the pages do not advance");
        query.after = Some(next);
    }
    assert!(pages > 2 && examined >= 60, "{examined} in {pages} pages");
    found
}

pub(crate) async fn a_search_does_not_depend_on_how_json_is_escaped(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let text = r#"{"city":"M\u00fcller","emoji":"\ud83e\udd80","path":"a\/b","n":1.0}"#;
    let escaped = rig.start(draft().payload(payload(text))).await;
    let failure = Failure::new(FailureClass::Error, r#"HTTP 500: "Gr\u00fc\u00dfe""#);
    rig.settle(&escaped, Verdict::Discarded { failure }).await.unwrap();
    let plain = rig.finish(draft().payload(payload(r#"{"city":"Müller","n":1}"#))).await;
    rig.add(draft().payload(payload(r#"{"city":"M\\u00fcller","n":"one"}"#))).await;
    let both = &[plain, escaped.job.id][..];
    for (words, found) in [
        ("müller", both),
        ("payload:MÜLLER", both),
        ("payload.city:Müller", both),
        ("payload.city:\"Müller\"", both),
        ("payload.n:1", both),
        ("payload.n:1e0 🦀", &[escaped.job.id]),
        ("payload.emoji:🦀", &[escaped.job.id]),
        ("a/b", &[escaped.job.id]),
        ("grüße", &[escaped.job.id]),
        ("error:GRÜSSE", &[]),
        ("error:GRÜẞE", &[escaped.job.id]),
    ] {
        assert_eq!(ids(&rig.all(search(words)).await), found, "{words}");
    }
}

pub(crate) async fn jobs_are_found_by_when_they_ended(harness: impl Harness) {
    let mut rig = Rig::open(harness).await;
    let begun = rig.now();
    let mut ended = Vec::new();
    for n in 0..60 {
        rig.pass(secs(1));
        ended.push(rig.finish(draft().queue(&format!("q{}", n % 2))).await);
    }
    let waiting = rig.add(draft()).await.id;
    let at = |second: u64| Some(begun.after(secs(second)));
    for round in 0..3 {
        for (since, until, found) in [
            (at(11), at(21), &ended[10..20]),
            (at(51), None, &ended[50..]),
            (None, at(5), &ended[..4]),
            (at(61), None, &[]),
            (None, at(0), &[]),
        ] {
            let query = JobQuery {
                ended_since: since,
                ended_until: until,
                limit: 7,
                ..JobQuery::default()
            };
            let newest_first: Vec<JobId> = found.iter().rev().copied().collect();
            assert_eq!(ids(&rig.all(query.clone()).await), newest_first, "round {round}");
            let one = JobQuery { queues: vec![queue("q0")], ..query };
            assert_eq!(rig.all(one).await.len(), found.len() / 2, "round {round}");
        }
        let all = ids(&rig.all(JobQuery { limit: 100, ..JobQuery::default() }).await);
        assert!(all.contains(&waiting) && all.len() == 61);
        // By now the store may have moved finished jobs elsewhere.
        rig = if round == 0 { rig.reopen().await } else { rig };
        rig.catch_up().await;
    }
}

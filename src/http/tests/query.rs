//! Query strings: what each parameter accepts, and how all invalid ones are named.

use super::*;
use crate::job::State;

#[test]
fn lists_may_repeat_or_use_commas() {
    let query = stream_query(Some("queue=a,b&queue=c&type=job.completed&tag=x%20y")).unwrap();
    let queues: Vec<&str> = query.filter.queues.iter().map(|q| q.as_str()).collect();
    assert_eq!(queues, ["a", "b", "c"]);
    assert_eq!(query.filter.types.len(), 1);
    assert_eq!(query.filter.tags[0].as_str(), "x y");
    let query = stream_query(Some("by=user:anna,token:ci&by=schedule:nightly")).unwrap();
    let by: Vec<String> = query.filter.by.iter().map(ToString::to_string).collect();
    assert_eq!(by, ["user:anna", "token:ci", "schedule:nightly"]);
    let now = Time::from_millis(1_000_000);
    let text = "state=running,retryable&limit=7&q=queue:a+payload.x:1&tag=b,c&since=1m";
    let query = job_query(Some(text), now).unwrap();
    assert_eq!(query.states, [State::Running, State::Retryable]);
    assert_eq!((query.queues.len(), query.tags.len(), query.terms.len()), (1, 2, 1));
    assert_eq!((query.since, query.limit), (Some(Time::from_millis(940_000)), 7));
}

#[test]
fn a_wait_is_a_length_of_time_and_a_type_may_be_a_glob() {
    for (text, seconds) in [("wait=20s", 20), ("wait=1m%2030s", 90), ("wait=7", 7)]
        .into_iter()
        .chain([("wait=1d", 86_400), ("wait=1%20hour", 3_600), ("wait=0", 0)])
    {
        let wait = wait_query(Some(text)).unwrap();
        assert_eq!(wait, Duration::from_secs(seconds), "{text}");
    }
    assert!(asks_to_wait(Some("a=1&wait=1s")) && !asks_to_wait(Some("waits=1")));
    let query = stream_query(Some("type=queue.re*,job.started&type=queue.resumed")).unwrap();
    assert_eq!(query.filter.types.len(), 2);
    assert!(query.endless().is_ok());
    assert!(stream_query(Some("wait=1s")).unwrap().endless().is_err());
}

#[test]
fn every_invalid_parameter_is_named_with_what_it_must_be() {
    let (jobs, stream, log) = (
        |query: &str| job_query(Some(query), Time::default()).err(),
        |query: &str| stream_query(Some(query)).err(),
        |query: &str| log_query(Some(query)).err(),
    );
    let max = "must be an integer from 0 to 18446744073709551615, but is";
    for (problem, detail) in [
        (log("after=x"), format!("after: {max} \"x\"")),
        (log("after=-1"), format!("after: {max} \"-1\"")),
        (log("after=%2B1"), format!("after: {max} \"+1\"")),
        (
            log("after=18446744073709551616&follow=maybe"),
            format!(
                "after: {max} \"18446744073709551616\"; \
                 follow: must be true or false, but is \"maybe\""
            ),
        ),
        (log("download=2"), "download: must be true or false, but is \"2\"".into()),
        (stream("stats=maybe"), "stats: must be true or false, but is \"maybe\"".into()),
        (
            stream("limit=0&bogus=1"),
            "bogus: is not known; expected one of limit, wait, queue, kind, job, type, tag, by, after, \
             stats; limit: must be an integer from 1 to 1000, but is \"0\""
                .into(),
        ),
        (
            stream("by=anna"),
            "by: by \"anna\" is not valid: use user:NAME, token:NAME, schedule:NAME or link:ID".into(),
        ),
        (jobs("limit=x"), "limit: must be an integer from 1 to 500, but is \"x\"".into()),
        (
            wait_query(Some("wait=x")).err(),
            "wait: must be a duration such as 20s, 1m 30s or 500ms, but is \"x\"".into(),
        ),
        (
            limit_query(Some("limit=99999999999999999999"), 1, 9).err(),
            "limit: must be an integer from 1 to 9, but is \"99999999999999999999\"".into(),
        ),
    ] {
        assert_eq!(problem.unwrap().detail(), detail);
    }
    for (problem, name) in [
        (jobs("state=,"), "state: "),
        (jobs("queue=a,,b"), "queue: "),
        (jobs("tag=a,"), "tag: "),
        (jobs("kind=+,a"), "kind: "),
        (jobs("since=soon"), "since: "),
        (jobs("q=state:x"), "q: "),
        (jobs("after=1"), "after: "),
        (stream("type=job.started,"), "type: "),
        (stream("job=1"), "job: "),
        (stream("queue=a,"), "queue: "),
        (history_query(Some("queue=a/b%20")).err(), "queue: "),
    ] {
        let problem = problem.unwrap();
        assert!(problem.detail().starts_with(name), "{name}{}", problem.detail());
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    for bad in ["limit=0", "limit=501", "limit=x", "state=done", "colour=red", "after=1"]
        .into_iter()
        .chain(["q=colour:red", "since=soon", "until=x", "limit=1&limit=2", "after=&after="])
        .chain(["state=", "queue=", "kind=+", "tag=,", "q=", "since=", "until=", "limit=", "=x"])
    {
        let problem = job_query(Some(bad), Time::default()).unwrap_err();
        assert_eq!(problem.code(), "invalid_parameter", "{bad}");
    }
    for bad in ["after=here", "job=1", "type=job.finish", "state=running", "limit=1001"]
        .into_iter()
        .chain([
            "type=task.*",
            "wait=soon",
            "wait=-1s",
            "wait=1s&wait=2s",
            "stats&stats",
            "after=&after=",
        ])
        .chain(["queue=", "type=", "job=,", "tag=%20", "kind", "bogus=1", "bogus"])
    {
        assert_eq!(stream_query(Some(bad)).unwrap_err().code(), "invalid_parameter", "{bad}");
    }
    for bad in ["limit=1", "a&b=2"] {
        let problem = no_query(Some(bad)).unwrap_err();
        assert!(problem.detail().contains("takes no parameters"), "{}", problem.detail());
    }
    assert!(no_query(Some("&&")).is_ok() && no_query(None).is_ok());
    let many = |count: usize| vec!["queue=a"; count].join("&");
    assert!(job_query(Some(&many(1_000)), Time::default()).is_ok());
    let problem = job_query(Some(&many(1_001)), Time::default()).unwrap_err();
    assert!(problem.detail().contains("there are more than 1000 parameters"));
    let problem = limit_query(Some("queue=mail&state=x"), 1, 9).unwrap_err();
    assert_eq!(
        problem.detail(),
        "queue: is not known; expected one of limit; state: is not known; expected one of limit"
    );
}

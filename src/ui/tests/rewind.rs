//! Pages of an earlier moment.

use super::offered::principal;
use super::*;
use crate::engine::PastJob;
use crate::http::mount;
use crate::job::{
    Change, Failure, FailureClass, Interruption, JobId, LogLine, Moment, Progress, Role, State,
    Stream, Time,
};
use crate::ui::jobs::list_row::ListRow;

/// The pages as a server has them, which know the address of a request.
fn mounted(desk: Desk) -> Desk {
    Desk { pages: mount(desk.pages, &"/".parse().unwrap()), ..desk }
}

/// The pages after some jobs, in two queues.
async fn with_history() -> (Desk, JobId) {
    let desk = mounted(Desk::open());
    let first = desk.submit(echo(r#"{"card":"4242"}"#)).await;
    desk.submit(Submission { queue: Some("mail".into()), ..echo("1") }).await;
    desk.complete(r#""paid""#).await;
    (desk, first.id)
}

/// The pages that show earlier moments, without their moment.
fn pages(job: JobId) -> [String; 5] {
    ["/", "/jobs", "/queues", "/queues/mail", &format!("/jobs/{job}")].map(str::to_owned)
}

async fn cursor(desk: &Desk) -> String {
    desk.engine.stats().await.unwrap().cursor.to_string()
}

/// Opens a page at the newest event.
async fn at_newest(desk: &Desk, page: &str) -> Answer {
    let separator = if page.contains('?') { '&' } else { '?' };
    desk.get(&format!("{page}{separator}at={}", cursor(desk).await)).await
}

#[tokio::test]
async fn a_past_page_says_its_moment_follows_no_events_and_has_nothing_that_acts() {
    let (desk, job) = with_history().await;
    let cursor = cursor(&desk).await;
    for page in pages(job) {
        let answer = at_newest(&desk, &page).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}: {}", answer.text);
        answer.assert_sound();
        answer.assert_has(" data-rewind ");
        answer.assert_has("<strong>As of <time datetime=");
        answer.assert_has("Completed job <a href=");
        answer.assert_has(&format!("?at={cursor}\""));
        for acts in [
            "method=\"post\"",
            "data-cursor",
            "jobs/new",
            "name=\"id\"",
            "data-copy",
            "id=\"notify\"",
        ] {
            answer.assert_lacks(acts);
        }
    }
}

#[tokio::test]
async fn a_past_page_leaves_out_what_only_the_present_knows() {
    let (desk, job) = with_history().await;
    for page in pages(job) {
        let answer = at_newest(&desk, &page).await;
        for present in [
            "class=\"chart ",
            "class=\"spark\"",
            "Oldest",
            "Jobs/s",
            "workers?queue",
            "curl -",
            "id=\"failing\"",
            "id=\"share\"",
        ] {
            answer.assert_lacks(present);
        }
    }
    at_newest(&desk, "/").await.assert_has("available for the present only");
    at_newest(&desk, "/queues/mail").await.assert_has("available for the present only");
}

#[tokio::test]
async fn live_pages_lead_to_their_earlier_moments_and_others_do_not() {
    let (desk, job) = with_history().await;
    for page in pages(job) {
        let link = format!("href=\"{}?at=now\"", if page == "/" { "./" } else { &page[1..] });
        desk.get(&page).await.assert_has(&link);
        at_newest(&desk, &page).await.assert_lacks("at=now");
    }
    desk.get("/jobs?state=running&queue=a")
        .await
        .assert_has("jobs?state=running&#38;queue=a&#38;at=now");
    for page in
        ["/timeline", "/workers", "/failures", "/schedules", "/jobs/new", "/jobs/bulk", "/nothing"]
    {
        desk.get(page).await.assert_lacks("at=now");
    }
}

#[tokio::test]
async fn links_keep_the_moment_and_those_to_live_pages_say_so() {
    let (desk, job) = with_history().await;
    let cursor = cursor(&desk).await;
    for page in pages(job) {
        let answer = at_newest(&desk, &page).await;
        let (mut kept, mut live) = (0, Vec::new());
        for link in answer.values("href") {
            let path = link.split(['?', '#']).next().unwrap();
            let shows_moments = ["./", "jobs", "queues"].contains(&path)
                || path.starts_with("queues/")
                || path.starts_with("jobs/");
            if shows_moments && link.contains("at=") {
                kept += 1;
            } else if shows_moments {
                live.push(link);
            }
        }
        assert!(kept > 8, "{page}: {kept} links keep the moment");
        // Only the button of the bar, and the link to the charts, lead to the present.
        let own = page.trim_start_matches('/');
        let own = if own.is_empty() { "./" } else { own };
        assert!(live.iter().all(|link| link == own) && !live.is_empty(), "{page}: {live:?}");
        answer.assert_has("<span class=\"sr\"> (live only)</span>");
        for shared in ["timeline?at", "failures?at", "workers?at", "schedules?at"] {
            answer.assert_lacks(shared);
        }
    }
    let list = at_newest(&desk, "/jobs?queue=mail").await;
    list.assert_has(&format!("<input type=\"hidden\" name=\"at\" value=\"{cursor}\">"));
    list.assert_has(&format!("href=\"jobs?state=running&#38;queue=mail&#38;at={cursor}\""));
    list.assert_has(
        &format!("href=\"jobs?queue=mail&#38;sort=kind&#38;at={cursor}\"").replace("kind", "job"),
    );
}

#[tokio::test]
async fn a_page_that_is_full_leads_to_the_next_page_of_the_same_moment() {
    let desk = Desk::open();
    desk.echoes(60).await;
    let first = at_newest(&desk, "/jobs").await;
    let next = first.values("href").into_iter().find(|link| link.contains("after=")).unwrap();
    let second = desk.get(&next).await;
    let ids = second.values("data-job");
    assert_eq!((second.status, ids.len()), (StatusCode::OK, 10), "{next}");
    second.assert_has(" data-rewind ");
}

#[tokio::test]
async fn a_moment_that_means_something_else_tomorrow_is_redirected_to_one_that_does_not() {
    let clock = ManualClock::at("2026-12-01T03:12:07Z".parse().unwrap());
    let desk = mounted(Desk::by(clock.clone()));
    desk.submit(echo("1")).await;
    clock.advance(Duration::from_secs(600));
    let newest = cursor(&desk).await;
    for (at, expected) in [
        ("03:15", "2026-12-01T03:15:00Z"),
        ("03:12:07", "2026-12-01T03:12:07Z"),
        ("2026-12-01T03:15", "2026-12-01T03:15:00Z"),
        ("2026-12-01T04%3A15%3A00%2B01%3A00", "2026-12-01T03:15:00Z"),
        ("now", newest.as_str()),
    ] {
        let answer = desk.get(&format!("/jobs?at={at}&queue=default")).await;
        let location = format!("/jobs?queue=default&at={expected}");
        assert_eq!((answer.status, answer.location), (StatusCode::SEE_OTHER, location), "{at}");
    }
    let home = desk.get("/?at=03:15").await;
    assert_eq!(home.location, "/?at=2026-12-01T03:15:00Z");
    let page = desk.get("/jobs?at=2026-12-01T03:15:00Z").await;
    // The page keeps the time that was asked for, and offers the link with the event.
    page.assert_has("<strong>As of <time datetime=\"2026-12-01T03:15:00.000Z\"");
    page.assert_has(&format!("data-link=\"jobs?at={newest}\""));
    page.assert_has("2 min ago");
    page.assert_has("name=\"at\" id=\"rewind-at\" value=\"2026-12-01T03:15:00\"");
}

#[tokio::test]
async fn a_moment_that_cannot_be_read_or_shown_is_answered_with_what_is_accepted() {
    let (desk, job) = with_history().await;
    let other = format!("{:08x}:1", 1);
    for at in ["yesterday", "25:00", "2026-13-01", "%22%3Cb%3E", other.as_str()] {
        for page in pages(job) {
            let answer = desk.get(&format!("{page}?at={at}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{page} at {at}");
            answer.assert_sound();
            answer.assert_has("Accepted: a time of day in UTC such as 03:12");
            answer.assert_has("The event log reaches back to <time");
            answer.assert_has("name=\"at\" id=\"at\" value=");
            let present = if page == "/" { "./" } else { &page[1..] };
            answer.assert_has(&format!(
                "<a class=\"button\" href=\"{present}\">Show this page as it is now"
            ));
            answer.assert_lacks("<b>");
        }
    }
    let kept = desk.get("/jobs?state=running&at=x").await;
    kept.assert_has("<input type=\"hidden\" name=\"state\" value=\"running\">");
    let empty = Desk::open().get("/?at=now").await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    empty.assert_has("The event log has no events yet.");
}

#[tokio::test]
async fn an_empty_moment_is_the_present() {
    let (desk, _) = with_history().await;
    let answer = desk.get("/jobs?at=&queue=mail").await;
    answer.assert_has("data-cursor");
    answer.assert_lacks("parameter");
}

#[tokio::test]
async fn what_did_not_exist_is_answered_with_the_bar() {
    let (desk, _) = with_history().await;
    let unknown = "01940000-0000-7000-8000-000000000000";
    for page in ["/queues/none".to_owned(), format!("/jobs/{unknown}")] {
        let answer = at_newest(&desk, &page).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{page}");
        answer.assert_has("did not exist then");
        answer.assert_has("id=\"rewind\"");
        answer.assert_sound();
    }
}

#[tokio::test]
async fn what_needs_the_present_is_ignored_and_named() {
    let (desk, _) = with_history().await;
    let list = at_newest(&desk, "/jobs?q=payload.card:4242+boom").await;
    list.assert_has("so <strong>payload.card:4242 boom</strong> was ignored");
    assert_eq!(list.values("data-job").len(), 2);
    let queues = at_newest(&desk, "/queues?show=failing&sort=oldest").await;
    queues.assert_has("show=failing”, “sort=oldest” were ignored");
    queues.assert_has("data-queue=\"mail\"");
    queues.assert_lacks("<option value=\"failing\"");
    at_newest(&desk, "/queues?group=prefix").await.assert_lacks(">Oldest<");
}

#[tokio::test]
async fn a_pasted_id_opens_the_job_at_the_same_moment() {
    let (desk, job) = with_history().await;
    let answer = at_newest(&desk, &format!("/jobs?q={job}")).await;
    assert_eq!(answer.location, format!("/jobs/{job}?at={}", cursor(&desk).await));
}

#[tokio::test]
async fn the_reader_keeps_their_name_and_no_button() {
    let (desk, job) = with_history().await;
    desk.engine.pause(QueueName::parse("mail").unwrap()).await.unwrap();
    let principal = principal("anna", Role::Operator);
    let at = cursor(&desk).await;
    for page in pages(job) {
        let answer = desk.get_as(&principal, &format!("{page}?at={at}")).await;
        answer.assert_has("Logged in as anna");
        answer.assert_lacks("method=\"post\"");
    }
}

#[tokio::test]
async fn only_admins_read_what_an_event_about_access_was() {
    let desk = Desk::open();
    desk.submit(echo("1")).await;
    crate::http::tests::team::add_user(&desk.engine, "bert", Role::Admin).await;
    let at = cursor(&desk).await;
    for (role, reads) in [(Role::Viewer, false), (Role::Operator, false), (Role::Admin, true)] {
        let answer = desk.get_as(&principal("anna", role), &format!("/jobs?at={at}")).await;
        answer.assert_has("event <span class=\"num\">");
        assert_eq!(answer.text.contains("bert"), reads, "{role}: {}", answer.text);
    }
}

#[tokio::test]
async fn nothing_that_a_job_carried_is_left_of_one_that_is_gone() {
    let mut job = Desk::open().submit(echo(r#""secret payload""#)).await;
    let at = Time::from_millis(1_000);
    let failure = Failure::new(FailureClass::Error, "secret in an error");
    let changes = [
        Change::RetryScheduled { failure: failure.clone(), run_at: at },
        Change::Completed { result: Json::parse("\"secret result\"").unwrap() },
        Change::Discarded { failure },
        Change::Interrupted { why: Interruption::Stop },
    ];
    let moment =
        |change| Moment { seq: 1, at, state: State::Discarded, attempt: 1, by: None, change };
    job.history.extend(changes.map(moment));
    job.status.state = State::Discarded;
    job.log = vec![LogLine { at, stream: Stream::Stdout, text: "secret line".into() }];
    job.progress = Some(Progress { done: 1, total: None, message: Some("secret step".into()) });
    let left = job.clone().without_removed_content();
    assert!(!format!("{left:?}").contains("secret"), "{left:?}");
    assert_eq!((left.id, left.status, left.history.len()), (job.id, job.status, job.history.len()));
    let row = |is_gone| ListRow::of_past(&PastJob { job: job.clone(), is_gone }, at);
    let (shown, gone) = (row(false), row(true));
    assert!(shown.payload.is_some() && shown.cells.error.is_some() && !shown.cells.is_gone);
    assert!(gone.payload.is_none() && gone.cells.error.is_none() && gone.cells.is_gone);
}

#[tokio::test]
async fn a_job_that_has_been_deleted_since_is_marked_and_shows_nothing_that_it_carried() {
    let (desk, job) = with_history().await;
    let at = cursor(&desk).await;
    desk.engine.delete(job).await.unwrap();
    for page in pages(job) {
        let answer = desk.get(&format!("{page}?at={at}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}");
        for carried in ["4242", "paid"] {
            answer.assert_lacks(carried);
        }
    }
    desk.get(&format!("/jobs?at={at}"))
        .await
        .assert_has("<span class=\"gone\">deleted since</span>");
    let page = desk.get(&format!("/jobs/{job}?at={at}")).await;
    page.assert_has("This job has been <strong>deleted since</strong>.");
    for section in ["payload-title", "result-title", "log-title"] {
        page.assert_lacks(section);
    }
}

#[tokio::test]
async fn moments_outside_the_log_are_refused() {
    let clock = ManualClock::at("2026-12-01T03:12:07Z".parse().unwrap());
    let desk = mounted(Desk::by(clock.clone()));
    desk.submit(echo("1")).await;
    clock.advance(Duration::from_secs(600));
    let newest = desk.engine.stats().await.unwrap().cursor;
    let ahead = crate::job::Cursor { seq: newest.seq + 1, ..newest }.to_string();
    for (at, message) in [
        ("2026-12-01T03:12:05Z", "The event log reaches back to 2026-12-01T03:12:07.000Z only."),
        ("2026-12-01T03:30:00Z", "This moment has not come yet."),
        (ahead.as_str(), "This moment has not come yet."),
        ("00000001:1", "The cursor belongs to another event log"),
    ] {
        let answer = desk.get(&format!("/jobs?at={at}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{at}");
        answer.assert_has(message);
    }
    let just_before = desk.get("/jobs?at=2026-12-01T03:12:06.500Z").await;
    assert_eq!(just_before.location, "/jobs?at=2026-12-01T03:12:07Z");
    let now: Time = desk.engine.now();
    assert_eq!(desk.get(&format!("/jobs?at={now}")).await.status, StatusCode::SEE_OTHER);
}

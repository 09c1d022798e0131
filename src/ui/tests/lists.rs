//! The home page and the job list.

use axum::http::StatusCode;

use super::*;

fn rows(answer: &Answer) -> Vec<String> {
    answer.values("data-job").into_iter().filter(|id| !id.is_empty()).collect()
}

#[tokio::test]
async fn pages_of_a_list_hold_every_job_once() {
    let desk = Desk::open();
    desk.echoes(120).await;
    let (mut seen, mut path) = (Vec::new(), "/jobs".to_owned());
    loop {
        let answer = desk.get(&path).await;
        seen.extend(rows(&answer));
        let next = answer.values("href").into_iter().rfind(|link| link.contains("after="));
        match next.filter(|_| answer.text.contains("rel=\"next\"")) {
            Some(next) => path = next,
            None => break,
        }
    }
    let newest_first = seen.windows(2).all(|pair| pair[0] > pair[1]);
    assert!(seen.len() == 120 && newest_first, "{} rows", seen.len());
    desk.get(&path).await.assert_has("← Newest");
}

#[tokio::test]
async fn a_list_shows_only_what_its_filter_lets_through() {
    let desk = Desk::open();
    desk.echoes(2).await;
    let mail = Submission {
        queue: Some("mail".into()),
        tags: Some(vec!["red & green".into()]),
        ..echo("1")
    };
    let id = desk.submit(mail).await.id.to_string();
    desk.complete("1").await;
    for path in
        ["/jobs?queue=mail", "/jobs?tag=red%20%26%20green", "/jobs?queue=mail&state=available"]
    {
        assert_eq!(rows(&desk.get(path).await), [id.as_str()], "{path}");
    }
    assert_eq!(rows(&desk.get("/jobs?state=completed").await).len(), 1);
    assert_eq!(rows(&desk.get("/jobs?kind=sleep").await).len(), 0);
    desk.get("/jobs?kind=sleep").await.assert_has("No jobs match this filter.");
}

#[tokio::test]
async fn tabs_count_under_the_filter_and_keep_it() {
    let desk = Desk::open();
    desk.echoes(3).await;
    desk.submit(Submission { queue: Some("mail".into()), ..echo("1") }).await;
    let count = |n: u32| format!("data-count=\"available\">{n}</span>");
    desk.get("/jobs").await.assert_has(&count(4));
    let mail = desk.get("/jobs?queue=mail").await;
    mail.assert_has(&count(1));
    mail.assert_has("href=\"jobs?state=running&#38;queue=mail\"");
    desk.get("/jobs?queue=mail&kind=echo").await.assert_lacks("data-count=\"available\"");
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_explained_and_kept() {
    let desk = Desk::open();
    let answer = desk.get("/jobs?queue=two+words&state=done").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    answer.assert_has("value=\"two words\"");
    answer.assert_has("one of scheduled, available");
}

#[tokio::test]
async fn dead_letters_have_a_title_and_say_what_they_are() {
    let answer = Desk::open().get("/jobs?state=discarded").await;
    answer.assert_has("<h1>Discarded jobs</h1>");
    answer.assert_has("No discarded jobs.");
}

#[tokio::test]
async fn home_counts_states_and_queues_and_lists_what_came_last() {
    let desk = Desk::open();
    desk.get("/").await.assert_has("No jobs yet.");
    desk.echoes(30).await;
    desk.complete("1").await;
    let home = desk.get("/").await;
    home.assert_has("data-count=\"available\">29</span>");
    home.assert_has("data-count=\"completed\">1</span>");
    home.assert_has("data-queue=\"default\"");
    home.assert_has("action=\"queues/default/pause\"");
    assert_eq!(rows(&home).len(), 12);
}

#[tokio::test]
async fn sorting_orders_the_rows_of_a_page_and_leaves_the_pages_as_they_are() {
    let desk = Desk::open();
    for n in 0..70 {
        let queue = if n % 3 == 0 { "b" } else { "a" };
        desk.submit(Submission { queue: Some(queue.into()), ..echo("1") }).await;
    }
    let queues = |answer: &Answer| {
        let parts = answer.text.split("data-f=\"queue\">").skip(1);
        let names = parts.map(|part| part.split('<').next().unwrap().to_owned());
        names.filter(|name| !name.is_empty()).collect::<Vec<_>>()
    };
    let (plain, sorted) = (desk.get("/jobs").await, desk.get("/jobs?sort=queue").await);
    sorted.assert_has("Only the rows of this page are sorted, by queue, from A to Z");
    sorted.assert_has("<th scope=\"col\" class=\"c-queue\" aria-sort=\"ascending\">");
    let (mut first, mut same) = (rows(&plain), rows(&sorted));
    first.sort();
    same.sort();
    assert_eq!(first, same, "the page has other jobs");
    assert!(queues(&sorted).is_sorted() && !queues(&plain).is_sorted());
    let next = |answer: &Answer| {
        answer.values("href").into_iter().find(|link| link.contains("after=")).unwrap()
    };
    assert_eq!(next(&sorted).replace("sort=queue&", ""), next(&plain));
    let second = desk.get(&next(&sorted)).await;
    assert!(queues(&second).is_sorted() && rows(&second).len() == 20);
    assert!(rows(&second).iter().all(|id| !first.contains(id)));
    let reversed = second.values("href").into_iter().find(|link| link.contains("sort=-queue"));
    let reversed = desk.get(&reversed.unwrap()).await;
    assert!(queues(&reversed).iter().rev().is_sorted() && rows(&reversed).len() == 20);
}

#[tokio::test]
async fn a_list_is_sorted_only_by_what_its_rows_have() {
    let desk = Desk::open();
    let answer = desk.get("/jobs?sort=size").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    answer.assert_has("A page cannot be sorted by &#34;size&#34;; use one of state, job, queue");
}

#[tokio::test]
async fn a_row_has_the_run_of_the_newest_attempt_and_the_beginning_of_the_payload() {
    let desk = Desk::open();
    desk.submit(echo(r#"{"a":[1,"<b>"]}"#)).await;
    desk.get("/jobs").await.assert_has("<td class=\"c-duration num\" data-f=\"run\"></td>");
    let lease = desk.claim().await;
    let running = desk.get("/jobs").await;
    running.assert_has("<td class=\"c-duration num\" data-f=\"run\"><time datetime=");
    desk.settle(&lease, Verdict::Completed { result: Json::null() }).await;
    let done = desk.get("/jobs").await;
    done.assert_has(" ms</td>");
    done.assert_has(r#"data-f="payload">{&#34;a&#34;:[1,&#34;&#60;b&#62;&#34;]}</td>"#);
    done.assert_sound();
}

#[tokio::test]
async fn jobs_that_have_not_started_come_last_when_sorted_by_duration() {
    let desk = Desk::open();
    let ran = desk.submit(echo("1")).await.id.to_string();
    desk.complete("1").await;
    let waits = desk.submit(echo("2")).await.id.to_string();
    for order in ["duration", "-duration"] {
        let page = desk.get(&format!("/jobs?sort={order}")).await;
        assert_eq!(rows(&page), [ran.as_str(), waits.as_str()], "{order}");
    }
}

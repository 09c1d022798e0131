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

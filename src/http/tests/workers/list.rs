//! `GET /api/v1/workers`: the list in pages, and its filters.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Shop, say};
use crate::http::tests::support::errors;

/// More than the server examines in one step, so that pages and filters cross the ends of steps.
const MANY: usize = 600;

fn name(n: usize) -> String {
    format!("web-{n:03}")
}

/// Connects many workers over HTTP: every third runs `thumb`, the others `resize`.
async fn many() -> Shop {
    let shop = Shop::open().await;
    for n in 0..MANY {
        let kind = if n % 3 == 0 { "thumb" } else { "resize" };
        let queue = if n < 4 { "mail" } else { "images" };
        let about = json!({"host": format!("Box-{}", n % 7), "client": "c"});
        let claim =
            json!({"kinds": [kind], "queues": [queue], "about": about, "lease_ms": 600_000});
        assert_eq!(shop.claim_as(&name(n), claim).await.status, 200);
    }
    shop
}

fn names(page: &Value) -> Vec<String> {
    let workers = page["workers"].as_array().unwrap_or_else(|| panic!("{page}"));
    let remote = workers.iter().filter(|worker| worker["remote"] == true);
    remote.map(|worker| worker["name"].as_str().unwrap().to_owned()).collect()
}

/// All pages of a list, and the number of answers.
async fn all(shop: &Shop, query: &str) -> (Vec<String>, usize) {
    let (mut listed, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/api/v1/workers?{query}&after={after}");
        let page = shop.server.get(&path).await.json();
        listed.extend(names(&page));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return (listed, pages),
        }
    }
}

#[tokio::test]
async fn a_long_list_of_workers_comes_in_pages_that_miss_none() {
    let shop = many().await;
    let first = shop.server.get("/api/v1/workers").await.json();
    assert_eq!(names(&first), (0..100).map(name).collect::<Vec<_>>());
    assert_eq!((&first["workers"][0]["remote"], &first["next"]), (&json!(false), &json!(name(99))));
    for (limit, pages) in [(7, 86), (100, 6), (256, 3), (600, 1), (1_000, 1)] {
        let (listed, answers) = all(&shop, &format!("limit={limit}")).await;
        assert_eq!((listed, answers), ((0..MANY).map(name).collect(), pages), "{limit}");
    }
    let second = shop.server.get("/api/v1/workers?limit=2&after=web-003").await.json();
    assert_eq!(names(&second), [name(4), name(5)]);
    assert_eq!(
        second["workers"].as_array().unwrap().len(),
        2,
        "the own worker is on the first page"
    );
}

#[tokio::test]
async fn the_list_of_workers_can_be_filtered() {
    let shop = many().await;
    for n in [5, 300, 599] {
        let path = format!("/api/v1/workers/{}/quiet", name(n));
        assert_eq!(shop.server.send("POST", &path, &[], "").await.status, 204);
    }
    let path = format!("/api/v1/workers/{}/stop", name(301));
    assert_eq!(shop.server.send("POST", &path, &[], "").await.status, 204);
    let (quiet, _) = all(&shop, "state=quiet&limit=2").await;
    assert_eq!(quiet, [name(5), name(300), name(599)]);
    let (told, _) = all(&shop, "state=quiet,stopping&kind=resize").await;
    assert_eq!(told, [name(5), name(301), name(599)]);
    let (thumb, _) = all(&shop, "kind=thumb,other&queue=mail").await;
    assert_eq!(thumb, [name(0), name(3)]);
    let (hosts, _) = all(&shop, "q=BOX-6&limit=50").await;
    assert_eq!(hosts, (0..MANY).filter(|n| n % 7 == 6).map(name).collect::<Vec<_>>());
    for own in ["q=web-1", "state=quiet", "kind=resize"] {
        let page = shop.server.get(&format!("/api/v1/workers?{own}")).await.json();
        assert_eq!(page["workers"][0]["remote"], true, "the own worker does not match {own}");
    }
    let nothing = shop.server.get("/api/v1/workers?q=nowhere").await.json();
    assert_eq!((&nothing["workers"], &nothing["next"]), (&json!([]), &Value::Null));
    let wrong = shop.server.get("/api/v1/workers?state=busy&limit=0&queue=&name=x").await;
    let problem = wrong.is_problem(400, "invalid_parameter");
    let fields: BTreeSet<String> = errors(&problem)
        .iter()
        .filter_map(|error| Some(error.split_once(':')?.0.to_owned()))
        .collect();
    assert_eq!(fields, ["limit", "name", "queue", "state"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_worker_that_holds_a_job_is_listed_with_it() {
    let shop = Shop::open().await;
    let id = shop.add(1).await[0];
    let mut socket = shop.ready("web-1", 1).await;
    socket.next().await;
    say(&mut socket, json!({"type": "ping"})).await;
    let page = shop.server.get("/api/v1/workers?limit=1").await.json();
    assert_eq!((&page["workers"][1]["running"], &page["total"]), (&json!(1), &json!(1)));
    assert_eq!(page["attempts"][0]["job"], json!(id));
}

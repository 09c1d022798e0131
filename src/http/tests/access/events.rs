//! Who caused an event, and who may read the events about users and credentials.

use serde_json::{Value, json};

use crate::http::tests::support::Server;
use crate::http::tests::team::{add_token, add_user, bearer};
use crate::job::{Cursor, Role};

#[tokio::test]
async fn only_admins_read_the_events_about_users_and_everybody_reads_who_caused_the_others() {
    let server = Server::start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    let (_, admin) = add_token(&server.engine, "boss", Role::Admin, |_| {}).await;
    let (_, viewer) = add_token(&server.engine, "eye", Role::Viewer, |_| {}).await;
    let after = Cursor { seq: 0, ..server.engine.head() };
    let send = async |method: &str, path: &str, token: &str, body: &str| {
        let authorization = bearer(token);
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        server.send(method, path, &headers, body).await
    };
    let paused = send("POST", "/api/v1/queues/mail/pause", &admin, "").await;
    assert_eq!(paused.status, 204, "{paused:?}");
    let read = async |token: &str, filter: &str| -> Vec<Value> {
        let path = format!("/api/v1/events?after={after}{filter}");
        let answer = send("GET", &path, token, "").await.json();
        answer["events"].as_array().unwrap().clone()
    };
    let types = |events: &[Value]| -> Vec<String> {
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let all = read(&admin, "").await;
    assert_eq!(types(&all), ["user.added", "token.added", "token.added", "queue.paused"]);
    assert_eq!(all[3]["by"], json!({"token": "boss"}));
    assert_eq!(types(&read(&viewer, "").await), ["queue.paused"]);
    assert!(read(&viewer, "&type=user.*,token.*").await.is_empty());
    assert_eq!(types(&read(&viewer, "&by=token:boss").await), ["queue.paused"]);
    assert!(read(&viewer, "&by=token:eye").await.is_empty());
}

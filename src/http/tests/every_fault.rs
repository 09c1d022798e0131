//! Bodies with several faults: each of them is named, those in different elements of an array, too.

use super::support::{Server, errors};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn every_element_of_an_array_is_checked_and_both_parts_of_a_time() {
    let server = Server::start().await;
    let refused = async |path: &str, body: &str, expected: &[&str]| {
        let problem = server.post(path, body).await.is_problem(422, "invalid_fields");
        assert_eq!(errors(&problem), expected, "{path} {body}");
    };
    let tag = "is not valid: use 1 to 100 characters without commas, characters that cannot be seen, or spaces at the ends";
    refused(
        "/api/v1/jobs",
        r#"{"kind":"echo","tags":["a,b",5,"","fine",null]}"#,
        &[
            "tags[1]: must be a string, but is 5",
            "tags[4]: must be a string, but is null",
            &format!("tags[0]: tag \"a,b\" {tag}"),
            &format!("tags[2]: tag \"\" {tag}"),
        ],
    )
    .await;
    for (method, path, more) in
        [("PUT", "/api/v1/schedules/s", r#","kind":"echo""#), ("POST", "/api/v1/cron/preview", "")]
    {
        let body = format!(r#"{{"cron":"61 * * * *","zone":"Mars/Olympus"{more}}}"#);
        let problem =
            server.send(method, path, &JSON, &body).await.is_problem(422, "invalid_fields");
        let all = errors(&problem);
        assert!(all.len() == 2 && all[0].starts_with("cron: \"61\" is not"), "{path}: {all:?}");
        assert!(all[1].starts_with("zone: unknown time zone \"Mars/Olympus\""), "{path}: {all:?}");
    }
    let ids = r#"{"action":"retry","ids":["x",7,"y"]}"#;
    refused(
        "/api/v1/bulk/preview",
        ids,
        &[
            "ids[1]: must be a string, but is 7",
            "ids[0]: job id \"x\" is not valid: expected a UUID",
            "ids[2]: job id \"y\" is not valid: expected a UUID",
        ],
    )
    .await;
    let queue = "is not valid: use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end";
    let filter = r#"{"action":"retry","filter":{"queue":["a b",5,"fine","c d"],"kind":["e f"]}}"#;
    refused(
        "/api/v1/bulk/preview",
        filter,
        &[
            "filter.queue[1]: must be a string, but is 5",
            &format!("filter.queue[0]: queue \"a b\" {queue}"),
            &format!("filter.queue[3]: queue \"c d\" {queue}"),
            &format!("filter.kind[0]: kind \"e f\" {queue}"),
        ],
    )
    .await;
}

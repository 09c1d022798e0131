//! The page about the API.

use super::*;

#[tokio::test]
async fn the_page_about_the_api_has_every_operation_with_its_commands_and_every_error() {
    let desk = Desk::open();
    let page = desk.get("/api").await;
    page.assert_sound();
    for shown in [
        "<title>API · Cortado</title>",
        "<a href=\"api/openapi.json\">",
        "<a href=\"api/asyncapi.json\">",
        "<strong>POST</strong> <code>/api/v1/jobs</code> <span class=\"hint\">Submit a job, or an array of jobs</span>",
        "curl http://127.0.0.1:8080/api/v1/jobs/019ab001-7c3e-7d10-8a55-0242ac120002</pre>",
        "Needs the role <code>operator</code>.",
        "<a href=\"api#error-unknown_kind\"><code>unknown_kind</code></a>",
        "<div id=\"error-unknown_kind\">",
        "id=\"schema-JobRow\"",
        "at least 0",
        "1 to 1000",
    ] {
        page.assert_has(shown);
    }
    let document: serde_json::Value = serde_json::from_str(crate::http::openapi::text()).unwrap();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            page.assert_has(&format!("id=\"op-{id}\""));
        }
    }
}

#[tokio::test]
async fn the_page_about_the_api_names_parameters_that_it_does_not_know() {
    let page = Desk::open().get("/api?q=jobs").await;
    page.assert_has("The unknown parameter “q” was ignored.");
}

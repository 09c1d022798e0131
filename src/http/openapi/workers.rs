//! Workers in other processes, their leases, and callbacks of services.

use super::examples::{self, LEASE};
use super::operation::Endpoint;
use super::schema::{matching, named, one_of, plain_name, text_of, worker_name_or_empty};
use crate::engine::WorkerState;
use crate::http::api::query::{MAX_WORKERS, USUAL_WORKERS};

/// The operations.
pub fn endpoints() -> Vec<Endpoint> {
    let states = one_of(WorkerState::ALL.map(WorkerState::as_str));
    let mut all = vec![
        Endpoint::new("GET", "/api/v1/workers", "listWorkers", "List the workers and the oldest attempts")
            .about("The worker of the server's own process comes before the first page.")
            .query("q", super::schema::matching(r"\S"), "A text that the name, the host or the client contains.")
            .queries("state", states, "States.")
            .queries("kind", plain_name(), "Kinds that it runs.")
            .queries("queue", plain_name(), "Queues from which it takes jobs.")
            .query("after", worker_name_or_empty(), "The `next` of the page before.")
            .limit(MAX_WORKERS, USUAL_WORKERS)
            .answer(200, "A page of workers.", named("Workers")),
        of_worker("POST", "/api/v1/workers/{name}/claim", "claimJobs", "Claim jobs to run")
            .about("`docs/workers.md` describes the protocol of workers, and `/api/asyncapi.json` its messages.")
            .body(named("Claim"), examples::CLAIM)
            .answer(200, "The claimed jobs.", named("ClaimedJobs"))
            .linked(200, "/leases/0/lease", "lease", &["reportCallback"])
            .may_fail(&["too_many_kinds", "too_many_workers", "too_many_workers_of_token"]),
        of_worker("DELETE", "/api/v1/workers/{name}", "signOffWorker", "Sign a worker off")
            .about("The jobs that it holds are given back, and their attempts do not count.")
            .without_fields()
            .answer(200, "The worker has signed off.", named("SignedOff"))
            .may_fail(&["worker_not_found"]),
        super::stream::socket(of_worker(
            "GET",
            "/api/v1/workers/{name}/ws",
            "connectWorker",
            "Connect a worker over WebSocket",
        ))
        .about("The subprotocol is `cortado.worker.v1+json`. `/api/asyncapi.json` describes the messages."),
        Endpoint::new("POST", "/api/v1/leases", "reportLeases", "Report about attempts")
            .about("Extends leases, stores log lines and progress, and ends attempts. What is settled is durable.")
            .body(named("Report"), examples::REPORT)
            .answer(200, "One answer for each item.", named("ReportAnswer")),
        Endpoint::new("POST", "/api/v1/leases/{lease}", "reportCallback", "Report about one attempt, as a callback")
            .about("The lease is the credential. That of a worker needs the role `worker`, too.")
            .segment("lease", text_of(1, 200), LEASE, "The lease.")
            .body(named("CallbackReport"), examples::CALLBACK)
            .answer(200, "One answer for each part.", named("CallbackAnswer"))
            .may_fail(&["forbidden", "no_such_lease", "too_many_failed_logins", "unauthorized", "unavailable"]),
    ];
    for (path, id, summary) in [
        ("/api/v1/workers/{name}/quiet", "quietWorker", "Tell a worker to claim no more jobs"),
        (
            "/api/v1/workers/{name}/stop",
            "stopWorker",
            "Tell a worker to finish what it runs and to exit",
        ),
        ("/api/v1/workers/{name}/resume", "resumeWorker", "Tell a worker to claim jobs again"),
    ] {
        all.push(
            of_worker("POST", path, id, summary)
                .without_fields()
                .answer_empty(204, "The worker is told.")
                .may_fail(&["worker_not_found"]),
        );
    }
    all
}

fn of_worker(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Endpoint {
    let name = matching("^[A-Za-z0-9_.:@-]{1,100}$");
    Endpoint::new(method, path, id, summary).segment(
        "name",
        name,
        "web-1",
        "The name of the worker. `local` is that of the server's own process.",
    )
}

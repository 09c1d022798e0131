//! The problem document for each error of a worker's request.

use axum::http::StatusCode;

use crate::engine::WorkerError;
use crate::http::Problem;
use crate::http::access::principal::forbidden;
use crate::http::server_fault::ServerFault;

impl From<WorkerError> for Problem {
    fn from(error: WorkerError) -> Self {
        let detail = error.to_string();
        match error {
            WorkerError::NotFound(_) => {
                Problem::new(StatusCode::NOT_FOUND, "worker_not_found", detail)
            }
            WorkerError::TooMany { .. } => ServerFault::TooManyWorkers.problem(detail),
            WorkerError::TooManyOfToken { .. } => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                Problem::new(status, "too_many_workers_of_token", detail).retry_after(10)
            }
            WorkerError::OfAnother(_) => forbidden(detail),
            WorkerError::OwnName(_) | WorkerError::NameOfNode(..) => {
                Problem::invalid_parameter("worker", detail)
            }
            WorkerError::Stopping => ServerFault::Stopping.problem(detail),
            WorkerError::Store(error) => error.into(),
        }
    }
}

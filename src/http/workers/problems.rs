//! The problem document for each error of a worker's request.

use axum::http::StatusCode;

use crate::engine::WorkerError;
use crate::http::Problem;

impl From<WorkerError> for Problem {
    fn from(error: WorkerError) -> Self {
        let detail = error.to_string();
        match error {
            WorkerError::NotFound(_) => {
                Problem::new(StatusCode::NOT_FOUND, "worker_not_found", detail)
            }
            WorkerError::TooMany { .. } => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Problem::new(status, "too_many_workers", detail).retry_after(10)
            }
            WorkerError::OwnName(_) => Problem::invalid_parameter("worker", detail),
            WorkerError::Stopping => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Problem::new(status, "draining", detail).retry_after(2)
            }
            WorkerError::Store(error) => error.into(),
        }
    }
}

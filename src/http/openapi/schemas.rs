//! The schemas of all topics, which both documents have in their components.

use super::schema::ApiSchema;
use super::{
    access, bulk, errors, job_schemas, jobs, kinds, queues, schedules, server, stream,
    worker_schemas,
};

/// All schemas, by their names.
pub fn schemas() -> impl Iterator<Item = (&'static str, ApiSchema)> {
    let schemas = [
        access::schemas(),
        bulk::schemas(),
        errors::schemas(),
        job_schemas::schemas(),
        jobs::schemas(),
        kinds::schemas(),
        queues::schemas(),
        schedules::schemas(),
        server::schemas(),
        stream::schemas(),
        worker_schemas::schemas(),
    ];
    schemas.into_iter().flatten()
}

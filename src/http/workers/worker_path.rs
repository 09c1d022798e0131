//! The name of a worker in a path.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::api::access::fields::PathName;
use crate::http::{Api, Problem};
use crate::job::{Invalid, WorkerName};

/// The name of a worker in the path, which may have a `~` in front like other names.
pub struct PathWorker(pub WorkerName);

impl FromRequestParts<Api> for PathWorker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let PathName(text) = PathName::from_request_parts(parts, api).await?;
        let name = remote_name(&text);
        name.map(PathWorker)
            .map_err(|error| Problem::invalid_parameter("worker", error.to_string()))
    }
}

/// The name of a remote worker, which must fit into a path as it is.
fn remote_name(text: &str) -> Result<WorkerName, Invalid> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:@-".contains(&byte));
    let accepted = "use 1 to 100 of the characters a-z A-Z 0-9 _ . : @ -";
    let name = if is_plain { WorkerName::parse(text).ok() } else { None };
    name.ok_or_else(|| Invalid::new("worker", text, accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_worker_fits_into_a_path() {
        for good in ["web-1:4711", "cron", "cortado@host.example_1", &"w".repeat(100)] {
            assert_eq!(remote_name(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "größe", "a,b", &"w".repeat(101)] {
            assert!(remote_name(bad).is_err(), "{bad}");
        }
    }
}

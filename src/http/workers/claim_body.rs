//! The body of an answer that brings jobs. When the client leaves before it is sent, the jobs are given back at once.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::engine::UnsentGrants;

/// A response that brings jobs.
pub fn bringing(response: Response, grants: UnsentGrants) -> Response {
    if grants.is_empty() {
        return response;
    }
    response.map(|body| Body::new(JobsBody { body, grants: Some(grants) }))
}

struct JobsBody {
    body: Body,
    /// Exists until the body is taken to be sent.
    grants: Option<UnsentGrants>,
}

impl HttpBody for JobsBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(grants) = self.grants.take() {
            drop(grants.send());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! Finishes the responses that handlers leave open because they do not know the address of the request: error pages and
//! redirects.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::UiError;
use super::page::SeeOther;
use crate::http::layers::base_path::Address;

/// A layer around all pages.
pub async fn finish(address: Address, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let extensions = response.extensions_mut();
    if let Some(error) = extensions.remove::<UiError>() {
        return error.page(&address);
    }
    if let Some(SeeOther(relative)) = extensions.remove() {
        return match HeaderValue::try_from(address.url(&relative)) {
            Ok(location) => {
                response.headers_mut().insert(header::LOCATION, location);
                response
            }
            Err(_) => UiError::not_found("There is nothing at this address").into_response(),
        };
    }
    response
}

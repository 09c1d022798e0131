//! Finishes the responses that handlers leave open because they do not know the address of the request: error pages,
//! redirects, and the cookies of messages about actions.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::UiError;
use super::flash;
use super::page::SeeOther;
use super::visit::Visit;

/// A layer around all pages.
pub async fn finish(visit: Visit, request: Request, next: Next) -> Response {
    let mut response = finished(next.run(request).await, &visit);
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let is_page = media_type.is_some_and(|it| it.as_bytes().starts_with(b"text/html"));
    // Every page has the message in its layout. After any other response, it waits for the next page.
    if visit.flash().is_some()
        && is_page
        && let Some(cookie) = flash::removal(&visit)
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn finished(mut response: Response, visit: &Visit) -> Response {
    let extensions = response.extensions_mut();
    if let Some(error) = extensions.remove::<UiError>() {
        return error.page_for(visit);
    }
    if let Some(SeeOther { relative, flash }) = extensions.remove() {
        return match HeaderValue::try_from(visit.url(&relative)) {
            Ok(location) => {
                let headers = response.headers_mut();
                headers.insert(header::LOCATION, location);
                if let Some(cookie) = flash.and_then(|flash| flash.cookie(visit)) {
                    headers.append(header::SET_COOKIE, cookie);
                }
                response
            }
            Err(_) => UiError::not_found("There is nothing at this address").into_response(),
        };
    }
    response
}

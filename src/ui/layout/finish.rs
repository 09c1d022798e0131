//! Finishes the responses that handlers leave open because they do not know the address of the request: error pages,
//! redirects, and the message about the last action.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::UiError;
use super::flash::{Flash, insert};
use super::page::SeeOther;
use crate::engine::Engine;
use crate::http::layers::base_path::Address;

/// The notice at the top of every page of a paused server, with the button that resumes it.
#[derive(Template)]
#[template(path = "partials/_paused.html")]
struct PausedNotice;

/// A layer around all pages.
pub async fn finish(
    State(engine): State<Engine>,
    address: Address,
    request: Request,
    next: Next,
) -> Response {
    let is_login = request.uri().path() == "/login";
    let flash = Flash::of(request.method(), request.headers());
    let response = next.run(request).await;
    let response = finished(response, &address);
    let response = match flash {
        Some(flash) => flash.show_on(response, &address).await,
        None => response,
    };
    if engine.is_paused() && !is_login {
        return insert(response, &PausedNotice.render().unwrap_or_default()).await.0;
    }
    response
}

fn finished(mut response: Response, address: &Address) -> Response {
    let extensions = response.extensions_mut();
    if let Some(error) = extensions.remove::<UiError>() {
        return error.page(address);
    }
    if let Some(SeeOther { relative, flash }) = extensions.remove() {
        return match HeaderValue::try_from(address.url(&relative)) {
            Ok(location) => {
                let headers = response.headers_mut();
                headers.insert(header::LOCATION, location);
                if let Some(cookie) = flash.and_then(|flash| flash.cookie(address)) {
                    headers.append(header::SET_COOKIE, cookie);
                }
                response
            }
            Err(_) => UiError::not_found("There is nothing at this address").into_response(),
        };
    }
    response
}

//! The path of a request as logs show it. The signature in the address of a share link is left out, because it opens the
//! link for everybody who reads it.

use std::borrow::Cow;

/// Replaces the signature in `/shared/{id}.{signature}`. Any other path stays as it is.
pub fn without_signature(path: &str) -> Cow<'_, str> {
    const SHARED: &str = "/shared/";
    let Some(at) = path.find(SHARED) else { return Cow::Borrowed(path) };
    let (before, link) = path.split_at(at + SHARED.len());
    let end = link.find('/').unwrap_or(link.len());
    let (link, rest) = link.split_at(end);
    match link.split_once('.') {
        Some((id, _)) => Cow::Owned(format!("{before}{id}.(not shown){rest}")),
        None => Cow::Borrowed(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signature_of_a_link_is_left_out() {
        for (path, logged) in [
            ("/jobs/7.x", "/jobs/7.x"),
            ("/shared/2f9c.AbC-_9", "/shared/2f9c.(not shown)"),
            ("/shared/2f9c.AbC-_9/ws", "/shared/2f9c.(not shown)/ws"),
            ("/cortado/shared/2f9c.A.b/log", "/cortado/shared/2f9c.(not shown)/log"),
            ("/shared/", "/shared/"),
            ("/shared/2f9c", "/shared/2f9c"),
        ] {
            assert_eq!(without_signature(path), logged);
        }
    }
}

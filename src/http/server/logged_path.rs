//! The path of a request as logs show it. The signature in the address of a share link and the lease in the address of a
//! callback are left out, because they are credentials: whoever reads them could use them.

use std::borrow::Cow;

const SHARED: &str = "/shared/";
const LEASES: &str = "/leases/";

/// Replaces the credentials in a path, however they are encoded: the lease in `/leases/{lease}`, and everything but the id in
/// the address of a share link, `/shared/{id}.{signature}`. Any other path stays as it is.
pub fn without_credentials(path: &str) -> Cow<'_, str> {
    if let Some(shown) = without_lease(path) {
        let whole = without_signature(&shown).map(Cow::into_owned);
        return Cow::Owned(whole.unwrap_or(shown));
    }
    if let Some(shown) = without_signature(path) {
        return shown;
    }
    let Some(decoded) = decoded(path) else { return Cow::Borrowed(path) };
    let ends =
        [SHARED, LEASES].into_iter().filter_map(|name| Some(decoded.find(name)? + name.len()));
    match ends.min() {
        // It opens nothing, but a client that sends it knows a link or a lease.
        Some(end) => Cow::Owned(format!("{}(not shown)", &decoded[..end])),
        None => Cow::Borrowed(path),
    }
}

fn without_lease(path: &str) -> Option<String> {
    let (before, lease) = path.split_at(path.find(LEASES)? + LEASES.len());
    let rest = lease.find('/').map_or("", |end| &lease[end..]);
    Some(format!("{before}(not shown){rest}"))
}

fn without_signature(path: &str) -> Option<Cow<'_, str>> {
    let (before, link) = path.split_at(path.find(SHARED)? + SHARED.len());
    let (link, rest) = link.split_at(link.find('/').unwrap_or(link.len()));
    let (id, signature) = link.split_at(end_of_id(link));
    Some(match signature {
        "" => Cow::Borrowed(path),
        _ => Cow::Owned(format!("{before}{id}.(not shown){rest}")),
    })
}

/// Where the id at the beginning of a link ends, which consists of letters and digits.
fn end_of_id(link: &str) -> usize {
    link.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(link.len())
}

/// A path without its percent-encoding, if it has any.
fn decoded(path: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    path.contains('%').then_some(())?;
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        (bytes, rest) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                (bytes, &after[2..])
            }
            (byte, _, _) => {
                bytes.push(*byte);
                (bytes, after)
            }
        };
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_credentials_are_left_out() {
        for (path, logged) in [
            ("/jobs/7.x", "/jobs/7.x"),
            ("/jobs/%2e%zz%", "/jobs/%2e%zz%"),
            ("/shared/2f9c.AbC-_9", "/shared/2f9c.(not shown)"),
            ("/shared/2f9c.AbC-_9/ws", "/shared/2f9c.(not shown)/ws"),
            ("/cortado/shared/2f9c.A.b/log", "/cortado/shared/2f9c.(not shown)/log"),
            ("/shared/", "/shared/"),
            ("/shared/2f9c", "/shared/2f9c"),
            // However the dot, the id or the slashes are encoded.
            ("/shared/2f9c%2eAbC-_9", "/shared/2f9c.(not shown)"),
            ("/shared/2f9c%2EAbC-_9/ws", "/shared/2f9c.(not shown)/ws"),
            ("/shared/%32f9c.AbC-_9", "/shared/.(not shown)"),
            ("/shared/2f9c%252eAbC-_9", "/shared/2f9c.(not shown)"),
            ("/%73hared/2f9c.AbC-_9", "/shared/(not shown)"),
            ("/cortado%2fshared%2F2f9c.AbC-_9", "/cortado/shared/(not shown)"),
            ("/api/v1/leases", "/api/v1/leases"),
            ("/api/v1/leases/AZqw-_9", "/api/v1/leases/(not shown)"),
            ("/api/v1/leases/~AZqw-_9/ws", "/api/v1/leases/(not shown)/ws"),
            ("/cortado/api/v1/leases/%41Zqw", "/cortado/api/v1/leases/(not shown)"),
            ("/api/v1/%6ceases/AZqw", "/api/v1/leases/(not shown)"),
            ("/api/v1%2fleases%2FAZqw", "/api/v1/leases/(not shown)"),
            ("/shared/2f9c.AbC/leases/AZqw", "/shared/2f9c.(not shown)/leases/(not shown)"),
        ] {
            assert_eq!(without_credentials(path), logged);
        }
    }
}

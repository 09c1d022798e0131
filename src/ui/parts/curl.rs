//! The curl commands that pages show, quoted for a POSIX shell.

use axum::http::{HeaderMap, header};

use crate::http::access::Principal;
use crate::http::layers::base_path::Address;
use crate::job::hidden::visible_json;

/// The longest JSON that a command contains, in bytes.
pub const MAX_BODY: usize = 16 * 1_024;

/// The comment above a command whose JSON is longer.
const TOO_LONG: &str = "This job is too long to show here. Save its JSON as job.json first.";

/// The option that says that the body is JSON, on a line of its own.
pub const JSON_HEADER: &str = " \\\n  -H 'content-type: application/json'";
/// The option with a token, on a line of its own. Double quotes let the shell insert its variable, so that the secret is on no
/// page.
const TOKEN_HEADER: &str = " \\\n  -H \"authorization: Bearer $CORTADO_AUTH_TOKEN\"";

/// The server as the browser reaches it, and whether it needs a token.
pub struct CurlTarget {
    /// The address with the base path, without a slash at its end.
    address: String,
    /// Whether the reader had to log in, so that commands need a token.
    needs_token: bool,
}

impl CurlTarget {
    /// Derives the target from the request for the page, and from who sent it.
    pub fn of(headers: &HeaderMap, address: &Address, reader: Option<&Principal>) -> CurlTarget {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = host.unwrap_or("127.0.0.1:8080");
        let (scheme, base) = (address.scheme().as_str(), address.url(""));
        let address = format!("{scheme}://{host}{}", base.trim_end_matches('/'));
        CurlTarget { address, needs_token: reader.is_some() }
    }

    /// The URL of a path of the server, as a word of a command.
    pub fn url(&self, path: &str) -> String {
        quoted(&format!("{}{path}", self.address))
    }

    /// The option with a token, if the reader had to log in.
    pub fn token_header(&self) -> &'static str {
        if self.needs_token { TOKEN_HEADER } else { "" }
    }

    /// The command that submits a job with this JSON. Longer JSON is read from a file, because no terminal accepts it.
    /// Characters that could not be seen are escaped, so that the command does what it seems to do.
    pub fn submission(&self, body: &str) -> String {
        let url = self.url("/api/v1/jobs");
        let command = format!("curl {url}{JSON_HEADER}{}", self.token_header());
        match body.len() {
            0..=MAX_BODY => command + &format!(" \\\n  -d {}", quoted(&visible_json(body))),
            _ => format!("# {}\n{command} \\\n  -d @job.json", TOO_LONG),
        }
    }
}

/// Quotes a word for a POSIX shell: as it is where that is safe, or else in single quotes, which only a single
/// quote ends.
pub fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,=".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::access::Scope;
    use crate::http::access::principal::Credential;
    use crate::job::{Actor, Role};

    #[test]
    fn a_shell_hands_on_exactly_what_was_quoted() {
        for text in [
            "",
            "plain",
            "two words",
            "it's",
            "''",
            "'",
            "\\'",
            "$HOME `id` $(id) ${x}",
            "a\nb\r\n\tc",
            "\"quoted\" \\\" \\n",
            "!history *?[a] ~ #x ; & | < > ( ) { }",
            "-d @/etc/passwd",
            "Zürich ☕ \u{202e}",
            r#"{"text": "it's \"so\" \\ $5"}"#,
        ] {
            let script = format!("printf '%s|' {}", quoted(text));
            let said = Command::new("sh").arg("-c").arg(&script).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), format!("{text}|"), "{script}");
        }
    }

    #[test]
    fn a_hostile_host_is_only_a_word() {
        let host = "x;id.example".parse().unwrap();
        let headers = HeaderMap::from_iter([(header::HOST, host)]);
        let curl = CurlTarget::of(&headers, &Address::default(), None).submission("1");
        assert!(curl.starts_with("curl 'http://x;id.example/api/v1/jobs' \\\n"), "{curl}");
    }

    #[test]
    fn a_server_with_a_token_is_asked_with_the_shells_own() {
        let basic = "Basic c2VjcmV0".parse().unwrap();
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, basic)]);
        let anna = Principal {
            actor: Actor::User("anna".parse().unwrap()),
            scope: Scope::of(Role::Admin),
            credential: Credential::Environment,
        };
        let curl = |reader| CurlTarget::of(&headers, &Address::default(), reader).submission("{}");
        let named = curl(Some(&anna));
        assert!(named.contains("-H \"authorization: Bearer $CORTADO_AUTH_TOKEN\" \\\n"), "{named}");
        assert!(!named.contains("c2VjcmV0"), "{named}");
        // A server without users and token asks for nothing, whatever a proxy in front of it asks for.
        assert!(!curl(None).contains("CORTADO_AUTH_TOKEN"));
    }

    #[test]
    fn a_command_has_no_hidden_characters_and_sends_the_same_value() {
        let body = "{\n\t\"a\": \"x\u{202e}y\u{7f}\u{e0041}\\u00e4ä\"\n}";
        let curl = CurlTarget::of(&HeaderMap::new(), &Address::default(), None).submission(body);
        assert!(curl.is_ascii() || curl.contains('ä'), "{curl}");
        let sent = curl.split_once("-d '").unwrap().1.trim_end_matches('\'');
        assert!(sent.contains(r"x\u202ey\u007f\udb40\udc41\u00e4ä"), "{sent}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(sent), value(body));
    }

    #[test]
    fn a_long_job_comes_from_a_file() {
        let curl = CurlTarget::of(&HeaderMap::new(), &Address::default(), None)
            .submission(&"x".repeat(MAX_BODY + 1));
        assert!(curl.starts_with("# ") && curl.ends_with("-d @job.json"), "{curl}");
        assert!(curl.len() < 1_000);
    }
}

//! `cortado access`: prints which roles may use each route and each WebSocket message, from the same table by which the
//! server decides.

use std::fmt::Write as _;
use std::io::Write;

use serde::Serialize;

use super::CliError;
use crate::config::AccessArgs;
use crate::http::access::messages::{SocketMessage, WorkerMessageName};
use crate::http::access::need::{Need, Restricted};
use crate::http::access::routes::ROUTES;
use crate::job::Role;

#[derive(Serialize)]
struct AccessRules {
    routes: Vec<RouteAccess>,
    /// The messages of clients on a WebSocket.
    messages: Vec<MessageAccess>,
    /// The messages of workers on a WebSocket of theirs.
    worker_messages: Vec<MessageAccess>,
}

#[derive(Serialize)]
struct RouteAccess {
    method: &'static str,
    path: &'static str,
    #[serde(flatten)]
    allowed: RoleAccess,
}

#[derive(Serialize)]
struct MessageAccess {
    message: &'static str,
    #[serde(flatten)]
    allowed: RoleAccess,
}

#[derive(Serialize)]
struct RoleAccess {
    /// `everybody`, `any role`, or a role.
    needs: String,
    /// The roles that may use it.
    roles: Vec<&'static str>,
    /// Whether credentials that are restricted to some queues or kinds may use it.
    restricted: bool,
}

impl RoleAccess {
    fn of(need: Need, restricted: Restricted) -> RoleAccess {
        let roles = Role::ALL.into_iter().filter(|role| match need {
            Need::Everybody | Need::AnyRole => true,
            Need::Role(needed) => role.allows(needed),
            Need::ShareLink => false,
        });
        RoleAccess {
            needs: need.to_string(),
            roles: roles.map(Role::as_str).collect(),
            restricted: restricted == Restricted::Allowed,
        }
    }
}

impl AccessRules {
    fn all() -> AccessRules {
        let route = |rule: &crate::http::access::routes::RouteRule| RouteAccess {
            method: rule.method,
            path: rule.path,
            allowed: RoleAccess::of(rule.need, rule.restricted),
        };
        let message = |message: SocketMessage| {
            let rule = message.rule();
            let allowed = RoleAccess::of(rule.need, rule.restricted);
            MessageAccess { message: message.as_str(), allowed }
        };
        let of_worker = |message: WorkerMessageName| {
            let (need, restricted) = message.rule();
            let allowed = RoleAccess::of(need, restricted);
            MessageAccess { message: message.as_str(), allowed }
        };
        AccessRules {
            routes: ROUTES.iter().map(route).collect(),
            messages: SocketMessage::ALL.into_iter().map(message).collect(),
            worker_messages: WorkerMessageName::ALL.into_iter().map(of_worker).collect(),
        }
    }
}

/// Prints the table.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: AccessArgs, out: &mut impl Write) -> Result<(), CliError> {
    let rules = AccessRules::all();
    let text = if args.json {
        serde_json::to_string(&rules).map_err(|error| error.to_string())?
    } else {
        table(&rules)
    };
    writeln!(out, "{}", text.trim_end()).map_err(|error| format!("cannot write: {error}"))
}

fn table(rules: &AccessRules) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let mut row = |first: &str, second: &str, cells: [&str; 6]| {
        write!(text, "{first:<7} {second:<40}").ok();
        for (cell, role) in cells.into_iter().zip(COLUMNS) {
            write!(text, " {cell:<width$}", width = role.len()).ok();
        }
        text.push('\n');
    };
    row("METHOD", "PATH", COLUMNS);
    for route in &rules.routes {
        row(route.method, route.path, cells(&route.allowed));
    }
    for message in &rules.messages {
        row("message", message.message, cells(&message.allowed));
    }
    for message in &rules.worker_messages {
        row("worker", message.message, cells(&message.allowed));
    }
    let end = "\n\"all\": everybody, without credentials. RESTRICTED: credentials for some queues or kinds only.\n";
    text + end
}

/// The roles, and whether restricted credentials may use a route.
const COLUMNS: [&str; 6] = ["VIEWER", "SUBMITTER", "WORKER", "OPERATOR", "ADMIN", "RESTRICTED"];

fn cells(allowed: &RoleAccess) -> [&'static str; 6] {
    if allowed.needs == Need::Everybody.to_string() {
        return ["all"; 6];
    }
    let yes_or_no = |is_allowed: bool| if is_allowed { "yes" } else { "-" };
    let [viewer, submitter, worker, operator, admin] =
        Role::ALL.map(|role| yes_or_no(allowed.roles.contains(&role.as_str())));
    [viewer, submitter, worker, operator, admin, yes_or_no(allowed.restricted)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(json: bool) -> String {
        let mut out = Vec::new();
        run(AccessArgs { json }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_has_a_line_for_every_route_and_message() {
        let text = printed(false);
        for (method, path, cells) in [
            ("GET", "/healthz", "all all all all all all"),
            ("POST", "/api/v1/jobs", "- yes - yes yes yes"),
            ("DELETE", "/api/v1/users/{name}", "- - - - yes -"),
            ("GET", "/api/v1/kinds", "yes yes yes yes yes yes"),
            ("GET", "/system", "- - - yes yes -"),
            ("message", "subscribe (stats)", "yes yes - yes yes -"),
            ("worker", "ready", "- - yes - yes yes"),
            ("POST", "/api/v1/leases/{lease}", "all all all all all all"),
        ] {
            let is_row = |line: &&str| line.starts_with(&format!("{method:<7} {path} "));
            let line = text.lines().find(is_row).unwrap_or_else(|| panic!("{path} is missing"));
            let found: Vec<&str> = line[48..].split_whitespace().collect();
            assert_eq!(found.join(" "), cells, "{line}");
        }
        let json: serde_json::Value = serde_json::from_str(&printed(true)).unwrap();
        assert_eq!(json["routes"].as_array().unwrap().len(), ROUTES.len());
        let first = &json["routes"][0];
        assert_eq!((&first["method"], &first["needs"]), (&"GET".into(), &"everybody".into()));
        assert_eq!(json["messages"].as_array().unwrap().len(), SocketMessage::ALL.len());
    }
}

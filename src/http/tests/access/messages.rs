//! Every message that a WebSocket client may send × every role.

use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::http::access::messages::SocketMessage;
use crate::http::access::need::{Need, Restricted};
use crate::http::stream::protocol::ClientMessage;
use crate::http::tests::support::{Server, Socket, refused, within};
use crate::http::tests::team::{add_token, add_user, bearer, restrict};
use crate::job::Role;

/// An example of each message, and the type of its reply.
fn example(message: SocketMessage) -> (&'static str, &'static str) {
    match message {
        SocketMessage::Ping => (r#"{"type":"ping"}"#, "pong"),
        SocketMessage::SubscribeEvents => {
            (r#"{"type":"subscribe","id":"a","filter":{"queue":"mail"}}"#, "subscribed")
        }
        SocketMessage::SubscribeStats => {
            (r#"{"type":"subscribe","id":"b","stats":true}"#, "subscribed")
        }
        SocketMessage::Unsubscribe => (r#"{"type":"unsubscribe","id":"a"}"#, "unsubscribed"),
    }
}

#[test]
fn every_message_is_listed() {
    for message in SocketMessage::ALL {
        let (text, _) = example(message);
        assert_eq!(ClientMessage::parse(text).unwrap().access(), message, "{text}");
    }
    let source = include_str!("../../stream/protocol.rs");
    let types = source.split_once("const TYPES: [&str; ").unwrap().1;
    assert!(types.starts_with("3]"), "a new type of message needs an example here");
}

#[tokio::test]
async fn a_message_is_answered_or_refused_by_its_rule() {
    let server = Server::start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    for role in Role::ALL {
        for is_restricted in [false, true] {
            let name = format!("{role}-{is_restricted}");
            let (_, token) = add_token(&server.engine, &name, role, |new| {
                if is_restricted {
                    restrict(new);
                }
            })
            .await;
            let mut request =
                format!("ws://{}/api/v1/ws", server.address).into_client_request().unwrap();
            request.headers_mut().insert("authorization", bearer(&token).parse().unwrap());
            if !role.allows(Role::Viewer) {
                let (status, problem) = refused(request).await;
                assert_eq!((status, &problem["code"]), (403, &"forbidden".into()), "{name}");
                continue;
            }
            let connected = within(tokio_tungstenite::connect_async(request)).await;
            let mut socket = Socket(connected.unwrap().0);
            socket.next_of("hello").await;
            for message in SocketMessage::ALL {
                let (rule, (text, answer)) = (message.rule(), example(message));
                let has_role = match rule.need {
                    Need::Everybody | Need::AnyRole => true,
                    Need::Role(needed) => role.allows(needed),
                    Need::ShareLink => false,
                };
                let allowed =
                    has_role && (!is_restricted || rule.restricted == Restricted::Allowed);
                socket.say(text).await;
                let expected = if allowed { answer } else { "error" };
                let reply = loop {
                    let reply = socket.next().await;
                    // These come by themselves.
                    if !["stats", "mark", "events"].contains(&reply["type"].as_str().unwrap()) {
                        break reply;
                    }
                };
                assert_eq!(reply["type"], expected, "{name}: {text}: {reply}");
                if !allowed {
                    assert_eq!(reply["code"], "forbidden", "{name}: {reply}");
                }
            }
        }
    }
}

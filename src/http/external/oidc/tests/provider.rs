//! An OpenID Connect provider for tests, with keys that it makes at its start. A test changes how it behaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use ring::{digest, hmac};
use serde_json::{Value, json};

pub(crate) const CLIENT_ID: &str = "cortado";
pub(crate) const CLIENT_SECRET: &str = "client-secret";

/// A provider on a port of its own.
pub(crate) struct TestProvider {
    state: Arc<Mutex<ProviderBehaviour>>,
}

/// How the provider answers, and what it has issued.
pub(crate) struct ProviderBehaviour {
    issuer: String,
    /// The keys that it publishes. It signs with the last one, under that key's name.
    pub(crate) published: Vec<SigningKey>,
    /// The key that it signs with in place of the last published one.
    pub(crate) unpublished: Option<SigningKey>,
    pub(crate) algorithm: &'static str,
    /// The claims about the person who logs in, in the ID token.
    pub(crate) person: Value,
    /// The claims of the user info endpoint; without them, there is no such endpoint.
    pub(crate) user_info: Option<Value>,
    /// Changes the claims of an ID token before it is signed.
    pub(crate) edit: fn(&mut Value),
    /// Changes the discovery document.
    pub(crate) edit_discovery: fn(&mut Value),
    /// What replaces the answers of an endpoint, by its path.
    pub(crate) trouble: HashMap<&'static str, fn() -> Response>,
    /// How often each path was requested.
    pub(crate) requests: HashMap<String, usize>,
    grants: HashMap<String, Grant>,
}

pub(crate) struct SigningKey {
    name: String,
    pair: EcdsaKeyPair,
}

/// What belongs to a code.
struct Grant {
    challenge: String,
    nonce: String,
    redirect: String,
}

type Shared = State<Arc<Mutex<ProviderBehaviour>>>;
type Parameters = HashMap<String, String>;

impl SigningKey {
    pub(crate) fn new(name: &str) -> SigningKey {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
        SigningKey { name: name.to_owned(), pair }
    }

    fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.name, "x": x, "y": y})
    }
}

impl TestProvider {
    pub(crate) async fn start() -> TestProvider {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(ProviderBehaviour {
            issuer: format!("http://{address}/realm"),
            published: vec![SigningKey::new("first")],
            unpublished: None,
            algorithm: "ES256",
            person: json!({"sub": "1", "preferred_username": "anna", "groups": ["staff"]}),
            user_info: None,
            edit: |_| {},
            edit_discovery: |_| {},
            trouble: HashMap::new(),
            requests: HashMap::new(),
            grants: HashMap::new(),
        }));
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/realm/authorize", get(authorize))
            .route("/realm/token", post(token))
            .route("/realm/keys", get(keys))
            .route("/realm/user", get(user_info))
            .layer(axum::middleware::from_fn_with_state(state.clone(), count))
            .with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        TestProvider { state }
    }

    pub(crate) fn issuer(&self) -> String {
        self.behaviour().issuer.clone()
    }

    pub(crate) fn behaviour(&self) -> MutexGuard<'_, ProviderBehaviour> {
        self.state.lock().unwrap()
    }

    pub(crate) fn requests(&self, path: &str) -> usize {
        self.behaviour().requests.get(path).copied().unwrap_or_default()
    }

    /// Logs in as a person does who is sent to the provider's login page. Returns where the browser is sent then.
    pub(crate) async fn log_in(location: &str) -> Uri {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let answer = client.build().unwrap().get(location).send().await.unwrap();
        assert_eq!(answer.status(), 303, "{answer:?}");
        answer.headers()[header::LOCATION].to_str().unwrap().parse().unwrap()
    }
}

/// Counts a request, and answers it with what the test has put in the place of the endpoint.
async fn count(
    State(state): Shared,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let path = request.uri().path().strip_prefix("/realm").unwrap_or_default().to_owned();
    let trouble = {
        let mut state = state.lock().unwrap();
        *state.requests.entry(path.clone()).or_default() += 1;
        state.trouble.get(path.as_str()).copied()
    };
    match trouble {
        Some(answer) => answer(),
        None => next.run(request).await,
    }
}

async fn discovery(State(state): Shared) -> Json<Value> {
    let state = state.lock().unwrap();
    let issuer = &state.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
    });
    if state.user_info.is_some() {
        document["userinfo_endpoint"] = format!("{issuer}/user").into();
    }
    (state.edit_discovery)(&mut document);
    Json(document)
}

async fn keys(State(state): Shared) -> Json<Value> {
    let state = state.lock().unwrap();
    let keys: Vec<Value> = state.published.iter().map(SigningKey::public).collect();
    Json(json!({ "keys": keys }))
}

async fn authorize(State(state): Shared, Query(query): Query<Parameters>) -> Response {
    let mut state = state.lock().unwrap();
    assert_eq!(query["client_id"], CLIENT_ID);
    assert_eq!((&*query["response_type"], &*query["code_challenge_method"]), ("code", "S256"));
    assert!(query["scope"].split(' ').any(|scope| scope == "openid"));
    let code = format!("code-{}", state.grants.len());
    let location = format!("{}?code={code}&state={}", query["redirect_uri"], query["state"]);
    let grant = Grant {
        challenge: query["code_challenge"].clone(),
        nonce: query["nonce"].clone(),
        redirect: query["redirect_uri"].clone(),
    };
    state.grants.insert(code, grant);
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

async fn token(
    State(state): Shared,
    headers: HeaderMap,
    Form(form): Form<Parameters>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let refuse = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    let mut state = state.lock().unwrap();
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
    let in_header = headers.get(header::AUTHORIZATION).is_some_and(|given| *given == *basic);
    let in_body = form.get("client_secret").is_some_and(|given| given == CLIENT_SECRET);
    if !in_header && !in_body {
        return Err(refuse("invalid_client"));
    }
    // A code is valid once, for the one who began the login.
    let grant = state.grants.remove(&form["code"]).ok_or_else(|| refuse("invalid_grant"))?;
    let hash = digest::digest(&digest::SHA256, form["code_verifier"].as_bytes());
    if URL_SAFE_NO_PAD.encode(hash) != grant.challenge || form["redirect_uri"] != grant.redirect {
        return Err(refuse("invalid_grant"));
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = state.person.clone();
    let hash = digest::digest(&digest::SHA256, b"the-access-token");
    for (name, value) in [
        ("iss", json!(state.issuer)),
        ("aud", json!(CLIENT_ID)),
        ("iat", json!(now)),
        ("exp", json!(now + 300)),
        ("nonce", json!(grant.nonce)),
        ("at_hash", json!(URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]))),
    ] {
        claims[name] = value;
    }
    (state.edit)(&mut claims);
    let id_token = state.sign(&claims);
    Ok(Json(
        json!({"access_token": "the-access-token", "token_type": "Bearer", "id_token": id_token}),
    ))
}

async fn user_info(State(state): Shared, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    let is_right =
        headers.get(header::AUTHORIZATION).is_some_and(|it| it == "Bearer the-access-token");
    let claims = state.lock().unwrap().user_info.clone().filter(|_| is_right);
    claims.map(Json).ok_or(StatusCode::UNAUTHORIZED)
}

impl ProviderBehaviour {
    fn sign(&self, claims: &Value) -> String {
        let published = self.published.last().unwrap();
        let key = self.unpublished.as_ref().unwrap_or(published);
        let header = json!({"alg": self.algorithm, "kid": key.name, "typ": "JWT"});
        let [header, claims] =
            [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let text = format!("{header}.{claims}");
        let signature = match self.algorithm {
            "none" => Vec::new(),
            "HS256" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes());
                hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
            }
            _ => key.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

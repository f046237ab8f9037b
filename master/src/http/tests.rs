//! The router as a whole, without a database: what is refused before one is needed, and how it looks.

use super::{App, ServedReader, router};
use crate::snapshots::Snapshots;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use std::{sync::Arc, time::Duration};
use tower::ServiceExt;

fn app() -> App {
    let nowhere = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_millis(50));
    let pool = nowhere.connect_lazy("postgres://nobody@localhost/none?host=/nonexistent").unwrap();
    App {
        snapshots: Snapshots::of_nothing(pool.clone()),
        auditor: crate::audit::Auditor::new(pool.clone(), None),
        feed: crate::feed::Feed::of_nothing(pool.clone()),
        recorder: None,
        pool,
        served: ServedReader::nobody(),
        access_keys: None,
        boxes: None,
        forwarder: None,
        away: tokio::sync::watch::channel(None).1,
        halt: Arc::new(|| None),
        committed: Arc::default(),
        metrics: Arc::new(|| "holdfast_up 1\n".into()),
        build: "test",
        secure: false,
        help: Arc::default(),
    }
}

pub(super) async fn ask(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (Response<()>, String) {
    let (response, bytes) = ask_of(app(), method, path, headers, body).await;
    (response, String::from_utf8(bytes).unwrap())
}

async fn ask_of(app: App, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (Response<()>, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router(app).oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (Response::from_parts(parts, ()), bytes.to_vec())
}

#[tokio::test]
async fn faults_of_security_are_reported_to_whom_the_site_names() {
    check_problem("GET", "/.well-known/security.txt", &[], 404, "not-found").await;
    let help = toml::from_str("security = [\"mailto:security@uni.example\", \"tel:+49-30-1234\"]").unwrap();
    let (response, text) = ask_of(App { help: Arc::new(help), ..app() }, "GET", "/.well-known/security.txt", &[], "").await;
    let text = String::from_utf8(text).unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert!(text.starts_with("Contact: mailto:security@uni.example\nContact: tel:+49-30-1234\nExpires: 20"), "{text}");
}

#[tokio::test]
async fn who_can_unpack_gets_less_to_carry() {
    let path = "/api/v1/openapi.json";
    let (plain, whole) = ask_of(app(), "GET", path, &[], "").await;
    let (packed, gzip) = ask_of(app(), "GET", path, &[("accept-encoding", "gzip")], "").await;
    assert_eq!((plain.status(), plain.headers().get("content-encoding")), (StatusCode::OK, None));
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(gzip.len() * 4 < whole.len(), "{} of {}", gzip.len(), whole.len());
}

async fn check_problem(method: &str, path: &str, headers: &[(&str, &str)], status: u16, code: &str) {
    let (response, body) = ask(method, path, headers, "{}").await;
    assert_eq!(response.status().as_u16(), status, "{method} {path}: {body}");
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}");
    let problem: super::Problem = serde_json::from_str(&body).unwrap();
    assert_eq!(problem.code(), code);
}

#[tokio::test]
async fn refusals_of_the_api_are_problems() {
    check_problem("GET", "/api/v1/hosts", &[], 401, "unauthenticated").await;
    check_problem("GET", "/api/v1/hosts", &[("authorization", "Bearer rubbish")], 401, "unauthenticated").await;
    check_problem("GET", "/api/v1/hats", &[], 404, "not-found").await;
    check_problem("GET", "/api/v2/hosts", &[], 404, "not-found").await;
    check_problem("DELETE", "/api/v1/hosts", &[], 405, "method-not-allowed").await;
    check_problem("GET", "/api/v1/hosts", &[("cookie", "holdfast=abc")], 503, "unavailable").await;
}

#[tokio::test]
async fn other_sites_cannot_write() {
    let cross = [("origin", "https://evil.example"), ("host", "master.uni.example")];
    check_problem("POST", "/login", &cross, 403, "forbidden").await;
    check_problem("POST", "/api/v1/hosts", &[("sec-fetch-site", "cross-site")], 403, "forbidden").await;
    let (response, _) = ask("GET", "/login", &[("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_send_strangers_to_log_in_and_carry_the_fences() {
    let (response, _) = ask("GET", "/hosts/www.uni.example?saved=1&x=2", &[], "").await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], "/login?next=/hosts/www.uni.example%3Fsaved%3D1%26x%3D2");
    let (response, body) = ask("GET", "/login?next=%22%3E%3Cscript%3E", &[], "").await;
    assert!(!body.contains("\"><script>"));
    assert!(response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'"));
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-frame-options"], "DENY");
}

#[tokio::test]
async fn assets_are_found_by_their_hash_and_kept() {
    let (_, login) = ask("GET", "/login", &[], "").await;
    for path in [super::assets::style(), super::assets::script(), super::assets::icon()] {
        assert!(login.contains(&path));
        let (response, body) = ask("GET", &path, &[], "").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable") && !body.is_empty());
    }
    assert_eq!(ask("GET", "/assets/holdfast-0.css", &[], "").await.0.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn supervisors_are_answered_without_a_database() {
    assert_eq!(ask("GET", "/healthz", &[], "").await.0.status(), StatusCode::OK);
    assert_eq!(ask("GET", "/readyz", &[], "").await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask("GET", "/metrics", &[], "").await.1, "holdfast_up 1\n");
}

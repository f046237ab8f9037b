//! What every answer and every question has to pass: the browser's own fences, and no writing from other sites.
//!
//! Other sites are kept out without a token in each form: browsers say with Sec-Fetch-Site or Origin where a request
//! comes from, and a script cannot forge either. What sends neither is no browser and carries no stolen cookie.

use super::{App, Problem};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// Nothing from elsewhere, no inline script or style, no frame around us.
const CONTENT_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// Sets the security headers of every answer.
pub async fn harden(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if app.secure {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses unsafe methods that another site made a browser send.
pub async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || is_own(request.headers()) {
        return next.run(request).await;
    }
    tracing::warn!(event = "http_cross_site_refused", path = request.uri().path(), "a request made by another site was refused");
    Problem::forbidden("this request was made by another site; open this page yourself and try again").into_response()
}

/// Whether the headers of an unsafe request say that it is our own page's, or no browser's.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some() && host == text("host")
        }
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::is_own;
    use http::HeaderMap;

    fn check(headers: &[(&'static str, &str)], expected: bool) {
        let map: HeaderMap = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        assert_eq!(is_own(&map), expected, "{headers:?}");
    }

    #[test]
    fn other_sites_are_told_by_their_headers() {
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "none")], true);
        check(&[("sec-fetch-site", "cross-site"), ("origin", "https://a.example"), ("host", "a.example")], false);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("origin", "https://master.uni.example"), ("host", "master.uni.example")], true);
        check(&[("origin", "http://master.uni.example:8080"), ("host", "master.uni.example:8080")], true);
        check(&[("origin", "https://evil.example"), ("host", "master.uni.example")], false);
        check(&[("origin", "null"), ("host", "master.uni.example")], false);
        check(&[("host", "master.uni.example")], true);
    }
}

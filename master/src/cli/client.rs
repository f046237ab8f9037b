//! Asking the master: one request, one answer or one problem.

use super::{Failure, settings::Settings};
use http::{Method, Request, header};
use serde_json::Value;
use std::{path::Path, sync::Arc, time::Duration};
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig},
};

/// Longer than the longest wait for agents, and enough for an import of 100 000 hosts.
const PATIENCE: Duration = Duration::from_secs(600);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// More than this is no answer of ours.
const ANSWER_LIMIT_BYTES: u64 = 256 * 1024 * 1024;
/// The certificates that Debian's ca-certificates package keeps.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A way to one master.
pub(super) struct Client {
    agent: Agent,
    settings: Settings,
}

/// What came back.
pub(super) struct Answer {
    /// The body.
    pub body: Value,
    /// The object's version, where there is one.
    pub etag: Option<String>,
}

/// What to ask.
#[derive(Default)]
pub(super) struct Question<'a> {
    /// Below `/api/v1`, without a query.
    pub path: &'a str,
    /// The query.
    pub query: Vec<(&'a str, String)>,
    /// The version that must still hold.
    pub if_match: Option<&'a str>,
    /// The body.
    pub body: Option<&'a Value>,
}

impl Client {
    /// Reads the certificates to trust; nothing is sent yet.
    pub(super) fn new(settings: Settings) -> Result<Self, Failure> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(CONNECT_PATIENCE))
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
            .max_redirects(0);
        if settings.server.starts_with("https://") {
            let roots = certificates(settings.ca.as_deref().unwrap_or(Path::new(SYSTEM_CERTIFICATES)))?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let roots = RootCerts::new_with_certs(&roots);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build());
        }
        Ok(Self { agent: config.build().into(), settings })
    }

    /// Reads something.
    pub(super) fn get(&self, path: &str, query: Vec<(&str, String)>) -> Result<Answer, Failure> {
        self.ask(Method::GET, Question { path, query, ..Question::default() })
    }

    /// Reads something that is text for others.
    pub(super) fn text(&self, path: &str, query: Vec<(&str, String)>) -> Result<String, Failure> {
        let address = format!("{}/api/v1{path}{}", self.settings.server, query_text(&query));
        let request = Request::builder().uri(&address).header(header::AUTHORIZATION, format!("Bearer {}", self.settings.token));
        let request = request.body(()).map_err(|error| Failure::Usage(format!("{address}: {error}")))?;
        let silent = |error: ureq::Error| Failure::Failed(format!("{} does not answer: {error}", self.settings.server));
        let mut answered = self.agent.run(request).map_err(silent)?;
        if !answered.status().is_success() {
            return self.read(answered).map(|_| String::new());
        }
        let broken = |error: ureq::Error| Failure::Failed(format!("{}: the answer cannot be read: {error}", self.settings.server));
        answered.body_mut().with_config().limit(ANSWER_LIMIT_BYTES).read_to_string().map_err(broken)
    }

    /// Asks anything.
    pub(super) fn ask(&self, method: Method, question: Question<'_>) -> Result<Answer, Failure> {
        let address = format!("{}/api/v1{}{}", self.settings.server, question.path, query_text(&question.query));
        let mut request = Request::builder()
            .method(method)
            .uri(&address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.settings.token))
            .header(header::ACCEPT, "application/json");
        if let Some(etag) = question.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        let answered = match question.body {
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
                self.agent.run(request.map_err(|error| Failure::Usage(format!("{address}: {error}")))?)
            }
            None => self.agent.run(request.body(()).map_err(|error| Failure::Usage(format!("{address}: {error}")))?),
        };
        let answered = answered.map_err(|error| Failure::Failed(format!("{} does not answer: {error}", self.settings.server)))?;
        self.read(answered)
    }

    /// Reads a file, and gives it on as it comes.
    pub(super) fn download(&self, path: &str, query: &[(&str, String)], to: &mut dyn std::io::Write) -> Result<(), Failure> {
        let address = format!("{}/api/v1{path}{}", self.settings.server, query_text(query));
        let request = Request::builder().uri(&address).header(header::AUTHORIZATION, format!("Bearer {}", self.settings.token)).body(());
        let answered = self.agent.run(request.map_err(|error| Failure::Usage(format!("{address}: {error}")))?);
        let mut answered = answered.map_err(|error| Failure::Failed(format!("{} does not answer: {error}", self.settings.server)))?;
        if !answered.status().is_success() {
            return self.read(answered).map(drop);
        }
        let mut body = answered.body_mut().with_config().limit(u64::MAX).reader();
        std::io::copy(&mut body, to).and_then(|_| to.flush()).map_err(|error| Failure::Failed(format!("{address} was not read to its end: {error}")))
    }

    fn read(&self, mut answered: http::Response<ureq::Body>) -> Result<Answer, Failure> {
        let status = answered.status();
        let etag = answered.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let broken = |error: &dyn std::fmt::Display| Failure::Failed(format!("{}: the answer ({status}) cannot be read: {error}", self.settings.server));
        let text = answered.body_mut().with_config().limit(ANSWER_LIMIT_BYTES).read_to_string().map_err(|error| broken(&error))?;
        if text.is_empty() && status.is_success() {
            return Ok(Answer { body: Value::Null, etag });
        }
        let body: Value = serde_json::from_str(&text).map_err(|_| broken(&"it is no JSON; is this a Holdfast master?"))?;
        if status.is_success() { Ok(Answer { body, etag }) } else { Err(Failure::Refused(body)) }
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::Usage(format!("the certificates in {} cannot be read: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(&error))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(wrong(&"there is none")) } else { Ok(found) }
}

fn query_text(pairs: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(&encode(value));
    }
    text
}

/// Percent-encodes all but what RFC 3986 section 2.3 leaves alone.
pub(super) fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::query_text;

    #[test]
    fn queries_are_encoded() {
        assert_eq!(query_text(&[]), "");
        assert_eq!(query_text(&[("search", "a b&c=ü".into()), ("wait", "all".into())]), "?search=a%20b%26c%3D%C3%BC&wait=all");
    }
}

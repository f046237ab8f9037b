use holdfast_names::settings::{Cache, Recursion};
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::Error;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the boxes' resolvers and departmental servers ask for names of others, and who is asked for them in turn.
///
/// ```
/// let text = r#"
///     [forwarder]
///     listen = ["10.0.0.2:53"]
///     tls_listen = ["10.0.0.2:853"]
///     department_class = "name-server"
///     clients = ["10.9.0.0/16"]
///     upstreams = ["192.0.2.53", "[2001:db8::53]:853#dns.national.example"]
///     [forwarder.resolvers]
///     north = "10.1.4.3:53"
///     [forwarder.recursion]
/// "#;
/// let forwarder = toml::from_str::<holdfast_master::config::Config>(text).unwrap().forwarder;
/// assert_eq!(forwarder.upstreams[0].server.port(), 53);
/// assert_eq!(forwarder.upstreams[1].name.as_deref(), Some("dns.national.example"));
/// assert!(forwarder.recursion.is_some());
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forwarder {
    /// UDP and TCP; other addresses than those of `[dns]`, which never asks anybody. Nowhere without it.
    pub listen: Vec<SocketAddr>,
    /// DNS over TLS (RFC 7858).
    pub tls_listen: Vec<SocketAddr>,
    /// PEM chain that is shown over TLS; without it, a certificate of our own authority, which the boxes believe.
    pub certificate: Option<PathBuf>,
    /// PEM, PKCS #8.
    pub key: Option<PathBuf>,
    /// Threads for UDP on each address; as many as the machine has cores without it.
    pub workers: Option<NonZero<usize>>,
    /// Networks that may ask, beside our boxes and departmental servers.
    pub clients: Vec<IpNet>,
    /// The device class whose hosts are departmental name servers: each may ask, from its addresses in the hostname database.
    pub department_class: Option<String>,
    /// Where the resolvers of campuses are asked what they have when somebody traces a name; they may ask from there. A campus that is left
    /// out is asked at its service address.
    pub resolvers: BTreeMap<String, SocketAddr>,
    /// Who is asked: `address`, `address:port`, or with `#name` behind it over TLS, with the name that the certificate shows. The fastest
    /// of those that are there.
    pub upstreams: Vec<Upstream>,
    /// PEM: the authorities to believe of upstreams over TLS, such as `/etc/ssl/certs/ca-certificates.crt`.
    pub upstream_ca: Option<PathBuf>,
    /// Asking from the root on where no upstream answers, or none is named; not without it.
    pub recursion: Option<Recursion>,
    /// Names that are special elsewhere (RFC 6303, RFC 6761) and real here, with all below them: private zones of others.
    pub real_here: Vec<String>,
    /// Whether signatures are looked at (DNSSEC): who is asked must be able to tell them.
    pub validate: bool,
    /// DNSKEY records that are believed, one on a line; those of the root without it.
    pub trust_anchors: Option<PathBuf>,
    /// Names below which no signatures are looked at (RFC 7646).
    pub negative_trust_anchors: Vec<String>,
    /// How much is kept, and for how long.
    pub cache: Cache,
}

/// A server that is asked for names of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where it is.
    pub server: SocketAddr,
    /// The name in its certificate; it is asked over TLS, and never otherwise. In the clear without it.
    pub name: Option<String>,
}

const PLAIN_PORT: u16 = 53;
const TLS_PORT: u16 = 853;

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, name) = text.split_once('#').map_or((text, None), |(address, name)| (address, Some(name)));
        let port = if name.is_some() { TLS_PORT } else { PLAIN_PORT };
        let server = address.parse().or_else(|_| address.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)));
        let server = server.map_err(|_| format!("\"{text}\" is no upstream: write an address, with :port or #name-in-its-certificate behind it"))?;
        if name.is_some_and(str::is_empty) {
            return Err(format!("\"{text}\" names no certificate behind its #"));
        }
        Ok(Self { server, name: name.map(str::to_owned) })
    }
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Upstream;

    fn check(text: &str, expected: Option<(&str, Option<&str>)>) {
        let read = text.parse::<Upstream>();
        let expected = expected.map(|(server, name)| Upstream { server: server.parse().unwrap(), name: name.map(str::to_owned) });
        assert_eq!(read.as_ref().ok(), expected.as_ref(), "{text}: {read:?}");
    }

    #[test]
    fn an_upstream_is_an_address_and_what_it_shows() {
        check("192.0.2.53", Some(("192.0.2.53:53", None)));
        check("192.0.2.53:5353", Some(("192.0.2.53:5353", None)));
        check("192.0.2.53#dns.example", Some(("192.0.2.53:853", Some("dns.example"))));
        check("2001:db8::53", Some(("[2001:db8::53]:53", None)));
        check("[2001:db8::53]:8853#dns.example", Some(("[2001:db8::53]:8853", Some("dns.example"))));
        for wrong in ["", "dns.example", "192.0.2.53#", "192.0.2.53:", "192.0.2.53:99999", "#dns.example"] {
            check(wrong, None);
        }
    }
}

use super::{From, command, say};
use anyhow::{Result, ensure};
use std::net::SocketAddrV4;

/// What `radclient` printed of a reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RadiusReply {
    /// `Access-Accept`, `Access-Reject`, ...
    pub code: String,
    /// The attributes as it prints them, in order: name and value.
    pub attributes: Vec<(String, String)>,
}

impl RadiusReply {
    /// Whether the user may enter.
    pub fn is_accept(&self) -> bool {
        self.code == "Access-Accept"
    }

    /// The first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Sends an Access-Request by `radclient` (package freeradius-utils), one try of two seconds: user and password by PAP, with
/// Message-Authenticator; `extra` in radclient's own words (`NAS-Port = 3`), where `Message-Authenticator -= 0x00` has no
/// place: a request without one is for a test of the codec. `Ok(None)` where nobody replied, which is also what a client with
/// a wrong secret sees.
pub fn radclient(from: From<'_>, server: SocketAddrV4, secret: &str, user: &str, password: &str, extra: &[&str]) -> Result<Option<RadiusReply>> {
    log_in(from, server, secret, user, ("User-Password", password), extra)
}

/// The same by CHAP: radclient hashes the password with the Request Authenticator.
pub fn radclient_chap(from: From<'_>, server: SocketAddrV4, secret: &str, user: &str, password: &str) -> Result<Option<RadiusReply>> {
    log_in(from, server, secret, user, ("CHAP-Password", password), &[])
}

fn log_in(from: From<'_>, server: SocketAddrV4, secret: &str, user: &str, proof: (&str, &str), extra: &[&str]) -> Result<Option<RadiusReply>> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let (kind, password) = proof;
    let mut request = format!("User-Name = \"{}\"\n{kind} = \"{}\"\nMessage-Authenticator = 0x00\n", quoted(user), quoted(password));
    extra.iter().for_each(|line| request += &format!("{line}\n"));
    let mut client = command(from, "radclient");
    client.args(["-x", "-r", "1", "-t", "2", &server.to_string(), "auth", secret]);
    let text = say(&mut client, &request)?;
    ensure!(text.contains("Sent Access-Request"), "radclient could not ask: {}", text.trim());
    Ok(parse(&text))
}

/// Sends an Accounting-Request by `radclient`, one try of two seconds, with attributes in radclient's own words. `Ok(None)` where nobody
/// replied: what was said is kept nowhere.
pub fn radclient_acct(from: From<'_>, server: SocketAddrV4, secret: &str, attributes: &[&str]) -> Result<Option<RadiusReply>> {
    let mut client = command(from, "radclient");
    client.args(["-x", "-r", "1", "-t", "2", &server.to_string(), "acct", secret]);
    let text = say(&mut client, &format!("{}\n", attributes.join("\n")))?;
    ensure!(text.contains("Sent Accounting-Request"), "radclient could not say: {}", text.trim());
    Ok(parse(&text))
}

fn parse(text: &str) -> Option<RadiusReply> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("Received "));
    let code = lines.next()?.split_whitespace().nth(1)?.to_owned();
    let attributes = lines.map_while(|line| line.strip_prefix('\t')).filter_map(|line| line.split_once(" = "));
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
    Some(RadiusReply { code, attributes: attributes.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_radclient_prints_is_read() {
        let text = "Sent Access-Request Id 129 from 0.0.0.0:43022 to 10.1.4.2:1812 length 59\n\tUser-Name = \"a\"\n\
                    Received Access-Accept Id 129 from 10.1.4.2:1812 to 10.1.4.20:43022 length 40\n\
                    \tMessage-Authenticator = 0x00\n\tTunnel-Private-Group-Id:0 = \"100\"\n";
        let reply = parse(text).unwrap();
        assert!(reply.is_accept());
        assert_eq!(reply.attribute("Tunnel-Private-Group-Id:0"), Some("100"));
        assert_eq!(reply.attribute("User-Name"), None);
        assert_eq!(parse("Sent Access-Request Id 1\n(0) No reply from server for ID 129 socket 3\n"), None);
    }
}

//! Ready configuration for NASs: whom to ask, at home first and where its campus's agents are stood in for second.
//!
//! It is text for people to read before they paste it. The secret is a place to fill in, unless who asks may have it.

use std::net::IpAddr;

/// What stands where the secret goes.
const NO_SECRET: &str = "SHARED-SECRET";
const AUTHENTICATION_PORT: u16 = 1812;
const ACCOUNTING_PORT: u16 = 1813;
/// How often sessions are told of, in minutes: an interim record each.
const INTERIM_MINUTES: u32 = 10;

/// For which machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NasKind {
    /// Cisco IOS and IOS XE.
    CiscoIos,
    /// Aruba and HPE switches (ArubaOS-Switch).
    Aruba,
    /// hostapd.
    Hostapd,
    /// A client to try it with (radclient).
    Freeradius,
    /// A list of what to enter.
    Generic,
}

impl NasKind {
    const ALL: [(&str, Self); 5] =
        [("cisco-ios", Self::CiscoIos), ("aruba", Self::Aruba), ("hostapd", Self::Hostapd), ("freeradius", Self::Freeradius), ("generic", Self::Generic)];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    /// All names.
    pub fn names() -> [&'static str; 5] {
        Self::ALL.map(|(name, _)| name)
    }

    /// The one that fits what people call a machine; the list, where none does.
    pub fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let is = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match () {
            () if is(&["cisco", "ios"]) => Self::CiscoIos,
            () if is(&["aruba", "hp", "procurve"]) => Self::Aruba,
            () if is(&["hostapd", "openwrt"]) => Self::Hostapd,
            () if is(&["freeradius", "radclient"]) => Self::Freeradius,
            () => Self::Generic,
        }
    }
}

/// A server that a NAS is to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its campus.
    pub campus: String,
    /// Where its agent answers.
    pub address: IpAddr,
}

/// The configuration of a NAS that asks these servers, in this order.
pub fn configuration(kind: NasKind, nas: &str, servers: &[Server], secret: Option<&str>) -> String {
    let secret = secret.unwrap_or(NO_SECRET);
    match kind {
        NasKind::CiscoIos => cisco_ios(nas, servers, secret),
        NasKind::Aruba => aruba(nas, servers, secret),
        NasKind::Hostapd => hostapd(nas, servers, secret),
        NasKind::Freeradius => freeradius(nas, servers, secret),
        NasKind::Generic => generic(nas, servers, secret),
    }
}

fn cisco_ios(nas: &str, servers: &[Server], secret: &str) -> String {
    let server = |Server { campus, address }: &Server| {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        format!(
            "radius server holdfast-{campus}\n address {family} {address} auth-port {AUTHENTICATION_PORT} acct-port {ACCOUNTING_PORT}\n timeout 3\n retransmit 2\n key {secret}\n"
        )
    };
    let names: String = servers.iter().map(|server| format!(" server name holdfast-{}\n", server.campus)).collect();
    format!(
        "! {nas}: the agent at home first\naaa new-model\n{}aaa group server radius holdfast\n{names} deadtime 1\n\
         aaa authentication dot1x default group holdfast\naaa authorization network default group holdfast\n\
         aaa accounting update newinfo periodic {INTERIM_MINUTES}\naaa accounting dot1x default start-stop group holdfast\n\
         radius-server attribute 8 include-in-access-req\nradius-server attribute 31 mac format ietf upper-case\n",
        servers.iter().map(server).collect::<String>()
    )
}

fn aruba(nas: &str, servers: &[Server], secret: &str) -> String {
    let server = |server: &Server| format!("radius-server host {} key \"{secret}\"\n", server.address);
    format!(
        "; {nas}: the agent at home first\n{}radius-server timeout 3\nradius-server retransmit 2\nradius-server dead-time 1\n\
         aaa authentication port-access eap-radius\naaa accounting network start-stop radius\naaa accounting update periodic {INTERIM_MINUTES}\n",
        servers.iter().map(server).collect::<String>()
    )
}

fn hostapd(nas: &str, servers: &[Server], secret: &str) -> String {
    let server = |Server { address, .. }: &Server| {
        format!(
            "auth_server_addr={address}\nauth_server_port={AUTHENTICATION_PORT}\nauth_server_shared_secret={secret}\n\
             acct_server_addr={address}\nacct_server_port={ACCOUNTING_PORT}\nacct_server_shared_secret={secret}\n"
        )
    };
    format!(
        "# {nas}: the agent at home first\nnas_identifier={nas}\n{}radius_retry_primary_interval=60\nradius_acct_interim_interval={}\n",
        servers.iter().map(server).collect::<String>(),
        INTERIM_MINUTES * 60
    )
}

/// Lines to run, one for each server.
fn freeradius(nas: &str, servers: &[Server], secret: &str) -> String {
    let server = |Server { campus, address }: &Server| {
        let host = if address.is_ipv4() { address.to_string() } else { format!("[{address}]") };
        format!(
            "# {campus}\necho 'Message-Authenticator = 0x00' | radclient -x {host}:{AUTHENTICATION_PORT} status '{secret}'\n\
             echo 'User-Name = someone, User-Password = theirs, Message-Authenticator = 0x00' | radclient -x {host}:{AUTHENTICATION_PORT} auth '{secret}'\n\
             echo 'Acct-Status-Type = Start, Acct-Session-Id = test, User-Name = someone, NAS-Identifier = {nas}' | radclient -x {host}:{ACCOUNTING_PORT} acct '{secret}'\n"
        )
    };
    format!("# {nas}: asked from its address, the agent at home first\n{}", servers.iter().map(server).collect::<String>())
}

fn generic(nas: &str, servers: &[Server], secret: &str) -> String {
    let rank = ["first", "second", "third"].into_iter().chain(std::iter::repeat("then"));
    let server = |(rank, Server { campus, address }): (&str, &Server)| {
        format!("{rank:<8} {address}  authentication UDP {AUTHENTICATION_PORT}, accounting UDP {ACCOUNTING_PORT}  ({campus})\n")
    };
    format!(
        "{nas}\n{}secret   {secret}\ntimeout  3 seconds, 2 retries; then the next server\nsend     Message-Authenticator in every request; Calling-Station-Id; interim records every {INTERIM_MINUTES} minutes\n",
        rank.zip(servers).map(server).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Vec<Server> {
        let server = |campus: &str, address: &str| Server { campus: campus.into(), address: address.parse().unwrap() };
        vec![server("north", "10.1.4.2"), server("south", "2001:db8::2")]
    }

    #[test]
    fn every_kind_asks_at_home_first_and_tells_no_secret_unasked() {
        for name in NasKind::names() {
            let kind = NasKind::named(name).unwrap();
            let text = configuration(kind, "annex", &servers(), None);
            let (home, backup) = (text.find("10.1.4.2").expect(name), text.find("2001:db8::2").expect(name));
            assert!(home < backup && text.contains("annex") && text.contains(NO_SECRET), "{text}");
            let told = configuration(kind, "annex", &servers(), Some("hunter2"));
            assert_eq!(told, text.replace(NO_SECRET, "hunter2"));
        }
    }

    #[test]
    fn what_people_call_a_machine_finds_its_kind() {
        let kinds = ["Cisco Catalyst 9300", "HPE 2930F", "hostapd 2.10", "Terminal server"].map(NasKind::of);
        assert_eq!(kinds, [NasKind::CiscoIos, NasKind::Aruba, NasKind::Hostapd, NasKind::Generic]);
    }
}

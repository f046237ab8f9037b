//! What NASs ask, made beforehand; and the certificates of EAP.

use super::super::requests::Requests;
use super::{PASSWORD, SECRET, user};
use crate::folder::Folder;
use anyhow::{Context, Result, ensure};
use holdfast_proto::radius::accounting;
use holdfast_proto::radius::mschap::respond;
use holdfast_proto::radius::packet::{attribute, code, encode_request, hide_password};
use holdfast_proto::words::Secret;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use std::path::PathBuf;
use std::process::Command;

/// More than a server remembers for those who ask again: each is a new one.
const DISTINCT: u32 = 32_768;
/// Steps through the accounts in an order that no cache line foresees: a prime that divides no round number of them.
const STRIDE: u64 = 48_271;
/// RFC 2548.
const MICROSOFT: [u8; 4] = [0, 0, 1, 55];
/// RFC 2866.
const ACCOUNTING_RESPONSE: u8 = 5;

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
}

fn authenticator(number: u32) -> [u8; 16] {
    let mut authenticator = [0x5a; 16];
    authenticator[..4].copy_from_slice(&number.to_be_bytes());
    authenticator
}

fn scattered(users: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..DISTINCT).map(move |number| (number, (u64::from(number) * STRIDE % u64::from(users)) as u32))
}

/// Whether somebody may come in.
pub fn is_accept(reply: &[u8]) -> bool {
    reply.first() == Some(&code::ACCESS_ACCEPT)
}

/// A login of one account by PAP.
pub fn login(account: u32, number: u32) -> Result<Vec<u8>> {
    let (secret, authenticator) = (Secret::new(SECRET), authenticator(number));
    let hidden = hide_password(PASSWORD.as_bytes(), &secret, &authenticator).context("a short password")?;
    let attributes = [tlv(attribute::USER_NAME, user(account).as_bytes()), tlv(attribute::USER_PASSWORD, &hidden)].concat();
    encode_request(code::ACCESS_REQUEST, number as u8, &authenticator, &attributes, &secret).ok().context("a short request")
}

/// Logins by PAP.
pub fn pap(users: u32) -> Result<Requests> {
    let packets = scattered(users).map(|(number, account)| login(account, number)).collect::<Result<_>>()?;
    Ok(Requests { what: "PAP, password known", packets, is_good: is_accept })
}

/// Logins by MS-CHAPv2, outside of a tunnel.
pub fn mschap(users: u32) -> Result<Requests> {
    let (secret, password) = (Secret::new(SECRET), Secret::new(PASSWORD));
    let vendor = |kind, value: &[u8]| tlv(attribute::VENDOR_SPECIFIC, &[&MICROSOFT[..], &tlv(kind, value)].concat());
    let packets = scattered(users).map(|(number, account)| {
        let (authenticator, name) = (authenticator(number), user(account));
        let response = respond(1, authenticator, [7; 16], name.as_bytes(), &password).context("a password that is text")?;
        let attributes = [tlv(attribute::USER_NAME, name.as_bytes()), vendor(11, &authenticator), vendor(25, &response)].concat();
        encode_request(code::ACCESS_REQUEST, number as u8, &authenticator, &attributes, &secret).ok().context("a short request")
    });
    Ok(Requests { what: "MS-CHAPv2 with keys", packets: packets.collect::<Result<_>>()?, is_good: is_accept })
}

/// Sessions that begin.
pub fn accounting() -> Requests {
    let secret = Secret::new(SECRET);
    let packet = |number: u32| {
        let session = format!("{number:08x}");
        // Acct-Status-Type Start, Acct-Session-Id, NAS-IP-Address, NAS-Port, Calling-Station-Id.
        let attributes = [
            tlv(40, &[0, 0, 0, 1]),
            tlv(44, session.as_bytes()),
            tlv(attribute::USER_NAME, user(number).as_bytes()),
            tlv(4, &[127, 0, 0, 1]),
            tlv(5, &number.to_be_bytes()),
            tlv(attribute::CALLING_STATION_ID, b"02-00-00-00-00-01"),
        ];
        accounting::encode_request(number as u8, &attributes.concat(), &secret)
    };
    let is_good = |reply: &[u8]| reply.first() == Some(&ACCOUNTING_RESPONSE);
    Requests { what: "accounting", packets: (0..2 * DISTINCT).map(packet).collect(), is_good }
}

/// An authority, the servers' certificate on a key of RSA-2048, and that of the first account.
pub struct Certificates {
    folder: Folder,
}

impl Certificates {
    pub fn new() -> Result<Self> {
        let folder = Folder::new("bench-radius-certificates")?;
        let mut params = CertificateParams::new(vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Bench");
        let key = KeyPair::generate()?;
        folder.write("ca.pem", &params.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(params, key);
        for (file, name, usage) in
            [("server", "radius.uni.example".to_owned(), ExtendedKeyUsagePurpose::ServerAuth), ("user", user(0), ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let made =
                Command::new("openssl").args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]).output().context("openssl")?;
            ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
            let pem = String::from_utf8(made.stdout)?;
            let mut params = CertificateParams::new(vec![])?;
            params.subject_alt_names = if file == "server" { vec![SanType::DnsName(name.as_str().try_into()?)] } else { vec![] };
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![usage];
            folder.write(&format!("{file}.pem"), &params.signed_by(&KeyPair::from_pem(&pem)?, &issuer)?.pem())?;
            folder.write(&format!("{file}.key"), &pem)?;
        }
        Ok(Self { folder })
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// What eapol_test is told to speak, by its name.
    pub fn methods(&self, password: &str) -> Vec<(&'static str, String)> {
        const TLS12: &str = "phase1=\"tls_disable_tlsv1_3=1\"";
        const TLS13: &str = "phase1=\"tls_disable_tlsv1_0=1 tls_disable_tlsv1_1=1 tls_disable_tlsv1_2=1 tls_disable_tlsv1_3=0\"";
        let [ca, certificate, key] = ["ca.pem", "user.pem", "user.key"].map(|file| self.path(file).display().to_string());
        let person = format!("identity=\"{}\"\npassword=\"{password}\"\nca_cert=\"{ca}\"\n", user(0));
        let own = format!("identity=\"{}\"\nca_cert=\"{ca}\"\nclient_cert=\"{certificate}\"\nprivate_key=\"{key}\"\n", user(0));
        vec![
            ("TTLS/PAP, TLS 1.2", format!("eap=TTLS\nphase2=\"auth=PAP\"\n{person}{TLS12}\n")),
            ("TTLS/PAP, TLS 1.3", format!("eap=TTLS\nphase2=\"auth=PAP\"\n{person}{TLS13}\n")),
            ("PEAP/MSCHAPv2, TLS 1.2", format!("eap=PEAP\nphase2=\"auth=MSCHAPV2\"\n{person}{TLS12}\n")),
            ("PEAP/MSCHAPv2, TLS 1.3", format!("eap=PEAP\nphase2=\"auth=MSCHAPV2\"\n{person}{TLS13}\n")),
            ("EAP-TLS, TLS 1.2", format!("eap=TLS\n{own}{TLS12}\n")),
            ("EAP-TLS, TLS 1.3", format!("eap=TLS\n{own}{TLS13}\n")),
        ]
    }
}

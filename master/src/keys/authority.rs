//! The authority of our own TLS: issues the certificates of agents, portal and master. Its key signs nothing that is served.

use anyhow::Context;
use chrono::{DateTime, Utc};
use holdfast_proto::control::enrol::CERTIFICATE_LIFE_MS;
use holdfast_proto::net::clock::WallClock;
use holdfast_proto::net::tls::{Identity, MASTER_NAME};
use holdfast_proto::words::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use std::time::{Duration, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A box renews when a third is left, and may renew after its end.
const NODE_LIFE: Duration = Duration::from_millis(CERTIFICATE_LIFE_MS);
/// The master's own, made anew at every start.
const MASTER_LIFE: Duration = Duration::from_secs(400 * 24 * 3600);
/// What stands behind a box's number in its certificate.
const NODE_SUFFIX: &str = ".node.holdfast";

/// The authority and its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

/// Who is at the other end of a line, by a certificate that verified except perhaps for its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The box.
    pub node: NodeId,
    /// Whether its certificate has run out: then it may only renew.
    pub expired: bool,
}

impl Authority {
    /// Makes a new authority: gives certificate and key, for files.
    pub fn generate(institution: &str) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{institution} Holdfast authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        since_always(&mut params, None);
        Ok((params.self_signed(&key)?.der().to_vec(), key.serialize_der()))
    }

    /// Reads an authority back.
    pub fn read(der: Vec<u8>, key: &[u8]) -> anyhow::Result<Self> {
        let key = KeyPair::try_from(key).context("the authority's key")?;
        let der = CertificateDer::from(der);
        Ok(Self { issuer: Issuer::from_ca_cert_der(&der, key).context("the authority's certificate")?, der })
    }

    /// The authority's certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The master's own certificate. `names` are further names and addresses that browsers use.
    pub fn master_identity(&self, names: Vec<String>) -> anyhow::Result<Identity> {
        let key = KeyPair::generate()?;
        let names = [vec![MASTER_NAME.to_owned()], names].concat();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, MASTER_NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        since_always(&mut params, Some(MASTER_LIFE));
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Identity::new(vec![leaf.der().to_vec(), self.der.to_vec()], &key.serialize_der())?)
    }

    /// A box's certificate for the key of its request. Nothing else of the request is believed.
    pub fn issue(&self, csr: &[u8], node: NodeId) -> anyhow::Result<Vec<Vec<u8>>> {
        let request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr.to_vec())).context("the certificate request is damaged")?;
        let mut params = CertificateParams::new(vec![format!("{node}{NODE_SUFFIX}")])?;
        params.distinguished_name.push(DnType::CommonName, node.to_string());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        since_always(&mut params, Some(NODE_LIFE));
        let leaf = params.signed_by(&request.public_key, &self.issuer)?;
        Ok(vec![leaf.der().to_vec(), self.der.to_vec()])
    }
}

/// Valid from before any clock of ours, so that a box that lags is never told "not yet".
fn since_always(params: &mut CertificateParams, life: Option<Duration>) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match life {
        Some(life) => (UNIX_EPOCH + Duration::from_millis(WallClock.now().0) + life).into(),
        None => date_time_ymd(2120, 1, 1),
    };
}

/// When a certificate ends.
pub fn end_of(der: &[u8]) -> Option<DateTime<Utc>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)
}

/// Reads who calls out of a certificate that TLS has verified. `None` where it is not one of a box of ours.
pub fn caller(der: &[u8]) -> Option<Caller> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let number = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => name.strip_suffix(NODE_SUFFIX),
        _ => None,
    })?;
    let node = NodeId(hex::decode(number).ok()?.try_into().ok()?);
    let now_s = (WallClock.now().0 / 1000) as i64;
    Some(Caller { node, expired: certificate.validity().not_after.timestamp() < now_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_recognised_by_its_certificate_whatever_it_asked_for() {
        let (der, key) = Authority::generate("University of Examples").unwrap();
        let authority = Authority::read(der, &key).unwrap();
        let own = KeyPair::generate().unwrap();
        let request = CertificateParams::new(vec!["master.holdfast".to_owned()]).unwrap().serialize_request(&own).unwrap();
        let chain = authority.issue(request.der(), NodeId([7; 16])).unwrap();
        assert_eq!(caller(&chain[0]), Some(Caller { node: NodeId([7; 16]), expired: false }));
        assert!(end_of(&chain[0]).is_some_and(|end| end > Utc::now() && end < Utc::now() + NODE_LIFE));
        assert_eq!(caller(authority.der()), None);
        assert_eq!(caller(b"no certificate"), None);
        assert!(authority.issue(b"no request", NodeId([7; 16])).is_err());
    }
}

//! Whom a user's certificate names (RFC 5216 section 5.2).
//!
//! Only its best kind of names counts: whoever has a principal name is nobody by another name, and a common name, which many may
//! choose themselves, says nothing beside a subjectAltName.

use x509_parser::asn1_rs::{Any, FromDer, Oid, Utf8String, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// Microsoft's user principal name, in a subjectAltName's otherName.
const USER_PRINCIPAL_NAME: Oid<'static> = oid!(1.3.6.1.4.1.311.20.2.3);

/// The names by which an account may be found: the principal names of subjectAltName, else its mail addresses, else its host names; the
/// subject's common names where it has none of these. Nothing where it cannot be read.
pub(super) fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return vec![] };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.map(|found| &found.value.general_names[..]).unwrap_or_default();
    let principals = alternative.iter().filter_map(|name| match name {
        GeneralName::OtherName(kind, value) if *kind == USER_PRINCIPAL_NAME => principal(value),
        _ => None,
    });
    let mails = alternative.iter().filter_map(|name| if let GeneralName::RFC822Name(mail) = name { Some((*mail).to_owned()) } else { None });
    let hosts = alternative.iter().filter_map(|name| if let GeneralName::DNSName(host) = name { Some((*host).to_owned()) } else { None });
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned);
    let mut kinds = [principals.collect::<Vec<_>>(), mails.collect(), hosts.collect(), common.collect()].into_iter();
    kinds.find(|names| !names.is_empty()).unwrap_or_default()
}

/// `[0] EXPLICIT UTF8String` (RFC 5280 section 4.2.1.6: the value of an otherName).
fn principal(value: &[u8]) -> Option<String> {
    let (_, explicit) = Any::from_der(value).ok()?;
    let (_, text) = Utf8String::from_der(explicit.data).ok()?;
    Some(text.string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn only_a_certificates_best_kind_of_names_counts() {
        let key = KeyPair::generate().unwrap();
        let named = |alternatives: Vec<SanType>| {
            let mut params = CertificateParams::default();
            params.subject_alt_names = alternatives;
            params.distinguished_name.push(DnType::CommonName, "Ada");
            names(params.self_signed(&key).unwrap().der())
        };
        let mail = || SanType::Rfc822Name("ada@uni.example".try_into().unwrap());
        let host = || SanType::DnsName("pc1.uni.example".try_into().unwrap());
        let principal = SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], "ada.l@ad.uni.example".into()));
        assert_eq!(named(vec![host(), mail(), principal]), ["ada.l@ad.uni.example"]);
        assert_eq!(named(vec![host(), mail()]), ["ada@uni.example"]);
        assert_eq!(named(vec![host()]), ["pc1.uni.example"]);
        assert_eq!(named(vec![]).last().map(String::as_str), Some("Ada"));
        assert!(names(b"no certificate").is_empty());
    }
}

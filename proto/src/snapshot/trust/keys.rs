use super::TrustError;
use crate::snapshot::manifest::{DOMAIN, Manifest, Sealed};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The short name of the key in manifests.
    pub fn id(&self) -> [u8; 8] {
        *blake3::hash(&self.0).as_bytes().first_chunk().expect("a hash has 32 bytes")
    }

    pub(in crate::snapshot) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ed25519 key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Makes a new key; gives it with the PKCS #8 bytes to keep in a file of mode 0600.
    pub fn generate() -> Result<(Self, Vec<u8>), TrustError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| TrustError::NoKey)?;
        let pkcs8 = pair.to_pkcs8().map_err(|_| TrustError::NoKey)?.as_ref().to_vec();
        Ok((Self(pair), pkcs8))
    }

    /// Reads a key back.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, TrustError> {
        Ed25519KeyPair::from_pkcs8(bytes).map(Self).map_err(|_| TrustError::NoKey)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    pub(in crate::snapshot) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }

    /// Seals a manifest, putting this key's id into it.
    pub(in crate::snapshot) fn seal(&self, mut manifest: Manifest) -> Sealed {
        manifest.key_id = self.public().id();
        let bytes = manifest.encode();
        Sealed::new(bytes, self.sign(&[DOMAIN, &bytes].concat()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ***)", self.public())
    }
}

//! NASs: who may ask RADIUS, what they are, whose, and with which secret.
//!
//! A secret comes in readable, is encrypted for its row at once, and is told to nobody but agents; and to people who may change it, when they ask
//! for it by name, which is recorded. A new one takes the place of the old one without a moment in which nobody gets in: the one before is
//! taken as well until somebody says that the NAS has the new one.

use super::draft::{NasAbout, NasDraft, NasPermits};
use super::nas_config::{NasKind, Server, configuration};
use super::{Action, Actor, Edit, NasObject, Problem, Refusal, authorise};
use crate::db::nas::{self, NasAboutRow, NasRightsRow, NasRow};
use crate::db::{DbError, campuses, changes};
use holdfast_proto::radius::{NAS, SharedSecrets, nas_key};
use holdfast_proto::snapshot::{DataKey, DataKeyRing, EncryptedField};
use holdfast_proto::words::{Secret, Subnet};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use uuid::Uuid;

/// The shortest secret that is taken from a keyboard: RFC 2865 section 3 asks for 16 bytes.
const SECRET_LEAST_BYTES: usize = 16;
/// The longest.
const SECRET_LIMIT_BYTES: usize = 256;

/// Keeps a NAS.
pub(super) async fn put(db: &mut PgConnection, draft: &NasDraft) -> Result<(), Refusal> {
    let campus = draft.about.as_ref().and_then(|about| about.campus.as_deref());
    if let Some(campus) = campus
        && !campuses::all(db).await?.iter().any(|known| known.name == campus)
    {
        return Err(Problem::new("no-such-campus", "/campus", format!("there is no campus {campus}")).into());
    }
    let about = draft.about.as_ref().map(|about| {
        let NasPermits { may_chap, mac_authentication, guest_vlan } = about.permits;
        let rights = NasRightsRow { may_chap, mac_authentication, guest_vlan };
        (rights, NasAboutRow { kind: &about.kind, contact: &about.contact, campus, note: &about.note })
    });
    let row = NasRow {
        name: &draft.name,
        prefix: draft.prefix.to_string(),
        secret: draft.secret.bytes(),
        has_former_secret: draft.has_former_secret,
        require_message_authenticator: draft.require_message_authenticator,
        about,
    };
    Ok(nas::put(db, &row).await?)
}

/// Deletes a NAS.
pub(super) async fn delete(db: &mut PgConnection, name: &str) -> Result<(), Refusal> {
    if nas::delete(db, name).await? { Ok(()) } else { Err(missing(name)) }
}

fn missing(name: &str) -> Refusal {
    Refusal::Missing(Problem::new("no-such-nas", "", format!("there is no NAS {name}")))
}

/// What becomes of a NAS's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretWish {
    /// It stays as it is.
    Keep,
    /// Another one; the one before it is taken as well.
    Replace(Secret),
    /// The one before is taken no more.
    ClearFormer,
}

/// A NAS as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NasWish {
    /// Its name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: Subnet,
    /// Whether its requests must carry a Message-Authenticator.
    pub require_message_authenticator: bool,
    /// What there is to know of it.
    pub about: NasAbout,
    /// Its secret.
    pub secret: SecretWish,
}

/// The edit that makes a NAS what is wished. The keys are those of the access feed, the one in use first.
pub async fn nas_edit(pool: &PgPool, keys: &[DataKey], wish: NasWish) -> Result<Edit, Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let held = all_of(&mut db).await?.into_iter().find(|one| one.name == wish.name);
    let held = match held {
        Some(one) => Some(read_secrets(&mut db, keys, &one).await?),
        None => None,
    };
    let secrets = wished(held, wish.secret)?;
    let (row_key, current) = (nas_key(wish.prefix.net()), keys.first().ok_or_else(no_key)?);
    let secret = current.encrypt(NAS, &row_key, secrets.join().expose()).map_err(|_| no_key())?;
    Ok(Edit::NasPut(NasDraft {
        name: wish.name,
        prefix: wish.prefix,
        secret,
        has_former_secret: secrets.former.is_some(),
        require_message_authenticator: wish.require_message_authenticator,
        about: Some(wish.about),
    }))
}

/// The secrets that a NAS is to have. Of two that stand, the newer one becomes the former one: a NAS that is slower than that has to be told by hand.
fn wished(held: Option<SharedSecrets>, wish: SecretWish) -> Result<SharedSecrets, Refusal> {
    match (held, wish) {
        (Some(held), SecretWish::Keep) => Ok(held),
        (Some(held), SecretWish::ClearFormer) => Ok(SharedSecrets { current: held.current, former: None }),
        (held, SecretWish::Replace(secret)) => {
            check(&secret)?;
            let former = held.map(|held| held.current).filter(|former| *former != secret);
            Ok(SharedSecrets { current: secret, former })
        }
        (None, _) => Err(Problem::new("secret-missing", "/secret", "a new NAS needs a secret").into()),
    }
}

fn check(secret: &Secret) -> Result<(), Refusal> {
    let bytes = secret.expose();
    let wrong = match bytes.len() {
        len if len < SECRET_LEAST_BYTES => {
            format!("a secret has at least {SECRET_LEAST_BYTES} bytes (RFC 2865 section 3): whoever hears one request can try them all")
        }
        len if len > SECRET_LIMIT_BYTES => format!("a secret has at most {SECRET_LIMIT_BYTES} bytes"),
        _ if bytes.iter().any(|byte| !byte.is_ascii_graphic()) => "a secret is of visible ASCII letters: NASs do not agree on what others are".to_owned(),
        _ if bytes.iter().any(|byte| b"'\"\\".contains(byte)) => "a secret has no quotes and no backslash: configuration files need them".to_owned(),
        _ => return Ok(()),
    };
    Err(Problem::new("secret-unfit", "/secret", wrong).into())
}

fn no_key() -> Refusal {
    Problem::new("no-data-key", "", "there is no data key to encrypt the secret with").into()
}

async fn all_of(db: &mut PgConnection) -> Result<Vec<NasObject>, DbError> {
    Ok(nas::all(db).await?.into_iter().map(NasObject::from).collect())
}

async fn read_secrets(db: &mut PgConnection, keys: &[DataKey], one: &NasObject) -> Result<SharedSecrets, Refusal> {
    let gone = || Problem::new("secret-gone", "", format!("the secret of NAS {} cannot be read any more: set it again", one.name));
    let (secret, has_former) = nas::secret(db, &one.name).await?.ok_or_else(|| missing(&one.name))?;
    let prefix: Subnet = one.prefix.parse().map_err(|_| gone())?;
    let field = EncryptedField::from_bytes(&secret).map_err(|_| gone())?;
    let plain = DataKeyRing::of(keys.iter().cloned()).decrypt(NAS, &nas_key(prefix.net()), &field).map_err(|_| gone())?;
    Ok(SharedSecrets::split(plain, has_former).map_err(|_| gone())?)
}

/// Configuration for a NAS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NasConfiguration {
    /// The NAS.
    pub nas: String,
    /// Whom it asks, in this order.
    pub servers: Vec<String>,
    /// What to paste, after reading it.
    pub text: String,
}

/// Ready configuration: the campus's own agents first, those that stand in for them second; then, where it has no campus, all others.
pub async fn nas_configuration(pool: &PgPool, name: &str, kind: Option<NasKind>) -> Result<NasConfiguration, Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let one = all_of(&mut db).await?.into_iter().find(|one| one.name == name).ok_or_else(|| missing(name))?;
    told(&mut db, &one, kind, None).await
}

/// The same with the secret in it: for who may change it, and on record.
pub async fn nas_configuration_with_secret(
    pool: &PgPool,
    actor: &Actor,
    name: &str,
    kind: Option<NasKind>,
    keys: &[DataKey],
) -> Result<NasConfiguration, Refusal> {
    authorise(actor, Action::WriteInstitution, "the secrets of NASs")?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let one = all_of(&mut tx).await?.into_iter().find(|one| one.name == name).ok_or_else(|| missing(name))?;
    let secrets = read_secrets(&mut tx, keys, &one).await?;
    // A change set without a change: who read it stands in the history, and cannot be taken out of it.
    changes::open(&mut tx, Uuid::now_v7(), &actor.name, &format!("read the secret of NAS {name}"), actor.via).await?;
    let secret = String::from_utf8_lossy(secrets.current.expose()).into_owned();
    let told = told(&mut tx, &one, kind, Some(&secret)).await?;
    tx.commit().await.map_err(DbError::from)?;
    tracing::warn!(event = "access_secret_read", nas = name, by = actor.name, "{} read the secret of NAS {name}", actor.name);
    Ok(told)
}

/// The secrets of all NASs by name: for who may change them, and on record.
pub(super) async fn all_secrets(pool: &PgPool, actor: &Actor, keys: &[DataKey]) -> Result<HashMap<String, Secret>, Refusal> {
    authorise(actor, Action::WriteInstitution, "the secrets of NASs")?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let mut secrets = HashMap::new();
    for one in all_of(&mut tx).await? {
        let held = read_secrets(&mut tx, keys, &one).await?;
        secrets.insert(one.name, held.current);
    }
    changes::open(&mut tx, Uuid::now_v7(), &actor.name, "read the secrets of all NASs", actor.via).await?;
    tx.commit().await.map_err(DbError::from)?;
    tracing::warn!(event = "access_secrets_read", by = actor.name, "{} read the secrets of all NASs", actor.name);
    Ok(secrets)
}

async fn told(db: &mut PgConnection, one: &NasObject, kind: Option<NasKind>, secret: Option<&str>) -> Result<NasConfiguration, Refusal> {
    let servers = servers(db, one.campus.as_deref()).await?;
    if servers.is_empty() {
        return Err(Problem::new("no-service-address", "", "no campus has a service address yet: holdfast campus set NAME --service-address IP").into());
    }
    let kind = kind.unwrap_or_else(|| NasKind::of(&one.kind));
    let text = configuration(kind, &one.name, &servers, secret);
    Ok(NasConfiguration { nas: one.name.clone(), servers: servers.iter().map(|server| server.address.to_string()).collect(), text })
}

/// Two of them: a NAS that tries more waits longer before somebody gets in.
async fn servers(db: &mut PgConnection, home: Option<&str>) -> Result<Vec<Server>, DbError> {
    const ASKED: usize = 2;
    let campuses = campuses::all(db).await?;
    let own = campuses.iter().find(|campus| Some(campus.name.as_str()) == home);
    let backup = own.and_then(|own| own.backup.as_deref());
    let rank = |name: &str| match name {
        name if Some(name) == home => 0,
        name if Some(name) == backup => 1,
        _ => 2,
    };
    let mut ranked: Vec<_> = campuses.iter().filter_map(|campus| Some((rank(&campus.name), campus.name.clone(), campus.service_address?))).collect();
    ranked.sort();
    Ok(ranked.into_iter().take(ASKED).map(|(_, campus, address)| Server { campus, address }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(current: &str, former: Option<&str>) -> SharedSecrets {
        SharedSecrets { current: Secret::new(current), former: former.map(Secret::new) }
    }

    const OLD: &str = "an-old-secret-of-24-bytes";
    const NEW: &str = "a-new-secret-of-23-bytes";

    #[test]
    fn a_secret_is_changed_in_two_steps() {
        let replace = |secret: &str| SecretWish::Replace(Secret::new(secret));
        let changing = wished(Some(secrets(OLD, None)), replace(NEW)).unwrap();
        assert_eq!(changing, secrets(NEW, Some(OLD)), "both are taken");
        assert_eq!(wished(Some(changing.clone()), SecretWish::Keep).unwrap(), changing, "until somebody says so");
        assert_eq!(wished(Some(changing.clone()), SecretWish::ClearFormer).unwrap(), secrets(NEW, None));
        assert_eq!(wished(Some(changing), replace(OLD)).unwrap(), secrets(OLD, Some(NEW)), "and back");
        assert_eq!(wished(None, replace(NEW)).unwrap(), secrets(NEW, None));
        assert!(wished(None, SecretWish::Keep).is_err());
    }

    #[test]
    fn a_secret_that_can_be_guessed_or_not_be_written_is_refused() {
        for unfit in ["short", "with a blank in it 123", "quoted'quoted'quoted", &"x".repeat(257)] {
            assert!(wished(None, SecretWish::Replace(Secret::new(unfit))).is_err(), "{unfit}");
        }
    }
}

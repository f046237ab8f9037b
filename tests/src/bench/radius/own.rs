//! The agent's RADIUS on its own disk's snapshots.

use super::super::store::{NODE_ID, Publisher};
use super::requests::Certificates;
use super::{Contender, PASSWORD, SECRET, free_port, tell, user};
use crate::folder::Folder;
use crate::process::Recipe;
use crate::programs::programs;
use anyhow::{Context, Result};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use holdfast_proto::radius::mschap::nt_hash;
use holdfast_proto::radius::{ACCOUNT, Account, AccountState, FurtherVerifiers, NAS, Nas, NasRights, account_key, nas_key, nt_hash_key};
use holdfast_proto::snapshot::{Change, DataKey, Feed, wrapped_key_row};
use holdfast_proto::words::Secret;

/// Accounts with a cheap verifier, as FreeRADIUS's is, and an NT hash; one NAS that may speak MS-CHAPv2 outside of a tunnel.
pub fn lay_out(users: u32, certificates: &Certificates) -> Result<Contender> {
    tell(&format!("writing {users} accounts"));
    let folder = Folder::new("bench-radius")?;
    let state = folder.path().join("state");
    let publisher = Publisher::new()?;
    let public = publisher.keep_identity(&state, NODE_ID, "bench")?;
    let key = DataKey::generate()?;
    let wrapped = wrapped_key_row(&key, NODE_ID, &public)?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).map_err(|wrong| anyhow::anyhow!("argon2id: {wrong}"))?);
    let nt = nt_hash(&Secret::new(PASSWORD)).context("a password that is text")?;
    let account = |number: u32| -> Result<Change> {
        let row_key = account_key(&user(number));
        let verifier = hasher.hash_password(PASSWORD.as_bytes()).map_err(|wrong| anyhow::anyhow!("argon2id: {wrong}"))?.to_string();
        let further = FurtherVerifiers { nt_hash: Some(key.encrypt(ACCOUNT, &nt_hash_key(&row_key), nt.expose())?), cleartext: None };
        let verifier = key.encrypt(ACCOUNT, &row_key, verifier.as_bytes())?;
        Ok(Change::put(ACCOUNT, row_key, Account { state: AccountState::Active, verifier, further, attributes: vec![6, 6, 0, 0, 0, 2] }.encode()))
    };
    let people = [Ok(wrapped.clone())].into_iter().chain((0..users).map(account)).collect::<Result<Vec<_>>>()?;
    publisher.keep(&state, Feed::PEOPLE, people)?;
    let row_key = nas_key("127.0.0.1/32".parse()?);
    let nas = Nas {
        name: "loopback".into(),
        secret: key.encrypt(NAS, &row_key, SECRET.as_bytes())?,
        require_message_authenticator: true,
        has_former_secret: false,
        rights: NasRights { chap: true, machines: None },
    };
    publisher.keep(&state, Feed::ACCESS, vec![wrapped, Change::put(NAS, row_key, nas.encode())])?;
    let (login, accounting) = (free_port()?, free_port()?);
    let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|file| certificates.path(file));
    let config = format!(
        "state_dir = {state:?}\n[radius]\nlisten = [\"{login}\"]\naccounting = [\"{accounting}\"]\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = {ca:?}\n"
    );
    let config = folder.write("agent.toml", &config)?;
    let recipe = Recipe::new("radius", &programs()?.agent, folder.path()).args(["radius", "--config"]).args([config]);
    Ok(Contender { name: "Holdfast", _folder: folder, recipe, login, accounting })
}

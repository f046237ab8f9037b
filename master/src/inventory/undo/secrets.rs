//! Secrets of NASs under undo. When a box is thrown out the publisher encrypts them all anew, and some time later the old
//! data key is gone for good: so no old ciphertext may come back as it was.
//!
//! A secret that comes back is encrypted with the key in use there and then. Where its old key is gone, the undo is refused: to
//! keep every key that some old image needs would be to keep the key of a stolen box for as long as there is a history.

use super::{NetByRow, Problem};
use crate::db::undo::{Image, TABLES};
use holdfast_proto::radius::{NAS, nas_key};
use holdfast_proto::snapshot::{DataKey, DataKeyRing, EncryptedField};
use holdfast_proto::words::Subnet;
use serde_json::Value;

/// The column.
const SECRET: &str = "secret";
/// How Postgres writes bytes in JSON.
const HEX: &str = "\\x";

/// What the change sets left is followed through the publisher's own, which changed its encryption and nothing else.
pub(super) fn follow(net: &mut NetByRow, anew: Vec<Image>) {
    for Image { table, key, before, after } in anew {
        let rank = TABLES.iter().position(|known| known.name == table);
        let left = rank.and_then(|rank| net.get_mut(&(rank, key))?.after.as_mut());
        // Only what stands exactly as they left it: an edit between them is somebody's.
        if let (Some(left), Some(before), Some(after)) = (left, before, after)
            && left[SECRET] == before[SECRET]
        {
            left[SECRET] = after[SECRET].clone();
        }
    }
}

/// Puts the secret of a row under the key in use.
pub(super) fn renew(row: &mut Value, keys: &[DataKey]) -> Result<(), Problem> {
    let anew = renewed(row, keys).ok_or_else(|| gone(row))?;
    row[SECRET] = format!("{HEX}{}", hex::encode(anew.bytes())).into();
    Ok(())
}

fn renewed(row: &Value, keys: &[DataKey]) -> Option<EncryptedField> {
    let (current, prefix) = (keys.first()?, row["prefix"].as_str()?.parse::<Subnet>().ok()?);
    let field = EncryptedField::from_bytes(&hex::decode(row[SECRET].as_str()?.strip_prefix(HEX)?).ok()?).ok()?;
    if field.key_id() == current.id() {
        return Some(field);
    }
    let row_key = nas_key(prefix.net());
    let secret = DataKeyRing::of(keys.iter().cloned()).decrypt(NAS, &row_key, &field).ok()?;
    current.encrypt(NAS, &row_key, secret.expose()).ok()
}

fn gone(row: &Value) -> Problem {
    let (name, prefix) = (row["name"].as_str().unwrap_or_default(), row["prefix"].as_str().unwrap_or_default());
    let detail = format!(
        "the secret that NAS {name} at {prefix} had then cannot be read any more: its data key was removed after a box was thrown out. \
         Enter the secret again (import its client block) instead of undoing this"
    );
    Problem::new("secret-gone", "", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::undo::{Step, net, step};
    use serde_json::json;

    const PREFIX: &str = "10.1.4.250/32";

    fn row(secret: &EncryptedField) -> Value {
        json!({ "id": 1, "name": "term-1", "prefix": PREFIX, "secret": format!("{HEX}{}", hex::encode(secret.bytes())) })
    }

    fn secret(key: &DataKey, text: &str) -> EncryptedField {
        key.encrypt(NAS, &nas_key(PREFIX.parse::<Subnet>().unwrap().net()), text.as_bytes()).unwrap()
    }

    fn image(before: Option<Value>, after: Option<Value>) -> Image {
        Image { table: "access.nas".to_owned(), key: "1".to_owned(), before, after }
    }

    #[test]
    fn a_secret_comes_back_under_the_key_in_use_or_not_at_all() {
        let [old, new] = [DataKey::from_bytes([1; 32]), DataKey::from_bytes([2; 32])];
        let mut back = row(&secret(&old, "hunter2"));
        renew(&mut back, &[new.clone(), old]).unwrap();
        let field = renewed(&back, std::slice::from_ref(&new)).unwrap();
        let key = nas_key(PREFIX.parse::<Subnet>().unwrap().net());
        assert_eq!(DataKeyRing::of([new.clone()]).decrypt(NAS, &key, &field).unwrap().expose(), b"hunter2");
        let again = back.clone();
        renew(&mut back, std::slice::from_ref(&new)).unwrap();
        assert_eq!(back, again, "and stays as it is there");
        let wrong = renew(&mut back, &[DataKey::from_bytes([3; 32])]).unwrap_err();
        assert!(wrong.detail.contains("term-1 at 10.1.4.250/32") && wrong.detail.contains("Enter the secret again"), "{wrong:?}");
    }

    #[test]
    fn an_encryption_is_no_change_and_an_edit_is_one() {
        let [old, new] = [DataKey::from_bytes([1; 32]), DataKey::from_bytes([2; 32])];
        let [first, second, third] = ["first", "second", "third"].map(|text| row(&secret(&old, text)));
        let anew = row(&secret(&new, "second"));
        let undone = |between: Vec<Image>, now: &Value| {
            let mut rows = net(vec![image(Some(first.clone()), Some(second.clone()))]).unwrap();
            follow(&mut rows, between);
            step(rows.into_values().next().unwrap(), Some(now))
        };
        let encrypted = image(Some(second.clone()), Some(anew.clone()));
        assert_eq!(undone(vec![encrypted], &anew), Ok(Some(Step::Update(first.clone()))));
        let of_another = image(Some(third.clone()), Some(anew.clone()));
        assert!(undone(vec![of_another], &anew).is_err(), "somebody gave it another secret before it was encrypted anew");
    }
}

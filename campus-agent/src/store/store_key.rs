use super::identity::folder;
use super::{GROUP_READS, sync_parent};
use holdfast_proto::snapshot::file::StoreKey;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The key under which this box vouches for what it has proven. Made where there is none, or where a power cut left half of
/// one; a process that may neither read nor make it gets one of its own, and proves everything by signatures and sums instead.
pub fn store_key(state_dir: &Path) -> StoreKey {
    let path = folder(state_dir).join("store.key");
    // Where the disk fails, the key is no key for others, and only vouches for what this process itself has proven.
    StoreKey::from_bytes(kept(&path).or_else(|| make(&path).ok()).or_else(|| draw().ok()).unwrap_or_default())
}

fn kept(path: &Path) -> Option<[u8; 32]> {
    fs::read(path).ok()?.try_into().ok()
}

fn draw() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

/// Whoever comes second takes the key of whoever came first; nobody ever sees half of one.
fn make(path: &Path) -> io::Result<[u8; 32]> {
    let key = draw()?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let aside = path.with_extension(format!("key.{}", uuid::Uuid::new_v4()));
    let linked = write_new(&aside, &key).and_then(|()| match fs::hard_link(&aside, path) {
        Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => kept(path).map_or_else(|| fs::rename(&aside, path), |_| Ok(())),
        linked => linked,
    });
    // It may have taken the other name already.
    drop(fs::remove_file(&aside));
    linked?;
    sync_parent(path)?;
    kept(path).ok_or_else(|| io::Error::other("another process is making it"))
}

fn write_new(path: &Path, key: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(GROUP_READS).open(path)?;
    file.write_all(key)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_has_one_key_however_many_ask_and_a_torn_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = folder(dir.path()).join("store.key");
        let ask = || {
            store_key(dir.path());
            kept(&path).unwrap()
        };
        let keys: Vec<_> =
            std::thread::scope(|scope| (0..8).map(|_| scope.spawn(ask)).collect::<Vec<_>>().into_iter().map(|work| work.join().unwrap()).collect());
        assert!(keys.iter().all(|key| *key == keys[0]), "whoever asks at once gets the same");
        fs::write(&path, b"").unwrap();
        let made = ask();
        assert!(made != keys[0] && made == ask(), "what a power cut left is no key");
        let names: Vec<_> = fs::read_dir(folder(dir.path())).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["store.key"]);
    }
}

use nix::unistd::{Uid, User};

/// Who runs this process, for an audit record: the person behind `sudo` where there is one.
pub fn caller() -> String {
    let uid = Uid::current();
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name);
    match std::env::var("SUDO_USER") {
        // Only sudo's own word counts, and sudo runs things as root.
        Ok(person) if uid.is_root() && !person.is_empty() => format!("{person} (as {name})"),
        _ => name,
    }
}

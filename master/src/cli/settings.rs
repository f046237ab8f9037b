//! Where the master is and who asks: flags first, then the environment, then the file.

use super::{Failure, arguments::Connection};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `config.toml`, for example:
///
/// ```toml
/// server = "https://holdfast.uni.example"
/// token = "holdfast_..."
/// ca = "/etc/holdfast/ca.pem"
/// ```
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<String>,
    token: Option<String>,
    ca: Option<PathBuf>,
}

/// Everything a client needs.
pub(super) struct Settings {
    /// The master's address, without a final slash.
    pub server: String,
    /// The token.
    pub token: String,
    /// Certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
}

/// Joins flags, environment and file.
pub(super) fn resolve(given: Connection) -> Result<Settings, Failure> {
    let file = match path() {
        Some(path) => read(&path)?,
        None => File::default(),
    };
    let missing = |what: &str, flag: &str, variable: &str| {
        Failure::Usage(format!("no {what}: give --{flag}, set {variable}, or write {flag} = \"...\" into ~/.config/holdfast/config.toml"))
    };
    let server = given.server.or(file.server).ok_or_else(|| missing("server", "server", "HOLDFAST_SERVER"))?;
    let token = given.token.or(file.token).ok_or_else(|| missing("token", "token", "HOLDFAST_TOKEN"))?;
    if !server.starts_with("http://") && !server.starts_with("https://") {
        return Err(Failure::Usage(format!("the server \"{server}\" has to begin with https:// (or http:// on the master itself)")));
    }
    Ok(Settings { server: server.trim_end_matches('/').to_owned(), token, ca: given.ca.or(file.ca) })
}

fn path() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    Some(config.or_else(home)?.join("holdfast/config.toml"))
}

fn read(path: &Path) -> Result<File, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| Failure::Usage(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(Failure::Usage(format!("{} cannot be read: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_file_is_read_strictly_and_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(read(&path).unwrap(), super::File::default());
        std::fs::write(&path, "server = \"https://a.example\"\n").unwrap();
        assert_eq!(read(&path).unwrap().server.as_deref(), Some("https://a.example"));
        std::fs::write(&path, "sever = \"https://a.example\"\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("sever"));
    }
}

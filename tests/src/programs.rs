//! Our own programs, built by cargo in the profile of the lab that runs.
//!
//! `cargo run -- demo` and `cargo test` build the lab alone; the programs it starts are other packages' binaries, so it has
//! cargo build those before it starts them. The same packages are named that cargo already knows from the lab, so that no
//! dependency is built a second time with other features.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where our programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `holdfast-master`.
    pub master: PathBuf,
    /// `holdfast-agent`.
    pub agent: PathBuf,
    /// `holdfast`, the admin's command line.
    pub cli: PathBuf,
}

/// Builds the programs, once in a process, and says where they are.
pub fn programs() -> Result<&'static Programs> {
    static BUILT: OnceLock<std::result::Result<Programs, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|wrong| format!("{wrong:#}")));
    built.as_ref().map_err(|wrong| anyhow::anyhow!("{wrong}"))
}

fn build() -> Result<Programs> {
    let folder = profile_folder(&std::env::current_exe()?)?;
    let target = folder.parent().context("cargo's target folder has no parent")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--bins", "-p", "holdfast-lab", "-p", "holdfast-master", "-p", "holdfast-agent"]);
    command.arg("--manifest-path").arg(house().join("Cargo.toml")).arg("--target-dir").arg(target);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().context("cargo cannot be started: install Rust, or put it into PATH")?;
    ensure!(status.success(), "cargo could not build the programs ({status})");
    Ok(Programs { master: folder.join("holdfast-master"), agent: folder.join("holdfast-agent"), cli: folder.join("holdfast") })
}

/// The folder of the workspace, as it was when the lab was built.
pub fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the lab is a folder of the workspace")
}

/// `target/debug` or `target/release`: where the running executable, or the test program in `deps`, lies.
fn profile_folder(executable: &Path) -> Result<PathBuf> {
    let folder = executable.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    Ok(folder.context("the lab does not know where it was started from")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_read_off_the_executable() {
        for executable in ["/t/release/holdfast-lab", "/t/release/deps/it-0123"] {
            assert_eq!(profile_folder(Path::new(executable)).unwrap(), Path::new("/t/release"));
        }
    }
}

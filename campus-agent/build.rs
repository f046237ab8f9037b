//! Puts the commit into the program, so that `version` and the status page can name the exact build.

use std::process::Command;

fn main() {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = output.ok().filter(|output| output.status.success()).map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo:rustc-env=HOLDFAST_COMMIT={}", commit.unwrap_or_else(|| "unknown".to_owned()));
    // A path that is not there would make cargo run this at every build: outside a clone there is nothing to watch.
    for path in ["../.git/HEAD", "../.git/refs/heads"].into_iter().filter(|path| std::path::Path::new(path).exists()) {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}

//! Compiles the wire contracts with protox (pure Rust), so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["wire/control.proto"], ["wire"])?;
    // A generation goes to many agents from one buffer.
    let shared = ["Frame", "Piece", "MendPiece"].map(|message| format!(".holdfast.control.v1.{message}"));
    shared.into_iter().fold(tonic_prost_build::configure(), |configured, message| configured.bytes(message)).compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=wire");
    Ok(())
}

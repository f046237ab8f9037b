//! Compiles the wire contracts with protox (pure Rust), so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["wire/control.proto"], ["wire"])?;
    // A generation goes to many agents from one buffer.
    tonic_prost_build::configure().bytes(".holdfast.control.v1.Frame").bytes(".holdfast.control.v1.Piece").compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=wire");
    Ok(())
}

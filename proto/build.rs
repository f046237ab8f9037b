//! Compiles the wire contracts with protox (pure Rust), so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["wire/control.proto"], ["wire"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=wire");
    Ok(())
}

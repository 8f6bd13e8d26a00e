//! Writes the wire stubs of `actorgrid` from its proto files, without `protoc`.
//!
//! `cargo run -p codegen` writes them; `cargo run -p codegen -- --check` fails if the checked-in
//! stubs differ from those that would be written.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The protocol between peers: messages only, as the library frames its calls itself.
const PEER: [&str; 3] = ["wire.proto", "detail.proto", "health.proto"];
/// The protocol of etcd: the client side only.
const ETCD: [&str; 1] = ["etcd.proto"];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../actorgrid");
    let target = library.join("src/wire/generated");
    let check = std::env::args().any(|argument| argument == "--check");

    let written = std::env::temp_dir().join(format!("actorgrid-codegen-{}", std::process::id()));
    std::fs::create_dir_all(&written)?;
    let protos = library.join("proto");
    generate(&PEER, false, &protos, &written)?;
    generate(&ETCD, true, &protos, &written)?;

    let mut stale = Vec::new();
    for entry in std::fs::read_dir(&written)? {
        let from = entry?.path();
        let to = target.join(
            from.file_name()
                .ok_or("a generated file must have a name")?,
        );
        if check {
            if std::fs::read(&from)? != std::fs::read(&to).unwrap_or_default() {
                stale.push(to);
            }
        } else {
            std::fs::create_dir_all(&target)?;
            std::fs::copy(&from, &to)?;
        }
    }
    std::fs::remove_dir_all(&written)?;
    Ok(report(&stale))
}

fn generate(files: &[&str], client: bool, protos: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let files = protox::compile(files, [protos])?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    tonic_prost_build::configure()
        .out_dir(out)
        .build_client(client)
        .build_server(false)
        .build_transport(false)
        .compile_fds_with_config(files, config)?;
    Ok(())
}

fn report(stale: &[PathBuf]) -> ExitCode {
    for path in stale {
        eprintln!("{} is stale: run `make codegen`", path.display());
    }
    if stale.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

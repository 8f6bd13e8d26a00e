//! Writes the wire stubs of `actorgrid` and `actorgrid-memory-etcd` from their proto files, without
//! `protoc`.
//!
//! `cargo run -p codegen` writes them; `cargo run -p codegen -- --check` fails if the checked-in
//! stubs differ from those that would be written.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Stubs that are generated together.
struct Stubs {
    /// The folder of the crate that they belong to.
    library: &'static str,
    /// The folder of the stubs in that crate.
    target: &'static str,
    protos: &'static [&'static str],
    sides: Sides,
}

/// The sides of a protocol for which stubs are generated, beside its messages.
#[derive(PartialEq)]
enum Sides {
    /// None: the library frames its calls itself.
    Neither,
    Client,
    /// The serving side, and the client's for the tests of the crate.
    ServerAndTestClient,
}

const STUBS: [Stubs; 3] = [
    // The protocol between peers.
    Stubs {
        library: "../actorgrid",
        target: "src/wire/generated",
        protos: &["wire.proto", "detail.proto", "health.proto"],
        sides: Sides::Neither,
    },
    // The protocol of etcd.
    Stubs {
        library: "../actorgrid",
        target: "src/wire/generated",
        protos: &["etcd.proto"],
        sides: Sides::Client,
    },
    Stubs {
        library: "../actorgrid-memory-etcd",
        target: "src/wire/generated",
        protos: &["etcdserver.proto"],
        sides: Sides::ServerAndTestClient,
    },
];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let check = std::env::args().any(|argument| argument == "--check");
    let mut stale = Vec::new();
    for stubs in &STUBS {
        write(stubs, check, &mut stale)?;
    }
    Ok(report(&stale))
}

/// Writes the stubs, or only collects those that would change.
fn write(stubs: &Stubs, check: bool, stale: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join(stubs.library);
    let target = library.join(stubs.target);
    let written = std::env::temp_dir().join(format!("actorgrid-codegen-{}", std::process::id()));
    std::fs::create_dir_all(&written)?;
    generate(stubs, &library.join("proto"), &written)?;
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
    Ok(())
}

fn generate(stubs: &Stubs, protos: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let files = protox::compile(stubs.protos, [protos])?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    let mut builder = tonic_prost_build::configure()
        .out_dir(out)
        .build_client(stubs.sides != Sides::Neither)
        .build_server(stubs.sides == Sides::ServerAndTestClient)
        .build_transport(false);
    if stubs.sides == Sides::ServerAndTestClient {
        builder = builder.client_mod_attribute(".", "#[cfg(test)]");
    }
    builder.compile_fds_with_config(files, config)?;
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

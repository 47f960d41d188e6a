//! Peers in Rust: socketioxide, which is a package of its own so that nobody has to build it who does not measure it; and
//! the bare server, which belongs to the workspace.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};

use super::{Pings, folder};

const SOCKETIOXIDE: &str = "socketioxide";

/// The command that runs socketioxide with its Redis adapter on this port. It has `/readyz`; see its source for what it does.
pub fn socketioxide(port: u16, redis: &str, pings: Pings) -> anyhow::Result<Command> {
    let manifest = folder(SOCKETIOXIDE).join("Cargo.toml");
    let target = target()?.join("peers");
    let build = [
        "--locked",
        "--manifest-path",
        &manifest.display().to_string(),
        "--target-dir",
        &target.display().to_string(),
    ]
    .map(str::to_owned);
    let mut command = Command::new(built(&build, "weir-peer-socketioxide", &target)?);
    command
        .args(["--port", &port.to_string(), "--redis", redis])
        .args(pings.arguments());
    Ok(command)
}

/// The versions of socketioxide and of its adapter.
pub fn socketioxide_version() -> anyhow::Result<String> {
    let lock = std::fs::read_to_string(folder(SOCKETIOXIDE).join("Cargo.lock"))?;
    let version = |package: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
        rest.split('"').next()
    };
    let versions = version("socketioxide").zip(version("socketioxide-redis"));
    let (server, adapter) = versions.context("Cargo.lock does not name socketioxide")?;
    Ok(format!("{server}, socketioxide-redis {adapter}"))
}

/// The command that runs the bare server on this port: it writes the same frame to every socket that follows a stream, knows
/// no other server and no Redis, and is the limit of a fan-out.
pub fn bare(port: u16, pings: Pings) -> anyhow::Result<Command> {
    let mut command = bare_program()?;
    command
        .args(["--port", &port.to_string()])
        .args(pings.arguments());
    Ok(command)
}

/// The command that accepts connections on this port and keeps them, without a word: the limit of what a connection costs.
pub fn raw_tcp(port: u16) -> anyhow::Result<Command> {
    let mut command = bare_program()?;
    command.args(["--raw", "--port", &port.to_string()]);
    Ok(command)
}

fn bare_program() -> anyhow::Result<Command> {
    Ok(Command::new(program("bare", "bare")?))
}

/// The path of a program of the workspace, which is built if need be as this one is.
pub(crate) fn program(package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let build = ["--package", package, "--bin", name].map(str::to_owned);
    built(&build, name, &target()?)
}

/// The folder of what cargo builds.
fn target() -> anyhow::Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder.pop();
    Ok(folder)
}

/// Builds a program, once in each process, in the profile of this one.
fn built(arguments: &[String], name: &str, target: &std::path::Path) -> anyhow::Result<PathBuf> {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    let profile = if is_release()? { "release" } else { "debug" };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet"]).args(arguments);
    if profile == "release" {
        build.arg("--release");
    }
    let status = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("running cargo build")?;
    ensure!(status.success(), "building the program {name} failed");
    let path = target.join(profile).join(name);
    built.insert(name.to_owned(), path.clone());
    Ok(path)
}

/// Whether this program was built in release mode, by where it lies.
fn is_release() -> anyhow::Result<bool> {
    let program = std::env::current_exe()?;
    Ok(program
        .ancestors()
        .skip(1)
        .take(2)
        .any(|folder| folder.ends_with("release")))
}

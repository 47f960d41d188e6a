//! Socket.IO on Node.js, with either of its Redis adapters.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Pings, folder};

const PEER: &str = "socketio";
const LOCK: &str = "package-lock.json";
/// A file that holds the lock file from which `node_modules` was installed.
const INSTALLED: &str = "node_modules/.installed";

/// The command that runs Socket.IO on Node.js with its Redis Streams adapter on this port. It has `/readyz`, and takes
/// NDJSON at `/v1/streams/NAME` as Weir does; see its source for what it does.
pub fn socketio_redis_streams(port: u16, redis: &str, pings: Pings) -> anyhow::Result<Command> {
    command("redis-streams", port, redis, pings)
}

/// As [`socketio_redis_streams`], with the adapter for Pub/Sub. That knows no recovery.
pub fn socketio_redis(port: u16, redis: &str, pings: Pings) -> anyhow::Result<Command> {
    command("redis", port, redis, pings)
}

/// The versions of Socket.IO and of one of its adapters, `@socket.io/redis-streams-adapter` or `@socket.io/redis-adapter`.
pub fn socketio_version(adapter: &str) -> anyhow::Result<String> {
    let lock: Value = serde_json::from_slice(&std::fs::read(folder(PEER).join(LOCK))?)?;
    let version = |package: &str| {
        let version = lock["packages"][format!("node_modules/{package}")]["version"].as_str();
        version.with_context(|| format!("{package} is not in {LOCK}"))
    };
    Ok(format!(
        "{}, {adapter} {}",
        version("socket.io")?,
        version(adapter)?
    ))
}

fn command(adapter: &str, port: u16, redis: &str, pings: Pings) -> anyhow::Result<Command> {
    let mut command = Command::new("node");
    command
        .arg(installed()?.join("server.mjs"))
        .args(["--adapter", adapter])
        .args(["--port", &port.to_string(), "--redis", redis])
        .args(pings.arguments())
        .env("NODE_ENV", "production");
    Ok(command)
}

/// The folder of the peer, with its packages.
fn installed() -> anyhow::Result<PathBuf> {
    let folder = folder(PEER);
    let wanted = std::fs::read(folder.join(LOCK))?;
    // One at a time: tests are processes of their own.
    let lock = File::open(folder.join("package.json"))?;
    lock.lock()?;
    if std::fs::read(folder.join(INSTALLED)).ok().as_ref() != Some(&wanted) {
        let output = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&folder)
            .output()
            .context("npm is needed")?;
        ensure!(
            output.status.success(),
            "npm ci in {}: {}",
            folder.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::write(folder.join(INSTALLED), wanted)?;
    }
    Ok(folder)
}

//! The `weir` program beside this one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};

use super::Settings;

/// `weir serve` with retention long enough for the scenarios.
pub(super) fn command(port: u16, redis: &str, settings: &Settings, folder: &Path) -> anyhow::Result<Command> {
    let path = folder.join(format!("weir-{port}.toml"));
    std::fs::write(&path, configuration(settings))?;
    let mut command = Command::new(binary()?);
    command
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--redis",
            redis,
        ])
        .arg("--config")
        .arg(path);
    Ok(command)
}

fn configuration(settings: &Settings) -> String {
    format!(
        "log.level = \"warn\"\nretention.entries = 100000000\n\
         socketio.ping_interval = \"{interval}ms\"\nsocketio.ping_timeout = \"{timeout}ms\"\n\
         ws.ping_interval = \"{interval}ms\"\nws.pong_timeout = \"{timeout}ms\"\n{more}",
        interval = settings.pings.interval.as_millis(),
        timeout = settings.pings.timeout.as_millis(),
        more = settings.weir
    )
}

/// The path of the program, which is built if need be.
fn binary() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = BUILT.get() {
        return Ok(path.clone());
    }
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "edge", "--bin", "weir"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("running cargo build")?;
    ensure!(built.success(), "building the weir program failed");
    Ok(BUILT.get_or_init(|| folder.join("weir")).clone())
}

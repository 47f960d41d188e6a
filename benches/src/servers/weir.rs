//! The `weir` program beside this one.

use std::path::Path;
use std::process::Command;

use super::Settings;
use crate::peers::program;

/// `weir serve` with retention long enough for the scenarios.
pub(super) fn command(port: u16, redis: &str, settings: &Settings, folder: &Path) -> anyhow::Result<Command> {
    let path = folder.join(format!("weir-{port}.toml"));
    std::fs::write(&path, configuration(settings))?;
    let mut command = Command::new(program("edge", "weir")?);
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
        "log.level = \"error\"\nretention.entries = 100000000\n\
         socketio.ping_interval = \"{interval}ms\"\nsocketio.ping_timeout = \"{timeout}ms\"\n\
         ws.ping_interval = \"{interval}ms\"\nws.pong_timeout = \"{timeout}ms\"\n{more}",
        interval = settings.pings.interval.as_millis(),
        timeout = settings.pings.timeout.as_millis(),
        more = settings.weir
    )
}

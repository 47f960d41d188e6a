//! The servers that are measured, each a process of its own that ends with its handle.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use broker::testing::RedisServer;

/// A `weir serve` process.
pub struct Edge {
    child: Child,
    /// Where it listens, `127.0.0.1:PORT`.
    pub address: String,
    /// Its configuration lives as long as it does.
    _config: tempfile::NamedTempFile,
}

impl Edge {
    /// Starts an edge on a free port in front of `redis`, with retention long enough for the scenarios.
    pub fn start(redis: &RedisServer) -> anyhow::Result<Self> {
        Self::start_with(redis, "")
    }

    /// As [`Edge::start`], with more in its configuration.
    pub fn start_with(redis: &RedisServer, settings: &str) -> anyhow::Result<Self> {
        let config = tempfile::Builder::new().suffix(".toml").tempfile()?;
        std::fs::write(
            config.path(),
            format!("[retention]\nentries = 100000000\n{settings}"),
        )?;
        let mut child = Command::new(binary()?)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--redis",
                &redis.url(),
                "--config",
            ])
            .arg(config.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting weir serve")?;
        let stderr = child.stderr.take().context("weir serve has no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            let line = line?;
            if let Some((_, rest)) = line.split_once("listening on http://") {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
                let address = rest[..end.unwrap_or(rest.len())].to_owned();
                // Somebody must read what else it says, or it would block on a full pipe.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return Ok(Self {
                    child,
                    address,
                    _config: config,
                });
            }
        }
        bail!("weir serve ended before it listened")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time it has used.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.child.id())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP client.
pub fn client() -> reqwest::Client {
    // An error means that this process has chosen its cryptography already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// CPU time that a server has used.
pub fn redis_cpu(redis: &RedisServer) -> anyhow::Result<Duration> {
    cpu_of(redis.pid().context("redis-server is not running")?)
}

/// Resident memory of a process, from `/proc/PID/status`.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>()? * 1024)
}

/// CPU time of a process, user and system, from `/proc/PID/stat` (proc(5): fields 14 and 15, in ticks of 10 ms).
pub fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(") ").context("unexpected /proc/PID/stat")?.1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks =
        |index: usize| -> anyhow::Result<u64> { Ok(fields.get(index).context("too few fields")?.parse()?) };
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

/// The `weir` program beside this one, built if need be.
fn binary() -> anyhow::Result<PathBuf> {
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
    Ok(folder.join("weir"))
}

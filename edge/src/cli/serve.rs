//! `weir serve`: configuration, log engine, listener, signals; then the server until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use broker::{Log, MemoryLog, RedisLog};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::app::AppState;
use crate::config::Config;
use crate::server;

/// Arguments of `weir serve`. A flag beats the environment, which beats the file, which beats the default.
#[derive(Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1:7400]
    #[arg(long, env = "WEIR_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Redis to keep the streams in: redis://[user:password@]host:port/db, rediss://… or unix:///path.
    /// Without it the streams are kept in memory and end with the process.
    #[arg(long, env = "WEIR_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,
    /// Configuration file (TOML); every option is in edge/docs/configuration.md
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT.
pub async fn run(_args: ServeArgs) -> Result<ExitCode, Failure> {
    let config = Config::default();
    let log: Arc<dyn Log> = match config.redis_config() {
        Some(redis) => RedisLog::connect(redis)
            .await
            .map_err(|e| Failure::Runtime(e.to_string()))?,
        None => MemoryLog::new(config.memory_config()),
    };
    let listener = TcpListener::bind(&config.listen)
        .await
        .map_err(|e| Failure::Runtime(format!("cannot listen on {}: {e}", config.listen)))?;
    server::run(listener, AppState::new(config, log), CancellationToken::new())
        .await
        .map_err(|e| Failure::Runtime(e.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

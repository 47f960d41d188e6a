//! `weir serve`: configuration, log engine, listener, signals; then the server until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use broker::{Log, MemoryLog, RedisLog};
use shared::telemetry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Failure;
use crate::app::AppState;
use crate::config::{Config, ConfigErrors};
use crate::{metrics, server, spans};

/// Exit status of a process that SIGINT ended (128 and the number of the signal).
const EXIT_INTERRUPTED: u8 = 130;

/// Arguments of `weir serve`. A flag beats the environment, which beats the file, which beats the default.
#[derive(Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1:7400]
    #[arg(long, env = "WEIR_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Redis to keep the streams in: redis://host:port/db (with user:password@ before the host where it needs one),
    /// rediss://…, unix:///path, redis-sentinel://host,host/master or redis-cluster://host,host. Without it the streams are
    /// kept in memory and end with the process.
    #[arg(long, env = "WEIR_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,
    /// Configuration file (TOML); every option is in edge/docs/configuration.md
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT; a second one ends the process at once.
pub async fn run(args: ServeArgs) -> Result<ExitCode, Failure> {
    let config = configure(args).map_err(|e| Failure::Usage(e.to_string()))?;
    telemetry::init(&config.log.level, config.log.format)
        .map_err(|e| Failure::Usage(format!("log.level: {e}")))?;
    let mut signals = Signals::new()?;
    let files = raise_open_files();
    // Before the broker begins to count.
    metrics::install();
    let log = open_log(&config).await?;
    let listener = server::bind(&config.listen)
        .await
        .map_err(|e| Failure::Runtime(format!("cannot listen on {}: {e}", config.listen)))?;
    announce(&config, &listener, files)?;

    let shutdown = CancellationToken::new();
    let state = AppState::new(config, log);
    spans::install(&state.config.otlp, &state.edge.to_string())
        .map_err(|e| Failure::Runtime(format!("otlp.endpoint: spans cannot be sent: {e}")))?;
    let serving = server::run(listener, state, shutdown.clone());
    let mut serving = std::pin::pin!(serving);
    loop {
        tokio::select! {
            served = &mut serving => {
                served.map_err(|e| Failure::Runtime(format!("the server failed: {e}")))?;
                // It waits for the collector.
                let _ = tokio::task::spawn_blocking(spans::shutdown).await;
                info!("stopped");
                return Ok(ExitCode::SUCCESS);
            }
            () = signals.next() => {
                if shutdown.is_cancelled() {
                    warn!("told to stop twice, leaving at once");
                    return Ok(ExitCode::from(EXIT_INTERRUPTED));
                }
                shutdown.cancel();
            }
        }
    }
}

/// Flags and environment over the file over the defaults, complete and checked. An empty value is no value, as
/// container set-ups have it.
pub(super) fn configure(args: ServeArgs) -> Result<Config, ConfigErrors> {
    let file = args.config.filter(|path| !path.as_os_str().is_empty());
    let mut config = file.map_or_else(|| Ok(Config::default()), |path| Config::from_file(&path))?;
    if let Some(listen) = args.listen.filter(|text| !text.is_empty()) {
        config.listen = listen;
    }
    if let Some(url) = args.redis.filter(|text| !text.is_empty()) {
        config.set_redis(&url)?;
    }
    config.set_secrets(|name| std::env::var_os(name))?;
    config.validate()?;
    Ok(config)
}

async fn open_log(config: &Config) -> Result<Arc<dyn Log>, Failure> {
    let redis = config.redis_config().map_err(Failure::Usage)?;
    Ok(match redis {
        Some(redis) => {
            metrics::redis_is_used();
            let connected = RedisLog::connect(redis).await;
            connected.map_err(|e| Failure::Runtime(e.to_string()))?
        }
        None => MemoryLog::new(config.memory_config()),
    })
}

/// The first lines of the log: what a newcomer needs to know, and the address.
fn announce(config: &Config, listener: &TcpListener, files: Option<u64>) -> Result<(), Failure> {
    let address = listener
        .local_addr()
        .map_err(|e| Failure::Runtime(format!("the listening socket has no address: {e}")))?;
    match &config.redis.url {
        Some(url) => info!(redis = %url, "streams are kept in Redis"),
        None => warn!(
            "no Redis given (--redis URL): streams are kept in memory and end with this process; try: curl -N http://{}/v1/tail?stream=demo",
            reachable(address)
        ),
    }
    if let Some(files) = files
        && files < config.limits.connections_max as u64
    {
        let connections = config.limits.connections_max;
        warn!(
            files,
            connections, "fewer files may be open than connections are allowed; raise the limit (ulimit -n)"
        );
    }
    info!("listening on http://{address}");
    Ok(())
}

/// An address that a client on this machine can use for one that means all of its interfaces.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        _ if !address.ip().is_unspecified() => address,
        SocketAddr::V4(_) => SocketAddr::from(([127, 0, 0, 1], address.port())),
        SocketAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
    }
}

/// Lets this process open as many files as it may. Returns how many, if that is known.
fn raise_open_files() -> Option<u64> {
    rlimit::increase_nofile_limit(rlimit::INFINITY).ok()
}

/// What tells the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|e| Failure::Runtime(format!("cannot listen to signals: {e}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

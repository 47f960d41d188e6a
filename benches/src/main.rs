//! `cargo run --release -p benches -- tail|ingest|replay|records|idle|all [--smoke]`

use std::process::ExitCode;

use benches::{Size, idle, idle::Idle, ingest, records, replay, report::Row, tail};
use clap::{Parser, ValueEnum};

/// Measures Weir against what bounds it. Prints a table.
#[derive(Parser)]
struct Args {
    /// What to measure.
    scenario: Scenario,
    /// A few seconds in all, to see that it works.
    #[arg(long)]
    smoke: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Redis CPU per event: 10,000 streams against one.
    Tail,
    /// Events per second in: HTTP NDJSON against pipelined XADD.
    Ingest,
    /// Events per second out: HTTP NDJSON against an XRANGE loop.
    Replay,
    /// Calls per second: session records against a bare pipeline; and ephemeral events.
    Records,
    /// Resident bytes for each idle Socket.IO client, of Weir and of Node.js.
    Idle,
    /// Everything.
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let size = if args.smoke { Size::Smoke } else { Size::Full };
    match run(args.scenario, size).await {
        Ok(tables) => {
            println!("{}", tables.join("\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(scenario: Scenario, size: Size) -> anyhow::Result<Vec<String>> {
    let wanted = |one| scenario == one || scenario == Scenario::All;
    let mut rows = Vec::new();
    if wanted(Scenario::Tail) {
        rows.extend(tail::measure(size).await?);
    }
    if wanted(Scenario::Ingest) {
        rows.extend(ingest::measure(size).await?);
    }
    if wanted(Scenario::Replay) {
        rows.extend(replay::measure(size).await?);
    }
    if wanted(Scenario::Records) {
        rows.extend(records::measure(size).await?);
    }
    let mut tables = Vec::new();
    if !rows.is_empty() {
        tables.push(Row::table(&rows));
    }
    if wanted(Scenario::Idle) {
        tables.push(Idle::table(&idle::measure(size).await?));
    }
    Ok(tables)
}

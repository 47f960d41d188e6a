//! `cargo run --release -p benches -- all|report|SCENARIO… [--smoke]`, or `load --server URL` for a server that runs
//! already.

use std::process::ExitCode;

use anyhow::Context;
use benches::scenarios::Scenario;
use benches::{Size, load, results};
use clap::{Parser, ValueEnum};

/// Measures Weir beside its peers and beside what bounds it.
#[derive(Parser)]
#[command(
    name = "weir-bench",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// What to measure.
    #[arg(required = true)]
    scenarios: Vec<Wanted>,
    /// A few seconds in all, to see that it works. Results are not kept.
    #[arg(long)]
    smoke: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    Load(load::command::Command),
}

#[derive(Debug, Clone)]
enum Wanted {
    One(Scenario),
    All,
    Report,
}

impl ValueEnum for Wanted {
    fn value_variants<'a>() -> &'a [Self] {
        static VARIANTS: std::sync::LazyLock<Vec<Wanted>> = std::sync::LazyLock::new(|| {
            let each = Scenario::value_variants().iter().copied().map(Wanted::One);
            each.chain([Wanted::All, Wanted::Report]).collect()
        });
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::One(scenario) => scenario.to_possible_value(),
            Self::All => Some(clap::builder::PossibleValue::new("all").help("Everything")),
            Self::Report => Some(
                clap::builder::PossibleValue::new("report").help("Report and plots anew, of what is kept"),
            ),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("raising the limit of open files")?;
    if let Some(Command::Load(load)) = args.command {
        return load
            .run(|outcome| println!("{}", results::text(std::slice::from_ref(outcome))))
            .await;
    }
    let size = if args.smoke { Size::Smoke } else { Size::Full };
    let scenarios = args.scenarios.iter().flat_map(|wanted| match wanted {
        Wanted::One(scenario) => std::slice::from_ref(scenario),
        Wanted::All => Scenario::value_variants(),
        Wanted::Report => &[],
    });
    for scenario in scenarios {
        let outcomes = scenario.measure(size).await?;
        println!("{}", results::text(&outcomes));
        if cfg!(debug_assertions) {
            println!("not kept: a debug build says nothing of speed");
        } else if size == Size::Full {
            results::keep(scenario.name(), scenario.summary(), outcomes)?;
        }
    }
    if args
        .scenarios
        .iter()
        .any(|wanted| matches!(wanted, Wanted::Report))
    {
        results::publish(&results::folder(), &results::readme())?;
    }
    Ok(())
}

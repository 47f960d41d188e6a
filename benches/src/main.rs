//! `cargo run --release -p benches -- all|SCENARIO… [--smoke]`

use std::process::ExitCode;

use anyhow::Context;
use benches::Size;
use benches::results::Outcome;
use benches::scenarios::Scenario;
use clap::{Parser, ValueEnum};

/// Measures Weir beside its peers and beside what bounds it.
#[derive(Parser)]
#[command(name = "weir-bench")]
struct Args {
    /// What to measure.
    #[arg(required = true)]
    scenarios: Vec<Wanted>,
    /// A few seconds in all, to see that it works.
    #[arg(long)]
    smoke: bool,
}

#[derive(Debug, Clone)]
enum Wanted {
    One(Scenario),
    All,
}

impl ValueEnum for Wanted {
    fn value_variants<'a>() -> &'a [Self] {
        static VARIANTS: std::sync::LazyLock<Vec<Wanted>> = std::sync::LazyLock::new(|| {
            let each = Scenario::value_variants().iter().copied().map(Wanted::One);
            each.chain([Wanted::All]).collect()
        });
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::One(scenario) => scenario.to_possible_value(),
            Self::All => Some(clap::builder::PossibleValue::new("all").help("Everything")),
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
    let size = if args.smoke { Size::Smoke } else { Size::Full };
    let scenarios = args.scenarios.iter().flat_map(|wanted| match wanted {
        Wanted::One(scenario) => std::slice::from_ref(scenario),
        Wanted::All => Scenario::value_variants(),
    });
    for scenario in scenarios {
        for outcome in scenario.measure(size).await? {
            print(&outcome);
        }
    }
    Ok(())
}

fn print(outcome: &Outcome) {
    println!("{} | {} | {}", outcome.scenario, outcome.server, outcome.variant);
    for value in &outcome.values {
        println!(
            "    {}: {}{}",
            value.name,
            value.unit.show(value.value),
            value.unit.suffix()
        );
    }
    for judgment in &outcome.judgments {
        let met = if judgment.met { "met" } else { "MISSED" };
        println!(
            "    {met}: {} {:.3}, {}",
            judgment.what, judgment.measured, judgment.target
        );
    }
    for note in &outcome.notes {
        println!("    {note}");
    }
}

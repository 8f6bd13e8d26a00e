//! Runs hostile clients against a real peer on a real etcd, beside honest callers, and prints a
//! line for each attack. Fails if the peer fails under any of them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use actorgrid::BoxError;
use clap::Parser;
use hostile::attack::{Attack, all_attacks, attack_named};
use hostile::run::{
    Bed, BedOptions, Demands, Mode, P99_FLOOR, PlannedRound, failures, plan, run_round,
};

/// The share of a processor that attackers may use, unless they run at full speed.
const ATTACKER_SHARE: f64 = 0.5;
/// Brief attacks only show whether the peer serves. Its speed is for long ones, on a quiet machine.
const SMOKE_P99_FLOOR: Duration = Duration::from_millis(500);

/// Attacks a peer and reports how it copes.
#[derive(Parser)]
struct Options {
    /// Run only this attack; may be given several times.
    #[arg(long = "attack")]
    attacks: Vec<String>,
    /// Attack only from this many connections.
    #[arg(long)]
    connections: Option<usize>,
    /// Print the attacks and exit.
    #[arg(long)]
    list: bool,
    /// How long each attack lasts, in seconds. Some need longer.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Let attackers use as much of the machine as they can, instead of half a processor. Then only
    /// the lease, the memory and the recovery are judged.
    #[arg(long)]
    full_speed: bool,
    /// The number of descriptors that the peer may open.
    #[arg(long)]
    descriptors: Option<u64>,
    /// The time to live of the peer's lease, in seconds; a short one is lost sooner.
    #[arg(long, default_value_t = 5)]
    lease_ttl: u64,
    /// Run each attack from a single number of connections only.
    #[arg(long)]
    each_once: bool,
    /// Like `--each-once`, but briefly: less than three minutes in all.
    #[arg(long)]
    smoke: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            println!("{failed} attacks failed the peer");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("hostile: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the options ask for. Returns the number of failed rounds.
async fn run(options: &Options) -> Result<usize, BoxError> {
    let attacks = chosen(&options.attacks)?;
    if options.list {
        for attack in attacks {
            println!("{:24} {}", attack.name, attack.about);
        }
        return Ok(0);
    }
    let time = Duration::from_secs_f64(options.seconds);
    let mode = match (options.smoke, options.each_once) {
        (true, _) => Mode::Smoke,
        (false, true) => Mode::EachOnce(time),
        (false, false) => Mode::Full(time),
    };
    let mut rounds = plan(&attacks, mode);
    if let Some(connections) = options.connections {
        rounds.retain(|round| round.connections == connections);
    }
    let begun = Instant::now();
    let failed = run_rounds(options, &rounds).await?;
    let (rounds, took) = (rounds.len(), begun.elapsed().as_secs());
    println!("{rounds} attacks in {took} s");
    Ok(failed)
}

async fn run_rounds(options: &Options, rounds: &[PlannedRound]) -> Result<usize, BoxError> {
    let programs = std::env::current_exe()?;
    let bed_options = BedOptions {
        programs: programs.parent().ok_or("no folder")?.to_owned(),
        lease_ttl: options.lease_ttl,
        descriptors: options.descriptors,
        quiet_time: Duration::from_secs(if options.smoke { 1 } else { 3 }),
    };
    let share = (!options.full_speed).then_some(ATTACKER_SHARE);
    let mut failed = 0;
    let mut bed = None;
    for round in rounds {
        let current = match &mut bed {
            Some(bed) => bed,
            None => bed.insert(Bed::start(&bed_options).await?),
        };
        let figures = run_round(current, round, share).await;
        let demands = Demands {
            serves: share.is_some(),
            p99_floor: match options.smoke {
                true => SMOKE_P99_FLOOR,
                false => P99_FLOOR,
            },
            honest_starts: round.attack.honest_starts,
        };
        let failures = failures(demands, &current.quiet, &figures);
        let verdict = if failures.is_empty() { "ok  " } else { "FAIL" };
        let (name, connections) = (round.attack.name, round.connections);
        println!("{verdict} {name:22} x{connections:<2} {figures}");
        if !failures.is_empty() {
            failed += 1;
            for failure in failures {
                println!("       {failure}");
            }
            if let Some(last) = &figures.last {
                println!("       {}", last.statistics);
            }
            // Leftovers of this attack must not be blamed on the next one.
            bed = None;
        }
    }
    Ok(failed)
}

fn chosen(names: &[String]) -> Result<Vec<Attack>, BoxError> {
    if names.is_empty() {
        return Ok(all_attacks());
    }
    let named = |name: &String| attack_named(name).ok_or(format!("there is no attack {name:?}"));
    Ok(names.iter().map(named).collect::<Result<_, _>>()?)
}

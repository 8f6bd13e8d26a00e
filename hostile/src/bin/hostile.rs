//! Runs hostile clients against a real peer on a real etcd, beside honest callers, and prints a
//! line for each attack. Fails if the peer fails under any of them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use actorgrid::BoxError;
use clap::Parser;
use hostile::attack::{Attack, all_attacks, attack_named};
use hostile::run::{Bed, BedOptions, Demands, Mode, PlannedRound, failures, plan, run_round};

/// The share of a processor that attackers may use, unless they run at full speed.
const ATTACKER_SHARE: f64 = 0.5;
/// How often an attack is made if the peer fails only by its latency, and the machine was given to
/// others meanwhile.
const TRIES: u32 = 3;

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
    /// Like `--each-once`, but briefly: less than three minutes in all. Latencies are not judged.
    #[arg(long)]
    smoke: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(failed) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(failed) => {
            println!("the peer failed under {} of them:", failed.len());
            for line in failed {
                println!("FAIL {line}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("hostile: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the options ask for. Returns a line for each round that the peer failed.
async fn run(options: &Options) -> Result<Vec<String>, BoxError> {
    let attacks = chosen(&options.attacks)?;
    if options.list {
        for attack in attacks {
            println!("{:24} {}", attack.name, attack.about);
        }
        return Ok(Vec::new());
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

/// Runs the rounds. Returns a line for each that the peer failed.
async fn run_rounds(options: &Options, rounds: &[PlannedRound]) -> Result<Vec<String>, BoxError> {
    let programs = std::env::current_exe()?;
    let bed_options = BedOptions {
        programs: programs.parent().ok_or("no folder")?.to_owned(),
        lease_ttl: options.lease_ttl,
        descriptors: options.descriptors,
        quiet_time: Duration::from_secs(if options.smoke { 1 } else { 3 }),
    };
    let mut failed = Vec::new();
    let mut bed = None;
    for round in rounds {
        let mut tries = 1;
        let failures = loop {
            let current = match &mut bed {
                Some(bed) => bed,
                None => bed.insert(Bed::start(&bed_options).await?),
            };
            let judged = judge(options, round, current).await;
            if judged.failures.is_empty() {
                break judged.failures;
            }
            // Leftovers of this attack must not be blamed on the next one.
            bed = None;
            if !judged.is_disturbed || tries == TRIES {
                break judged.failures;
            }
            tries += 1;
        };
        let (name, connections) = (round.attack.name, round.connections);
        if !failures.is_empty() {
            failed.push(format!("{name} x{connections}: {}", failures.join("; ")));
        }
    }
    Ok(failed)
}

/// How the peer has coped in a round.
struct Judged {
    failures: Vec<String>,
    /// Whether it failed by its latency alone, and the machine was not there for it.
    is_disturbed: bool,
}

/// Runs a round, and prints a line about it.
async fn judge(options: &Options, round: &PlannedRound, bed: &mut Bed) -> Judged {
    let share = (!options.full_speed).then_some(ATTACKER_SHARE);
    let figures = run_round(bed, round, share).await;
    let without_latency = Demands {
        serves: share.is_some(),
        judges_latency: false,
        honest_starts: round.attack.honest_starts,
    };
    let demands = Demands {
        // Brief attacks only show whether the peer serves. Its speed is for long ones.
        judges_latency: !options.smoke,
        ..without_latency
    };
    let failures = failures(demands, &bed.quiet, &figures);
    let is_disturbed = figures.is_disturbed()
        && hostile::run::failures(without_latency, &bed.quiet, &figures).is_empty();
    let verdict = match (failures.is_empty(), is_disturbed) {
        (true, _) => "ok  ",
        (false, true) => "busy",
        (false, false) => "FAIL",
    };
    let (name, connections) = (round.attack.name, round.connections);
    println!("{verdict} {name:22} x{connections:<2} {figures}");
    for failure in &failures {
        println!("       {failure}");
    }
    if let (false, Some(last)) = (failures.is_empty(), &figures.last) {
        println!("       {}", last.statistics);
    }
    Judged {
        failures,
        is_disturbed,
    }
}

fn chosen(names: &[String]) -> Result<Vec<Attack>, BoxError> {
    if names.is_empty() {
        return Ok(all_attacks());
    }
    let named = |name: &String| attack_named(name).ok_or(format!("there is no attack {name:?}"));
    Ok(names.iter().map(named).collect::<Result<_, _>>()?)
}

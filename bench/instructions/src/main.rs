//! Counts the instructions and the allocations that a request takes: over a link on its calling and
//! on its serving side, and over the local route on both together. Fails if they are not within the
//! budget.
//!
//! `instructions` runs itself once for each side under callgrind. `instructions push SIDE` is that
//! run: it sends requests, and callgrind counts what the side does about them.

mod budget;
mod callgrind;
mod counted_side;
mod echo_grid;
mod verdict;

use std::process::ExitCode;

use actorgrid::BoxError;

use crate::budget::Budget;
use crate::callgrind::count_instructions;
use crate::counted_side::CountedSide;
use crate::echo_grid::push_requests;
use crate::verdict::Verdict;

/// The budget, and its reason.
const BUDGET: &str = include_str!("../budget.txt");
const USAGE: &str = "usage: instructions [push calling|serving|local]";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => check_budget(),
        ["push", side] => push(side),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sends requests while this side is counted, and prints how many were.
fn push(side: &str) -> Result<ExitCode, BoxError> {
    let side = CountedSide::from_name(side).ok_or(USAGE)?;
    println!("{}", push_requests(side)?);
    Ok(ExitCode::SUCCESS)
}

fn check_budget() -> Result<ExitCode, BoxError> {
    let budget = Budget::parse(BUDGET)?;
    let mut is_within = true;
    for (side, allowed) in budget.sides() {
        let counted = count_instructions(side)?;
        let verdicts = [
            Verdict::of_instructions(counted.per_request, allowed.instructions),
            Verdict::of_allocations(counted.allocations_per_request, allowed.allocations),
        ];
        let change = Verdict::change_percent(counted.per_request, allowed.instructions);
        println!(
            "{side}: {} instructions a request, budget {} ({change:+.1} %); {:.2} allocations, budget {}",
            counted.per_request,
            allowed.instructions,
            counted.allocations_per_request,
            allowed.allocations
        );
        for reason in verdicts.into_iter().filter_map(Verdict::reason) {
            is_within = false;
            eprintln!(
                "{reason}\n    the functions: callgrind_annotate {}\n    a new budget: `{side} {} {:.1}` in bench/instructions/budget.txt",
                counted.profile.display(),
                counted.per_request,
                counted.allocations_per_request
            );
        }
    }
    match is_within {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

//! Counts the instructions that a request over a link takes on its calling and on its serving side,
//! and fails if they are not within the budget.
//!
//! `instructions` runs itself once for each side under callgrind. `instructions push SIDE` is that
//! run: it sends requests, and callgrind counts what the side does about them.

mod budget;
mod callgrind;
mod echo_grid;
mod link_side;
mod verdict;

use std::process::ExitCode;

use actorgrid::BoxError;

use crate::budget::Budget;
use crate::callgrind::count_instructions;
use crate::echo_grid::push_requests;
use crate::link_side::LinkSide;
use crate::verdict::Verdict;

/// The budget, and its reason.
const BUDGET: &str = include_str!("../budget.txt");
const USAGE: &str = "usage: instructions [push calling|serving]";

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
    let side = LinkSide::from_name(side).ok_or(USAGE)?;
    println!("{}", push_requests(side)?);
    Ok(ExitCode::SUCCESS)
}

fn check_budget() -> Result<ExitCode, BoxError> {
    let budget = Budget::parse(BUDGET)?;
    let mut is_within = true;
    for side in LinkSide::ALL {
        let counted = count_instructions(side)?;
        let allowed = budget.of(side);
        let verdict = Verdict::of(counted.per_request, allowed);
        let change = Verdict::change_percent(counted.per_request, allowed);
        println!(
            "{side} side: {} instructions a request, budget {allowed} ({change:+.1} %)",
            counted.per_request
        );
        if let Some(reason) = verdict.reason() {
            is_within = false;
            eprintln!(
                "{reason}\n    the functions: callgrind_annotate {}\n    a new budget: `{side} {}` in bench/instructions/budget.txt",
                counted.profile.display(),
                counted.per_request
            );
        }
    }
    match is_within {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

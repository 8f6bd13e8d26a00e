//! The instructions and the allocations that a request may take.

use actorgrid::BoxError;

use crate::counted_side::CountedSide;

/// The limits of a request, by side.
#[derive(Debug)]
pub(crate) struct Budget {
    sides: Vec<(CountedSide, SideBudget)>,
}

/// The instructions and allocations that a request may take at one side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SideBudget {
    pub(crate) instructions: u64,
    pub(crate) allocations: f64,
}

impl Budget {
    /// Reads a line `SIDE INSTRUCTIONS ALLOCATIONS` for each side. Lines that begin with `#` are
    /// comments.
    pub(crate) fn parse(text: &str) -> Result<Self, BoxError> {
        let read = |side: CountedSide| {
            let budget = text.lines().find_map(|line| {
                let line = line.strip_prefix(side.name())?.strip_prefix(' ')?;
                SideBudget::parse(line)
            });
            let missing = || format!("the budget has no line `{side} INSTRUCTIONS ALLOCATIONS`");
            budget.map(|budget| (side, budget)).ok_or_else(missing)
        };
        let sides: Result<_, _> = CountedSide::ALL.into_iter().map(read).collect();
        Ok(Self { sides: sides? })
    }

    /// The lines of all sides.
    pub(crate) fn sides(&self) -> impl Iterator<Item = (CountedSide, SideBudget)> {
        self.sides.iter().copied()
    }
}

impl SideBudget {
    fn parse(line: &str) -> Option<Self> {
        let (instructions, allocations) = line.split_once(' ')?;
        Some(Self {
            instructions: instructions.parse().ok().filter(|number| *number > 0)?,
            allocations: allocations.trim().parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_line() {
        let text = "# calling 1 1\nserving 20 2.5\n\ncalling 10 0\nlocal 30 4\n";
        let budget = Budget::parse(text).unwrap();
        let read: Vec<_> = budget
            .sides()
            .map(|(_, side)| (side.instructions, side.allocations))
            .collect();
        assert_eq!(read, [(10, 0.0), (20, 2.5), (30, 4.0)]);
        for flawed in [
            "calling 10 1\nserving 20 1",
            "calling 10 1\nserving x 1\nlocal 30 1",
            "calling 0 1\nserving 20 1\nlocal 30 1",
            "calling 10\nserving 20 1\nlocal 30 1",
        ] {
            assert!(Budget::parse(flawed).is_err(), "{flawed}");
        }
    }

    #[test]
    fn the_budget_of_the_project_can_be_read() {
        Budget::parse(crate::BUDGET).unwrap();
    }
}

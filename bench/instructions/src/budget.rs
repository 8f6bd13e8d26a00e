//! The instructions that a request may take.

use actorgrid::BoxError;

use crate::link_side::LinkSide;

/// The instructions that a request may take, by side.
#[derive(Debug)]
pub(crate) struct Budget {
    calling: u64,
    serving: u64,
}

impl Budget {
    /// Reads a line `SIDE NUMBER` for each side. Lines that begin with `#` are comments.
    pub(crate) fn parse(text: &str) -> Result<Self, BoxError> {
        let number = |side: LinkSide| {
            text.lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(name, _)| *name == side.name())
                .and_then(|(_, number)| number.trim().parse().ok())
                .filter(|number| *number > 0)
                .ok_or_else(|| format!("the budget has no line `{side} NUMBER`"))
        };
        Ok(Self {
            calling: number(LinkSide::Calling)?,
            serving: number(LinkSide::Serving)?,
        })
    }

    pub(crate) fn of(&self, side: LinkSide) -> u64 {
        match side {
            LinkSide::Calling => self.calling,
            LinkSide::Serving => self.serving,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_line() {
        let budget = Budget::parse("# calling 1\nserving 20\n\ncalling 10\n").unwrap();
        assert_eq!(budget.of(LinkSide::Calling), 10);
        assert_eq!(budget.of(LinkSide::Serving), 20);
        for flawed in [
            "calling 10",
            "calling 10\nserving x",
            "calling 0\nserving 20",
        ] {
            assert!(Budget::parse(flawed).is_err(), "{flawed}");
        }
    }

    #[test]
    fn the_budget_of_the_project_can_be_read() {
        Budget::parse(crate::BUDGET).unwrap();
    }
}

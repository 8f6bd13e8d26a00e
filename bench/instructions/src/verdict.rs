//! Whether the instructions and the allocations of a request are within their budget.

/// By this many percent a request may exceed its budget. A repeated run differs by much less; a
/// change of the code that costs more than this needs a new budget, and so a reason.
const MAX_ABOVE_PERCENT: u64 = 3;
/// By this many percent a request may be below its budget. A budget that is higher would let the
/// gain get lost again.
const MAX_BELOW_PERCENT: u64 = 10;

/// Allocations are counted exactly; some are made only now and then.
const MAX_ALLOCATIONS_OFF: f64 = 0.15;

/// How what was counted compares with its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Within,
    TooMany,
    FarFewer,
    TooManyAllocations,
    FewerAllocations,
}

impl Verdict {
    pub(crate) fn of_instructions(counted: u64, allowed: u64) -> Self {
        if counted * 100 > allowed * (100 + MAX_ABOVE_PERCENT) {
            Self::TooMany
        } else if counted * 100 < allowed * (100 - MAX_BELOW_PERCENT) {
            Self::FarFewer
        } else {
            Self::Within
        }
    }

    pub(crate) fn of_allocations(counted: f64, allowed: f64) -> Self {
        match counted - allowed {
            MAX_ALLOCATIONS_OFF.. => Self::TooManyAllocations,
            off if off < -MAX_ALLOCATIONS_OFF => Self::FewerAllocations,
            _ => Self::Within,
        }
    }

    pub(crate) fn change_percent(counted: u64, allowed: u64) -> f64 {
        (counted as f64 / allowed as f64 - 1.0) * 100.0
    }

    /// The reason to fail, if it is one.
    pub(crate) fn reason(self) -> Option<String> {
        match self {
            Self::Within => None,
            Self::TooManyAllocations => {
                Some("FAILED: a request allocates more than its budget".to_owned())
            }
            Self::FewerAllocations => {
                Some("FAILED: a request allocates less than its budget, so lower it".to_owned())
            }
            Self::TooMany => Some(format!(
                "FAILED: that is over the budget by more than {MAX_ABOVE_PERCENT} %"
            )),
            Self::FarFewer => Some(format!(
                "FAILED: that is below the budget by more than {MAX_BELOW_PERCENT} %, so lower it"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_percent_are_allowed() {
        let table = [
            (899, Verdict::FarFewer),
            (900, Verdict::Within),
            (1000, Verdict::Within),
            (1030, Verdict::Within),
            (1031, Verdict::TooMany),
        ];
        for (counted, verdict) in table {
            assert_eq!(
                Verdict::of_instructions(counted, 1000),
                verdict,
                "{counted}"
            );
        }
        assert!(Verdict::Within.reason().is_none());
        assert!(Verdict::TooMany.reason().is_some());
    }
}

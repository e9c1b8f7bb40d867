use std::fmt;

/// How far a switchover has come: what the journal says, and so what a crash leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// The record was taken; nothing was changed on either server.
    Preparing,
    /// Blue may be read-only.
    Fencing,
    /// It is being undone: no promotion can follow any more, and blue may still be read-only.
    Undoing,
    /// The point of no return: green may be writable, so blue must not become so any more.
    Promoting,
}

impl Phase {
    const ALL: [Phase; 4] = [Phase::Preparing, Phase::Fencing, Phase::Undoing, Phase::Promoting];

    /// The name in the journal. A record that was just taken has the first phase.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Preparing => "",
            Phase::Fencing => "fencing",
            Phase::Undoing => "undoing",
            Phase::Promoting => "promoting",
        }
    }

    /// The phase of a journal's name.
    pub(super) fn parse(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether blue may have been fenced when the journal says this.
    pub(super) fn may_be_fenced(self) -> bool {
        self >= Phase::Fencing
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Preparing => "preparing",
            other => other.name(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.name()), Some(phase));
        }
        assert_eq!(Phase::parse("elsewhere"), None);
    }
}

//! What a controller does next: the switchover's decisions, without a server, a clock or a session. The driver does each
//! [`Action`] and tells what became of it; the exploration in this module's tests does the same in a modelled world, with
//! everything that can go wrong there, so what is explored is what runs.
//!
//! ```text
//!  AVAILABLE ◀───────────────────────────────────────────────────────────────┐
//!   │ Begin: one controller's token is in the record                         │ Free
//!   ▼                                                                        │
//!  preparing ── Prepare, Claim blue, Claim green ── fails ─▶ Release ────────┤
//!   │ JournalFencing                                                         │
//!   ▼                                                                        │
//!  fencing ──── Hold, Fence, Drain ── fails ──┐                              │
//!   │                                         │ JournalUndoing: from here    │
//!   │ JournalPromoting:                       ▼ on nobody can promote        │
//!   │ the point of no return                undoing ─ Lift, Release, DropTriggers
//!   ▼
//!  promoting ── Promote, Keep, StartEvents, Follow ─ fails ─▶ again, or ambiguous
//!   │ Complete
//!   ▼
//!  SWITCHOVER_COMPLETED, and on blue a record of its own: AVAILABLE, the other way round
//!
//!  found in the middle: Seize puts another token there. Behind it, preparing, fencing and undoing are undone; promoting is
//!  finished, from Refence on. An answer that was lost is looked for in the record (JournalUndoing finds `promoting`: then
//!  forward) or the action is done again; where time is up before that tells, the end is ambiguous.
//! ```
//!
//! The exploration has 246,993 states in three scopes: two calls and two faults, on servers that keep their switches over a
//! restart (78,936) and on those that do not (60,691), and three calls, so there and back and there again, with one fault
//! (107,366). In none of them do both servers take writes, has a server that takes writes not every acknowledged one, or its
//! triggers; and from each in which nobody is at it, the next calls settle it and switch.
//!
//! # Invariants
//! 1. A server's switches and green's triggers are changed only through a *verified grip*: a session that claimed the server, and behind whose
//!    claim the record was seen to be this controller's. Whoever takes the record over claims the servers next, which ends
//!    that session: so no order of a former controller comes late, even one that already waits on the server.
//! 2. Blue is lifted only where the journal cannot come to `promoting` any more: it says `undoing`, or nobody asked for it.
//! 3. Green is promoted only behind a look at blue that found it fenced and drained, by this controller.
//! 4. The record is left last, so whatever was not done is found again.

use super::Phase;

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
    Blue,
    Green,
}

/// What a controller can do. Each can be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Action {
    /// The record, from `AVAILABLE` to this controller: of several, one gets it.
    Begin,
    /// The record of a switchover that was found in the middle, to this controller: of several, one gets it.
    Seize,
    /// Catches up, measures the guardrails, makes what the way back needs. Nobody is blocked.
    Prepare,
    /// Becomes the only one to change this server's switches: the session of whoever was it ends.
    Claim(Side),
    /// Sees that the record still is this controller's.
    Confirm,
    JournalFencing,
    /// New connections wait.
    Hold,
    /// Blue refuses writes.
    Fence,
    /// Green gets all of blue's log, which is seen to stand still, before and after.
    Drain,
    /// The point of no return.
    JournalPromoting,
    /// Sees that blue still is as its fence left it.
    Look,
    /// Behind a crash: blue is fenced again, and green gets what it has not.
    Refence,
    /// Green takes writes, and connections go there.
    Promote,
    /// Green takes writes over its restarts, and is seen to.
    Keep,
    StartEvents,
    /// Blue becomes the green of the way back.
    Follow,
    /// Without a way back, blue stays closed.
    StayClosed,
    /// The record: `SWITCHOVER_COMPLETED`.
    Complete,
    JournalUndoing,
    /// Blue takes writes again, over its restarts, too.
    Lift,
    /// Connections go on to blue.
    Release,
    DropTriggers,
    /// The record: `AVAILABLE`.
    Free,
}

/// What became of an action, as far as its controller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Done,
    /// It was refused or did not succeed, or its answer was lost: it may be done, and may yet be.
    Unknown,
    /// The record is another controller's.
    TakenOver,
    /// Of [`Action::JournalUndoing`]: this controller's point of no return is in the record.
    Promoting,
}

/// How it ends for this controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// The record was not taken: nothing was changed.
    NotBegun,
    Completed,
    /// Blue is production as before.
    Undone,
    /// Another call has to find out and go on.
    Ambiguous,
}

/// The hold on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Grip {
    None,
    Claimed,
    /// The record was this controller's behind the claim.
    Verified,
}

/// One controller's run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Protocol {
    goal: Action,
    end: Option<End>,
    /// What the record said, where it was found in the middle.
    found: Phase,
    blue: Grip,
    green: Grip,
    /// Whether green may have triggers that a switchover made.
    may_have_triggers: bool,
    /// Whether the point of no return may be in the journal.
    may_be_promoting: bool,
    /// Whether blue is known to be as its fence left it.
    has_looked: bool,
    /// Whether green was seen to take writes.
    has_accepted: bool,
}

impl Protocol {
    /// A switchover of a deployment that is available.
    pub(super) fn begin() -> Protocol {
        Protocol {
            goal: Action::Begin,
            end: None,
            found: Phase::Preparing,
            blue: Grip::None,
            green: Grip::None,
            may_have_triggers: false,
            may_be_promoting: false,
            has_looked: false,
            has_accepted: false,
        }
    }

    /// One that was found in the middle.
    pub(super) fn resume(found: Phase) -> Protocol {
        let may_have_triggers = found.may_be_fenced();
        Protocol { goal: Action::Seize, found, may_have_triggers, ..Protocol::begin() }
    }

    /// What to do now, or how it has ended.
    pub(super) fn next(&self) -> Result<Action, End> {
        match self.end {
            Some(end) => Err(end),
            None => Ok(self.before(self.goal)),
        }
    }

    /// What must come before an action: invariants 1 and 3.
    fn before(&self, action: Action) -> Action {
        use Action::{
            Claim, Confirm, DropTriggers, Follow, JournalFencing, Keep, Lift, Look, Promote, Refence, StayClosed,
        };
        use Grip::{Claimed, None, Verified};
        let (blue, green) = match action {
            // The journal itself verifies.
            JournalFencing => (Claimed, Claimed),
            Refence => (Verified, Verified),
            Look | Lift | Follow | StayClosed => (Verified, None),
            Promote if !self.has_looked => return self.before(Look),
            Promote | Keep | DropTriggers => (None, Verified),
            _ => (None, None),
        };
        match () {
            () if self.blue < blue.min(Claimed) => Claim(Side::Blue),
            () if self.green < green.min(Claimed) => Claim(Side::Green),
            () if self.blue < blue || self.green < green => Confirm,
            () => action,
        }
    }

    /// Whether the journal is past the point of no return.
    pub(super) fn is_promoting(&self) -> bool {
        use Action::{Complete, Follow, Keep, Promote, Refence, StartEvents, StayClosed};
        matches!(self.goal, Refence | Promote | Keep | StartEvents | Follow | StayClosed | Complete)
    }

    /// Whether this controller trusts its look at blue's fence, for the order to promote.
    #[cfg(test)]
    pub(super) fn has_looked(&self) -> bool {
        self.has_looked
    }

    /// Whether the switchover was found in the middle.
    pub(super) fn is_resumed(&self) -> bool {
        self.goal == Action::Seize
    }

    /// What it is up to: the next action, or what must come before it.
    pub(super) fn goal(&self) -> Action {
        self.goal
    }

    /// Whether it is being undone.
    pub(super) fn is_undoing(&self) -> bool {
        use Action::{DropTriggers, Free, JournalUndoing, Lift, Release};
        matches!(self.goal, JournalUndoing | Lift | Release | DropTriggers | Free)
    }

    /// Takes in what became of the action that [`next`](Protocol::next) asked for. `is_last`: there is no time to try it
    /// again, or no sense.
    pub(super) fn learn(&mut self, outcome: Outcome, is_last: bool) {
        let Ok(action) = self.next() else { return };
        match outcome {
            Outcome::Done => self.done(action),
            Outcome::Unknown => self.unknown(action, is_last),
            Outcome::Promoting => self.goal = Action::Promote,
            Outcome::TakenOver if matches!(action, Action::Begin | Action::Seize) => self.end = Some(End::NotBegun),
            Outcome::TakenOver => self.end = Some(End::Ambiguous),
        }
    }

    fn done(&mut self, action: Action) {
        use Action::{
            Begin, Claim, Complete, Confirm, Drain, DropTriggers, Fence, Follow, Free, Hold, JournalFencing,
            JournalPromoting, JournalUndoing, Keep, Lift, Look, Prepare, Promote, Refence, Release, Seize, StartEvents,
            StayClosed,
        };
        self.goal = match action {
            Begin => Prepare,
            Seize => match self.found {
                Phase::Preparing => Release,
                Phase::Fencing | Phase::Undoing => JournalUndoing,
                Phase::Promoting => Refence,
            },
            Claim(Side::Blue) => return self.blue = Grip::Claimed,
            Claim(Side::Green) => return self.green = Grip::Claimed,
            Confirm => return self.verify(),
            Prepare => JournalFencing,
            JournalFencing => {
                self.verify();
                Hold
            }
            Hold => Fence,
            Fence => {
                self.may_have_triggers = true;
                Drain
            }
            Drain => {
                (self.has_looked, self.may_be_promoting) = (true, true);
                JournalPromoting
            }
            JournalPromoting => Promote,
            Refence | Look => {
                self.has_looked = true;
                Promote
            }
            Promote => {
                self.has_accepted = true;
                Keep
            }
            Keep => StartEvents,
            StartEvents => Follow,
            Follow | StayClosed => Complete,
            Complete => return self.end = Some(End::Completed),
            JournalUndoing => {
                self.may_be_promoting = false;
                Lift
            }
            Lift => Release,
            Release if self.may_have_triggers => DropTriggers,
            Release | DropTriggers => Free,
            Free => return self.end = Some(End::Undone),
        };
    }

    fn verify(&mut self) {
        for grip in [&mut self.blue, &mut self.green] {
            if *grip == Grip::Claimed {
                *grip = Grip::Verified;
            }
        }
    }

    fn unknown(&mut self, action: Action, is_last: bool) {
        use Action::{
            Begin, Claim, Complete, Drain, DropTriggers, Fence, Follow, Hold, JournalFencing, JournalPromoting,
            JournalUndoing, Keep, Lift, Look, Prepare, Promote, Refence, Release, Seize, StayClosed,
        };
        match action {
            Begin | Seize => return self.end = Some(End::NotBegun),
            // Blue was not fenced: what the journal says may stay.
            Prepare | JournalFencing | Hold => return self.goal = Release,
            Fence | Drain => return self.goal = JournalUndoing,
            JournalPromoting => {
                self.has_looked = false;
                return self.goal = JournalUndoing;
            }
            // Green cannot be reached. Without the order to promote nobody will, and who took the record over would have
            // ended this grip: blue need not stay fenced.
            JournalUndoing if !self.may_be_promoting && self.blue == Grip::Verified => return self.goal = Lift,
            Claim(_) if self.goal == JournalFencing => return self.goal = Release,
            Refence => return self.end = Some(End::Ambiguous),
            Lift | Look => self.blue = Grip::None,
            DropTriggers => self.green = Grip::None,
            Promote | Keep => {
                self.green = Grip::None;
                self.has_looked = self.has_accepted;
                self.goal = Promote;
            }
            Follow | StayClosed => self.blue = Grip::None,
            _ => {}
        }
        match self.goal {
            // Green is production, and stays it without the old one.
            Follow if is_last => self.goal = StayClosed,
            Follow => {}
            StayClosed => self.goal = Complete,
            _ if is_last => self.end = Some(End::Ambiguous),
            _ => {}
        }
    }
}

//! Every interleaving of two controllers, of what clients write, of crashes, restarts and lost answers, in a model of two
//! servers: the controllers are [`Protocol`] itself. Breadth first, so a counterexample is a shortest one.
//!
//! What the world can do, beside the controllers' steps and the clients' writes, is bounded by a budget of faults:
//! - a controller dies at any action, which is done, is not done, or is done at any time later;
//! - an answer is lost, and the action is done, is not done, or is done at any time later;
//! - a server dies and comes back, with the switches that it keeps over a restart.

use std::collections::{HashSet, VecDeque};

use super::Phase;
use super::protocol::{Action, End, Outcome, Protocol, Side};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Status {
    Available,
    InProgress,
    Completed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Record {
    status: Status,
    phase: Phase,
    token: u8,
}

const AVAILABLE: Record = Record { status: Status::Available, phase: Phase::Preparing, token: 0 };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Server {
    is_read_only: bool,
    /// What `is_read_only` is behind a restart.
    persisted: bool,
    /// Whose session is the one that may change the switches.
    claim: u8,
    has_triggers: bool,
    /// A bit for each write.
    rows: u8,
    /// Of the deployment whose green this server is.
    record: Option<Record>,
}

/// A controller's run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Run {
    protocol: Protocol,
    order: Order,
    /// Whether the connection that claimed a server broke, as it does where an answer is lost: blue's, green's.
    broken: [bool; 2],
}

/// Whose the orders are, and what they need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Order {
    token: u8,
    green: usize,
    /// The record as it was found.
    seen: Record,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    servers: [Server; 2],
    /// A bit for each write that was acknowledged to a client.
    acknowledged: u8,
    runs: [Option<Run>; 2],
    /// Orders on their way, or waiting on a server.
    late: Vec<(Action, Order)>,
    runs_left: u8,
    faults_left: u8,
    writes_left: u8,
    last_token: u8,
}

/// A guard that is taken away, to see that the exploration finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Who takes a server over does not end the session before.
    ClaimEndsNobody,
    /// The record is not looked at behind a claim.
    ClaimIsNotVerified,
    /// The record of another is gone on with, under its token.
    SeizeKeepsTheToken,
    /// Green is promoted late without a look at blue.
    NoLookAtBlue,
    /// A restart opens blue.
    FenceIsNotPersisted,
    /// Nobody looks whether green takes writes in the end.
    PromotionIsNotProven,
    /// A switchover begins beside one the other way that has not ended.
    BeginsBesideAnother,
}

/// What is explored.
struct Scope {
    flaw: Option<Flaw>,
    /// Whether the servers keep their switches over restarts: MySQL since 8.0.11.
    keeps_switches: bool,
    /// Whether the servers die.
    has_restarts: bool,
    runs: u8,
    faults: u8,
    writes: u8,
}

impl World {
    fn start(scope: &Scope) -> World {
        let blue =
            Server { is_read_only: false, persisted: false, claim: 0, has_triggers: true, rows: 0, record: None };
        let green = Server {
            is_read_only: true,
            persisted: scope.keeps_switches,
            has_triggers: false,
            record: Some(AVAILABLE),
            ..blue
        };
        World {
            servers: [blue, green],
            acknowledged: 0,
            runs: [None, None],
            late: Vec::new(),
            runs_left: scope.runs,
            faults_left: scope.faults,
            writes_left: scope.writes,
            last_token: 0,
        }
    }

    /// The two invariants, at this moment.
    fn check(&self) -> Result<(), &'static str> {
        if self.servers.iter().all(|server| !server.is_read_only) {
            return Err("two writable primaries");
        }
        let has_all = |server: &Server| server.is_read_only || server.rows & self.acknowledged == self.acknowledged;
        if !self.servers.iter().all(has_all) {
            return Err("the production has lost an acknowledged write");
        }
        if self.servers.iter().any(|server| !server.is_read_only && !server.has_triggers) {
            return Err("the production has not its triggers");
        }
        Ok(())
    }

    /// The deployments that a controller may be called for: `rollback` refuses where the switchover has not ended.
    fn targets(&self) -> impl Iterator<Item = (usize, Record)> {
        let is_under_way = |server: &Server| server.record.is_some_and(|record| record.status == Status::InProgress);
        (0..2).filter_map(move |green| {
            let record = self.servers[green].record?;
            let may_run = record.status != Status::Completed && !is_under_way(&self.servers[1 - green]);
            may_run.then_some((green, record))
        })
    }

    fn run_of(&mut self, green: usize, seen: Record) -> Run {
        self.last_token += 1;
        let protocol = match seen.status {
            Status::InProgress => Protocol::resume(seen.phase),
            _ => Protocol::begin(),
        };
        Run { protocol, order: Order { token: self.last_token, green, seen }, broken: [false; 2] }
    }

    /// Does an action on the servers.
    fn act(&mut self, action: Action, order: Order, scope: &Scope) -> Outcome {
        let Order { token, green, seen } = order;
        let flaw = |flaw| scope.flaw == Some(flaw);
        let way_back = self.servers[1 - green].record;
        let [zero, one] = &mut self.servers;
        let (blue, green) = if green == 1 { (zero, one) } else { (one, zero) };
        let Some(record) = green.record else { return Outcome::Unknown };
        let is_under_way = record.status == Status::InProgress;
        let is_mine = is_under_way && record.token == token;
        let has_blue = blue.claim == token || flaw(Flaw::ClaimEndsNobody);
        let has_green = green.claim == token || flaw(Flaw::ClaimEndsNobody);
        let mut compare_and_set = |is_as_expected: bool, status, phase| {
            if is_as_expected {
                green.record = Some(Record { status, phase, token });
                Outcome::Done
            } else {
                Outcome::TakenOver
            }
        };
        let done = |is_done| if is_done { Outcome::Done } else { Outcome::Unknown };
        let keeps = scope.keeps_switches && !flaw(Flaw::FenceIsNotPersisted);
        match action {
            Action::Begin => {
                let is_available = record.status == Status::Available;
                compare_and_set(is_available, Status::InProgress, Phase::Preparing)
            }
            Action::Seize => {
                let is_as_seen = record == seen;
                if is_as_seen && flaw(Flaw::SeizeKeepsTheToken) {
                    return Outcome::Done;
                }
                compare_and_set(is_as_seen, Status::InProgress, seen.phase)
            }
            Action::Prepare => {
                let is_alone = way_back.is_none_or(|record| record.status != Status::InProgress);
                let is_as_it_should_be = !blue.is_read_only && green.is_read_only && !green.has_triggers;
                done(is_as_it_should_be && (is_alone || flaw(Flaw::BeginsBesideAnother)))
            }
            Action::Claim(_) if !is_mine && !flaw(Flaw::ClaimIsNotVerified) => Outcome::TakenOver,
            Action::Claim(side) => {
                let server = if side == Side::Blue { blue } else { green };
                server.claim = token;
                Outcome::Done
            }
            Action::Confirm if is_mine || flaw(Flaw::ClaimIsNotVerified) => Outcome::Done,
            Action::Confirm => Outcome::TakenOver,
            Action::JournalFencing => {
                let is_before = is_mine && record.phase == Phase::Preparing;
                compare_and_set(is_before, Status::InProgress, Phase::Fencing)
            }
            Action::Fence => {
                blue.is_read_only |= has_blue;
                done(has_blue)
            }
            Action::Drain => {
                if !(has_blue && blue.is_read_only) {
                    return Outcome::Unknown;
                }
                blue.persisted |= keeps;
                green.rows |= blue.rows;
                green.has_triggers |= has_green;
                done(has_green)
            }
            Action::JournalPromoting => {
                let is_before = is_mine && record.phase == Phase::Fencing;
                compare_and_set(is_before, Status::InProgress, Phase::Promoting)
            }
            Action::JournalUndoing if is_mine && record.phase == Phase::Promoting => Outcome::Promoting,
            Action::JournalUndoing => {
                let is_before = is_mine && matches!(record.phase, Phase::Fencing | Phase::Undoing);
                compare_and_set(is_before, Status::InProgress, Phase::Undoing)
            }
            Action::Look if flaw(Flaw::NoLookAtBlue) => Outcome::Done,
            Action::Look => {
                blue.is_read_only |= has_blue;
                done(has_blue && blue.rows & !green.rows == 0)
            }
            Action::Refence => match way_back.map(|record| record.status) {
                Some(Status::Available | Status::InProgress) => Outcome::Done,
                _ => {
                    blue.is_read_only |= has_blue;
                    blue.persisted |= has_blue && keeps;
                    let is_level = blue.rows & !green.rows == 0;
                    if !has_blue || !is_level && !green.is_read_only {
                        return Outcome::Unknown;
                    }
                    green.rows |= blue.rows;
                    green.has_triggers |= has_green;
                    done(has_green)
                }
            },
            Action::Promote => {
                green.is_read_only &= !has_green;
                done(has_green)
            }
            Action::Keep => {
                green.persisted &= !has_green;
                done(has_green && !green.is_read_only || flaw(Flaw::PromotionIsNotProven))
            }
            Action::Follow => {
                if has_blue {
                    if way_back.is_none_or(|record| record.status == Status::Completed) {
                        blue.record = Some(AVAILABLE);
                    }
                    blue.persisted |= scope.keeps_switches;
                    blue.has_triggers = false;
                }
                done(has_blue)
            }
            Action::StayClosed => {
                blue.is_read_only |= has_blue;
                blue.persisted |= has_blue && scope.keeps_switches;
                done(has_blue)
            }
            Action::Complete => {
                let is_done = record.status == Status::Completed && record.token == token;
                compare_and_set(is_mine || is_done, Status::Completed, Phase::Preparing)
            }
            Action::Lift => {
                blue.persisted &= !has_blue;
                blue.is_read_only &= !has_blue;
                done(has_blue)
            }
            Action::Free => {
                let is_done = record.status == Status::Available && record.token == token;
                compare_and_set(is_mine || is_done, Status::Available, Phase::Preparing)
            }
            Action::DropTriggers => {
                green.has_triggers &= !has_green;
                done(has_green)
            }
            Action::Hold | Action::Release | Action::StartEvents => Outcome::Done,
        }
    }

    /// An order comes late. Of a drain, what is left to come are the triggers: no stream goes on under another's claim.
    fn arrive(&mut self, action: Action, order: Order, scope: &Scope) {
        let green = &mut self.servers[order.green];
        match action {
            Action::Drain => {
                green.has_triggers |= green.claim == order.token || scope.flaw == Some(Flaw::ClaimEndsNobody)
            }
            _ => drop(self.act(action, order, scope)),
        }
    }

    /// A server dies and comes back.
    fn restart(&mut self, number: usize, scope: &Scope) {
        let server = &mut self.servers[number];
        server.claim = 0;
        server.is_read_only = scope.keeps_switches && server.persisted;
        self.late.retain(|(action, order)| on(*action, *order) != Some(number));
    }

    /// Where a restart opens a fence, that must not be behind the last look at it: such servers need `read_only` in their
    /// configuration for that, which `create` and the switchover's report say.
    fn may_restart(&self, number: usize, scope: &Scope) -> bool {
        let server = &self.servers[number];
        if scope.keeps_switches || !server.is_read_only {
            return true;
        }
        let is_green = server.record.is_some_and(|record| record.status != Status::Completed);
        let looked_at = |run: &Run| run.order.green != number && run.protocol.has_looked();
        let is_looked_at = self.runs.iter().flatten().any(looked_at);
        let may_be_promoted = self.late.iter().any(|(action, _)| *action == Action::Promote);
        !(is_green || is_looked_at || may_be_promoted || !self.servers[1 - number].is_read_only)
    }
}

/// The server that an order goes to; what only looks is never late.
fn on(action: Action, order: Order) -> Option<usize> {
    match action {
        Action::Fence | Action::Lift | Action::Follow | Action::StayClosed => Some(1 - order.green),
        Action::Drain
        | Action::Promote
        | Action::Keep
        | Action::DropTriggers
        | Action::Begin
        | Action::Seize
        | Action::JournalFencing
        | Action::JournalPromoting
        | Action::JournalUndoing
        | Action::Complete
        | Action::Free => Some(order.green),
        _ => None,
    }
}

type Label = (&'static str, Option<usize>, Option<Action>);

/// Everything that can happen next.
fn successors(world: &World, scope: &Scope, mut found: impl FnMut(Label, World)) {
    // A client writes wherever it is let.
    for number in (0..2).filter(|number| world.writes_left > 0 && !world.servers[*number].is_read_only) {
        let mut next = world.clone();
        next.writes_left -= 1;
        let write = 1 << next.writes_left;
        next.servers[number].rows |= write;
        next.acknowledged |= write;
        found(("write", Some(number), None), next);
    }
    for (index, (action, order)) in world.late.iter().enumerate() {
        let mut next = world.clone();
        next.late.remove(index);
        found(("never comes", None, Some(*action)), next.clone());
        next.arrive(*action, *order, scope);
        found(("late", None, Some(*action)), next);
    }
    for number in (0..2).filter(|number| scope.has_restarts && world.may_restart(*number, scope)) {
        if world.faults_left > 0 {
            let mut next = world.clone();
            next.faults_left -= 1;
            next.restart(number, scope);
            found(("restart", Some(number), None), next);
        }
    }
    for number in 0..2 {
        let Some(run) = &world.runs[number] else {
            // Of two that could be called, one is.
            if world.runs_left > 0 && (number == 1 || world.runs[1].is_some()) {
                for (green, seen) in world.targets() {
                    let mut next = world.clone();
                    next.runs_left -= 1;
                    next.runs[number] = Some(next.run_of(green, seen));
                    found(("called", Some(number), None), next);
                }
            }
            continue;
        };
        let action = match run.protocol.next() {
            Ok(action) => action,
            Err(_) => unreachable!("an ended run is taken away"),
        };
        let mut learned = |label, world: &World, outcome: Outcome, breaks: bool| {
            for is_last in [false, true] {
                if is_last && outcome != Outcome::Unknown {
                    continue;
                }
                let mut next = world.clone();
                let run = next.runs[number].as_mut().expect("it runs");
                for side in grips(action) {
                    run.broken[*side as usize] = breaks;
                }
                run.protocol.learn(outcome, is_last);
                if run.protocol.next().is_err() {
                    next.runs[number] = None;
                }
                found((label, Some(number), Some(action)), next);
            }
        };
        let is_new = matches!(action, Action::Claim(_));
        if !is_new && grips(action).iter().any(|side| run.broken[*side as usize]) {
            learned("cannot", world, Outcome::Unknown, true);
            continue;
        }
        let mut acted = world.clone();
        let outcome = acted.act(action, run.order, scope);
        if is_new && outcome == Outcome::Done && scope.flaw != Some(Flaw::ClaimEndsNobody) {
            let claimed = if action == Action::Claim(Side::Blue) { 1 - run.order.green } else { run.order.green };
            // A session that ended takes what waits in it along; orders to the record are no matter of the claim.
            acted.late.retain(|(late, order)| grips(*late).is_empty() || on(*late, *order) != Some(claimed));
        }
        learned("does", &acted, outcome, false);
        if world.faults_left == 0 {
            continue;
        }
        let is_nothing_here = matches!(action, Action::Hold | Action::Release | Action::StartEvents);
        let faulty = |world: &World| {
            let mut next = world.clone();
            next.faults_left -= 1;
            next
        };
        let mut late = faulty(world);
        if on(action, run.order).is_some() {
            late.late.push((action, run.order));
            late.late.sort_unstable();
        }
        let worlds = [
            ("answer lost, done", faulty(&acted)),
            ("answer lost, not done", faulty(world)),
            ("answer lost, late", late),
        ];
        learned("refused", &faulty(world), Outcome::Unknown, false);
        if is_nothing_here {
            continue;
        }
        for (label, lost) in &worlds {
            learned(label, lost, Outcome::Unknown, true);
        }
        for (label, mut dead) in worlds {
            dead.runs[number] = None;
            found((label, Some(number), None), dead);
        }
    }
}

/// The servers whose claims an action makes or needs.
fn grips(action: Action) -> &'static [Side] {
    match action {
        Action::Drain | Action::Refence => &[Side::Blue, Side::Green],
        Action::Claim(Side::Blue) | Action::Fence | Action::Look => &[Side::Blue],
        Action::Lift | Action::Follow | Action::StayClosed => &[Side::Blue],
        Action::Claim(Side::Green) | Action::Promote | Action::Keep | Action::DropTriggers => &[Side::Green],
        _ => &[],
    }
}

/// Whether one more call settles it where nothing goes wrong any more, and another one switches then.
fn check_settles(world: &World, scope: &Scope) -> Result<(), &'static str> {
    let mut world = world.clone();
    for _ in 0..3 {
        let targets: Vec<_> = world.targets().collect();
        let under_way = targets.iter().find(|(_, record)| record.status == Status::InProgress);
        let Some(&(green, seen)) = under_way else { break };
        if call(&mut world, green, seen, scope)? == End::Ambiguous {
            return Err("a call without a fault ends ambiguous");
        }
    }
    let is_under_way = |server: &Server| server.record.is_some_and(|record| record.status == Status::InProgress);
    if world.servers.iter().any(is_under_way) {
        return Err("nobody ends it");
    }
    let writable = world.servers.iter().filter(|server| !server.is_read_only).count();
    if writable != 1 {
        return Err("it is settled, and nobody can write");
    }
    let Some((green, seen)) = world.targets().next() else { return Ok(()) };
    match call(&mut world, green, seen, scope)? {
        End::Completed => Ok(()),
        _ => Err("the next switchover is refused"),
    }
}

/// One controller alone, without a fault.
fn call(world: &mut World, green: usize, seen: Record, scope: &Scope) -> Result<End, &'static str> {
    let mut run = world.run_of(green, seen);
    for _ in 0..100 {
        match run.protocol.next() {
            Err(end) => return Ok(end),
            Ok(action) => {
                let outcome = world.act(action, run.order, scope);
                world.check()?;
                run.protocol.learn(outcome, action == Action::Look);
            }
        }
    }
    Err("a call does not end")
}

/// How many states there are, or the shortest way to one that must not be.
fn explore(scope: &Scope) -> Result<usize, String> {
    let start = World::start(scope);
    let mut known = HashSet::from([start.clone()]);
    let mut steps: Vec<(usize, Label)> = vec![(0, ("start", None, None))];
    let mut queue = VecDeque::from([start]);
    let mut at = 0;
    while let Some(world) = queue.pop_front() {
        let mut check = world.check();
        if check.is_ok() && world.runs == [None, None] && world.late.is_empty() {
            check = check_settles(&world, scope);
        }
        if let Err(broken) = check {
            let mut trace = vec![format!("{broken}: {world:#?}")];
            while at != 0 {
                let (before, label) = &steps[at];
                trace.push(format!("{label:?}"));
                at = *before;
            }
            trace.reverse();
            return Err(trace.join("\n"));
        }
        successors(&world, scope, |label, mut next| {
            // Which of the two controllers is which is no matter.
            next.runs.sort_unstable_by_key(|run| run.as_ref().map_or(0, |run| run.order.token));
            if known.insert(next.clone()) {
                queue.push_back(next);
                steps.push((at, label));
            }
        });
        at += 1;
    }
    Ok(steps.len())
}

const SCOPE: Scope = Scope { flaw: None, keeps_switches: true, has_restarts: true, runs: 2, faults: 2, writes: 1 };

fn holds(scope: &Scope, at_least: usize) {
    let states = explore(scope).unwrap_or_else(|trace| panic!("{trace}"));
    println!("{states} states: {} runs, {} faults, {} writes", scope.runs, scope.faults, scope.writes);
    assert!(states > at_least, "only {states} states");
}

#[test]
fn two_controllers_and_two_faults() {
    holds(&SCOPE, 50_000);
}

/// There, back and there again, one after the other or not.
#[test]
fn three_calls_and_one_fault() {
    holds(&Scope { runs: 3, faults: 1, ..SCOPE }, 50_000);
}

/// MariaDB, and MySQL before 8.0.11.
#[test]
fn servers_that_keep_no_switches() {
    holds(&Scope { keeps_switches: false, ..SCOPE }, 50_000);
}

fn is_found(flaw: Flaw, scope: Scope) {
    let trace = explore(&Scope { flaw: Some(flaw), ..scope }).expect_err("nobody missed it");
    println!("{flaw:?}\n{trace}\n");
}

#[test]
fn a_claim_that_ends_nobody_is_found() {
    is_found(Flaw::ClaimEndsNobody, SCOPE);
}

#[test]
fn a_claim_that_is_not_verified_is_found() {
    is_found(Flaw::ClaimIsNotVerified, Scope { runs: 3, faults: 1, has_restarts: false, ..SCOPE });
}

#[test]
fn a_seizure_that_keeps_the_token_is_found() {
    is_found(Flaw::SeizeKeepsTheToken, SCOPE);
}

#[test]
fn a_promotion_without_a_look_is_found() {
    is_found(Flaw::NoLookAtBlue, Scope { keeps_switches: false, ..SCOPE });
}

#[test]
fn a_fence_that_is_not_persisted_is_found() {
    is_found(Flaw::FenceIsNotPersisted, SCOPE);
}

#[test]
fn a_promotion_that_is_not_proven_is_found() {
    is_found(Flaw::PromotionIsNotProven, SCOPE);
}

#[test]
fn one_that_begins_beside_another_is_found() {
    is_found(Flaw::BeginsBesideAnother, Scope { runs: 3, faults: 1, ..SCOPE });
}

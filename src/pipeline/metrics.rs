//! The stream's figures as metrics, by the `metrics` facade: whoever installs a recorder gets them. Counters count from the
//! process's start; nothing is recorded, at no cost, where there is no recorder.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::progress::{GroupFigures, Progress};
use super::stopwatch::{QUEUES, Stage};
use crate::checks::Lags;

const TRANSACTIONS: &str = "bluegreen_applied_transactions_total";
const ROW_CHANGES: &str = "bluegreen_applied_row_changes_total";
const BYTES: &str = "bluegreen_applied_bytes_total";
const GROUPS: &str = "bluegreen_committed_groups_total";
const GROUP_ROW_CHANGES: &str = "bluegreen_group_row_changes";
const CONFLICTS: &str = "bluegreen_conflicts_total";
const RECONNECTS: &str = "bluegreen_reconnects_total";
const STAGE_MICROS: &str = "bluegreen_stage_microseconds_total";
const QUEUED_BYTES: &str = "bluegreen_queued_bytes";
const LAG_SECONDS: &str = "bluegreen_lag_seconds";
const LAG_TRANSACTIONS: &str = "bluegreen_lag_transactions";
const LAG_BYTES: &str = "bluegreen_lag_bytes";
const CLOCKS: &str = "bluegreen_green_clock_ahead_seconds";

/// Tells the installed recorder what each metric is. Call it once, after the recorder was installed.
pub fn describe() {
    describe_counter!(TRANSACTIONS, Unit::Count, "Transactions of blue committed on green");
    describe_counter!(ROW_CHANGES, Unit::Count, "Row changes of blue committed on green");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of blue's log committed on green");
    describe_counter!(GROUPS, Unit::Count, "Commits on green");
    describe_histogram!(GROUP_ROW_CHANGES, Unit::Count, "Row changes of a commit on green");
    describe_counter!(CONFLICTS, Unit::Count, "Row operations that met a green that was not as blue had been");
    describe_counter!(RECONNECTS, Unit::Count, "How often the stream was set up again after an error");
    describe_counter!(
        STAGE_MICROS,
        Unit::Microseconds,
        "Time at work by stage: waiting for blue, decode, plan, render, green"
    );
    describe_gauge!(LAG_SECONDS, Unit::Seconds, "Lag by part: end_to_end, transport, apply; NaN: not known");
    describe_gauge!(LAG_TRANSACTIONS, Unit::Count, "Pending transactions by part; NaN: not known");
    describe_gauge!(LAG_BYTES, Unit::Bytes, "Pending bytes of blue's log by part; NaN: not known");
    describe_gauge!(CLOCKS, Unit::Seconds, "How far green's clock is ahead of blue's; NaN: not known");
    // What has not happened yet is zero, not missing.
    for name in [TRANSACTIONS, ROW_CHANGES, BYTES, GROUPS, CONFLICTS, RECONNECTS] {
        counter!(name).increment(0);
    }
    describe_gauge!(QUEUED_BYTES, Unit::Bytes, "Bytes that wait between the stages: of events, of transactions");
}

/// After each commit.
pub(super) fn committed(progress: &Progress, group: &GroupFigures, conflicts: u64) {
    counter!(TRANSACTIONS).increment(group.transactions);
    counter!(ROW_CHANGES).increment(group.row_changes);
    counter!(BYTES).increment(group.bytes);
    counter!(GROUPS).increment(1);
    counter!(CONFLICTS).increment(conflicts);
    histogram!(GROUP_ROW_CHANGES).record(group.row_changes as f64);
    for stage in Stage::ALL {
        counter!(STAGE_MICROS, "stage" => stage.name()).absolute(progress.stages.micros_of(stage));
    }
    for (queue, bytes) in QUEUES.into_iter().zip(progress.stages.queued_bytes) {
        gauge!(QUEUED_BYTES, "queue" => queue).set(bytes as f64);
    }
}

/// Records a lag that was measured. What is not known is recorded as such, not left as it was.
pub fn record_lag(lags: &Lags) {
    for (part, lag) in [("end_to_end", &lags.end_to_end), ("transport", &lags.transport), ("apply", &lags.apply)] {
        let figure = |figure: Option<u64>| figure.map_or(f64::NAN, |figure| figure as f64);
        gauge!(LAG_SECONDS, "part" => part).set(lag.seconds().unwrap_or(f64::NAN));
        gauge!(LAG_TRANSACTIONS, "part" => part).set(figure(lag.transactions()));
        gauge!(LAG_BYTES, "part" => part).set(figure(lag.bytes()));
    }
    gauge!(CLOCKS).set(lags.clocks.map_or(f64::NAN, |clocks| clocks.green_ahead_seconds));
}

/// After an error that may pass.
pub(super) fn reconnects() {
    counter!(RECONNECTS).increment(1);
}

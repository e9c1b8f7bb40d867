//! The stream's figures as metrics, by the `metrics` facade: whoever installs a recorder gets them. Counters count from the
//! process's start; nothing is recorded, at no cost, where there is no recorder.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::progress::{GroupFigures, Progress};
use super::stopwatch::{QUEUES, Stage};

const TRANSACTIONS: &str = "bluegreen_applied_transactions_total";
const ROW_CHANGES: &str = "bluegreen_applied_row_changes_total";
const BYTES: &str = "bluegreen_applied_bytes_total";
const GROUPS: &str = "bluegreen_committed_groups_total";
const GROUP_ROW_CHANGES: &str = "bluegreen_group_row_changes";
const CONFLICTS: &str = "bluegreen_conflicts_total";
const RECONNECTS: &str = "bluegreen_reconnects_total";
const STAGE_MICROS: &str = "bluegreen_stage_microseconds_total";
const QUEUED_BYTES: &str = "bluegreen_queued_bytes";

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

/// After an error that may pass.
pub(super) fn reconnects() {
    counter!(RECONNECTS).increment(1);
}

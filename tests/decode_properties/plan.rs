//! What a random log is to hold. Cells are seeds here: `cells` makes values of them.

use bluegreen::model::{ChangeKind, Flavor};
use bluegreen::testkit::{ColumnType, Release};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) release: Release,
    pub(crate) has_checksums: bool,
    pub(crate) metadata: Metadata,
    pub(crate) tables: Vec<Table>,
    /// Each is one log file's transactions.
    pub(crate) files: Vec<Vec<Transaction>>,
    /// A live dump that starts inside of a file, in front of the place where headers run over.
    pub(crate) is_far: bool,
    /// MariaDB 11.4 and newer: no places inside of transactions.
    pub(crate) has_zero_places: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    None,
    Minimal,
    Full,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) kind: ColumnType,
    pub(crate) is_unsigned: bool,
    pub(crate) is_nullable: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) gtid: GtidForm,
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
    /// MySQL 8.0.20 and newer: within a payload, folded or as it is.
    pub(crate) payload: Option<bool>,
}

/// How much a GTID says, where the release knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum GtidForm {
    None,
    Anonymous,
    Plain,
    Tagged,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A statement with its row events, all of their tables open at once.
    Rows {
        has_text: bool,
        events: Vec<Rows>,
    },
    /// A change as text.
    Statement {
        is_compressed: bool,
    },
    Savepoint(u8),
    /// To the savepoint of this number of those that are there.
    RollBack(prop::sample::Index),
}

#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) table: prop::sample::Index,
    pub(crate) kind: ChangeKind,
    pub(crate) is_first_version: bool,
    pub(crate) is_compressed: bool,
    pub(crate) is_partial: bool,
    /// MariaDB 12.3: in parts of so many bytes.
    pub(crate) part: Option<usize>,
    /// Which columns are left out of the first and of the after image, by bits.
    pub(crate) without: (u16, u16),
    /// A seed a row.
    pub(crate) rows: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Xid,
    Commit,
    OnePhase,
    /// Everything is rolled back: nothing else is in it.
    RollBack,
    /// A statement that is a transaction of its own.
    Standalone,
    Prepare,
    /// What became of the oldest prepared one; where there is none, the transaction is committed.
    CommitPrepared,
    RollBackPrepared,
}

pub(crate) fn any_plan() -> impl Strategy<Value = Plan> {
    select(Release::ALL.to_vec()).prop_flat_map(|release| {
        let checksums = if release.knows_checksums() { any::<bool>().boxed() } else { Just(false).boxed() };
        let metadata = select(vec![Metadata::None, Metadata::Minimal, Metadata::Full]);
        let files = vec(vec(any_transaction(), 0..5), 1..3);
        let tables = vec(any_table(release.flavor()), 1..4);
        (Just(release), checksums, metadata, tables, files, any::<bool>(), any::<bool>()).prop_map(
            |(release, has_checksums, metadata, tables, files, is_far, has_zero_places)| Plan {
                release,
                has_checksums,
                metadata,
                tables,
                files,
                is_far,
                has_zero_places,
            },
        )
    })
}

fn any_table(flavor: Flavor) -> impl Strategy<Value = Table> {
    vec(any_column(flavor), 1..20).prop_map(|columns| Table { columns })
}

fn any_column(flavor: Flavor) -> impl Strategy<Value = Column> {
    use ColumnType::*;
    let members = |count: usize| (0..count).map(|number| format!("m{number}")).collect::<Vec<_>>();
    let common = prop_oneof![
        select(vec![1, 2, 3, 4, 8]).prop_map(Integer),
        select(vec![Float, Double, Year, Date, OldTime, OldDateTime, OldTimestamp]),
        (1..=65_u8, 0..=30_u8).prop_map(|(precision, scale)| Decimal(precision, scale.min(precision))),
        (1..=64_u8).prop_map(Bit),
        select(vec![1, 255, 256, 300]).prop_map(move |count| Enum(members(count))),
        (1..=64_usize).prop_map(move |count| Set(members(count))),
        (1..=1023_u16).prop_map(Char),
        select(vec![1, 20, 255, 256, 65_535]).prop_map(VarChar),
        (1..=4_u8).prop_map(Blob),
        (0..=7_u8).prop_map(Geometry),
        (0..=6_u8).prop_map(Time),
        (0..=6_u8).prop_map(DateTime),
        (0..=6_u8).prop_map(Timestamp),
    ];
    let own = match flavor {
        Flavor::MySql => prop_oneof![Just(Json), (1..10_u16).prop_map(Vector)].boxed(),
        Flavor::MariaDb => {
            prop_oneof![select(vec![300, 65_535]).prop_map(VarCharCompressed), (2..=4_u8).prop_map(BlobCompressed)]
                .boxed()
        }
    };
    (prop_oneof![13 => common, 3 => own], any::<bool>(), any::<bool>()).prop_map(|(kind, is_unsigned, is_nullable)| {
        // BIT and what is no number have no sign; DECIMAL and the floating ones keep the values of both signs.
        let is_unsigned = is_unsigned && matches!(kind, Integer(_));
        Column { kind, is_unsigned, is_nullable }
    })
}

fn any_transaction() -> impl Strategy<Value = Transaction> {
    let gtid = select(vec![GtidForm::None, GtidForm::Anonymous, GtidForm::Plain, GtidForm::Tagged]);
    let end = prop_oneof![
        4 => Just(End::Xid),
        1 => select(vec![End::Commit, End::OnePhase, End::RollBack, End::Standalone]),
        2 => Just(End::Prepare),
        2 => select(vec![End::CommitPrepared, End::RollBackPrepared]),
    ];
    let payload = prop_oneof![2 => Just(None), 1 => any::<bool>().prop_map(Some)];
    (gtid, vec(any_step(), 0..6), end, payload).prop_map(|(gtid, steps, end, payload)| Transaction {
        gtid,
        steps,
        end,
        payload,
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (any::<bool>(), vec(any_rows(), 1..4)).prop_map(|(has_text, events)| Step::Rows { has_text, events }),
        1 => any::<bool>().prop_map(|is_compressed| Step::Statement { is_compressed }),
        1 => (0..4_u8).prop_map(Step::Savepoint),
        1 => any::<prop::sample::Index>().prop_map(Step::RollBack),
    ]
}

fn any_rows() -> impl Strategy<Value = Rows> {
    let kind = select(vec![ChangeKind::Insert, ChangeKind::Update, ChangeKind::Delete]);
    let without = prop_oneof![Just((0, 0)), any::<(u16, u16)>()];
    let part = prop_oneof![2 => Just(None), 1 => (1..200_usize).prop_map(Some)];
    let forms = (any::<bool>(), any::<bool>(), any::<bool>());
    (any::<prop::sample::Index>(), kind, forms, part, without, vec(any::<u64>(), 1..5)).prop_map(
        |(table, kind, (is_first_version, is_compressed, is_partial), part, without, rows)| Rows {
            table,
            kind,
            is_first_version,
            is_compressed,
            is_partial,
            part,
            without,
            rows,
        },
    )
}

//! What no golden file has, as the testkit writes it: statements with their session's values, XA, savepoints, events in
//! parts, compressed columns, what comes in a dump only.

use bluegreen::testkit::{
    AlterPhase, Cell, Checksum, ColumnSpec, ColumnType, Event, ExtraRowInfo, Gtid, IntVar, JsonDiff, MariaDbGtid,
    Query, Release, Rows, StatusVariable, TableMap, TransactionContext, UserValue, XaId, kind,
};

/// Events behind a log's head.
pub struct Scene {
    pub name: &'static str,
    pub release: Release,
    pub events: Vec<Event>,
}

impl Scene {
    fn new(name: &'static str, release: Release, events: impl IntoIterator<Item = Event>) -> Scene {
        Scene { name, release, events: events.into_iter().collect() }
    }
}

pub fn scenes() -> Vec<Scene> {
    [statements(), two_phases(), row_events(), parts(), control()].into_iter().flatten().collect()
}

fn query(sql: &str) -> Event {
    Query::new("s", sql).into()
}

fn begin() -> Event {
    Query::begin().into()
}

fn group(sequence: u64) -> MariaDbGtid {
    MariaDbGtid::new(0, 1, sequence)
}

fn gtid() -> Gtid {
    Gtid::new([7; 16], 5).clock(1, 2).committed_at(3, 4).versions(80_400, 80_400).ticket(6)
}

fn statements() -> Vec<Scene> {
    let variables = [
        StatusVariable::Flags(1 << 26),
        StatusVariable::SqlMode(1 << 30),
        StatusVariable::Catalog("std".into()),
        StatusVariable::AutoIncrement(2, 1),
        StatusVariable::Charset(255, 255, 8),
        StatusVariable::TimeZone("+01:00".into()),
        StatusVariable::LcTimeNames(1),
        StatusVariable::CharsetDatabase(8),
        StatusVariable::TableMapForUpdate(3),
        StatusVariable::Invoker("u".into(), "h".into()),
        StatusVariable::UpdatedSchemas(vec!["s".into(), "r".into()]),
    ];
    let of_mysql = [
        StatusVariable::Microseconds(5),
        StatusVariable::ExplicitDefaultsForTimestamp(true),
        StatusVariable::DdlXid(9),
        StatusVariable::DefaultCollationForUtf8mb4(255),
        StatusVariable::SqlRequirePrimaryKey(true),
        StatusVariable::DefaultTableEncryption(true),
    ];
    let of_mariadb = [StatusVariable::MariaDbMicroseconds(5), StatusVariable::MariaDbXid(9)];
    let with = |more: &[StatusVariable]| {
        let new = Query::new("s", "INSERT INTO t VALUES (@a, RAND())").thread(3, 1).error_code(1062);
        variables.iter().chain(more).fold(new, Query::variable)
    };
    // DECIMAL(3,1): 12.5. The testkit writes no such variable.
    let decimal = [b"\x01\0\0\0d\0\x04".as_slice(), &63_u32.to_le_bytes(), b"\x04\0\0\0\x03\x01\x8c\x05"].concat();
    let values = [
        Event::intvar(IntVar::LastInsertId, 7),
        Event::intvar(IntVar::InsertId, 8),
        Event::rand(1, 2),
        Event::user_var("a", &UserValue::Text(b"x".into(), 255)),
        Event::user_var("b", &UserValue::UInt(1)),
        Event::user_var("c", &UserValue::Null),
        Event::raw(kind::USER_VAR, 0, decimal),
    ];
    let savepoints =
        ["SAVEPOINT `a`", "INSERT INTO t VALUES (1)", "ROLLBACK TO `a`", "SAVEPOINT `b`", "ROLLBACK TO `b`"];
    let savepoints = savepoints.map(query);
    let around = |first: Event, inner: &[Event]| [&[first, begin()], inner, &[Query::commit().into()]].concat();
    vec![
        Scene::new(
            "session_values",
            Release::MySql84,
            around(gtid().into(), &[&values[..], &[with(&of_mysql).into()]].concat()),
        ),
        Scene::new("session_values", Release::MariaDb118, {
            let statement = with(&of_mariadb).compressed().into();
            [&[group(1).into()], &values[..], &[statement, Event::xid(3)]].concat()
        }),
        Scene::new("savepoints", Release::MySql80, around(Gtid::anonymous().into(), &savepoints)),
        Scene::new("savepoints", Release::MySql55, [&[begin()], &savepoints[..], &[query("ROLLBACK")]].concat()),
        Scene::new("ddl", Release::MySql57, [gtid().into(), query("CREATE TABLE t (a int)"), query("DROP TABLE t")]),
        Scene::new(
            "ddl",
            Release::MariaDb1011,
            [
                MariaDbGtid::ddl(0, 1, 1).alter(AlterPhase::Start).into(),
                query("ALTER TABLE t ADD b int"),
                MariaDbGtid::ddl(0, 1, 2).alter(AlterPhase::Commit(1)).thread(4).into(),
                query("ALTER TABLE t ADD b int"),
                MariaDbGtid::ddl(0, 1, 3).alter(AlterPhase::Rollback(1)).extra_engines(1).into(),
                query("ALTER TABLE t ADD b int"),
            ],
        ),
    ]
}

fn one_row(release: Release) -> [Event; 2] {
    let table = TableMap::new(9, "s", "t", vec![ColumnSpec::int()]);
    [table.event(), Rows::insert(&table).written_by(release).row(&[Cell::Int(1)]).into()]
}

fn two_phases() -> Vec<Scene> {
    let id = || XaId::new(1, b"ab", b"c");
    let on = |release, is_one_phase| {
        let first = [Gtid::new([7; 16], 5).into(), query("XA START X'6162',X'63',1")];
        [&first[..], &one_row(release), &[query("XA END X'6162',X'63',1"), Event::xa_prepare(&id(), is_one_phase)]]
            .concat()
    };
    let after = |sql| [Gtid::new([7; 16], 6).into(), query(sql)];
    vec![
        Scene::new(
            "xa",
            Release::MySql80,
            [&on(Release::MySql80, false)[..], &after("XA COMMIT X'6162',X'63',1")].concat(),
        ),
        Scene::new(
            "xa",
            Release::MySql84,
            [&on(Release::MySql84, false)[..], &after("XA ROLLBACK X'6162',X'63',1")].concat(),
        ),
        Scene::new("xa_one_phase", Release::MySql57, on(Release::MySql57, true)),
        Scene::new("xa", Release::MariaDb105, {
            let rows = one_row(Release::MariaDb105);
            let prepare = [query("XA END X'6162',X'63',1"), Event::xa_prepare(&id(), false)];
            let commit = [group(2).xa(id(), true).into(), query("XA COMMIT X'6162',X'63',1")];
            [&[group(1).xa(id(), false).commit_id(8).into()], &rows[..], &prepare, &commit].concat()
        }),
    ]
}

fn columns(kinds: impl IntoIterator<Item = ColumnType>) -> Vec<ColumnSpec> {
    kinds.into_iter().map(ColumnSpec::new).collect()
}

fn row_events() -> Vec<Scene> {
    let folded =
        TableMap::new(9, "s", "t", columns([ColumnType::VarCharCompressed(300), ColumnType::BlobCompressed(2)]));
    let long = vec![b'x'; 200];
    let cells = [Cell::Bytes(long.clone()), Cell::ZlibWrapped(long)];
    let short = [Cell::Bytes(b"y".to_vec()), Cell::Bytes(Vec::new())];
    // Times from before servers had fractions: 3, 4 and 8 bytes of MySQL and of MariaDB without digits.
    let old =
        TableMap::new(9, "s", "t", columns([ColumnType::OldTime, ColumnType::OldTimestamp, ColumnType::OldDateTime]));
    let moments = Rows::insert(&old).row(&[
        Cell::Raw(vec![1, 2, 3]),
        Cell::Raw(vec![4, 3, 2, 1]),
        Cell::Raw(vec![0xd8, 0x5f, 0xe2, 0x52, 0x66, 0x12, 0, 0]),
    ]);
    let all = [
        ColumnType::Bit(12),
        ColumnType::Enum(vec!["a".into(), "b".into()]),
        ColumnType::Set(vec!["a".into(), "b".into()]),
        ColumnType::Vector(2),
        ColumnType::Geometry(1),
        ColumnType::Year,
    ];
    let many = TableMap::new(9, "s", "t", columns(all));
    let point = b"\0\0\0\0\x01\x01\0\0\0\0\0\0\0\0\0\xf0?\0\0\0\0\0\0\0@".to_vec();
    let values =
        [Cell::Bit(5), Cell::Enum(2), Cell::Set(3), Cell::Bytes(vec![0; 8]), Cell::Bytes(point), Cell::Year(2024)];
    let documents = TableMap::new(9, "s", "t", vec![ColumnSpec::int(), ColumnSpec::new(ColumnType::Json).nullable()]);
    let document = Cell::Bytes(b"\0\x01\0\x0c\0\x0b\0\x01\0\x05\x01\0a".to_vec());
    let diffs = vec![
        JsonDiff::Replace("$.a".into(), b"\x05\x02\0".to_vec()),
        JsonDiff::Insert("$.b".into(), b"\x04\0".to_vec()),
        JsonDiff::Remove("$.a".into()),
    ];
    let partial = Rows::partial_update(&documents)
        .extra(&ExtraRowInfo::Partitions(1, 2))
        .updated_row(&[Cell::Int(1), document], &[Cell::Int(2), Cell::JsonDiffs(diffs)]);
    // A row event of no table closes a statement.
    let closing = Event::raw(kind::WRITE_ROWS, 0, *b"\xff\xff\xff\0\0\0\x01\0\x02\0\x01\x01");
    let on_mysql = |events: &[Event]| [&[Gtid::anonymous().into(), begin()], events, &[Event::xid(1)]].concat();
    let on_mariadb = |events: &[Event]| [&[group(1).into()], events, &[Event::xid(1)]].concat();
    let folded_rows = Rows::update(&folded).written_by(Release::MariaDb118).updated_row(&cells, &short);
    let old_mariadb = Rows::delete(&old).written_by(Release::MariaDb1011).row(&[
        Cell::Raw(vec![1, 2, 3]),
        Cell::Raw(vec![4, 3, 2, 1]),
        Cell::Raw(vec![0; 8]),
    ]);
    vec![
        Scene::new("compressed_columns", Release::MariaDb118, on_mariadb(&[folded.event(), folded_rows.into()])),
        Scene::new("old_times", Release::MySql57, on_mysql(&[old.event(), moments.into()])),
        Scene::new("old_times", Release::MariaDb1011, on_mariadb(&[old.event(), old_mariadb.compressed().into()])),
        Scene::new("types", Release::MySql97, on_mysql(&[many.event(), Rows::delete(&many).row(&values).into()])),
        Scene::new("partial_json", Release::MySql97, on_mysql(&[documents.event(), partial.into(), closing])),
        Scene::new(
            "first_version",
            Release::MySql55,
            [&[begin()], &one_row(Release::MySql55)[..], &[Event::xid(1)]].concat(),
        ),
    ]
}

fn parts() -> Vec<Scene> {
    let release = Release::MariaDb123;
    let [map, rows] = one_row(release);
    let inner = [&[group(1).into(), map], &Event::partial_row_data(&rows, 11)[..], &[Event::xid(1)]].concat();
    vec![Scene::new("parts", release, inner)]
}

fn control() -> Vec<Scene> {
    let context = TransactionContext { server_uuid: "u".repeat(36), write_set: vec![vec![1; 8]], ..<_>::default() };
    let next =
        |release| [Event::artificial_rotate("bin.000002", 4), Event::format_description(release, Checksum::None)];
    let ends = |release| [&[Event::rotate("bin.000002", 4)], &next(release)[..], &[Event::stop()]].concat();
    vec![
        Scene::new("next_file", Release::MySql97, ends(Release::MySql97)),
        Scene::new("next_file", Release::MariaDb123, ends(Release::MariaDb123)),
        Scene::new(
            "encryption",
            Release::MariaDb118,
            [
                Event::start_encryption(1, [5; 12]),
                Event::mariadb_gtid_list(&[(0, 1, 2), (3, 4, 5)]),
                Event::binlog_checkpoint("bin.000001"),
            ],
        ),
        Scene::new(
            "heartbeats",
            Release::MySql97,
            [Event::heartbeat("bin.000001", 4000), Event::heartbeat_v2("bin.000001", 5000), Event::ignorable(*b"abc")],
        ),
        Scene::new(
            "heartbeats",
            Release::MariaDb118,
            [Event::heartbeat("bin.000001", 4000), Event::mariadb_long_heartbeat("bin.000001", 1 << 33)],
        ),
        Scene::new(
            "group_replication",
            Release::MySql84,
            [
                Event::transaction_context(&context),
                Event::view_change("v:1", 3, &[(b"k", b"v")]),
                Gtid::new([7; 16], 5).tag("tag").into(),
                begin(),
                Query::commit().into(),
            ],
        ),
        Scene::new("incident", Release::MySql84, [Event::incident("lost")]),
    ]
}

//! Columns of every type, each with values that are easily taken for one another.

use bluegreen::sandbox::{Kind, Server};

pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) of: String,
    /// As SQL; each is a value that the column stores.
    pub(crate) values: Vec<String>,
    /// Reads the value so that two are equal exactly where the server stores the same.
    pub(crate) read: String,
}

const TEXTS: [&str; 10] = ["NULL", "''", "'a'", "'A'", "'a '", "' a'", "'-'", "'a\\0'", "'0'", "'b,c'"];
/// Of character sets that have them.
const UNICODE: [&str; 7] = ["x'c3a1'", "x'61cc81'", "x'c39f'", "'ss'", "x'f09f9880'", "x'efbc81'", "x'c2a0'"];
const INTEGERS: [&str; 4] = ["NULL", "0", "1", "100"];

fn column(name: &str, of: &str, values: &[&str]) -> Column {
    let base = of.split(['(', ' ']).next().unwrap();
    let read = match base {
        "float" | "double" => format!("{name} * 1e0"),
        "bit" | "enum" | "set" => format!("CAST({name} AS UNSIGNED)"),
        "json" => format!("HEX(CAST({name} AS CHAR))"),
        "geometry" | "vector" => format!("HEX(CAST({name} AS BINARY))"),
        _ if of.contains("char") || of.contains("text") || of.contains("b") && of.contains("lob") => {
            format!("HEX({name})")
        }
        "binary" | "varbinary" => format!("HEX({name})"),
        _ => format!("CAST({name} AS CHAR)"),
    };
    Column { name: name.into(), of: of.into(), values: values.iter().map(|value| (*value).into()).collect(), read }
}

fn numbers() -> Vec<Column> {
    let mut columns = Vec::new();
    for (name, of, least, most) in [
        ("i1", "tinyint", "-128", "127"),
        ("u1", "tinyint unsigned", "2", "255"),
        ("i2", "smallint", "-32768", "32767"),
        ("i3", "mediumint", "-8388608", "8388607"),
        ("u3", "mediumint unsigned", "2", "16777215"),
        ("i4", "int", "-2147483648", "2147483647"),
        ("z4", "int zerofill", "2", "4294967295"),
        ("i8", "bigint", "-9223372036854775808", "9223372036854775807"),
        ("u8", "bigint unsigned", "18446744073709551614", "18446744073709551615"),
    ] {
        let mut values = INTEGERS.to_vec();
        values.extend([least, most]);
        columns.push(column(name, of, &values));
    }
    columns.extend([
        column(
            "de",
            "decimal(30,10)",
            &["NULL", "0", "1.5", "-1.5", "1.5000000001", "99999999999999999999.9999999999"],
        ),
        column("dw", "decimal(65,0)", &["0", "1e64", "-1e64", "1e64+1"]),
        column("fl", "float", &["NULL", "0e0", "-0e0", "0.1e0", "0.10000001e0", "3.4e38", "1e-30", "16777216e0"]),
        column(
            "db",
            "double",
            &["NULL", "0e0", "-0e0", "1e0", "1.0000000000000002e0", "1.7e308", "2.3e-308", "9007199254740993e0"],
        ),
        column("b1", "bit(1)", &["NULL", "0", "1"]),
        column("b9", "bit(9)", &["0", "1", "256", "511"]),
        column("b64", "bit(64)", &["0", "1", "18446744073709551615", "9223372036854775808"]),
        column("en", "enum('x','y','Z','10')", &["NULL", "1", "2", "3", "4"]),
        column("se", "set('a','b','c')", &["NULL", "0", "1", "2", "5", "7"]),
        column("yr", "year", &["NULL", "0", "1901", "2155", "2024"]),
    ]);
    columns
}

fn times() -> Vec<Column> {
    let dates = ["NULL", "'0000-00-00'", "'1000-01-01'", "'2024-02-29'", "'2024-02-30'", "'9999-12-31'"];
    let moments = ["'2024-02-29 12:00:00'", "'2024-02-29 12:00:00.5'", "'2024-02-29 12:00:00.000001'"];
    let times = ["NULL", "'00:00:00'", "'-00:00:01'", "'00:00:01'", "'838:59:59'", "'-838:59:59'", "'00:00:00.000001'"];
    let stamps = ["NULL", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2024-03-31 02:30:00'"];
    let datetimes: Vec<&str> = dates.into_iter().chain(moments).collect();
    let stamps: Vec<&str> = stamps.into_iter().chain(moments).collect();
    let mut columns = vec![column("da", "date", &dates)];
    for digits in [0, 1, 3, 6] {
        columns.push(column(&format!("ti{digits}"), &format!("time({digits})"), &times));
        columns.push(column(&format!("dt{digits}"), &format!("datetime({digits})"), &datetimes));
        columns.push(column(&format!("ts{digits}"), &format!("timestamp({digits}) null"), &stamps));
    }
    columns
}

fn bytes() -> Vec<Column> {
    let values = ["NULL", "x''", "x'61'", "x'6100'", "x'00'", "x'20'", "x'41'", "x'ff'", "x'2c2d'"];
    let long: Vec<&str> = values.into_iter().chain(["REPEAT('x', 9000)", "CONCAT(REPEAT('x', 8999), 'y')"]).collect();
    vec![
        column("bi", "binary(4)", &values),
        column("vb", "varbinary(20)", &values),
        column("tb", "tinyblob", &values),
        column("bl", "blob", &long),
        column("mb", "mediumblob", &long),
        column("lb", "longblob", &long),
    ]
}

fn documents(kind: Kind) -> Vec<Column> {
    let points = [
        "NULL",
        "ST_GeomFromText('POINT(1 2)')",
        "ST_GeomFromText('POINT(2 1)')",
        "ST_GeomFromText('POINT(1 2)', 4326)",
        "ST_GeomFromText('LINESTRING(1 2, 2 1)')",
    ];
    let mut columns = vec![column("ge", "geometry", &points)];
    if kind.is_mariadb() {
        columns.push(column(
            "js",
            "longtext",
            &["NULL", r#"'{"a":1,"b":2}'"#, r#"'{"b":2,"a":1}'"#, r#"'{"a":1, "b":2}'"#],
        ));
        columns.push(column("co", "text compressed", &["NULL", "''", "'a'", "'a '", "REPEAT('x', 9000)"]));
        return columns;
    }
    columns.push(column(
        "js",
        "json",
        &[
            "NULL",
            "'null'",
            r#"'{"a":1,"bb":2}'"#,
            // The same document to MySQL, which keeps an order of its own.
            r#"'{"bb":2,"a":1}'"#,
            r#"'{"a":1.0,"bb":2}'"#,
            r#"'{"a":"1","bb":2}'"#,
            r#"'{"A":1,"bb":2}'"#,
            "'[1,2]'",
            "'[2,1]'",
            "'\"\"'",
            "'-0.0'",
            "'0.0'",
        ],
    ));
    if kind == Kind::MySql97 {
        let vector = |entries: &str| format!("STRING_TO_VECTOR('{entries}')");
        let vectors = ["[1,2,3]", "[1,2,3.0000002]", "[0,0,0]", "[-0,0,0]"].map(vector);
        let vectors: Vec<&str> = vectors.iter().map(String::as_str).collect();
        columns.push(column("ve", "vector(3)", &vectors));
    }
    columns
}

/// A column of each character set, and of collations that take much for the same.
async fn texts(server: &Server) -> Vec<Table> {
    let sets = server
        .sql(
            "SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME NOT IN ('binary', \
             'filename') ORDER BY 1",
        )
        .await
        .unwrap();
    let of_sets =
        sets.lines().map(|set| column(&format!("c_{set}"), &format!("varchar(20) character set {set}"), &TEXTS));
    let all: Vec<&str> = TEXTS.into_iter().chain(UNICODE).collect();
    let wanted = [
        "utf8mb4_bin",
        "utf8mb4_general_ci",
        "utf8mb4_unicode_ci",
        "utf8mb4_unicode_520_ci",
        "utf8mb4_0900_ai_ci",
        "utf8mb4_0900_as_cs",
        "utf8mb4_0900_bin",
        "utf8mb4_nopad_bin",
        "utf8mb4_uca1400_ai_ci",
        "utf8mb4_uca1400_nopad_as_cs",
        "utf8mb4_czech_ci",
    ];
    let has = server.sql("SELECT COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY").await;
    let full = |name: &str| has.as_ref().unwrap().lines().any(|line| line == name);
    // MariaDB lists collations of several sets without the set.
    let plain = |name: &str| has.as_ref().unwrap().lines().any(|line| name.strip_prefix("utf8mb4_") == Some(line));
    let mut columns = Vec::new();
    for name in wanted.into_iter().filter(|name| full(name) || plain(name)) {
        columns.push(column(&format!("v_{name}"), &format!("varchar(20) collate {name}"), &all));
        columns.push(column(&format!("c_{name}"), &format!("char(20) collate {name}"), &all));
    }
    let long: Vec<&str> = all.into_iter().chain(["REPEAT('x', 20000)", "CONCAT(REPEAT('x', 19999), 'X')"]).collect();
    columns.extend([
        column("tt", "tinytext", &TEXTS),
        column("tx", "text", &long),
        column("mt", "mediumtext", &long),
        column("lt", "longtext", &long),
        column("lc", "varchar(5000)", &long[..17]),
    ]);
    vec![Table { name: "sets".into(), columns: of_sets.collect() }, Table { name: "texts".into(), columns }]
}

pub(crate) async fn tables(server: &Server) -> Vec<Table> {
    let table = |name: &str, columns| Table { name: name.into(), columns };
    let mut tables = vec![
        table("numbers", numbers()),
        table("times", times()),
        table("bytes", bytes()),
        table("documents", documents(server.kind())),
    ];
    tables.extend(texts(server).await);
    tables
}

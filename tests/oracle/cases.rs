//! What the servers are asked to write: every type, row image and event that they have.
//!
//! Every table of [`SCHEMA`] has an INT key first. No statement knows what comes of it: that is asked of the server.

use std::fmt::Write;

use bluegreen::sandbox::Kind;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The schema of the tables whose rows are compared.
pub(crate) const SCHEMA: &str = "oracle";

/// Statements for one session, one string for each call.
pub(crate) fn sessions(kind: Kind, gtid: bool, charsets: &[(String, u32)]) -> Vec<String> {
    let mut sessions = vec![
        format!("CREATE DATABASE {SCHEMA} CHARACTER SET {}", if kind == Kind::MySql56 { "utf8" } else { "utf8mb4" }),
        numbers(),
        texts(kind),
        charsets.iter().map(|(name, longest)| charset(name, *longest)).collect(),
        temporals(),
        others(kind),
        "FLUSH LOGS".to_owned(),
        events(kind, gtid),
        images(kind),
    ];
    match kind {
        Kind::MySql56 => {}
        Kind::MySql97 => {
            sessions.extend([MYSQL_97.to_owned(), mysql_json()]);
            if gtid {
                sessions.push(TAGGED.to_owned());
            }
        }
        _ => {
            sessions.push(mariadb(kind));
            sessions.extend(OLD_TEMPORALS.map(str::to_owned));
        }
    }
    if kind != Kind::MySql56 {
        sessions.push("SET GLOBAL binlog_row_metadata = MINIMAL".to_owned());
        sessions.push(plain("unnamed"));
        sessions.push("SET GLOBAL binlog_row_metadata = FULL".to_owned());
    }
    sessions.push("SET GLOBAL binlog_checksum = NONE".to_owned());
    sessions.push(plain("unchecked"));
    sessions.push("SET GLOBAL binlog_checksum = CRC32".to_owned());
    sessions.push("FLUSH LOGS".to_owned());
    for session in &mut sessions {
        if !session.starts_with("SET GLOBAL")
            && !session.starts_with("FLUSH")
            && !session.starts_with("CREATE DATABASE")
        {
            session.insert_str(0, &format!("USE {SCHEMA}; SET NAMES utf8mb4, sql_mode = '', time_zone = '+00:00'; "));
        }
    }
    sessions
}

fn random() -> StdRng {
    StdRng::seed_from_u64(20_261_123)
}

/// An INSERT of rows with their keys counted from `first`.
fn insert(table: &str, first: usize, rows: impl IntoIterator<Item = String>) -> String {
    let rows: Vec<_> = rows.into_iter().enumerate().map(|(index, row)| format!("({},{row})", first + index)).collect();
    format!("INSERT INTO {table} VALUES {}; ", rows.join(","))
}

fn numbers() -> String {
    let mut random = random();
    let mut sql = String::from(
        "CREATE TABLE ints (id INT PRIMARY KEY, a TINYINT, b TINYINT UNSIGNED, c SMALLINT, d SMALLINT UNSIGNED, \
         e MEDIUMINT, f MEDIUMINT UNSIGNED, g INT, h INT UNSIGNED, i BIGINT, j BIGINT UNSIGNED, k BOOL, \
         l INT(5) UNSIGNED ZEROFILL); ",
    );
    let limits = |signed: bool, low: bool| {
        [8, 16, 24, 32, 64].map(|bits: u32| match (signed, low) {
            (true, true) => (-(1_i128 << (bits - 1))).to_string(),
            (true, false) => ((1_i128 << (bits - 1)) - 1).to_string(),
            (false, true) => (1_i128 << (bits - 1)).to_string(),
            (false, false) => ((1_i128 << bits) - 1).to_string(),
        })
    };
    let row = |low: bool| {
        let pairs = limits(true, low)
            .into_iter()
            .zip(limits(false, low))
            .map(|(signed, unsigned)| format!("{signed},{unsigned}"));
        pairs.chain([u8::from(low).to_string(), "42".to_owned()]).collect::<Vec<_>>().join(",")
    };
    let same = |value: &str| [value; 12].join(",");
    let rows = vec![row(true), row(false), same("0"), same("1"), same("-1"), same("NULL")];
    sql += &insert("ints", 1, rows);
    sql += &insert(
        "ints",
        100,
        (0..40)
            .map(|_| (0..12).map(|_| random.random::<i64>().to_string()).collect::<Vec<_>>().join(","))
            .collect::<Vec<_>>(),
    );
    sql += "UPDATE ints SET a = -a, i = NULL WHERE id % 3 = 0; DELETE FROM ints WHERE id % 7 = 0; ";

    sql += "CREATE TABLE reals (id INT PRIMARY KEY, a FLOAT, b DOUBLE, c FLOAT(7,3), d DOUBLE(12,4), e FLOAT UNSIGNED); \
            INSERT INTO reals VALUES (1,0,0,0,0,0),(2,-0e0,-0e0,-0e0,-0e0,0),(3,1e38,1e308,9999,99999999,3.4e38),\
            (4,NULL,NULL,NULL,NULL,NULL),(5,1e-45,5e-324,0.001,0.0001,1e-38),(6,-0.1,-0.1,-0.1,-0.1,0.1); ";
    let rows: Vec<String> = (0..200)
        .map(|_| {
            let float = std::iter::repeat_with(|| f32::from_bits(random.random())).find(|float| float.is_finite());
            let double = std::iter::repeat_with(|| f64::from_bits(random.random())).find(|double| double.is_finite());
            let small = random.random_range(-9999.0..9999.0);
            format!(
                "{:e},{:e},{small},{small},{:e}",
                f64::from(float.unwrap()),
                double.unwrap(),
                f64::from(float.unwrap()).abs()
            )
        })
        .collect();
    sql += &insert("reals", 100, rows);

    let decimals = [(1, 0), (4, 4), (9, 0), (10, 2), (18, 9), (20, 10), (30, 30), (65, 0), (65, 30), (38, 20)];
    let columns: String = decimals.iter().enumerate().fold(String::new(), |mut text, (index, (digits, scale))| {
        write!(text, ", d{index} DECIMAL({digits},{scale}){}", if index % 4 == 3 { " UNSIGNED" } else { "" }).unwrap();
        text
    });
    write!(sql, "CREATE TABLE decimals (id INT PRIMARY KEY{columns}); ").unwrap();
    let mut rows = vec![vec!["0"; decimals.len()].join(","), vec!["NULL"; decimals.len()].join(",")];
    for round in 0..60 {
        let row = decimals.iter().map(|(digits, scale)| {
            let mut digit = || if round == 0 { '9' } else { char::from(b'0' + random.random_range(0..10_u8)) };
            let whole: String = (0..digits - scale).map(|_| digit()).collect();
            let part: String = (0..*scale).map(|_| digit()).collect();
            format!("{}{whole}.{part}", if round % 2 == 0 { "" } else { "-" }).replace("-.", "-0.")
        });
        rows.push(row.collect::<Vec<_>>().join(","));
    }
    sql += &insert(
        "decimals",
        1,
        rows.into_iter().map(|row| {
            row.split(',')
                .map(
                    |cell| {
                        if cell.starts_with('.') { format!("0{cell}") } else { cell.trim_end_matches('.').to_owned() }
                    },
                )
                .collect::<Vec<_>>()
                .join(",")
        }),
    );

    let widths = [1, 7, 8, 9, 15, 16, 17, 31, 33, 48, 57, 63, 64];
    let columns: String = widths.iter().map(|width| format!(", b{width} BIT({width})")).collect();
    write!(sql, "CREATE TABLE bits (id INT PRIMARY KEY{columns}); ").unwrap();
    let mut rows = vec![vec!["0"; widths.len()].join(","), vec!["NULL"; widths.len()].join(",")];
    rows.push(widths.iter().map(|width| (u64::MAX >> (64 - width)).to_string()).collect::<Vec<_>>().join(","));
    for _ in 0..20 {
        rows.push(
            widths
                .iter()
                .map(|width| (random.random::<u64>() >> (64 - width)).to_string())
                .collect::<Vec<_>>()
                .join(","),
        );
    }
    sql + &insert("bits", 1, rows)
}

fn texts(kind: Kind) -> String {
    let members = |count: usize| (1..=count).map(|number| format!("'m{number}'")).collect::<Vec<_>>().join(",");
    let mut random = random();
    let mut sql = format!(
        "CREATE TABLE lists (id INT PRIMARY KEY, a ENUM('x','y','z'), b ENUM({}), c SET({}), d SET({}), e SET('one')); \
         INSERT INTO lists VALUES (1,'x','m1','m1','m1','one'),(2,'z','m300','m64,m1','m9,m1',''),(3,'bad','',0,'',0),\
         (4,NULL,NULL,NULL,NULL,NULL),(5,'Y','m255',18446744073709551615,511,1),(6,'y','m256','','m8','one'); ",
        members(300),
        members(64),
        members(9)
    );
    let rows = (0..20).map(|_| {
        format!(
            "{},{},{},{},1",
            random.random_range(1..4),
            random.random_range(1..301),
            random.random::<u64>(),
            random.random_range(0..512)
        )
    });
    sql += &insert("lists", 100, rows.collect::<Vec<_>>());

    let wide = if kind == Kind::MySql56 { "utf8" } else { "utf8mb4" };
    write!(
        sql,
        "CREATE TABLE texts (id INT PRIMARY KEY, a CHAR(3), b CHAR(255) CHARACTER SET {wide}, c VARCHAR(10), d VARCHAR(300), \
         e VARCHAR(5000), f TINYTEXT, g TEXT, h MEDIUMTEXT, i LONGTEXT, j CHAR(0), k CHAR(255) CHARACTER SET latin1); \
         INSERT INTO texts VALUES (1,'abc',REPEAT('x',255),'','y','','','','','','',REPEAT('ä',255)),\
         (2,'ü€','ß','ten char 10',REPEAT('€',300),REPEAT('z',5000),REPEAT('t',255),REPEAT('u',66000),REPEAT('v',70000),REPEAT('w',80000),'','x'),\
         (3,'  a','a  ','  ','\\'quoted\\'','back\\\\slash','new\\nline','tab\\t','zero\\0','-- /* x */ ; #',NULL,'ä  '),\
         (4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL),\
         (5,'ü€ö',REPEAT('€',255),REPEAT('€',10),REPEAT('ü',256),REPEAT('€',5000),REPEAT('€',85),'ü','ü','ü','','ü'); \
         CREATE TABLE bytes (id INT PRIMARY KEY, a BINARY(1), b BINARY(8), c BINARY(255), d VARBINARY(8), e VARBINARY(300), \
         f TINYBLOB, g BLOB, h MEDIUMBLOB, i LONGBLOB); \
         INSERT INTO bytes VALUES (1,'','','','','','','','',''),(2,x'00',x'6100620000',x'ff',x'0000',REPEAT(x'00ff',150),x'00',x'27',x'5c',x'80'),\
         (3,x'20',x'2020',REPEAT(x'ff',255),x'ffffffffffffffff',x'0a',REPEAT(x'fe',255),REPEAT(x'c328',30000),REPEAT(x'0027',50000),REPEAT(x'5c',70000)),\
         (4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL); "
    )
    .unwrap();
    let rows = (0..20).map(|_| {
        let mut bytes = |most: usize| {
            let count = random.random_range(0..=most);
            (0..count).fold(String::from("x'"), |text, _| text + &format!("{:02x}", random.random::<u8>())) + "'"
        };
        [1, 8, 255, 8, 300, 255, 500, 500, 500].map(&mut bytes).join(",")
    });
    sql + &insert("bytes", 100, rows.collect::<Vec<_>>())
}

/// A table of one character set: samples of many scripts, of which each set takes what it can, and every single byte.
fn charset(name: &str, longest: u32) -> String {
    const SAMPLES: [&str; 14] = [
        "plain ASCII ~",
        "äöüßéñÅØ",
        "Ελληνικά",
        "Кириллица Їґ",
        "עברית",
        "عربى",
        "ไทย",
        "日本語カナｶﾅ漢字",
        "简体中文",
        "繁體中文",
        "한국어",
        "😀𠀀",
        "€‰„“”…",
        "Őűąčşğž",
    ];
    let mut sql = format!(
        "CREATE TABLE cs_{name} (id INT PRIMARY KEY, a CHAR(20), b VARCHAR(60), c TEXT, d ENUM('ä','b'), e SET('ä','b')) \
         CHARACTER SET {name}; "
    );
    sql += &insert(&format!("cs_{name}"), 1, SAMPLES.map(|sample| format!("'{sample}','{sample}','{sample}',1,3")));
    if longest == 1 && name != "binary" {
        let rows = (0..8_u8).map(|row| {
            let bytes: String = (0..32_u8).map(|byte| format!("{:02x}", row * 32 + byte)).collect();
            format!("'',x'{bytes}',x'{bytes}',2,1")
        });
        sql += &insert(&format!("cs_{name}"), 100, rows.collect::<Vec<_>>());
    }
    sql
}

fn temporals() -> String {
    let mut columns = String::from("a DATE");
    for precision in 0..=6 {
        write!(columns, ", t{precision} TIME({precision}), d{precision} DATETIME({precision}), s{precision} TIMESTAMP({precision}) NULL").unwrap();
    }
    let mut sql = format!("CREATE TABLE temporals (id INT PRIMARY KEY, {columns}); ");
    let row = |date: &str, time: &str, moment: &str, stamp: &str| {
        let mut row = format!("'{date}'");
        for _ in 0..=6 {
            write!(row, ",'{time}','{moment}','{stamp}'").unwrap();
        }
        row
    };
    let mut rows = vec![
        row("2024-02-29", "12:34:56.789012", "2024-02-29 23:59:59.123456", "2024-03-31 02:30:00.654321"),
        row("0000-00-00", "00:00:00", "0000-00-00 00:00:00", "0000-00-00 00:00:00"),
        row("9999-12-31", "838:59:59", "9999-12-31 23:59:59.000001", "2038-01-19 03:14:07.000001"),
        row("1000-01-01", "-838:59:59", "0001-01-01 00:00:00.1", "1970-01-01 00:00:01"),
        row("2024-00-10", "-00:00:00.000001", "2024-00-10 01:02:03.5", "2001-09-09 01:46:40.5"),
        row("2024-02-00", "-00:00:01.5", "2024-02-00 00:00:00", "not a time"),
        row("0000-01-01", "900:00:00", "0000-01-01 00:00:00.000009", "2500-01-01"),
        row("2023-02-30", "-12:34:56.999999", "2023-02-30 10:10:10", "2024-10-27 00:30:00"),
        row("bad", "bad", "bad", "1969-12-31 23:59:59"),
        ["NULL"; 22].join(","),
    ];
    let mut random = random();
    for _ in 0..30 {
        let date = format!(
            "{:04}-{:02}-{:02}",
            random.random_range(1..10_000),
            random.random_range(1..13),
            random.random_range(1..29)
        );
        let time = format!(
            "{:02}:{:02}:{:02}.{:06}",
            random.random_range(0..24),
            random.random_range(0..60),
            random.random_range(0..60),
            random.random_range(0..1_000_000)
        );
        let hours = random.random_range(-838..838);
        let stamp = format!(
            "{}-{:02}-{:02} {time}",
            random.random_range(1971..2038),
            random.random_range(1..13),
            random.random_range(1..29)
        );
        rows.push(row(&date, &format!("{hours}{}", &time[2..]), &format!("{date} {time}"), &stamp));
    }
    sql += &insert("temporals", 1, rows);
    sql + "UPDATE temporals SET t6 = '-00:00:00.01', d6 = NULL WHERE id % 5 = 0; DELETE FROM temporals WHERE id % 11 = 0; "
}

fn others(kind: Kind) -> String {
    let geometry = if kind == Kind::MySql56 { "GeomFromText" } else { "ST_GeomFromText" };
    format!(
        "CREATE TABLE years (id INT PRIMARY KEY, a YEAR, b YEAR NOT NULL); \
         INSERT INTO years VALUES (1,1901,2155),(2,0,0),(3,NULL,2024),(4,3000,1900); \
         CREATE TABLE shapes (id INT PRIMARY KEY, a GEOMETRY, b POINT, c LINESTRING, d POLYGON, e MULTIPOINT, f GEOMETRYCOLLECTION); \
         INSERT INTO shapes VALUES (1,{geometry}('POINT(1 -2)'),{geometry}('POINT(0.5 1e300)'),{geometry}('LINESTRING(0 0,1 1)'),\
         {geometry}('POLYGON((0 0,0 5,5 5,0 0))'),{geometry}('MULTIPOINT(1 1,2 2)'),{geometry}('GEOMETRYCOLLECTION(POINT(1 1))')),\
         (2,NULL,NULL,NULL,NULL,NULL,NULL),(3,{geometry}('POINT(3 4)',4326),NULL,NULL,NULL,NULL,NULL); "
    )
}

/// Every event around rows: several tables in a statement, engines without transactions, savepoints, XA, statements.
fn events(kind: Kind, gtid: bool) -> String {
    let annotate = match kind.is_mariadb() {
        true => "SET binlog_annotate_row_events = 1; ",
        false => "SET binlog_rows_query_log_events = 1; ",
    };
    let mut sql = String::from(annotate)
        + "CREATE TABLE one (id INT PRIMARY KEY, v VARCHAR(2000)); CREATE TABLE two (id INT PRIMARY KEY, v VARCHAR(2000)); \
           CREATE TABLE quick (id INT PRIMARY KEY, v VARCHAR(2000)) ENGINE=MyISAM; \
           CREATE TABLE parent (id INT PRIMARY KEY); \
           CREATE TABLE child (id INT PRIMARY KEY, p INT); \
           INSERT INTO one VALUES (1,'a'),(2,'b'),(3,'c'); INSERT INTO two VALUES (1,'x'),(2,'y'),(3,'z'); \
           BEGIN; UPDATE one JOIN two USING (id) SET one.v = CONCAT(one.v, two.v), two.v = 'joined' WHERE id < 3; \
           DELETE one, two FROM one JOIN two USING (id) WHERE id = 3; COMMIT; \
           INSERT INTO quick VALUES (1,'at once'); \
           BEGIN; INSERT INTO one VALUES (13,'stays'); SAVEPOINT `s``1`; INSERT INTO one VALUES (14,'goes'); ROLLBACK TO `s``1`; COMMIT; \
           BEGIN; INSERT INTO one VALUES (21,'goes'); ROLLBACK; \
           XA START 'commit', 'branch', 7; INSERT INTO two VALUES (30,'xa'); XA END 'commit', 'branch', 7; XA PREPARE 'commit', 'branch', 7; XA COMMIT 'commit', 'branch', 7; \
           XA START x'00ff27'; INSERT INTO two VALUES (31,'xa goes'); XA END x'00ff27'; XA PREPARE x'00ff27'; XA ROLLBACK x'00ff27'; \
           XA START 'one'; INSERT INTO two VALUES (32,'one phase'); XA END 'one'; XA COMMIT 'one' ONE PHASE; \
           XA START 'dropped'; INSERT INTO two VALUES (33,'goes'); XA END 'dropped'; XA ROLLBACK 'dropped'; \
           CREATE USER somebody@localhost IDENTIFIED BY 'secret'; GRANT SELECT ON oracle.* TO somebody@localhost; \
           DROP USER somebody@localhost; \
           CREATE TABLE `odd ``name; --` (id INT PRIMARY KEY, `a b` INT); INSERT INTO `odd ``name; --` VALUES (1,2); \
           CREATE TABLE gone (id INT PRIMARY KEY); ALTER TABLE gone ADD v INT FIRST; RENAME TABLE gone TO left_behind; \
           CREATE INDEX i ON left_behind (v); TRUNCATE TABLE left_behind; DROP TABLE left_behind; \
           CREATE VIEW seen AS SELECT id FROM one; DROP VIEW seen; \
           CREATE TRIGGER also AFTER INSERT ON parent FOR EACH ROW INSERT INTO child VALUES (NEW.id, NEW.id); \
           INSERT INTO parent VALUES (1),(2),(3); \
           SET SESSION binlog_format = STATEMENT; \
           CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, v DOUBLE, w TEXT); \
           INSERT INTO counted (v) VALUES (RAND()); SET @name = 'it''s', @number = 5, @double = 1.5e0, @decimal = 1.25, @none = NULL; \
           INSERT INTO counted (v, w) VALUES (@number, CONCAT(@name, @double, @decimal)); \
           INSERT INTO counted (w) VALUES (@none); UPDATE counted SET w = 'line\nbreak /*!*/;' WHERE id = 1; \
           SET SESSION binlog_format = ROW; ";
    if kind == Kind::MySql97 {
        // Older servers do not log what a foreign key does.
        sql += "ALTER TABLE child ADD FOREIGN KEY (p) REFERENCES parent (id) ON DELETE SET NULL; DELETE FROM parent WHERE id = 3; ";
    }
    if kind.is_mariadb() || !gtid {
        sql += "BEGIN; INSERT INTO one VALUES (10,'stays'); SAVEPOINT s; INSERT INTO one VALUES (11,'goes'); \
                INSERT INTO quick VALUES (2,'stays too'); ROLLBACK TO s; INSERT INTO one VALUES (12,'stays'); COMMIT; \
                BEGIN; INSERT INTO one VALUES (20,'goes'); INSERT INTO quick VALUES (3,'stays'); ROLLBACK; \
                BEGIN; UPDATE one JOIN quick USING (id) SET one.v = 'both', quick.v = 'both'; INSERT INTO one VALUES (22,'goes'); ROLLBACK; ";
    }
    if kind != Kind::MySql56 || !gtid {
        sql += "CREATE TABLE copied (PRIMARY KEY (id)) SELECT id, v FROM one; ";
    }
    // More than one event holds: rows of 1000 bytes, and one longer than any event of the others.
    sql += &insert("one", 1000, (0..60).map(|row| format!("REPEAT('{}',1000)", row % 10)));
    sql + "UPDATE one SET v = CONCAT(v, '!') WHERE id >= 1000; DELETE FROM one WHERE id >= 1030; "
}

/// The row images other than FULL.
fn images(kind: Kind) -> String {
    let mut images = vec!["MINIMAL", "NOBLOB"];
    if kind == Kind::MariaDb118 {
        images.push("FULL_NODUP");
    }
    images.push("FULL");
    let mut sql = String::new();
    for image in images {
        let table = format!("image_{}", image.to_lowercase());
        // With other images MariaDB logs a REPLACE as an update that lacks the columns that go back to their defaults:
        // its own replicas come to hold other rows.
        let replace = match kind.is_mariadb() && !image.starts_with("FULL") {
            true => String::new(),
            false => format!("REPLACE INTO {table} (id, d) VALUES (8, 'replaced');"),
        };
        write!(
            sql,
            "SET SESSION binlog_row_image = {image}; \
             CREATE TABLE {table} (id INT PRIMARY KEY, a INT UNSIGNED DEFAULT 7, b VARCHAR(300), c BLOB, d TEXT NOT NULL, e DECIMAL(10,2) DEFAULT 1.5, f BIT(9)); \
             INSERT INTO {table} (id, b, d) VALUES (1,'b','d'),(2,NULL,''),(3,'x','y'); \
             INSERT INTO {table} VALUES (4,4000000000,REPEAT('ü',150),x'00ff','text',-2.25,257),(5,NULL,NULL,NULL,'',NULL,NULL),(6,6,'6','6','6',6,6),(7,7,'7','7','7',7,7),\
             (8,8,'8','8','8',8,8),(9,9,'9','9','9',9,9); \
             UPDATE {table} SET b = 'changed' WHERE id IN (1,2); UPDATE {table} SET c = 'blob' WHERE id = 4; UPDATE {table} SET a = NULL, d = 'all', f = 1; \
             UPDATE {table} SET id = 50 WHERE id = 5; UPDATE {table} SET c = NULL WHERE id = 4; DELETE FROM {table} WHERE id IN (3,6,7); \
             {replace} INSERT INTO {table} (id, d) VALUES (9, 'q') ON DUPLICATE KEY UPDATE b = 'twice'; "
        )
        .unwrap();
    }
    sql
}

/// A table whose log differs from others in nothing that its statements say.
fn plain(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (id INT PRIMARY KEY, v INT UNSIGNED, w TEXT, x VARBINARY(10), y CHAR(5), z BIGINT UNSIGNED); \
         INSERT INTO {table} VALUES (1,4294967295,'ä',x'00ff','ö',18446744073709551615),(2,2,'b',x'61','',2); \
         UPDATE {table} SET v = v - 1; DELETE FROM {table} WHERE id = 2; "
    )
}

/// Compressed transactions, invisible and generated columns, vectors.
const MYSQL_97: &str = "\
    CREATE TABLE hidden (id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 5, b INT GENERATED ALWAYS AS (id + a) STORED, \
        c INT GENERATED ALWAYS AS (id * 2) VIRTUAL, d INT, INDEX (c)); \
    INSERT INTO hidden (id, d) VALUES (1,1),(2,2),(3,3); INSERT INTO hidden (id, a, d) VALUES (4,40,4); \
    UPDATE hidden SET d = d + 1; DELETE FROM hidden WHERE id = 2; \
    CREATE TABLE vectors (id INT PRIMARY KEY, a VECTOR(3), b VECTOR); \
    INSERT INTO vectors VALUES (1,STRING_TO_VECTOR('[1,-2.5,3e30]'),STRING_TO_VECTOR('[0]')),(2,NULL,NULL); \
    SET SESSION binlog_transaction_compression = ON; \
    CREATE TABLE packed (id INT PRIMARY KEY, v TEXT, w DOUBLE); \
    BEGIN; INSERT INTO packed VALUES (1,REPEAT('a',5000),1.5),(2,REPEAT('b',5000),2.5); UPDATE packed SET w = -w; \
    INSERT INTO packed SELECT id + 10, v, w FROM packed; COMMIT; DELETE FROM packed WHERE id = 11; \
    SET SESSION binlog_transaction_compression = OFF; ";

const TAGGED: &str = "SET SESSION gtid_next = 'AUTOMATIC:tagged'; INSERT INTO packed VALUES (100,'tagged',0); \
    SET SESSION gtid_next = 'AUTOMATIC'; ";

/// Documents of every kind of value, and updates of their parts.
fn mysql_json() -> String {
    let documents = [
        "'null'",
        "'true'",
        "'false'",
        "'0'",
        "'-1'",
        "'32768'",
        "'-2147483649'",
        "'9223372036854775807'",
        "'18446744073709551615'",
        "'1.5'",
        "'1e300'",
        "'\"text\"'",
        "'\"\\\\u00fc \\\\\\\\ \\\\n \\\\\"\"'",
        "'[]'",
        "'{}'",
        "'[1,[2,{\"a\":null}],\"x\"]'",
        "'{\"b\":1,\"aa\":2,\"a\":{\"c\":[true,false]}}'",
        "CAST(CAST('2024-02-29' AS DATE) AS JSON)",
        "CAST(CAST('-12:34:56.789' AS TIME(3)) AS JSON)",
        "CAST(CAST('2024-02-29 01:02:03.000004' AS DATETIME(6)) AS JSON)",
        "CAST(CAST('-123.4500' AS DECIMAL(20,4)) AS JSON)",
        "JSON_OBJECT('bytes', x'00ff', 'bit', b'101', 'year', CAST(2024 AS YEAR))",
        "JSON_ARRAY(REPEAT('long ', 20000), 1)",
        "JSON_OBJECT(REPEAT('k', 300), JSON_ARRAY(1.0, -0.0, 0.1e0, 1e16, 123456789012345680000e0))",
        "NULL",
        "CAST(ST_GeomFromText('POINT(1 2)') AS JSON)",
    ];
    let mut sql = String::from("CREATE TABLE documents (id INT PRIMARY KEY, doc JSON); ");
    sql += &insert("documents", 1, documents.map(str::to_owned));
    sql += "UPDATE documents SET doc = JSON_SET(doc, '$.b', 'other') WHERE JSON_TYPE(doc) = 'OBJECT'; \
            SET SESSION binlog_row_value_options = PARTIAL_JSON; \
            CREATE TABLE partial (id INT PRIMARY KEY, doc JSON, other JSON, note TEXT); ";
    for image in ["FULL", "MINIMAL"] {
        let first = if image == "FULL" { 0 } else { 100 };
        write!(
            sql,
            "SET SESSION binlog_row_image = {image}; \
             INSERT INTO partial VALUES ({0},JSON_OBJECT('a',1,'b',JSON_ARRAY(1,2,3),'pad',REPEAT('p',300)),'[1]','n'),({1},JSON_OBJECT('a',2,'pad',REPEAT('q',300)),NULL,NULL); \
             UPDATE partial SET doc = JSON_REPLACE(doc, '$.a', 10) WHERE id = {0}; UPDATE partial SET doc = JSON_SET(doc, '$.b[5]', 'new', '$.c', 1) WHERE id >= {0}; \
             UPDATE partial SET doc = JSON_REMOVE(doc, '$.b[0]'), note = 'removed' WHERE id = {0}; \
             UPDATE partial SET doc = JSON_REPLACE(doc, '$.pad', 'short'), other = JSON_SET(other, '$[0]', 2) WHERE id >= {0}; UPDATE partial SET note = 'no document' WHERE id = {1}; ",
            first + 1,
            first + 2
        )
        .unwrap();
    }
    sql
}

/// What only MariaDB has.
fn mariadb(kind: Kind) -> String {
    let mut sql = String::from(
        "CREATE TABLE packed_columns (id INT PRIMARY KEY, a VARCHAR(300) COMPRESSED, b TEXT COMPRESSED, c BLOB COMPRESSED, \
            d VARBINARY(1000) COMPRESSED, e MEDIUMTEXT COMPRESSED CHARACTER SET latin1); \
         INSERT INTO packed_columns VALUES (1,REPEAT('a',300),REPEAT('ü',3000),REPEAT(x'00ff',3000),REPEAT(x'27',1000),REPEAT('ä',70000)),\
            (2,'short','','','','ä'),(3,NULL,NULL,NULL,NULL,NULL); UPDATE packed_columns SET a = CONCAT('b', REPEAT('c', 200)) WHERE id = 2; \
         CREATE TABLE inet6s (id INT PRIMARY KEY, a INET6); INSERT INTO inet6s VALUES (1,'::'),(2,'2001:db8::ff00:42:8329'),(3,NULL),(4,'::ffff:192.0.2.1'); \
         CREATE TABLE hidden (id INT PRIMARY KEY, a INT INVISIBLE DEFAULT 5, b INT GENERATED ALWAYS AS (id + a) STORED, \
            c INT GENERATED ALWAYS AS (id * 2) VIRTUAL, d INT, INDEX (c)); \
         INSERT INTO hidden (id, d) VALUES (1,1),(2,2),(3,3); INSERT INTO hidden (id, a, d) VALUES (4,40,4); \
         UPDATE hidden SET d = d + 1; DELETE FROM hidden WHERE id = 2; \
         CREATE TABLE mjson (id INT PRIMARY KEY, doc JSON); INSERT INTO mjson VALUES (1,'{\"a\": [1, 2]}'),(2,NULL); \
         CREATE SEQUENCE counter; INSERT INTO mjson SELECT NEXT VALUE FOR counter + 10, '[]'; ",
    );
    if kind != Kind::MariaDb105 {
        sql += "CREATE TABLE identifiers (id INT PRIMARY KEY, a UUID, b INET4); \
                INSERT INTO identifiers VALUES (1,'123e4567-e89b-12d3-a456-426655440000','192.0.2.1'),(2,NULL,NULL),\
                (3,'00000000-0000-0000-0000-000000000000','0.0.0.0'),(4,'ffffffff-ffff-ffff-ffff-ffffffffffff','255.255.255.255'),(5,'01890c8e-7f3e-7cc1-98c4-dc0c0c07398f','1.2.3.4'); ";
    }
    if kind == Kind::MariaDb118 {
        sql += "CREATE TABLE vectors (id INT PRIMARY KEY, a VECTOR(3) NOT NULL, b VECTOR(1)); \
                INSERT INTO vectors VALUES (1,VEC_FromText('[1,-2.5,3e30]'),VEC_FromText('[0]')),(2,x'0000803f000020c0cdcccc3d',NULL); \
                CREATE TABLE late (id INT PRIMARY KEY, a TIMESTAMP NULL, b TIMESTAMP(6) NULL); \
                INSERT INTO late VALUES (1,'2106-02-07 06:28:15','2106-02-07 06:28:15.999999'),(2,'2038-01-19 03:14:08','2050-06-07 08:09:10.5'); ";
    }
    if kind != Kind::MariaDb105 {
        sql += "CREATE TABLE altered (id INT PRIMARY KEY); SET SESSION binlog_alter_two_phase = 1; \
                ALTER TABLE altered ADD v INT; SET SESSION binlog_alter_two_phase = 0; INSERT INTO altered VALUES (1,1); ";
    }
    sql + "SET GLOBAL log_bin_compress = ON; SET GLOBAL log_bin_compress_min_len = 10; \
           CREATE TABLE packed (id INT PRIMARY KEY, v TEXT, w DOUBLE); \
           BEGIN; INSERT INTO packed VALUES (1,REPEAT('a',5000),1.5),(2,REPEAT('b',5000),2.5); UPDATE packed SET w = -w; \
           INSERT INTO packed SELECT id + 10, v, w FROM packed; COMMIT; DELETE FROM packed WHERE id = 11; \
           CREATE TABLE a_long_statement_is_compressed_too (id INT PRIMARY KEY); SET GLOBAL log_bin_compress = OFF; "
}

/// The temporal formats before MySQL 5.6, in which MariaDB has fractions too.
///
/// The tool fails at these, so they have a file of their own, the last but one of the rows' files.
const OLD_TEMPORALS: [&str; 6] = [
    "SET GLOBAL mysql56_temporal_format = OFF",
    "CREATE TABLE old_plain (id INT PRIMARY KEY, a TIME, b DATETIME, c TIMESTAMP NULL); \
     INSERT INTO old_plain VALUES (1,'-838:59:59','2024-02-29 23:59:59','2024-03-31 02:30:00'),(2,'00:00:00','0000-00-00','0000-00-00'),(3,NULL,NULL,NULL)",
    "FLUSH LOGS",
    "CREATE TABLE old_temporals (id INT PRIMARY KEY, a DATE, b TIME, c TIME(1), d TIME(3), e TIME(6), f DATETIME, g DATETIME(1), h DATETIME(4), \
        i DATETIME(6), j TIMESTAMP NULL, k TIMESTAMP(2) NULL, l TIMESTAMP(5) NULL, m TIMESTAMP(6) NULL); \
     INSERT INTO old_temporals VALUES (1,'2024-02-29','12:34:56','12:34:56.7','12:34:56.789','12:34:56.789012','2024-02-29 23:59:59','2024-02-29 23:59:59.1','2024-02-29 23:59:59.1234',\
        '2024-02-29 23:59:59.123456','2024-03-31 02:30:00','2024-03-31 02:30:00.65','2024-03-31 02:30:00.65432','2024-03-31 02:30:00.654321'),\
     (2,'0000-00-00','-838:59:59','-838:59:59','-00:00:00.001','-00:00:00.000001','0000-00-00','0000-00-00','0000-00-00','0000-00-00','0000-00-00','0000-00-00','0000-00-00','0000-00-00'),\
     (3,'9999-12-31','838:59:59','838:59:59','838:59:59','838:59:59','9999-12-31 23:59:59','9999-12-31 23:59:59.9','9999-12-31 23:59:59.9999','9999-12-31 23:59:59.999999',\
        '2038-01-19 03:14:07','2038-01-19 03:14:07.9','2038-01-19 03:14:07.99999','2038-01-19 03:14:07.999999'),\
     (4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL); \
     UPDATE old_temporals SET e = '-01:02:03.000004' WHERE id = 1; DELETE FROM old_temporals WHERE id = 4",
    "SET GLOBAL mysql56_temporal_format = ON",
    "FLUSH LOGS",
];

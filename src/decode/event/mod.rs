//! One file an event, or a family of them. Names are the manual's.

pub(super) mod format_description;
pub(super) mod gtid;
pub(super) mod heartbeat;
pub(super) mod mariadb_gtid;
pub(super) mod payload;
pub(super) mod query;
pub(super) mod rotate;
pub(super) mod rows;
pub(super) mod table_map;

/// The numbers of the events (MySQL source, `libs/mysql/binlog/event/binlog_event.h`, `Log_event_type`; from 160 on
/// MariaDB source, `sql/log_event.h`).
pub(super) mod kind {
    pub(in crate::decode) const START_V3: u8 = 1;
    pub(in crate::decode) const QUERY: u8 = 2;
    pub(in crate::decode) const STOP: u8 = 3;
    pub(in crate::decode) const ROTATE: u8 = 4;
    pub(in crate::decode) const INTVAR: u8 = 5;
    pub(in crate::decode) const RAND: u8 = 13;
    pub(in crate::decode) const USER_VAR: u8 = 14;
    pub(in crate::decode) const FORMAT_DESCRIPTION: u8 = 15;
    pub(in crate::decode) const XID: u8 = 16;
    pub(in crate::decode) const TABLE_MAP: u8 = 19;
    pub(in crate::decode) const WRITE_ROWS_V1: u8 = 23;
    pub(in crate::decode) const UPDATE_ROWS_V1: u8 = 24;
    pub(in crate::decode) const DELETE_ROWS_V1: u8 = 25;
    pub(in crate::decode) const INCIDENT: u8 = 26;
    pub(in crate::decode) const HEARTBEAT: u8 = 27;
    pub(in crate::decode) const IGNORABLE: u8 = 28;
    pub(in crate::decode) const ROWS_QUERY: u8 = 29;
    pub(in crate::decode) const WRITE_ROWS: u8 = 30;
    pub(in crate::decode) const UPDATE_ROWS: u8 = 31;
    pub(in crate::decode) const DELETE_ROWS: u8 = 32;
    pub(in crate::decode) const GTID: u8 = 33;
    pub(in crate::decode) const ANONYMOUS_GTID: u8 = 34;
    pub(in crate::decode) const PREVIOUS_GTIDS: u8 = 35;
    pub(in crate::decode) const TRANSACTION_CONTEXT: u8 = 36;
    pub(in crate::decode) const VIEW_CHANGE: u8 = 37;
    pub(in crate::decode) const XA_PREPARE: u8 = 38;
    pub(in crate::decode) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(in crate::decode) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(in crate::decode) const HEARTBEAT_V2: u8 = 41;
    pub(in crate::decode) const GTID_TAGGED: u8 = 42;
    pub(in crate::decode) const ANNOTATE_ROWS: u8 = 160;
    pub(in crate::decode) const BINLOG_CHECKPOINT: u8 = 161;
    pub(in crate::decode) const MARIADB_GTID: u8 = 162;
    pub(in crate::decode) const MARIADB_GTID_LIST: u8 = 163;
    pub(in crate::decode) const START_ENCRYPTION: u8 = 164;
    pub(in crate::decode) const QUERY_COMPRESSED: u8 = 165;
    pub(in crate::decode) const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub(in crate::decode) const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub(in crate::decode) const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub(in crate::decode) const WRITE_ROWS_COMPRESSED: u8 = 169;
    pub(in crate::decode) const UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub(in crate::decode) const DELETE_ROWS_COMPRESSED: u8 = 171;
    pub(in crate::decode) const PARTIAL_ROW_DATA: u8 = 172;
}

/// An event's name as the manuals have it.
pub(super) fn name(number: u8) -> &'static str {
    match number {
        kind::START_V3 => "START_V3",
        kind::QUERY => "QUERY",
        kind::STOP => "STOP",
        kind::ROTATE => "ROTATE",
        kind::INTVAR => "INTVAR",
        6 => "LOAD",
        7 => "SLAVE",
        8 => "CREATE_FILE",
        9 => "APPEND_BLOCK",
        10 => "EXEC_LOAD",
        11 => "DELETE_FILE",
        12 => "NEW_LOAD",
        kind::RAND => "RAND",
        kind::USER_VAR => "USER_VAR",
        kind::FORMAT_DESCRIPTION => "FORMAT_DESCRIPTION",
        kind::XID => "XID",
        17 => "BEGIN_LOAD_QUERY",
        18 => "EXECUTE_LOAD_QUERY",
        kind::TABLE_MAP => "TABLE_MAP",
        20 => "PRE_GA_WRITE_ROWS",
        21 => "PRE_GA_UPDATE_ROWS",
        22 => "PRE_GA_DELETE_ROWS",
        kind::WRITE_ROWS_V1 => "WRITE_ROWS_V1",
        kind::UPDATE_ROWS_V1 => "UPDATE_ROWS_V1",
        kind::DELETE_ROWS_V1 => "DELETE_ROWS_V1",
        kind::INCIDENT => "INCIDENT",
        kind::HEARTBEAT => "HEARTBEAT",
        kind::IGNORABLE => "IGNORABLE",
        kind::ROWS_QUERY => "ROWS_QUERY",
        kind::WRITE_ROWS => "WRITE_ROWS",
        kind::UPDATE_ROWS => "UPDATE_ROWS",
        kind::DELETE_ROWS => "DELETE_ROWS",
        kind::GTID => "GTID",
        kind::ANONYMOUS_GTID => "ANONYMOUS_GTID",
        kind::PREVIOUS_GTIDS => "PREVIOUS_GTIDS",
        kind::TRANSACTION_CONTEXT => "TRANSACTION_CONTEXT",
        kind::VIEW_CHANGE => "VIEW_CHANGE",
        kind::XA_PREPARE => "XA_PREPARE",
        kind::PARTIAL_UPDATE_ROWS => "PARTIAL_UPDATE_ROWS",
        kind::TRANSACTION_PAYLOAD => "TRANSACTION_PAYLOAD",
        kind::HEARTBEAT_V2 => "HEARTBEAT_V2",
        kind::GTID_TAGGED => "GTID_TAGGED_LOG",
        kind::ANNOTATE_ROWS => "ANNOTATE_ROWS",
        kind::BINLOG_CHECKPOINT => "BINLOG_CHECKPOINT",
        kind::MARIADB_GTID => "GTID",
        kind::MARIADB_GTID_LIST => "GTID_LIST",
        kind::START_ENCRYPTION => "START_ENCRYPTION",
        kind::QUERY_COMPRESSED => "QUERY_COMPRESSED",
        kind::WRITE_ROWS_COMPRESSED_V1 => "WRITE_ROWS_COMPRESSED_V1",
        kind::UPDATE_ROWS_COMPRESSED_V1 => "UPDATE_ROWS_COMPRESSED_V1",
        kind::DELETE_ROWS_COMPRESSED_V1 => "DELETE_ROWS_COMPRESSED_V1",
        kind::WRITE_ROWS_COMPRESSED => "WRITE_ROWS_COMPRESSED",
        kind::UPDATE_ROWS_COMPRESSED => "UPDATE_ROWS_COMPRESSED",
        kind::DELETE_ROWS_COMPRESSED => "DELETE_ROWS_COMPRESSED",
        kind::PARTIAL_ROW_DATA => "PARTIAL_ROW_DATA",
        _ => "unknown",
    }
}

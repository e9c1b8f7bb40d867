use std::fmt;

use bytes::Bytes;

/// One column's value, as the log carries it. Strings and blobs are views of the event's buffer.
///
/// `Debug` shows the kind and never the content: row values stay out of logs.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL.
    Null,
    /// An integer column that is signed, or whose signedness the log does not say (MySQL before 8.0.1, MariaDB before
    /// 10.5): sign-extended from the column's width.
    Int(i64),
    /// An integer column that the log says is unsigned.
    UInt(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL as the server prints it: all its digits, the full scale, a leading `0` where there is no integer part.
    Decimal(String),
    /// CHAR, VARCHAR, TEXT, BINARY, VARBINARY, BLOB, GEOMETRY, VECTOR, UUID, INET: the bytes in the column's own
    /// character set. A fixed BINARY column comes without its trailing zero bytes.
    Bytes(Bytes),
    /// BIT(n), right-aligned.
    Bit(u64),
    /// ENUM: the index from 1; 0 is the empty error value.
    Enum(u16),
    /// SET: bit 0 is the first member.
    Set(u64),
    /// YEAR: 0 or 1901 to 2155.
    Year(u16),
    /// DATE; any part may be zero.
    Date(TemporalParts),
    /// TIME: `hour` may reach 838.
    Time(TemporalParts),
    /// DATETIME.
    DateTime(TemporalParts),
    /// TIMESTAMP: seconds since 1970 in UTC and microseconds; zero seconds is the zero date.
    Timestamp {
        /// Seconds since 1970-01-01 00:00:00 UTC.
        seconds: u64,
        /// 0 to 999,999.
        micros: u32,
        /// Digits of the fraction, 0 to 6.
        fraction: u8,
    },
    /// A JSON document (MySQL; MariaDB's JSON is text).
    Json(Box<Json>),
}

/// The parts of DATE, TIME and DATETIME. Any of them may be zero or, on lenient servers, out of range.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the parts of SQL's temporal types are fixed")]
pub struct TemporalParts {
    /// TIME only.
    pub is_negative: bool,
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 12.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
    /// 0 to 23; for TIME to 838.
    pub hour: u16,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999.
    pub micros: u32,
    /// Digits of the fraction that the column has, 0 to 6.
    pub fraction: u8,
}

/// A JSON document as MySQL stores it, with the types that JSON text does not have.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Json {
    /// JSON null.
    Null,
    /// true or false.
    Bool(bool),
    /// Any number that JSON text can carry.
    Number(JsonNumber),
    /// A string.
    String(String),
    /// DECIMAL inside the document.
    Decimal(String),
    /// DATE inside the document.
    Date(TemporalParts),
    /// TIME inside the document.
    Time(TemporalParts),
    /// DATETIME inside the document.
    DateTime(TemporalParts),
    /// TIMESTAMP inside the document.
    Timestamp(TemporalParts),
    /// Any other column type inside the document: the type's number and its bytes.
    Opaque(u8, Bytes),
    /// An array.
    Array(Vec<Json>),
    /// An object; members in the order in which the server stores them.
    Object(Vec<(String, Json)>),
}

/// A JSON number with the type that the server stores.
#[derive(Clone, Copy, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "MySQL's JSON has exactly these")]
pub enum JsonNumber {
    /// Signed integer.
    Int(i64),
    /// Unsigned integer.
    UInt(u64),
    /// Double.
    Double(f64),
}

impl TemporalParts {
    fn fmt_date(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn fmt_time(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        write!(f, "{sign}{:02}:{:02}:{:02}", self.hour, self.minute, self.second)?;
        fmt_fraction(self.micros, self.fraction, f)
    }

    /// `YYYY-MM-DD`.
    pub fn date(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| self.fmt_date(f))
    }

    /// `[-]hh:mm:ss[.ffffff]`.
    pub fn time(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| self.fmt_time(f))
    }

    /// `YYYY-MM-DD hh:mm:ss[.ffffff]`.
    pub fn date_time(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            self.fmt_date(f)?;
            f.write_str(" ")?;
            self.fmt_time(f)
        })
    }

    /// The civil date and time of `seconds` since 1970 in UTC (the proleptic Gregorian calendar; algorithm of
    /// H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    pub fn from_unix(seconds: u64, micros: u32, fraction: u8) -> TemporalParts {
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        TemporalParts {
            is_negative: false,
            year: u16::try_from(year).unwrap_or(u16::MAX),
            month: month as u8,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8,
            hour: (rest / 3_600) as u16,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            micros,
            fraction,
        }
    }
}

fn fmt_fraction(micros: u32, fraction: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = usize::from(fraction.min(6));
    if digits == 0 {
        return Ok(());
    }
    let text = format!("{micros:06}");
    write!(f, ".{}", text.get(..digits).unwrap_or(&text))
}

impl Value {
    /// The temporal types' text as the command line's contract has it (TIMESTAMP in UTC); `None` for other values.
    pub fn temporal_text(&self) -> Option<String> {
        Some(match self {
            Value::Date(parts) => parts.date().to_string(),
            Value::Time(parts) => parts.time().to_string(),
            Value::DateTime(parts) => parts.date_time().to_string(),
            Value::Timestamp { seconds: 0, micros: 0, fraction } => {
                TemporalParts { fraction: *fraction, ..TemporalParts::default() }.date_time().to_string()
            }
            Value::Timestamp { seconds, micros, fraction } => {
                TemporalParts::from_unix(*seconds, *micros, *fraction).date_time().to_string()
            }
            _ => return None,
        })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Value::Null => "Null",
            Value::Int(_) => "Int",
            Value::UInt(_) => "UInt",
            Value::Float(_) => "Float",
            Value::Double(_) => "Double",
            Value::Decimal(_) => "Decimal",
            Value::Bytes(_) => "Bytes",
            Value::Bit(_) => "Bit",
            Value::Enum(_) => "Enum",
            Value::Set(_) => "Set",
            Value::Year(_) => "Year",
            Value::Date(_) => "Date",
            Value::Time(_) => "Time",
            Value::DateTime(_) => "DateTime",
            Value::Timestamp { .. } => "Timestamp",
            Value::Json(_) => "Json",
        })
    }
}

impl fmt::Debug for TemporalParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TemporalParts")
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

impl fmt::Debug for JsonNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonNumber")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporal_text_is_the_servers() {
        let text = |value: Value| value.temporal_text().unwrap();
        assert_eq!(text(Value::Timestamp { seconds: 0, micros: 0, fraction: 2 }), "0000-00-00 00:00:00.00");
        assert_eq!(
            text(Value::Timestamp { seconds: 1_709_208_245, micros: 120_000, fraction: 3 }),
            "2024-02-29 12:04:05.120"
        );
        assert_eq!(text(Value::Timestamp { seconds: 4_294_967_295, micros: 0, fraction: 0 }), "2106-02-07 06:28:15");
        let parts = TemporalParts { is_negative: true, hour: 838, minute: 1, second: 2, ..TemporalParts::default() };
        assert_eq!(text(Value::Time(parts)), "-838:01:02");
        assert_eq!(format!("{:?}", Value::Decimal("12.50".into())), "Decimal");
    }
}

//! What a field holds. One value has one byte string, so that commitments and record ids can be
//! recomputed by anybody; there are no floating point numbers anywhere.
//!
//! The canonical CBOR: a text, an integer and a boolean stand for themselves; everything else is an
//! array that begins with a small integer:
//!
//! ```text
//! decimal   [2, units, scale]      date      [4, days since 1970-01-01]
//! datetime  [5, minutes]           interval  [6, start minutes, end minutes]
//! set       [7, [item, ...]]       items strictly increasing by their canonical bytes
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil;
use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::limits::{SCALE_MAX, SET_ITEMS_MAX, TEXT_SIZE_MAX};

/// Holds the value of one field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Text; codes and references to people, units and other records are text too.
    Text(String),
    /// A whole number; durations are minutes.
    Int(i64),
    /// The number `units / 10^scale`, with the scale its field declares.
    Decimal {
        /// The digits as one whole number.
        units: i64,
        /// Digits after the point, at most [`SCALE_MAX`].
        scale: u8,
    },
    /// Yes or no.
    Bool(bool),
    /// A day.
    Date(Date),
    /// A minute of a day.
    DateTime(Minute),
    /// A stretch of time; the end is not before the start.
    Interval {
        /// First minute.
        start: Minute,
        /// The minute after the last.
        end: Minute,
    },
    /// Several values, each once, at most [`SET_ITEMS_MAX`].
    Set(BTreeSet<Self>),
}

impl Value {
    /// Returns the canonical CBOR of the value.
    pub fn to_bytes(&self) -> Vec<u8> {
        keys::cbor::to_vec(self)
    }

    /// Reads a value from its canonical CBOR; anything else, trailing bytes too, is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, keys::DecodeError> {
        keys::cbor::from_slice(bytes)
    }

    /// Returns the text of a text value.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Values are ordered by their canonical bytes, so that a list of conflicting values has one order in
/// every implementation.
impl Ord for Value {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.to_bytes().cmp(&other.to_bytes())
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Int(number) => number.fmt(f),
            Self::Decimal { units, scale } => {
                let digits = format!(
                    "{:0width$}",
                    units.unsigned_abs(),
                    width = usize::from(*scale) + 1
                );
                let (whole, part) = digits.split_at(digits.len() - usize::from(*scale));
                let sign = if *units < 0 { "-" } else { "" };
                let point = if part.is_empty() { "" } else { "." };
                f.pad(&format!("{sign}{whole}{point}{part}"))
            }
            Self::Bool(yes) => yes.fmt(f),
            Self::Date(date) => date.fmt(f),
            Self::DateTime(minute) => minute.fmt(f),
            Self::Interval { start, end } => f.pad(&format!("{start}/{end}")),
            Self::Set(items) => {
                let items: Vec<_> = items.iter().map(Self::to_string).collect();
                f.pad(&items.join(";"))
            }
        }
    }
}

impl<C> Encode<C> for Value {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Text(text) => e.str(text)?.ok(),
            Self::Int(number) => e.i64(*number)?.ok(),
            Self::Bool(yes) => e.bool(*yes)?.ok(),
            Self::Decimal { units, scale } => {
                e.array(3)?.u8(DECIMAL)?.i64(*units)?.u8(*scale)?.ok()
            }
            Self::Date(date) => e.array(2)?.u8(DATE)?.i32(date.0)?.ok(),
            Self::DateTime(minute) => e.array(2)?.u8(DATE_TIME)?.i64(minute.0)?.ok(),
            Self::Interval { start, end } => {
                e.array(3)?.u8(INTERVAL)?.i64(start.0)?.i64(end.0)?.ok()
            }
            Self::Set(items) => {
                e.array(2)?.u8(SET)?.array(items.len() as u64)?;
                for item in items {
                    item.encode(e, ctx)?;
                }
                Ok(())
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Value {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        decode_value(d, true)
    }
}

/// A day of the Gregorian calendar between 1900 and 2999, shown as `2026-09-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

impl Date {
    /// Makes a day of the calendar; `None` if there is no such day or it is out of range.
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        let date = civil::Date::new(year, month, day).ok()?;
        let days = date.duration_since(epoch().date()).as_hours() / 24;
        Self::from_days(i32::try_from(days).ok()?)
    }

    /// Makes a day from the number of days since 1970-01-01.
    pub fn from_days(days: i32) -> Option<Self> {
        DAYS.contains(&days).then_some(Self(days))
    }

    /// Returns the number of days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    fn civil(self) -> civil::Date {
        epoch()
            .date()
            .checked_add(jiff::SignedDuration::from_hours(i64::from(self.0) * 24))
            .expect("the range of a date lies within the calendar's")
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.civil();
        f.pad(&format!(
            "{:04}-{:02}-{:02}",
            date.year(),
            date.month(),
            date.day()
        ))
    }
}

impl FromStr for Date {
    type Err = NotATime;

    /// Reads `2026-09-01`, and what spreadsheets make of it: `2026/9/1`, `2026.9.1`, `20260901` and
    /// year, month, day followed by their Chinese characters.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let text = text.trim();
        if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
            return date_of(&text[..4], &text[4..6], &text[6..]);
        }
        let text = text.strip_suffix(DAY_CHARACTER).unwrap_or(text);
        let mut parts = text.split(['-', '/', '.', YEAR_CHARACTER, MONTH_CHARACTER]);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(year), Some(month), Some(day), None) => date_of(year, month, day),
            _ => Err(NotATime),
        }
    }
}

/// A minute of the unit's own civil time, without a zone, shown as `2026-09-01T14:30`. A school
/// writes down what its wall clock showed; the hour that decides anything is the signed time of an
/// entry, not this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(i64);

impl Minute {
    /// Makes a minute of a day; `None` unless the hour is below 24 and the minute below 60.
    pub fn new(date: Date, hour: u8, minute: u8) -> Option<Self> {
        (hour < 24 && minute < 60)
            .then(|| Self(i64::from(date.0) * 1_440 + i64::from(hour) * 60 + i64::from(minute)))
    }

    /// Makes a minute from the number of minutes since 1970-01-01T00:00.
    pub fn from_minutes(minutes: i64) -> Option<Self> {
        let days = i32::try_from(minutes.div_euclid(1_440)).ok()?;
        Date::from_days(days).map(|_| Self(minutes))
    }

    /// Returns the number of minutes since 1970-01-01T00:00.
    pub fn minutes(self) -> i64 {
        self.0
    }

    /// Returns the day.
    pub fn date(self) -> Date {
        let days = self.0.div_euclid(1_440);
        Date(i32::try_from(days).expect("the range of a minute is that of a date"))
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minute = self.0.rem_euclid(1_440);
        f.pad(&format!(
            "{}T{:02}:{:02}",
            self.date(),
            minute / 60,
            minute % 60
        ))
    }
}

impl FromStr for Minute {
    type Err = NotATime;

    /// Reads a date, then `T` or blanks, then `14:30`; seconds are accepted when they are zero, and a
    /// date alone is its first minute.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let text = text.trim();
        let Some((date, time)) = text.split_once(['T', ' ']) else {
            return Self::new(text.parse()?, 0, 0).ok_or(NotATime);
        };
        let mut parts = time.trim().split(':');
        let (Some(hour), Some(minute)) = (parts.next(), parts.next()) else {
            return Err(NotATime);
        };
        let whole_minute = match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some(seconds), None) => seconds == "00" || seconds == "0",
            (Some(_), Some(_)) => false,
        };
        if !whole_minute {
            return Err(NotATime);
        }
        Self::new(date.parse()?, number(hour)?, number(minute)?).ok_or(NotATime)
    }
}

/// The text is not a day or a minute between 1900 and 2999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a date or time")]
pub struct NotATime;

fn date_of(year: &str, month: &str, day: &str) -> Result<Date, NotATime> {
    if year.len() != 4 {
        return Err(NotATime);
    }
    Date::new(number(year)?, number(month)?, number(day)?).ok_or(NotATime)
}

fn number<T: FromStr>(text: &str) -> Result<T, NotATime> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotATime);
    }
    text.parse().map_err(|_| NotATime)
}

fn epoch() -> civil::DateTime {
    civil::date(1970, 1, 1).at(0, 0, 0, 0)
}

fn decode_value(d: &mut Decoder<'_>, sets: bool) -> Result<Value, decode::Error> {
    let refused = decode::Error::message;
    match d.datatype()? {
        Type::String => {
            let text = d.str()?;
            if text.len() > TEXT_SIZE_MAX {
                return Err(refused("text too long"));
            }
            return Ok(Value::Text(text.to_owned()));
        }
        Type::Bool => return Ok(Value::Bool(d.bool()?)),
        Type::Array => {}
        _ => return Ok(Value::Int(d.i64()?)),
    }
    let minute = |minutes| Minute::from_minutes(minutes).ok_or(refused("minute out of range"));
    match (d.array()?, d.u8()?) {
        (Some(3), DECIMAL) => {
            let (units, scale) = (d.i64()?, d.u8()?);
            if scale > SCALE_MAX {
                return Err(refused("too many decimal places"));
            }
            Ok(Value::Decimal { units, scale })
        }
        (Some(2), DATE) => Date::from_days(d.i32()?)
            .map(Value::Date)
            .ok_or(refused("date out of range")),
        (Some(2), DATE_TIME) => Ok(Value::DateTime(minute(d.i64()?)?)),
        (Some(3), INTERVAL) => {
            let (start, end) = (minute(d.i64()?)?, minute(d.i64()?)?);
            if end < start {
                return Err(refused("an interval ends before it starts"));
            }
            Ok(Value::Interval { start, end })
        }
        (Some(2), SET) if sets => {
            let count = d.array()?.ok_or(refused("indefinite length"))?;
            if count > SET_ITEMS_MAX as u64 {
                return Err(refused("too many items"));
            }
            let mut items = BTreeSet::new();
            for _ in 0..count {
                let item = decode_value(d, false)?;
                if items.last().is_some_and(|last| *last >= item) {
                    return Err(refused("items of a set out of order"));
                }
                items.insert(item);
            }
            Ok(Value::Set(items))
        }
        _ => Err(refused("no such kind of value")),
    }
}

const DECIMAL: u8 = 2;
const DATE: u8 = 4;
const DATE_TIME: u8 = 5;
const INTERVAL: u8 = 6;
const SET: u8 = 7;

/// 1900-01-01 to 2999-12-31.
const DAYS: std::ops::Range<i32> = -25_567..376_200;

const YEAR_CHARACTER: char = '\u{5e74}';
const MONTH_CHARACTER: char = '\u{6708}';
const DAY_CHARACTER: char = '\u{65e5}';

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(text: &str) -> Minute {
        text.parse().unwrap()
    }

    #[test]
    fn every_kind_of_value_comes_back_from_its_bytes() {
        let set = ["b", "a", "cc"]
            .map(|t| Value::Text(t.into()))
            .into_iter()
            .collect();
        for value in [
            Value::Text("\u{5fd7}\u{613f}".into()),
            Value::Int(-7),
            Value::Decimal {
                units: 15,
                scale: 1,
            },
            Value::Bool(true),
            Value::Date("2026-09-01".parse().unwrap()),
            Value::DateTime(minute("2026-09-01 14:30")),
            Value::Interval {
                start: minute("2026-09-01"),
                end: minute("2026-09-02"),
            },
            Value::Set(set),
        ] {
            assert_eq!(Value::from_bytes(&value.to_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn a_value_has_one_byte_string() {
        for refused in [
            &b"\x18\x07"[..],                        // 7 in two bytes
            b"\x82\x07\x82\x61b\x61a",               // a set out of order
            b"\x82\x07\x82\x61a\x61a",               // an item twice
            b"\x82\x07\x81\x82\x07\x80",             // a set in a set
            b"\x83\x06\x02\x01",                     // an interval that ends before it starts
            b"\x83\x02\x01\x0a",                     // ten decimal places
            b"\x01\x01",                             // something after it
            b"\xfb\x40\x00\x00\x00\x00\x00\x00\x00", // a float
            b"\x82\x04\x1a\x00\x05\xbd\x88",         // the day after 2999-12-31
        ] {
            assert!(Value::from_bytes(refused).is_err(), "{refused:x?}");
        }
    }

    #[test]
    fn dates_are_read_as_spreadsheets_write_them_and_shown_in_one_way() {
        let chinese = "2026\u{5e74}9\u{6708}1\u{65e5}";
        for text in [
            "2026-09-01",
            "2026-9-1",
            "2026/9/1",
            "2026.09.01",
            "20260901",
            chinese,
        ] {
            assert_eq!(
                text.parse::<Date>().unwrap().to_string(),
                "2026-09-01",
                "{text}"
            );
        }
        for text in [
            "2026-13-01",
            "2026-02-30",
            "26-1-1",
            "1899-12-31",
            "3000-01-01",
            "",
            "1/9/2026",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert_eq!("1900-01-01".parse::<Date>().unwrap().days(), DAYS.start);
        assert_eq!("2999-12-31".parse::<Date>().unwrap().days(), DAYS.end - 1);
    }

    #[test]
    fn minutes_accept_seconds_only_when_nothing_is_lost() {
        for text in [
            "2026-09-01T14:30",
            "2026/9/1 14:30:00",
            " 2026-09-01  14:30 ",
        ] {
            assert_eq!(minute(text).to_string(), "2026-09-01T14:30", "{text}");
        }
        for text in [
            "2026-09-01 24:00",
            "2026-09-01 10:60",
            "2026-09-01 10:00:30",
            "14:30",
        ] {
            assert!(text.parse::<Minute>().is_err(), "{text}");
        }
        assert_eq!(minute("1969-12-31 23:59").minutes(), -1);
    }

    #[test]
    fn decimals_show_all_their_places() {
        let shown = |units, scale| Value::Decimal { units, scale }.to_string();
        assert_eq!(shown(5, 1), "0.5");
        assert_eq!(shown(-5, 2), "-0.05");
        assert_eq!(shown(120, 0), "120");
    }
}

//! A semester: the unit of sealing, and one level of the digest tree.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::{fmt, str::FromStr};

/// A semester of a school year, written `2026-1` or `2026-2`; ordered by year, then term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    year: u16,
    term: u8,
}

/// The text is not a period: a year of four digits, a dash, a term of 1 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a period: expected YEAR-TERM such as 2026-1")]
pub struct NotAPeriod;

impl Period {
    /// Makes a period; the year is 1900 to 2999 and the term 1 to 4.
    pub fn new(year: u16, term: u8) -> Result<Self, NotAPeriod> {
        if (1900..3000).contains(&year) && (1..=4).contains(&term) {
            Ok(Self { year, term })
        } else {
            Err(NotAPeriod)
        }
    }

    /// Returns the school year.
    pub fn year(self) -> u16 {
        self.year
    }

    /// Returns the term within the school year.
    pub fn term(self) -> u8 {
        self.term
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{}", self.year, self.term)
    }
}

impl FromStr for Period {
    type Err = NotAPeriod;

    fn from_str(text: &str) -> Result<Self, NotAPeriod> {
        let (year, term) = text.split_once('-').ok_or(NotAPeriod)?;
        if year.len() != 4 || term.len() != 1 {
            return Err(NotAPeriod);
        }
        Self::new(
            year.parse().map_err(|_| NotAPeriod)?,
            term.parse().map_err(|_| NotAPeriod)?,
        )
    }
}

impl<C> Encode<C> for Period {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Period {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        d.str()?
            .parse()
            .map_err(|_| decode::Error::message("period"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_ordered_and_round_trip() {
        let first: Period = "2026-1".parse().unwrap();
        let second: Period = "2026-2".parse().unwrap();
        assert!(first < second && second < "2027-1".parse().unwrap());
        assert_eq!(first.to_string(), "2026-1");
        for bad in [
            "2026", "26-1", "2026-0", "2026-5", "2026-11", "+026-1", "2026-1 ",
        ] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}

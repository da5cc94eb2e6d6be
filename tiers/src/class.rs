//! How far up a field's clear value travels, and the log reach that carries it there.

use std::fmt;
use std::str::FromStr;

use federation_protocol::Reach;
use keys::TierName;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Names the highest holder of a field's clear value; ordered from narrow to wide. The fields of one
/// record that share a class live in one dossier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReachClass {
    /// The owning unit itself (`self` and `school` in a definition).
    School = 0,
    /// Up to the district.
    District = 1,
    /// Up to the city.
    City = 2,
    /// Up to the province.
    Province = 3,
    /// Up to the national office.
    National = 4,
    /// Up to the top, and on to the publish list.
    Public = 5,
}

impl ReachClass {
    /// Every class, narrow first.
    pub const ALL: [Self; 6] = [
        Self::School,
        Self::District,
        Self::City,
        Self::Province,
        Self::National,
        Self::Public,
    ];

    /// Returns the class's word in a definition.
    pub const fn name(self) -> &'static str {
        match self {
            Self::School => "school",
            Self::District => "district",
            Self::City => "city",
            Self::Province => "province",
            Self::National => "national",
            Self::Public => "public",
        }
    }

    /// Returns the number that stands for the class in bytes.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the class with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Returns the class that carries this one in a federation of these tiers: itself if its tier
    /// exists, else the next wider one whose tier does, else [`ReachClass::Public`]. So no two classes
    /// of a record ever share a dossier.
    pub fn settled(self, tiers: &[TierName]) -> Self {
        Self::ALL
            .into_iter()
            .filter(|class| *class >= self)
            .find(|class| {
                matches!(class, Self::School | Self::Public)
                    || tiers.iter().any(|tier| tier.as_str() == class.name())
            })
            .unwrap_or(Self::Public)
    }

    /// Returns the reach of the log that carries the class in a federation of these tiers.
    pub fn reach(self, tiers: &[TierName]) -> Reach {
        let tier = |name| Reach::Up(TierName::new(name).expect("a class's name is a tier's name"));
        match self.settled(tiers) {
            Self::School => Reach::Own,
            Self::Public => tier("root"),
            class => tier(class.name()),
        }
    }
}

impl fmt::Display for ReachClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The word is none of `self, school, district, city, province, national, public`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reach class")]
pub struct NotAReachClass;

impl FromStr for ReachClass {
    type Err = NotAReachClass;

    fn from_str(text: &str) -> Result<Self, NotAReachClass> {
        if text == "self" {
            return Ok(Self::School);
        }
        Self::ALL
            .into_iter()
            .find(|class| class.name() == text)
            .ok_or(NotAReachClass)
    }
}

impl<C> Encode<C> for ReachClass {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.u8(self.number())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ReachClass {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::from_number(d.u8()?).ok_or(decode::Error::message("no such reach class"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers(names: &[&str]) -> Vec<TierName> {
        names
            .iter()
            .map(|name| TierName::new(name).unwrap())
            .collect()
    }

    #[test]
    fn a_class_without_its_tier_is_carried_by_the_next_wider_one() {
        let three = tiers(&["school", "district", "city"]);
        let two = tiers(&["school", "city"]);
        assert_eq!(
            ReachClass::District.reach(&three).to_string(),
            "up:district"
        );
        assert_eq!(ReachClass::District.reach(&two).to_string(), "up:city");
        assert_eq!(ReachClass::District.settled(&two), ReachClass::City);
        assert_eq!(ReachClass::Province.settled(&three), ReachClass::Public);
        assert_eq!(ReachClass::Public.reach(&three).to_string(), "up:root");
        assert_eq!(ReachClass::School.reach(&[]), Reach::Own);
    }

    #[test]
    fn words_numbers_and_order_agree() {
        for (number, class) in ReachClass::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(class.number()), number);
            assert_eq!(ReachClass::from_number(class.number()), Some(class));
            assert_eq!(class.name().parse(), Ok(class));
        }
        assert_eq!("self".parse(), Ok(ReachClass::School));
        assert!("galaxy".parse::<ReachClass>().is_err() && ReachClass::from_number(6).is_none());
    }
}

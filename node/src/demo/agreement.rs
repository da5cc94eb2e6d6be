//! Whether every node that holds a school's records holds the same, and as many as were recorded.

use std::collections::BTreeMap;

use super::cast::{CAST, SCHOOLS, holders};
use crate::status::Status;

/// What one node holds of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Records of all semesters.
    pub(super) records: u64,
    /// Digest of the unit's logs as its district may hold them.
    pub(super) digest: String,
    /// True when everything stored is worked in too.
    pub(super) settled: bool,
}

/// What all tiers hold of one school.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The school.
    pub(super) school: usize,
    /// What was recorded there, as the commands that did it said.
    pub(super) expected: u64,
    /// Every node that should hold it, from the school up, and what it holds.
    pub(super) held: Vec<(usize, Option<Held>)>,
}

impl Row {
    /// Tells whether counts are as recorded and digests agree.
    pub(super) fn is_alike(&self) -> bool {
        let mut digests = self
            .held
            .iter()
            .map(|(_, held)| held.as_ref().map(|h| &h.digest));
        let first = digests.next().flatten();
        first.is_some()
            && digests.all(|digest| digest == first)
            && self.held.iter().all(|(_, held)| {
                held.as_ref()
                    .is_some_and(|h| h.records == self.expected && h.settled)
            })
    }

    /// Returns what one node holds.
    pub(super) fn at(&self, node: usize) -> Option<&Held> {
        self.held
            .iter()
            .find(|(at, _)| *at == node)
            .and_then(|(_, held)| held.as_ref())
    }
}

/// Reads from a status what a node holds of a unit.
pub(super) fn held(status: &Status, unit: &str) -> Option<Held> {
    let mut of_unit = status
        .holdings
        .iter()
        .filter(|holding| holding.unit == unit);
    let first = of_unit.next()?;
    Some(Held {
        records: first.records + of_unit.map(|holding| holding.records).sum::<u64>(),
        digest: first.digest.clone(),
        settled: status.unprojected_entries == 0 && status.unprojected_dossiers == 0,
    })
}

/// Compares what all nodes hold; `statuses` stand in the order of the cast.
pub(super) fn compare(statuses: &[Option<&Status>], expected: &BTreeMap<usize, u64>) -> Vec<Row> {
    let row = |school: usize| {
        let unit = CAST.get(school).map_or("", |role| role.unit);
        let at = |node: usize| {
            let status = statuses.get(node).copied().flatten();
            (node, status.and_then(|status| held(status, unit)))
        };
        Row {
            school,
            expected: expected.get(&school).copied().unwrap_or_default(),
            held: holders(school).into_iter().map(at).collect(),
        }
    };
    SCHOOLS.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::cast::{CITY, DISTRICTS, LAPTOP, LONELY};
    use crate::show::sample;
    use crate::status::Holding;

    fn holding(unit: &str, records: u64, digest: &str) -> Holding {
        Holding {
            unit: unit.into(),
            period: Some("2026-1".into()),
            records,
            digest: digest.into(),
        }
    }

    fn status(holdings: Vec<Holding>) -> Status {
        Status {
            holdings,
            unprojected_entries: 0,
            unprojected_dossiers: 0,
            ..sample::school()
        }
    }

    fn row_of(school: usize, statuses: &[(usize, Status)], expected: u64) -> Row {
        let mut slots: Vec<Option<&Status>> = vec![None; CAST.len()];
        for (at, status) in statuses {
            slots[*at] = Some(status);
        }
        let rows = compare(&slots, &BTreeMap::from([(school, expected)]));
        rows.into_iter().find(|row| row.school == school).unwrap()
    }

    #[test]
    fn a_school_is_alike_when_every_holder_has_its_digest_and_all_records() {
        let everywhere = |digest: &str| {
            [LONELY, LAPTOP, DISTRICTS[1], CITY]
                .map(|node| (node, status(vec![holding("school-3", 7, digest)])))
        };
        let mut statuses = everywhere("aa");
        assert!(row_of(LONELY, &statuses, 7).is_alike());
        assert!(
            !row_of(LONELY, &statuses, 8).is_alike(),
            "a record is missing everywhere"
        );
        assert!(
            !row_of(LONELY, &statuses[..3], 7).is_alike(),
            "the city says nothing"
        );
        statuses[3].1.holdings[0].digest = "bb".into();
        assert!(
            !row_of(LONELY, &statuses, 7).is_alike(),
            "the city holds something else"
        );
        let mut statuses = everywhere("aa");
        statuses[2].1.unprojected_entries = 1;
        assert!(
            !row_of(LONELY, &statuses, 7).is_alike(),
            "the district is not done"
        );
    }

    #[test]
    fn semesters_of_a_unit_are_added_up() {
        let status = status(vec![
            holding("school-1", 5, "aa"),
            holding("school-2", 1, "cc"),
            holding("school-1", 2, "aa"),
        ]);
        let held = held(&status, "school-1").unwrap();
        assert_eq!((held.records, held.digest.as_str()), (7, "aa"));
        assert_eq!(super::held(&status, "school-9"), None);
    }
}

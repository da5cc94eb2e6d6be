//! Who plays: one city, two districts, four schools, and a laptop of the third school; and what each school brings.

use crate::generate::FileForm;

/// A node of the demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role {
    /// Its folder and log, and the id of its unit unless it is a further node of one.
    pub(super) name: &'static str,
    /// Its unit.
    pub(super) unit: &'static str,
    /// Its tier.
    pub(super) tier: &'static str,
    /// Label of its name.
    pub(super) label: &'static str,
    /// Index of the node it dials.
    pub(super) dials: Option<usize>,
}

pub(super) const CITY: usize = 0;
pub(super) const DISTRICTS: [usize; 2] = [1, 2];
pub(super) const SCHOOLS: [usize; 4] = [3, 4, 5, 6];
/// The school that is cut off.
pub(super) const LONELY: usize = 5;
pub(super) const LAPTOP: usize = 7;

const fn role(
    name: &'static str,
    tier: &'static str,
    label: &'static str,
    dials: Option<usize>,
) -> Role {
    Role {
        name,
        unit: name,
        tier,
        label,
        dials,
    }
}

/// Every node; whoever is dialled stands before whoever dials.
pub(super) const CAST: [Role; 8] = [
    role("city", "city", "demo-name-city", None),
    role("district-1", "district", "demo-name-district-1", Some(CITY)),
    role("district-2", "district", "demo-name-district-2", Some(CITY)),
    role(
        "school-1",
        "school",
        "demo-name-school-1",
        Some(DISTRICTS[0]),
    ),
    role(
        "school-2",
        "school",
        "demo-name-school-2",
        Some(DISTRICTS[0]),
    ),
    role(
        "school-3",
        "school",
        "demo-name-school-3",
        Some(DISTRICTS[1]),
    ),
    role(
        "school-4",
        "school",
        "demo-name-school-4",
        Some(DISTRICTS[1]),
    ),
    Role {
        name: "laptop",
        unit: "school-3",
        tier: "school",
        label: "demo-name-laptop",
        dials: Some(LONELY),
    },
];

/// The semester of the demo.
pub(super) const PERIOD: &str = "2026-1";
/// The kind whose files are generated.
pub(super) const VOLUNTEER: &str = "volunteer-service";
/// The kind of the sample that is shipped.
pub(super) const PRACTICE: &str = "practice-record";

/// Generated files: the school, its number and the form.
pub(super) const FILES: [(usize, u32, FileForm, &str); 4] = [
    (SCHOOLS[0], 1, FileForm::Xlsx, "school-1.xlsx"),
    (SCHOOLS[1], 2, FileForm::CsvGb18030, "school-2-gb18030.csv"),
    (SCHOOLS[2], 3, FileForm::Jsonl, "school-3.jsonl"),
    (SCHOOLS[3], 4, FileForm::Csv, "school-4.csv"),
];

/// A sample of the repository that school 4 brings too.
pub(super) const SAMPLE: (&str, &[u8]) = (
    "school-4-practice-record.csv",
    include_bytes!("../../testdata/samples/school-4-practice-record.csv"),
);

/// A table with mistakes in it.
pub(super) const FAULTY: (&str, &[u8]) = (
    "bad-date.csv",
    include_bytes!("../../testdata/import/bad-date.csv"),
);

/// Returns the node through which a node's records go up: its district; the school for the laptop.
pub(super) fn above(node: usize) -> Option<usize> {
    CAST.get(node).and_then(|role| role.dials)
}

/// Returns every node that holds the records of a school, from the school up.
pub(super) fn holders(school: usize) -> Vec<usize> {
    let mut found = vec![school];
    found.extend(
        (0..CAST.len()).filter(|other| *other != school && CAST[*other].unit == CAST[school].unit),
    );
    let mut at = school;
    while let Some(next) = above(at) {
        found.push(next);
        at = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_dialled_stands_before_whoever_dials() {
        for (at, role) in CAST.iter().enumerate() {
            assert!(role.dials.is_none_or(|above| above < at), "{}", role.name);
            assert_eq!(role.dials.is_none(), at == CITY);
        }
    }

    #[test]
    fn the_records_of_a_school_are_held_by_its_nodes_and_all_above() {
        assert_eq!(holders(SCHOOLS[0]), [3, 1, 0]);
        assert_eq!(holders(LONELY), [5, 7, 2, 0]);
    }
}

use keys::Secret;
use proptest::prelude::*;

use super::*;
use crate::roster::RosterChild;

fn secret(name: &str) -> Secret {
    Secret::from_seed(*Hash::of(name.as_bytes()).as_bytes())
}

fn unit(name: &str) -> UnitId {
    UnitId::new(name).unwrap()
}

fn tier(name: &str) -> TierName {
    TierName::new(name).unwrap()
}

fn verified<T: Payload>(payload: &T, signer: &str) -> Verified<T> {
    Signed::sign(payload, &secret(signer)).verify().unwrap()
}

fn federation() -> Federation {
    Federation {
        origin: "practice.example".into(),
        version: 1,
        tiers: ["school", "district", "city"].map(tier).to_vec(),
        root: unit("city"),
        tier: tier("city"),
        name: "City".into(),
        created: 1,
    }
}

fn child(name: &str, at: &str) -> RosterChild {
    RosterChild {
        unit: unit(name),
        tier: tier(at),
        name: name.to_uppercase(),
        key: secret(name).unit_key(),
    }
}

fn roster(parent: &str, version: u64, children: &[(&str, &str)]) -> Roster {
    let children = children
        .iter()
        .map(|(name, tier)| child(name, tier))
        .collect();
    Roster::new(unit(parent), version, children).unwrap()
}

fn registry() -> Registry {
    let mut registry = Registry::new(secret("city").unit_key());
    registry
        .add_federation(&verified(&federation(), "city"))
        .unwrap();
    registry
}

fn full() -> Registry {
    let mut registry = registry();
    let city = roster(
        "city",
        1,
        &[("d1", "district"), ("d2", "district"), ("s9", "school")],
    );
    registry.add_roster(&verified(&city, "city")).unwrap();
    registry
        .add_roster(&verified(&roster("d1", 1, &[("s1", "school")]), "d1"))
        .unwrap();
    registry
}

fn names(units: &[UnitId]) -> Vec<&str> {
    units.iter().map(UnitId::as_str).collect()
}

#[test]
fn rosters_place_units_below_the_pinned_root() {
    let registry = full();
    assert_eq!(registry.parent_of(&unit("s1")), Some(unit("d1")));
    assert_eq!(registry.parent_of(&unit("city")), None);
    assert_eq!(registry.tier_of(&unit("s9")), Some(&tier("school")));
    assert_eq!(registry.name_of(&unit("d2")), Some("D2"));
    assert_eq!(registry.key_of(&unit("s1")), Some(secret("s1").unit_key()));
    assert_eq!(
        names(registry.children_of(&unit("city"))),
        ["d1", "d2", "s9"]
    );
    assert_eq!(
        names(&registry.subtree(&unit("city"))),
        ["city", "d1", "d2", "s9", "s1"]
    );
    assert_eq!(names(&registry.path(&unit("s1"))), ["s1", "d1", "city"]);
    assert!(registry.is_ancestor(&unit("city"), &unit("s1")));
    assert!(!registry.is_ancestor(&unit("d2"), &unit("s1")));
    assert!(!registry.is_ancestor(&unit("s1"), &unit("s1")));
    assert_eq!(registry.tier_rank(&tier("city")), Some(2));
    assert!(registry.subtree(&unit("nowhere")).is_empty() && registry.problems().is_empty());
    let placement = registry.placement().unwrap();
    assert_eq!((placement.units.len(), placement.root), (5, unit("city")));
    assert_eq!(placement.units[&unit("s1")].parent, Some(unit("d1")));
}

#[test]
fn a_roster_counts_only_from_the_key_the_parent_names() {
    let mut registry = full();
    let usurped = roster("d2", 9, &[("s2", "school")]);
    assert_eq!(registry.add_roster(&verified(&usurped, "d1")), Ok(false));
    assert_eq!(registry.parent_of(&unit("s2")), None);
    assert_eq!(registry.add_roster(&verified(&usurped, "d2")), Ok(true));
    assert_eq!(registry.parent_of(&unit("s2")), Some(unit("d2")));
    // The city gives d2 another key: what the old key listed is gone.
    let mut children = vec![child("d1", "district"), child("d2", "district")];
    children[1].key = secret("d2, new").unit_key();
    let newer = Roster::new(unit("city"), 2, children).unwrap();
    assert_eq!(registry.add_roster(&verified(&newer, "city")), Ok(true));
    assert_eq!(registry.parent_of(&unit("s2")), None);
    assert_eq!(registry.roster_version(&unit("city")), 2);
}

#[test]
fn a_newer_roster_replaces_an_older_one_whenever_it_came() {
    let mut registry = full();
    let newer = roster("d1", 2, &[("s3", "school")]);
    registry.add_roster(&verified(&newer, "d1")).unwrap();
    assert_eq!(names(registry.children_of(&unit("d1"))), ["s3"]);
    let older = roster("d1", 1, &[("s1", "school"), ("s4", "school")]);
    assert_eq!(registry.add_roster(&verified(&older, "d1")), Ok(false));
    assert_eq!(names(registry.children_of(&unit("d1"))), ["s3"]);
    assert!(registry.problems().is_empty());
    assert_eq!(registry.children(&unit("d1")), newer.children);
    assert_eq!(
        (
            registry.roster_version(&unit("d1")),
            registry.roster_version(&unit("d2"))
        ),
        (2, 0)
    );
}

#[test]
fn what_is_in_effect_can_be_handed_on() {
    const TEXT: &str = include_str!("../../kinds/practice-record.toml");
    let mut registry = full();
    registry
        .add_roster(&verified(&roster("d2", 1, &[("s2", "school")]), "stranger"))
        .unwrap();
    let kind = KindStatement {
        unit: unit("city"),
        text: TEXT.into(),
    };
    registry.add_kind(&verified(&kind, "city")).unwrap();
    let statements = registry.statements();
    let domains: Vec<_> = statements.iter().map(|(domain, _)| *domain).collect();
    assert_eq!(
        domains,
        [
            Domain::Federation,
            Domain::Roster,
            Domain::Roster,
            Domain::Kind
        ]
    );
    let mut other = Registry::new(registry.root_key());
    for (domain, bytes) in &statements {
        other.add(*domain, bytes).unwrap();
    }
    assert_eq!(other.tree, registry.tree);
    assert_eq!(other.statements(), statements);
    assert_eq!(other.kinds().len(), 1);
}

#[test]
fn two_rosters_of_one_version_are_a_reported_fork() {
    let mut ids = Vec::new();
    let mut registry = full();
    for other in ["s5", "s6"] {
        let fork = verified(&roster("d1", 1, &[(other, "school")]), "d1");
        ids.push((fork.id(), unit(other)));
        registry.add_roster(&fork).unwrap();
    }
    ids.push((
        verified(&roster("d1", 1, &[("s1", "school")]), "d1").id(),
        unit("s1"),
    ));
    ids.sort();
    assert_eq!(registry.children_of(&unit("d1")), [ids[0].1.clone()]);
    let (standing, other) = (ids[0].0, ids[1].0);
    let fork = RegistryProblem::RosterFork {
        unit: unit("d1"),
        version: 1,
        standing,
        other,
    };
    assert_eq!(registry.problems(), [fork]);
}

#[test]
fn a_unit_has_one_parent_and_a_tier_below_it() {
    let mut registry = full();
    let d2 = roster(
        "d2",
        1,
        &[("city", "school"), ("d3", "district"), ("s1", "school")],
    );
    registry.add_roster(&verified(&d2, "d2")).unwrap();
    let (parent, other) = (unit("d1"), unit("d2"));
    let problems = registry.problems();
    assert!(problems.contains(&RegistryProblem::TwoParents {
        unit: unit("s1"),
        parent,
        other: other.clone()
    }));
    assert!(problems.contains(&RegistryProblem::BadTier {
        unit: unit("d3"),
        parent: other,
        tier: tier("district")
    }));
    assert_eq!(problems.len(), 3);
    assert_eq!(registry.parent_of(&unit("city")), None);
    assert!(registry.children_of(&unit("d2")).is_empty());
}

#[test]
fn statements_that_cannot_take_effect_are_refused() {
    let mut registry = registry();
    let refused = |federation: Federation| federation.check().unwrap_err();
    assert_eq!(
        refused(Federation {
            version: 0,
            ..federation()
        }),
        StatementError::Version
    );
    assert_eq!(
        refused(Federation {
            tiers: vec![],
            ..federation()
        }),
        StatementError::Tiers
    );
    assert_eq!(
        refused(Federation {
            name: String::new(),
            ..federation()
        }),
        StatementError::Name
    );
    let stranger = registry.add_federation(&verified(&federation(), "stranger"));
    assert_eq!(stranger, Err(AddError::NotTheRoot));
    let mut unsorted = roster("city", 1, &[("d1", "district"), ("d2", "district")]);
    unsorted.children.reverse();
    let refused = registry.add_roster(&verified(&unsorted, "city"));
    assert_eq!(refused, Err(AddError::Statement(StatementError::Children)));
    let own = Roster::new(unit("city"), 1, vec![child("city", "district")]);
    assert_eq!(own, Err(StatementError::Children));
}

#[test]
fn kinds_count_from_placed_units_and_the_nearest_to_the_root_first() {
    const TEXT: &str = include_str!("../../kinds/practice-record.toml");
    let mut registry = registry();
    let statement = |unit_name: &str, text: &str| KindStatement {
        unit: unit(unit_name),
        text: text.into(),
    };
    let publish = |registry: &mut Registry, by: &str, signer: &str, text: &str| {
        registry
            .add_kind(&verified(&statement(by, text), signer))
            .unwrap()
    };
    let district = TEXT.replace("max = 100,", "max = 50,");
    publish(&mut registry, "d1", "d1", &district);
    publish(&mut registry, "city", "d1", TEXT);
    assert!(
        registry.kinds().is_empty(),
        "d1 is not placed, and is not the city"
    );

    registry
        .add_roster(&verified(&roster("city", 1, &[("d1", "district")]), "city"))
        .unwrap();
    let hash = Kind::parse(&district).unwrap().hash();
    assert_eq!(registry.kind("practice-record").unwrap().hash(), hash);

    publish(&mut registry, "city", "city", TEXT);
    let of_city = Kind::parse(TEXT).unwrap().hash();
    assert_eq!(registry.kind("practice-record").unwrap().hash(), of_city);
    assert_eq!(
        registry.kind_version("practice-record", 1).unwrap().hash(),
        of_city
    );
    assert!(
        registry.kind_by_hash(&hash).is_some(),
        "records already name it"
    );
    publish(
        &mut registry,
        "d1",
        "d1",
        &district.replace("version = 1", "version = 2"),
    );
    assert_eq!(registry.kind("practice-record").unwrap().version(), 2);
    assert!(registry.kinds().len() == 3 && registry.kind("other").is_none());
}

#[test]
fn statements_are_added_from_their_bytes_by_their_domain() {
    let mut registry = Registry::new(secret("city").unit_key());
    let bytes = Signed::sign(&federation(), &secret("city"));
    assert_eq!(registry.add(Domain::Federation, bytes.bytes()), Ok(true));
    assert_eq!(registry.add(Domain::Federation, bytes.bytes()), Ok(false));
    assert!(matches!(
        registry.add(Domain::Roster, bytes.bytes()),
        Err(AddError::Verify(_))
    ));
    assert_eq!(registry.add(Domain::Seal, b""), Ok(false));
    assert!(matches!(
        registry.add(Domain::Kind, b""),
        Err(AddError::Envelope(_))
    ));
}

proptest! {
    /// Whatever the order and however often statements are added, the tree is the same.
    #[test]
    fn the_order_of_statements_leaves_no_trace(
        order in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec(0..9_usize, 0..5),
    ) {
        let newer = Federation { version: 2, name: "City, new".into(), ..federation() };
        let rosters = [
            (roster("city", 1, &[("d1", "district"), ("s1", "school")]), "city"),
            (roster("city", 2, &[("d1", "district"), ("d2", "district")]), "city"),
            (roster("d1", 1, &[("s1", "school")]), "d1"),
            (roster("d1", 1, &[("s2", "school")]), "d1"),
            (roster("d1", 1, &[("s3", "school")]), "d1"),
            (roster("d2", 1, &[("s1", "school"), ("s2", "school")]), "d2"),
            (roster("d2", 7, &[("s4", "school")]), "d1"),
        ];
        let add = |registry: &mut Registry, index: usize| match index {
            0 => registry.add_federation(&verified(&federation(), "city")),
            1 => registry.add_federation(&verified(&newer, "city")),
            _ => {
                let (roster, signer) = &rosters[index - 2];
                registry.add_roster(&verified(roster, signer))
            }
        }
        .unwrap();
        let grown = |order: &mut dyn Iterator<Item = usize>| {
            let mut registry = Registry::new(secret("city").unit_key());
            for index in order {
                add(&mut registry, index);
            }
            registry.tree
        };
        let straight = grown(&mut (0..9));
        prop_assert_eq!(straight.units.len() > 3, true);
        prop_assert_eq!(grown(&mut order.into_iter().chain(again)), straight);
    }
}

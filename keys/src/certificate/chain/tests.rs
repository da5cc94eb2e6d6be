//! Chains that hold, and one chain for each way of not holding.

use std::collections::BTreeSet;

use super::*;
use crate::certificate::Scope;
use crate::secret::Secret;

fn id(text: &str) -> UnitId {
    UnitId::new(text).unwrap()
}

fn secret(number: u8) -> Secret {
    Secret::from_seed([number; 32])
}

fn unit_subject(number: u8) -> Subject {
    Subject::Unit(secret(number).unit_key())
}

fn node_subject(number: u8) -> Subject {
    Subject::Node(secret(number).node_key())
}

fn certificate(subject: Subject, unit: &str, tier: &str, issuer: &str) -> Certificate {
    Certificate {
        subject,
        unit: id(unit),
        tier: TierName::new(tier).unwrap(),
        name: format!("{unit} of {issuer}"),
        issuer: id(issuer),
        scope: Scope::full(),
        not_before: 1_000,
        not_after: 2_000,
        nonce: [0; 16],
    }
}

const CITY: u8 = 1;
const DISTRICT: u8 = 2;
const SCHOOL: u8 = 3;
const NODE: u8 = 4;

/// The node, its school, its district; signed by the school, the district, the city.
fn links() -> [(Certificate, u8); 3] {
    [
        (
            certificate(node_subject(NODE), "school", "school", "school"),
            SCHOOL,
        ),
        (
            certificate(unit_subject(SCHOOL), "school", "school", "district"),
            DISTRICT,
        ),
        (
            certificate(unit_subject(DISTRICT), "district", "district", "city"),
            CITY,
        ),
    ]
}

fn chain_of(links: &[(Certificate, u8)]) -> Chain {
    let sign =
        |(certificate, signer): &(Certificate, u8)| Signed::sign(certificate, &secret(*signer));
    Chain::new(links.iter().map(sign).collect()).unwrap()
}

fn verdict(links: &[(Certificate, u8)]) -> Result<VerifiedChain, ChainError> {
    chain_of(links).verify(&secret(CITY).unit_key())
}

/// Changes the proper links and returns the error.
fn fault_after(change: impl FnOnce(&mut [(Certificate, u8); 3])) -> ChainError {
    let mut links = links();
    change(&mut links);
    verdict(&links).unwrap_err()
}

#[test]
fn a_proper_chain_names_the_node_and_its_place() {
    let verified = verdict(&links()).unwrap();
    assert_eq!(verified.node_key(), Some(secret(NODE).node_key()));
    assert_eq!(verified.person_key(), None);
    assert_eq!(verified.unit_key(), secret(SCHOOL).unit_key());
    assert_eq!(
        (verified.unit(), verified.tier().as_str()),
        (&id("school"), "school")
    );
    assert_eq!(verified.root_unit(), &id("city"));
    let path: Vec<_> = verified
        .path()
        .iter()
        .map(|(unit, tier)| format!("{unit}/{tier}"))
        .collect();
    assert_eq!(path, ["school/school", "district/district"]);
    assert_eq!(verified.certificates().len(), 3);
    assert_eq!(verified.chain(), &chain_of(&links()));
    assert_eq!(verified.leaf(), &links()[0].0);
}

#[test]
fn a_chain_survives_its_bytes() {
    let chain = chain_of(&links());
    assert_eq!(Chain::from_bytes(&chain.to_bytes()), Ok(chain.clone()));
    assert_eq!(
        cbor::from_slice::<Chain>(&cbor::to_vec(&chain)),
        Ok(chain.clone())
    );
    assert_eq!(chain.id(), Hash::of(&chain.to_bytes()));
}

#[test]
fn nodes_and_people_hang_under_any_unit_and_a_unit_may_be_the_leaf() {
    let of_city = certificate(node_subject(NODE), "city", "city", "city");
    let verified = verdict(&[(of_city, CITY)]).unwrap();
    assert_eq!(
        (verified.unit(), verified.unit_key()),
        (&id("city"), secret(CITY).unit_key())
    );
    let person = Subject::Person(secret(NODE).person_key());
    let mut with_person = links();
    with_person[0].0.subject = person;
    assert_eq!(
        verdict(&with_person).unwrap().person_key(),
        Some(secret(NODE).person_key())
    );
    let of_school = verdict(&links()[1..]).unwrap();
    assert_eq!(
        (of_school.node_key(), of_school.unit_key()),
        (None, secret(SCHOOL).unit_key())
    );
    // A school directly under the city.
    let direct = certificate(unit_subject(SCHOOL), "school", "school", "city");
    assert!(verdict(&[links()[0].clone(), (direct, CITY)]).is_ok());
}

#[test]
fn the_root_may_name_itself_at_the_top_and_nowhere_else() {
    let city = (
        certificate(unit_subject(CITY), "city", "city", "city"),
        CITY,
    );
    let [node, school, district] = links();
    let with_root = [node.clone(), school.clone(), district.clone(), city.clone()];
    let verified = verdict(&with_root).unwrap();
    assert_eq!(verified.path().last().unwrap().0, id("city"));
    assert_eq!(verified.root_unit(), &id("city"));
    // A province above: nodes that keep their pin and nodes that pin the province both get there.
    let by_province = (
        certificate(unit_subject(CITY), "city", "city", "province"),
        9,
    );
    let taller = chain_of(&[node, school, district, by_province]);
    assert_eq!(
        taller.verify(&secret(9).unit_key()).unwrap().root_unit(),
        &id("province")
    );
    let below = [
        (
            certificate(unit_subject(CITY), "city", "city", "city"),
            CITY,
        ),
        city.clone(),
    ];
    assert_eq!(
        verdict(&below).unwrap_err(),
        ChainError::UnitTwice {
            index: 0,
            unit: id("city")
        }
    );
    let renamed = (
        certificate(unit_subject(CITY), "town", "city", "city"),
        CITY,
    );
    assert_eq!(
        verdict(&[renamed]).unwrap_err(),
        ChainError::NotItsOwnUnit { index: 0 }
    );
}

#[test]
fn a_chain_to_another_root_is_refused() {
    let claimed = SignerKey::from_bytes(*secret(CITY).unit_key().as_bytes());
    let verdict = chain_of(&links()).verify(&secret(9).unit_key());
    assert_eq!(verdict.unwrap_err(), ChainError::WrongRoot { claimed });
    // Nor does a chain count that stops before the root.
    let claimed = SignerKey::from_bytes(*secret(DISTRICT).unit_key().as_bytes());
    let cut = chain_of(&links()[..2]).verify(&secret(CITY).unit_key());
    assert_eq!(cut.unwrap_err(), ChainError::WrongRoot { claimed });
}

#[test]
fn a_certificate_signed_by_another_unit_is_refused() {
    assert_eq!(
        fault_after(|links| links[0].1 = 9),
        ChainError::WrongIssuerKey { index: 0 }
    );
    assert_eq!(
        fault_after(|links| links[1].1 = CITY),
        ChainError::WrongIssuerKey { index: 1 }
    );
}

#[test]
fn a_forged_signature_is_refused_where_it_stands() {
    let certificates = chain_of(&links()).certificates().to_vec();
    for index in 0..3 {
        let mut bytes = certificates[index].bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let mut forged = certificates.clone();
        forged[index] = Signed::from_bytes(bytes).unwrap();
        let verdict = Chain::new(forged).unwrap().verify(&secret(CITY).unit_key());
        let error = VerifyError::Signature;
        assert_eq!(
            verdict.unwrap_err(),
            ChainError::Certificate { index, error }
        );
    }
}

#[test]
fn a_certificate_that_names_another_issuer_is_refused() {
    let error = fault_after(|links| links[1].0.issuer = id("elsewhere"));
    assert_eq!(error, ChainError::WrongIssuer { index: 1 });
}

#[test]
fn a_widened_scope_is_refused() {
    let error = fault_after(|links| {
        links[1].0.scope = Scope::of_roles([Role::Write]);
        links[0].0.scope = Scope::of_roles([Role::Write, Role::Relay]);
    });
    assert_eq!(error, ChainError::ScopeWidened { index: 0 });
    let error = fault_after(|links| {
        links[2].0.scope.kinds = Some(BTreeSet::from(["volunteer-service".to_owned()]));
    });
    assert_eq!(error, ChainError::ScopeWidened { index: 1 });
}

#[test]
fn a_unit_without_the_role_cannot_certify_units_but_certifies_its_nodes() {
    let without = Scope::of_roles([Role::Write]);
    let narrowed = |links: &mut [(Certificate, u8); 3], from: usize| {
        links[..=from]
            .iter_mut()
            .for_each(|link| link.0.scope = without.clone());
    };
    assert_eq!(
        fault_after(|links| narrowed(links, 2)),
        ChainError::MayNotEnrol { index: 1 }
    );
    let mut school_without = links();
    narrowed(&mut school_without, 1);
    assert!(verdict(&school_without).is_ok());
}

#[test]
fn a_unit_that_stands_twice_is_refused() {
    let error = fault_after(|links| {
        links[1].0.unit = id("district");
        links[0].0.unit = id("district");
        links[0].0.issuer = id("district");
    });
    assert_eq!(
        error,
        ChainError::UnitTwice {
            index: 1,
            unit: id("district")
        }
    );
    // The root's unit counts although it has no certificate in the chain.
    let error = fault_after(|links| links[1].0.unit = id("city"));
    assert_eq!(
        error,
        ChainError::UnitTwice {
            index: 1,
            unit: id("city")
        }
    );
}

#[test]
fn a_node_certified_by_another_unit_is_refused() {
    // By its district, over the school's head.
    let by_district = certificate(node_subject(NODE), "school", "school", "district");
    let error = verdict(&[(by_district, DISTRICT), links()[2].clone()]).unwrap_err();
    assert_eq!(error, ChainError::NotItsOwnUnit { index: 0 });
    // By a school that claims to be the other one.
    let error = fault_after(|links| {
        links[0].0.unit = id("other-school");
        links[0].0.issuer = id("other-school");
    });
    assert_eq!(error, ChainError::WrongIssuer { index: 0 });
}

#[test]
fn a_node_of_another_tier_than_its_unit_is_refused() {
    let error = fault_after(|links| links[0].0.tier = TierName::new("city").unwrap());
    assert_eq!(error, ChainError::TierDiffers { index: 0 });
}

#[test]
fn a_node_or_person_cannot_certify() {
    let below_node = certificate(node_subject(9), "school", "school", "school");
    let [node, school, district] = links();
    let error = verdict(&[(below_node, NODE), node, school, district]).unwrap_err();
    assert_eq!(error, ChainError::IssuerIsNoUnit { index: 1 });
}

#[test]
fn a_certificate_of_a_weak_key_is_refused() {
    let error =
        fault_after(|links| links[0].0.subject = Subject::Node(NodeKey::from_bytes([0; 32])));
    assert_eq!(
        error,
        ChainError::SubjectKey {
            index: 0,
            error: KeyError::Weak
        }
    );
}

#[test]
fn validity_is_that_of_the_whole_chain() {
    let mut links = links();
    links[0].0.not_before = 1_500;
    links[2].0.not_after = 1_800;
    let verified = verdict(&links).unwrap();
    for (ms, expected) in [
        (0, Validity::NotYet),
        (1_499, Validity::NotYet),
        (1_500, Validity::Valid),
        (1_799, Validity::Valid),
        (1_800, Validity::Expired),
        (u64::MAX, Validity::Expired),
    ] {
        assert_eq!(verified.validity_at(ms), expected, "at {ms}");
    }
}

#[test]
fn a_chain_has_a_length_and_a_size() {
    let one = chain_of(&links()).certificates()[0].clone();
    assert_eq!(Chain::new(vec![]).unwrap_err(), ChainDecodeError::Empty);
    assert!(Chain::new(vec![one.clone(); CHAIN_LENGTH_MAX]).is_ok());
    let too_long = ChainDecodeError::TooLong {
        max: CHAIN_LENGTH_MAX,
        found: 9,
    };
    assert_eq!(Chain::new(vec![one.clone(); 9]).unwrap_err(), too_long);
    let nine = [&[0x89], cbor::to_vec(&one).repeat(9).as_slice()].concat();
    assert_eq!(Chain::from_bytes(&nine).unwrap_err(), too_long);
    let mut large = links()[0].clone();
    large.0.scope.kinds = Some((0..200).map(|n| format!("{n:064}")).collect());
    let signed = Signed::sign(&large.0, &secret(SCHOOL));
    assert!(matches!(
        Chain::new(vec![signed]),
        Err(ChainDecodeError::TooLarge { .. })
    ));
    assert_eq!(Chain::from_bytes(b"\xa0"), Err(ChainDecodeError::NotAList));
    assert_eq!(
        Chain::from_bytes(b"\x81\x00"),
        Err(ChainDecodeError::NotAList)
    );
    assert_eq!(Chain::from_bytes(b"\x80"), Err(ChainDecodeError::Empty));
    let envelope = Chain::from_bytes(b"\x81\x41\x00").unwrap_err();
    assert!(matches!(
        envelope,
        ChainDecodeError::Envelope { index: 0, .. }
    ));
    let extended = Chain::new(vec![one.clone()])
        .unwrap()
        .extended_by(one)
        .unwrap();
    assert_eq!(extended.certificates().len(), 2);
}

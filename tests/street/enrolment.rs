//! Tokens and addresses: one token makes one node, a lost answer is given again, a dead address is
//! passed by.

use keys::{Chain, UnitKey};
use minicbor::bytes::ByteVec;
use tests::{Node, free_port, generate, refusal, wait_for};

/// What a home keeps of its enrolment.
#[derive(minicbor::Decode)]
#[cbor(map)]
struct IdentityFile {
    #[n(1)]
    root: UnitKey,
    #[n(2)]
    chain: ByteVec,
}

/// Returns the certificate that the node above gave, and the node's own key.
fn given(node: &Node) -> (Vec<u8>, String) {
    let bytes = std::fs::read(node.home().join("identity")).unwrap();
    let file: IdentityFile = keys::cbor::from_slice_versioned(&bytes, 1).unwrap();
    let chain = Chain::from_bytes(&file.chain).unwrap();
    let key = chain.verify(&file.root).unwrap().node_key().unwrap();
    // The leaf is the unit's word for its own node; the one above it came over the wire.
    (chain.certificates()[1].bytes().to_vec(), key.to_string())
}

// protocol.md R29
#[test]
fn a_token_makes_one_node_and_a_lost_answer_is_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut city = Node::init(dir.path(), "city");
    city.start();
    let token = city.invite("d1", "district");
    let mut district = Node::new(dir.path().join("d1"));
    district.json(&["join", &token]);
    let first = given(&district);
    // Used: by no other keys, and not over a home that exists.
    let other = Node::new(dir.path().join("other"));
    let said = refusal(&other.run(&["join", &token]));
    assert!(said.contains("used or expired"), "{said}");
    let said = refusal(&district.run(&["join", &token]));
    assert!(said.contains("home already"), "{said}");
    assert!(refusal(&other.run(&["status"])).contains("no home of a node"));
    // The answer is lost on its way, also over a restart of the city: all that the home has are its
    // keys, which were stored before they were used.
    for entry in std::fs::read_dir(district.home()).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("keys") {
            continue;
        }
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.unwrap();
    }
    assert!(city.stop());
    let said = refusal(&district.run(&["join", &token]));
    assert!(said.contains("cannot be reached"), "{said}");
    city.start();
    district.json(&["join", &token]);
    assert_eq!(
        given(&district),
        first,
        "the same certificate for the same key"
    );
    district.start();
    wait_for("the city and the district to be in step", || {
        let status = district.status();
        match status["parents"][0]["state"] == "in step"
            && city.status()["children"][0]["unit"] == "d1"
        {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
    // Enrolled once: the roster names the unit once, and the unit invites its own further nodes.
    assert_eq!(city.status()["children"].as_array().unwrap().len(), 1);
    let args = [
        "invite",
        "--unit",
        "d1",
        "--tier",
        "district",
        "--name",
        "x",
        "--address",
        "h:1",
    ];
    let said = refusal(&city.run(&args));
    assert!(said.contains("enrolled already"), "{said}");
}

#[test]
fn a_dead_address_is_passed_by_and_a_second_node_above_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut city = Node::init(dir.path(), "city");
    city.start();
    let mut first = city.enrol(dir.path(), "first", "d1", "district");
    first.start();
    let mut second = first.enrol(dir.path(), "second", "d1", "district");
    // The unit's second server knows its sibling and the city.
    second.set_uplinks(&[city.address()]);
    second.start();
    // The token's first address is dead as well: joining passes it by.
    let dead = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (dead_text, first_text) = (dead.to_string(), first.address().to_string());
    let args = [
        "invite",
        "--unit",
        "s1",
        "--tier",
        "school",
        "--name",
        "s1",
        "--address",
    ];
    let token = first.json(&[&args[..], &[&dead_text, "--address", &first_text]].concat());
    let mut school = Node::new(dir.path().join("s1"));
    school.json(&["join", token["token"].as_str().unwrap()]);
    // The second server must have heard of the school before it can vouch for it.
    wait_for("the second server to know the school", || {
        let status = second.status();
        let known = status["children"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["unit"] == "s1");
        if known {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    school.set_uplinks(&[dead, first.address(), second.address()]);
    school.start();
    let args = ["--students", "4", "--per-student", "3", "--form", "jsonl"];
    let file = generate(dir.path(), "one.jsonl", &args);
    school.import("volunteer-service", "2026-1", &file);
    school.wait_until_equal(&city, "s1", 12);
    assert!(first.stop());
    let args = [
        "--students",
        "4",
        "--per-student",
        "3",
        "--form",
        "jsonl",
        "--seed",
        "2",
    ];
    let file = generate(dir.path(), "two.jsonl", &args);
    school.import("volunteer-service", "2026-1", &file);
    school.wait_until_equal(&city, "s1", 24);
    let status = school.status();
    assert_eq!(
        status["parents"][0]["address"],
        second.address().to_string()
    );
    // The one that was away comes back to what it missed.
    first.start();
    first.wait_until_equal(&city, "s1", 24);
}

//! Strangers at the door: keys nobody certified, bytes that are no protocol, frames without end.

use std::net::UdpSocket;
use std::sync::Arc;

use federation_protocol::{Hello, Message};
use keys::{Certificate, Chain, Scope, Secret, Signed, StoreEpoch, Subject, UnitKey};
use node::clock::SystemClock;
use node::transport::{Link, Transport, TransportOptions};
use tests::{Branch, generate};

fn stranger() -> (Secret, Secret) {
    let mut rng = node::host::system_rng().unwrap();
    (Secret::generate(&mut rng), Secret::generate(&mut rng))
}

/// Returns a chain that a stranger made for itself: right in form, signed by its own root.
fn homemade(unit_secret: &Secret, secret: &Secret) -> Chain {
    let certificate = Certificate {
        subject: Subject::Node(secret.node_key()),
        unit: "s1".parse().unwrap(),
        tier: "school".parse().unwrap(),
        name: "stranger".to_owned(),
        issuer: "s1".parse().unwrap(),
        scope: Scope::full(),
        not_before: 0,
        not_after: u64::MAX >> 8,
        nonce: [0; 16],
    };
    Chain::new(vec![Signed::sign(&certificate, unit_secret)]).unwrap()
}

async fn dial(secret: &Secret, branch: &Branch) -> (Transport, Link) {
    let any = "127.0.0.1:0".parse().unwrap();
    let clock = Arc::new(SystemClock::new());
    let transport = Transport::bind(any, secret, clock, TransportOptions::default()).unwrap();
    let link = transport.connect(branch.district.address()).await.unwrap();
    (transport, link)
}

fn still_works(branch: &mut Branch, name: &str) {
    assert!(branch.district.is_running());
    let args = [
        "--students",
        "3",
        "--per-student",
        "1",
        "--form",
        "jsonl",
        "--seed",
        name,
    ];
    let file = generate(branch.dir.path(), &format!("{name}.jsonl"), &args);
    let before = branch.school.holding("s1").0;
    let (new, _) = branch.school.import("volunteer-service", "2026-1", &file);
    branch
        .school
        .wait_until_equal(&branch.city, "s1", before + new);
}

fn hello(root: UnitKey, chain: &Chain) -> Vec<u8> {
    let mut rng = node::host::system_rng().unwrap();
    Message::Hello(Hello {
        version: federation_protocol::PROTOCOL_VERSION,
        version_min: federation_protocol::PROTOCOL_VERSION,
        root,
        chain: chain.to_bytes().into(),
        epoch: StoreEpoch::generate(&mut rng),
        clock_ms: 0,
        software: "stranger".to_owned(),
    })
    .to_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_nobody_certified_is_refused_with_a_reason_on_both_sides() {
    let mut branch = tokio::task::spawn_blocking(Branch::start).await.unwrap();
    let (unit_secret, secret) = stranger();
    let chain = homemade(&unit_secret, &secret);
    // Its own root named openly, then the true root claimed.
    let identity = branch.district.home().join("identity");
    let claimed = [unit_secret.unit_key(), root_of(&identity)];
    for root in claimed {
        let (transport, link) = dial(&secret, &branch).await;
        let (handle, mut writer, _reader) = link.split();
        writer.write(&hello(root, &chain)).await.unwrap();
        let closed = handle.closed().await.to_string();
        assert!(closed.contains("refused"), "{closed}");
        transport.shutdown().await;
    }
    let log = branch.district.log_text();
    assert!(
        log.contains("session closed") && log.contains("refused"),
        "{log}"
    );
    tokio::task::spawn_blocking(move || still_works(&mut branch, "1"))
        .await
        .unwrap();
}

fn root_of(identity: &std::path::Path) -> UnitKey {
    #[derive(minicbor::Decode)]
    #[cbor(map)]
    struct Root {
        #[n(1)]
        root: UnitKey,
    }
    let bytes = std::fs::read(identity).unwrap();
    keys::cbor::from_slice_versioned::<Root>(&bytes, 1)
        .unwrap()
        .root
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_protocol_do_no_harm() {
    let mut branch = tokio::task::spawn_blocking(Branch::start).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0_u32..2_000 {
        let size = (n as usize * 37) % 1_400 + 1;
        let garbage: Vec<u8> = (0..size)
            .map(|i| (i as u32).wrapping_mul(n ^ 0x9e37) as u8)
            .collect();
        let _ = socket.send_to(&garbage, branch.district.address());
    }
    let (_, secret) = stranger();
    // Well-framed nonsense as a first frame, then nothing at all in a second link.
    let (transport, link) = dial(&secret, &branch).await;
    let (handle, mut writer, _reader) = link.split();
    writer.write(&[0xff; 500]).await.unwrap();
    let closed = handle.closed().await.to_string();
    assert!(closed.contains("misbehaved"), "{closed}");
    transport.shutdown().await;
    // A first frame larger than any hello.
    let (transport, link) = dial(&secret, &branch).await;
    let (handle, mut writer, _reader) = link.split();
    let noise: Vec<u8> = (0_u32..60_000)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let _ = writer.write(&noise).await;
    let closed = handle.closed().await.to_string();
    assert!(closed.contains("misbehaved"), "{closed}");
    transport.shutdown().await;
    tokio::task::spawn_blocking(move || still_works(&mut branch, "2"))
        .await
        .unwrap();
}

// protocol.md R28
#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_without_the_secret_gets_nothing() {
    let mut branch = tokio::task::spawn_blocking(Branch::start).await.unwrap();
    let line = branch.district.invite("s2", "school");
    let mut token = node::enrol::Token::from_line(&line).unwrap();
    token.secret = keys::Hash::of(b"guessed");
    let (unit_secret, secret) = stranger();
    let (transport, link) = dial(&secret, &branch).await;
    let refused = node::enrol::join(&token, link, &secret, Some(&unit_secret), 0).await;
    assert!(refused.is_err());
    transport.shutdown().await;
    tokio::task::spawn_blocking(move || still_works(&mut branch, "3"))
        .await
        .unwrap();
}

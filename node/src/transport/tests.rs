use super::*;
use crate::clock::SystemClock;
use crate::frame::FrameError;
use crate::tls::hostile::{self, FLAWS, Flaw};
use limits::{FIRST_FRAME_DEADLINE, FIRST_FRAME_MAX};
use tokio::task::JoinHandle;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Flaws a listener cannot have: it does not get as far as presenting nothing.
const OF_DIALLERS: [Flaw; 2] = [Flaw::NoKey, Flaw::EmptyHand];

fn secret(seed: u8) -> Secret {
    Secret::from_seed([seed; 32])
}

fn transport_with(seed: u8, options: TransportOptions) -> Transport {
    Transport::bind(
        LOOPBACK,
        &secret(seed),
        Arc::new(SystemClock::new()),
        options,
    )
    .unwrap()
}

fn transport(seed: u8) -> Transport {
    transport_with(seed, TransportOptions::default())
}

/// A transport that breaks one TLS rule and keeps all others.
fn flawed(seed: u8, flaw: Flaw) -> Transport {
    let configs = hostile::configs(&secret(seed), flaw);
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let clock = Arc::new(SystemClock::new());
    Transport::assemble(
        &secret(seed),
        configs,
        clock,
        TransportOptions::default(),
        |endpoint, server| {
            Endpoint::new(
                endpoint,
                Some(server),
                socket,
                Arc::new(quinn::TokioRuntime),
            )
        },
    )
    .unwrap()
}

/// A QUIC peer with good keys that does what it likes on the connection.
async fn raw_dial(from: &Transport, to: &Transport) -> quinn::Connection {
    let address = to.local_address().unwrap();
    let client = from.0.client.clone();
    from.0
        .endpoint
        .connect_with(client, address, SERVER_NAME)
        .unwrap()
        .await
        .unwrap()
}

fn accept_one(listener: &Transport) -> JoinHandle<Result<Link, AcceptError>> {
    let listener = listener.clone();
    tokio::spawn(async move { listener.accept().await.unwrap().establish().await })
}

async fn linked(dialler: &Transport, listener: &Transport) -> (Link, Link) {
    let accepted = accept_one(listener);
    let dialled = dialler
        .connect(listener.local_address().unwrap())
        .await
        .unwrap();
    (dialled, accepted.await.unwrap().unwrap())
}

#[tokio::test]
async fn two_nodes_know_each_other_and_exchange_frames_both_ways() {
    let (school, district) = (transport(1), transport(2));
    let (near, far) = linked(&school, &district).await;
    assert_eq!(near.peer(), secret(2).node_key());
    assert_eq!(far.peer(), secret(1).node_key());
    assert_eq!(near.exporter("sanji join"), far.exporter("sanji join"));
    assert_ne!(near.exporter("sanji join"), near.exporter("sanji other"));

    let (near, mut near_writer, mut near_reader) = near.split();
    let (far, mut far_writer, mut far_reader) = far.split();
    assert_eq!(near.remote_address(), district.local_address().unwrap());
    let long = vec![b'r'; 200_000];
    for (payload, answer) in [(b"hello".as_slice(), b"hi".as_slice()), (&long, &long)] {
        near_writer.write(payload).await.unwrap();
        assert_eq!(far_reader.read().await.unwrap().unwrap(), payload);
        far_writer.write(answer).await.unwrap();
        assert_eq!(near_reader.read().await.unwrap().unwrap(), answer);
    }

    near_writer.finish().await.unwrap();
    assert!(far_reader.read().await.unwrap().is_none());
    far.close(CloseCode::Done, "nothing left");
    let told = Closed::ByPeer {
        code: Some(CloseCode::Done),
        reason: "nothing left".into(),
    };
    assert_eq!(near.closed().await, told);

    let stats = near.stats();
    assert_eq!(stats.sent, far.stats().received);
    assert_eq!((stats.sent.frames, stats.sent.payload_bytes), (2, 200_005));
    assert!(stats.udp_sent_bytes > stats.sent.wire_bytes);
    assert!(stats.rtt > Duration::ZERO);
}

#[tokio::test]
async fn the_listener_may_speak_first() {
    let (school, district) = (transport(1), transport(2));
    let (near, far) = linked(&school, &district).await;
    let (_far, mut writer, _far_reader) = far.split();
    let (_near, _near_writer, mut reader) = near.split();
    writer.write(b"who are you").await.unwrap();
    assert_eq!(
        reader.read().await.unwrap().unwrap(),
        b"who are you".as_slice()
    );
}

#[tokio::test]
async fn both_sides_can_tell_why_a_link_was_refused() {
    let (school, district) = (transport(1), transport(2));
    let (near, far) = linked(&school, &district).await;
    let (near, near_writer, mut near_reader) = near.split();
    far.handle().close(
        CloseCode::Refused,
        "the certificate of unit s-17 ends at another root",
    );
    let reason = "the certificate of unit s-17 ends at another root".to_owned();
    let refused = Closed::ByPeer {
        code: Some(CloseCode::Refused),
        reason: reason.clone(),
    };
    assert_eq!(near.closed().await, refused);
    assert_eq!(near.ended(), Some(refused.clone()));
    assert_eq!(
        far.handle().closed().await,
        Closed::ByUs {
            code: CloseCode::Refused,
            reason: reason.clone()
        }
    );
    assert!(refused.to_string().contains(&reason), "{refused}");
    let error = near_reader.read().await.unwrap_err();
    assert!(!error.is_misbehaviour(), "{error}");
    drop(near_writer);
}

#[tokio::test]
async fn a_reason_is_cut_and_cleaned_of_what_a_terminal_would_obey() {
    let (school, district) = (transport(1), transport(2));
    let (near, far) = linked(&school, &district).await;
    let reason = format!(
        "\x1b[31m{}\u{e9}\u{e9}",
        "x".repeat(limits::CLOSE_REASON_MAX - 6)
    );
    far.handle().close(CloseCode::Refused, &reason);
    let Closed::ByPeer { reason, .. } = near.handle().closed().await else {
        panic!()
    };
    assert!(reason.starts_with(" [31mxxx"), "{reason}");
    assert!(
        reason.len() < limits::CLOSE_REASON_MAX && reason.ends_with('x'),
        "{reason}"
    );
}

#[test]
fn close_codes_keep_their_numbers() {
    let numbers: Vec<u32> = CloseCode::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    for code in CloseCode::ALL {
        assert_eq!(CloseCode::from_number(code.number().into()), Some(code));
    }
    assert_eq!(CloseCode::from_number(0), None);
    assert_eq!(CloseCode::from_number(7), None);
}

#[tokio::test]
async fn a_dialler_that_breaks_a_tls_rule_is_refused_and_told() {
    for flaw in FLAWS {
        let (bad, district) = (flawed(1, flaw), transport(2));
        let accepted = accept_one(&district);
        let dialled = bad.connect(district.local_address().unwrap()).await;
        let Err(AcceptError::Ended(seen)) = accepted.await.unwrap() else {
            panic!("{flaw:?} was accepted");
        };
        let told = match dialled {
            Ok(link) => link.handle().closed().await,
            Err(ConnectError::Ended(closed)) => closed,
            Err(other) => panic!("{flaw:?}: {other}"),
        };
        if matches!(flaw, Flaw::OtherAlpn | Flaw::NoAlpn) {
            assert_eq!(seen, Closed::OtherProtocol, "{flaw:?}");
            assert_eq!(told, Closed::OtherProtocol, "{flaw:?}");
        } else {
            let refused = matches!(&seen, Closed::Handshake { by_peer: false, .. });
            assert!(refused, "{flaw:?}: {seen:?}");
            let heard = matches!(&told, Closed::Handshake { by_peer: true, .. });
            assert!(heard, "{flaw:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_listener_that_breaks_a_tls_rule_is_refused_and_told() {
    for flaw in FLAWS.into_iter().filter(|flaw| !OF_DIALLERS.contains(flaw)) {
        let (school, bad) = (transport(1), flawed(2, flaw));
        let accepted = accept_one(&bad);
        let refusal = school
            .connect(bad.local_address().unwrap())
            .await
            .unwrap_err();
        let ConnectError::Ended(refusal) = refusal else {
            panic!("{flaw:?}: {refusal}")
        };
        let expected = matches!(refusal, Closed::OtherProtocol | Closed::Handshake { .. });
        assert!(expected, "{flaw:?}: {refusal:?}");
        assert!(accepted.await.unwrap().is_err(), "{flaw:?}");
    }
}

#[tokio::test]
async fn a_key_is_no_secret_its_owner_is_known_by() {
    // The same flaw matrix with no flaw must pass, or the matrix proves nothing.
    let (school, district) = (transport(99), transport(2));
    let (near, far) = linked(&school, &district).await;
    assert_eq!(far.peer(), secret(99).node_key());
    drop(near);
}

#[tokio::test]
async fn a_stream_of_another_version_is_refused_on_both_sides() {
    let (school, district) = (transport(1), transport(2));
    let accepted = accept_one(&district);
    let connection = raw_dial(&school, &district).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&[9]).await.unwrap();
    let refusal = accepted.await.unwrap().unwrap_err();
    assert!(matches!(refusal, AcceptError::OtherVersion(9)), "{refusal}");
    let told = Closed::from(connection.closed().await);
    assert!(told.to_string().contains("stream version 9"), "{told}");
}

#[tokio::test]
async fn an_oversized_frame_is_refused_over_the_network_too() {
    let (school, district) = (transport(1), transport(2));
    let accepted = accept_one(&district);
    let connection = raw_dial(&school, &district).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(b"\x01\xff\xff\xff\xff").await.unwrap();
    let (link, _writer, mut reader) = accepted.await.unwrap().unwrap().split();
    let error = reader
        .read_first(FIRST_FRAME_MAX, FIRST_FRAME_DEADLINE)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            FrameError::TooLong {
                claimed: 0xffff_ffff,
                ..
            }
        ),
        "{error}"
    );
    link.close(CloseCode::Misbehaved, &error.to_string());
    let told = Closed::from(connection.closed().await);
    assert!(
        told.to_string().contains("4294967295 bytes is announced"),
        "{told}"
    );
}

#[tokio::test]
async fn a_dialler_gets_one_stream_and_no_datagrams() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};
    let (school, district) = (transport(1), transport(2));
    let accepted = accept_one(&district);
    let connection = raw_dial(&school, &district).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&[STREAM_VERSION]).await.unwrap();
    let link = accepted.await.unwrap().unwrap();
    let context = &mut Context::from_waker(Waker::noop());
    let second = std::pin::pin!(connection.open_bi());
    assert!(matches!(second.poll(context), Poll::Pending));
    let one_way = std::pin::pin!(connection.open_uni());
    assert!(matches!(one_way.poll(context), Poll::Pending));
    assert_eq!(connection.max_datagram_size(), None);
    drop(link);
}

#[tokio::test]
async fn garbage_datagrams_do_no_harm() {
    let (school, district) = (transport(1), transport(2));
    let (near, far) = linked(&school, &district).await;
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let target = district.local_address().unwrap();
    let mut state = 1_u64;
    for size in (0..1_400).step_by(7) {
        let mut datagram = vec![0; size];
        for byte in &mut datagram {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        // Half of them look like QUIC long-header packets of version 1.
        if let (true, Some(head)) = (size % 2 == 0, datagram.first_chunk_mut::<5>()) {
            *head = [0xc0 | head[0] & 0x3f, 0, 0, 0, 1];
        }
        socket.send_to(&datagram, target).unwrap();
    }
    let (_near, mut writer, _near_reader) = near.split();
    let (_far, _far_writer, mut reader) = far.split();
    writer.write(b"still here").await.unwrap();
    assert_eq!(
        reader.read().await.unwrap().unwrap(),
        b"still here".as_slice()
    );
    let (near, far) = linked(&transport(3), &district).await;
    assert_eq!(far.peer(), secret(3).node_key());
    drop(near);
}

#[tokio::test]
async fn under_pressure_strangers_prove_their_address_and_get_in() {
    let district = transport_with(
        2,
        TransportOptions {
            retry_above: 0,
            ..TransportOptions::default()
        },
    );
    let (near, far) = linked(&transport(1), &district).await;
    assert_eq!(far.peer(), secret(1).node_key());
    assert_eq!(near.peer(), secret(2).node_key());
}

#[tokio::test]
async fn a_full_node_says_that_it_is_busy() {
    for options in [
        TransportOptions {
            handshakes_max: 0,
            ..TransportOptions::default()
        },
        TransportOptions {
            handshakes_per_address_max: 0,
            ..TransportOptions::default()
        },
        TransportOptions {
            links_max: 0,
            ..TransportOptions::default()
        },
    ] {
        let district = transport_with(2, options);
        let accepting = accept_one(&district);
        let refusal = transport(1)
            .connect(district.local_address().unwrap())
            .await
            .unwrap_err();
        assert!(
            matches!(refusal, ConnectError::Ended(Closed::Busy)),
            "{refusal}"
        );
        accepting.abort();
    }
}

#[test]
fn places_at_the_gate_are_counted_by_address_and_given_back() {
    let gate = Arc::new(Gate::default());
    let options = TransportOptions {
        handshakes_max: 3,
        handshakes_per_address_max: 2,
        ..TransportOptions::default()
    };
    let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let first = Gate::enter(&gate, here, &options).unwrap();
    let second = Gate::enter(&gate, here, &options).unwrap();
    assert!(Gate::enter(&gate, here, &options).is_none());
    let third = Gate::enter(&gate, there, &options).unwrap();
    assert!(Gate::enter(&gate, there, &options).is_none());
    drop((first, second, third));
    assert_eq!(gate.under_way(), 0);
    assert!(gate.counts().is_empty());
}

#[tokio::test]
async fn a_node_that_stops_tells_its_peers_and_accepts_no_more() {
    let (school, district) = (transport(1), transport(2));
    let (near, far) = linked(&school, &district).await;
    district.shutdown().await;
    let told = near.handle().closed().await;
    let stopping = Closed::ByPeer {
        code: Some(CloseCode::Shutdown),
        reason: link::SHUTDOWN_REASON.to_owned(),
    };
    assert_eq!(told, stopping);
    let own = far.handle().closed().await;
    assert!(
        matches!(
            own,
            Closed::ByUs {
                code: CloseCode::Shutdown,
                ..
            }
        ),
        "{own}"
    );
    assert!(district.accept().await.is_none());
    let late = district
        .connect(school.local_address().unwrap())
        .await
        .unwrap_err();
    assert!(matches!(late, ConnectError::Stopping), "{late}");
    assert_eq!(district.open_links(), 0);
}

#[tokio::test]
async fn an_address_that_cannot_be_dialled_is_named() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let error = transport(1).connect(nowhere).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Address(address) if address == nowhere),
        "{error}"
    );
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = transport(1);
    let address = first.local_address().unwrap();
    let clock = Arc::new(SystemClock::new());
    let error = Transport::bind(address, &secret(2), clock, TransportOptions::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_dropped_link_ends_for_the_peer_without_a_reason() {
    let (school, district) = (transport(1), transport(2));
    let (near, far) = linked(&school, &district).await;
    drop(near);
    let told = far.handle().closed().await;
    assert_eq!(
        told,
        Closed::ByPeer {
            code: None,
            reason: String::new()
        }
    );
}

//! Statuses for tests: a school in the middle of things, a city with districts.

use crate::status::{AlertStatus, ChildStatus, Holding, PeerStatus, ReceiptStatus, Status};

/// The present of every sample, Unix milliseconds.
pub(crate) const NOW: u64 = 1_800_000_000_000;

/// A session with a node of `unit`.
pub(crate) fn peer(unit: &str, state: &str, to_send: u64, to_receive: u64) -> PeerStatus {
    PeerStatus {
        unit: Some(unit.into()),
        node: "c7a90749b26dd4e9".into(),
        address: Some("127.0.0.1:4711".into()),
        state: state.into(),
        to_send,
        to_receive,
        entries_sent: 3,
        entries_received: 5,
        payload_sent: 24_727,
        payload_received: 16_413,
        wire_sent: 20_005,
        wire_received: 14_968,
        rtt_us: 2_590,
        last_heard_ms: NOW - 3_000,
        clock_ahead_ms: Some(-1),
        software: "sanji 0.1.0".into(),
    }
}

/// A receipt about the school.
pub(crate) fn receipt(issuer: &str, behind: u64) -> ReceiptStatus {
    ReceiptStatus {
        issuer: issuer.into(),
        unit: "school-3".into(),
        time_ms: NOW - 60_000,
        logs: 2,
        behind,
    }
}

/// A school in step with its district.
pub(crate) fn school() -> Status {
    Status {
        unit: "school-3".into(),
        tier: "school".into(),
        name: "\u{7b2c}\u{4e09}\u{4e2d}\u{5b66}".into(),
        node: "a0fde9abd04db47a".into(),
        root: "ec80e2ec4f5302c5".into(),
        software: "sanji 0.1.0".into(),
        time_ms: NOW,
        parent: Some("district-2".into()),
        parents: vec![peer("district-2", "in step", 0, 0)],
        uplinks: vec!["127.0.0.1:4711".into()],
        uplink_last_success_ms: Some(NOW - 3_000),
        uplink_last_failure: Some((NOW - 300_000, "timed out".into())),
        siblings: Vec::new(),
        children: Vec::new(),
        holdings: vec![Holding {
            unit: "school-3".into(),
            period: Some("2026-1".into()),
            records: 1_200,
            digest: "e86bd35c3be91d85".into(),
        }],
        receipts: vec![receipt("district-2", 0), receipt("city", 0)],
        unprojected_entries: 0,
        unprojected_dossiers: 0,
        quarantined: 0,
        alerts: Vec::new(),
    }
}

/// The same school behind a dead line.
pub(crate) fn cut_off() -> Status {
    Status {
        parents: Vec::new(),
        uplink_last_success_ms: Some(NOW - 240_000),
        uplink_last_failure: Some((NOW - 2_000, "127.0.0.1:4711: no answer within 5s".into())),
        receipts: vec![receipt("district-2", 4), receipt("city", 5)],
        ..school()
    }
}

/// A city with one district in step and one that went away.
pub(crate) fn city() -> Status {
    let child = |unit: &str, name: &str, nodes: Vec<PeerStatus>| ChildStatus {
        unit: unit.into(),
        tier: "district".into(),
        name: name.into(),
        nodes,
        last_heard_ms: Some(NOW - 7_200_000),
        digest: "eefa9ad8fc6afb7d".into(),
        records: 600,
    };
    Status {
        unit: "city".into(),
        tier: "city".into(),
        name: "City".into(),
        parent: None,
        parents: Vec::new(),
        uplinks: Vec::new(),
        uplink_last_success_ms: None,
        uplink_last_failure: None,
        receipts: Vec::new(),
        children: vec![
            child(
                "district-1",
                "\u{4e1c}\u{57ce}\u{533a}",
                vec![peer("district-1", "in step", 0, 0)],
            ),
            child("district-2", "West", Vec::new()),
        ],
        alerts: vec![AlertStatus {
            time_ms: NOW - 5_000,
            what: "session-closed".into(),
            text: "c7a90749: another federation".into(),
        }],
        ..school()
    }
}

//! The state of a link as one word, one sign and one colour, judged from a status.

use super::paint::{Paint, Tone};
use crate::label::{Lang, word};
use crate::status::{ChildStatus, PeerStatus, Status};

/// How long an alert about a full disk or a broken session counts as the present, milliseconds: twice the longest wait
/// before dialling again.
const FRESH_MS: u64 = 60_000;

/// How a link stands; of several that fit, the first listed is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LinkWord {
    /// The two sides do not accept each other's certificates.
    Identity,
    /// No session stands, though one stood before.
    Off,
    /// The disk is full.
    Full,
    /// Sessions begin and are broken off.
    Failing,
    /// The hello is under way.
    Connecting,
    /// The two sides find out what differs.
    Comparing,
    /// Entries go out and come in.
    Syncing,
    /// Entries go out.
    Sending,
    /// Entries come in.
    Receiving,
    /// All is sent and not all confirmed.
    Waiting,
    /// Both sides hold the same.
    InStep,
    /// No session ever stood.
    Never,
}

impl LinkWord {
    fn key(self) -> &'static str {
        match self {
            Self::Identity => "state-identity",
            Self::Off => "state-off",
            Self::Full => "state-full",
            Self::Failing => "state-failing",
            Self::Connecting => "state-connecting",
            Self::Comparing => "state-comparing",
            Self::Syncing => "state-syncing",
            Self::Sending => "state-sending",
            Self::Receiving => "state-receiving",
            Self::Waiting => "state-waiting",
            Self::InStep => "state-in-step",
            Self::Never => "state-never",
        }
    }

    /// The sign: a filled disc is well, a ring is a missing link, arrows are traffic, a cross is a fault.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Identity | Self::Failing => "\u{2717}",
            Self::Full => "\u{25a0}",
            Self::Off | Self::Never => "\u{25cb}",
            Self::Connecting | Self::Comparing => "\u{25cc}",
            Self::Syncing => "\u{2195}",
            Self::Sending => "\u{2191}",
            Self::Receiving => "\u{2193}",
            Self::Waiting => "\u{25d4}",
            Self::InStep => "\u{25cf}",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Identity | Self::Full | Self::Failing | Self::Off => Tone::Bad,
            Self::InStep => Tone::Good,
            _ => Tone::Busy,
        }
    }

    /// The word alone.
    pub(crate) fn word(self, lang: Lang) -> String {
        word(lang, self.key())
    }

    /// Sign and word in their colour.
    pub(crate) fn shown(self, lang: Lang, paint: Paint) -> String {
        paint.tint(self.tone(), &format!("{} {}", self.sign(), self.word(lang)))
    }
}

/// Judges one session.
pub(crate) fn of_peer(peer: &PeerStatus) -> LinkWord {
    match peer.state.as_str() {
        "in step" => LinkWord::InStep,
        "comparing" => LinkWord::Comparing,
        "sending" | "receiving" => match (peer.to_send, peer.to_receive) {
            (0, _) => LinkWord::Receiving,
            (_, 0) => LinkWord::Sending,
            _ => LinkWord::Syncing,
        },
        _ => LinkWord::Connecting,
    }
}

/// Judges the link to a unit below; the best of its nodes' sessions counts, since one is enough.
pub(crate) fn of_child(child: &ChildStatus) -> LinkWord {
    let none = if child.last_heard_ms.is_some() {
        LinkWord::Off
    } else {
        LinkWord::Never
    };
    child.nodes.iter().map(of_peer).max().unwrap_or(none)
}

/// The sessions this node dials: with the unit above or, on a further node of a unit, with the node that invited it.
pub(crate) fn dialled(status: &Status) -> &[PeerStatus] {
    if dials_sibling(status) {
        &status.siblings
    } else {
        &status.parents
    }
}

/// Tells whether this node dials another node of its own unit.
pub(crate) fn dials_sibling(status: &Status) -> bool {
    status.parents.is_empty() && !status.uplinks.is_empty() && !status.siblings.is_empty()
}

/// Judges the link upwards; none at the root.
pub(crate) fn of_uplink(status: &Status) -> Option<LinkWord> {
    if status.uplinks.is_empty() && status.parents.is_empty() {
        return None;
    }
    let fresh = |time_ms: u64| status.time_ms.saturating_sub(time_ms) < FRESH_MS;
    let full = status
        .alerts
        .iter()
        .any(|a| a.what == "disk-full" && fresh(a.time_ms));
    let live = dialled(status).iter().map(of_peer).max();
    let word = match live {
        Some(_) if full => LinkWord::Full,
        Some(LinkWord::InStep) if behind(status).is_some_and(|count| count > 0) => {
            LinkWord::Waiting
        }
        Some(word) => word,
        None => match &status.uplink_last_failure {
            Some((_, why)) if is_identity(why) => LinkWord::Identity,
            Some((_, why)) if is_broken_off(why) => LinkWord::Failing,
            _ if status.uplink_last_success_ms.is_none() && status.receipts.is_empty() => {
                LinkWord::Never
            }
            _ => LinkWord::Off,
        },
    };
    Some(word)
}

/// Returns how many of our entries the nearest unit above has not confirmed; none without its receipt.
pub(crate) fn behind(status: &Status) -> Option<u64> {
    let nearest = status
        .receipts
        .iter()
        .find(|r| Some(&r.issuer) == status.parent.as_ref());
    match nearest {
        Some(receipt) => Some(receipt.behind),
        // A unit between may be without a node; whoever above holds most speaks for the way up.
        None => status.receipts.iter().map(|receipt| receipt.behind).min(),
    }
}

/// The words with which links end are written for people (in English, by both sides); these few tell the cases apart.
fn is_identity(why: &str) -> bool {
    [
        "certificate",
        "another federation",
        "not a neighbour",
        "handshake refused",
    ]
    .iter()
    .any(|part| why.contains(part))
}

fn is_broken_off(why: &str) -> bool {
    [
        "(misbehaved)",
        "QUIC error",
        "no protocol version",
        "no common",
    ]
    .iter()
    .any(|part| why.contains(part))
}

//! The status as a page of text: one sentence that says how things are, then the evidence.

use super::measure::{ago, bytes, grouped, micros, millis, short};
use super::paint::{Paint, Tone};
use super::state::{self, LinkWord};
use super::table::{Side, Table};
use crate::label::{Arg, Lang, text, word};
use crate::status::{PeerStatus, Status};

/// A clock that is off by less is not worth a word, milliseconds.
const CLOCK_SLACK_MS: u64 = 5_000;
/// Alerts listed; older ones are counted.
const ALERTS_SHOWN: usize = 8;

/// Writes the page.
pub(super) fn page(lang: Lang, status: &Status, paint: Paint) -> String {
    let mut page = Page {
        lang,
        paint,
        text: String::new(),
    };
    let (tone, headline) = headline(lang, status);
    page.text.push_str(&paint.tint(tone, &headline));
    page.text.push('\n');
    page.this(status);
    page.above(status);
    page.confirmed(status);
    page.siblings(status);
    page.below(status);
    page.holdings(status);
    page.alerts(status);
    page.text.truncate(page.text.trim_end().len());
    page.text
}

/// Says in one or two sentences how things are, worst first.
pub(super) fn headline(lang: Lang, status: &Status) -> (Tone, String) {
    let uplink = state::of_uplink(status);
    let mut tone = uplink.map_or(Tone::Good, LinkWord::tone);
    // A root with units below has nothing to say about what is above it.
    let is_top = uplink.is_none() && !status.children.is_empty();
    let mut said = if is_top {
        Vec::new()
    } else {
        vec![upward(lang, status, uplink)]
    };
    let words: Vec<LinkWord> = status.children.iter().map(state::of_child).collect();
    let off = words
        .iter()
        .filter(|w| matches!(w, LinkWord::Off | LinkWord::Never))
        .count();
    let busy = words.iter().filter(|w| **w != LinkWord::InStep).count() - off;
    let total = Arg::from(words.len());
    if off > 0 {
        tone = if tone == Tone::Good { Tone::Busy } else { tone };
        said.push(text(
            lang,
            "head-below-off",
            &[("off", off.into()), ("total", total)],
        ));
    } else if busy > 0 {
        said.push(text(
            lang,
            "head-below-busy",
            &[("busy", busy.into()), ("total", total)],
        ));
    } else if !words.is_empty() {
        said.push(text(lang, "head-below-in-step", &[("total", total)]));
    }
    if status.unprojected_entries > 0 {
        let count = Arg::Count(status.unprojected_entries);
        said.push(text(lang, "head-backlog", &[("count", count)]));
    }
    if status.alerts.iter().any(|alert| alert.what == "forked") {
        tone = Tone::Bad;
        said.push(word(lang, "head-forked"));
    }
    let gap = match lang {
        Lang::ZhCn => "",
        Lang::En => " ",
    };
    (tone, said.join(gap))
}

fn upward(lang: Lang, status: &Status, uplink: Option<LinkWord>) -> String {
    let unit = above(lang, status);
    let named = ("unit", Arg::Text(&unit));
    let (to_send, to_receive) = state::dialled(status).iter().fold((0, 0), |sum, peer| {
        (sum.0 + peer.to_send, sum.1 + peer.to_receive)
    });
    let behind = state::behind(status);
    let count = ("count", Arg::Count(behind.unwrap_or_default()));
    match uplink {
        None => word(lang, "head-top"),
        Some(LinkWord::InStep) => text(lang, "head-in-step", &[named]),
        Some(LinkWord::Waiting) => text(lang, "head-waiting", &[named, count]),
        Some(LinkWord::Connecting | LinkWord::Comparing) => text(lang, "head-comparing", &[named]),
        Some(LinkWord::Syncing | LinkWord::Sending | LinkWord::Receiving) => {
            let counts = [
                named,
                ("send", to_send.into()),
                ("receive", to_receive.into()),
            ];
            text(lang, "head-syncing", &counts)
        }
        Some(LinkWord::Off) if behind.is_some() => text(lang, "head-off", &[named, count]),
        Some(LinkWord::Off) => text(lang, "head-off-unconfirmed", &[named]),
        Some(LinkWord::Never) => text(lang, "head-never", &[named]),
        Some(LinkWord::Identity) => text(lang, "head-identity", &[named]),
        Some(LinkWord::Failing) => text(lang, "head-failing", &[named]),
        Some(LinkWord::Full) => word(lang, "head-full"),
    }
}

/// Names whom this node dials.
fn above(lang: Lang, status: &Status) -> String {
    let met = state::dialled(status)
        .iter()
        .find_map(|peer| peer.unit.clone());
    met.or_else(|| status.parent.clone())
        .unwrap_or_else(|| word(lang, "head-above"))
}

struct Page {
    lang: Lang,
    paint: Paint,
    text: String,
}

impl Page {
    fn word(&self, key: &str) -> String {
        word(self.lang, key)
    }

    fn section(&mut self, key: &str) {
        let title = self.word(key);
        self.text.push('\n');
        self.text.push_str(&self.paint.tint(Tone::Title, &title));
        self.text.push('\n');
    }

    fn line(&mut self, indent: usize, parts: &[String]) {
        let parts: Vec<&str> = parts
            .iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        self.text.push_str(&" ".repeat(indent));
        self.text.push_str(&parts.join("   "));
        self.text.push('\n');
    }

    fn table(&mut self, table: &Table) {
        let shown = table.render(2, self.paint);
        self.text.push_str(&shown);
    }

    fn heads<const N: usize>(&self, heads: [(Side, &str); N]) -> Table {
        Table::new(heads.map(|(side, key)| (side, self.word(key))))
    }

    fn this(&mut self, status: &Status) {
        self.section("status-this");
        let name = self.paint.tint(Tone::Strong, &status.name);
        self.line(
            2,
            &[
                name,
                status.unit.clone(),
                status.tier.clone(),
                status.software.clone(),
            ],
        );
        let node = format!("{} {}", self.word("status-node"), short(&status.node));
        let root = format!("{} {}", self.word("status-root"), short(&status.root));
        self.line(2, &[node, root]);
        let troubles = [
            ("status-unprojected", status.unprojected_entries),
            ("status-unprojected-dossiers", status.unprojected_dossiers),
            ("status-quarantined", status.quarantined),
        ];
        for (key, count) in troubles.into_iter().filter(|(_, count)| *count > 0) {
            let said = format!("{}: {}", self.word(key), grouped(count));
            let said = self.paint.tint(Tone::Busy, &said);
            self.line(2, &[said]);
        }
    }

    fn above(&mut self, status: &Status) {
        let Some(uplink) = state::of_uplink(status) else {
            return;
        };
        self.section("status-above");
        let (lang, now) = (self.lang, status.time_ms);
        let peers = state::dialled(status);
        if peers.is_empty() {
            let unit = above(lang, status);
            let addresses = status.uplinks.join(", ");
            let dials = text(
                lang,
                "status-parent-off",
                &[("addresses", Arg::Text(&addresses))],
            );
            self.line(2, &[uplink.shown(lang, self.paint), unit, dials]);
        }
        for peer in peers {
            // With one session the judgement of the whole link is the one to show.
            let state = if peers.len() == 1 {
                uplink
            } else {
                state::of_peer(peer)
            };
            self.peer(state, peer);
        }
        let when = ago(lang, now, status.uplink_last_success_ms);
        let success = text(lang, "status-success", &[("when", Arg::Text(&when))]);
        let failure = match &status.uplink_last_failure {
            None => self.word("status-failure-none"),
            Some((at, why)) => {
                let when = ago(lang, now, Some(*at));
                let args = [("when", Arg::Text(&when)), ("why", Arg::Text(why))];
                text(lang, "status-failure", &args)
            }
        };
        self.line(4, &[success, failure]);
        let (to_send, to_receive) = match peers {
            [] => (state::behind(status).map(grouped), None),
            _ => {
                let sum = |of: fn(&PeerStatus) -> u64| Some(grouped(peers.iter().map(of).sum()));
                (sum(|peer| peer.to_send), sum(|peer| peer.to_receive))
            }
        };
        let unknown = || "?".to_owned();
        let to_send = format!(
            "{} {}",
            self.word("status-to-send"),
            to_send.unwrap_or_else(unknown)
        );
        let to_receive = format!(
            "{} {}",
            self.word("status-to-receive"),
            to_receive.unwrap_or_else(unknown)
        );
        self.line(4, &[to_send, to_receive]);
        if peers.is_empty() {
            let next = self.word("status-next");
            self.line(4, &[self.paint.tint(Tone::Faint, &next)]);
        }
    }

    /// One session: who, where, how far, how much.
    fn peer(&mut self, state: LinkWord, peer: &PeerStatus) {
        let lang = self.lang;
        let unit = peer.unit.clone().unwrap_or_default();
        let node = format!("{} {}", self.word("status-node"), short(&peer.node));
        let address = peer.address.clone().unwrap_or_default();
        let time = micros(peer.rtt_us);
        let round_trip = text(lang, "status-round-trip", &[("time", Arg::Text(&time))]);
        let shown = state.shown(lang, self.paint);
        self.line(
            2,
            &[
                shown,
                unit,
                node,
                address,
                round_trip,
                peer.software.clone(),
            ],
        );
        let args = [
            ("sent", Arg::Count(peer.entries_sent)),
            ("sent-bytes", Arg::Text(&bytes(peer.wire_sent))),
            ("received", Arg::Count(peer.entries_received)),
            ("received-bytes", Arg::Text(&bytes(peer.wire_received))),
        ];
        let exchanged = text(lang, "status-exchanged", &args);
        self.line(4, &[exchanged, self.clock(peer.clock_ahead_ms)]);
    }

    fn clock(&self, ahead_ms: Option<i64>) -> String {
        let ahead_ms = ahead_ms.unwrap_or_default();
        if ahead_ms.unsigned_abs() < CLOCK_SLACK_MS {
            return String::new();
        }
        let key = if ahead_ms > 0 {
            "status-clock-ahead"
        } else {
            "status-clock-behind"
        };
        let time = millis(ahead_ms.unsigned_abs());
        self.paint.tint(
            Tone::Busy,
            &text(self.lang, key, &[("time", Arg::Text(&time))]),
        )
    }

    fn confirmed(&mut self, status: &Status) {
        if state::of_uplink(status).is_none() {
            return;
        }
        self.section("status-confirmed");
        if status.receipts.is_empty() {
            let none = self.word("status-confirmed-none");
            return self.line(2, &[none]);
        }
        let mut table = self.heads([
            (Side::Left, "column-who"),
            (Side::Left, "column-held"),
            (Side::Right, "column-behind"),
            (Side::Left, "column-since"),
        ]);
        for receipt in &status.receipts {
            let (tone, held) = match receipt.behind {
                0 => (Tone::Good, self.word("held-all")),
                count => (
                    Tone::Busy,
                    text(self.lang, "held-part", &[("count", count.into())]),
                ),
            };
            table.row([
                receipt.issuer.clone(),
                self.paint.tint(tone, &held),
                grouped(receipt.behind),
                ago(self.lang, status.time_ms, Some(receipt.time_ms)),
            ]);
        }
        self.table(&table);
    }

    fn siblings(&mut self, status: &Status) {
        // Whoever dials a sibling sees it under "above" already.
        if status.siblings.is_empty() || state::dials_sibling(status) {
            return;
        }
        self.section("status-siblings");
        for peer in &status.siblings {
            self.peer(state::of_peer(peer), peer);
        }
    }

    fn below(&mut self, status: &Status) {
        if status.children.is_empty() {
            if state::of_uplink(status).is_none() {
                self.section("status-below");
                let none = self.word("status-below-none");
                self.line(2, &[none]);
            }
            return;
        }
        self.section("status-below");
        let mut table = self.heads([
            (Side::Left, "column-unit"),
            (Side::Left, "column-name"),
            (Side::Left, "column-state"),
            (Side::Left, "column-heard"),
            (Side::Right, "status-to-send"),
            (Side::Right, "status-to-receive"),
            (Side::Right, "column-records"),
            (Side::Left, "column-digest"),
        ]);
        for child in &status.children {
            let connected = !child.nodes.is_empty();
            let sum = |of: fn(&PeerStatus) -> u64| match connected {
                true => grouped(child.nodes.iter().map(of).sum()),
                false => "?".to_owned(),
            };
            table.row([
                child.unit.clone(),
                child.name.clone(),
                state::of_child(child).shown(self.lang, self.paint),
                ago(self.lang, status.time_ms, child.last_heard_ms),
                sum(|peer| peer.to_send),
                sum(|peer| peer.to_receive),
                grouped(child.records),
                short(&child.digest),
            ]);
        }
        self.table(&table);
    }

    fn holdings(&mut self, status: &Status) {
        self.section("status-holdings");
        if status.holdings.is_empty() {
            let none = self.word("status-holdings-none");
            return self.line(2, &[none]);
        }
        let mut table = self.heads([
            (Side::Left, "column-unit"),
            (Side::Left, "column-period"),
            (Side::Right, "column-records"),
            (Side::Left, "column-digest"),
        ]);
        for holding in &status.holdings {
            table.row([
                holding.unit.clone(),
                holding
                    .period
                    .clone()
                    .unwrap_or_else(|| self.word("period-none")),
                grouped(holding.records),
                short(&holding.digest),
            ]);
        }
        self.table(&table);
    }

    fn alerts(&mut self, status: &Status) {
        if status.alerts.is_empty() {
            return;
        }
        self.section("status-alerts");
        let skipped = status.alerts.len().saturating_sub(ALERTS_SHOWN);
        if skipped > 0 {
            self.line(2, &[format!("(+{skipped})")]);
        }
        for alert in status.alerts.iter().skip(skipped) {
            let when = ago(self.lang, status.time_ms, Some(alert.time_ms));
            let said = self.paint.tint(Tone::Busy, &alert.text);
            self.line(2, &[when, said]);
            let known = [
                "session-closed",
                "forked",
                "rolled-back",
                "rejected",
                "disk-full",
            ];
            let what = known
                .iter()
                .find(|what| **what == alert.what)
                .unwrap_or(&"other");
            let remedy = self.word(&format!("do-{what}"));
            self.line(4, &[format!("-> {remedy}")]);
        }
    }
}

//! The federation as a picture of text: a tree whose edges show the lines, with what each node holds and how much of
//! each school has come how far.

use super::agreement::{self, Row};
use super::cast::{CAST, CITY, LAPTOP, Role, above};
use crate::label::{Arg, Lang, text, word};
use crate::show::measure::{bytes, grouped};
use crate::show::paint::{Paint, Tone};
use crate::show::state::{self, LinkWord};
use crate::show::table::{Side, Table, clip, width as table_width};
use crate::status::Status;

/// One node as the picture needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// Its newest status.
    pub(super) status: Option<&'a Status>,
    /// Its process runs.
    pub(super) runs: bool,
    /// Its line was cut.
    pub(super) cut: bool,
    /// Bytes its line carried up and down.
    pub(super) carried: (u64, u64),
}

/// How much a picture says; less where a terminal is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// Everything.
    Full,
    /// Not how much the lines carried.
    Lean,
    /// Neither that nor names.
    Bare,
}

impl Detail {
    /// Drops the last heading, which is that of the lines.
    fn heads(self, mut heads: Vec<(Side, String)>) -> Table {
        if self != Self::Full {
            heads.pop();
        }
        Table::new(heads)
    }

    fn name(self, lang: Lang, role: &Role) -> String {
        match self {
            Self::Bare => role.name.to_owned(),
            _ => format!("{} {}", role.name, word(lang, role.label)),
        }
    }
}

/// Draws with as much detail as fits into `width` columns, and clips what still does not.
fn fitting(width: usize, draw: impl Fn(Detail) -> String) -> Vec<String> {
    let fits = |drawn: &String| drawn.lines().all(|line| table_width(line) <= width);
    let drawn = [Detail::Full, Detail::Lean]
        .into_iter()
        .map(&draw)
        .find(fits);
    let drawn = drawn.unwrap_or_else(|| draw(Detail::Bare));
    drawn.lines().map(|line| clip(line, width)).collect()
}

/// Draws the tree; one line a node, none wider than `width`.
pub(super) fn tree(
    lang: Lang,
    paint: Paint,
    nodes: &[Seen<'_>],
    rows: &[Row],
    width: usize,
) -> Vec<String> {
    fitting(width, |detail| tree_with(lang, paint, nodes, rows, detail))
}

fn tree_with(lang: Lang, paint: Paint, nodes: &[Seen<'_>], rows: &[Row], detail: Detail) -> String {
    let heads = [
        (Side::Left, "demo-column-node"),
        (Side::Left, "demo-column-link"),
        (Side::Right, "demo-column-records"),
        (Side::Right, "demo-column-district"),
        (Side::Right, "demo-column-city"),
        (Side::Right, "demo-column-waiting"),
        (Side::Right, "demo-column-wire"),
    ];
    let mut table = detail.heads(heads.map(|(side, key)| (side, word(lang, key))).to_vec());
    for at in order() {
        let (Some(role), Some(seen)) = (CAST.get(at), nodes.get(at)) else {
            continue;
        };
        let link = link_word(at, seen);
        let name = detail.name(lang, role);
        let name = if seen.runs {
            name
        } else {
            paint.tint(Tone::Faint, &name)
        };
        let sign = match link {
            None => String::new(),
            Some(link) => paint.tint(link.tone(), link.sign()),
        };
        let said = match link {
            _ if !seen.runs && at == LAPTOP && seen.status.is_some() => {
                paint.tint(Tone::Faint, &word(lang, "demo-away"))
            }
            _ if !seen.runs || seen.status.is_none() => {
                paint.tint(Tone::Faint, &word(lang, "demo-starting"))
            }
            None => String::new(),
            Some(LinkWord::Off) if seen.cut => paint.tint(Tone::Bad, &word(lang, "demo-line-cut")),
            Some(link) => paint.tint(link.tone(), &link.word(lang)),
        };
        let here: u64 = seen
            .status
            .map(|status| status.holdings.iter().map(|holding| holding.records).sum())
            .unwrap_or_default();
        let row = rows.iter().find(|row| row.school == at);
        let come = |node: Option<usize>| match (row, node) {
            (Some(row), Some(node)) => arrived(paint, row, node),
            _ => String::new(),
        };
        let waiting = seen.status.filter(|_| at != LAPTOP).and_then(waiting);
        let (up, down) = seen.carried;
        let wire = match above(at) {
            None => String::new(),
            Some(_) => format!("{} / {}", bytes(up), bytes(down)),
        };
        table.row([
            format!("{}{sign} {name}", branch(at, seen, link)),
            said,
            if seen.status.is_some() {
                grouped(here)
            } else {
                String::new()
            },
            come(above(at)),
            come(Some(CITY)),
            waiting.map_or_else(String::new, |count| match count {
                0 => "0".to_owned(),
                count => paint.tint(Tone::Busy, &grouped(count)),
            }),
            wire,
        ]);
    }
    table.render(1, paint)
}

/// How many of a school's records a node above has, with a tick once it holds the same as the school.
fn arrived(paint: Paint, row: &Row, node: usize) -> String {
    let (Some(school), Some(held)) = (row.at(row.school), row.at(node)) else {
        return "-  ".to_owned();
    };
    let same = held.digest == school.digest && held.settled;
    let (tone, sign) = if same {
        (Tone::Good, "\u{2713}")
    } else {
        (Tone::Busy, "\u{2026}")
    };
    format!("{} {}", grouped(held.records), paint.tint(tone, sign))
}

/// The node's link upwards; none at the root and for a node nothing is known of.
fn link_word(at: usize, seen: &Seen<'_>) -> Option<LinkWord> {
    above(at)?;
    match seen.status {
        // Whoever looks on knows of a cut before the two ends do.
        Some(status) if seen.runs && !seen.cut => state::of_uplink(status),
        _ => Some(LinkWord::Off),
    }
}

/// How many entries of a node its line still has to carry: by receipt, or without one by what its session says.
fn waiting(status: &Status) -> Option<u64> {
    let sessions = state::dialled(status);
    let queued = sessions.iter().map(|peer| peer.to_send).sum();
    state::behind(status).or_else(|| (!sessions.is_empty()).then_some(queued))
}

/// Nodes in the order of the picture: each above what hangs below it.
fn order() -> Vec<usize> {
    fn walk(at: usize, order: &mut Vec<usize>) {
        order.push(at);
        for child in children(at) {
            walk(child, order);
        }
    }
    let mut found = Vec::new();
    walk(CITY, &mut found);
    found
}

fn children(at: usize) -> impl Iterator<Item = usize> {
    (0..CAST.len()).filter(move |child| above(*child) == Some(at))
}

/// The edges in front of a node; a dead line is dotted.
fn branch(at: usize, seen: &Seen<'_>, link: Option<LinkWord>) -> String {
    let Some(parent) = above(at) else {
        return String::new();
    };
    let is_last = |at: usize| above(at).is_none_or(|up| children(up).last() == Some(at));
    let mut edges = String::new();
    let mut path = Vec::new();
    let mut upper = parent;
    while above(upper).is_some() {
        path.push(upper);
        upper = above(upper).unwrap_or(CITY);
    }
    for upper in path.into_iter().rev() {
        edges.push_str(if is_last(upper) { "   " } else { "\u{2502}  " });
    }
    edges.push(if is_last(at) { '\u{2514}' } else { '\u{251c}' });
    let dead = seen.cut || !seen.runs || matches!(link, Some(LinkWord::Off | LinkWord::Never));
    edges.push(if dead { '\u{254c}' } else { '\u{2500}' });
    edges
}

/// The table at the end: what every tier holds of every school, and whether it is the same.
pub(super) fn result(
    lang: Lang,
    paint: Paint,
    rows: &[Row],
    entries: &[(usize, u64)],
    nodes: &[Seen<'_>],
    width: usize,
) -> Vec<String> {
    fitting(width, |detail| {
        result_with(lang, paint, rows, entries, nodes, detail)
    })
}

fn result_with(
    lang: Lang,
    paint: Paint,
    rows: &[Row],
    entries: &[(usize, u64)],
    nodes: &[Seen<'_>],
    detail: Detail,
) -> String {
    let heads = [
        (Side::Left, "column-unit"),
        (Side::Right, "demo-column-school"),
        (Side::Right, "demo-column-laptop"),
        (Side::Right, "demo-column-district"),
        (Side::Right, "demo-column-city"),
        (Side::Right, "demo-column-entries"),
        (Side::Left, "demo-column-agree"),
        (Side::Right, "demo-column-wire"),
    ];
    let mut table = detail.heads(heads.map(|(side, key)| (side, word(lang, key))).to_vec());
    let mut sums = [0_u64; 4];
    let mut entries_in_all = 0;
    let mut carried = (0, 0);
    for row in rows {
        let tiers = [
            Some(row.school),
            laptop_of(row.school),
            above(row.school),
            Some(CITY),
        ];
        let role = CAST.get(row.school);
        let mut cells = vec![role.map_or_else(String::new, |role| detail.name(lang, role))];
        for (tier, sum) in tiers.iter().zip(&mut sums) {
            let held = tier.and_then(|node| row.at(node));
            *sum += held.map_or(0, |held| held.records);
            cells.push(match (tier, held) {
                (None, _) => String::new(),
                (Some(_), None) => "?".to_owned(),
                (Some(_), Some(held)) => grouped(held.records),
            });
        }
        let own = entries
            .iter()
            .find(|(school, _)| *school == row.school)
            .map_or(0, |own| own.1);
        entries_in_all += own;
        cells.push(grouped(own));
        let (up, down) = nodes.get(row.school).map_or((0, 0), |seen| seen.carried);
        carried = (carried.0 + up, carried.1 + down);
        cells.push(verdict(lang, paint, row));
        cells.push(format!("{} / {}", bytes(up), bytes(down)));
        table.row(cells);
    }
    let mut cells = vec![word(lang, "demo-all")];
    cells.extend(sums.iter().enumerate().map(|(at, sum)| match at {
        // The laptop holds one school; its sum says nothing.
        1 => String::new(),
        _ => grouped(*sum),
    }));
    cells.push(grouped(entries_in_all));
    cells.push(String::new());
    cells.push(format!("{} / {}", bytes(carried.0), bytes(carried.1)));
    table.row(
        cells
            .into_iter()
            .map(|cell| paint.tint(Tone::Strong, &cell)),
    );
    table.render(1, paint)
}

fn laptop_of(school: usize) -> Option<usize> {
    (above(LAPTOP) == Some(school)).then_some(LAPTOP)
}

/// The one digest all tiers agree on, or all of them.
fn verdict(lang: Lang, paint: Paint, row: &Row) -> String {
    let digests = row.held.iter().map(|(_, held)| match held {
        None => "?".to_owned(),
        Some(held) => crate::show::measure::short(&held.digest),
    });
    if row.is_alike() {
        let digest = digests.into_iter().next().unwrap_or_default();
        return paint.tint(Tone::Good, &format!("{digest} \u{2713}"));
    }
    let digests: Vec<String> = digests.collect();
    let shown = format!(
        "\u{2717} {} {}",
        word(lang, "demo-column-differ"),
        digests.join(" ")
    );
    paint.tint(Tone::Bad, &shown)
}

/// Returns the rows for a picture of these nodes.
pub(super) fn rows_of(
    nodes: &[Seen<'_>],
    expected: &std::collections::BTreeMap<usize, u64>,
) -> Vec<Row> {
    let statuses: Vec<Option<&Status>> = nodes.iter().map(|seen| seen.status).collect();
    agreement::compare(&statuses, expected)
}

/// The heading of a chapter.
pub(super) fn heading(lang: Lang, number: usize, of: usize, title: &str) -> String {
    let args = [
        ("number", number.into()),
        ("of", of.into()),
        ("title", Arg::Text(title)),
    ];
    text(lang, "demo-chapter", &args)
}

/// Sums what all lines carried.
pub(super) fn carried(nodes: &[Seen<'_>]) -> u64 {
    nodes
        .iter()
        .map(|seen| seen.carried.0 + seen.carried.1)
        .sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::demo::cast::{DISTRICTS, LONELY};
    use crate::show::sample;
    use crate::show::table::width;

    fn all(statuses: &[Option<Status>]) -> Vec<Seen<'_>> {
        statuses
            .iter()
            .map(|status| Seen {
                status: status.as_ref(),
                runs: status.is_some(),
                cut: false,
                carried: (12_345, 678),
            })
            .collect()
    }

    fn statuses() -> Vec<Option<Status>> {
        let mut found: Vec<Option<Status>> = vec![Some(sample::school()); CAST.len()];
        found[CITY] = Some(Status {
            holdings: sample::school().holdings,
            ..sample::city()
        });
        found[LONELY] = Some(sample::cut_off());
        found[LAPTOP] = None;
        found
    }

    #[test]
    fn every_node_has_a_line_below_the_one_it_dials() {
        assert_eq!(
            order(),
            [CITY, DISTRICTS[0], 3, 4, DISTRICTS[1], LONELY, LAPTOP, 6]
        );
        let statuses = statuses();
        let nodes = all(&statuses);
        let rows = rows_of(&nodes, &BTreeMap::from([(LONELY, 1_200)]));
        for lang in Lang::ALL {
            let lines = tree(lang, Paint::PLAIN, &nodes, &rows, 200);
            assert_eq!(lines.len(), CAST.len() + 1);
            let name = word(lang, "demo-name-school-3");
            let lonely = lines.iter().find(|line| line.contains(&name)).unwrap();
            assert!(lonely.contains(&LinkWord::Off.word(lang)), "{lonely}");
            assert!(
                lonely.contains('\u{254c}'),
                "a dead line is dotted: {lonely}"
            );
            assert!(lonely.contains("1,200 \u{2713}"), "{lonely}");
        }
    }

    #[test]
    fn a_line_that_was_cut_is_called_so_before_the_node_notices() {
        let mut statuses = statuses();
        statuses[LONELY] = Some(sample::school());
        let mut nodes = all(&statuses);
        nodes[LONELY].cut = true;
        let lines = tree(Lang::En, Paint::PLAIN, &nodes, &[], 200);
        assert!(
            lines.iter().any(|line| line.contains("line dead")),
            "{lines:?}"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let statuses = statuses();
        for lang in Lang::ALL {
            for room in [30, 79] {
                let lines = tree(lang, Paint::PLAIN, &all(&statuses), &[], room);
                assert!(
                    room < 79 || !lines.iter().any(|line| line.ends_with("...")),
                    "{lines:?}"
                );
                assert!(lines.iter().all(|line| width(line) <= room), "{lines:?}");
            }
        }
    }

    #[test]
    fn the_result_names_one_digest_when_tiers_agree_and_all_when_not() {
        let statuses = statuses();
        let nodes = all(&statuses);
        let mut rows = rows_of(&nodes, &BTreeMap::from([(LONELY, 1_200)]));
        let shown = result(Lang::En, Paint::PLAIN, &rows, &[(LONELY, 9)], &nodes, 200).join("\n");
        assert!(
            shown.contains("e86bd35c ? e86bd35c"),
            "the laptop is away: {shown}"
        );
        for row in &mut rows {
            row.held.retain(|(node, _)| *node != LAPTOP);
        }
        let shown = result(Lang::En, Paint::PLAIN, &rows, &[(LONELY, 9)], &nodes, 200).join("\n");
        assert!(shown.contains("e86bd35c \u{2713}"), "{shown}");
    }
}

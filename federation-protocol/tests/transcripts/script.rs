//! The commands of a transcript.
//!
//! ```text
//! node NAME UNIT TIER [parent=UNIT]      a node; the first unit is the root
//! clone NAME of=NODE                     a copied disk: same key, epoch and store
//! estrange NODE                          its root and chain are another federation's
//! place NODE [without=UNIT]              the roster it has seen lacks a unit, or is whole
//! link A B [proven=NODE]                 A dials B; B may see another key
//! bend A B version=1..2|root=UNIT|chain=NODE|garble|entries-first|bad-fork
//! renew NODE                             its store gets a new epoch
//! cut A B, restart NODE, snapshot NODE, rollback NODE, hold NODE, release NODE
//! write NODE REACH PERIOD|- TEXT [x=COUNT] [size=BYTES]
//! claim NODE UNIT OTHER                  writes a chain in which UNIT certifies OTHER's key
//! stabilize [messages=N]                 runs until quiet, or for so many messages
//! expect-equal A B, expect-different A B, expect-entries NODE UNIT COUNT, expect-gone A B
//! traffic A B [max=BYTES] [messages=N]   bytes and messages both ways since the link stands
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use federation_protocol::{Message, Reach};

use super::store::Store;
use super::world::{Bend, World, node_secret};

/// Runs a transcript and compares it with what it says, or rewrites it.
pub(crate) fn check(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let told = run(&text);
    if std::env::var_os("SANJI_BLESS").is_some() {
        std::fs::write(path, &told).unwrap();
    } else {
        let same = text
            .lines()
            .zip(told.lines())
            .take_while(|(a, b)| a == b)
            .count();
        let line = |text: &str| text.lines().nth(same).unwrap_or("(end)").to_owned();
        assert_eq!(
            text,
            told,
            "line {}: {:?}, now {:?}",
            same + 1,
            line(&text),
            line(&told)
        );
    }
}

fn run(text: &str) -> String {
    let mut runner = Runner {
        world: World::new(1),
        snapshots: BTreeMap::new(),
    };
    let mut told = String::new();
    for block in text
        .split("\n\n")
        .map(str::trim)
        .filter(|block| !block.is_empty())
    {
        let commands: Vec<&str> = block.lines().take_while(|line| *line != "----").collect();
        let real: Vec<&&str> = commands
            .iter()
            .filter(|line| !line.starts_with('#'))
            .collect();
        if !told.is_empty() {
            told.push('\n');
        }
        for command in &commands {
            writeln!(told, "{command}").unwrap();
        }
        if real.is_empty() {
            continue;
        }
        for command in real {
            runner.run(command);
        }
        let trace = std::mem::take(&mut runner.world.trace);
        if !trace.is_empty() {
            writeln!(told, "----").unwrap();
        }
        for line in trace {
            writeln!(told, "{line}").unwrap();
        }
    }
    told
}

struct Runner {
    world: World,
    snapshots: BTreeMap<String, Store>,
}

impl Runner {
    fn run(&mut self, command: &str) {
        let (words, options): (Vec<&str>, Vec<&str>) = command
            .split_whitespace()
            .partition(|word| !word.contains('='));
        let options: BTreeMap<&str, &str> = options
            .into_iter()
            .filter_map(|option| option.split_once('='))
            .collect();
        let number = |name: &str| {
            options
                .get(name)
                .map(|text| text.parse::<usize>().expect("a number"))
        };
        let world = &mut self.world;
        match words.as_slice() {
            ["node", name, unit, tier] => {
                world.add_node(name, unit, tier, options.get("parent").copied());
            }
            ["clone", name] => world.clone_node(name, options["of"]),
            ["estrange", name] => world.estrange(name),
            ["place", name] => world.place(name, options.get("without").copied()),
            ["link", a, b] => {
                let proven = options
                    .get("proven")
                    .map(|name| node_secret(name).node_key());
                world.link(a, b, proven);
            }
            ["bend", a, b, rest @ ..] => world.bend(a, b, bend(rest, &options)),
            ["cut", a, b] => world.cut(a, b),
            ["restart", name] => world.restart(name, None),
            ["snapshot", name] => {
                let store = world.nodes[*name].store.clone();
                self.snapshots.insert((*name).to_owned(), store);
            }
            ["rollback", name] => {
                let store = self.snapshots.remove(*name);
                world.restart(name, Some(store.expect("a snapshot")));
            }
            ["renew", name] => world.renew(name),
            ["hold", name] => world.nodes.get_mut(*name).unwrap().held = true,
            ["release", name] => world.release(name),
            ["write", name, to, period, text] => {
                let (to, period) = (reach(to), (*period != "-").then(|| period.parse().unwrap()));
                for count in 0..number("x").unwrap_or(1) {
                    let text = format!("{text} {count}");
                    let part = World::part(&to, period, &text, number("size").unwrap_or(0));
                    if let Err(error) = world.write(name, to.clone(), period, vec![part]) {
                        let said = world.words.plain(&error.to_string());
                        world.trace.push(format!("{name} cannot write: {said}"));
                    }
                }
            }
            ["claim", name, unit, other] => {
                let part = world.claim_part(unit, other);
                world
                    .write(name, reach("up:city"), None, vec![part])
                    .unwrap();
            }
            ["stabilize"] => {
                world.stabilize(number("messages"));
            }
            ["expect-equal", a, b] => {
                assert_eq!(
                    world.shared_digest(a, b),
                    world.shared_digest(b, a),
                    "{command}"
                );
            }
            ["expect-different", a, b] => {
                assert_ne!(
                    world.shared_digest(a, b),
                    world.shared_digest(b, a),
                    "{command}"
                );
            }
            ["expect-entries", name, unit, count] => {
                let logs = world.nodes[*name].replica.logs();
                let held: u64 = logs
                    .filter(|(_, state)| state.key.unit.as_str() == *unit)
                    .map(|(_, state)| state.head.seq_num + 1)
                    .sum();
                assert_eq!(held, count.parse::<u64>().unwrap(), "{command}");
            }
            ["expect-gone", a, b] => assert!(!world.is_linked(a, b), "{command}"),
            ["traffic", a, b] => {
                let (there, back) = (world.traffic(a, b), world.traffic(b, a));
                world.trace.push(format!(
                    "{a} -> {b}  {} messages, {} bytes; {b} -> {a}  {} messages, {} bytes",
                    there.1, there.0, back.1, back.0
                ));
                assert!(
                    number("max").is_none_or(|max| there.0 + back.0 <= max),
                    "{command}"
                );
                let messages = number("messages");
                assert!(
                    messages.is_none_or(|count| there.1 + back.1 == count),
                    "{command}"
                );
            }
            _ => panic!("no such command: {command}"),
        }
        world.check();
    }
}

fn bend(words: &[&str], options: &BTreeMap<&str, &str>) -> Bend {
    if let Some((min, max)) = options
        .get("version")
        .and_then(|range| range.split_once(".."))
    {
        return Bend::Version(min.parse().unwrap(), max.parse().unwrap());
    }
    if let Some(unit) = options.get("root") {
        return Bend::Root((*unit).to_owned());
    }
    if let Some(name) = options.get("chain") {
        return Bend::Chain((*name).to_owned());
    }
    match words {
        ["garble"] => Bend::Garble,
        ["entries-first"] => Bend::Instead(Message::Entries(Vec::new())),
        ["bad-fork"] => Bend::Instead(Message::Fork(vec![0x80].into(), vec![0x80].into())),
        _ => panic!("no such bend"),
    }
}

fn reach(text: &str) -> Reach {
    match text.split_once(':') {
        None if text == "own" => Reach::Own,
        None if text == "below" => Reach::Below,
        Some(("up", tier)) => Reach::Up(tier.parse().unwrap()),
        Some(("to", unit)) => Reach::To(unit.parse().unwrap()),
        _ => panic!("no such reach: {text}"),
    }
}

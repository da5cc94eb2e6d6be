//! The course of one run: a federation is drawn, lives through its faults, and must heal.

use std::sync::Arc;
use std::time::Duration;

use federation_protocol::Period;
use keys::{Chain, Domain, Hash, Secret, Signed, Subject};
use node::enrol::announce;
use node::records::{self, NewRecord};
use node::store::Batch;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tiers::{Federation, Kind, KindStatement, RecordId, Roster, RosterChild, Value};

use super::Options;
use super::checks::Promises;
use super::machine::{Machine, Papers, Role, address, certificate};
use crate::entropy::SplitMix;
use crate::net::{Line, Network};
use crate::outcome::{Failure, Outcome};

/// The kind that the schools record.
const KIND: &str = include_str!("../../../tiers/kinds/practice-record.toml");
/// A local write must be durable within so much simulated time, whatever the links do.
const WRITE_LIMIT: Duration = Duration::from_secs(20);
/// Everything must agree within so much simulated time after the last fault.
const HEAL_LIMIT: Duration = Duration::from_secs(900);

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) options: Options,
    pub(super) machines: Vec<Machine>,
    pub(super) network: Network,
    pub(super) promises: Promises,
    pub(super) kind: Arc<Kind>,
    pub(super) period: Period,
    draw: SplitMix,
    serial: u64,
    down_until: Vec<Option<u64>>,
    started: tokio::time::Instant,
    step: u64,
    log: keys::Hasher,
}

/// Runs one seed inside the paused runtime.
pub(super) async fn run(seed: u64, options: Options) -> Outcome {
    let mut world = World::make(seed, options).await;
    let failure = match world.live().await {
        Ok(()) => None,
        Err((check, what)) => Some(Failure {
            check,
            step: world.step,
            at_ms: world.now_ms(),
            what,
        }),
    };
    let trace = world.network.trace().to_bytes();
    world.log.update(&trace);
    let simulated_ms = world.now_ms();
    for machine in &mut world.machines {
        machine.crash(&world.network).await;
    }
    Outcome {
        seed,
        steps: world.step,
        simulated_ms,
        trace: world.log.finish(),
        failure,
    }
}

pub(super) type Checked = Result<(), (&'static str, String)>;

impl World {
    async fn make(seed: u64, options: Options) -> Self {
        let mut draw = SplitMix::new(seed, &[1]);
        let roles = topology(&mut draw);
        let (machines, papers) = enrol(seed, roles);
        let line = [Line::GOOD, Line::BAD, Line::THIN][draw.below(3) as usize];
        let network = Network::new(seed, line);
        for machine in &machines {
            machine.disk.set_lies(options.lying_disks);
            machine.install(&papers.statements).await;
        }
        let down_until = machines.iter().map(|_| None).collect();
        Self {
            seed,
            options,
            machines,
            network,
            promises: Promises::default(),
            kind: Arc::new(Kind::parse(KIND).expect("the shipped kind parses")),
            period: "2026-1".parse().expect("a period"),
            draw,
            serial: 0,
            down_until,
            started: tokio::time::Instant::now(),
            step: 0,
            log: keys::Hasher::new(),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn live(&mut self) -> Checked {
        for index in 0..self.machines.len() {
            self.boot(index).await?;
        }
        for index in 0..self.machines.len() {
            if self.machines[index].role.tier != "school" {
                self.announce(index).await?;
            }
        }
        let steps = self
            .options
            .steps
            .unwrap_or_else(|| 15 + self.draw.below(25));
        for _ in 0..steps {
            self.step += 1;
            self.act().await?;
            self.come_back().await?;
            self.check_running()?;
        }
        self.heal().await
    }

    async fn boot(&mut self, index: usize) -> Checked {
        let weakness = self.options.weakness;
        self.machines[index]
            .boot(self.seed, &self.network, weakness)
            .await
            .map_err(|error| ("opens after a crash", error))?;
        self.down_until[index] = None;
        self.check_kept(index).await
    }

    /// One thing happens.
    async fn act(&mut self) -> Checked {
        let choice = self.draw.below(100);
        self.log.update(&[u8::try_from(choice).unwrap_or(u8::MAX)]);
        let index = usize::try_from(self.draw.below(self.machines.len() as u64)).unwrap_or(0);
        match choice {
            0..=34 => self.record().await?,
            35..=44 => self.edit().await?,
            45..=56 => {
                self.network.unbind(self.machines[index].address);
                self.machines[index].crash(&self.network).await;
                self.check_receipted(index).await?;
                let away = 1 + self.draw.below(60);
                self.down_until[index] = Some(self.now_ms() + away * 1_000);
            }
            57..=66 => self.network.isolate(self.machines[index].address),
            67..=76 => {
                self.network.heal_all();
                for machine in &self.machines {
                    self.network.rejoin(machine.address);
                }
            }
            77..=82 => {
                let line = [Line::GOOD, Line::BAD, Line::THIN][self.draw.below(3) as usize];
                self.network.set_line(line);
            }
            83..=87 => {
                let by = i64::try_from(self.draw.below(7_200_000)).unwrap_or(0) - 3_600_000;
                self.machines[index].wall.jump_ms(by);
            }
            88..=89 => tokio::time::sleep(Duration::from_secs(1_800)).await,
            _ => {}
        }
        let wait = Duration::from_millis(self.draw.below(8_000));
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn school(&mut self) -> Option<usize> {
        let up: Vec<usize> = self
            .machines
            .iter()
            .enumerate()
            .filter(|(_, machine)| machine.role.tier == "school" && machine.node().is_some())
            .map(|(index, _)| index)
            .collect();
        let at = usize::try_from(self.draw.below(up.len().max(1) as u64)).ok()?;
        up.get(at).copied()
    }

    async fn record(&mut self) -> Checked {
        let Some(index) = self.school() else {
            return Ok(());
        };
        let count = 1 + self.draw.below(30);
        let mut rows = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..count {
            self.serial += 1;
            let subject = format!("G{:04}", self.draw.below(12));
            let fields = self.fields(&subject, self.serial);
            let unit = self.machines[index]
                .role
                .unit
                .parse()
                .expect("simulated ids are valid");
            let bytes = tiers::fields_bytes(&fields);
            ids.push(RecordId::derive(
                &unit,
                self.kind.id(),
                Some(self.period),
                &bytes,
                0,
            ));
            rows.push(NewRecord { subject, fields });
        }
        let Some(node) = self.machines[index].node().cloned() else {
            return Ok(());
        };
        let file = Hash::of(&self.serial.to_be_bytes());
        let import = records::import(&node, self.kind.clone(), self.period, rows, file, |_, _| {});
        match tokio::time::timeout(WRITE_LIMIT, import).await {
            Err(_) => Err((
                "autonomy",
                format!("an import took more than {WRITE_LIMIT:?}"),
            )),
            Ok(Err(error)) => Err(("autonomy", error.to_string())),
            Ok(Ok(done)) => {
                let unit = self.machines[index].role.unit.clone();
                self.log.update(&done.new.to_be_bytes());
                self.promises.recorded(&unit, index, ids);
                Ok(())
            }
        }
    }

    fn fields(&self, subject: &str, serial: u64) -> tiers::Fields {
        let mut fields = tiers::Fields::new();
        for field in self.kind.fields() {
            let text = match field.name.as_str() {
                "student" => Some(subject.to_owned()),
                "title" => Some(format!("activity {serial}")),
                _ => sample(field),
            };
            if let Some(value) = text.and_then(|text| field.parse_text(&text).ok().flatten()) {
                fields.insert(field.number, value);
            }
        }
        fields.extend(
            self.kind
                .context(&"s".parse().expect("an id"), Some(self.period)),
        );
        fields
    }

    async fn edit(&mut self) -> Checked {
        let Some(index) = self.school() else {
            return Ok(());
        };
        let Some(node) = self.machines[index].node().cloned() else {
            return Ok(());
        };
        let unit = self.machines[index].role.unit.clone();
        let records = self.promises.recorded_at(&unit, index);
        let at = self.draw.below(records.len().max(1) as u64);
        let Some(record) = records.get(usize::try_from(at).unwrap_or(0)).copied() else {
            return Ok(());
        };
        let Some(subject) = super::checks::subject_of(&node, record, self.period) else {
            return Ok(());
        };
        self.serial += 1;
        let text = format!("edited {}", self.serial);
        let change = [("title".to_owned(), text.clone())].into();
        let edit = records::edit(&node, self.period, &subject, record, &change);
        match tokio::time::timeout(WRITE_LIMIT, edit).await {
            Err(_) => Err((
                "autonomy",
                format!("an edit took more than {WRITE_LIMIT:?}"),
            )),
            Ok(Err(error)) => Err(("autonomy", error.to_string())),
            Ok(Ok(())) => {
                let title = self
                    .kind
                    .field_by_name("title")
                    .map_or(0, |field| field.number);
                self.promises
                    .edited(record, title, index, Value::Text(text));
                Ok(())
            }
        }
    }

    async fn come_back(&mut self) -> Checked {
        for index in 0..self.machines.len() {
            if self.down_until[index].is_some_and(|until| until <= self.now_ms()) {
                self.boot(index).await?;
            }
        }
        Ok(())
    }

    fn check_running(&self) -> Checked {
        for machine in &self.machines {
            if let Some(how) = machine.ended() {
                return Err((
                    "no process ends by itself",
                    format!("{}: {how}", machine.role.name),
                ));
            }
        }
        Ok(())
    }

    /// Faults stop; everything must agree in bounded time.
    async fn heal(&mut self) -> Checked {
        self.network.heal_all();
        self.network.set_line(Line::GOOD);
        for index in 0..self.machines.len() {
            self.network.rejoin(self.machines[index].address);
            if self.machines[index].node().is_none() {
                self.boot(index).await?;
            }
        }
        let deadline = tokio::time::Instant::now() + HEAL_LIMIT;
        loop {
            self.check_running()?;
            match self.converged().await {
                Ok(()) => break,
                Err(failure) if tokio::time::Instant::now() > deadline => return Err(failure),
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
        self.check_everything().await
    }
}

/// Returns a valid text for a field of the shipped kind.
fn sample(field: &tiers::Field) -> Option<String> {
    use tiers::FieldType;
    Some(match &field.holds {
        FieldType::Enum => field.codes.first()?.code.clone(),
        FieldType::Date => "2026-10-10".to_owned(),
        FieldType::Decimal => "2".to_owned(),
        FieldType::Int | FieldType::Duration => "30".to_owned(),
        FieldType::Text => "text".to_owned(),
        _ => return None,
    })
}

fn topology(draw: &mut SplitMix) -> Vec<Role> {
    let role = |name: &str, unit: &str, tier, parent, laptop| Role {
        name: name.to_owned(),
        unit: unit.to_owned(),
        tier,
        parent,
        laptop,
    };
    let mut roles = vec![role("city", "city", "city", None, false)];
    let districts = 1 + draw.below(2);
    for d in 0..districts {
        let name = format!("d{d}");
        let district = roles.len();
        roles.push(role(&name, &name, "district", Some(0), false));
        for s in 0..1 + draw.below(2) {
            let name = format!("d{d}s{s}");
            let school = roles.len();
            roles.push(role(&name, &name, "school", Some(district), false));
            if draw.below(4) == 0 {
                let laptop = format!("{name}-laptop");
                roles.push(role(&laptop, &name, "school", Some(school), true));
            }
        }
    }
    if draw.below(3) == 0 {
        roles.push(role("direct", "direct", "school", Some(0), false));
    }
    roles
}

/// Makes keys, certificates and statements of a federation.
fn enrol(seed: u64, roles: Vec<Role>) -> (Vec<Machine>, Papers) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let root_secret = Secret::generate(&mut rng);
    let root = root_secret.unit_key();
    let federation = Federation {
        origin: "sanji.simulated".to_owned(),
        version: 1,
        tiers: ["school", "district", "city"]
            .map(|t| t.parse().expect("a tier"))
            .to_vec(),
        root: "city".parse().expect("an id"),
        tier: "city".parse().expect("a tier"),
        name: "city".to_owned(),
        created: 0,
    };
    let kind = KindStatement {
        unit: "city".parse().expect("an id"),
        text: KIND.to_owned(),
    };
    let mut statements = vec![
        (
            Domain::Federation,
            Signed::sign(&federation, &root_secret).bytes().to_vec(),
        ),
        (
            Domain::Kind,
            Signed::sign(&kind, &root_secret).bytes().to_vec(),
        ),
    ];
    let mut unit_secrets: Vec<Secret> = Vec::new();
    let mut unit_chains: Vec<Vec<Signed<keys::Certificate>>> = Vec::new();
    for role in &roles {
        let (secret, chain) = match role.parent {
            None => (root_secret.duplicate(), Vec::new()),
            Some(parent) if role.laptop => (
                unit_secrets[parent].duplicate(),
                unit_chains[parent].clone(),
            ),
            Some(parent) => {
                let secret = Secret::generate(&mut rng);
                let subject = Subject::Unit(secret.unit_key());
                let issuer = &roles[parent].unit;
                let leaf = certificate(
                    subject,
                    &role.unit,
                    role.tier,
                    issuer,
                    &unit_secrets[parent],
                );
                let mut chain = vec![leaf];
                chain.extend(unit_chains[parent].iter().cloned());
                (secret, chain)
            }
        };
        unit_secrets.push(secret);
        unit_chains.push(chain);
    }
    for (index, role) in roles.iter().enumerate() {
        let children: Vec<RosterChild> = roles
            .iter()
            .enumerate()
            .filter(|(_, child)| child.parent == Some(index) && !child.laptop)
            .map(|(at, child)| RosterChild {
                unit: child.unit.parse().expect("an id"),
                tier: child.tier.parse().expect("a tier"),
                name: child.unit.clone(),
                key: unit_secrets[at].unit_key(),
            })
            .collect();
        if !children.is_empty() {
            let unit = role.unit.parse().expect("an id");
            let roster = Roster {
                unit,
                version: 1,
                children,
            };
            let bytes = Signed::sign(&roster, &unit_secrets[index]).bytes().to_vec();
            statements.push((Domain::Roster, bytes));
        }
    }
    let mut machines = Vec::new();
    for (index, role) in roles.into_iter().enumerate() {
        let secret = Secret::generate(&mut rng);
        let subject = Subject::Node(secret.node_key());
        let leaf = certificate(
            subject,
            &role.unit,
            role.tier,
            &role.unit,
            &unit_secrets[index],
        );
        let mut chain = vec![leaf];
        chain.extend(unit_chains[index].iter().cloned());
        let chain = Chain::new(chain).expect("short chains");
        let unit_secret = (!role.laptop).then(|| unit_secrets[index].duplicate());
        let uplink = role.parent.map(address);
        machines.push(Machine::new(
            seed,
            index,
            role,
            secret,
            unit_secret,
            chain,
            root,
            uplink,
        ));
    }
    (machines, Papers { statements })
}

impl World {
    /// Announces the kind once more as an entry, so that statements travel too.
    pub(super) async fn announce(&self, index: usize) -> Checked {
        let Some(node) = self.machines[index].node() else {
            return Ok(());
        };
        let is_root = self.machines[index].role.parent.is_none();
        for (domain, bytes) in node.registry().statements() {
            if domain == Domain::Kind {
                let entries = announce(is_root, domain, bytes);
                node.write(entries, Batch::new())
                    .await
                    .map_err(|error| ("autonomy", error.to_string()))?;
            }
        }
        Ok(())
    }
}

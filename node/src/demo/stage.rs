//! The stage: the nodes that run, the lines between them, what is known of them, and what is seen of it all.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use super::agreement::Row;
use super::cast::CAST;
use super::error::DemoError;
use super::picture::{self, Seen};
use super::process::{self, Server};
use super::screen::Screen;
use super::wire::Wire;
use crate::clock::Stopwatch;
use crate::control;
use crate::home::Home;
use crate::label::{Arg, Lang, text, word};
use crate::request::Request;
use crate::show::measure::millis;
use crate::show::paint::Tone;
use crate::status::Status;

/// Wait between two looks at all nodes.
const LOOK: Duration = Duration::from_millis(80);
/// How long one node may take to say how it stands before its last word counts.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a step may take on a slow machine, before the records are counted.
const STEP: Duration = Duration::from_secs(90);
/// Chapters of the story.
pub(super) const CHAPTERS: usize = 7;

/// One node on the stage.
struct Player {
    home: PathBuf,
    log: PathBuf,
    /// Where it listens, once chosen; kept over restarts.
    listen: Option<SocketAddr>,
    server: Option<Server>,
    wire: Option<Wire>,
    status: Option<Status>,
}

/// Everything the story acts on.
pub(super) struct Stage {
    pub(super) lang: Lang,
    program: PathBuf,
    dir: PathBuf,
    players: Vec<Player>,
    screen: Screen,
    started: Stopwatch,
    chapter: (usize, &'static str),
    /// The picture stands and is not redrawn any more.
    fallen: bool,
    told: bool,
    /// Records made at each school so far, as the commands that made them said.
    pub(super) expected: BTreeMap<usize, u64>,
    /// More time for more records.
    patience: Duration,
}

impl Stage {
    pub(super) fn new(lang: Lang, program: PathBuf, dir: &Path, records: u64, plain: bool) -> Self {
        let player = |name: &str| Player {
            home: dir.join("homes").join(name),
            log: dir.join("logs").join(format!("{name}.log")),
            listen: None,
            server: None,
            wire: None,
            status: None,
        };
        Self {
            lang,
            program,
            dir: dir.to_owned(),
            players: CAST.iter().map(|role| player(role.name)).collect(),
            screen: Screen::new(plain),
            started: Stopwatch::start(),
            chapter: (0, "demo-found"),
            fallen: false,
            told: false,
            expected: BTreeMap::new(),
            patience: STEP + Duration::from_millis(records / 2),
        }
    }

    // What is seen.

    /// Opens a chapter.
    pub(super) fn chapter(&mut self, key: &'static str) {
        self.chapter = (self.chapter.0 + 1, key);
        let heading = picture::heading(self.lang, self.chapter.0, CHAPTERS, &word(self.lang, key));
        let heading = self.screen.paint().tint(Tone::Title, &heading);
        self.screen.say(&format!("\n{heading}"));
    }

    /// Says what a chapter is about, under its heading.
    pub(super) fn remark(&mut self, key: &str) {
        let said = self.screen.paint().tint(Tone::Faint, &word(self.lang, key));
        self.screen.say(&format!("  {said}"));
        self.draw();
    }

    /// Says what happened.
    pub(super) fn event(&mut self, key: &str, args: &[(&str, Arg<'_>)]) {
        let said = text(self.lang, key, args);
        self.say(&format!("  \u{00b7} {said}"));
    }

    /// Writes lines that stay.
    pub(super) fn say(&mut self, said: &str) {
        self.screen.say(said);
        self.draw();
    }

    /// Writes the picture as it is now, where it is not redrawn anyway.
    pub(super) fn snapshot(&mut self) {
        if !self.screen.is_live() {
            let lines = self.picture();
            self.screen.say(&lines.join("\n"));
        }
    }

    /// Lets the last picture stand; what is said from now on comes below it, without another picture.
    pub(super) fn curtain(&mut self) {
        self.draw();
        self.screen.keep();
        self.fallen = true;
    }

    /// Notes that the story was told to its end.
    pub(super) fn told(&mut self) {
        self.told = true;
    }

    /// Tells whether the story was told to its end.
    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    fn draw(&mut self) {
        if !self.screen.is_live() || self.fallen {
            return;
        }
        let mut lines = vec![String::new()];
        lines.extend(self.picture());
        let paint = self.screen.paint();
        let (number, key) = self.chapter;
        let heading = picture::heading(self.lang, number, CHAPTERS, &word(self.lang, key));
        let bar = format!(
            " {}  {}",
            paint.tint(Tone::Title, &heading),
            paint.tint(Tone::Faint, &self.elapsed())
        );
        lines.push(bar);
        self.screen.draw(&lines);
    }

    fn picture(&self) -> Vec<String> {
        let seen = self.seen();
        let rows = picture::rows_of(&seen, &self.expected);
        let (paint, width) = (self.screen.paint(), self.screen.width());
        picture::tree(self.lang, paint, &seen, &rows, width)
    }

    /// Writes the final table.
    pub(super) fn result(&mut self, entries: &[(usize, u64)]) {
        let seen = self.seen();
        let rows = picture::rows_of(&seen, &self.expected);
        let (paint, width) = (self.screen.paint(), self.screen.width());
        let lines = picture::result(self.lang, paint, &rows, entries, &seen, width);
        self.screen.say(&lines.join("\n"));
    }

    fn seen(&self) -> Vec<Seen<'_>> {
        let seen = |player: &'_ Player| Seen {
            status: None,
            runs: player.server.is_some(),
            cut: player.wire.as_ref().is_some_and(Wire::is_cut),
            carried: player.wire.as_ref().map_or((0, 0), Wire::carried),
        };
        self.players
            .iter()
            .map(|player| Seen {
                status: player.status.as_ref(),
                ..seen(player)
            })
            .collect()
    }

    pub(super) fn paint(&self) -> crate::show::paint::Paint {
        self.screen.paint()
    }

    /// Time since the demo began.
    pub(super) fn elapsed(&self) -> String {
        millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Bytes all lines have carried.
    pub(super) fn carried(&self) -> u64 {
        picture::carried(&self.seen())
    }

    /// Bytes the line of one node has carried.
    pub(super) fn carried_by(&self, node: usize) -> u64 {
        self.seen()
            .get(node)
            .map_or(0, |seen| seen.carried.0 + seen.carried.1)
    }

    // What is known.

    pub(super) fn status(&self, node: usize) -> Option<&Status> {
        self.players.get(node)?.status.as_ref()
    }

    /// What every tier holds of every school.
    pub(super) fn rows(&self) -> Vec<Row> {
        picture::rows_of(&self.seen(), &self.expected)
    }

    pub(super) fn name(&self, node: usize) -> String {
        CAST.get(node)
            .map_or_else(String::new, |role| word(self.lang, role.label))
    }

    pub(super) fn home(&self, node: usize) -> PathBuf {
        self.player(node).home.clone()
    }

    pub(super) fn logs(&self) -> String {
        self.dir.join("logs").display().to_string()
    }

    /// The title of the chapter under way.
    pub(super) fn step(&self) -> String {
        word(self.lang, self.chapter.1)
    }

    fn player(&self, node: usize) -> &Player {
        self.players
            .get(node)
            .expect("nodes are named by the constants of the cast")
    }

    fn player_mut(&mut self, node: usize) -> &mut Player {
        self.players
            .get_mut(node)
            .expect("nodes are named by the constants of the cast")
    }

    /// Asks every node how it stands and redraws; a node that ended by itself is an error.
    async fn look(&mut self) -> Result<(), DemoError> {
        let asked = self.players.iter().map(|player| {
            let socket = Home::control_path(&player.home);
            let runs = player.server.is_some();
            async move {
                if !runs {
                    return None;
                }
                let ask = control::ask(&socket, &Request::Status, |_, _| {});
                let answer = tokio::time::timeout(ANSWER, ask).await.ok()?.ok()??.ok()?;
                serde_json::from_value::<Status>(answer).ok()
            }
        });
        let answers = join_all(asked).await;
        let step = self.step();
        for (at, (player, status)) in self.players.iter_mut().zip(answers).enumerate() {
            if status.is_some() {
                player.status = status;
            }
            if let Some(ended) = player.server.as_mut().and_then(Server::ended) {
                player.server = None;
                return Err(DemoError::Ended {
                    step,
                    node: CAST.get(at).map_or("", |role| role.name),
                    how: ended.to_string(),
                    log: player.log.clone(),
                });
            }
        }
        self.draw();
        Ok(())
    }

    /// Looks at the nodes until `missing` misses nothing any more.
    pub(super) async fn until(
        &mut self,
        missing: impl Fn(&Self) -> Option<String>,
    ) -> Result<(), DemoError> {
        let waiting = Stopwatch::start();
        loop {
            self.look().await?;
            let Some(missing) = missing(self) else {
                return Ok(());
            };
            if waiting.elapsed() > self.patience {
                let waited = self.patience;
                return Err(DemoError::Late {
                    step: self.step(),
                    waited,
                    missing,
                    logs: self.logs(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Looks at the nodes while something else goes on.
    pub(super) async fn during<F: Future>(&mut self, work: F) -> Result<F::Output, DemoError> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(LOOK) => {}
            }
            self.look().await?;
        }
    }

    // What is done.

    /// Runs a command on the home of a node.
    pub(super) async fn command(
        &mut self,
        node: usize,
        args: Vec<String>,
    ) -> Result<Value, DemoError> {
        let mut done = self.commands(vec![(node, args)]).await?;
        Ok(done.pop().unwrap_or_default())
    }

    /// Runs commands side by side; answers stand in the order of the commands.
    pub(super) async fn commands(
        &mut self,
        commands: Vec<(usize, Vec<String>)>,
    ) -> Result<Vec<Value>, DemoError> {
        let runs: Vec<_> = commands
            .into_iter()
            .map(|(node, args)| {
                let (program, home) = (self.program.clone(), self.home(node));
                let lang = self.lang;
                async move { (node, process::run(&program, &home, lang, args).await) }
            })
            .collect();
        let done = self.during(join_all(runs)).await?;
        done.into_iter()
            .map(|(node, result)| {
                result.map_err(|failed| DemoError::Command {
                    step: self.step(),
                    node: CAST.get(node).map_or("", |role| role.name),
                    command: failed.command,
                    said: failed.said,
                    log: self.player(node).log.clone(),
                })
            })
            .collect()
    }

    /// Runs a command that must be refused, and returns what it said.
    pub(super) async fn refused(
        &mut self,
        node: usize,
        args: Vec<String>,
    ) -> Result<String, DemoError> {
        match self.command(node, args).await {
            Err(DemoError::Command { said, .. }) => Ok(said),
            Err(error) => Err(error),
            Ok(answer) => Err(self.lost(node, answer.to_string())),
        }
    }

    /// The error of a node that shows something else than it should.
    pub(super) fn lost(&self, node: usize, what: String) -> DemoError {
        DemoError::Lost {
            step: self.step(),
            node: CAST.get(node).map_or("", |role| role.name),
            what,
            logs: self.logs(),
        }
    }

    /// Starts a node on a port that is free, and waits until it answers.
    pub(super) async fn start(&mut self, nodes: &[usize]) -> Result<(), DemoError> {
        for node in nodes {
            let failed = |step: String, source| DemoError::Start {
                step,
                node: CAST.get(*node).map_or("", |role| role.name),
                source,
            };
            let listen = match self.player(*node).listen {
                Some(listen) => listen,
                None => free_port().map_err(|source| failed(self.step(), source))?,
            };
            let (program, player) = (self.program.clone(), self.player_mut(*node));
            let server = Server::start(&program, &player.home, listen, &player.log);
            player.listen = Some(listen);
            player.status = None;
            match server {
                Ok(server) => player.server = Some(server),
                Err(source) => return Err(failed(self.step(), source)),
            }
        }
        self.until(|stage| {
            let silent = nodes.iter().find(|node| stage.status(**node).is_none())?;
            let name = stage.name(*silent);
            Some(text(
                stage.lang,
                "demo-missing-answer",
                &[("node", Arg::Text(&name))],
            ))
        })
        .await
    }

    /// Lays the line of a node to the node it dials, and returns where the node finds it.
    pub(super) async fn lay_wire(&mut self, node: usize) -> Result<SocketAddr, DemoError> {
        let dials = CAST.get(node).and_then(|role| role.dials);
        let to = dials.and_then(|dials| self.player(dials).listen);
        let to = to.expect("a node that is dialled was started before");
        let wire = Wire::lay(to).await.map_err(|source| DemoError::Wire {
            step: self.step(),
            node: CAST.get(node).map_or("", |role| role.name),
            source,
        })?;
        let address = wire.address();
        self.player_mut(node).wire = Some(wire);
        Ok(address)
    }

    /// Cuts the line of a node.
    pub(super) fn cut(&mut self, node: usize) {
        if let Some(wire) = &self.player(node).wire {
            wire.cut();
        }
        self.draw();
    }

    /// Mends the line of a node.
    pub(super) fn mend(&mut self, node: usize) {
        if let Some(wire) = &self.player(node).wire {
            wire.mend();
        }
        self.draw();
    }

    /// Ends a node at once, as a power cut does.
    pub(super) fn kill(&mut self, node: usize) {
        if let Some(mut server) = self.player_mut(node).server.take() {
            server.kill();
        }
        self.draw();
    }

    /// Ends a node in order.
    pub(super) async fn stop(&mut self, node: usize) -> Result<(), DemoError> {
        if let Some(server) = self.player_mut(node).server.take() {
            self.during(server.stop()).await?;
        }
        Ok(())
    }

    /// Ends every node in order, from below, and says whether all ended well.
    pub(super) async fn stop_all(&mut self) -> bool {
        let servers: Vec<Server> = self
            .players
            .iter_mut()
            .rev()
            .filter_map(|player| player.server.take())
            .collect();
        let ended = join_all(servers.into_iter().map(Server::stop)).await;
        ended
            .iter()
            .all(|status| status.is_some_and(|status| status.success()))
    }

    /// Keeps looking until a node ends by itself.
    pub(super) async fn watch(&mut self) -> Result<(), DemoError> {
        loop {
            self.look().await?;
            tokio::time::sleep(LOOK * 5).await;
        }
    }
}

/// Finds a free UDP port of the loopback. Between finding and using it another process may take it; the node then says
/// so and the demo stops.
fn free_port() -> std::io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

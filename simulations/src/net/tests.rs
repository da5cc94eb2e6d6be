use super::*;
use std::time::Duration;

use keys::Secret;
use node::frame::FrameError;
use node::transport::{CloseCode, Closed, ConnectError, Link, Transport, TransportOptions, limits};
use tokio::time::timeout;

use crate::clock::WallClock;
use crate::entropy::simulate;

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7_000))
}

struct Machine {
    transport: Transport,
    runtime: NodeRuntime,
}

fn machine(network: &Network, n: u8) -> Machine {
    let runtime = NodeRuntime::new();
    let mut options = TransportOptions::default();
    options.rng_seed = Some([n; 32]);
    let transport = Transport::from_socket(
        network.bind(address(n)).unwrap(),
        Arc::new(runtime.clone()),
        &Secret::from_seed([n; 32]),
        WallClock::new(0).boot(),
        options,
    )
    .unwrap();
    Machine { transport, runtime }
}

async fn linked(near: &Machine, far: &Machine) -> (Link, Link) {
    let accept = async {
        far.transport
            .accept()
            .await
            .unwrap()
            .establish()
            .await
            .unwrap()
    };
    let dial = near
        .transport
        .connect(far.transport.local_address().unwrap());
    let (dialled, accepted) = tokio::join!(dial, accept);
    (dialled.unwrap(), accepted)
}

/// What two runs are compared by, and how long it took in simulated time.
#[derive(Debug, PartialEq)]
struct Run {
    trace: Trace,
    totals: Totals,
    took: Duration,
}

/// Two nodes exchange `frames` frames each way over a line; the second echoes what it reads.
fn echo(seed: u64, line: Line, frames: u32) -> Run {
    simulate(seed, async move || {
        let network = Network::new(seed, line);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let mut links = None;
        // On a bad line a handshake may need more than one dial.
        for _ in 0..10 {
            let accept = async { far.transport.accept().await.unwrap().establish().await };
            let dial = near.transport.connect(address(2));
            if let (Ok(dialled), Ok(accepted)) = tokio::join!(dial, accept) {
                links = Some((dialled, accepted));
                break;
            }
        }
        let (dialled, accepted) = links.expect("one of ten dials gets through");
        let (near_link, mut writer, mut reader) = dialled.split();
        let (far_link, mut far_writer, mut far_reader) = accepted.split();
        far.runtime.run(async move {
            while let Ok(Some(payload)) = far_reader.read().await {
                far_writer.write(&payload).await.unwrap();
            }
            far_link.close(CloseCode::Done, "echoed everything");
        });
        let mut trace = Trace::default();
        for n in 0..frames {
            let payload = vec![n as u8; 40 * n as usize];
            writer.write(&payload).await.unwrap();
            let echoed = reader.read().await.unwrap().unwrap();
            assert_eq!(echoed, payload);
            trace.note(&echoed);
        }
        writer.finish().await.unwrap();
        near_link.closed().await;
        trace.note(&network.trace().to_bytes());
        Run {
            trace,
            totals: network.totals(),
            took: network.state().started.elapsed(),
        }
    })
}

#[test]
fn one_seed_gives_one_run_and_another_seed_another() {
    let first = echo(11, Line::BAD, 30);
    assert_eq!(first, echo(11, Line::BAD, 30));
    assert_ne!(first.trace, echo(12, Line::BAD, 30).trace);
    assert!(first.totals.lost > 0, "{first:?}");
}

#[test]
fn a_bad_line_delivers_everything_only_later() {
    let (good, bad) = (echo(5, Line::GOOD, 40), echo(5, Line::BAD, 40));
    assert_eq!(
        good.totals.lost + good.totals.corrupted + good.totals.overrun,
        0
    );
    assert!(
        bad.totals.lost > 0 && bad.totals.duplicated > 0 && bad.totals.held > 0,
        "{bad:?}"
    );
    assert!(bad.took > good.took);
}

#[test]
fn a_thin_line_carries_no_more_than_its_bandwidth() {
    let line = Line {
        loss: 0,
        jitter: Duration::ZERO,
        ..Line::THIN
    };
    let received = simulate(3, async move || {
        let network = Network::new(3, line);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, accepted) = linked(&near, &far).await;
        let (near_link, mut writer, _near_reader) = dialled.split();
        let (far_link, _far_writer, mut reader) = accepted.split();
        far_link.admit();
        far.runtime
            .run(async move { while let Ok(Some(_)) = reader.read().await {} });
        let noise = noise(60_000);
        let send = async { while writer.write(&noise).await.is_ok() {} };
        assert!(timeout(Duration::from_secs(60), send).await.is_err());
        assert!(near_link.ended().is_none());
        far_link.stats().received.wire_bytes
    });
    let most = 60 * 64 * 1024;
    assert!(
        received <= most && received > most / 2,
        "{received} of {most}"
    );
}

#[test]
fn peers_are_known_and_refusals_are_told_over_the_simulated_network_too() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, accepted) = linked(&near, &far).await;
        assert_eq!(dialled.peer(), Secret::from_seed([2; 32]).node_key());
        assert_eq!(accepted.peer(), Secret::from_seed([1; 32]).node_key());
        assert_eq!(dialled.exporter("x"), accepted.exporter("x"));
        accepted
            .handle()
            .close(CloseCode::Refused, "unit s-1 is not on the roster");
        let told = dialled.handle().closed().await;
        let reason = "unit s-1 is not on the roster".to_owned();
        assert_eq!(
            told,
            Closed::ByPeer {
                code: Some(CloseCode::Refused),
                reason
            }
        );
    });
}

fn noise(size: usize) -> Vec<u8> {
    let mut stream = SplitMix::new(1, &[]);
    (0..size).map(|_| stream.draw() as u8).collect()
}

#[test]
fn a_peer_that_stalls_in_mid_frame_is_cut_off_and_told_although_its_link_lives() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, accepted) = linked(&near, &far).await;
        let (near_link, mut writer, _near_reader) = dialled.split();
        let (far_link, _far_writer, mut reader) = accepted.split();
        writer.queue(&noise(200_000)).unwrap();
        // One step of the flush sends a window's worth; the rest never comes.
        assert!(timeout(Duration::ZERO, writer.flush()).await.is_err());
        let sent = 200_005 - writer.queued();
        assert!(sent > 0 && sent < 200_000, "{sent}");
        let began = Instant::now();
        let error = reader.read().await.unwrap_err();
        assert!(matches!(error, FrameError::Stalled(_)), "{error}");
        let allowed = limits::FRAME_GRACE.as_secs() + 200_000 / u64::from(limits::FRAME_RATE_MIN);
        assert!(
            began.elapsed().as_secs() <= allowed + 1,
            "{:?}",
            began.elapsed()
        );
        assert!(far_link.ended().is_none());
        far_link.close(CloseCode::Misbehaved, &error.to_string());
        let told = near_link.closed().await;
        assert!(told.to_string().contains("too little progress"), "{told}");
    });
}

#[test]
fn a_peer_that_vanishes_in_mid_frame_is_given_up_after_the_idle_timeout() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, accepted) = linked(&near, &far).await;
        let (near_link, mut writer, _near_reader) = dialled.split();
        let (_far_link, _far_writer, mut reader) = accepted.split();
        writer.queue(&noise(200_000)).unwrap();
        assert!(timeout(Duration::ZERO, writer.flush()).await.is_err());
        let began = Instant::now();
        let vanish = async {
            tokio::time::sleep(Duration::from_millis(6)).await;
            network.isolate(address(1));
        };
        let (read, ()) = tokio::join!(reader.read(), vanish);
        let error = read.unwrap_err();
        assert!(matches!(error, FrameError::Stream(_)), "{error}");
        assert!(began.elapsed() <= limits::IDLE_TIMEOUT + Duration::from_secs(1));
        assert_eq!(near_link.closed().await, Closed::TimedOut);
    });
}

#[test]
fn a_stranger_makes_a_node_hold_little_and_an_admitted_peer_more() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, accepted) = linked(&near, &far).await;
        let (near_link, mut writer, _near_reader) = dialled.split();
        let noise = noise(200_000);
        for _ in 0..20 {
            writer.queue(&noise).unwrap();
        }
        let all = writer.queued();
        // Nobody reads: what leaves the writer is what the peer has agreed to hold.
        assert!(
            timeout(Duration::from_secs(20), writer.flush())
                .await
                .is_err()
        );
        let held = all - writer.queued();
        assert!(held <= limits::WINDOW_STRANGER as usize, "{held}");
        accepted.handle().admit();
        assert!(
            timeout(Duration::from_secs(20), writer.flush())
                .await
                .is_err()
        );
        let held = all - writer.queued();
        assert!(held <= limits::WINDOW_ADMITTED as usize, "{held}");
        assert!(held > limits::WINDOW_STRANGER as usize, "{held}");
        assert!(near_link.ended().is_none());
    });
}

#[test]
fn a_peer_that_never_reads_is_given_up_although_the_link_lives() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, _accepted) = linked(&near, &far).await;
        let (near_link, mut writer, _near_reader) = dialled.split();
        let noise = noise(200_000);
        let error = writer.write(&noise).await.unwrap_err();
        assert!(matches!(error, FrameError::Stalled(_)), "{error}");
        assert!(near_link.ended().is_none());
    });
}

#[test]
fn a_silent_link_is_kept_alive_and_a_cut_one_ends_on_both_sides() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, accepted) = linked(&near, &far).await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(dialled.handle().ended(), None);
        let cut_at = Instant::now();
        network.cut(address(1), address(2));
        let (near_end, far_end) =
            tokio::join!(dialled.handle().closed(), accepted.handle().closed());
        assert_eq!((near_end, far_end), (Closed::TimedOut, Closed::TimedOut));
        assert!(cut_at.elapsed() <= limits::IDLE_TIMEOUT + limits::KEEP_ALIVE);
        assert!(network.totals().severed > 0);
        network.heal(address(1), address(2));
        linked(&near, &far).await;
    });
}

#[test]
fn nobody_home_is_no_answer_in_time() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let near = machine(&network, 1);
        let began = Instant::now();
        let error = near.transport.connect(address(9)).await.unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut(_)), "{error}");
        assert_eq!(
            began.elapsed().as_secs(),
            limits::HANDSHAKE_TIMEOUT.as_secs()
        );
        assert!(network.totals().nobody > 0);
    });
}

#[test]
fn a_dialler_that_opens_no_stream_is_not_waited_for() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        // The first flight gets through and nothing after it.
        let lose = network.clone();
        let accept = async {
            let incoming = far.transport.accept().await.unwrap();
            lose.cut_one_way(address(1), address(2));
            incoming.establish().await
        };
        let began = Instant::now();
        let (dialled, accepted) = tokio::join!(near.transport.connect(address(2)), accept);
        assert!(accepted.is_err());
        assert!(began.elapsed() <= limits::HANDSHAKE_TIMEOUT + Duration::from_secs(1));
        drop(dialled);
    });
}

#[test]
fn a_crash_ends_everything_without_a_word_and_the_machine_comes_back() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, accepted) = linked(&near, &far).await;
        let held = accepted.handle().clone();
        far.runtime.run(async move {
            let _held = accepted;
            std::future::pending::<()>().await;
        });
        network.capture();
        network.unbind(address(2));
        far.runtime.crash().await;
        drop((far, held));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let captured = network.take_captured();
        assert!(
            captured.iter().all(|d| d.from != address(2)),
            "the dead spoke"
        );
        assert_eq!(dialled.handle().ended(), None);

        let again = machine(&network, 2);
        // The next keep-alive meets a process that knows nothing of the link.
        assert_eq!(dialled.handle().closed().await, Closed::Reset);
        let (_, accepted) = linked(&near, &again).await;
        assert_eq!(accepted.peer(), Secret::from_seed([1; 32]).node_key());
    });
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_a_process_runs_nothing_more() {
    let runtime = NodeRuntime::new();
    let (alive, mut seen) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..3 {
        let alive = alive.clone();
        runtime.run(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
    }
    assert_eq!(runtime.running(), 3);
    runtime.crash().await;
    runtime.run(async move {
        let _ = alive.send(());
    });
    assert_eq!(seen.recv().await, None);
    assert_eq!(runtime.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_has_one_owner_at_a_time() {
    let network = Network::new(1, Line::GOOD);
    let first = network.bind(address(1)).unwrap();
    assert_eq!(
        network.bind(address(1)).unwrap_err().kind(),
        io::ErrorKind::AddrInUse
    );
    network.unbind(address(1));
    let second = network.bind(address(1)).unwrap();
    let send = |socket: &Socket| {
        let transmit = Transmit {
            destination: address(9),
            ecn: None,
            contents: b"hello",
            segment_size: None,
            src_ip: None,
        };
        socket.try_send(&transmit).unwrap();
        network.totals().sent
    };
    // What the dead owner still says is not heard.
    assert_eq!((send(&first), send(&second)), (0, 1));
    drop(first);
    assert_eq!(
        network.bind(address(1)).unwrap_err().kind(),
        io::ErrorKind::AddrInUse
    );
    drop(second);
    network.bind(address(1)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_node_more_leaves_the_luck_of_the_others_as_it_was() {
    let fates = |strangers: bool| {
        let network = Network::new(
            4,
            Line {
                loss: 300_000,
                ..Line::GOOD
            },
        );
        let _sockets = [1, 2, 3].map(|n| network.bind(address(n)).unwrap());
        network.capture();
        for n in 0..200_u8 {
            network.inject(address(1), address(2), &[n]);
            if strangers {
                network.inject(address(3), address(2), &[n]);
            }
        }
        let ours = network
            .take_captured()
            .into_iter()
            .filter(|d| d.from == address(1));
        ours.map(|d| d.fate).collect::<Vec<_>>()
    };
    assert_eq!(fates(false), fates(true));
    assert!(fates(false).contains(&Fate::Lost));
}

#[test]
fn replayed_and_garbled_datagrams_do_no_harm() {
    simulate(1, async || {
        let network = Network::new(1, Line::GOOD);
        network.capture();
        let (near, far) = (machine(&network, 1), machine(&network, 2));
        let (dialled, accepted) = linked(&near, &far).await;
        let (_near_link, mut writer, _near_reader) = dialled.split();
        let (_far_link, _far_writer, mut reader) = accepted.split();
        writer.write(b"first").await.unwrap();
        assert_eq!(reader.read().await.unwrap().unwrap(), b"first".as_slice());
        for datagram in network.take_captured() {
            network.inject(datagram.from, datagram.to, &datagram.bytes);
            let garbled: Vec<u8> = datagram.bytes.iter().map(|byte| byte ^ 0x55).collect();
            network.inject(datagram.from, datagram.to, &garbled);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        writer.write(b"second").await.unwrap();
        assert_eq!(reader.read().await.unwrap().unwrap(), b"second".as_slice());
    });
}

/// The line the child process of the next test prints its run on.
const MARK: &str = "run of seed";
const SEED_VARIABLE: &str = "SANJI_ECHO_SEED";

/// One run of 100 frames, printed for comparison across processes, with its speed.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "the parent process reads it, and people the speed"
)]
fn a_run_prints_its_trace() {
    use node::clock::{Clock, SystemClock};
    let seed = std::env::var(SEED_VARIABLE)
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    let clock = SystemClock::new();
    let run = echo(seed, Line::BAD, 100);
    println!(
        "{MARK} {seed}: {} {:?} {:?}",
        run.trace, run.took, run.totals
    );
    let ratio = run.took.as_secs_f64() / clock.monotonic().as_secs_f64();
    println!(
        "{:?} simulated, {ratio:.0} times as fast as real time",
        run.took
    );
}

#[test]
fn two_processes_agree_on_every_byte_of_a_seed() {
    let run = |seed: u32| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "net::tests::a_run_prints_its_trace",
                "--nocapture",
            ])
            .env(SEED_VARIABLE, seed.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.split_once(MARK))
            .map(|(_, run)| run);
        line.unwrap_or_else(|| panic!("no run in {text}"))
            .to_owned()
    };
    let first = run(21);
    assert_eq!(first, run(21));
    let other = run(22);
    assert_ne!(
        first.split_whitespace().nth(1),
        other.split_whitespace().nth(1)
    );
}

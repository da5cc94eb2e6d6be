//! How commands reach a running node: a Unix socket in its home, one JSON request a connection, JSON
//! replies, one a line.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::handle::NodeHandle;
use crate::request::{Refused, Reply, Request, answer};

/// Longest request line in bytes.
const REQUEST_SIZE_MAX: u64 = 1024 * 1024;
/// Requests served at once.
const REQUESTS_MAX: usize = 32;

/// Opens the socket; only the owner of the home can reach it, because the home is mode 0700.
///
/// # Errors
/// The system's.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    // The home is locked by us, so a socket that is there is a leftover.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Serves requests until the node stops.
pub async fn serve(listener: UnixListener, node: NodeHandle) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept(), if tasks.len() < REQUESTS_MAX => {
                let Ok((stream, _)) = accepted else { break };
                let node = node.clone();
                tasks.spawn(async move {
                    if let Err(error) = serve_one(stream, &node).await {
                        tracing::debug!(%error, "command connection ended");
                    }
                });
            }
        }
    }
}

async fn serve_one(stream: UnixStream, node: &NodeHandle) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let read = tokio::io::AsyncReadExt::take(read, REQUEST_SIZE_MAX);
    BufReader::new(read).read_line(&mut line).await?;
    let (progress, mut steps) = tokio::sync::watch::channel((0, 0));
    let reply = async {
        match serde_json::from_str::<Request>(&line) {
            Ok(request) => match answer(node, request, |done, total| {
                progress.send_replace((done, total));
            })
            .await
            {
                Ok(value) => Reply::Done(value),
                Err(refused) => Reply::Refused(refused),
            },
            Err(error) => Reply::Refused(Refused {
                message: error.to_string(),
                details: Vec::new(),
            }),
        }
    };
    tokio::pin!(reply);
    loop {
        let step = tokio::select! {
            biased;
            reply = &mut reply => {
                return send(&mut write, &reply).await;
            }
            Ok(()) = steps.changed() => *steps.borrow_and_update(),
        };
        send(
            &mut write,
            &Reply::Progress {
                done: step.0,
                total: step.1,
            },
        )
        .await?;
    }
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Asks a running node; none when no node runs on this home.
///
/// # Errors
/// The system's, or a reply that cannot be read.
pub async fn ask(
    path: &Path,
    request: &Request,
    mut progress: impl FnMut(u64, u64),
) -> io::Result<Option<Result<serde_json::Value, Refused>>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line)? {
            Reply::Progress { done, total } => progress(done, total),
            Reply::Done(value) => return Ok(Some(Ok(value))),
            Reply::Refused(refused) => return Ok(Some(Err(refused))),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the node ended before it answered",
    ))
}

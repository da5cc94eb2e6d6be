//! Frames: how messages lie in a stream of bytes.
//!
//! A frame is a big-endian `u32` length of what follows, a flag byte (0 raw, 1 zstd) and the body.
//! [`encode`] and [`decode`] are pure; [`FrameReader`] and [`FrameWriter`] drive them over any stream
//! of bytes. A peer is trusted with nothing: a length is checked before memory is taken for it, an
//! inflated size must be stated and is checked before it is produced, and a frame that was begun has
//! to arrive at a minimum rate.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::clock::Stopwatch;
use crate::transport::limits::{
    COMPRESS_LEVEL, COMPRESS_MIN, FRAME_GRACE, FRAME_PAYLOAD_MAX, FRAME_RATE_MIN, FRAME_WIRE_MAX,
    WRITE_STALL,
};

/// Bytes of the length that opens a frame.
const LENGTH_SIZE: usize = 4;
/// Flag of a body that is the payload itself.
const RAW: u8 = 0;
/// Flag of a body that is one zstd frame of the payload, its size stated.
const ZSTD: u8 = 1;
/// Read from the stream at a time; a frame grows in such steps as its bytes really arrive.
const READ_STEP: usize = 16 * 1024;

/// What is wrong with a frame or with the stream that carries it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The peer claims a frame longer than allowed here.
    #[error("a frame of {claimed} bytes is announced, {max} are allowed")]
    TooLong {
        /// Bytes announced, flag and body.
        claimed: usize,
        /// Bytes allowed at this point of the session.
        max: usize,
    },
    /// The payload is, or would inflate to, more than allowed here.
    #[error("a payload of {size} bytes does not fit, {max} are allowed")]
    PayloadTooLong {
        /// Bytes of the payload.
        size: u64,
        /// Bytes allowed at this point of the session.
        max: usize,
    },
    /// A frame without even a flag.
    #[error("a frame of length zero")]
    Empty,
    /// A flag of no known meaning.
    #[error("unknown frame flag {0}")]
    UnknownFlag(u8),
    /// The zstd body does not state its inflated size, or has bytes after its end.
    #[error("a compressed frame does not state its size or has bytes after its end")]
    NotOneFrame,
    /// The zstd body is damaged or does not inflate to the size it states.
    #[error("a compressed frame does not inflate to what it states")]
    Inflate,
    /// A frame, or the first frame, did not arrive in time, or the peer took none of our bytes.
    #[error("the peer made too little progress for {}s", .0.as_secs())]
    Stalled(Duration),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// The stream failed; the link's close reason says why.
    #[error("the stream failed: {0}")]
    Stream(#[from] std::io::Error),
}

impl FrameError {
    /// Whether the peer broke the rules, as opposed to the line or the peer going away.
    pub fn is_misbehaviour(&self) -> bool {
        !matches!(self, Self::Truncated | Self::Stream(_))
    }
}

thread_local! {
    // One pair of contexts a thread instead of one a link: a context keeps about 1 MB.
    static DEFLATE: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static INFLATE: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn deflate(payload: &[u8]) -> Option<Vec<u8>> {
    DEFLATE.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Compressor::new(COMPRESS_LEVEL).ok();
        }
        // Without memory for a context the payload still goes raw.
        slot.as_mut()?.compress(payload).ok()
    })
}

fn inflate(body: &[u8], payload_max: usize) -> Result<Vec<u8>, FrameError> {
    let stated =
        zstd::zstd_safe::get_frame_content_size(body).map_err(|_| FrameError::NotOneFrame)?;
    let stated = stated
        .filter(|size| *size > 0)
        .ok_or(FrameError::NotOneFrame)?;
    let size = match usize::try_from(stated) {
        Ok(size) if size <= payload_max => size,
        _ => {
            return Err(FrameError::PayloadTooLong {
                size: stated,
                max: payload_max,
            });
        }
    };
    if zstd::zstd_safe::find_frame_compressed_size(body).ok() != Some(body.len()) {
        return Err(FrameError::NotOneFrame);
    }
    INFLATE.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        let payload = slot
            .as_mut()
            .and_then(|context| context.decompress(body, size).ok())
            .filter(|payload| payload.len() == size);
        payload.ok_or(FrameError::Inflate)
    })
}

/// Appends the frame of `payload` to `wire` and returns its wire size. Payloads from
/// [`COMPRESS_MIN`] on are compressed if that makes them smaller.
/// Fails, leaving `wire` as it was, if the payload exceeds [`FRAME_PAYLOAD_MAX`] or its frame
/// [`FRAME_WIRE_MAX`]; up to [`crate::transport::limits::FRAME_PAYLOAD_SURE`] bytes always fit.
pub fn encode(payload: &[u8], wire: &mut Vec<u8>) -> Result<usize, FrameError> {
    if payload.len() > FRAME_PAYLOAD_MAX {
        let size = payload.len() as u64;
        return Err(FrameError::PayloadTooLong {
            size,
            max: FRAME_PAYLOAD_MAX,
        });
    }
    let packed = if payload.len() >= COMPRESS_MIN {
        deflate(payload)
    } else {
        None
    };
    let (flag, body) = match &packed {
        Some(packed) if packed.len() < payload.len() => (ZSTD, packed.as_slice()),
        _ => (RAW, payload),
    };
    let length = body.len() + 1;
    if length > FRAME_WIRE_MAX {
        return Err(FrameError::TooLong {
            claimed: length,
            max: FRAME_WIRE_MAX,
        });
    }
    let length_field = u32::try_from(length).expect("a frame is at most 256 KiB");
    wire.reserve(LENGTH_SIZE + length);
    wire.extend_from_slice(&length_field.to_be_bytes());
    wire.push(flag);
    wire.extend_from_slice(body);
    Ok(LENGTH_SIZE + length)
}

/// Reads the length that opens `wire`; `None` until its four bytes are there.
/// Fails if it is zero or exceeds `wire_max`.
fn announced(wire: &[u8], wire_max: usize) -> Result<Option<usize>, FrameError> {
    let Some(field) = wire.first_chunk::<LENGTH_SIZE>() else {
        return Ok(None);
    };
    let claimed = usize::try_from(u32::from_be_bytes(*field)).unwrap_or(usize::MAX);
    match claimed {
        0 => Err(FrameError::Empty),
        _ if claimed > wire_max => Err(FrameError::TooLong {
            claimed,
            max: wire_max,
        }),
        _ => Ok(Some(claimed)),
    }
}

/// Takes the first frame off `wire` and returns its payload; `None` while it is incomplete.
/// `wire_max` bounds flag and body, `payload_max` the payload, both before memory is taken.
/// After an error the stream cannot be read on: what follows has no known beginning.
pub fn decode(
    wire: &mut BytesMut,
    wire_max: usize,
    payload_max: usize,
) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = announced(wire, wire_max)? else {
        return Ok(None);
    };
    if wire.len() < LENGTH_SIZE + length {
        return Ok(None);
    }
    wire.advance(LENGTH_SIZE);
    let mut body = wire.split_to(length).freeze();
    let flag = body.get_u8();
    match flag {
        RAW if body.len() > payload_max => Err(FrameError::PayloadTooLong {
            size: body.len() as u64,
            max: payload_max,
        }),
        RAW => Ok(Some(body)),
        ZSTD => inflate(&body, payload_max).map(|payload| Some(payload.into())),
        other => Err(FrameError::UnknownFlag(other)),
    }
}

/// Running totals of one direction of a link; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<[AtomicU64; 3]>);

/// A reading of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCount {
    /// Frames completed.
    pub frames: u64,
    /// Bytes of their payloads, as the session sees them.
    pub payload_bytes: u64,
    /// Bytes of the frames on the stream: lengths, flags and bodies.
    pub wire_bytes: u64,
}

impl Counters {
    fn add(&self, payload: usize, wire: usize) {
        let [frames, payload_bytes, wire_bytes] = &*self.0;
        frames.fetch_add(1, Ordering::Relaxed);
        payload_bytes.fetch_add(payload as u64, Ordering::Relaxed);
        wire_bytes.fetch_add(wire as u64, Ordering::Relaxed);
    }

    /// The totals now.
    pub fn count(&self) -> FrameCount {
        let [frames, payload_bytes, wire_bytes] = &*self.0;
        FrameCount {
            frames: frames.load(Ordering::Relaxed),
            payload_bytes: payload_bytes.load(Ordering::Relaxed),
            wire_bytes: wire_bytes.load(Ordering::Relaxed),
        }
    }
}

/// Counts the time spent waiting off a budget, also when the wait is abandoned: time in which the
/// caller does something else is not held against the peer.
struct Waiting<'a> {
    budget: &'a mut Duration,
    watch: Stopwatch,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.budget = self.budget.saturating_sub(self.watch.elapsed());
    }
}

async fn within<T>(budget: &mut Duration, work: impl Future<Output = T>) -> Option<T> {
    let limit = *budget;
    let _waiting = Waiting {
        budget,
        watch: Stopwatch::start(),
    };
    timeout(limit, work).await.ok()
}

/// Reads frames off a stream of bytes.
pub struct FrameReader {
    stream: Box<dyn AsyncRead + Send + Unpin>,
    wire: BytesMut,
    /// What is left of the time the frame under way may take; `None` between frames.
    patience: Option<Patience>,
    counters: Counters,
}

struct Patience {
    left: Duration,
    /// All that was granted, for the message.
    granted: Duration,
    /// Whether the frame's length was known when granting.
    sized: bool,
}

impl std::fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameReader")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl FrameReader {
    /// Reads from `stream` and counts into `counters`.
    pub fn new(stream: impl AsyncRead + Send + Unpin + 'static, counters: Counters) -> Self {
        let stream = Box::new(stream);
        Self {
            stream,
            wire: BytesMut::new(),
            patience: None,
            counters,
        }
    }

    /// The next payload; `None` when the stream ended between frames.
    ///
    /// Waits without limit for a frame to begin (the link's idle timeout ends dead peers); a frame
    /// once begun must arrive within [`FRAME_GRACE`] plus its length at [`FRAME_RATE_MIN`]. Dropping
    /// the future loses nothing. After an error the stream cannot be read on.
    pub async fn read(&mut self) -> Result<Option<Bytes>, FrameError> {
        self.read_bounded(FRAME_WIRE_MAX, FRAME_PAYLOAD_MAX).await
    }

    /// The first payload, at most `max` bytes on the wire and inflated, complete within `deadline`;
    /// `None` when the stream ended before it.
    pub async fn read_first(
        &mut self,
        max: usize,
        deadline: Duration,
    ) -> Result<Option<Bytes>, FrameError> {
        let first = timeout(deadline, self.read_bounded(max, max)).await;
        first.unwrap_or(Err(FrameError::Stalled(deadline)))
    }

    /// Totals of this direction, shared with the link.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    async fn read_bounded(
        &mut self,
        wire_max: usize,
        payload_max: usize,
    ) -> Result<Option<Bytes>, FrameError> {
        loop {
            let waiting = self.wire.len();
            if let Some(payload) = decode(&mut self.wire, wire_max, payload_max)? {
                self.patience = None;
                self.counters.add(payload.len(), waiting - self.wire.len());
                return Ok(Some(payload));
            }
            self.grant_patience(wire_max)?;
            self.wire.reserve(READ_STEP);
            let read = self.stream.read_buf(&mut self.wire);
            let count = match &mut self.patience {
                None => read.await?,
                Some(patience) => {
                    let granted = patience.granted;
                    within(&mut patience.left, read)
                        .await
                        .ok_or(FrameError::Stalled(granted))??
                }
            };
            match (count, self.wire.is_empty()) {
                (0, true) => return Ok(None),
                (0, false) => return Err(FrameError::Truncated),
                _ => {}
            }
        }
    }

    /// Starts the clock of a frame that has begun, and extends it once when its length is known.
    fn grant_patience(&mut self, wire_max: usize) -> Result<(), FrameError> {
        if self.wire.is_empty() {
            return Ok(());
        }
        let length = announced(&self.wire, wire_max)?;
        let patience = self.patience.get_or_insert(Patience {
            left: FRAME_GRACE,
            granted: FRAME_GRACE,
            sized: false,
        });
        if let Some(length) = length.filter(|_| !patience.sized) {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            let extra = Duration::from_secs(u64::from(length / FRAME_RATE_MIN));
            patience.left += extra;
            patience.granted += extra;
            patience.sized = true;
        }
        Ok(())
    }
}

/// Writes frames to a stream of bytes.
pub struct FrameWriter {
    stream: Box<dyn AsyncWrite + Send + Unpin>,
    /// Encoded frames, and how much of them the stream has taken.
    wire: Vec<u8>,
    taken: usize,
    /// What is left of the time in which the stream must take its next byte.
    patience: Duration,
    counters: Counters,
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl FrameWriter {
    /// Writes to `stream` and counts into `counters`.
    pub fn new(stream: impl AsyncWrite + Send + Unpin + 'static, counters: Counters) -> Self {
        let stream = Box::new(stream);
        Self {
            stream,
            wire: Vec::new(),
            taken: 0,
            patience: WRITE_STALL,
            counters,
        }
    }

    /// Encodes `payload` behind what is already queued, without waiting. The caller bounds the queue
    /// by calling [`FrameWriter::flush`]; [`FrameWriter::queued`] tells its size.
    pub fn queue(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let wire = encode(payload, &mut self.wire)?;
        self.counters.add(payload.len(), wire);
        Ok(())
    }

    /// Encoded bytes the stream has not taken yet.
    pub fn queued(&self) -> usize {
        self.wire.len() - self.taken
    }

    /// Hands everything queued to the stream. Dropping the future loses nothing: the rest goes with
    /// the next call. Fails with [`FrameError::Stalled`] when the peer takes no byte for
    /// [`WRITE_STALL`] of waiting.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        while self.taken < self.wire.len() {
            let rest = self.wire.get(self.taken..).unwrap_or_default();
            let step = within(&mut self.patience, self.stream.write(rest)).await;
            match step.ok_or(FrameError::Stalled(WRITE_STALL))?? {
                0 => return Err(FrameError::Stream(std::io::ErrorKind::WriteZero.into())),
                count => self.taken += count,
            }
            self.patience = WRITE_STALL;
        }
        self.wire.clear();
        self.taken = 0;
        // One burst must not pin its memory for the life of the link.
        self.wire.shrink_to(FRAME_WIRE_MAX);
        self.stream.flush().await?;
        Ok(())
    }

    /// Queues `payload` and flushes.
    pub async fn write(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        self.queue(payload)?;
        self.flush().await
    }

    /// Flushes and ends the stream: the peer reads everything and then `None`. The link must stay
    /// open until the peer has closed it or answered, or the tail may be lost.
    pub async fn finish(&mut self) -> Result<(), FrameError> {
        self.flush().await?;
        Ok(self.stream.shutdown().await?)
    }

    /// Totals of this direction, shared with the link. Frames count when they are queued.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

#[cfg(test)]
mod tests;

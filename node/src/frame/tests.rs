use super::*;
use tokio::io::duplex;
use tokio::time::advance;

/// Bytes no compressor can shrink, from a fixed start.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(size)
    .collect()
}

fn frame(flag: u8, body: &[u8]) -> BytesMut {
    let mut wire = BytesMut::new();
    wire.extend_from_slice(&u32::try_from(body.len() + 1).unwrap().to_be_bytes());
    wire.extend_from_slice(&[flag]);
    wire.extend_from_slice(body);
    wire
}

fn encoded(payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let size = encode(payload, &mut wire).unwrap();
    assert_eq!(size, wire.len());
    wire
}

fn decode_all(wire: impl AsRef<[u8]>) -> Result<Option<Bytes>, FrameError> {
    decode(
        &mut BytesMut::from(wire.as_ref()),
        FRAME_WIRE_MAX,
        FRAME_PAYLOAD_MAX,
    )
}

/// Fails instead of hanging; for tests on paused time.
async fn at_last<T>(work: impl Future<Output = T>) -> T {
    let hour = Duration::from_secs(3_600);
    timeout(hour, work).await.expect("it ends within an hour")
}

fn pair(capacity: usize) -> (FrameWriter, FrameReader) {
    let (near, far) = duplex(capacity);
    (
        FrameWriter::new(near, Counters::default()),
        FrameReader::new(far, Counters::default()),
    )
}

#[test]
fn payloads_of_every_size_come_back_as_they_were() {
    for size in [
        0,
        1,
        COMPRESS_MIN - 1,
        COMPRESS_MIN,
        4_096,
        FRAME_WIRE_MAX - 1,
    ] {
        for payload in [vec![b'a'; size], noise(size)] {
            let decoded = decode_all(encoded(&payload)).unwrap().unwrap();
            assert_eq!(decoded, payload, "{size}");
        }
    }
    let largest = vec![b'z'; FRAME_PAYLOAD_MAX];
    assert_eq!(decode_all(encoded(&largest)).unwrap().unwrap(), largest);
}

#[test]
fn small_and_dense_payloads_go_raw_and_others_shrink() {
    assert_eq!(encoded(&[b'a'; COMPRESS_MIN - 1])[4], RAW);
    assert_eq!(encoded(&noise(COMPRESS_MIN))[4], RAW);
    let text = encoded(&[b'a'; COMPRESS_MIN]);
    assert_eq!(text[4], ZSTD);
    assert!(text.len() < 40, "{}", text.len());
}

#[test]
fn the_layout_is_length_flag_body() {
    assert_eq!(encoded(b"hello"), b"\x00\x00\x00\x06\x00hello");
}

#[test]
fn a_payload_that_does_not_fit_is_refused_and_leaves_nothing_behind() {
    let mut wire = b"kept".to_vec();
    let error = encode(&noise(FRAME_WIRE_MAX), &mut wire).unwrap_err();
    assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    let error = encode(&vec![0; FRAME_PAYLOAD_MAX + 1], &mut wire).unwrap_err();
    assert!(
        matches!(error, FrameError::PayloadTooLong { .. }),
        "{error}"
    );
    assert_eq!(wire, b"kept");
}

#[test]
fn an_incomplete_frame_waits_and_a_following_one_stays() {
    let whole = encoded(&[7; 300]);
    for end in 0..whole.len() {
        assert!(decode_all(&whole[..end]).unwrap().is_none(), "{end}");
    }
    let mut wire = BytesMut::from([whole.as_slice(), b"\x00\x00"].concat().as_slice());
    let first = decode(&mut wire, FRAME_WIRE_MAX, FRAME_PAYLOAD_MAX)
        .unwrap()
        .unwrap();
    assert_eq!(first, [7; 300].as_slice());
    assert_eq!(wire, b"\x00\x00".as_slice());
}

#[test]
fn lengths_out_of_bounds_and_unknown_flags_are_refused() {
    assert!(matches!(
        decode_all(b"\x00\x00\x00\x00"),
        Err(FrameError::Empty)
    ));
    let over = u32::try_from(FRAME_WIRE_MAX + 1).unwrap().to_be_bytes();
    assert!(matches!(decode_all(over), Err(FrameError::TooLong { .. })));
    assert!(matches!(
        decode_all(b"\xff\xff\xff\xff"),
        Err(FrameError::TooLong { .. })
    ));
    assert!(matches!(
        decode_all(frame(2, b"x")),
        Err(FrameError::UnknownFlag(2))
    ));
}

#[test]
fn a_bomb_is_refused_by_what_it_states() {
    // 64 MiB of zeros in a few kB.
    let body = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    assert!(body.len() < 16 << 10, "{}", body.len());
    let error = decode_all(frame(ZSTD, &body)).unwrap_err();
    assert!(
        matches!(error, FrameError::PayloadTooLong { size, .. } if size == 64 << 20),
        "{error}"
    );
}

#[test]
fn a_bomb_that_lies_about_its_size_inflates_no_further_than_it_states() {
    let mut body = zstd::bulk::compress(&vec![0; 900 << 10], 3).unwrap();
    let size = u32::try_from(900 << 10).unwrap().to_le_bytes();
    let at = body
        .windows(4)
        .position(|w| w == size)
        .expect("the size stands in the header");
    body[at..at + 4].copy_from_slice(&1_000_u32.to_le_bytes());
    assert!(matches!(
        decode_all(frame(ZSTD, &body)),
        Err(FrameError::Inflate)
    ));
    body[at..at + 4].copy_from_slice(&(1_000_u32 << 10).to_le_bytes());
    assert!(matches!(
        decode_all(frame(ZSTD, &body)),
        Err(FrameError::Inflate)
    ));
}

#[test]
fn a_compressed_body_is_exactly_one_frame_that_states_its_size() {
    let good = zstd::bulk::compress(&[5; 1_000], 3).unwrap();
    let sizeless = zstd::stream::encode_all([5; 1_000].as_slice(), 3).unwrap();
    let skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip".to_vec();
    let trailing = [good.as_slice(), b"x"].concat();
    let doubled = [good.as_slice(), good.as_slice()].concat();
    for body in [
        sizeless,
        skippable,
        trailing,
        doubled,
        Vec::new(),
        b"junk".to_vec(),
    ] {
        let outcome = decode_all(frame(ZSTD, &body));
        assert!(
            matches!(outcome, Err(FrameError::NotOneFrame)),
            "{body:02x?} {outcome:?}"
        );
    }
    let mut damaged = good.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 0x40;
    damaged[last - 1] ^= 0x40;
    assert!(decode_all(frame(ZSTD, &damaged)).is_err());
    assert_eq!(
        decode_all(frame(ZSTD, &good)).unwrap().unwrap(),
        [5; 1_000].as_slice()
    );
}

#[tokio::test]
async fn an_oversized_claim_costs_no_memory() {
    let (mut near, far) = duplex(64);
    let mut reader = FrameReader::new(far, Counters::default());
    near.write_all(b"\xff\xff\xff\xff\x00").await.unwrap();
    drop(near);
    let error = reader.read().await.unwrap_err();
    assert!(
        matches!(
            error,
            FrameError::TooLong {
                claimed: 0xffff_ffff,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.is_misbehaviour());
    assert!(
        reader.wire.capacity() <= 2 * READ_STEP,
        "{}",
        reader.wire.capacity()
    );
}

#[tokio::test]
async fn memory_grows_with_what_arrived_and_not_with_what_was_announced() {
    let (mut near, far) = duplex(1024);
    let mut reader = FrameReader::new(far, Counters::default());
    near.write_all(&u32::try_from(FRAME_WIRE_MAX).unwrap().to_be_bytes())
        .await
        .unwrap();
    near.write_all(&[0; 100]).await.unwrap();
    drop(near);
    assert!(matches!(reader.read().await, Err(FrameError::Truncated)));
    assert!(
        reader.wire.capacity() <= 2 * READ_STEP,
        "{}",
        reader.wire.capacity()
    );
}

#[tokio::test]
async fn frames_flow_in_order_are_counted_and_end_cleanly() {
    let (mut writer, mut reader) = pair(1024);
    let payloads = [
        b"one".to_vec(),
        vec![b'x'; 50_000],
        Vec::new(),
        noise(3_000),
    ];
    let send = async {
        for payload in &payloads {
            writer.write(payload).await.unwrap();
        }
        writer.finish().await.unwrap();
        writer.counters().count()
    };
    let receive = async {
        for payload in &payloads {
            assert_eq!(reader.read().await.unwrap().unwrap(), payload);
        }
        assert!(reader.read().await.unwrap().is_none());
        reader.counters().count()
    };
    let (sent, received) = tokio::join!(send, receive);
    assert_eq!(sent, received);
    assert_eq!((sent.frames, sent.payload_bytes), (4, 53_003));
    assert!(sent.wire_bytes < 4_000, "{sent:?}");
}

#[tokio::test]
async fn the_first_frame_has_its_own_bounds() {
    for payload in [noise(1_001), vec![0; 1_001]] {
        let (mut writer, mut reader) = pair(4_096);
        writer.write(&payload).await.unwrap();
        let error = reader
            .read_first(1_000, Duration::from_secs(5))
            .await
            .unwrap_err();
        let refused = matches!(
            error,
            FrameError::TooLong { max: 1_000, .. } | FrameError::PayloadTooLong { max: 1_000, .. }
        );
        assert!(refused, "{error}");
    }
    let (mut writer, mut reader) = pair(4_096);
    writer.write(&[1; 900]).await.unwrap();
    writer.write(&[2; 2_000]).await.unwrap();
    let first = reader
        .read_first(1_000, Duration::from_secs(5))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first, [1; 900].as_slice());
    assert_eq!(reader.read().await.unwrap().unwrap(), [2; 2_000].as_slice());
}

#[tokio::test(start_paused = true)]
async fn a_first_frame_that_does_not_come_is_not_waited_for() {
    let (writer, mut reader) = pair(64);
    let watch = Stopwatch::start();
    let error = reader
        .read_first(1_000, Duration::from_secs(5))
        .await
        .unwrap_err();
    assert!(matches!(error, FrameError::Stalled(_)), "{error}");
    assert_eq!(watch.elapsed().as_secs(), 5);
    drop(writer);
    assert!(
        reader
            .read_first(1_000, Duration::from_secs(5))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_frame_begun_and_not_continued_is_cut_off() {
    let (mut near, far) = duplex(64);
    let mut reader = FrameReader::new(far, Counters::default());
    near.write_all(b"\x00").await.unwrap();
    let watch = Stopwatch::start();
    let error = at_last(reader.read()).await.unwrap_err();
    assert!(matches!(error, FrameError::Stalled(_)), "{error}");
    assert!(error.is_misbehaviour());
    assert_eq!(watch.elapsed().as_secs(), FRAME_GRACE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_drips_is_cut_off_although_bytes_keep_coming() {
    let (mut near, far) = duplex(64);
    let mut reader = FrameReader::new(far, Counters::default());
    let drip = tokio::spawn(async move {
        for byte in frame(RAW, &[0; 1_000]) {
            if near.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let watch = Stopwatch::start();
    assert!(matches!(
        at_last(reader.read()).await,
        Err(FrameError::Stalled(_))
    ));
    assert!(
        watch.elapsed() <= FRAME_GRACE + Duration::from_secs(1),
        "{:?}",
        watch.elapsed()
    );
    drip.abort();
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_above_the_minimum_rate_gets_its_frame_through() {
    let (mut near, far) = duplex(1024);
    let mut reader = FrameReader::new(far, Counters::default());
    let payload = noise(FRAME_WIRE_MAX - 1);
    let wire = encoded(&payload);
    let send = async move {
        for piece in wire.chunks(2 * 1024) {
            near.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        near
    };
    let watch = Stopwatch::start();
    let (received, _near) = tokio::join!(reader.read(), send);
    assert_eq!(received.unwrap().unwrap(), payload);
    assert!(
        watch.elapsed() > Duration::from_secs(120),
        "{:?}",
        watch.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_between_frames_is_waited_for() {
    let (mut writer, mut reader) = pair(64);
    let wait = tokio::spawn(async move { reader.read().await });
    advance(Duration::from_secs(3_600)).await;
    writer.write(b"late").await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap().unwrap(), b"late".as_slice());
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_read_loses_nothing_and_our_own_absence_is_not_held_against_the_peer() {
    let (mut near, far) = duplex(1024);
    let mut reader = FrameReader::new(far, Counters::default());
    let wire = encoded(b"in two halves");
    near.write_all(&wire[..7]).await.unwrap();
    let abandoned = timeout(Duration::from_secs(4), reader.read()).await;
    assert!(abandoned.is_err());
    advance(Duration::from_secs(3_600)).await;
    let rest = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        near.write_all(&wire[7..]).await.unwrap();
    };
    let (read, ()) = tokio::join!(reader.read(), rest);
    assert_eq!(read.unwrap().unwrap(), b"in two halves".as_slice());
}

#[tokio::test(start_paused = true)]
async fn time_waited_before_an_abandoned_read_still_counts() {
    let (mut near, far) = duplex(1024);
    let mut reader = FrameReader::new(far, Counters::default());
    near.write_all(b"\x00").await.unwrap();
    let watch = Stopwatch::start();
    for _ in 0..2 {
        assert!(
            timeout(Duration::from_secs(4), reader.read())
                .await
                .is_err()
        );
    }
    assert!(matches!(
        at_last(reader.read()).await,
        Err(FrameError::Stalled(_))
    ));
    assert!(
        watch.elapsed() < Duration::from_secs(11),
        "{:?}",
        watch.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_given_up() {
    let (mut writer, _reader) = pair(64);
    let watch = Stopwatch::start();
    let error = at_last(writer.write(&noise(10_000))).await.unwrap_err();
    assert!(matches!(error, FrameError::Stalled(_)), "{error}");
    assert_eq!(watch.elapsed().as_secs(), WRITE_STALL.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_flush_goes_on_where_it_stopped() {
    let (near, mut far) = duplex(64);
    let mut writer = FrameWriter::new(near, Counters::default());
    let payload = noise(1_000);
    writer.queue(&payload).unwrap();
    assert!(
        timeout(Duration::from_secs(1), writer.flush())
            .await
            .is_err()
    );
    assert!(writer.queued() > 0);
    let drain = async {
        let mut wire = vec![0; encoded(&payload).len()];
        far.read_exact(&mut wire).await.unwrap();
        wire
    };
    let (flushed, wire) = tokio::join!(writer.flush(), drain);
    flushed.unwrap();
    assert_eq!(wire, encoded(&payload));
    assert_eq!(writer.queued(), 0);
}

//! A seeded replacement for the entropy of the operating system, for the thread that asks for it.
//!
//! Vendors below us draw randomness for themselves: TLS key exchange, connection ids, hash map seeds.
//! They reach the system by two ways: the libc symbol `getrandom`, looked up at run time, and (ring)
//! libc's `syscall(SYS_getrandom, ..)`. Both are defined here and thereby replaced in binaries of this
//! package and nowhere else; `build.rs` exports them. Threads that did not ask get the real thing.
//!
//! This is the one module of the workspace's libraries that needs `unsafe`: it stands in for C.
#![expect(unsafe_code, reason = "defines C symbols, which take raw pointers")]

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

use libc::{c_long, c_uint};

/// Futures of a whole node are polled on the simulation's one thread.
const STACK_SIZE: usize = 16 * 1024 * 1024;

#[derive(Clone, Copy)]
struct Source {
    state: u64,
    draws: u64,
}

thread_local! {
    // Without a destructor, so that it may be read in any state of the thread.
    static SOURCE: Cell<Option<Source>> = const { Cell::new(None) };
}

/// The SplitMix64 generator: tiny, and good enough to decide the fate of packets.
#[derive(Clone, Copy, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// Starts a stream of its own for `seed` and the words that name its purpose.
    pub fn new(seed: u64, purpose: &[u64]) -> Self {
        let mut stream = Self(seed);
        for word in purpose {
            let mixed = stream.draw();
            stream.0 = mixed ^ *word;
        }
        stream
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply and shift: the bias is below 2^-32 for the bounds used here.
        let product = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of 128 bits is 64 bits")
    }

    /// Whether an event of probability `millionths` happens.
    pub fn happens(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < u64::from(millionths)
    }
}

/// Runs `work` on a fresh thread on which every draw of entropy is fixed by `seed`, and returns what
/// it returns; a panic goes through. The thread is fresh because vendors keep per-thread state that
/// an earlier run would have left behind.
pub fn seeded<T: Send>(seed: u64, work: impl FnOnce() -> T + Send) -> T {
    // Referenced, or the linker would leave the symbols out where nobody links to them by name.
    std::hint::black_box([getrandom as *const c_void, syscall as *const c_void]);
    let run = || {
        SOURCE.set(Some(Source {
            state: seed ^ 0xD1B5_4A32_D192_ED03,
            draws: 0,
        }));
        work()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name(format!("seed-{seed}"))
            .stack_size(STACK_SIZE)
            .spawn_scoped(scope, run)
            .expect("the system has room for one thread more");
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Runs a whole simulation from its seed: a thread whose entropy is fixed, and on it a runtime whose
/// time moves only when nobody has anything left to do.
pub fn simulate<T: Send>(seed: u64, run: impl AsyncFnOnce() -> T + Send) -> T {
    seeded(seed, || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime of one thread and a paused clock asks the system for nothing")
            .block_on(run())
    })
}

/// How often this thread's seeded source was asked; 0 on other threads.
pub fn draws() -> u64 {
    SOURCE.get().map_or(0, |source| source.draws)
}

/// Fills `length` bytes from the seeded source; false if this thread has none.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes.
unsafe fn fill(buffer: *mut u8, length: usize) -> bool {
    let Some(source) = SOURCE.get() else {
        return false;
    };
    if length == 0 {
        // Asking for nothing is how libraries probe for the call; it must not shift what follows.
        return true;
    }
    let mut stream = SplitMix(source.state);
    // SAFETY: the caller vouches for the buffer, and it is written before it is read.
    unsafe { buffer.write_bytes(0, length) };
    // SAFETY: as above, and initialised by the line before.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for chunk in bytes.chunks_mut(8) {
        let word = stream.draw().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    SOURCE.set(Some(Source {
        state: stream.0,
        draws: source.draws + 1,
    }));
    true
}

/// A definition that this module stands in front of, looked up once. Not a lock: locks wait by
/// `syscall`, and would come back here.
struct Next {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            found: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    fn symbol(&self) -> *mut c_void {
        let known = self.found.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name is a C string.
        let symbol = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        assert!(!symbol.is_null(), "libc has no such symbol");
        self.found.store(symbol, Ordering::Relaxed);
        symbol
    }
}

static NEXT_GETRANDOM: Next = Next::new(c"getrandom");
static NEXT_SYSCALL: Next = Next::new(c"syscall");

/// libc's `getrandom`.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    // SAFETY: the caller vouches for the buffer.
    if unsafe { fill(buffer.cast(), length) } {
        return isize::try_from(length).unwrap_or(isize::MAX);
    }
    type Signature = unsafe extern "C" fn(*mut c_void, usize, c_uint) -> isize;
    // SAFETY: this is the signature of getrandom(2) in libc.
    let real: Signature = unsafe { std::mem::transmute(NEXT_GETRANDOM.symbol()) };
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(buffer, length, flags) }
}

/// libc's `syscall`. Variadic in C; on the platforms Rust runs Linux on, a call with up to seven
/// integers is passed the same way, and arguments a caller left out are passed on unread.
///
/// # Safety
/// The arguments must be what the system call `number` asks for.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_getrandom {
        let length = usize::try_from(b).unwrap_or(0);
        // SAFETY: for this call the first two arguments are a buffer and its length.
        if unsafe { fill(a as *mut u8, length) } {
            return b;
        }
    }
    type Signature =
        unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;
    // SAFETY: this is how libc's syscall takes integers.
    let real: Signature = unsafe { std::mem::transmute(NEXT_SYSCALL.symbol()) };
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(number, a, b, c, d, e, f) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::hash::{BuildHasher, RandomState};

    fn libc_getrandom() -> [u8; 13] {
        let mut bytes = [0; 13];
        // SAFETY: the array is as long as stated.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        assert_eq!(got, 13);
        bytes
    }

    fn libc_syscall() -> [u8; 13] {
        let mut bytes = [0; 13];
        // SAFETY: as above, by the other way.
        let got = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
        assert_eq!(got, 13);
        bytes
    }

    #[test]
    fn one_seed_gives_the_same_bytes_by_every_way_in() {
        for way in [libc_getrandom, libc_syscall] {
            let first = seeded(7, way);
            assert_eq!(first, seeded(7, way));
            assert_ne!(first, seeded(8, way));
        }
    }

    #[test]
    fn hash_maps_and_tls_keys_follow_the_seed() {
        let hashes = || RandomState::new().hash_one("sanji");
        assert_eq!(seeded(7, hashes), seeded(7, hashes));
        assert_ne!(seeded(7, hashes), seeded(8, hashes));
        let drawn = seeded(7, || {
            let map: HashMap<u8, u8> = HashMap::from([(1, 2)]);
            (map.len(), draws())
        });
        assert!(drawn.1 >= 1, "{drawn:?}");
    }

    #[test]
    fn asking_for_nothing_shifts_nothing() {
        let probe = || {
            // SAFETY: nothing is written through the pointer.
            assert_eq!(unsafe { libc::getrandom(std::ptr::null_mut(), 0, 0) }, 0);
            libc_getrandom()
        };
        assert_eq!(seeded(7, probe), seeded(7, libc_getrandom));
    }

    #[test]
    fn threads_that_did_not_ask_keep_the_real_entropy() {
        assert_eq!(draws(), 0);
        assert_ne!(libc_getrandom(), libc_getrandom());
        assert_ne!(libc_syscall(), libc_syscall());
        assert_eq!(draws(), 0);
    }

    #[test]
    fn a_panic_comes_through() {
        let caught = std::panic::catch_unwind(|| seeded(7, || panic!("as it was")));
        assert_eq!(
            *caught.unwrap_err().downcast::<&str>().unwrap(),
            "as it was"
        );
    }

    #[test]
    fn draws_stay_below_their_bound_and_reach_both_ends() {
        let mut stream = SplitMix::new(1, &[2, 3]);
        let drawn: Vec<u64> = (0..1_000).map(|_| stream.below(5)).collect();
        assert!((0..5).all(|n| drawn.contains(&n)));
        assert!(drawn.iter().all(|n| *n < 5));
        assert!(!stream.happens(0));
        assert!(stream.happens(1_000_000));
        assert_ne!(SplitMix::new(1, &[2]).draw(), SplitMix::new(1, &[3]).draw());
    }
}

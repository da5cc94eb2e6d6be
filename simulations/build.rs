//! Exports the entropy source of `src/entropy.rs` from every binary and test of this package, so that
//! libraries that look `getrandom` up at run time find it before the system's.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        for symbol in ["getrandom", "syscall"] {
            println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol={symbol}");
        }
    }
}

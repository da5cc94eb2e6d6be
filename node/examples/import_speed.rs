//! Measures how fast files of one school's semester are made, read and parsed, and the memory this takes at most.
//!
//! `cargo run --release -p node --example import_speed [FOLDER]` writes the files into FOLDER, or into a temporary one.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use node::generate::{FileForm, Spec, generate};
use node::import::{Source, parse, read_rows};
use node::label::Lang;
use tiers::kind::Kind;

const KINDS: [&str; 2] = [
    include_str!("../../tiers/kinds/practice-record.toml"),
    include_str!("../../tiers/kinds/volunteer-service.toml"),
];

#[expect(
    clippy::print_stdout,
    reason = "a measuring program reports on standard output"
)]
#[expect(
    clippy::disallowed_methods,
    reason = "a measuring program needs the clock"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let folder = given.unwrap_or_else(|| temporary.path().to_owned());
    println!(
        "kind              form        file kB  make ms  rows ms  parse ms  records/s  peak MB"
    );
    for text in KINDS {
        let kind = Kind::parse(text)?;
        let context = kind.context(&"school-1".parse()?, Some("2026-1".parse()?));
        for form in FileForm::ALL {
            let path = folder.join(format!("{}-{form:?}.{}", kind.id(), form.extension()));
            let start = Instant::now();
            generate(&kind, &Spec::default(), form, &path)?;
            let made = start.elapsed();
            let start = Instant::now();
            let mut rows = 0u32;
            read_rows(&Source::open(&path)?, None, &mut |_| {
                rows += 1;
                Ok(())
            })?;
            let read = start.elapsed();
            let start = Instant::now();
            let parsed = parse(&kind, &Source::open(&path)?, &context, Lang::ZhCn)?;
            let took = start.elapsed();
            assert_eq!((parsed.records.len(), parsed.problems.len()), (24_000, 0));
            println!(
                "{:17} {:10} {:8} {:8} {:8} {:9} {:10.0} {:8}",
                kind.id(),
                format!("{form:?}"),
                std::fs::metadata(&path)?.len() / 1024,
                made.as_millis(),
                read.as_millis(),
                took.as_millis(),
                24_000.0 / took.as_secs_f64(),
                peak_megabytes(),
            );
        }
    }
    Ok(())
}

/// Most memory this process held so far, as the kernel counts it; 0 where it does not tell.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line.and_then(|line| line.split_whitespace().next());
    digits
        .and_then(|digits| digits.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}

//! Times, sizes and digests as people read them.

use crate::label::{Arg, Lang, text, word};

/// Says how long before `now_ms` something was; a moment ahead of now counts as now.
pub(crate) fn ago(lang: Lang, now_ms: u64, then_ms: Option<u64>) -> String {
    let Some(then) = then_ms else {
        return word(lang, "ago-never");
    };
    let seconds = now_ms.saturating_sub(then) / 1000;
    let (key, count) = match seconds {
        0 => return word(lang, "ago-now"),
        1..=119 => ("ago-seconds", seconds),
        120..=7_199 => ("ago-minutes", seconds / 60),
        7_200..=172_799 => ("ago-hours", seconds / 3_600),
        _ => ("ago-days", seconds / 86_400),
    };
    text(lang, key, &[("count", Arg::Count(count))])
}

/// Writes a moment in UTC to the second; a time no calendar has as the number it is.
pub(crate) fn moment(time_ms: u64) -> String {
    let whole = i64::try_from(time_ms / 1000).ok();
    match whole.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
        Some(moment) => moment.to_string(),
        None => time_ms.to_string(),
    }
}

/// Writes a number of bytes with three digits at most: `999 B`, `1.2 kB`, `34 kB`.
pub(crate) fn bytes(count: u64) -> String {
    scaled(count, 1_000, &["B", "kB", "MB", "GB", "TB"])
}

/// Writes microseconds: `950 us`, `2.6 ms`, `1.2 s`.
pub(crate) fn micros(count: u64) -> String {
    scaled(count, 1_000, &["us", "ms", "s"])
}

/// Writes milliseconds: `950 ms`, `2.6 s`.
pub(crate) fn millis(count: u64) -> String {
    scaled(count, 1_000, &["ms", "s"])
}

fn scaled(count: u64, step: u64, units: &[&str]) -> String {
    let mut scale = 1;
    let mut at = 0;
    while count / scale >= step && at + 1 < units.len() {
        scale *= step;
        at += 1;
    }
    let (whole, tenths) = (count / scale, count % scale * 10 / scale);
    let unit = units.get(at).copied().unwrap_or_default();
    if scale > 1 && whole < 10 {
        format!("{whole}.{tenths} {unit}")
    } else {
        format!("{whole} {unit}")
    }
}

/// Writes a count with a comma between thousands.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Cuts a hash to the eight digits people compare.
pub(crate) fn short(hash: &str) -> String {
    hash.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_unit_a_person_would_use() {
        let now = 10 * 86_400_000;
        let said = |before: u64| ago(Lang::En, now, Some(now - before));
        assert_eq!(said(400), "just now");
        assert_eq!(said(3_000), "3 s ago");
        assert_eq!(said(5 * 60_000), "5 min ago");
        assert_eq!(said(3 * 3_600_000), "3 h ago");
        assert_eq!(said(2 * 86_400_000), "2 days ago");
        assert_eq!(ago(Lang::En, now, Some(now + 5_000)), "just now");
        assert_eq!(ago(Lang::En, now, None), "never");
        assert_eq!(moment(1_788_220_800_123), "2026-09-01T00:00:00Z");
        assert_eq!(moment(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn sizes_have_few_digits() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_250), "1.2 kB");
        assert_eq!(bytes(34_900), "34 kB");
        assert_eq!(bytes(2_000_000), "2.0 MB");
        assert_eq!(micros(420), "420 us");
        assert_eq!(millis(3_400), "3.4 s");
        assert_eq!(grouped(24_000), "24,000");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

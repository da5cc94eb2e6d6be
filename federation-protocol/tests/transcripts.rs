//! What nodes say to each other, word for word. Each file of `testdata/transcripts/` is a list of
//! blocks: commands, a line of dashes, and the trace that these commands gave. The test runs the
//! commands and compares; `SANJI_BLESS=1 cargo test -p federation-protocol --test transcripts` writes
//! the traces anew, and the difference is what the reviewer reads.

// Clippy's leave for tests covers test functions, not what they call.
#![allow(clippy::unwrap_used)]

#[path = "transcripts/script.rs"]
mod script;
#[path = "transcripts/store.rs"]
mod store;
#[path = "transcripts/words.rs"]
mod words;
#[path = "transcripts/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/transcripts")
}

macro_rules! transcripts {
    ($($(#[$meta:meta])* $name:ident = $file:literal;)*) => {
        /// Every transcript.
        const FILES: &[&str] = &[$($file,)*];

        $($(#[$meta])* #[test] fn $name() {
            script::check(&folder().join($file));
        })*
    };
}

transcripts! {
    a_first_sync_carries_statements_before_bulk_and_ends_equal = "first-sync.txt";
    a_sync_of_equal_nodes_is_one_exchange_below_two_kilobytes = "equal.txt";
    a_later_sync_carries_the_new_entries_only = "delta.txt";
    a_school_that_was_offline_catches_up_through_its_district_to_the_city = "catch-up.txt";
    logs_of_an_unknown_author_are_asked_for_again_when_the_chain_has_come = "unknown-author.txt";
    logs_of_a_unit_without_a_place_are_asked_for_again_when_it_has_one = "unknown-place.txt";
    an_uncertified_key_is_refused_and_both_sides_know_why = "uncertified.txt";
    another_root_or_version_is_refused_and_both_sides_know_why = "incompatible.txt";
    a_fork_found_by_two_peers_is_told_to_all_and_digests_agree_again = "fork.txt";
    a_fork_reaches_nodes_that_hold_nothing_or_only_the_beginning_of_the_log = "fork-late.txt";
    a_laptop_of_the_unit_gets_its_own_logs_and_the_parent_never_does = "laptop.txt";
    receipts_of_the_city_reach_the_school_through_the_district = "receipts.txt";
    a_transfer_that_was_cut_goes_on_where_it_stopped = "resume.txt";
    a_peer_that_breaks_a_rule_is_told_and_closed = "malformed.txt";
    a_school_directly_under_the_city_needs_no_district = "skip-tier.txt";
    of_two_connections_between_one_pair_both_ends_keep_the_same = "two-links.txt";
    a_rolled_back_store_is_noticed_and_gets_its_entries_back = "rollback.txt";
    nothing_is_said_of_an_entry_before_it_is_durable = "slow-disk.txt";
    one_unit_cannot_take_the_key_of_another = "claimed-key.txt";
}

#[test]
fn every_transcript_is_run() {
    let named: BTreeSet<String> = FILES.iter().map(|name| (*name).to_owned()).collect();
    let there: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(named, there);
}

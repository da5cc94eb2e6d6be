use serde_json::json;

use super::sample::{NOW, city, cut_off, peer, receipt, school};
use super::state::{LinkWord, of_child, of_uplink};
use super::*;
use crate::label::Lang;

fn page(lang: Lang, status: &Status) -> String {
    super::status::page(lang, status, Paint::PLAIN)
}

#[test]
fn a_school_in_step_is_said_in_one_sentence_with_evidence_below() {
    let expected = include_str!("../../testdata/show/school.en.txt");
    assert_eq!(page(Lang::En, &school()), expected.trim_end());
    let expected = include_str!("../../testdata/show/school.zh-CN.txt");
    assert_eq!(page(Lang::ZhCn, &school()), expected.trim_end());
}

#[test]
fn a_school_cut_off_shows_why_and_what_waits_and_its_last_success() {
    let expected = include_str!("../../testdata/show/cut-off.en.txt");
    assert_eq!(page(Lang::En, &cut_off()), expected.trim_end());
    let expected = include_str!("../../testdata/show/cut-off.zh-CN.txt");
    assert_eq!(page(Lang::ZhCn, &cut_off()), expected.trim_end());
}

#[test]
fn a_city_lists_its_districts_and_what_to_do_about_alerts() {
    let expected = include_str!("../../testdata/show/city.en.txt");
    assert_eq!(page(Lang::En, &city()), expected.trim_end());
    let expected = include_str!("../../testdata/show/city.zh-CN.txt");
    assert_eq!(page(Lang::ZhCn, &city()), expected.trim_end());
}

#[test]
fn the_word_of_the_link_upwards_follows_from_evidence() {
    let with = |parents: Vec<crate::status::PeerStatus>| Status {
        parents,
        ..school()
    };
    let word = |status: &Status| of_uplink(status).unwrap();
    assert_eq!(word(&school()), LinkWord::InStep);
    assert_eq!(
        word(&with(vec![peer("d", "comparing", 0, 0)])),
        LinkWord::Comparing
    );
    assert_eq!(
        word(&with(vec![peer("d", "sending", 4, 0)])),
        LinkWord::Sending
    );
    assert_eq!(
        word(&with(vec![peer("d", "sending", 4, 2)])),
        LinkWord::Syncing
    );
    assert_eq!(
        word(&with(vec![peer("d", "receiving", 0, 2)])),
        LinkWord::Receiving
    );
    assert_eq!(
        word(&with(vec![peer("d", "connecting", 0, 0)])),
        LinkWord::Connecting
    );
    assert_eq!(word(&cut_off()), LinkWord::Off);
    assert_eq!(of_uplink(&city()), None);
}

#[test]
fn in_step_without_a_receipt_for_all_of_ours_is_waiting() {
    let status = Status {
        receipts: vec![receipt("city", 0), receipt("district-2", 3)],
        ..school()
    };
    assert_eq!(of_uplink(&status), Some(LinkWord::Waiting));
    let (_, said) = super::status::headline(Lang::En, &status);
    assert!(said.contains("has not confirmed 3 entries"), "{said}");
}

#[test]
fn a_link_that_never_stood_is_not_one_that_was_lost() {
    let never = Status {
        uplink_last_success_ms: None,
        receipts: Vec::new(),
        ..cut_off()
    };
    assert_eq!(of_uplink(&never), Some(LinkWord::Never));
    let mut children = city().children;
    assert_eq!(of_child(&children[0]), LinkWord::InStep);
    assert_eq!(of_child(&children[1]), LinkWord::Off);
    children[1].last_heard_ms = None;
    assert_eq!(of_child(&children[1]), LinkWord::Never);
}

#[test]
fn a_refused_certificate_is_an_identity_problem_and_not_a_dead_line() {
    let why =
        "closed by the peer (refused): certificate of unit school-3 is not valid at this time";
    let status = Status {
        uplink_last_failure: Some((NOW, why.into())),
        ..cut_off()
    };
    assert_eq!(of_uplink(&status), Some(LinkWord::Identity));
    let (tone, said) = super::status::headline(Lang::En, &status);
    assert_eq!(tone, Tone::Bad);
    assert!(said.contains("identity"), "{said}");
}

#[test]
fn a_full_disk_is_said_before_anything_a_live_link_says() {
    let alert = crate::status::AlertStatus {
        time_ms: NOW - 1_000,
        what: "disk-full".into(),
        text: "no room".into(),
    };
    let status = Status {
        alerts: vec![alert],
        ..school()
    };
    assert_eq!(of_uplink(&status), Some(LinkWord::Full));
    let mut old = status;
    old.alerts[0].time_ms = NOW - 3_600_000;
    assert_eq!(of_uplink(&old), Some(LinkWord::InStep));
}

#[test]
fn a_laptop_is_judged_by_the_server_it_dials() {
    let laptop = Status {
        parents: Vec::new(),
        siblings: vec![peer("school-3", "in step", 0, 0)],
        ..school()
    };
    assert_eq!(of_uplink(&laptop), Some(LinkWord::InStep));
    let shown = page(Lang::En, &laptop);
    assert!(
        !shown.contains("Other nodes"),
        "shown above already: {shown}"
    );
}

#[test]
fn an_import_says_what_was_new_and_what_was_known() {
    let value = |new: u64, known: u64, dry: bool| {
        let done = (!dry).then(|| json!({"new": new, "known": known, "entries": 2}));
        json!({"file": "a.csv", "rows": 80, "encoding": "GB18030", "dry_run": dry,
               "warnings": ["w"], "imported": done})
    };
    assert_eq!(
        imported(Lang::En, &value(80, 0, false)),
        "a.csv: 80 rows read; 80 new, 0 known already, 2 entries written.\nRead as GB18030.\n  w"
    );
    assert!(imported(Lang::En, &value(0, 80, false)).contains("nothing was changed"));
    assert!(imported(Lang::En, &value(0, 0, true)).contains("dry run"));
}

#[test]
fn records_show_their_fields_and_what_was_kept_twice() {
    let value = json!([{
        "kind": "volunteer-service", "unit": "school-3", "period": "2026-1", "reach": "up:city",
        "record": "0c13", "edited": true, "fields": {"category": "event", "minutes": "3"},
        "conflicts": {"category": ["event", null]},
    }]);
    assert_eq!(
        records_in(Lang::En, &value, Paint::PLAIN),
        "volunteer-service  school-3, 2026-1  (edited)  up to city\n  0c13\n  category  event\n  \
         minutes   3\n  ! category: event | (cleared) - made apart, both kept; choose one with \
         `sanji edit`"
    );
    assert_eq!(
        records_in(Lang::En, &json!([]), Paint::PLAIN),
        "No records of this student are held here."
    );
}

#[test]
fn logs_list_their_newest_entries_under_a_heading() {
    let value = json!([{
        "log": "352cdc8c32e2", "author": "a0fde9abd04d", "unit": "school-3", "reach": "own",
        "period": null, "entries": 1, "forked": 4,
        "newest": [{"seq_num": 0, "time_ms": 1_788_220_800_000_u64, "parts": 1, "bytes": 1906, "hash": "d9ba7e1da80d"}],
    }]);
    assert_eq!(
        logs_in(Lang::En, &value, Paint::PLAIN),
        "school-3  own unit only  (no semester)\n  log 352cdc8c  author a0fde9ab  forked at entry \
         4\n  entry  when                  parts  bytes  hash\n      0  2026-09-01T00:00:00Z      \
         1  1,906  d9ba7e1d"
    );
}

#[test]
fn an_examination_says_what_is_wrong_and_what_to_do() {
    let value = json!({"logs": 6, "entries": 12, "certificate_days": 20, "findings": [
        {"severity": "warning", "what": "certificate-ends", "text": "t", "do": "d"},
        {"severity": "error", "what": "broken-chain", "text": "entry 3", "do": "d"},
        {"severity": "error", "what": "new-thing", "text": "something", "do": "act"},
    ]});
    let said = examined_in(Lang::En, &value, Paint::PLAIN);
    assert!(
        said.contains("[notice] A certificate of this node ends in 20 days."),
        "{said}"
    );
    assert!(
        said.contains("[wrong] An entry does not follow the one before it: entry 3."),
        "{said}"
    );
    assert!(said.ends_with("[wrong] something\n  -> act"), "{said}");
    let fine = json!({"logs": 1, "entries": 1, "certificate_days": 900, "findings": []});
    assert!(examined_in(Lang::En, &fine, Paint::PLAIN).ends_with("Nothing is wrong."));
}

#[test]
fn an_answer_with_gaps_shows_gaps_and_stops_nothing() {
    for lang in Lang::ALL {
        let nothing = json!(null);
        for said in [
            imported(lang, &nothing),
            edited(lang, &nothing),
            records(lang, &nothing),
            logs(lang, &nothing),
            exported(lang, &nothing),
            examined(lang, &nothing),
        ] {
            assert!(!said.is_empty());
        }
    }
}

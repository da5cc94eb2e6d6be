//! Checks that every name a definition uses is one it defines: states, steps, fields.

use std::collections::BTreeSet;

use super::{Definition, Field, KindError};
use crate::class::ReachClass;

/// Checks states, steps, rules, windows, notice and flow against each other and the fields.
pub(super) fn check(definition: &Definition, fields: &[Field]) -> Result<(), KindError> {
    let field_names: BTreeSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let states = unique("states", definition.states.iter())?;
    let steps = unique("step", definition.steps.iter().map(|step| &step.id))?;
    unique("rule", definition.rules.iter().map(|rule| &rule.id))?;
    unique("window", definition.windows.iter().map(|window| &window.id))?;
    unique(
        "aggregate",
        definition.aggregates.iter().map(|aggregate| &aggregate.id),
    )?;

    known("initial", &states, [&definition.initial])?;
    known("final", &states, &definition.finals)?;
    for step in &definition.steps {
        known("step.from", &states, &step.from)?;
        known("step.to", &states, [&step.to])?;
        known("step.signs", &field_names, &step.signs)?;
        if let Some(field) = step.at.strip_prefix("field:") {
            known_field("step.at", &field_names, field)?;
        }
        word("step.at", AT, step.at.split(':').next().unwrap_or_default())?;
        word("step.act", ACTS, &step.act)?;
    }
    for rule in &definition.rules {
        word("rule.type", RULES, &rule.rule)?;
        word("rule.level", LEVELS, &rule.level)?;
        known("rule.on", &steps, &rule.on)?;
        known("rule.actors", &steps, &rule.actors)?;
        known("rule.fields", &field_names, &rule.fields)?;
    }
    for window in &definition.windows {
        known("window.steps", &steps, &window.steps)?;
    }
    if let Some(notice) = &definition.notice {
        known("notice.blocks", &steps, &notice.blocks)?;
    }
    if let Some(flow) = &definition.flow {
        check_flow(&flow.local, "flow.local", fields, ReachClass::School)?;
        check_flow(&flow.public, "flow.public", fields, ReachClass::Public)?;
    }
    word("shape", SHAPES, &definition.shape)?;
    word("extension", EXTENSIONS, &definition.extension)?;
    for (place, words) in [
        ("owner", Some(&definition.owner)),
        ("subject", definition.subject.as_ref()),
    ] {
        if let Some(field) = words.and_then(|words| words.strip_prefix("field:")) {
            known_field(place, &field_names, field)?;
        }
    }
    Ok(())
}

/// What `flow` promises about a field must be what the field's own reach says.
fn check_flow(
    names: &[String],
    place: &'static str,
    fields: &[Field],
    reach: ReachClass,
) -> Result<(), KindError> {
    for name in names.iter().filter(|name| *name != "responses") {
        let field = fields
            .iter()
            .find(|field| field.name == *name)
            .ok_or_else(|| KindError::UnknownName {
                place,
                name: name.clone(),
            })?;
        if field.reach != reach {
            return Err(KindError::FlowDisagrees {
                field: name.clone(),
                reach: field.reach,
            });
        }
    }
    Ok(())
}

fn unique<'a>(
    place: &'static str,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<BTreeSet<&'a str>, KindError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.as_str()) {
            return Err(KindError::Twice {
                place,
                name: name.clone(),
            });
        }
    }
    Ok(seen)
}

fn known<'a>(
    place: &'static str,
    names: &BTreeSet<&str>,
    used: impl IntoIterator<Item = &'a String>,
) -> Result<(), KindError> {
    match used.into_iter().find(|name| !names.contains(name.as_str())) {
        Some(name) => Err(KindError::UnknownName {
            place,
            name: name.clone(),
        }),
        None => Ok(()),
    }
}

fn known_field(place: &'static str, names: &BTreeSet<&str>, name: &str) -> Result<(), KindError> {
    known(place, names, [&name.to_owned()])
}

fn word(place: &'static str, words: &[&str], used: &str) -> Result<(), KindError> {
    if words.contains(&used) {
        Ok(())
    } else {
        Err(KindError::UnknownName {
            place,
            name: used.to_owned(),
        })
    }
}

const SHAPES: &[&str] = &[
    "record",
    "form",
    "registry",
    "ledger",
    "agreement",
    "template",
    "batch",
    "release",
    "case",
];
const EXTENSIONS: &[&str] = &["forbidden", "namespaced", "open"];
const AT: &[&str] = &["owner", "party", "field", "up"];
const ACTS: &[&str] = &[
    "create",
    "submit",
    "attest",
    "review",
    "recognise",
    "opine",
    "approve",
    "publish",
    "certify",
    "accept",
    "return",
    "withdraw",
    "correct",
    "object",
    "adjudicate",
    "suspend",
    "revoke",
    "close",
];
const LEVELS: &[&str] = &["reject", "hold", "warn", "report"];
const RULES: &[&str] = &[
    "check",
    "unique",
    "overlap",
    "quota",
    "share",
    "duty",
    "threshold",
    "order",
    "eligibility",
    "consecutive",
    "words",
    "distinct",
    "deadline",
];

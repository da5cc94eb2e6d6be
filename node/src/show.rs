//! What commands print for people.
use crate::label::Lang;
use std::path::Path;
pub(crate) fn created(_: Lang, home: &Path, unit: &keys::UnitId, root: &str) -> String { format!("{} {unit} {root}", home.display()) }
pub(crate) fn imported(_: Lang, v: &serde_json::Value) -> String { format!("{v:#}") }
pub(crate) fn edited(_: Lang, v: &serde_json::Value) -> String { format!("{v:#}") }
pub(crate) fn records(_: Lang, v: &serde_json::Value) -> String { format!("{v:#}") }
pub(crate) fn logs(_: Lang, v: &serde_json::Value) -> String { format!("{v:#}") }
pub(crate) fn exported(_: Lang, v: &serde_json::Value) -> String { format!("{v:#}") }
pub(crate) fn examined(_: Lang, v: &serde_json::Value) -> String { format!("{v:#}") }
pub(crate) fn status(_: Lang, v: &crate::status::Status) -> String { format!("{v:#?}") }

//! Every sentence a person reads, in Chinese and English, from one catalogue of Fluent files compiled into the binary.
//!
//! Code names a message by key and gives its arguments; the words live in `labels/<language>/<file>.ftl`. Both
//! languages define the same keys with the same arguments, which a test checks, so a message can never be missing in
//! one of them. A further file is added by one line in `FILES`.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

/// Lists the catalogue: file stem, English text, Chinese text.
const FILES: &[(&str, &str, &str)] = &[
    (
        "demo",
        include_str!("../labels/en/demo.ftl"),
        include_str!("../labels/zh-CN/demo.ftl"),
    ),
    (
        "export",
        include_str!("../labels/en/export.ftl"),
        include_str!("../labels/zh-CN/export.ftl"),
    ),
    (
        "import",
        include_str!("../labels/en/import.ftl"),
        include_str!("../labels/zh-CN/import.ftl"),
    ),
    (
        "node",
        include_str!("../labels/en/node.ftl"),
        include_str!("../labels/zh-CN/node.ftl"),
    ),
    (
        "template",
        include_str!("../labels/en/template.ftl"),
        include_str!("../labels/zh-CN/template.ftl"),
    ),
];

/// The languages people are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lang {
    /// Simplified Chinese, the language of the schools.
    #[default]
    ZhCn,
    /// English.
    En,
}

impl Lang {
    /// Lists both languages.
    pub const ALL: [Self; 2] = [Self::ZhCn, Self::En];

    /// Returns the BCP 47 tag: `zh-CN` or `en`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::ZhCn => "zh-CN",
            Self::En => "en",
        }
    }

    /// Guesses the language from a locale name such as `zh_CN.UTF-8`; everything that is not Chinese is English.
    pub fn from_locale(locale: &str) -> Self {
        if locale.to_ascii_lowercase().starts_with("zh") {
            Self::ZhCn
        } else {
            Self::En
        }
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

impl FromStr for Lang {
    type Err = UnknownLang;

    fn from_str(text: &str) -> Result<Self, UnknownLang> {
        match text.to_ascii_lowercase().as_str() {
            "zh-cn" | "zh_cn" | "zh" => Ok(Self::ZhCn),
            "en" => Ok(Self::En),
            _ => Err(UnknownLang),
        }
    }
}

/// A language the catalogue does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the languages are zh-CN and en")]
pub struct UnknownLang;

/// One argument of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg<'a> {
    /// Text, shown as it is.
    Text(&'a str),
    /// A count, which may select a plural form; shown without digit grouping.
    Count(u64),
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Arg::Text(text)
    }
}

impl<'a> From<&'a String> for Arg<'a> {
    fn from(text: &'a String) -> Self {
        Arg::Text(text)
    }
}

impl From<u64> for Arg<'_> {
    fn from(count: u64) -> Self {
        Arg::Count(count)
    }
}

impl From<u32> for Arg<'_> {
    fn from(count: u32) -> Self {
        Arg::Count(count.into())
    }
}

impl From<usize> for Arg<'_> {
    fn from(count: usize) -> Self {
        Arg::Count(count as u64)
    }
}

/// Renders the message `key` in `lang`. Arguments the message does not use are ignored; a key the catalogue lacks
/// comes back as itself, so that a person sees which text is missing instead of nothing.
pub fn text(lang: Lang, key: &str, args: &[(&str, Arg<'_>)]) -> String {
    let bundle = bundle(lang);
    let Some(pattern) = bundle.get_message(key).and_then(|message| message.value()) else {
        return key.to_owned();
    };
    let mut given = FluentArgs::with_capacity(args.len());
    for (name, value) in args {
        given.set(
            *name,
            match value {
                Arg::Text(text) => FluentValue::from(*text),
                Arg::Count(count) => FluentValue::from(*count),
            },
        );
    }
    let mut faults = Vec::new();
    bundle
        .format_pattern(pattern, Some(&given), &mut faults)
        .into_owned()
}

/// Renders a message that takes no arguments.
pub fn word(lang: Lang, key: &str) -> String {
    text(lang, key, &[])
}

fn bundle(lang: Lang) -> &'static FluentBundle<FluentResource> {
    static BUNDLES: LazyLock<[FluentBundle<FluentResource>; 2]> =
        LazyLock::new(|| [build(Lang::ZhCn), build(Lang::En)]);
    match lang {
        Lang::ZhCn => &BUNDLES[0],
        Lang::En => &BUNDLES[1],
    }
}

fn build(lang: Lang) -> FluentBundle<FluentResource> {
    let tag = lang
        .tag()
        .parse()
        .expect("both tags are valid language identifiers");
    let mut bundle = FluentBundle::new_concurrent(vec![tag]);
    // Isolation marks are for mixing writing directions; in a terminal or a spreadsheet they are just noise.
    bundle.set_use_isolating(false);
    for (_, en, zh) in FILES {
        let source = match lang {
            Lang::ZhCn => zh,
            Lang::En => en,
        };
        // A broken line loses only itself; the test below refuses any.
        let resource = match FluentResource::try_new((*source).to_owned()) {
            Ok(resource) => resource,
            Err((resource, _)) => resource,
        };
        bundle.add_resource_overriding(resource);
    }
    bundle
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Keys of one file with the names of the `$arguments` each uses.
    fn keys(source: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut current = String::new();
        for line in source.lines() {
            if line.starts_with(|first: char| first.is_ascii_lowercase()) {
                let (key, _) = line
                    .split_once('=')
                    .expect("a message has a key and a text");
                current = key.trim().to_owned();
                assert!(
                    keys.insert(current.clone(), BTreeSet::new()).is_none(),
                    "{current} is defined twice"
                );
            }
            if line.starts_with('#') {
                continue;
            }
            for piece in line.split('$').skip(1) {
                let name: String = piece
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
                    .collect();
                keys.get_mut(&current)
                    .expect("an argument stands in a message")
                    .insert(name);
            }
        }
        keys
    }

    #[test]
    fn every_file_parses_without_a_broken_line() {
        for (file, en, zh) in FILES {
            for source in [en, zh] {
                if let Err((_, faults)) = FluentResource::try_new((*source).to_owned()) {
                    panic!("{file}: {faults:?}");
                }
            }
        }
    }

    #[test]
    fn both_languages_define_the_same_keys_with_the_same_arguments() {
        for (file, en, zh) in FILES {
            assert_eq!(keys(en), keys(zh), "{file}.ftl");
            assert!(!keys(en).is_empty(), "{file}.ftl is empty");
        }
    }

    #[test]
    fn no_key_stands_in_two_files() {
        let mut seen = BTreeSet::new();
        for (file, en, _) in FILES {
            for key in keys(en).into_keys() {
                assert!(
                    seen.insert(key.clone()),
                    "{key} of {file}.ftl stands elsewhere too"
                );
            }
        }
    }

    #[test]
    fn every_message_renders_without_leftover_placeholders() {
        for (_, en, _) in FILES {
            for (key, names) in keys(en) {
                let args: Vec<(&str, Arg<'_>)> = names
                    .iter()
                    .map(|name| (name.as_str(), Arg::Count(7)))
                    .collect();
                for lang in Lang::ALL {
                    let shown = text(lang, &key, &args);
                    assert!(!shown.contains(['{', '}', '\u{2068}']), "{key}: {shown}");
                    assert_ne!(shown, key);
                }
            }
        }
    }

    #[test]
    fn the_chinese_text_is_chinese_and_the_english_is_not() {
        for (_, en, zh) in FILES {
            let han = |line: &str| line.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
            assert!(!en.lines().any(han));
            assert!(zh.lines().any(han));
        }
    }

    #[test]
    fn an_unknown_key_shows_itself() {
        assert_eq!(word(Lang::En, "no-such-message"), "no-such-message");
    }

    #[test]
    fn a_language_is_known_by_tag_and_guessed_from_a_locale() {
        assert_eq!("zh-CN".parse(), Ok(Lang::ZhCn));
        assert_eq!("EN".parse(), Ok(Lang::En));
        assert_eq!("fr".parse::<Lang>(), Err(UnknownLang));
        assert_eq!(Lang::from_locale("zh_CN.UTF-8"), Lang::ZhCn);
        assert_eq!(Lang::from_locale("C"), Lang::En);
    }

    #[test]
    fn every_file_of_the_catalogue_is_compiled_in() {
        let labels = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("labels");
        let listed: BTreeSet<String> = FILES
            .iter()
            .map(|(file, ..)| format!("{file}.ftl"))
            .collect();
        for lang in Lang::ALL {
            let found: BTreeSet<String> = std::fs::read_dir(labels.join(lang.tag()))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            assert_eq!(found, listed, "{lang}");
        }
    }

    /// Text of every source file below `folder`, with its path.
    fn sources(folder: &std::path::Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(sources(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.display().to_string(), text));
            }
        }
        found
    }

    #[test]
    fn every_message_is_used_and_every_message_used_exists() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let sources = sources(&source);
        // Keys of other files may be put together from parts; these are always written out.
        let whole = ["export", "import", "template"];
        let known: BTreeSet<String> = FILES
            .iter()
            .filter(|(file, ..)| whole.contains(file))
            .flat_map(|(_, en, _)| keys(en).into_keys())
            .collect();
        for key in &known {
            let quoted = format!("\"{key}\"");
            assert!(
                sources.iter().any(|(_, text)| text.contains(&quoted)),
                "nothing shows {key}"
            );
        }
        let family = |key: &str| key.split('-').next().map(str::to_owned);
        let families: BTreeSet<_> = known.iter().filter_map(|key| family(key)).collect();
        let ours =
            ["import", "export", "template"].map(|name| source.join(name).display().to_string());
        for (path, text) in &sources {
            if !ours.iter().any(|name| path.starts_with(name)) || path.ends_with("tests.rs") {
                continue;
            }
            for literal in text.split('"').skip(1).step_by(2) {
                let key = literal.contains('-')
                    && literal
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
                if key && family(literal).is_some_and(|family| families.contains(&family)) {
                    assert!(
                        known.contains(literal),
                        "{path} shows {literal}, which has no words"
                    );
                }
            }
        }
    }
}

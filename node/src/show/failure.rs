//! Why a command failed, in the language of the person who gave it.

use crate::demo::DemoError;
use crate::enrol::NotAToken;
use crate::home::HomeError;
use crate::host::HostError;
use crate::label::{Arg, Lang, text};
use crate::request::Refused;

/// What a command ends with when it does not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// In words already, those of a node that answered for example.
    Refused(Refused),
    /// The node of this home could not be brought up.
    Host(Box<HostError>),
    /// The demo stopped.
    Demo(Box<DemoError>),
    /// A label and its arguments.
    Label(&'static str, Vec<(&'static str, String)>),
}

impl Failure {
    /// A failure that has a label of its own.
    pub(crate) fn label(key: &'static str) -> Self {
        Self::Label(key, Vec::new())
    }

    /// Adds an argument to a label.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Self::Label(_, args) = &mut self {
            args.push((name, value.to_string()));
        }
        self
    }

    /// Puts it into words.
    pub(crate) fn refused(self, lang: Lang) -> Refused {
        let message = match self {
            Self::Refused(refused) => return refused,
            Self::Demo(error) => error.message(lang),
            Self::Host(error) => host_message(lang, &error),
            Self::Label(key, args) => {
                let args: Vec<_> = args
                    .iter()
                    .map(|(name, value)| (*name, Arg::Text(value)))
                    .collect();
                text(lang, key, &args)
            }
        };
        Refused {
            message,
            details: Vec::new(),
        }
    }
}

/// Errors a person can do something about have words of their own; the rest is for whoever is asked for help.
fn host_message(lang: Lang, error: &HostError) -> String {
    let dir = |key: &str, dir: &std::path::Path| {
        text(lang, key, &[("dir", Arg::Text(&dir.display().to_string()))])
    };
    match error {
        HostError::Home(HomeError::Missing { dir: at }) => dir("error-home-missing", at),
        HostError::Home(HomeError::Exists { dir: at }) => dir("error-home-exists", at),
        HostError::Home(HomeError::InUse { dir: at }) => dir("error-home-in-use", at),
        HostError::Home(HomeError::Exposed { path }) => {
            let path = path.display().to_string();
            text(lang, "error-home-exposed", &[("path", Arg::Text(&path))])
        }
        HostError::NoAddress => text(lang, "error-no-address", &[]),
        HostError::Connect(why) => text(
            lang,
            "error-unreached",
            &[("why", Arg::Text(&why.to_string()))],
        ),
        other => other.to_string(),
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::Host(Box::new(error))
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        HostError::Home(error).into()
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        Self::Demo(Box::new(error))
    }
}

impl From<NotAToken> for Failure {
    fn from(_: NotAToken) -> Self {
        Self::label("error-token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_home_is_said_in_both_languages_with_its_folder() {
        for lang in Lang::ALL {
            let failure = Failure::from(HomeError::Missing { dir: "here".into() });
            let said = failure.refused(lang).message;
            assert!(
                said.contains("here") && said.contains("sanji init"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_label_takes_its_arguments() {
        let failure = Failure::label("error-tier-unknown").with("tier", "province");
        assert_eq!(
            failure.refused(Lang::En).message,
            "Tier province is not among the tiers."
        );
        assert!(
            Failure::from(NotAToken)
                .refused(Lang::En)
                .message
                .contains("sanji1.")
        );
    }
}

//! What the proxy does with requests: the faults `api-slow`, `api-error=CODE[:VERB]`, `api-cut[=VERB]` and
//! `api-silent[=VERB]`.

use super::refusal::Refusal;
use super::verb::Verb;
use crate::paths;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// How late `api-slow` without a number is.
const SLOW: Duration = Duration::from_secs(3);

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It takes effect at once, its answer comes this much later. With zero nothing is different.
    Slow(Duration),
    /// It has no effect and gets this answer; others than the verb's are as usual.
    Error(&'static Refusal, Option<Verb>),
    /// It is read, then the connection is closed; others than the verb's are as usual.
    Cut(Option<Verb>),
    /// It takes effect, and nothing more of its answer comes; others than the verb's are as usual.
    Silent(Option<Verb>),
}

/// Why there is no such mode.
#[derive(Debug, thiserror::Error)]
pub enum ModeError {
    /// Not a number of milliseconds.
    #[error("api-slow={text}: not a number of milliseconds")]
    Delay {
        /// What was given.
        text: String,
    },
    /// A code that the proxy does not answer with.
    #[error("api-error={text}: the code is one of {}", Refusal::codes())]
    Code {
        /// What was given.
        text: String,
    },
    /// Not a verb of the API server's.
    #[error("{name}: the verb is one of {}", Verb::names())]
    Verb {
        /// The fault.
        name: String,
    },
    /// The proxy's orders could not be written.
    #[error("could not change {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Mode {
    /// The mode that the fault `name` means; none when it is another kind of fault.
    pub fn named(name: &str) -> Result<Option<Self>, ModeError> {
        let (fault, value) = name.split_once('=').map_or((name, None), |(fault, value)| (fault, Some(value)));
        match (fault, value) {
            ("api-slow", None) => Ok(Some(Self::Slow(SLOW))),
            ("api-slow", Some(text)) => match text.parse::<u32>() {
                Ok(delay) => Ok(Some(Self::Slow(Duration::from_millis(delay.into())))),
                Err(_) => Err(ModeError::Delay { text: text.to_owned() }),
            },
            ("api-error", value) => {
                let text = value.unwrap_or_default();
                let (code, verb) = text.split_once(':').map_or((text, None), |(code, verb)| (code, Some(verb)));
                let refusal = code.parse().ok().and_then(Refusal::with_code);
                let refusal = refusal.ok_or_else(|| ModeError::Code { text: text.to_owned() })?;
                Ok(Some(Self::Error(refusal, verb_of(name, verb)?)))
            }
            ("api-cut", verb) => Ok(Some(Self::Cut(verb_of(name, verb)?))),
            ("api-silent", verb) => Ok(Some(Self::Silent(verb_of(name, verb)?))),
            _ => Ok(None),
        }
    }

    /// Whether it is about requests with this verb.
    pub fn concerns(self, verb: Verb) -> bool {
        match self {
            Self::Slow(_) => true,
            Self::Error(_, only) | Self::Cut(only) | Self::Silent(only) => only.is_none_or(|only| only == verb),
        }
    }

    /// Whether answers that are under way when it begins end at once: a watch is one.
    pub fn ends_answers(self) -> bool {
        matches!(self, Self::Cut(None | Some(Verb::Watch)) | Self::Error(_, Some(Verb::Watch)))
    }

    /// What the proxy was told last.
    pub fn load() -> Option<Self> {
        Self::named(&std::fs::read_to_string(file()).ok()?).ok()?
    }

    /// Tells the proxy: it looks before each request.
    pub fn save(self) -> Result<(), ModeError> {
        let write = || {
            let new = file().with_extension("new");
            std::fs::write(&new, self.to_string())?;
            std::fs::rename(&new, file())
        };
        write().map_err(|source| ModeError::Write { path: file(), source })
    }

    /// Removes what [`Mode::save`] wrote.
    pub fn forget() -> Result<(), ModeError> {
        match std::fs::remove_file(file()) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(ModeError::Write { path: file(), source }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(delay) => write!(text, "api-slow={}", delay.as_millis()),
            Self::Error(refusal, None) => write!(text, "api-error={}", refusal.code()),
            Self::Error(refusal, Some(verb)) => write!(text, "api-error={}:{verb}", refusal.code()),
            Self::Cut(None) => write!(text, "api-cut"),
            Self::Cut(Some(verb)) => write!(text, "api-cut={verb}"),
            Self::Silent(None) => write!(text, "api-silent"),
            Self::Silent(Some(verb)) => write!(text, "api-silent={verb}"),
        }
    }
}

fn verb_of(name: &str, verb: Option<&str>) -> Result<Option<Verb>, ModeError> {
    let wrong = || ModeError::Verb { name: name.to_owned() };
    verb.map(|verb| Verb::named(verb).ok_or_else(wrong)).transpose()
}

fn file() -> PathBuf {
    paths::state("api-fault")
}

#[cfg(test)]
mod tests {
    use super::{Mode, ModeError, Verb};
    use std::time::Duration;

    #[test]
    fn names_mean_modes() {
        assert_eq!(Mode::named("api-slow").unwrap(), Some(Mode::Slow(Duration::from_secs(3))));
        assert_eq!(Mode::named("api-slow=0").unwrap(), Some(Mode::Slow(Duration::ZERO)));
        assert_eq!(Mode::named("api-cut").unwrap(), Some(Mode::Cut(None)));
        assert_eq!(Mode::named("api-cut=delete").unwrap(), Some(Mode::Cut(Some(Verb::Delete))));
        assert!(
            matches!(Mode::named("api-error=410").unwrap(), Some(Mode::Error(refusal, None)) if refusal.code() == 410)
        );
    }

    #[test]
    fn other_faults_are_others() {
        for name in ["apiserver", "api", "kubelet", ""] {
            assert_eq!(Mode::named(name).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn wrong_values_say_what_is_right() {
        for name in ["api-slow=", "api-slow=-1", "api-slow=1s"] {
            assert!(matches!(Mode::named(name), Err(ModeError::Delay { .. })), "{name}");
        }
        for name in ["api-error", "api-error=", "api-error=200", "api-error=4030"] {
            assert!(Mode::named(name).unwrap_err().to_string().contains("401, 403, 409"), "{name}");
        }
        for name in ["api-cut=1", "api-error=409:post"] {
            assert!(Mode::named(name).unwrap_err().to_string().contains("create, get, watch, delete"), "{name}");
        }
    }

    #[test]
    fn a_mode_with_a_verb_is_about_that_verb_only() {
        let watch = Mode::named("api-error=410:watch").unwrap().unwrap();
        assert!(watch.concerns(Verb::Watch) && !watch.concerns(Verb::Create) && watch.ends_answers());
        let all = Mode::named("api-error=503").unwrap().unwrap();
        assert!(all.concerns(Verb::Delete) && !all.ends_answers());
        let silent = Mode::named("api-silent=watch").unwrap().unwrap();
        assert!(silent.concerns(Verb::Watch) && !silent.concerns(Verb::Get) && !silent.ends_answers());
    }

    #[test]
    fn a_mode_survives_its_name() {
        for name in [
            "api-slow=1500",
            "api-slow=0",
            "api-error=429",
            "api-error=410:watch",
            "api-cut",
            "api-cut=get",
            "api-silent",
            "api-silent=watch",
        ] {
            assert_eq!(Mode::named(name).unwrap().unwrap().to_string(), name);
        }
    }
}

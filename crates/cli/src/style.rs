//! Colours on a terminal.

use slurm_k8s_core::finding::Severity;

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Letters only.
    Plain,
    /// With ANSI's colours.
    Colours,
}

impl Style {
    /// Colours on a terminal, unless the user wants none (<https://no-color.org>).
    pub fn of(terminal: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        if terminal && wanted && able { Self::Colours } else { Self::Plain }
    }

    /// `error:` or the like.
    pub fn severity(self, severity: Severity) -> String {
        let colour = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        self.painted(&format!("{severity}:"), colour)
    }

    /// `hint:`.
    pub fn hint(self) -> String {
        self.painted("hint:", "1;32")
    }

    /// In bold.
    pub fn bold(self, text: &str) -> String {
        self.painted(text, "1")
    }

    fn painted(self, text: &str, colour: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colours => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

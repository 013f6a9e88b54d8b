//! Our options in `#SBATCH` lines, as sbatch takes them: for those who read a script in its place.

use super::line::{LineKind, Lines, is_blank};
use super::word::{self, Unmatched};
use crate::Place;
use crate::option::{JobOptions, Kind, OPTIONS, OptionError, Origin};
use crate::shown::nearest;

/// A word of an `#SBATCH` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Where it begins.
    pub place: Place,
    /// Without quotes and backslashes.
    pub text: Vec<u8>,
}

/// A line that sbatch does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SbatchError {
    /// A quote without end.
    #[error("the quote {quote} has no end in this line")]
    Quote {
        /// The quote.
        quote: char,
    },
    /// The beginning of several options.
    #[error("--{written} may be any of {}", options.iter().map(|name| format!("--{name}")).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was written.
        written: String,
        /// What begins like it.
        options: Vec<String>,
    },
    /// A value where there is none.
    #[error("--{option} takes no value")]
    Valued {
        /// The option.
        option: String,
    },
    /// An option as such.
    #[error(transparent)]
    Option(OptionError),
}

impl SbatchError {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Quote { .. } => Some("close it".into()),
            Self::Ambiguous { .. } => Some("write the whole name".into()),
            Self::Valued { option } => {
                let option = option.trim_start_matches("no-");
                Some(format!("write --{option} or --no-{option}"))
            }
            Self::Option(error) => error.hint(),
        }
    }
}

/// The words of all `#SBATCH` lines of a component.
#[must_use]
pub fn arguments(script: &[u8], component: usize) -> (Vec<Argument>, Vec<(Place, SbatchError)>) {
    let (mut arguments, mut faults) = (Vec::new(), Vec::new());
    for line in Lines::of(script).filter(|line| line.component == component) {
        let LineKind::Sbatch { mut at } = line.kind else { continue };
        loop {
            let rest = line.text.get(at..).unwrap_or_default();
            at += rest.iter().take_while(|byte| is_blank(**byte)).count();
            let rest = line.text.get(at..).unwrap_or_default();
            let place = Place::new(line.number, at + 1);
            match word::read(rest) {
                // Also an empty word in quotes ends the line for sbatch.
                Ok(word) if !word.text.is_empty() => {
                    at += word.end;
                    arguments.push(Argument { place, text: word.text.into_owned() });
                }
                Ok(_) => break,
                Err(Unmatched(quote)) => {
                    faults.push((place, SbatchError::Quote { quote: char::from(quote) }));
                    break;
                }
            }
        }
    }
    (arguments, faults)
}

/// Those of our options that are among the words. Of two values the last one holds, as for sbatch.
#[must_use]
pub fn options(arguments: &[Argument]) -> (JobOptions, Vec<(Place, SbatchError)>) {
    let (mut options, mut faults) = (JobOptions::default(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(long) = argument.text.strip_prefix(b"--") else { continue };
        let (name, mut value) = match memchr::memchr(b'=', long).and_then(|at| long.split_at_checked(at)) {
            Some((name, value)) => (name, value.get(1..)),
            None => (long, None),
        };
        let name = String::from_utf8_lossy(name);
        if !["k8s", "no-k8s"].iter().any(|ours| name.starts_with(ours)) {
            continue;
        }
        let taken = full_name(&name).and_then(|name| {
            let spec = OPTIONS.iter().find(|spec| spec.name == name);
            match spec {
                Some(spec) if spec.kind != Kind::Switch => {
                    value = value.or_else(|| arguments.next().map(|next| next.text.as_slice()));
                }
                _ if value.is_some() => return Err(SbatchError::Valued { option: name }),
                _ => {}
            }
            let mut one = JobOptions::default();
            one.set(Origin::Sbatch(argument.place), &name, value).map_err(SbatchError::Option)?;
            Ok(one)
        });
        match taken {
            Ok(one) => options = one.over(options),
            Err(fault) => faults.push((argument.place, fault)),
        }
    }
    (options, faults)
}

/// What `getopt_long` takes a name for: itself, or the only option that begins so.
fn full_name(written: &str) -> Result<String, SbatchError> {
    let twin = |name: &str| format!("no-{name}");
    let twins = OPTIONS.iter().filter(|spec| spec.kind == Kind::Switch).map(|spec| twin(spec.name));
    let names: Vec<String> = OPTIONS.iter().map(|spec| spec.name.to_owned()).chain(twins).collect();
    if names.iter().any(|name| name == written) {
        return Ok(written.to_owned());
    }
    let mut alike: Vec<String> = names.into_iter().filter(|name| name.starts_with(written)).collect();
    match alike.len() {
        1 => Ok(alike.remove(0)),
        0 => {
            let nearest = nearest(written, OPTIONS.iter().map(|spec| spec.name));
            Err(SbatchError::Option(OptionError::Unknown { name: written.escape_debug().to_string(), nearest }))
        }
        _ => Err(SbatchError::Ambiguous { written: written.to_owned(), options: alike }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(script: &str) -> (JobOptions, Vec<String>) {
        let (arguments, mut faults) = arguments(script.as_bytes(), 0);
        let (options, more) = options(&arguments);
        faults.extend(more);
        (options, faults.into_iter().map(|(place, error)| format!("{place}: {error}")).collect())
    }

    #[test]
    fn our_options_are_taken_as_sbatch_takes_them() {
        let script = "#!/bin/sh\n#SBATCH -n1 --k8s-image=a/b:1 --k8s-io tee # --k8s-keep\n#SLURM --k8s-workd='/a b'\n\
                      #SBATCH --no-k8s-keep\n#SBATCH --k8s-io=direct\necho\n#SBATCH --k8s-readonly\n";
        let (options, faults) = read(script);
        assert_eq!(faults, Vec::<String>::new());
        let held: Vec<_> = options.values().map(|(spec, value)| (spec.name, value.written())).collect();
        let expected = [("k8s-image", "a/b:1"), ("k8s-workdir", "/a b"), ("k8s-io", "direct"), ("k8s-keep", "no")];
        assert_eq!(held, expected.map(|(name, value)| (name, value.into())));
        assert_eq!(options.given("k8s-io").unwrap().origin.place().unwrap().to_string(), "5:9");
    }

    #[test]
    fn what_sbatch_would_refuse_is_told() {
        for (line, expected) in [
            ("--k8s-imgae=x", "2:9: there is no option --k8s-imgae"),
            ("--k8s-keep=yes", "2:9: --k8s-keep takes no value"),
            ("-n1 --k8s-mount=/a:/b", "2:13: --k8s-mount may be any of --k8s-mounts, --k8s-mount-home"),
            ("--k8s-image", "2:9: --k8s-image: IMAGE is missing"),
            ("--k8s-image='a", "2:9: the quote ' has no end in this line"),
            ("--k8s-io=fast", "2:9: --k8s-io: \"fast\" is not one of tee, direct"),
        ] {
            assert_eq!(read(&format!("#!/bin/sh\n#SBATCH {line}\n")).1, [expected], "{line}");
        }
    }

    #[test]
    fn the_next_component_begins_with_hetjob() {
        let script = b"#!/bin/sh\n#SBATCH --k8s-image=a\n#SBATCH hetjob\n#SBATCH --k8s-image=b\n#SBATCH PackJob -n1 --k8s-image=c\n";
        for (component, image) in [(0, "a"), (1, "b"), (2, "c")] {
            let (options, _) = options(&arguments(script, component).0);
            assert_eq!(options.image().unwrap().as_str(), image);
        }
    }
}

//! Profiles: options that the admin has put together under a name, for `--k8s-profile=NAME`.
//!
//! A profile's values stand below what the user gives in any way. They are the admin's, so they need no permission.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::limit::{self, Amount, LimitError, Limits};
use crate::option::{self, Given, IMAGE, JobOptions, OPTIONS, OptionError, OptionSpec, Origin, PROFILE};
use crate::shown::{nearest, quoted};

/// `[profiles.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// In place of `pod.template`.
    pub template: Option<PathBuf>,
    /// Options by their names without `k8s-`, with `_` for `-`, and limits.
    #[serde(flatten)]
    settings: BTreeMap<String, Setting>,
}

/// A value as TOML has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Setting {
    Text(String),
    Switch(bool),
    Number(u64),
}

/// A profile that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// There is none of that name.
    #[error("{given}: there is no profile {name:?} here")]
    Unknown {
        /// The option.
        given: Given,
        /// The name.
        name: String,
        /// The profile that was probably meant.
        nearest: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// Neither it nor the user names an image.
    #[error("{given}={name} names no image")]
    NoImage {
        /// The option.
        given: Given,
        /// The name.
        name: String,
    },
}

impl ProfileError {
    /// The option where it was given.
    #[must_use]
    pub fn given(&self) -> Given {
        match self {
            Self::Unknown { given, .. } | Self::NoImage { given, .. } => *given,
        }
    }

    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { given, nearest: Some(near), .. } => format!("did you mean {given}={near}?"),
            Self::Unknown { known, .. } if known.is_empty() => "leave it out: this site has no profiles".into(),
            Self::Unknown { known, .. } => format!("there are: {}", known.join(", ")),
            Self::NoImage { given, .. } => format!("add {}=IMAGE", given.beside(IMAGE)),
        }
    }
}

/// The option that a key of a profile stands for.
#[must_use]
pub fn option_of(key: &str) -> Option<&'static OptionSpec> {
    keys().find(|(name, _)| name == key).map(|(_, spec)| spec)
}

/// The keys of a profile that are options.
pub fn keys() -> impl Iterator<Item = (String, &'static OptionSpec)> {
    let own = OPTIONS.iter().filter(|spec| spec.name != PROFILE);
    own.map(|spec| (spec.name.trim_start_matches("k8s-").replace('-', "_"), spec))
}

impl Profile {
    /// Its options; an error comes with the key.
    pub fn options(&self) -> Result<JobOptions, (String, OptionError)> {
        let mut options = JobOptions::default();
        for (key, setting) in &self.settings {
            let Some(spec) = option_of(key) else { continue };
            options
                .set(Origin::Config, spec.name, Some(setting.text().as_bytes()))
                .map_err(|error| (key.clone(), error))?;
        }
        Ok(options)
    }
}

impl Profile {
    /// Its limits; an error is a key and what is wrong with its value.
    pub fn limits(&self) -> Result<Limits, (&'static str, String)> {
        let wrong = |key, shown: String, what| (key, format!("{shown} is not {what}"));
        let number = |key| match self.settings.get(key) {
            None => Ok(None),
            Some(Setting::Number(number)) => Ok(Some(*number)),
            Some(other) => Err(wrong(key, other.shown(), "a number")),
        };
        let memory = "max_memory";
        let size = match self.settings.get(memory) {
            None => None,
            Some(Setting::Text(text)) if option::size(text).is_some() => option::size(text),
            Some(other) => return Err(wrong(memory, other.shown(), "a size such as \"8G\"")),
        };
        Ok(Limits { cpus: number("max_cpus")?, memory: size, gpus: number("max_gpus")? })
    }
}

impl Setting {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Switch(on) => if *on { "yes" } else { "no" }.to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }

    fn shown(&self) -> String {
        quoted(self.text().as_bytes())
    }
}

/// The options with those of their profile below them, and the Pod template that holds.
pub fn resolve(config: &Config, options: &JobOptions) -> Result<(JobOptions, Option<PathBuf>), ProfileError> {
    let (Some(name), Some(given)) = (options.profile(), options.given(PROFILE)) else {
        return Ok((options.clone(), config.pod.template.clone()));
    };
    let profile = config.profiles.get(name).ok_or_else(|| ProfileError::Unknown {
        given,
        name: name.to_owned(),
        nearest: nearest(name, config.profiles.keys().map(String::as_str)).map(str::to_owned),
        known: config.profiles.keys().cloned().collect(),
    })?;
    // The config was checked when it was read.
    let options = options.clone().over(profile.options().unwrap_or_default());
    if options.image().is_none() {
        return Err(ProfileError::NoImage { given, name: name.to_owned() });
    }
    Ok((options, profile.template.clone().or_else(|| config.pod.template.clone())))
}

/// Holds a job to the limits of its profile.
pub fn check_limits(config: &Config, options: &JobOptions, amount: &Amount) -> Result<(), LimitError> {
    let (Some(name), Some(given)) = (options.profile(), options.given(PROFILE)) else {
        return Ok(());
    };
    // The config was checked when it was read.
    let limits = config.profiles.get(name).and_then(|profile| profile.limits().ok());
    limits.map_or(Ok(()), |limits| limit::check(&limits, amount, given, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "pod.template = '/t'\n[profiles.gpu1]\nimage = 'a/b:1'\nshm_size = '8G'\nreadonly = true\n\
                        [profiles.std]\npull = 'always'\ntemplate = '/std'";

    fn resolved(given: &[(&str, &str)]) -> Result<(JobOptions, Option<PathBuf>), ProfileError> {
        let mut options = JobOptions::default();
        for (name, value) in given {
            options.set(Origin::Environment, name, Some(value.as_bytes())).unwrap();
        }
        resolve(&Config::parse(SITE).unwrap(), &options)
    }

    #[test]
    fn what_the_user_gives_stands_above_the_profile() {
        let (options, template) = resolved(&[("k8s-profile", "gpu1"), ("k8s-shm-size", "1G")]).unwrap();
        assert_eq!(options.image().unwrap().to_string(), "a/b:1");
        assert_eq!((options.shm_bytes(), options.readonly()), (Some(1 << 30), Some(true)));
        assert_eq!(template, Some("/t".into()));
        assert_eq!(resolved(&[("k8s-profile", "std"), ("k8s-image", "c")]).unwrap().1, Some("/std".into()));
    }

    #[test]
    fn a_profile_that_cannot_be_had_says_what_can() {
        let error = resolved(&[("k8s-profile", "gpu"), ("k8s-image", "c")]).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.hint().as_str()),
            ("SLURM_K8S_PROFILE: there is no profile \"gpu\" here", "did you mean SLURM_K8S_PROFILE=gpu1?")
        );
        assert_eq!(resolved(&[("k8s-profile", "std")]).unwrap_err().hint(), "add SLURM_K8S_IMAGE=IMAGE");
    }

    #[test]
    fn a_job_is_held_to_its_profiles_limits_only() {
        let config = Config::parse("[profiles.a]\nimage = 'x'\nmax_cpus = 2\n[profiles.b]\nimage = 'x'").unwrap();
        let checked = |name: &str| {
            let mut options = JobOptions::default();
            options.set(Origin::CommandLine, PROFILE, Some(name.as_bytes())).unwrap();
            check_limits(&config, &options, &Amount { cpus: Some(3), ..Amount::default() })
        };
        assert!(checked("a").is_err());
        assert_eq!(checked("b"), Ok(()));
    }

    #[test]
    fn a_wrong_profile_is_named_with_its_line() {
        for (text, message) in [
            ("[profiles.a]\nimage = 'x'\nshm_size = 'big'", "line 3: profiles.a.shm_size: \"big\" is not a size"),
            ("[profiles.a]\nshmsize = '1G'", "line 2: there is no key profiles.a.shmsize"),
            ("[profiles.a]\nprofile = 'b'", "line 2: there is no key profiles.a.profile"),
            ("[profiles.a]\nimage = 'x'\nmax_memory = 'much'", "line 3: profiles.a.max_memory: \"much\" is not a size"),
            ("[profiles.a]\nmax_cpus = 'x'", "line 2: profiles.a.max_cpus: \"x\" is not a number"),
            ("[profiles.a]\nmax_cpu = 4", "line 2: there is no key profiles.a.max_cpu"),
            ("[profiles.'A B']\nimage = 'x'", "line 1: profiles.A B: is not a name"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }
}

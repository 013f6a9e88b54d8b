//! The user's options: what they are called, and what their values mean.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;

pub use crate::choice::{Batch, Io, Network, Pull};
use crate::image::ImageRef;
use crate::shown::{nearest, quoted};

pub mod carried;
mod error;
mod given;
mod list;
pub mod mount;
mod table;
mod value;
pub mod variable;

pub use error::{OptionError, Problem};
pub use given::{Given, Origin};
use mount::MountRequest;
pub(crate) use table::find;
pub use table::{
    BATCH, ENTRYPOINT, ENV, IMAGE, IO, KEEP, MOUNT_HOME, MOUNTS, NAMESPACE, NETWORK, OPTIONS, OptionSpec,
    PRIORITY_CLASS, PROFILE, PULL, READONLY, SCRIPT, SHM_SIZE, WORKDIR,
};
pub use value::{Kind, NO_IMAGE, Value};
pub(crate) use value::{is_name, size};
use variable::Variable;

/// The options of one job or step, by name; what is not there was not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobOptions(BTreeMap<&'static str, Set>);

/// One of them.
#[derive(Debug, Clone)]
struct Set {
    value: Value,
    origin: Origin,
}

/// Where a value was given is for messages only.
impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Set {}

impl JobOptions {
    /// Takes one option by its name, without dashes. The same value again is fine, another one is an error; values
    /// from elsewhere (environment, script) are taken apart and put below these with [`JobOptions::over`].
    pub fn set(&mut self, origin: Origin, name: &str, value: Option<&[u8]>) -> Result<(), OptionError> {
        let names = || OPTIONS.iter().map(|spec| spec.name);
        let unknown = || OptionError::Unknown { name: name.to_owned(), nearest: nearest(name, names()) };
        let (spec, off) = table::find(name).ok_or_else(unknown)?;
        let given = Given { option: spec, origin };
        let value = match (spec.kind, origin) {
            (Kind::Switch, Origin::CommandLine | Origin::Sbatch(_)) => Value::Switch(!off),
            _ => parse(given, value)?,
        };
        if let Some(old) = self.0.get(spec.name) {
            let conflict = || OptionError::Conflict { given, shown: quoted(value.written().as_bytes()) };
            return if old.value == value { Ok(()) } else { Err(conflict()) };
        }
        self.0.insert(spec.name, Set { value, origin });
        Ok(())
    }

    /// What holds: `given` on the command line, else the environment, else what is `inherited`: what the script's own
    /// lines say, what the command has from the job that it runs in.
    /// Without an image in any of them the environment's other options lie idle, right or wrong.
    pub fn layered(
        given: &Self,
        inherited: Self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, OptionError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let image =
            [IMAGE, PROFILE].iter().filter_map(|name| table::find(name)).any(|(spec, _)| variable(spec.env).is_some());
        if given.is_switched_off() || !(image || given.wants_pod() || inherited.wants_pod()) {
            given.need_image()?;
            return Ok(given.clone().over(inherited));
        }
        let mut environment = Self::default();
        for spec in OPTIONS {
            if let Some(value) = variable(spec.env) {
                environment.set(Origin::Environment, spec.name, Some(value.as_bytes()))?;
            }
        }
        Ok(given.clone().over(environment).over(inherited))
    }

    /// These options, and for those not given the ones of `lower`.
    #[must_use]
    pub fn over(self, mut lower: Self) -> Self {
        lower.0.extend(self.0);
        lower
    }

    /// Refuses options that mean nothing because no image is named. Beside `none` the others are what was inherited with
    /// the image that it switches off.
    pub(crate) fn need_image(&self) -> Result<(), OptionError> {
        let named = [IMAGE, PROFILE].iter().any(|name| self.0.contains_key(name));
        let first = OPTIONS.iter().find_map(|spec| self.given(spec.name)).filter(|_| !named);
        first.map_or(Ok(()), |given| Err(OptionError::WithoutImage { given }))
    }

    /// The names of those that the environment gives, with commas.
    #[must_use]
    pub fn of_environment(&self) -> String {
        let names = self.0.iter().filter(|(_, set)| set.origin == Origin::Environment).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(",")
    }

    /// The option where it was given, for messages.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<Given> {
        let (option, _) = table::find(name)?;
        Some(Given { option, origin: self.0.get(option.name)?.origin })
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|set| &set.value)
    }

    /// Whether processes run in a Pod: there is an image, or a profile that perhaps has one. A batch script also needs
    /// [`Batch::Pod`].
    #[must_use]
    pub fn wants_pod(&self) -> bool {
        self.image().is_some() || (self.profile().is_some() && !self.is_switched_off())
    }

    /// `--k8s-profile`.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.name(PROFILE)
    }

    /// Whether the image is `none`.
    #[must_use]
    pub fn is_switched_off(&self) -> bool {
        self.value(IMAGE) == Some(&Value::Image(None))
    }

    /// The options with their table rows, in the table's order.
    pub fn values(&self) -> impl Iterator<Item = (&'static OptionSpec, &Value)> {
        OPTIONS.iter().filter_map(|spec| Some((spec, self.value(spec.name)?)))
    }

    /// `--k8s-image`, unless it is `none`.
    #[must_use]
    pub fn image(&self) -> Option<&ImageRef> {
        match self.value(IMAGE) {
            Some(Value::Image(image)) => image.as_ref(),
            _ => None,
        }
    }

    /// `--k8s-batch`.
    #[must_use]
    pub fn batch(&self) -> Option<Batch> {
        self.word(BATCH)
    }

    /// `--k8s-workdir`: absolute, in the container; bytes, not text.
    #[must_use]
    pub fn workdir(&self) -> Option<&Path> {
        self.path(WORKDIR)
    }

    /// `--k8s-script`: absolute, in the container; bytes, not text.
    #[must_use]
    pub fn script(&self) -> Option<&Path> {
        self.path(SCRIPT)
    }

    /// `--k8s-mounts`.
    #[must_use]
    pub fn mounts(&self) -> &[MountRequest] {
        match self.value(MOUNTS) {
            Some(Value::Mounts(mounts)) => mounts,
            _ => &[],
        }
    }

    /// `--k8s-mount-home`.
    #[must_use]
    pub fn mount_home(&self) -> Option<bool> {
        self.switch(MOUNT_HOME)
    }

    /// `--k8s-env`.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        match self.value(ENV) {
            Some(Value::Variables(variables)) => variables,
            _ => &[],
        }
    }

    /// `--k8s-entrypoint`.
    #[must_use]
    pub fn entrypoint(&self) -> Option<bool> {
        self.switch(ENTRYPOINT)
    }

    /// `--k8s-pull`.
    #[must_use]
    pub fn pull(&self) -> Option<Pull> {
        self.word(PULL)
    }

    /// `--k8s-namespace`.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.name(NAMESPACE)
    }

    /// `--k8s-priority-class`.
    #[must_use]
    pub fn priority_class(&self) -> Option<&str> {
        self.name(PRIORITY_CLASS)
    }

    /// `--k8s-shm-size`, in bytes.
    #[must_use]
    pub fn shm_bytes(&self) -> Option<u64> {
        match self.value(SHM_SIZE) {
            Some(Value::Size(bytes)) => Some(*bytes),
            _ => None,
        }
    }

    /// `--k8s-network`.
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        self.word(NETWORK)
    }

    /// `--k8s-readonly`.
    #[must_use]
    pub fn readonly(&self) -> Option<bool> {
        self.switch(READONLY)
    }

    /// `--k8s-io`.
    #[must_use]
    pub fn io(&self) -> Option<Io> {
        self.word(IO)
    }

    /// `--k8s-keep`.
    #[must_use]
    pub fn keep(&self) -> Option<bool> {
        self.switch(KEEP)
    }

    fn word<T: FromStr>(&self, name: &str) -> Option<T> {
        match self.value(name) {
            Some(Value::Word(word)) => word.parse().ok(),
            _ => None,
        }
    }

    fn path(&self, name: &str) -> Option<&Path> {
        match self.value(name) {
            Some(Value::Path(path)) => Some(path),
            _ => None,
        }
    }

    fn switch(&self, name: &str) -> Option<bool> {
        match self.value(name) {
            Some(Value::Switch(on)) => Some(*on),
            _ => None,
        }
    }

    fn name(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Name(text)) => Some(text),
            _ => None,
        }
    }
}

fn parse(given: Given, value: Option<&[u8]>) -> Result<Value, OptionError> {
    let missing = OptionError::Missing { given, value: given.option.value.unwrap_or("yes|no") };
    let value = value.filter(|value| !value.is_empty()).ok_or(missing)?;
    let shown = || quoted(value);
    if value.iter().any(u8::is_ascii_control) {
        return Err(OptionError::Control { given, shown: shown() });
    }
    Value::parse(given.option.kind, value).map_err(|problem| OptionError::Value { given, shown: shown(), problem })
}

#[cfg(test)]
mod tests;

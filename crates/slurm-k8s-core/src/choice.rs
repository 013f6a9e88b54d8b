//! Values that are one of a few words; the same words in options, environment and config.

use std::fmt;

/// A word that is none of the allowed ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not one of {}", allowed.join(", "))]
pub struct UnknownChoice {
    /// The allowed words.
    pub allowed: Vec<&'static str>,
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$word_doc])* $variant,)+ }

        impl $name {
            /// The allowed words.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// This value's word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownChoice;

            fn from_str(word: &str) -> Result<Self, UnknownChoice> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownChoice { allowed: Self::WORDS.to_vec() }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let word = String::deserialize(from)?;
                word.parse().map_err(|error| {
                    let shown = crate::shown::quoted(word.as_bytes());
                    serde::de::Error::custom(format_args!("{shown} is {error}"))
                })
            }
        }
    };
}

choice! {
    /// How output is carried.
    Io {
        /// The agent copies to Slurm's descriptor and to the container's log.
        Tee = "tee",
        /// The process has Slurm's own descriptors; `kubectl logs` shows nothing.
        Direct = "direct",
    }
}

choice! {
    /// Whom the site's programs run as after a job.
    HookUser {
        /// The job's user.
        Job = "job",
        /// The collector's, without its rights.
        Service = "service",
    }
}

choice! {
    /// What Pods book.
    Requests {
        /// The same small amounts for each.
        Fixed = "fixed",
        /// What Slurm gave the step.
        Allocated = "allocated",
    }
}

choice! {
    /// When the node asks the registry for the image.
    Pull {
        /// Only if the node doesn't have it.
        Missing = "missing",
        /// Every time.
        Always = "always",
        /// Never: the node must have it.
        Never = "never",
    }
}

choice! {
    /// Where the batch script runs.
    Batch {
        /// In a Pod, like any other command.
        Pod = "pod",
        /// On the node; its `srun` lines inherit the image.
        Host = "host",
    }
}

choice! {
    /// How Slurm's grants get into the container.
    Way {
        /// By the `RuntimeClass` whose runtime takes grants.
        Runtime = "runtime",
        /// By hostPath volumes, without any change to the container runtime.
        HostPath = "host-path",
    }
}

choice! {
    /// The Pod's network.
    Network {
        /// An address of its own.
        Pod = "pod",
        /// The node's.
        Host = "host",
    }
}

choice! {
    /// Whom a signal from Slurm goes to.
    SignalScope {
        /// As the site's `ProctrackType` would have it.
        Auto = "auto",
        /// The task's first process.
        Task = "task",
        /// Every process of the task.
        Tree = "tree",
    }
}

choice! {
    /// What a site may ask of each job of a Pod, by the name of the option of sbatch.
    Requirement {
        /// An account.
        Account = "account",
        /// Cpus.
        CpusPerTask = "cpus-per-task",
        /// Memory, in any way.
        Memory = "mem",
        /// Where the output goes.
        Output = "output",
        /// A partition.
        Partition = "partition",
        /// A time limit.
        Time = "time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values_agree() {
        assert_eq!("direct".parse(), Ok(Io::Direct));
        assert_eq!(Pull::Always.to_string(), "always");
        let error = "Tee".parse::<Io>().unwrap_err();
        assert_eq!(error.to_string(), "not one of tee, direct");
        for word in Network::WORDS {
            assert_eq!(word.parse::<Network>().unwrap().word(), *word);
        }
    }
}

//! Image references, by the grammar of the distribution project, which containerd follows.
//!
//! ```text
//! reference := [ host [ ":" port ] "/" ] path [ ":" tag ] [ "@" algorithm ":" hex ]
//! ```

use std::fmt;
use std::str::FromStr;

mod spelling;

/// The longest name (host, port and path) in bytes.
const NAME_MAX: usize = 255;
/// The longest tag in bytes.
const TAG_MAX: usize = 128;

/// A valid image reference, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRef {
    text: String,
    host: Option<String>,
}

/// What is wrong with an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// A spelling of another tool.
    #[error("{what}")]
    Foreign {
        /// Whose spelling it is.
        what: &'static str,
        /// How to write it here.
        mend: String,
    },
    /// The host or its port.
    #[error("{host} is not a registry host")]
    Host {
        /// The part before the first slash, quoted.
        host: String,
    },
    /// A component of the path.
    #[error("{part} is not valid in an image's path")]
    Path {
        /// The component, quoted.
        part: String,
    },
    /// Upper case in the path.
    #[error("an image's path must be in lower case")]
    UpperCase {
        /// The reference in lower case.
        mend: String,
    },
    /// The tag.
    #[error("{tag} is not a tag")]
    Tag {
        /// What follows the colon, quoted.
        tag: String,
    },
    /// The digest.
    #[error("{digest} is not a digest")]
    Digest {
        /// What follows the `@`, quoted.
        digest: String,
    },
    /// 64 hexadecimal digits, which would be a local image's id.
    #[error("it is an image's id, not a name")]
    Id,
    /// More than 255 bytes.
    #[error("its name has {length} bytes, at most {NAME_MAX} are allowed")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

impl ImageError {
    /// How to mend it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Empty | Self::Host { .. } | Self::Path { .. } => {
                Some("write [HOST[:PORT]/]PATH[:TAG], for example registry.example/team/tool:1.2".into())
            }
            Self::Foreign { mend, .. } | Self::UpperCase { mend } => Some(mend.clone()),
            Self::Tag { .. } => Some(format!(
                "a tag has at most {TAG_MAX} letters, digits, '_', '-' and '.', and doesn't begin with '-' or '.'"
            )),
            Self::Digest { .. } => Some("a digest is sha256: and 64 hexadecimal digits in lower case".into()),
            Self::Id => Some("write NAME@sha256:… to name exactly one image".into()),
            Self::TooLong { .. } => None,
        }
    }
}

impl ImageRef {
    /// As the user wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry and the path, without tag and digest; where the user left them out, containerd's defaults.
    #[must_use]
    pub fn repository(&self) -> String {
        let named = self.text.split('@').next().unwrap_or_default();
        let path = match &self.host {
            Some(host) => named.get(host.len() + 1..).unwrap_or_default(),
            None => named,
        };
        let path = path.split(':').next().unwrap_or_default();
        match self.host.as_deref() {
            Some(host) => format!("{host}/{path}"),
            None if path.contains('/') => format!("docker.io/{path}"),
            None => format!("docker.io/library/{path}"),
        }
    }

    /// The digest, if the user named one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.text.split_once('@').map(|(_, digest)| digest)
    }

    /// The registry's host and port; none is the node's default registry.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        spelling::check(text)?;
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        let (host, rest) = match named.split_once('/') {
            Some((host, rest)) if is_host_like(host) => (Some(host), rest),
            _ => (None, named),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let quoted = |part: &str| crate::shown::quoted(part.as_bytes());
        if let Some(host) = host.filter(|host| !is_host(host)) {
            return Err(ImageError::Host { host: quoted(host) });
        }
        check_path(text, host, path)?;
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ImageError::Tag { tag: quoted(tag) });
        }
        if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
            return Err(ImageError::Digest { digest: quoted(digest) });
        }
        let length = host.map_or(0, |host| host.len() + 1) + path.len();
        if length > NAME_MAX {
            return Err(ImageError::TooLong { length });
        }
        Ok(Self { text: text.to_owned(), host: host.map(str::to_owned) })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_path(text: &str, host: Option<&str>, path: &str) -> Result<(), ImageError> {
    if host.is_none() && path.len() == 64 && is_hex(path) {
        return Err(ImageError::Id);
    }
    let Some(part) = path.split('/').find(|part| !is_component(part)) else {
        return Ok(());
    };
    let lower = text.replacen(path, &path.to_ascii_lowercase(), 1);
    if path.to_ascii_lowercase().split('/').all(is_component) {
        // What is proposed must be one; if something else is wrong as well, that comes first.
        lower.parse::<ImageRef>()?;
        return Err(ImageError::UpperCase { mend: format!("write {lower}") });
    }
    Err(ImageError::Path { part: crate::shown::quoted(part.as_bytes()) })
}

/// Whether the part before the first slash is a host and not a part of the path: the rule of docker and containerd.
fn is_host_like(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

/// `HOST[:PORT]`.
pub(crate) fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let hexadecimal = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            if address.is_empty() || !hexadecimal {
                return false;
            }
            (None, (!port.is_empty()).then_some(port))
        }
        None => match host.find(':').and_then(|at| host.split_at_checked(at)) {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    name.is_none_or(|name| name.split('.').all(is_host_component))
        && port.is_none_or(|port| port.strip_prefix(':').is_some_and(digits))
}

fn is_host_component(part: &str) -> bool {
    let word = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    word && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
}

/// Lower-case words, separated by `.`, `_`, `__` or any number of `-`.
fn is_component(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = part.split(word).filter(|separator| !separator.is_empty());
    part.starts_with(word)
        && part.ends_with(word)
        && separators.all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= TAG_MAX && tag.starts_with(word) && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_digest(digest: &str) -> bool {
    match digest.split_once(':') {
        Some(("sha256", hex)) if is_hex(hex) => hex.len() == 64,
        Some(("sha512", hex)) if is_hex(hex) => hex.len() == 128,
        _ => false,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;

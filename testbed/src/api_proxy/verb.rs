//! What a request wants, in the API server's own words.

use hyper::{Method, Request};
use std::fmt;

/// A verb, as in RBAC and in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// POST.
    Create,
    /// GET of one object or a list.
    Get,
    /// GET that goes on.
    Watch,
    /// DELETE.
    Delete,
}

const ALL: &[(&str, Verb)] =
    &[("create", Verb::Create), ("get", Verb::Get), ("watch", Verb::Watch), ("delete", Verb::Delete)];

impl Verb {
    /// The verb with this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(present, _)| *present == name).map(|(_, verb)| *verb)
    }

    /// All of them, for people.
    pub fn names() -> String {
        ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// The verb of a request.
    pub fn of<B>(request: &Request<B>) -> Self {
        let watch = || request.uri().query().unwrap_or_default().split('&').any(|part| part == "watch=true");
        match *request.method() {
            Method::POST => Self::Create,
            Method::DELETE => Self::Delete,
            _ if watch() => Self::Watch,
            _ => Self::Get,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(_, verb)| verb == self).map_or("", |(name, _)| name);
        text.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::Verb;
    use hyper::Request;

    #[test]
    fn a_watch_is_no_get() {
        let verb = |uri: &str| Verb::of(&Request::get(uri).body(()).unwrap());
        assert_eq!(verb("/api/v1/namespaces/a/pods?fieldSelector=x&watch=true&timeoutSeconds=290"), Verb::Watch);
        assert_eq!(verb("/api/v1/namespaces/a/pods/watch"), Verb::Get);
        assert_eq!(Verb::of(&Request::post("/").body(()).unwrap()), Verb::Create);
    }
}

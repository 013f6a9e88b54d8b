//! Failed pulls: which are worth another try.

use super::Verdict;
use crate::message::{one_line, refuse};

/// Why a pull fails, from the text that containerd or CRI-O gives.
enum Cause {
    NotFound,
    Platform,
    Login,
    Certificate,
    PlainHttp,
    HostUnknown,
    Broken,
    Transient,
}

/// Texts in lower case and what they mean; the first that is found counts. What isn't here is tried again.
const TEXTS: &[(&str, Cause)] = &[
    ("no match for platform", Cause::Platform),
    ("no space left on device", Cause::Transient),
    ("failed to extract layer", Cause::Broken),
    ("failed commit on ref", Cause::Broken),
    ("connection refused", Cause::Transient),
    ("x509:", Cause::Certificate),
    ("http response to https client", Cause::PlainHttp),
    ("no such host", Cause::HostUnknown),
    ("pull access denied", Cause::Login),
    ("insufficient_scope", Cause::Login),
    ("unauthorized", Cause::Login),
    ("authentication required", Cause::Login),
    ("no basic auth credentials", Cause::Login),
    ("403 forbidden", Cause::Login),
    ("manifest unknown", Cause::NotFound),
    ("name unknown", Cause::NotFound),
    ("repository does not exist", Cause::NotFound),
    ("404 not found", Cause::NotFound),
    ("code = notfound", Cause::NotFound),
    (": not found", Cause::NotFound),
];

/// Wrappings that say nothing new; `*` stands for a quoted reference.
const WRAPPINGS: &[&str] = &[
    "Back-off pulling image *: ",
    "ErrImagePull: ",
    "ImageInspectError: ",
    "Failed to inspect image *: ",
    "failed to pull and unpack image *: ",
    "failed to pull image *: ",
    "failed to resolve reference *: ",
    "failed to resolve image: ",
    "failed to do request: ",
];

/// Judges `ErrImagePull` and its back-off by the runtime's text.
pub fn judge(image: &str, message: &str) -> Verdict {
    let low = message.to_lowercase();
    let cause = TEXTS.iter().find(|(text, _)| low.contains(text)).map_or(&Cause::Transient, |(_, cause)| cause);
    let detail = unwrap(message);
    Verdict::Failed(match cause {
        Cause::NotFound => refuse::no_image(image),
        Cause::Platform => refuse::no_variant(image),
        Cause::Login => refuse::login(image, detail),
        Cause::Certificate => refuse::untrusted(image, detail),
        Cause::PlainHttp => refuse::plain_http(image),
        Cause::HostUnknown => refuse::no_host(image, detail),
        Cause::Broken => refuse::broken(image, detail),
        Cause::Transient => {
            return Verdict::PullRetry { message: one_line(&format!("the image {image} cannot be pulled: {detail}")) };
        }
    })
}

/// Judges the reasons that no later try changes.
pub fn refused(reason: &str, image: &str, message: &str) -> Verdict {
    Verdict::Failed(match reason {
        "ErrImageNeverPull" => refuse::not_on_node(image),
        "InvalidImageName" => refuse::bad_name(image),
        _ => refuse::unsigned(image, message),
    })
}

/// The message without its wrappings, so that it is the same in an error and in the back-off after it.
fn unwrap(message: &str) -> &str {
    let mut rest = message;
    loop {
        let status = rest.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once(" desc = "));
        let inner = status.map(|(_, inner)| inner);
        let Some(inner) = inner.or_else(|| WRAPPINGS.iter().find_map(|form| strip(rest, form))) else {
            return rest;
        };
        rest = inner;
    }
}

fn strip<'a>(text: &'a str, form: &str) -> Option<&'a str> {
    match form.split_once('*') {
        None => text.strip_prefix(form),
        Some((before, after)) => {
            let quoted = text.strip_prefix(before)?.strip_prefix('"')?;
            quoted.split_once('"')?.1.strip_prefix(after)
        }
    }
}

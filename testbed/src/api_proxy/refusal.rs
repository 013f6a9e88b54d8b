//! The answers in the API server's stead, as it gives them: a `Status` object, but for two.

use super::verb::Verb;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// When to come back after a 429, in seconds: later than any client would by itself.
const LATER: u32 = 4;

/// An error that a Kubernetes API server gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    code: u16,
    reason: &'static str,
}

const REFUSALS: &[Refusal] = &[
    Refusal { code: 401, reason: "Unauthorized" },
    Refusal { code: 403, reason: "Forbidden" },
    Refusal { code: 409, reason: "Conflict" },
    Refusal { code: 410, reason: "Expired" },
    Refusal { code: 429, reason: "TooManyRequests" },
    Refusal { code: 500, reason: "InternalError" },
    Refusal { code: 503, reason: "ServiceUnavailable" },
    Refusal { code: 504, reason: "Timeout" },
];

impl Refusal {
    /// The one with this HTTP status.
    pub fn with_code(code: u16) -> Option<&'static Self> {
        REFUSALS.iter().find(|refusal| refusal.code == code)
    }

    /// All codes, for people.
    pub fn codes() -> String {
        REFUSALS.iter().map(|refusal| refusal.code.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Its HTTP status.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The answer.
    pub fn response(&self, verb: Verb) -> Response<Full<Bytes>> {
        // A watch that is too old begins well, and its first event says so.
        if self.code == 410 && verb == Verb::Watch {
            let event = json!({ "type": "ERROR", "object": self.status() });
            return with(StatusCode::OK, "application/json", format!("{event}\n"));
        }
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Said before the API server knows what the request is about.
        if self.code == 429 {
            let mut response = with(code, "text/plain; charset=utf-8", TOO_MANY.to_owned());
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(LATER));
            return response;
        }
        with(code, "application/json", self.status().to_string())
    }

    fn status(&self) -> Value {
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": format!("the testbed's fault api-error={}", self.code),
            "reason": self.reason,
            "details": {},
            "code": self.code,
        })
    }
}

/// The API server's own text.
const TOO_MANY: &str = "Too many requests, please try again later.\n";

fn with(code: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::{REFUSALS, Refusal, Verb};
    use hyper::header::RETRY_AFTER;

    #[test]
    fn the_body_and_the_status_line_agree() {
        for refusal in REFUSALS {
            let status = refusal.status();
            assert_eq!(status["kind"], "Status");
            assert_eq!(status["code"], refusal.code);
            assert_eq!(status["reason"], refusal.reason);
            assert_eq!(refusal.response(Verb::Create).status().as_u16(), refusal.code);
        }
    }

    #[test]
    fn only_too_many_requests_says_when_to_come_back() {
        for refusal in REFUSALS {
            assert_eq!(refusal.response(Verb::Get).headers().contains_key(RETRY_AFTER), refusal.code == 429);
        }
    }

    #[test]
    fn a_watch_that_is_too_old_begins_well() {
        let expired = Refusal::with_code(410).unwrap();
        assert_eq!(expired.response(Verb::Watch).status().as_u16(), 200);
        assert_eq!(expired.response(Verb::Get).status().as_u16(), 410);
    }

    #[test]
    fn other_codes_are_not_errors_of_an_api_server() {
        assert_eq!(Refusal::with_code(200), None);
    }
}

//! The answers in the API server's stead: a `Status` object, as its clients expect it.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

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
    pub fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.body()));
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.code == 429 {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    fn body(&self) -> String {
        let details = if self.code == 429 { json!({ "retryAfterSeconds": 1 }) } else { json!({}) };
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": format!("the testbed's fault api-error={}", self.code),
            "reason": self.reason,
            "details": details,
            "code": self.code,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{REFUSALS, Refusal};
    use hyper::header::RETRY_AFTER;
    use serde_json::Value;

    #[test]
    fn the_body_and_the_status_line_agree() {
        for refusal in REFUSALS {
            let body: Value = serde_json::from_str(&refusal.body()).unwrap();
            assert_eq!(body["kind"], "Status");
            assert_eq!(body["status"], "Failure");
            assert_eq!(body["code"], refusal.code);
            assert_eq!(body["reason"], refusal.reason);
            assert_eq!(refusal.response().status().as_u16(), refusal.code);
        }
    }

    #[test]
    fn only_too_many_requests_says_when_to_come_back() {
        for refusal in REFUSALS {
            assert_eq!(refusal.response().headers().contains_key(RETRY_AFTER), refusal.code == 429);
        }
        assert_eq!(Refusal::with_code(429).unwrap().response().headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn other_codes_are_not_errors_of_an_api_server() {
        assert_eq!(Refusal::with_code(200), None);
    }
}

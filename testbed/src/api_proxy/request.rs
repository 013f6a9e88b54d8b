//! One request: on to the API server, or answered here, as the fault that is on says.

use super::identity::{self, Identity};
use super::mode::Mode;
use super::silence::Silence;
use super::verb::Verb;
use crate::host::CTL;
use crate::kubernetes::API_PORT;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::uri::{InvalidUri, Uri};
use hyper::{Request, Response, header};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How long the API server may take to begin its answer: its own limit is 60 seconds.
const ANSWER: Duration = Duration::from_secs(70);
/// Connections to the API server are closed before it closes them.
const IDLE: Duration = Duration::from_secs(30);

type Body = Either<Silence, Full<Bytes>>;

/// Why a request gets no answer: then its connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The fault.
    #[error("{request}: cut")]
    Cut {
        /// Which.
        request: String,
    },
    /// It can't be addressed.
    #[error("{request}: could not be addressed")]
    Address {
        /// Which.
        request: String,
        /// The reason.
        source: InvalidUri,
    },
    /// The API server does not answer.
    #[error("{request}: could not be passed on")]
    Upstream {
        /// Which.
        request: String,
        /// The reason.
        source: legacy::Error,
    },
    /// The API server answers too late.
    #[error("{request}: the API server gave no answer within {} s", ANSWER.as_secs())]
    Late {
        /// Which.
        request: String,
    },
}

/// The way to the API server.
#[derive(Clone)]
pub struct Requests {
    client: Client<HttpsConnector<HttpConnector>, Incoming>,
}

impl Requests {
    /// Through this connector.
    pub fn new(connector: HttpsConnector<HttpConnector>) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        Self { client: builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector) }
    }

    /// The answer to one request.
    pub async fn answer(&self, who: &Identity, request: Request<Incoming>) -> Result<Response<Body>, RequestError> {
        let begin = Instant::now();
        let name = format!("{who} {} {}", request.method(), request.uri());
        let verb = Verb::of(&request);
        // Without orders everything is as usual.
        let usual = Mode::Slow(Duration::ZERO);
        let mode = Mode::load().filter(|mode| mode.concerns(verb)).unwrap_or(usual);
        let passed = |response: Response<Incoming>| response.map(|body| Either::Left(Silence::over(body, verb)));
        let (response, delay) = match mode {
            Mode::Slow(delay) => (passed(self.pass_on(who, request, &name).await?), delay),
            Mode::Silent(_) => (passed(self.pass_on(who, request, &name).await?), Duration::ZERO),
            Mode::Error(refusal, _) => (refusal.response(verb).map(Either::Right), Duration::ZERO),
            Mode::Cut(_) => {
                // Unread bytes would turn the close into a reset.
                let _ = timeout(ANSWER, request.into_body().collect()).await;
                return Err(RequestError::Cut { request: name });
            }
        };
        // Said before the delay: the client may not wait for its end.
        let (status, took) = (response.status().as_u16(), begin.elapsed().as_millis());
        super::say(&format!("{name}: {status} after {took} ms, {mode}"));
        if !delay.is_zero() {
            sleep(delay).await;
        }
        Ok(response)
    }

    async fn pass_on(
        &self,
        who: &Identity,
        mut request: Request<Incoming>,
        name: &str,
    ) -> Result<Response<Incoming>, RequestError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("https://{}:{API_PORT}{path}", CTL.ip).parse::<Uri>();
        *request.uri_mut() = uri.map_err(|source| RequestError::Address { request: name.to_owned(), source })?;
        request.headers_mut().remove(header::HOST);
        who.put_into(request.headers_mut());
        let response = timeout(ANSWER, self.client.request(request)).await;
        let response = response.map_err(|_| RequestError::Late { request: name.to_owned() })?;
        let mut response = response.map_err(|source| RequestError::Upstream { request: name.to_owned(), source })?;
        identity::remove_hop(response.headers_mut());
        Ok(response)
    }
}

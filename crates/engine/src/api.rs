//! The API server: one connection, every request with a deadline.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use http::{Request, Response};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tokio::time::Instant;
use tower::ServiceBuilder;

use crate::retry_after::RetryAfter;

/// A failed request, or a client that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The kubeconfig could not be read.
    #[error("cannot read the kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer within the request's deadline.
    #[error("the Kubernetes API server did not answer a {verb} within {seconds:.1} s")]
    Timeout {
        /// The HTTP verb.
        verb: &'static str,
        /// The deadline.
        seconds: f32,
    },
    /// The connection failed.
    #[error("cannot reach the Kubernetes API server")]
    Unreachable(#[source] Box<kube::Error>),
    /// The API server answered with an error.
    #[error("the Kubernetes API server answered {code} {reason}: {message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// Kubernetes' reason, for example `Forbidden`.
        reason: String,
        /// Its text.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The answer could not be understood.
    #[error("the Kubernetes API server's answer cannot be understood")]
    Answer(#[source] Box<kube::Error>),
}

impl ApiError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Kubeconfig { .. } | Self::Answer(_) => false,
            Self::Timeout { .. } | Self::Unreachable(_) => true,
            // A conflict is about what changed meanwhile, a quota for example. A name that is taken stays so.
            Self::Status { code: 409, .. } => !self.already_exists(),
            Self::Status { code, .. } => matches!(code, 408 | 429) || *code >= 500,
        }
    }

    /// Whether another object has the name.
    #[must_use]
    pub fn already_exists(&self) -> bool {
        matches!(self, Self::Status { code: 409, reason, .. } if reason == "AlreadyExists")
    }

    /// When the server wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the request certainly did not arrive.
    #[must_use]
    pub fn never_arrived(&self) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                return matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable);
            }
            cause = error.source();
        }
        matches!(self, Self::Status { code, .. } if *code < 500)
    }

    /// The HTTP status, if the server gave one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    fn of(error: kube::Error, header: &RetryAfter) -> Self {
        match error {
            kube::Error::Api(status) => {
                let told = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                let told = (told > 0).then(|| Duration::from_secs(told.into()));
                let retry_after = header.take().or(told);
                let code = http::StatusCode::from_u16(status.code).ok();
                // What is no Kubernetes' answer has no reason: overload, and proxies.
                let reason = match code.and_then(|code| code.canonical_reason()) {
                    Some(reason) if status.reason == NO_STATUS => reason.to_owned(),
                    _ => status.reason.clone(),
                };
                Self::Status { code: status.code, reason, message: status.message.clone(), retry_after }
            }
            error @ (kube::Error::SerdeError(_) | kube::Error::BuildRequest(_)) => Self::Answer(Box::new(error)),
            other => Self::Unreachable(Box::new(other)),
        }
    }
}

/// kube's reason for an answer without one.
const NO_STATUS: &str = "Failed to parse error data";

/// The kubelet merges equal events: a Pod that cannot start has a few.
const EVENTS: u32 = 50;

/// How often a silent connection is tried.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// A client younger than this has what the kubeconfig says.
const FRESH: Duration = Duration::from_secs(1);

/// The Pods of one namespace.
#[derive(Clone)]
pub struct Pods {
    /// All clones go over to a new one together.
    line: Arc<Mutex<Line>>,
    timeout: Duration,
    kubeconfig: PathBuf,
    namespace: String,
    /// How many requests were sent, by verb, and how many of them had no good answer.
    sent: Arc<Mutex<BTreeMap<String, u32>>>,
}

/// One client with one identity.
#[derive(Clone)]
struct Line {
    api: Api<Pod>,
    events: Api<Event>,
    retry_after: RetryAfter,
    made: Instant,
}

impl Line {
    async fn new(kubeconfig: &Path, namespace: &str, timeout: Duration) -> Result<Self, ApiError> {
        let retry_after = RetryAfter::default();
        let client = client(kubeconfig, timeout, &retry_after).await?;
        let events = Api::namespaced(client.clone(), namespace);
        Ok(Self { api: Api::namespaced(client, namespace), events, retry_after, made: Instant::now() })
    }
}

impl Pods {
    /// A client from a kubeconfig; must be called in a tokio runtime. Nothing is sent yet.
    pub async fn connect(kubeconfig: &Path, namespace: &str, timeout: Duration) -> Result<Self, ApiError> {
        let line = Line::new(kubeconfig, namespace, timeout).await?;
        Ok(Self {
            line: Arc::new(Mutex::new(line)),
            timeout,
            kubeconfig: kubeconfig.to_owned(),
            namespace: namespace.to_owned(),
            sent: Arc::default(),
        })
    }

    /// The same with another deadline for each request.
    #[must_use]
    pub fn patient(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// The requests so far, of all clones: by verb, and those without a good answer as `failed`.
    pub fn requests(&self) -> BTreeMap<String, u32> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, what: &str) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent.entry(what.to_owned()).or_default() += 1;
    }

    fn line(&self) -> Line {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// POST.
    pub async fn create(&self, pod: &Pod) -> Result<Pod, ApiError> {
        let params = PostParams::default();
        self.ask("POST", async |line| line.api.create(&params, pod).await).await
    }

    /// GET; none if there is no such Pod.
    pub async fn get(&self, name: &str) -> Result<Option<Pod>, ApiError> {
        self.ask("GET", async |line| line.api.get_opt(name).await).await
    }

    /// Begins a watch.
    pub async fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Pod>, kube::Error>> + use<>, ApiError> {
        self.ask("watch", async |line| Ok(line.api.watch(params, version).await?.boxed_local())).await
    }

    /// The warnings about a Pod, the newest last: reason and message.
    pub async fn warnings(&self, uid: &str) -> Result<Vec<(String, String)>, ApiError> {
        let selector = format!("involvedObject.uid={uid},type=Warning");
        let params = ListParams::default().fields(&selector).limit(EVENTS);
        let mut events = self.ask("GET", async |line| line.events.list(&params).await).await?.items;
        events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
        Ok(events.into_iter().filter_map(|event| Some((event.reason?, event.message?))).collect())
    }

    /// The Pods with these labels, and the version a watch of them starts from.
    pub async fn labelled(&self, labels: &str) -> Result<(Vec<Pod>, String), ApiError> {
        let params = ListParams::default().labels(labels);
        let list = self.ask("GET", async |line| line.api.list(&params).await).await?;
        Ok((list.items, list.metadata.resource_version.unwrap_or_default()))
    }

    /// When the last event about a Pod of this name happened.
    pub async fn last_event(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let params = ListParams::default().fields(&format!("involvedObject.name={name}")).limit(EVENTS);
        let events = self.ask("GET", async |line| line.events.list(&params).await).await?.items;
        let of = |event: &Event| {
            event.last_timestamp.as_ref().or(event.metadata.creation_timestamp.as_ref()).map(|time| time.0)
        };
        Ok(events.iter().filter_map(of).max())
    }

    /// DELETE with grace 0: only for a Pod whose processes are known to be dead, or must be. A Pod that is gone
    /// already is a success. Gives the Pod as it was.
    pub async fn delete(&self, name: &str, uid: Option<&str>) -> Result<Option<Pod>, ApiError> {
        let mut params = DeleteParams::default().grace_period(0);
        if let Some(uid) = uid {
            params =
                params.preconditions(kube::api::Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        }
        let error = match self.ask("DELETE", async |line| line.api.delete(name, &params).await).await {
            Err(error) if error.status() != Some(404) => error,
            Ok(answer) => return Ok(answer.left()),
            Err(_) => return Ok(None),
        };
        if error.status() == Some(409) && uid.is_some() {
            let present = self.get(name).await?.and_then(|pod| pod.metadata.uid);
            // Another Pod has the name by now.
            if present.as_deref() != uid {
                return Ok(None);
            }
        }
        Err(error)
    }

    /// One request, and a second with the credentials that are in the kubeconfig now if those of the first are refused.
    async fn ask<T>(
        &self,
        verb: &'static str,
        request: impl AsyncFn(Line) -> Result<T, kube::Error>,
    ) -> Result<T, ApiError> {
        let line = self.line();
        let made = line.made;
        let error = match self.bounded(verb, line, &request).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match &error {
            ApiError::Status { code: 401, .. } if self.renew(made).await => {
                self.bounded(verb, self.line(), &request).await
            }
            ApiError::Unreachable(_) => {
                self.renew(made).await;
                Err(error)
            }
            _ => Err(error),
        }
    }

    async fn bounded<T>(
        &self,
        verb: &'static str,
        line: Line,
        request: &impl AsyncFn(Line) -> Result<T, kube::Error>,
    ) -> Result<T, ApiError> {
        let retry_after = line.retry_after.clone();
        self.count(verb);
        let answer = match tokio::time::timeout(self.timeout, request(line)).await {
            Ok(answer) => answer.map_err(|error| ApiError::of(error, &retry_after)),
            Err(_) => Err(ApiError::Timeout { verb, seconds: self.timeout.as_secs_f32() }),
        };
        // That there is no such object is an answer.
        if answer.as_ref().is_err_and(|error| error.status() != Some(404)) {
            self.count("failed");
        }
        answer
    }

    /// Reads the kubeconfig again: the credentials in it are replaced from time to time, and the server's address may
    /// be. False if the client has just been made, or can't be.
    async fn renew(&self, made: Instant) -> bool {
        if made.elapsed() < FRESH {
            return false;
        }
        match Line::new(&self.kubeconfig, &self.namespace, self.timeout).await {
            Ok(line) => {
                *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
                true
            }
            // Slurm may just have taken the user's rights for a moment, for the whole process.
            Err(error) => {
                log::debug!("{error}");
                false
            }
        }
    }
}

/// kube's own stack, with a connector that sets `TCP_NODELAY`: without it the first request waits 40 ms for a
/// delayed acknowledgement. Retries are the engine's, so kube's are left out.
async fn client(kubeconfig: &Path, timeout: Duration, retry_after: &RetryAfter) -> Result<Client, ApiError> {
    let unreadable =
        |source: Box<dyn std::error::Error + Send + Sync>| ApiError::Kubeconfig { path: kubeconfig.to_owned(), source };
    let file = Kubeconfig::read_from(kubeconfig).map_err(|e| unreadable(e.into()))?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|e| unreadable(e.into()))?;
    config.connect_timeout = Some(timeout);
    let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // A watch waits for a server that may be gone without a word.
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE));
    connector.set_keepalive_retries(Some(3));
    connector.set_connect_timeout(Some(timeout));
    let connector = config.rustls_https_connector_with_connector(connector).map_err(|e| unreadable(e.into()))?;
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build(connector);
    let auth = config.auth_layer().map_err(|e| unreadable(e.into()))?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(auth)
        .map_err(tower::BoxError::from)
        .map_response({
            let retry_after = retry_after.clone();
            move |response: Response<_>| {
                retry_after.note(response.headers());
                response
            }
        })
        .service(http);
    let service = tower::util::BoxService::<Request<Body>, Response<_>, tower::BoxError>::new(service);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str, text: &str) -> ApiError {
        let status = kube::core::Status::failure(text, reason).with_code(code);
        ApiError::of(kube::Error::Api(status.boxed()), &RetryAfter::default())
    }

    #[test]
    fn a_conflict_passes_and_a_taken_name_stays_taken() {
        let conflict = status(409, "Conflict", "Operation cannot be fulfilled on resourcequotas");
        assert!(conflict.retryable() && !conflict.already_exists());
        let taken = status(409, "AlreadyExists", "pods \"p\" already exists");
        assert!(!taken.retryable() && taken.already_exists());
        assert!(!status(403, "Forbidden", "no").retryable() && status(429, "TooManyRequests", "later").retryable());
    }

    #[test]
    fn what_is_no_kubernetes_answer_has_https_own_words() {
        let busy = status(429, NO_STATUS, "Too many requests, please try again later.");
        let text =
            "the Kubernetes API server answered 429 Too Many Requests: Too many requests, please try again later.";
        assert_eq!(busy.to_string(), text);
    }
}

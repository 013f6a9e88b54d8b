//! The API server: one connection, every request with a deadline.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Request, Response};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tower::ServiceBuilder;

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
            Self::Status { code, .. } => matches!(code, 408 | 429) || *code >= 500,
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

    fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                Self::Status { code: status.code, reason: status.reason.clone(), message: status.message.clone() }
            }
            error @ (kube::Error::SerdeError(_) | kube::Error::BuildRequest(_)) => Self::Answer(Box::new(error)),
            other => Self::Unreachable(Box::new(other)),
        }
    }
}

/// The kubelet merges equal events: a Pod that cannot start has a few.
const EVENTS: u32 = 50;

/// The Pods of one namespace.
#[derive(Clone)]
pub struct Pods {
    api: Api<Pod>,
    events: Api<Event>,
    timeout: Duration,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Pods {
    /// A client from a kubeconfig; must be called in a tokio runtime. Nothing is sent yet.
    pub async fn connect(kubeconfig: &Path, namespace: &str, timeout: Duration) -> Result<Self, ApiError> {
        let client = client(kubeconfig, timeout).await?;
        let events = Api::namespaced(client.clone(), namespace);
        let api = Api::namespaced(client, namespace);
        Ok(Self { api, events, timeout, kubeconfig: kubeconfig.to_owned(), namespace: namespace.to_owned() })
    }

    /// The same with another deadline for each request.
    #[must_use]
    pub fn patient(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// The same with the kubeconfig read again, on a new connection.
    pub async fn again(&self) -> Result<Self, ApiError> {
        Self::connect(&self.kubeconfig, &self.namespace, self.timeout).await
    }

    /// The Pods' namespaced API, for a watch.
    #[must_use]
    pub fn api(&self) -> &Api<Pod> {
        &self.api
    }

    /// POST.
    pub async fn create(&self, pod: &Pod) -> Result<Pod, ApiError> {
        let params = PostParams::default();
        self.bounded("POST", self.api.create(&params, pod)).await
    }

    /// GET; none if there is no such Pod.
    pub async fn get(&self, name: &str) -> Result<Option<Pod>, ApiError> {
        self.bounded("GET", self.api.get_opt(name)).await
    }

    /// The warnings about a Pod, the newest last: reason and message.
    pub async fn warnings(&self, uid: &str) -> Result<Vec<(String, String)>, ApiError> {
        let selector = format!("involvedObject.uid={uid},type=Warning");
        let params = ListParams::default().fields(&selector).limit(EVENTS);
        let mut events = self.bounded("GET", self.events.list(&params)).await?.items;
        events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
        Ok(events.into_iter().filter_map(|event| Some((event.reason?, event.message?))).collect())
    }

    /// The Pods with these labels, and the version a watch of them starts from.
    pub async fn labelled(&self, labels: &str) -> Result<(Vec<Pod>, String), ApiError> {
        let list = self.bounded("GET", self.api.list(&ListParams::default().labels(labels))).await?;
        Ok((list.items, list.metadata.resource_version.unwrap_or_default()))
    }

    /// When the last event about a Pod of this name happened.
    pub async fn last_event(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let params = ListParams::default().fields(&format!("involvedObject.name={name}")).limit(EVENTS);
        let events = self.bounded("GET", self.events.list(&params)).await?.items;
        let of = |event: &Event| {
            event.last_timestamp.as_ref().or(event.metadata.creation_timestamp.as_ref()).map(|time| time.0)
        };
        Ok(events.iter().filter_map(of).max())
    }

    /// DELETE with grace 0: only for a Pod whose processes are known to be dead, or must be. A Pod that is gone
    /// already is a success.
    pub async fn delete(&self, name: &str, uid: Option<&str>) -> Result<(), ApiError> {
        let mut params = DeleteParams::default().grace_period(0);
        if let Some(uid) = uid {
            params =
                params.preconditions(kube::api::Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        }
        match self.bounded("DELETE", self.api.delete(name, &params)).await {
            Ok(_) => Ok(()),
            // 409: another Pod has the name by now.
            Err(error) if matches!(error.status(), Some(404 | 409)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn bounded<T>(
        &self,
        verb: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout(self.timeout, request).await {
            Ok(answer) => answer.map_err(ApiError::of),
            Err(_) => Err(ApiError::Timeout { verb, seconds: self.timeout.as_secs_f32() }),
        }
    }
}

/// kube's own stack, with a connector that sets `TCP_NODELAY`: without it the first request waits 40 ms for a
/// delayed acknowledgement. Retries are the engine's, so kube's are left out.
async fn client(kubeconfig: &Path, timeout: Duration) -> Result<Client, ApiError> {
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
    connector.set_connect_timeout(Some(timeout));
    let connector = config.rustls_https_connector_with_connector(connector).map_err(|e| unreadable(e.into()))?;
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build(connector);
    let auth = config.auth_layer().map_err(|e| unreadable(e.into()))?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(auth)
        .map_err(tower::BoxError::from)
        .service(http);
    let service = tower::util::BoxService::<Request<Body>, Response<_>, tower::BoxError>::new(service);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

//! The API server, as far as this command needs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::client::Body;
use kube::client::{ClientBuilder, retry::RetryPolicy};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::buffer::BufferLayer;
use tower::retry::RetryLayer;

use crate::site::EVERYWHERE;

/// For one request with its repetitions.
const REQUEST: Duration = Duration::from_secs(30);
/// How long the API server keeps a watch; one that is silent for longer is dead.
const WATCH: Duration = Duration::from_secs(60);
/// The Pods of one answer.
const PAGE: u32 = 500;

/// Who manages the fields of what is applied.
const MANAGER: &str = "slurm-k8s";

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed request, or a client that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// No answer in time.
    #[error("the Kubernetes API server did not answer within {} s", REQUEST.as_secs())]
    Timeout,
    /// The API server answered with an error.
    #[error("the Kubernetes API server answered {code}: {message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// Its text.
        message: String,
    },
    /// The connection failed, or the answer could not be understood.
    #[error("cannot speak with the Kubernetes API server")]
    Connection(#[source] Cause),
}

impl ClusterError {
    /// Whether the identity was not accepted: the kubeconfig may be a new one by now.
    pub fn unauthorized(&self) -> bool {
        matches!(self, Self::Status { code: 401, .. })
    }

    /// Whether it concerns this one request; others may succeed now.
    pub fn of_one_request(&self) -> bool {
        matches!(self, Self::Status { code: 400 | 403..=499, .. }) && !matches!(self, Self::Status { code: 429, .. })
    }

    /// What the admin can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Kubeconfig { .. } => Some("--kubeconfig or KUBECONFIG names another file"),
            Self::Status { code: 401 | 403, .. } => {
                Some("this identity may not do that here; see the roles in deploy/ and deploy/README.md")
            }
            _ => None,
        }
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Status { code: status.code, message: status.message },
            other => Self::Connection(other.into()),
        }
    }
}

impl From<watcher::Error> for ClusterError {
    fn from(error: watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => error.into(),
            watcher::Error::WatchError(status) => Self::Status { code: status.code, message: status.message },
            none @ watcher::Error::NoResourceVersion => Self::Connection(none.into()),
        }
    }
}

/// A client for the Pods that have these labels.
pub struct Cluster {
    client: Client,
    selector: String,
}

impl Cluster {
    /// From a kubeconfig, or from `KUBECONFIG` without one, or from `default` without both. Nothing is sent yet.
    pub async fn connect(file: Option<&Path>, default: &Path, selector: String) -> Result<Self, ClusterError> {
        let environment = std::env::var_os("KUBECONFIG").filter(|path| file.is_none() && !path.is_empty());
        let path = environment.as_ref().map_or(file.unwrap_or(default), Path::new);
        let unusable = |source: Cause| ClusterError::Kubeconfig { path: path.to_owned(), source };
        // KUBECONFIG may be a list.
        let named = if environment.is_some() { Kubeconfig::from_env().map_err(|e| unusable(e.into()))? } else { None };
        let kubeconfig = match named {
            Some(kubeconfig) => kubeconfig,
            None => Kubeconfig::read_from(path).map_err(|e| unusable(e.into()))?,
        };
        let options = KubeConfigOptions::default();
        let mut config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| unusable(e.into()))?;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(WATCH + Duration::from_secs(15));
        // kube's own policy is silent for minutes. Both wait as long as Retry-After says.
        config.default_retry = false;
        let policy = RetryPolicy::new(Duration::from_millis(200), Duration::from_secs(5), 4, true)
            .map_err(|e| ClusterError::Connection(e.into()))?;
        let client = ClientBuilder::try_from(config)
            .map_err(|e| unusable(e.into()))?
            .with_layer(&BufferLayer::new(64))
            .with_layer(&RetryLayer::new(policy))
            .build();
        Ok(Self { client, selector })
    }

    /// The namespaced API.
    pub fn api(&self, namespace: &str) -> Api<Pod> {
        match namespace {
            EVERYWHERE => Api::all(self.client.clone()),
            namespace => Api::namespaced(self.client.clone(), namespace),
        }
    }

    /// Makes an object, or brings it to what is wanted; in a namespace, or none.
    pub async fn apply<K>(&self, namespace: Option<&str>, object: &K) -> Result<(), ClusterError>
    where
        K: kube::Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
    {
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        };
        let mut value = serde_json::to_value(object).map_err(|error| ClusterError::Connection(error.into()))?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".into(), kind.api_version.clone().into());
            fields.insert("kind".into(), kind.kind.clone().into());
        }
        let name = object.meta().name.clone().unwrap_or_default();
        let params = PatchParams::apply(MANAGER).force();
        bounded(api.patch(&name, &params, &Patch::Apply(&value))).await.map(drop)
    }

    /// Creates an object, in a namespace or in none, or only asks whether that would be done; what the API server makes of it.
    pub async fn create<K>(&self, namespace: Option<&str>, object: &K, only_ask: bool) -> Result<K, ClusterError>
    where
        K: kube::Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
    {
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        };
        let wrong = |error: serde_json::Error| ClusterError::Connection(error.into());
        let mut value = serde_json::to_value(object).map_err(wrong)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".into(), kind.api_version.clone().into());
            fields.insert("kind".into(), kind.kind.clone().into());
        }
        let object: DynamicObject = serde_json::from_value(value).map_err(wrong)?;
        let params = PostParams { dry_run: only_ask, ..PostParams::default() };
        let made = bounded(api.create(&params, &object)).await?;
        serde_json::to_value(made).and_then(serde_json::from_value).map_err(wrong)
    }

    /// Everything of a kind that is in no namespace.
    pub async fn all<K>(&self) -> Result<Vec<K>, ClusterError>
    where
        K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        Ok(bounded(Api::<K>::all(self.client.clone()).list(&ListParams::default())).await?.items)
    }

    /// The API server's clock, to the second; none if it does not tell.
    pub async fn clock(&self) -> Result<Option<Timestamp>, ClusterError> {
        let request = http::Request::get("/version").body(Body::empty());
        let request = request.map_err(|error| ClusterError::Connection(error.into()))?;
        let answer = bounded(self.client.send(request)).await?;
        let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(http_date))
    }

    /// How the Pods of a namespace are watched: one list in pages, then changes only.
    pub fn watch(&self) -> watcher::Config {
        let seconds = u32::try_from(WATCH.as_secs()).unwrap_or(u32::MAX);
        watcher::Config::default().labels(&self.selector).page_size(PAGE).timeout(seconds)
    }

    /// All Pods of a namespace.
    pub async fn list(&self, namespace: &str) -> Result<Vec<Pod>, ClusterError> {
        let api = self.api(namespace);
        let mut params = ListParams::default().labels(&self.selector).limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = bounded(api.list(&params)).await?;
            all.extend(page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                return Ok(all);
            }
        }
    }

    /// Asks for one Pod of a namespace, to see whether it can be watched.
    pub async fn answers(&self, namespace: &str) -> Result<(), ClusterError> {
        let params = ListParams::default().labels(&self.selector).limit(1);
        bounded(self.api(namespace).list(&params)).await.map(drop)
    }

    /// DELETE, only if it is still this very Pod. At once if nothing runs in it, else with the Pod's own grace.
    /// A Pod that is gone, or another with its name, is a success.
    pub async fn delete(&self, namespace: &str, name: &str, uid: &str, at_once: bool) -> Result<(), ClusterError> {
        let mut params =
            DeleteParams::default().preconditions(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        if at_once {
            params = params.grace_period(0);
        }
        match bounded(self.api(namespace).delete(name, &params)).await {
            Ok(_) | Err(ClusterError::Status { code: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A date as HTTP has it (RFC 9110, 5.6.7), which mail once had.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

async fn bounded<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ClusterError::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http() {
        let date = http_date("Thu, 26 Nov 2026 14:30:05 GMT").unwrap();
        assert_eq!(date.to_string(), "2026-11-26T14:30:05Z");
        assert_eq!(http_date("yesterday"), None);
    }
}

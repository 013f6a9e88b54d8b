//! `--check-image`: whether the registry has an image, by the distribution API. What is proven is an error; what cannot
//! be known from here, since the nodes may have another login or another way to the registry, is a warning.

mod login;

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciManifest};
use oci_client::{Client, Reference};
use serde::Deserialize;
use slurm_k8s_core::finding::{self, Finding, Kind};
use slurm_k8s_core::image::ImageRef;

use super::Wanted;
use super::input::Site;
use login::Login;

/// For one image, with the login.
const LIMIT: Duration = Duration::from_secs(20);
/// For one connection, and for each silence of the registry.
const STEP: Duration = Duration::from_secs(8);
/// No image's configuration is larger.
const CONFIGURATION_MOST: i64 = 4 << 20;

/// What is known about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// It is there.
    Present,
    /// It is not.
    Absent,
    /// For these kinds of machines only.
    Elsewhere(Vec<String>),
    /// Not without a login, or not with this one.
    Hidden(Login),
    /// Nothing, and why.
    Unknown(String),
}

/// The registries, as far as they were asked.
pub struct Registries {
    client: Result<Client, String>,
    asked: HashMap<String, Known>,
}

impl Registries {
    /// Asks nobody yet.
    pub fn new(site: &Site) -> Self {
        // The one that kube has; another one is there already if this fails.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = site.config.as_ref().map(|config| config.registry.plain_http.clone()).unwrap_or_default();
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain),
            connect_timeout: Some(STEP),
            read_timeout: Some(STEP),
            user_agent: concat!("slurm-k8s/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Self { client: Client::try_from(config).map_err(|error| told(&error)), asked: HashMap::new() }
    }

    /// Asks for an image, once.
    pub async fn check(&mut self, wanted: &Wanted) -> Option<Finding> {
        let name = wanted.image.as_str();
        if !self.asked.contains_key(name) {
            let known = match &self.client {
                Ok(client) => ask(client, &wanted.image).await,
                Err(error) => Known::Unknown(error.clone()),
            };
            self.asked.insert(name.to_owned(), known);
        }
        finding(wanted, self.asked.get(name)?)
    }
}

async fn ask(client: &Client, image: &ImageRef) -> Known {
    let Ok(reference) = image.as_str().parse::<Reference>() else {
        return Known::Unknown("the registry's client cannot read this reference".into());
    };
    let asking = async {
        let login = login::find(reference.registry()).await;
        match manifest(client, &reference, &login).await {
            Ok(known) => known,
            Err(error) => known(&error, login),
        }
    };
    match tokio::time::timeout(LIMIT, asking).await {
        Ok(known) => known,
        Err(_) => Known::Unknown(format!("{} did not answer within {} s", reference.registry(), LIMIT.as_secs())),
    }
}

async fn manifest(client: &Client, image: &Reference, login: &Login) -> Result<Known, OciDistributionError> {
    let (manifest, _) = client.pull_manifest(image, &login.auth()).await?;
    let here = format!("linux/{}", architecture());
    let platforms = match manifest {
        OciManifest::ImageIndex(index) => {
            let named = index.manifests.iter().map(|entry| entry.platform.as_ref());
            // An entry that names none may be for any.
            if named.clone().any(|platform| platform.is_none()) {
                return Ok(Known::Present);
            }
            named.flatten().map(|platform| plain(&format!("{}/{}", platform.os, platform.architecture))).collect()
        }
        OciManifest::Image(image_manifest) => match configured(client, image, &image_manifest.config).await {
            Some(platform) => vec![platform],
            None => return Ok(Known::Present),
        },
    };
    Ok(if platforms.contains(&here) { Known::Present } else { Known::Elsewhere(platforms) })
}

/// What the image's own configuration says.
#[derive(Deserialize)]
struct Configuration {
    os: String,
    architecture: String,
}

async fn configured(client: &Client, image: &Reference, descriptor: &OciDescriptor) -> Option<String> {
    if descriptor.size > CONFIGURATION_MOST {
        return None;
    }
    let mut bytes = Vec::new();
    client.pull_blob(image, descriptor, &mut bytes).await.ok()?;
    let configuration: Configuration = serde_json::from_slice(&bytes).ok()?;
    Some(plain(&format!("{}/{}", configuration.os, configuration.architecture)))
}

/// This machine's, in Go's words; login hosts are of the nodes' kind.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn known(error: &OciDistributionError, login: Login) -> Known {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            match envelope.errors.first().map(|error| &error.code) {
                Some(OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound) => {
                    Known::Absent
                }
                Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => Known::Hidden(login),
                _ => Known::Unknown(told(error)),
            }
        }
        OciDistributionError::ImageManifestNotFoundError(_) | OciDistributionError::ServerError { code: 404, .. } => {
            Known::Absent
        }
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::ServerError { code: 401 | 403, .. } => Known::Hidden(login),
        // The body may be a page of HTML.
        OciDistributionError::ServerError { code, .. } => Known::Unknown(format!("the registry answers {code}")),
        other => Known::Unknown(told(other)),
    }
}

/// An error on one line: its last cause, which is the system's. Those before it only say that there was one.
fn told(error: &OciDistributionError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    plain(&text)
}

/// What a registry says, so that it cannot do anything to a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The first few.
fn shown(platforms: &[String]) -> String {
    let few = platforms.iter().take(6).map(String::as_str).collect::<Vec<_>>().join(", ");
    if platforms.len() > 6 { few + ", …" } else { few }
}

fn finding(wanted: &Wanted, known: &Known) -> Option<Finding> {
    let image = &wanted.image;
    let registry = image.host().unwrap_or("docker.io");
    let (kind, cause, hint): (Kind, String, String) = match known {
        Known::Present => return None,
        Known::Absent => (
            finding::IMAGE_ABSENT,
            format!("there is no image {image} in its registry"),
            "is it pushed, and are path and tag right? An image without a tag is :latest".into(),
        ),
        Known::Elsewhere(platforms) => (
            finding::IMAGE_PLATFORM,
            format!("the image {image} is not for linux/{}, but for {}", architecture(), shown(platforms)),
            format!("build it for this platform, too: docker buildx build --platform linux/{}", architecture()),
        ),
        Known::Hidden(Login::None) => (
            finding::IMAGE_LOGIN,
            format!("{registry} shows the image {image} only after a login"),
            format!("`docker login {registry}` or `podman login {registry}`; the nodes need a login of their own"),
        ),
        Known::Hidden(login) => (
            finding::IMAGE_LOGIN,
            format!("{registry} does not show the image {image} to {login}"),
            format!("does it exist, and may you read it? `docker login {registry}` renews the login"),
        ),
        Known::Unknown(why) => (
            finding::IMAGE_UNKNOWN,
            format!("whether {registry} has the image {image} is not known: {why}"),
            unknown_hint(why),
        ),
    };
    Some(Finding { kind, place: wanted.place, cause, hint: Some(hint) })
}

fn unknown_hint(why: &str) -> String {
    // What rustls says when the first bytes of the answer are no TLS.
    if why.contains("InvalidContentType") {
        return "it has no TLS: the site's admin can name it in registry.plain_http in k8s.toml".into();
    }
    "the nodes ask it when the job starts; can it be reached from this host?".into()
}

#[cfg(test)]
mod tests;

//! Who the proxy is towards its clients and towards the API server, and whom it believes.

use crate::kubernetes::PKI;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use std::time::Duration;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key or certificate.
    #[error("could not read {path}")]
    Pem {
        /// The file.
        path: String,
        /// The reason.
        source: pem::Error,
    },
    /// The authority's certificate says nothing about clients.
    #[error("could not use the authority to know clients by")]
    Clients(#[from] VerifierBuilderError),
    /// They don't fit together.
    #[error("could not use the keys and certificates")]
    Unfit(#[from] rustls::Error),
}

/// Towards the clients: the API server's certificate, and only for those who show one of the authority.
pub fn server() -> Result<ServerConfig, TlsError> {
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authority()?), Arc::new(ring::default_provider()));
    let (certificates, key) = pair("apiserver")?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients.build()?)
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Towards the API server: the one who may say whom a request comes from.
pub fn connector() -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let (certificates, key) = pair("front-proxy")?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authority()?)
        .with_client_auth_cert(certificates, key)?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(Duration::from_secs(5)));
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().wrap_connector(tcp))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn authority() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates("ca")? {
        store.add(certificate)?;
    }
    Ok(store)
}

fn pair(name: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let path = format!("{PKI}/{name}.key");
    let key = PrivateKeyDer::from_pem_file(&path).map_err(|source| TlsError::Pem { path, source })?;
    Ok((certificates(name)?, key))
}

fn certificates(name: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = format!("{PKI}/{name}.crt");
    let read = || CertificateDer::pem_file_iter(&path)?.collect::<Result<_, _>>();
    read().map_err(|source| TlsError::Pem { path: path.clone(), source })
}

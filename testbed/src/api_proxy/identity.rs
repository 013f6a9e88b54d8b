//! Whom a request comes from: the client certificate says so, and the API server is told in headers.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use std::fmt;
use x509_parser::error::X509Error;
use x509_parser::nom;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::AttributeTypeAndValue;

/// Carries the user's name.
const USER: &str = "x-remote-user";
/// Carries one group; there may be many.
const GROUP: &str = "x-remote-group";
/// What begins like this only the proxy may say.
const RESERVED: &str = "x-remote-";

/// Headers that speak of one connection, not of the request.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a certificate names nobody.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not a certificate.
    #[error("could not read the client's certificate")]
    Certificate(#[from] nom::Err<X509Error>),
    /// A name that is not text.
    #[error("could not read a name in the client's certificate")]
    Name(#[from] X509Error),
    /// A name that fits into no header.
    #[error("a name in the client's certificate fits into no header")]
    Header(#[from] InvalidHeaderValue),
    /// No name.
    #[error("the client's certificate has no common name")]
    Nobody,
}

/// A user and the groups, as the API server itself would read them from the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: HeaderValue,
    groups: Vec<HeaderValue>,
}

impl Identity {
    /// Of a certificate whose signature is known to be good.
    pub fn of(certificate: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) = parse_x509_certificate(certificate)?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().last().ok_or(IdentityError::Nobody)?;
        let groups = subject.iter_organization().map(value).collect::<Result<_, _>>()?;
        Ok(Self { user: value(user)?, groups })
    }

    /// Makes this the one whom the request's headers name, whatever they said before.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        remove_hop(headers);
        let claimed: Vec<HeaderName> =
            headers.keys().filter(|name| name.as_str().starts_with(RESERVED)).cloned().collect();
        claimed.iter().for_each(|name| drop(headers.remove(name)));
        headers.insert(USER, self.user.clone());
        for group in &self.groups {
            headers.append(GROUP, group.clone());
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str(self.user.to_str().unwrap_or_default())
    }
}

/// Removes the headers that must not be passed on.
pub fn remove_hop(headers: &mut HeaderMap) {
    OF_THE_CONNECTION.iter().for_each(|name| drop(headers.remove(*name)));
}

fn value(name: &AttributeTypeAndValue<'_>) -> Result<HeaderValue, IdentityError> {
    Ok(HeaderValue::from_str(name.as_str()?)?)
}

#[cfg(test)]
mod tests {
    use super::{GROUP, HeaderMap, Identity, USER};
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        names.iter().for_each(|(kind, name)| parameters.distinguished_name.push(kind.clone(), *name));
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn node() -> Identity {
        let names = [(DnType::OrganizationName, "slurm-k8s:nodes"), (DnType::CommonName, "slurm-k8s:node:node2")];
        Identity::of(&certificate(&names)).unwrap()
    }

    #[test]
    fn the_certificate_names_user_and_groups() {
        let mut headers = HeaderMap::new();
        node().put_into(&mut headers);
        assert_eq!(headers[USER], "slurm-k8s:node:node2");
        assert_eq!(headers.get_all(GROUP).iter().collect::<Vec<_>>(), ["slurm-k8s:nodes"]);
    }

    #[test]
    fn what_a_client_claims_is_lost() {
        let mut headers = HeaderMap::new();
        headers.append("X-Remote-User", "testbed-admin".parse().unwrap());
        headers.append("x-remote-group", "system:masters".parse().unwrap());
        headers.append("X-Remote-Group", "more".parse().unwrap());
        headers.append("X-Remote-Extra-Scopes", "all".parse().unwrap());
        headers.append("X-Remote-Uid", "0".parse().unwrap());
        headers.append("Accept", "application/json".parse().unwrap());
        node().put_into(&mut headers);
        assert_eq!(headers.get_all(USER).iter().collect::<Vec<_>>(), ["slurm-k8s:node:node2"]);
        assert_eq!(headers.get_all(GROUP).iter().collect::<Vec<_>>(), ["slurm-k8s:nodes"]);
        assert_eq!(headers.len(), 3, "{headers:?}");
    }

    #[test]
    fn a_hop_keeps_its_own_headers() {
        let mut headers = HeaderMap::new();
        headers.append("Connection", "keep-alive, x-remote-user".parse().unwrap());
        headers.append("Transfer-Encoding", "chunked".parse().unwrap());
        headers.append("Upgrade", "SPDY/3.1".parse().unwrap());
        node().put_into(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
    }

    #[test]
    fn a_certificate_without_a_name_is_nobody() {
        assert!(Identity::of(&certificate(&[(DnType::OrganizationName, "slurm-k8s:nodes")])).is_err());
        assert!(Identity::of(b"no certificate").is_err());
    }
}

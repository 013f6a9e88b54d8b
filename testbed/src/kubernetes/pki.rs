//! The cluster's keys and certificates: made once, kept in one file of the state folder.

use crate::host::{CTL, Host, NODES};
use crate::{account, paths};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first address of the service network: the name `kubernetes.default` inside Pods.
const SERVICE: &str = "10.96.0.1";

/// Who may tell the API server whom a request comes from.
pub const FRONT_PROXY: &str = "testbed-front-proxy";

/// A certificate and its key, PEM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    /// The certificate; of the service-account key, the public key.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: String,
}

/// All keys and certificates.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pki {
    /// The authority.
    pub authority: Pair,
    /// What service-account tokens are signed with.
    pub service_account: Pair,
    pairs: BTreeMap<String, Pair>,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// One could not be made.
    #[error("could not make the certificate {name}")]
    Make {
        /// Which.
        name: String,
        /// The generator's reason.
        source: rcgen::Error,
    },
    /// There are none.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// They could not be kept.
    #[error("could not write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A name that is not among [`identities`].
    #[error("there is no certificate {name}")]
    Unknown {
        /// The name.
        name: String,
    },
}

struct Identity {
    name: String,
    user: String,
    group: Option<&'static str>,
    /// The addresses and names of a server; a client has none.
    addresses: Vec<String>,
}

fn client(name: &str, user: &str, group: Option<&'static str>) -> Identity {
    Identity { name: name.to_owned(), user: user.to_owned(), group, addresses: Vec::new() }
}

fn identities() -> Vec<Identity> {
    let ctl = CTL.ip.to_string();
    let addresses = [&ctl, "127.0.0.1", SERVICE, CTL.name, "localhost", "kubernetes", "kubernetes.default.svc"];
    let addresses = addresses.map(str::to_owned).to_vec();
    let mut all = vec![
        Identity { addresses, ..client("apiserver", "kube-apiserver", None) },
        client("apiserver-kubelet", "testbed-apiserver-kubelet", None),
        client("front-proxy", FRONT_PROXY, None),
        client("admin", "testbed-admin", Some("system:masters")),
        client("kube-controller-manager", "system:kube-controller-manager", None),
        client("kube-scheduler", "system:kube-scheduler", None),
        client("slurm-gc", "slurm-k8s:gc", None),
    ];
    for Host { name, ip } in NODES {
        let kubelet = format!("system:node:{name}");
        let addresses = vec![ip.to_string(), (*name).to_owned()];
        all.push(client(&format!("kubelet-{name}"), &kubelet, Some("system:nodes")));
        all.push(Identity { addresses, ..client(&format!("kubelet-serving-{name}"), &kubelet, None) });
        let slurm = format!("slurm-k8s:node:{name}");
        all.push(client(&format!("slurm-{name}"), &slurm, Some("slurm-k8s:nodes")));
    }
    let viewer = |user: &account::User| client(&format!("user-{}", user.name), user.name, Some("testbed:viewers"));
    all.extend(account::USERS.iter().map(viewer));
    all
}

impl Pki {
    /// The kept ones, with new ones for what has none yet.
    pub fn bring_up() -> Result<Self, PkiError> {
        let mut pki = Self::kept().or_else(|_| Self::make())?;
        if pki.complete()? {
            let path = file();
            pki.save(&path).map_err(|source| PkiError::Write { path, source })?;
        }
        Ok(pki)
    }

    /// The kept ones.
    pub fn kept() -> Result<Self, PkiError> {
        let read = || Ok(serde_json::from_slice(&std::fs::read(file())?)?);
        read().map_err(|source| PkiError::Read { path: file(), source })
    }

    /// The certificate with this name.
    pub fn pair(&self, name: &str) -> Result<&Pair, PkiError> {
        self.pairs.get(name).ok_or_else(|| PkiError::Unknown { name: name.to_owned() })
    }

    /// Another certificate with this name, which is good for this long and kept nowhere.
    pub fn short_lived(&self, name: &str, life: Duration) -> Result<Pair, PkiError> {
        let unknown = || PkiError::Unknown { name: name.to_owned() };
        let identity = identities().into_iter().find(|identity| identity.name == name).ok_or_else(unknown)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = rcgen::date_time_ymd(1970, 1, 1) + since_1970 + life;
        signed(&identity, &self.issuer()?, |parameters| parameters.not_after = end)
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, PkiError> {
        KeyPair::from_pem(&self.authority.key)
            .and_then(|key| Issuer::from_ca_cert_pem(&self.authority.certificate, key))
            .map_err(failed("authority"))
    }

    /// An authority that has signed nothing yet.
    fn make() -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(failed("authority"))?;
        let certificate = authority_parameters().self_signed(&key).map_err(failed("authority"))?;
        let authority = Pair { certificate: certificate.pem(), key: key.serialize_pem() };
        let key = KeyPair::generate().map_err(failed("service accounts"))?;
        let service_account = Pair { certificate: key.public_key_pem(), key: key.serialize_pem() };
        Ok(Self { authority, service_account, pairs: BTreeMap::new() })
    }

    /// Makes what is missing. True when something was.
    fn complete(&mut self) -> Result<bool, PkiError> {
        let authority = self.issuer()?;
        let mut changed = false;
        for identity in identities() {
            if self.pairs.contains_key(&identity.name) {
                continue;
            }
            let pair = signed(&identity, &authority, |_| ())?;
            self.pairs.insert(identity.name, pair);
            changed = true;
        }
        Ok(changed)
    }

    fn save(&self, path: &std::path::Path) -> std::io::Result<()> {
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(&new, path)
    }
}

fn file() -> PathBuf {
    paths::state("pki.json")
}

fn failed(name: &str) -> impl FnOnce(rcgen::Error) -> PkiError {
    let name = name.to_owned();
    move |source| PkiError::Make { name, source }
}

fn authority_parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "testbed");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn signed(
    identity: &Identity,
    authority: &Issuer<'_, KeyPair>,
    change: impl FnOnce(&mut CertificateParams),
) -> Result<Pair, PkiError> {
    let make = || {
        let key = KeyPair::generate()?;
        let mut parameters = parameters(identity)?;
        change(&mut parameters);
        let certificate = parameters.signed_by(&key, authority)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    };
    make().map_err(failed(&identity.name))
}

fn parameters(identity: &Identity) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(identity.addresses.clone())?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, identity.user.as_str());
    if let Some(group) = identity.group {
        parameters.distinguished_name.push(DnType::OrganizationName, group);
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = if identity.addresses.is_empty() {
        vec![ExtendedKeyUsagePurpose::ClientAuth]
    } else {
        vec![ExtendedKeyUsagePurpose::ServerAuth]
    };
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::Pki;

    #[test]
    fn only_what_is_missing_is_made() {
        let mut pki = Pki::make().unwrap();
        assert!(pki.complete().unwrap());
        assert!(!pki.complete().unwrap());
        let kept = pki.pair("admin").unwrap().certificate.clone();
        let lost = pki.pairs.remove("front-proxy").unwrap();
        assert!(pki.complete().unwrap());
        assert_eq!(pki.pair("admin").unwrap().certificate, kept);
        assert_ne!(pki.pair("front-proxy").unwrap().certificate, lost.certificate);
    }
}

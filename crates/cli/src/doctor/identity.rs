//! The node's kubeconfig as a file, and the certificate in it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use kube::config::{AuthInfo, Kubeconfig};
use slurm_k8s_core::diagnosis;
use x509_parser::pem::parse_x509_pem;

use super::Finding;

/// One that ends sooner is told.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Owner, mode, and how long the certificate holds.
pub fn check(path: &Path) -> Vec<Finding> {
    let shown = path.display();
    let wrong = |cause: String| Finding::new(diagnosis::KUBECONFIG, cause);
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return vec![wrong(format!("{shown}: {error}"))],
    };
    let mut found = Vec::new();
    let mode = meta.mode() & 0o7777;
    if meta.uid() != 0 || mode & 0o077 != 0 {
        found.push(Finding::new(diagnosis::READABLE, format!("{shown}: owner {}, mode {mode:04o}", meta.uid())));
    }
    match Kubeconfig::read_from(path) {
        Err(error) => found.push(wrong(format!("{shown}: {error}"))),
        Ok(kubeconfig) => {
            let users = kubeconfig.auth_infos.iter().filter_map(|named| named.auth_info.as_ref());
            let ends = users.filter_map(certificate).filter_map(|pem| end(&pem));
            found.extend(
                ends.min()
                    .and_then(|end| expiring(end, Timestamp::now()))
                    .map(|cause| Finding::new(diagnosis::CERTIFICATE, format!("{shown}: {cause}"))),
            );
        }
    }
    found
}

/// Inline or in a file; none with a token.
fn certificate(user: &AuthInfo) -> Option<Vec<u8>> {
    use base64::Engine as _;
    if let Some(data) = &user.client_certificate_data {
        return base64::engine::general_purpose::STANDARD.decode(data).ok();
    }
    std::fs::read(user.client_certificate.as_ref()?).ok()
}

fn end(pem: &[u8]) -> Option<Timestamp> {
    let (_, block) = parse_x509_pem(pem).ok()?;
    let certificate = block.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn expiring(end: Timestamp, now: Timestamp) -> Option<String> {
    let left = end.duration_since(now);
    match left {
        _ if left.is_negative() || left.is_zero() => Some(format!("the certificate ended at {end}")),
        _ if left < SOON => Some(format!("the certificate ends at {end}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_before_it_ends() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let in_days = |days: i64| expiring(now + SignedDuration::from_hours(24 * days), now);
        assert_eq!(in_days(31), None);
        assert_eq!(in_days(29).unwrap(), "the certificate ends at 2027-02-13T08:00:00Z");
        assert_eq!(in_days(-1).unwrap(), "the certificate ended at 2027-01-14T08:00:00Z");
    }

    #[test]
    fn what_is_no_kubeconfig_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "users: 7\n").unwrap();
        let ids = |path: &Path| check(path).iter().map(|finding| finding.kind.id).collect::<Vec<_>>();
        assert!(ids(file.path()).contains(&"kubeconfig"));
        assert_eq!(ids(Path::new("/none")), ["kubeconfig"]);
    }
}

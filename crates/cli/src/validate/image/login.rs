//! The user's login at a registry, from where docker and podman keep it. Passwords are never shown.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;

/// For a credential helper, which may want to ask the user something that nobody will answer.
const HELPER: Duration = Duration::from_secs(5);
/// Under which names docker and podman keep Docker Hub's.
const HUB: [&str; 2] = ["https://index.docker.io/v1/", "docker.io"];

/// A login.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// There is none.
    None,
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// One that cannot be used, and why.
    Unusable(String),
}

impl Login {
    /// As the client takes it.
    pub fn auth(&self) -> RegistryAuth {
        match self {
            Self::Password { user, password } => RegistryAuth::Basic(user.clone(), password.clone()),
            Self::None | Self::Unusable(_) => RegistryAuth::Anonymous,
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("everybody"),
            Self::Password { user, .. } => write!(f, "the login of {}", user.escape_debug()),
            Self::Unusable(why) => write!(f, "everybody, and your login cannot be used ({why})"),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The files in which a login may be: the first one that is there and has it.
fn files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let podman = variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    let home = || variable("HOME").map(|home| home.join(".docker"));
    let docker = variable("DOCKER_CONFIG").or_else(home).map(|folder| folder.join("config.json"));
    podman.into_iter().chain(docker).collect()
}

/// The user's login. A credential helper is a program: it gets a thread, since that can be left behind.
pub async fn find(registry: &str) -> Login {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let (files, registry) = (files(variable), registry.to_owned());
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = send.send(read(&files, &registry));
    });
    match tokio::time::timeout(HELPER, receive).await {
        Ok(Ok(login)) => login,
        Ok(Err(_)) => Login::Unusable("its file cannot be understood".into()),
        Err(_) => Login::Unusable("its credential helper does not answer".into()),
    }
}

fn read(files: &[PathBuf], registry: &str) -> Login {
    let names = if registry == "docker.io" { HUB.to_vec() } else { vec![registry] };
    let mut unusable = None;
    for file in files {
        for name in &names {
            let Ok(open) = File::open(file) else { continue };
            match docker_credential::get_credential_from_reader(open, name) {
                Ok(DockerCredential::UsernamePassword(user, password)) => return Login::Password { user, password },
                Ok(DockerCredential::IdentityToken(_)) => {
                    unusable = Some("it is an identity token".to_owned());
                }
                Err(CredentialRetrievalError::NoCredentialConfigured) => {}
                // What a helper prints may be a secret.
                Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
                    unusable = Some(format!("the credential helper {} fails", helper.escape_debug()));
                }
                Err(error) => unusable = Some(format!("{}: {error}", file.display())),
            }
        }
    }
    unusable.map_or(Login::None, Login::Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_podman_and_docker_have_them() {
        let found = |given: &'static [(&str, &str)]| {
            files(|name| given.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        assert_eq!(found(&[("HOME", "/home/a")]), [PathBuf::from("/home/a/.docker/config.json")]);
        assert_eq!(found(&[("HOME", "/home/a"), ("REGISTRY_AUTH_FILE", "/x")]), [PathBuf::from("/x")]);
        let both = found(&[("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/run/user/1"), ("HOME", "/h")]);
        assert_eq!(both, ["/run/user/1/containers/auth.json", "/d/config.json"].map(PathBuf::from));
    }

    #[test]
    fn logins_are_read_and_passwords_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        // alice:secret
        std::fs::write(&file, r#"{"auths": {"r.example:5000": {"auth": "YWxpY2U6c2VjcmV0"}}}"#).unwrap();
        let login = read(std::slice::from_ref(&file), "r.example:5000");
        assert_eq!(login, Login::Password { user: "alice".into(), password: "secret".into() });
        assert_eq!(format!("{login} {login:?}"), "the login of alice the login of alice");
        assert_eq!(read(std::slice::from_ref(&file), "other.example"), Login::None);
        assert_eq!(read(&[folder.path().join("none.json")], "r.example:5000"), Login::None);
        std::fs::write(&file, "{").unwrap();
        assert!(matches!(read(&[file], "r.example:5000"), Login::Unusable(_)));
    }
}

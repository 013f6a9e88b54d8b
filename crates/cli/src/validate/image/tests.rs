use slurm_k8s_core::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn wanted() -> Wanted {
    Wanted { image: "nas:5407/a/b:1".parse().unwrap(), place: None }
}

#[test]
fn each_answer_has_its_finding() {
    let password = Login::Password { user: "alice".into(), password: "secret".into() };
    for (known, kind, cause) in [
        (Known::Absent, "image-absent", "there is no image nas:5407/a/b:1 in its registry"),
        (Known::Elsewhere(vec!["linux/s390x".into()]), "image-platform", "is not for linux/amd64, but for linux/s390x"),
        (Known::Hidden(Login::None), "image-login", "nas:5407 shows the image nas:5407/a/b:1 only after a login"),
        (Known::Hidden(password), "image-login", "does not show the image nas:5407/a/b:1 to the login of alice"),
        (Known::Unknown("why".into()), "image-unknown", "is not known: why"),
    ] {
        let finding = finding(&wanted(), &known).unwrap();
        assert_eq!(finding.kind.id, kind);
        assert!(finding.cause.replace(architecture(), "amd64").contains(cause), "{}", finding.cause);
        assert!(!format!("{finding:?}").contains("secret"));
    }
    assert_eq!(finding(&wanted(), &Known::Present), None);
}

#[test]
fn errors_of_the_registry_are_told_apart() {
    let envelope = |code: &str| {
        let envelope = format!(r#"{{"errors": [{{"code": "{code}", "message": "m"}}]}}"#);
        let envelope = serde_json::from_str(&envelope).unwrap();
        OciDistributionError::RegistryError { envelope, url: "u".into() }
    };
    let server = |code| OciDistributionError::ServerError { code, url: "u".into(), message: "<html>".into() };
    for (error, expected) in [
        (envelope("MANIFEST_UNKNOWN"), Known::Absent),
        (envelope("NAME_UNKNOWN"), Known::Absent),
        (envelope("UNAUTHORIZED"), Known::Hidden(Login::None)),
        (envelope("DENIED"), Known::Hidden(Login::None)),
        (server(404), Known::Absent),
        (server(403), Known::Hidden(Login::None)),
        (server(502), Known::Unknown("the registry answers 502".into())),
    ] {
        assert_eq!(known(&error, Login::None), expected, "{error}");
    }
    assert!(matches!(known(&envelope("TOOMANYREQUESTS"), Login::None), Known::Unknown(_)));
}

/// An answer to one request: status, headers, body.
type Answer = (&'static str, String, Vec<u8>);

/// A registry on a free port of this machine.
async fn registry(answer: impl Fn(&str) -> Answer + Send + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            // A TLS client's first byte is 0x16: no server waits for the end of a line then.
            while !request.ends_with(b"\r\n\r\n") && request.first() != Some(&0x16) {
                if !stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                    break;
                }
            }
            let (status, headers, body) = answer(&String::from_utf8_lossy(&request));
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
    });
    host
}

/// What is known of `HOST/a/b:1`, with this login.
async fn asked(host: &str, login: Login) -> Known {
    let site = Site::of(Config::parse(&format!("registry.plain_http = ['{host}']")).unwrap());
    let registries = Registries::new(&site);
    let reference = format!("{host}/a/b:1").parse().unwrap();
    match manifest(registries.client.as_ref().unwrap(), &reference, &login).await {
        Ok(known) => known,
        Err(error) => known(&error, login),
    }
}

fn index(architectures: &[&str]) -> Vec<u8> {
    let digest = format!("sha256:{}", "0".repeat(64));
    let entry = |architecture: &&str| {
        let platform = serde_json::json!({"os": "linux", "architecture": architecture});
        let media = "application/vnd.oci.image.manifest.v1+json";
        serde_json::json!({"mediaType": media, "digest": digest, "size": 2, "platform": platform})
    };
    let manifests: Vec<_> = architectures.iter().map(entry).collect();
    let media = "application/vnd.oci.image.index.v1+json";
    serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "mediaType": media, "manifests": manifests})).unwrap()
}

fn manifests(request: &str, body: Vec<u8>) -> Answer {
    let media = "Content-Type: application/vnd.oci.image.index.v1+json\r\n".to_owned();
    if request.starts_with("GET /v2/a/b/manifests/1 ") {
        ("200 OK", media, body)
    } else {
        ("200 OK", String::new(), vec![])
    }
}

#[tokio::test]
async fn an_index_must_have_this_machines_kind() {
    let host = registry(|request| manifests(request, index(&["s390x", architecture()]))).await;
    assert_eq!(asked(&host, Login::None).await, Known::Present);
    let host = registry(|request| manifests(request, index(&["s390x", "riscv64"]))).await;
    assert_eq!(asked(&host, Login::None).await, Known::Elsewhere(vec!["linux/s390x".into(), "linux/riscv64".into()]));
}

#[tokio::test]
async fn a_login_opens_what_is_closed() {
    let host = registry(|request| {
        // alice:secret
        if request.to_ascii_lowercase().contains("authorization: basic ywxpy2u6c2vjcmv0") {
            manifests(request, index(&[architecture()]))
        } else {
            ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"r\"\r\n".to_owned(), vec![])
        }
    })
    .await;
    let login = |password: &str| Login::Password { user: "alice".into(), password: password.into() };
    assert_eq!(asked(&host, login("secret")).await, Known::Present);
    assert_eq!(asked(&host, Login::None).await, Known::Hidden(Login::None));
    assert_eq!(asked(&host, login("wrong")).await, Known::Hidden(login("wrong")));
}

#[tokio::test]
async fn a_registry_that_is_not_there_or_speaks_otherwise_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let Known::Unknown(why) = asked(&host, Login::None).await else { panic!("it is not there") };
    assert!(why.contains("refused"), "{why}");
    let host = registry(|_| ("500 Internal Server Error", String::new(), b"<html>\x1b[31m".to_vec())).await;
    assert_eq!(asked(&host, Login::None).await, Known::Unknown("the registry answers 500".into()));
    let host = registry(|request| manifests(request, b"not JSON".to_vec())).await;
    assert!(matches!(asked(&host, Login::None).await, Known::Unknown(_)));
}

#[tokio::test]
async fn a_registry_without_tls_is_told_from_one_that_is_not_there() {
    let host = registry(|_| ("200 OK", String::new(), vec![])).await;
    let wanted = Wanted { image: format!("{host}/a/b:1").parse().unwrap(), place: None };
    let hint = Registries::new(&Site::of(Config::default())).check(&wanted).await.unwrap().hint.unwrap();
    assert!(hint.starts_with("it has no TLS: "), "{hint}");
}

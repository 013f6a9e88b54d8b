//! `slurm-k8s validate --check-image` at a registry that wants a token of its service, as Harbor, GitLab and Docker Hub do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

/// `alice:secret`, and what the service gives for it; for nobody's request it gives what opens public images only.
const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";
const OF_ALICE: &str = "Bearer of-alice";
const OF_ANYBODY: &str = "Bearer of-anybody";

/// A registry and its token service, on a free port of this machine, without TLS.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let own = host.clone();
    std::thread::spawn(move || listener.incoming().flatten().try_for_each(|stream| serve(&stream, &own)));
    host
}

fn serve(stream: &TcpStream, host: &str) -> std::io::Result<()> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = request.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let named = |line: &String| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    };
    let (status, body) = answer(path, request.iter().find_map(named).as_deref());
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"nas\"\r\n");
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{body}",
        body.len(),
        if status.starts_with("401") { &challenge } else { "" }
    )
}

fn answer(path: &str, authorization: Option<&str>) -> (&'static str, String) {
    const UNAUTHORIZED: (&str, &str) =
        ("401 Unauthorized", r#"{"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}"#);
    let owned = |(status, body): (&'static str, &str)| (status, body.to_owned());
    let token = |token: &str| ("200 OK", serde_json::json!({"token": token.trim_start_matches("Bearer ")}).to_string());
    if let Some(query) = path.strip_prefix("/token?") {
        let asked = ["team", "public"].map(|folder| format!("scope=repository%3A{folder}%2Ftool%3Apull&service=nas"));
        return match authorization {
            _ if !asked.iter().any(|asked| asked == query) => ("400 Bad Request", String::new()),
            None => token(OF_ANYBODY),
            Some(ALICE) => token(OF_ALICE),
            Some(_) => owned(UNAUTHORIZED),
        };
    }
    let open = match authorization {
        Some(OF_ALICE) => path != "/v2/",
        Some(OF_ANYBODY) => path.starts_with("/v2/public/"),
        _ => false,
    };
    match path.rsplit_once('/') {
        _ if !open => owned(UNAUTHORIZED),
        Some((_, "1")) => {
            let digest = format!("sha256:{}", "0".repeat(64));
            let kind = "application/vnd.oci.image.manifest.v1+json";
            let entry = serde_json::json!({"mediaType": kind, "digest": digest, "size": 2});
            let media = "application/vnd.oci.image.index.v1+json";
            let index = serde_json::json!({"schemaVersion": 2, "mediaType": media, "manifests": [entry]});
            ("200 OK", index.to_string())
        }
        _ => owned(("404 Not Found", r#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no"}]}"#)),
    }
}

#[test]
fn a_token_is_asked_for_with_the_users_login() {
    let folder = tempfile::tempdir().unwrap();
    let host = registry();
    let place = |name: &str| folder.path().join(name);
    std::fs::write(place("k8s.toml"), format!("registry.plain_http = ['{host}']\npolicy.root = true\n")).unwrap();
    // alice:secret, alice:wrong-word, and nothing.
    for (name, login) in [("right", "YWxpY2U6c2VjcmV0"), ("wrong", "YWxpY2U6d3Jvbmctd29yZA==")] {
        let logins = serde_json::json!({"auths": {host.as_str(): {"auth": login}}});
        std::fs::write(place(name), logins.to_string()).unwrap();
    }
    std::fs::write(place("absent"), "{}").unwrap();
    let hidden = |to: &str| format!("warning: {host} {to}");
    for (login, image, expected) in [
        ("right", "team/tool:1", String::new()),
        ("right", "team/tool:2", format!("error: there is no image {host}/team/tool:2 in its registry")),
        ("wrong", "team/tool:1", hidden(&format!("does not show the image {host}/team/tool:1 to the login of alice"))),
        ("absent", "team/tool:1", hidden(&format!("shows the image {host}/team/tool:1 only after a login"))),
        ("absent", "public/tool:1", String::new()),
        ("absent", "public/tool:2", format!("error: there is no image {host}/public/tool:2 in its registry")),
    ] {
        let script = place("job.sh");
        std::fs::write(&script, format!("#!/bin/sh\n#K8S_IMAGE={host}/{image}\ntrue\n")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_slurm-k8s"));
        command.args(["validate", "--no-slurm", "--check-image", "--config"]).arg(place("k8s.toml")).arg(&script);
        let output = command.env("REGISTRY_AUTH_FILE", place(login)).env("NO_PROXY", "*").output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let first = told.lines().next().unwrap_or_default();
        let expected = if expected.is_empty() { expected } else { format!("{}:2:12: {expected}", script.display()) };
        assert_eq!(first, expected, "{login}, {image}");
        assert_eq!(output.status.code(), Some(i32::from(expected.contains(": error: "))), "{told}");
        assert!(!told.contains("wrong-word"), "{told}");
    }
}

//! The testbed's registry, as the distribution specification has it.

use crate::CTL;

/// An image for one platform.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Images for several.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

const REGISTRY: &str = "http://nas-hub.local:5407";

fn ask(options: &[&str], url: &str, body: &[u8]) -> Vec<u8> {
    let curl = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*"];
    CTL.run_with(&[&curl[..], options, &[url]].concat(), body).ok().stdout
}

/// What is at this path.
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    ask(&["-H", &format!("Accept: {MANIFEST}")], &format!("{REGISTRY}/v2/{path}"), b"")
}

/// The digest of these bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let sum = CTL.run_with(&["sha256sum"], bytes).ok().text();
    format!("sha256:{}", sum.split(' ').next().unwrap_or_default())
}

/// Puts a blob into a repository; gives its digest.
#[must_use]
pub fn put_blob(repository: &str, bytes: &[u8]) -> String {
    let digest = digest(bytes);
    let begin = ask(&["-i", "-X", "POST"], &format!("{REGISTRY}/v2/{repository}/blobs/uploads/"), b"");
    let headers = String::from_utf8_lossy(&begin).into_owned();
    let named = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location").then(|| value.to_owned())
    };
    let location = headers.lines().find_map(named);
    let location = location.unwrap_or_else(|| panic!("no place to upload to: {headers}"));
    let location = if location.starts_with('/') { format!("{REGISTRY}{location}") } else { location };
    let kind = "Content-Type: application/octet-stream";
    let _ = ask(&["-X", "PUT", "-H", kind, "--data-binary", "@-"], &format!("{location}&digest={digest}"), bytes);
    digest
}

/// Puts a manifest or an index under this tag or digest.
pub fn put_manifest(repository: &str, reference: &str, kind: &str, text: &str) {
    let url = format!("{REGISTRY}/v2/{repository}/manifests/{reference}");
    let kind = format!("Content-Type: {kind}");
    let _ = ask(&["-X", "PUT", "-H", &kind, "--data-binary", "@-"], &url, text.as_bytes());
}

/// Puts busybox under this name and a tag that no node has pulled, as another image: it has a label with the time. Gives
/// its full reference.
#[must_use]
#[allow(clippy::indexing_slicing)]
pub fn copy_of_busybox(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let parse = |bytes: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&bytes).expect("JSON");
    let mut manifest = parse(get("busybox/manifests/1"));
    let blob = |part: &serde_json::Value| get(&format!("busybox/blobs/{}", part["digest"].as_str().expect("a digest")));
    let layer = blob(&manifest["layers"][0]);
    let mut config = parse(blob(&manifest["config"]));
    config["config"]["Labels"]["made"] = now.to_string().into();
    let config = config.to_string().into_bytes();
    let _ = put_blob(name, &layer);
    manifest["config"]["digest"] = put_blob(name, &config).into();
    manifest["config"]["size"] = config.len().into();
    put_manifest(name, &now.to_string(), MANIFEST, &manifest.to_string());
    format!("{}/{name}:{now}", REGISTRY.trim_start_matches("http://"))
}

/// Puts an image that can be pulled and not unpacked: a layer of so many bytes, other ones each time. Gives its full
/// reference.
#[must_use]
pub fn image_of_bytes(name: &str, count: usize) -> String {
    let layer = CTL.run(&["head", &format!("--bytes={count}"), "/dev/urandom"]).ok().stdout;
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": put_blob(name, &config), "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": put_blob(name, &layer), "size": layer.len(),
        }],
    });
    put_manifest(name, "1", MANIFEST, &manifest.to_string());
    format!("{}/{name}:1", REGISTRY.trim_start_matches("http://"))
}

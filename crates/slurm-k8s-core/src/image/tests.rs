use super::*;
use proptest::prelude::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> Result<ImageRef, ImageError> {
    text.parse()
}

#[test]
fn good_references() {
    for (text, host) in [
        ("busybox", None),
        ("busybox:1.36", None),
        ("library/busybox", None),
        ("a__b/c.d/e-----f_g", None),
        ("docker.io/library/busybox", Some("docker.io")),
        ("nas-hub.local:5407/team/tool:v1", Some("nas-hub.local:5407")),
        ("localhost/tool", Some("localhost")),
        ("localhost:5000/tool:1", Some("localhost:5000")),
        ("Registry.Example/tool", Some("Registry.Example")),
        ("10.89.0.3:5407/tool", Some("10.89.0.3:5407")),
        ("[fd00::1]:5000/tool", Some("[fd00::1]:5000")),
        ("[fd00::1]/tool", Some("[fd00::1]")),
        ("tool:_Tag.with-All", None),
    ] {
        let image = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(image.to_string(), text);
        assert_eq!(image.host(), host, "{text}");
    }
    for text in [format!("tool@sha256:{HEX}"), format!("r.example:1/tool:2@sha256:{HEX}")] {
        assert_eq!(parse(&text).unwrap().as_str(), text);
    }
}

#[test]
fn bad_references_say_which_part() {
    let long = format!("r.example/{}", "x".repeat(250));
    for (text, expected) in [
        ("", "it is empty"),
        ("foo bar", "\"foo bar\" is not valid in an image's path"),
        ("-tool", "\"-tool\" is not valid in an image's path"),
        ("team//tool", "\"\" is not valid in an image's path"),
        ("tool/", "\"\" is not valid in an image's path"),
        ("a___b", "\"a___b\" is not valid in an image's path"),
        ("tool:", "\"\" is not a tag"),
        ("tool:a b", "\"a b\" is not a tag"),
        ("r.example:x/tool", "\"r.example:x\" is not a registry host"),
        ("-r.example/tool", "\"-r.example\" is not a registry host"),
        ("r..example/tool", "\"r..example\" is not a registry host"),
        ("r.example:/tool", "\"r.example:\" is not a registry host"),
        ("tool@sha256:abc", "\"sha256:abc\" is not a digest"),
        ("tool@md5:00", "\"md5:00\" is not a digest"),
        (HEX, "it is an image's id, not a name"),
        (&long, "its name has 260 bytes, at most 255 are allowed"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn the_hint_is_the_right_spelling() {
    for (text, hint) in [
        ("docker://ubuntu:22.04", "write ubuntu:22.04"),
        ("docker://nvcr.io#nvidia/pytorch:24.01-py3", "write nvcr.io/nvidia/pytorch:24.01-py3"),
        ("docker://alice@nvcr.io#nvidia/pytorch", "write nvcr.io/nvidia/pytorch"),
        ("nvcr.io#nvidia/pytorch", "write nvcr.io/nvidia/pytorch"),
        ("https://r.example/tool", "write r.example/tool"),
        ("r.example/Team/Tool:V1", "write r.example/team/tool:V1"),
        (" busybox ", "write busybox"),
    ] {
        assert_eq!(parse(text).unwrap_err().hint().as_deref(), Some(hint), "{text}");
    }
    for file in ["/home/alice/image.sqsh", "./image.sqsh", "image.sqsh", "tool.sif"] {
        let hint = parse(file).unwrap_err().hint().unwrap();
        assert!(hint.contains("push it there"), "{file}: {hint}");
    }
}

proptest! {
    #[test]
    fn any_text_is_judged_and_kept(text in "\\PC{0,80}") {
        if let Ok(image) = parse(&text) {
            prop_assert_eq!(image.to_string(), text);
        }
    }

    #[test]
    fn the_grammars_own_sentences_are_accepted(
        text in "([a-z0-9]{1,8}(\\.[a-z0-9]{1,8}){1,2}(:[0-9]{1,5})?/)?[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?"
    ) {
        prop_assume!(![".sif", ".sqsh"].iter().any(|file| text.ends_with(file)));
        prop_assert!(parse(&text).is_ok(), "{}", text);
    }
}

#[test]
fn the_repository_is_as_containerd_has_it() {
    for (text, repository, digest) in [
        ("busybox", "docker.io/library/busybox", None),
        ("team/tool:1", "docker.io/team/tool", None),
        ("r.example:5000/a/b:c", "r.example:5000/a/b", None),
        ("localhost/a", "localhost/a", None),
    ] {
        let image: ImageRef = text.parse().unwrap();
        assert_eq!((image.repository().as_str(), image.digest()), (repository, digest));
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    let image: ImageRef = format!("r.example/a:1@{digest}").parse().unwrap();
    assert_eq!((image.repository().as_str(), image.digest()), ("r.example/a", Some(digest.as_str())));
}

#[test]
fn what_is_proposed_is_an_image() {
    let error = |text: &str| text.parse::<ImageRef>().unwrap_err();
    assert_eq!(error("nas:5407/Tool:1.2").hint().as_deref(), Some("write nas:5407/tool:1.2"));
    for text in ["Nas/Tool:", "nas:5407/Tool@sha256:12"] {
        let error = error(text);
        assert!(!matches!(error, ImageError::UpperCase { .. }), "{text}: {error}");
    }
}

//! Spellings that other tools accept, with the right one here.

use super::ImageError;

/// Refuses the spellings of Pyxis, docker and Singularity.
pub fn check(text: &str) -> Result<(), ImageError> {
    let foreign = |what, mend: String| Err(ImageError::Foreign { what, mend });
    if text.trim() != text {
        return foreign("it has blanks around it", format!("write {}", text.trim()));
    }
    let path = text.starts_with(['/', '.', '~']);
    if path || ends_in(text, ".sqsh") || ends_in(text, ".sif") {
        return foreign(
            "it is a file, as Pyxis or Singularity would take it",
            "images come from a registry: push it there and write HOST/PATH:TAG".into(),
        );
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let what = match scheme {
            "docker" | "dockerd" | "podman" => "Pyxis' spelling, with a scheme",
            "http" | "https" => "it is a URL",
            _ => "it has a scheme",
        };
        return foreign(what, format!("write {}", without_hash(without_user(rest))));
    }
    if text.contains('#') {
        return foreign("Pyxis' spelling, with '#'", format!("write {}", without_hash(text)));
    }
    Ok(())
}

fn ends_in(text: &str, extension: &str) -> bool {
    text.to_ascii_lowercase().ends_with(extension)
}

/// `USER@REGISTRY#IMAGE` without the user.
fn without_user(text: &str) -> &str {
    match text.split_once('@') {
        Some((_, rest)) if rest.contains('#') => rest,
        _ => text,
    }
}

fn without_hash(text: &str) -> String {
    text.replacen('#', "/", 1)
}

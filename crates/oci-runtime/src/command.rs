//! What the container starts with: the agent, whatever the Pod or the image say.

use serde_json::{Value, json};
use slurm_k8s_core::grant::{CONTAINER_AGENT, ENTRYPOINT_END, ENTRYPOINT_FILE, Grant};

use crate::apply::{ApplyError, process};

/// Puts the agent in; the image's entrypoint, if it is wanted, goes into a file for it.
pub fn replace(config: &mut Value, grant: &Grant) -> Result<(), ApplyError> {
    let process = process(config)?;
    if grant.entrypoint {
        let words = process.get("args").and_then(Value::as_array).ok_or(ApplyError::Shape("process.args"))?;
        let words = words.iter().filter_map(Value::as_str);
        let text: String = words.take_while(|word| *word != ENTRYPOINT_END).flat_map(|word| [word, "\0"]).collect();
        let path = grant.run_dir.join(ENTRYPOINT_FILE);
        std::fs::write(&path, text).map_err(|error| ApplyError::Entrypoint(path, error))?;
    }
    process.insert("args".into(), json!([CONTAINER_AGENT]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_entrypoint_is_kept_for_the_agent() {
        let run = tempfile::tempdir().unwrap();
        let grant = Grant { entrypoint: true, run_dir: run.path().to_owned(), ..crate::apply::sample() };
        let mut config = json!({ "process": { "args": ["/entry", "a b", ENTRYPOINT_END] } });
        replace(&mut config, &grant).unwrap();
        assert_eq!(config["process"]["args"], json!([CONTAINER_AGENT]));
        assert_eq!(std::fs::read(run.path().join(ENTRYPOINT_FILE)).unwrap(), b"/entry\0a b\0");
    }
}

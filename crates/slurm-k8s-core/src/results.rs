//! What a job leaves behind, in a folder of its own: `<results.folder>/<job>`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The standard output of a batch job that says nothing else.
pub const STDOUT: &str = "stdout.log";
/// And its standard error.
pub const STDERR: &str = "stderr.log";
/// Where a job puts its files.
pub const OUTPUTS: &str = "outputs";
/// The variable in which it finds that folder.
pub const VARIABLE: &str = "K8S_OUTPUT_DIR";

/// A job's folder by the name that `squeue` shows: `123`, or `123_4` for a task of an array.
#[must_use]
pub fn id(job: u32, array: Option<(u32, u32)>) -> String {
    array.map_or_else(|| job.to_string(), |(job, task)| format!("{job}_{task}"))
}

/// A file in the folder of whichever job this becomes, as Slurm's `--output` takes it (sbatch(1), "filename pattern").
#[must_use]
pub fn pattern(folder: &Path, array: bool, file: &str) -> Vec<u8> {
    // The config has no folder with characters that mean something in a pattern.
    [folder.as_os_str().as_bytes(), if array { b"/%A_%a/" } else { b"/%j/" }, file.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_named_as_squeue_names_the_job() {
        assert_eq!(id(7, None), "7");
        assert_eq!(id(9, Some((7, 2))), "7_2");
        let text = |folder: &str, array| String::from_utf8(pattern(Path::new(folder), array, STDOUT)).unwrap();
        assert_eq!(text("/nas/results", false), "/nas/results/%j/stdout.log");
        assert_eq!(text("/nas/results", true), "/nas/results/%A_%a/stdout.log");
    }
}

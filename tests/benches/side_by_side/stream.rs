//! How fast output goes to Slurm.

use e2e::ALICE;

use crate::book::{Book, Contestant};
use crate::page::Section;
use crate::parameters::Parameters;
use crate::run::{Missing, figures, output};
use crate::stage::{FOLDER, NAME, NODE, Stage, when_idle};

pub const FILE_PLAIN: &str = "plain, to a file";
pub const FILE_TEE: &str = "in a Pod, `--k8s-io=tee`, to a file";
pub const FILE_DIRECT: &str = "in a Pod, `--k8s-io=direct`, to a file";
pub const PIPE_PLAIN: &str = "plain, through `srun`";
pub const PIPE_TEE: &str = "in a Pod, `--k8s-io=tee`, through `srun`";
pub const PIPE_DIRECT: &str = "in a Pod, `--k8s-io=direct`, through `srun`";

/// Writes so many MiB and notes when it began and ended.
const COMMAND: &str =
    "begin=$EPOCHREALTIME; dd if=/dev/zero bs=1M count=$0 status=none; echo $begin $EPOCHREALTIME > $1";

/// More than all that is written, which counts as the container's memory until it is on the disk.
const MEMORY: &str = "--mem=4000M";

enum Route {
    /// slurmstepd opens the file, as it does for sbatch.
    File,
    /// srun's own standard output.
    Pipe,
}

pub fn measure(book: &mut Book, stage: &Stage, asked: &Parameters) {
    let image = format!("--k8s-image={}", stage.userland);
    let (file, pipe) = (asked.file_mib, asked.srun_mib);
    let plain: &[&str] = &[];
    let (tee, direct) = ([&*image, "--k8s-io=tee"], [&*image, "--k8s-io=direct"]);
    let contestants = vec![
        Contestant::new(&[FILE_PLAIN], || write(&Route::File, file, plain)),
        Contestant::new(&[FILE_TEE], || write(&Route::File, file, &tee)),
        Contestant::new(&[FILE_DIRECT], || write(&Route::File, file, &direct)),
        Contestant::new(&[PIPE_PLAIN], || write(&Route::Pipe, pipe, plain)),
        Contestant::new(&[PIPE_TEE], || write(&Route::Pipe, pipe, &tee)),
        Contestant::new(&[PIPE_DIRECT], || write(&Route::Pipe, pipe, &direct)),
    ];
    book.take_turns("output", asked.stream_rounds, contestants);
}

fn write(route: &Route, mib: u32, options: &[&str]) -> Result<Vec<f64>, Missing> {
    when_idle()?;
    let (count, wrote) = (mib.to_string(), format!("{FOLDER}/wrote"));
    let task = ["bash", "-c", COMMAND, &count, &wrote];
    let srun = [&["srun", "--job-name", NAME, "-w", NODE, MEMORY], options].concat();
    let arrived = match route {
        Route::File => {
            let (pattern, file) = (format!("--output={FOLDER}/out.%t"), format!("{FOLDER}/out.0"));
            let _ = output(ALICE, &[&*srun, &[&pattern], &task].concat())?;
            let size = output(ALICE, &["stat", "--format=%s", &file])?;
            let _ = output(ALICE, &["rm", &file])?;
            size
        }
        Route::Pipe => {
            let counted = ["bash", "-c", "set -o pipefail; \"$@\" | wc --bytes", "bash"];
            output(ALICE, &[&counted[..], &srun, &task].concat())?
        }
    };
    let expected = u64::from(mib) << 20;
    if arrived != expected.to_string() {
        return Err(Missing::wrong(format!("{arrived} of {expected} bytes arrived")));
    }
    let [begin, end] = figures(&output(ALICE, &["cat", &wrote])?)?;
    Ok(vec![f64::from(mib) / (end - begin)])
}

pub fn sections() -> [Section; 2] {
    let section = |title, how: &str, reference, labels| {
        let how = format!("`dd` of zeros, timed by the command itself; every byte is counted where it arrives. {how}");
        Section { title, how, unit: "MiB/s", ratio: Some(("of plain", reference)), labels }
    };
    [
        section(
            "Output to a file",
            "The file is on the shared folder and opened on the node, as for `sbatch --output`.",
            FILE_PLAIN,
            vec![FILE_PLAIN, FILE_TEE, FILE_DIRECT],
        ),
        section(
            "Output through srun",
            "slurmstepd sends it to `srun`, which writes it to a pipe.",
            PIPE_PLAIN,
            vec![PIPE_PLAIN, PIPE_TEE, PIPE_DIRECT],
        ),
    ]
}

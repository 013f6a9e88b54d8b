//! `slurm-k8s man`: the man pages, from the same tables as all else that has options, config keys and exit codes in it.

mod config;
mod options;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::Roff;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder that gets man1, man5 and man7, for example /usr/share/man
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// A page that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the man page {}", path.display())]
pub struct ManError {
    path: PathBuf,
    source: std::io::Error,
}

/// Writes every page.
pub fn run(arguments: &Arguments, command: Command) -> Result<ExitCode, ManError> {
    for (name, page) in pages(command) {
        let path = arguments.folder.join(name);
        write(&path, &page).map_err(|source| ManError { path, source })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, page: &[u8]) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::fs::write(path, page)
}

/// Each page by its file.
fn pages(command: Command) -> Vec<(PathBuf, Vec<u8>)> {
    let mut pages = vec![
        ("man5/k8s.toml.5".into(), config::page().to_roff().into_bytes()),
        ("man7/spank-k8s.7".into(), options::page().to_roff().into_bytes()),
    ];
    let mut command = command.disable_help_subcommand(true);
    command.build();
    add(&mut pages, &command, None);
    pages
}

/// A command's page and those of its subcommands, as `slurm-k8s-gc(1)`.
fn add(pages: &mut Vec<(PathBuf, Vec<u8>)>, command: &Command, above: Option<&str>) {
    let name = above.map_or_else(|| command.get_name().to_owned(), |above| format!("{above}-{}", command.get_name()));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        add(pages, below, Some(&name));
    }
    let own = command.clone().display_name(&name);
    let mut page = Vec::new();
    let man = Man::new(own).source(SOURCE).manual(MANUAL);
    // Into memory: it cannot fail.
    if man.render(&mut page).is_ok() {
        let others = ["spank-k8s(7)", "k8s.toml(5)", "slurm-k8s(1)"];
        let others = others.iter().copied().filter(|other| other.strip_suffix("(1)") != Some(&name));
        page.extend(see_also(&others.collect::<Vec<_>>()).to_roff().into_bytes());
        pages.push((format!("man1/{name}.1").into(), page));
    }
}

/// What stands at the foot of each page.
const SOURCE: &str = concat!("spank-k8s ", env!("CARGO_PKG_VERSION"));
/// And at its head.
const MANUAL: &str = "spank-k8s";

/// The head of a page: its name, its section, and what it is about.
fn head(name: &str, section: &str, about: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name, section, "", SOURCE, MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([text::roman(&format!("{name} - {about}"))]);
    page
}

fn see_also(pages: &[&str]) -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["SEE ALSO"]);
    page.text([text::roman(&pages.join(", "))]);
    page
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use slurm_k8s_core::config::KEYS;
    use slurm_k8s_core::exit_code::EXIT_CODES;
    use slurm_k8s_core::option::OPTIONS;

    use super::*;

    fn page(name: &str) -> String {
        let pages = pages(crate::Arguments::command());
        let (_, page) = pages.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        // roff's hyphens are escaped.
        String::from_utf8(page.clone()).unwrap().replace("\\-", "-")
    }

    #[test]
    fn each_command_has_its_page() {
        let names: Vec<_> = pages(crate::Arguments::command()).into_iter().map(|(path, _)| path).collect();
        for name in ["slurm-k8s.1", "slurm-k8s-validate.1", "slurm-k8s-gc.1", "slurm-k8s-namespace-ensure.1"] {
            assert!(names.iter().any(|path| path.ends_with(name)), "{names:?}");
        }
        assert!(page("slurm-k8s-validate.1").contains("--check-image"));
    }

    #[test]
    fn the_pages_have_all_that_the_tables_have() {
        let (options, config) = (page("spank-k8s.7"), page("k8s.toml.5"));
        for option in OPTIONS {
            for word in [option.name, option.env, option.directive()] {
                assert!(options.contains(word), "{word}");
            }
        }
        for code in EXIT_CODES {
            assert!(options.contains(&format!("{} ({})", code.code, code.title)), "{}", code.code);
        }
        for key in KEYS {
            let (_, name) = key.name.split_once('.').unwrap_or(("", key.name));
            assert!(config.contains(name), "{name}");
        }
    }
}

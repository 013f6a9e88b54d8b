//! docs/reference/errors.md: the texts of every error type, read from the sources themselves.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, ExprLit, Item, Lit, LitStr, Meta};

/// Whose errors, and who meets them; each folder of sources once.
const PARTS: &[(&str, &str)] = &[
    (
        "crates/slurm-k8s-core/src",
        "Options, config, policy and template: said by sbatch, srun, salloc and slurm-k8s, and once more on the node",
    ),
    ("crates/job-submit/src", "The plugin of slurmctld: said by sbatch, srun and salloc"),
    ("crates/engine/src", "The engine in slurmstepd: causes in a task's message, or in slurmd.log"),
    (
        "crates/oci-runtime/src",
        "The OCI runtime wrapper: causes in a task's message, by way of containerd and the kubelet",
    ),
    ("crates/agent/src", "The two ends of the link: in a task's message, or in the container's log"),
    ("crates/cli/src", "slurm-k8s"),
];

/// One error type.
struct Texts {
    doc: String,
    rows: Vec<(String, String)>,
}

/// The page.
#[must_use]
pub fn page(checkout: &Path) -> String {
    let mut page = String::from(
        "<!-- Made from the sources: UPDATE=1 cargo test -p e2e --test pages -->\n# Texts of errors\n\nWhat stands in braces is filled in; a cause follows after a colon. [messages.md](messages.md) has the messages that they become on a task's stderr.\n",
    );
    for (folder, title) in PARTS {
        let _ = write!(page, "\n## {title}\n");
        for file in sources(&checkout.join(folder)) {
            for texts in of_file(&file) {
                let _ = write!(page, "\n{}\n\n| text | when |\n|---|---|\n", texts.doc);
                for (text, when) in texts.rows {
                    let _ = writeln!(page, "| `` {} `` | {when} |", text.replace('|', "\\|"));
                }
            }
        }
    }
    page
}

/// All sources below a folder, in a fixed order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let below = |path: PathBuf| {
        if path.is_dir() {
            sources(&path)
        } else {
            path.extension().is_some_and(|extension| extension == "rs").then_some(path).into_iter().collect()
        }
    };
    paths.into_iter().flat_map(below).collect()
}

fn of_file(file: &Path) -> Vec<Texts> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let items = syn::parse_file(&text).map_or_else(|_| Vec::new(), |file| file.items);
    items.iter().filter_map(of_item).collect()
}

fn of_item(item: &Item) -> Option<Texts> {
    let (doc, rows) = match item {
        Item::Enum(of) => {
            let variants = of.variants.iter();
            let rows = variants.filter_map(|variant| Some((text(&variant.attrs)?, doc(&variant.attrs)))).collect();
            (doc(&of.attrs), rows)
        }
        Item::Struct(of) => (doc(&of.attrs), vec![(text(&of.attrs)?, String::new())]),
        _ => return None,
    };
    (!rows.is_empty()).then_some(Texts { doc, rows })
}

/// What `#[error("…")]` says.
fn text(attributes: &[Attribute]) -> Option<String> {
    let error = attributes.iter().find(|attribute| attribute.path().is_ident("error"))?;
    // Arguments may follow the text.
    error
        .parse_args_with(|input: syn::parse::ParseStream| {
            let text: LitStr = input.parse()?;
            let _rest: proc_macro2::TokenStream = input.parse()?;
            Ok(text.value())
        })
        .ok()
}

fn doc(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(of) if of.path.is_ident("doc") => match &of.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    };
    // Links are for rustdoc.
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ").replace("[`", "`").replace("`]", "`")
}

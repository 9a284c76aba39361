//! Compares this renderer with upstream's: `krusty FILE` (cases that upstream's own tests ran, as `oracle/krusty` records
//! them); `plugins FILE` (its built-in plugins' tests, recorded too), `trees N SEED` (generated overlays) and `yaml N SEED` against the
//! oracle program named by `ORACLE`; `functions N SEED`, `charts N SEED`, `schemas N SEED` and `texts N SEED` for Helm; `real-charts DIR` and `real-trees DIR` against upstream's programs;
//! `values DIR N SEED` for charts with values made from their schemas, `goldens DIR` for Helm's own.
//!
//! `cargo xtask render` builds the other side and starts this.

#![allow(clippy::unwrap_used)] // a tool of the developer, which may stop where it stands

#[path = "differential/answer.rs"]
mod answer;
#[path = "differential/chance.rs"]
mod chance;
#[path = "differential/charts.rs"]
mod charts;
#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/decoders.rs"]
mod decoders;
#[path = "differential/directories.rs"]
mod directories;
#[path = "differential/documents.rs"]
mod documents;
#[path = "differential/functions.rs"]
mod functions;
#[path = "differential/goldens.rs"]
mod goldens;
#[path = "differential/krusty.rs"]
mod krusty;
#[path = "differential/layers.rs"]
mod layers;
#[path = "differential/objects.rs"]
mod objects;
#[path = "differential/oracle.rs"]
mod oracle;
#[path = "differential/plugins.rs"]
mod plugins;
#[path = "differential/real.rs"]
mod real;
#[path = "differential/scalars.rs"]
mod scalars;
#[path = "differential/schemas.rs"]
mod schemas;
#[path = "differential/substitutions.rs"]
mod substitutions;
#[path = "differential/texts.rs"]
mod texts;
#[path = "differential/tomls.rs"]
mod tomls;
#[path = "differential/trees.rs"]
mod trees;
#[path = "differential/values.rs"]
mod values;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let fine = match words.as_slice() {
        ["krusty", file, rest @ ..] => krusty::run(file, rest),
        ["trees", count, seed, rest @ ..] => {
            trees::run(count.parse().unwrap(), seed.parse().unwrap(), rest.contains(&"-v"))
        }
        ["keep-charts", seed, file] => charts::keep(seed.parse().unwrap(), file),
        ["given", file, rest @ ..] => trees::given(file, rest.contains(&"-v")),
        ["tree", number, seed] => {
            trees::show(seed.parse().unwrap(), number.parse().unwrap());
            true
        }
        ["functions", count, seed] => functions::run(count.parse().unwrap(), seed.parse().unwrap()),
        ["charts", count, seed] => charts::run(count.parse().unwrap(), seed.parse().unwrap()),
        ["schemas", count, seed] => schemas::run(count.parse().unwrap(), seed.parse().unwrap()),
        ["texts", count, seed] => texts::run(count.parse().unwrap(), seed.parse().unwrap()),
        ["real-charts", root, variants, seed] => {
            real::charts(root, variants.parse().unwrap(), seed.parse().unwrap())
        }
        ["goldens", module] => goldens::run(module),
        ["values", root, variants, seed] => {
            values::run(root, variants.parse().unwrap(), seed.parse().unwrap())
        }
        ["real-trees", root] => real::kustomizations(root),
        ["yaml", count, seed] => documents::run(count.parse().unwrap(), seed.parse().unwrap()),
        ["document", number, seed] => {
            documents::show(seed.parse().unwrap(), number.parse().unwrap());
            true
        }
        ["keep-documents", seed, numbers @ ..] => {
            documents::keep(seed.parse().unwrap(), numbers);
            true
        }
        ["directories", count, seed] => directories::run(count.parse().unwrap(), seed.parse().unwrap()),
        ["substitutions", count, seed] => substitutions::run(count.parse().unwrap(), seed.parse().unwrap()),
        ["plugins", file, rest @ ..] => plugins::run(file, rest.contains(&"-v")),
        _ => {
            eprintln!(
                "usage: differential krusty FILE [-v] [NAME] | trees COUNT SEED [-v] | tree NUMBER SEED | given FILE | plugins FILE [-v] | yaml COUNT SEED | document NUMBER SEED | keep-documents SEED NUMBER... | substitutions COUNT SEED | directories COUNT SEED | functions COUNT SEED | charts COUNT SEED | keep-charts SEED FILE | schemas COUNT SEED | texts COUNT SEED | real-charts DIR VARIANTS SEED | values DIR VARIANTS SEED | goldens MODULE | real-trees DIR"
            );
            false
        }
    };
    std::process::exit(if fine { 0 } else { 1 });
}

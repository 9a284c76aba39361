//! From a tree of files to Kubernetes documents: plain directories as Argo CD takes them, Kustomize, and Helm.
//!
//! A pure function of files and parameters: it reads only through a [`Tree`], which nothing can leave (`..`, absolute
//! paths and symbolic links are followed inside it only), and is bounded in the size of files, documents and output.
//! Errors name the file, the field and what to do. [`substitute`] changes what a build gave, as Flux does.

pub mod directory;
pub mod go;
pub mod goyaml;
pub mod helm;
pub mod kustomize;
pub mod sprig;
pub mod substitute;
pub mod template;
pub mod tree;
pub use api::yaml;

pub use tree::Tree;

/// What stopped a rendering.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// As go-yaml tells it.
    #[error("{file}: {text}")]
    Text { file: String, text: String },
    /// A field of a file that cannot be done as it is; the line is counted from 1, and 0 where it is not known.
    #[error("{file}{}: {field}: {text}", behind(*line))]
    Field { file: String, line: u32, field: String, text: String },
    #[error(
        "{at}: no kustomization.yaml, kustomization.yml or Kustomization is there; add one, or name another path"
    )]
    NoKustomization { at: String },
    #[error(
        "{at}: several kustomization files are there; keep one of kustomization.yaml, kustomization.yml and Kustomization"
    )]
    ManyKustomizations { at: String },
    #[error(
        "{at}: the kustomization includes itself: {chain}; take the entry out of `resources` or `components`"
    )]
    Cycle { at: String, chain: String },
    #[error("the output holds more than {limit} objects; split the application")]
    TooMany { limit: usize },
    #[error("the output is larger than {limit} bytes; split the application")]
    TooLarge { limit: usize },
}

impl Error {
    pub(crate) fn field(file: &str, field: impl Into<String>, text: impl Into<String>) -> Error {
        Error::Field { file: file.into(), line: 0, field: field.into(), text: text.into() }
    }

    /// The same with `/` before each path: where the tree is a whole host, whose paths are known by it.
    pub fn absolute(mut self) -> Error {
        let slash = |path: &mut String| {
            if !path.starts_with('/') {
                path.insert(0, '/');
            }
        };
        match &mut self {
            Error::Tree(error) => slash(error.path_mut()),
            Error::Text { file, .. } | Error::Field { file, .. } => slash(file),
            Error::NoKustomization { at } | Error::ManyKustomizations { at } => slash(at),
            Error::Cycle { at, chain } => {
                slash(at);
                *chain = chain.split(" -> ").map(|at| format!("/{at}")).collect::<Vec<_>>().join(" -> ");
            }
            Error::TooMany { .. } | Error::TooLarge { .. } => {}
        }
        self
    }

    /// The same, with the line at which the tree's file has the field.
    pub(crate) fn placed(self, tree: &Tree) -> Error {
        match self {
            Error::Field { file, line: 0, field, text } => {
                let written = tree.text("", &file).ok();
                let line = written.and_then(|written| goyaml::line(&written, &field)).unwrap_or(0);
                Error::Field { file, line, field, text }
            }
            other => other,
        }
    }
}

/// A line behind a file's name, as compilers write it.
fn behind(line: u32) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

/// How large a rendering may become.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub objects: usize,
    /// Bytes of the objects as JSON.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { objects: 20_000, output: 64 << 20 }
    }
}

/// Prints documents as `kustomize build` does.
pub fn print(documents: &[api::Value]) -> String {
    let mut out = String::new();
    for (at, document) in documents.iter().enumerate() {
        if at > 0 {
            out.push_str("---\n");
        }
        yaml::emit(document, &mut out);
    }
    out
}

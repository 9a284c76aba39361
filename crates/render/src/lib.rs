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
    /// A field of a file that cannot be done as it is.
    #[error("{file}: {field}: {text}")]
    Field { file: String, field: String, text: String },
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
        Error::Field { file: file.into(), field: field.into(), text: text.into() }
    }
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

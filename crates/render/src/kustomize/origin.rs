//! `buildMetadata`: where each object came from and what changed it, as annotations.

use super::resource::Resource;

pub(super) const ORIGIN: &str = "config.kubernetes.io/origin";
pub(super) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

/// A file, or a generator or transformer and the file that configures it.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub path: String,
    pub configured_in: String,
    /// apiVersion, kind, name and namespace.
    pub configured_by: [String; 4],
}

impl Origin {
    pub fn file(path: &str) -> Origin {
        Origin { path: path.into(), ..Origin::default() }
    }

    /// A transformer or generator that a field of a kustomization made.
    pub fn built_in(file: &str, kind: &str) -> Origin {
        Origin {
            configured_in: file.into(),
            configured_by: ["builtin".into(), kind.into(), String::new(), String::new()],
            ..Origin::default()
        }
    }

    /// A transformer or generator with a file of its own.
    pub fn custom(config: &Resource) -> Origin {
        let file = config.annotation(ORIGIN).unwrap_or_default();
        let file = file.lines().find_map(|line| line.strip_prefix("path: ")).unwrap_or_default();
        Origin {
            configured_in: file.into(),
            configured_by: [
                config.value.str_at(&["apiVersion"]).into(),
                config.kind().into(),
                config.name(),
                config.namespace(),
            ],
            ..Origin::default()
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let scalar = |text: &str| {
            let mut out = String::new();
            crate::yaml::emit(&api::Value::from(text), &mut out);
            out.trim_end().to_string()
        };
        for (name, value) in [("path", &self.path), ("configuredIn", &self.configured_in)] {
            if !value.is_empty() {
                lines.push(format!("{name}: {}", scalar(value)));
            }
        }
        if self.configured_by.iter().any(|part| !part.is_empty()) {
            lines.push("configuredBy:".into());
            for (name, value) in ["apiVersion", "kind", "name", "namespace"].iter().zip(&self.configured_by) {
                if !value.is_empty() {
                    lines.push(format!("  {name}: {}", scalar(value)));
                }
            }
        }
        lines
    }

    fn text(&self) -> String {
        self.lines().into_iter().map(|line| line + "\n").collect()
    }

    /// Marks objects that have no origin yet.
    pub fn mark(&self, all: &mut [Resource]) {
        for resource in all.iter_mut().filter(|resource| resource.annotation(ORIGIN).is_none()) {
            resource.annotate(ORIGIN, self.text());
        }
    }

    /// Adds this to what changed each object; one without an origin was made by it.
    pub fn transformed(&self, all: &mut [Resource]) {
        for resource in all {
            if resource.annotation(ORIGIN).is_none() {
                resource.annotate(ORIGIN, self.text());
                continue;
            }
            let mut list = resource.annotation(TRANSFORMATIONS).unwrap_or_default().to_string();
            for (at, line) in self.lines().into_iter().enumerate() {
                list.push_str(if at == 0 { "- " } else { "  " });
                list.push_str(&line);
                list.push('\n');
            }
            resource.annotate(TRANSFORMATIONS, list);
        }
    }
}

/// Takes off what upstream's build writes into annotations for itself, and makes every annotation a text.
pub(super) fn clean(resource: &mut Resource, options: &[String]) {
    const INTERNAL: [&str; 19] = [
        "internal.config.kubernetes.io/previousKinds",
        "internal.config.kubernetes.io/previousNames",
        "internal.config.kubernetes.io/prefixes",
        "internal.config.kubernetes.io/suffixes",
        "internal.config.kubernetes.io/previousNamespaces",
        "internal.config.kubernetes.io/allowNameChange",
        "internal.config.kubernetes.io/allowKindChange",
        "internal.config.kubernetes.io/refBy",
        "internal.config.kubernetes.io/generatorBehavior",
        "internal.config.kubernetes.io/needsHashSuffix",
        "internal.config.kubernetes.io/path",
        "internal.config.kubernetes.io/index",
        "internal.config.kubernetes.io/seqindent",
        "internal.config.kubernetes.io/id",
        "internal.config.kubernetes.io/annotations-migration-resource-id",
        "config.kubernetes.io/path",
        "config.kubernetes.io/index",
        "config.k8s.io/id",
        "internal.config.kubernetes.io/helm-generated",
    ];
    let option = |name: &str| options.iter().any(|option| option == name);
    let texts = resource.texts("annotations");
    // With both options kept, upstream leaves annotations alone that it has not written to.
    let kept = texts.into_iter().filter(|(name, _)| {
        !INTERNAL.contains(&name.as_str())
            && (name != ORIGIN || option("originAnnotations"))
            && (name != TRANSFORMATIONS || option("transformerAnnotations"))
    });
    let kept: Vec<_> = kept.collect();
    resource.set_texts("annotations", kept);
}

//! Image references: their parts, and the image transformer.

use api::Value;
use regex::Regex;

use super::fields::Create;
use super::file::{FieldSpec, Image};
use super::resource::Resource;
use super::scalar;

/// Name, tag and digest of `[[host[:port]/]component/]component[:tag][@digest]`.
pub(super) fn split(image: &str) -> (&str, &str, &str) {
    let from = image.find('/').filter(|at| *at > 0).unwrap_or(0);
    let at_sign = image[from..].find('@').map(|at| at + from);
    let colon = image[from..].find(':').map(|at| at + from);
    match (colon, at_sign) {
        (None, None) => (image, "", ""),
        (Some(colon), Some(at)) if colon < at => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (_, Some(at)) => (&image[..at], "", &image[at + 1..]),
        (Some(colon), None) => (&image[..colon], &image[colon + 1..], ""),
    }
}

struct Setter<'a> {
    image: &'a Image,
    pattern: Regex,
}

impl Setter<'_> {
    fn set(&self, value: &mut Value) -> Result<(), String> {
        let text = scalar::text(value).ok_or("wrong node kind: expected ScalarNode")?;
        if value.is_null() || !self.pattern.is_match(&text) {
            return Ok(());
        }
        let (name, mut tag, mut digest) = {
            let (name, tag, digest) = split(&text);
            (name.to_string(), tag.to_string(), digest.to_string())
        };
        let image = self.image;
        let mut name = if image.new_name.is_empty() { name } else { image.new_name.clone() };
        match (!image.new_tag.is_empty(), !image.digest.is_empty()) {
            (true, _) => (tag, digest) = (image.new_tag.clone(), image.digest.clone()),
            (false, true) => (tag, digest) = (String::new(), image.digest.clone()),
            (false, false) if !image.tag_suffix.is_empty() => {
                tag.push_str(&image.tag_suffix);
                digest.clear();
            }
            (false, false) => {}
        }
        if !tag.is_empty() {
            name = format!("{name}:{tag}");
        }
        if !digest.is_empty() {
            name = format!("{name}@{digest}");
        }
        *value = scalar::restyled(value, &name);
        Ok(())
    }

    /// Every `containers` and `initContainers` list, wherever it is: custom resources have them too.
    fn containers(&self, value: &mut Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.containers(item)),
            Value::Object(map) => {
                for (key, field) in map.iter_mut() {
                    if (key == "containers" || key == "initContainers")
                        && let Value::Array(items) = field
                    {
                        for image in items.iter_mut().filter_map(|item| item.get_mut("image")) {
                            self.set(image)?;
                        }
                    } else {
                        self.containers(field)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Applies one entry of `images` to all resources.
pub(super) fn apply(image: &Image, specs: &[FieldSpec], all: &mut [Resource]) -> Result<(), String> {
    let pattern = format!("^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$", image.name);
    let pattern = Regex::new(&pattern).map_err(|error| format!("name {:?}: {error}", image.name))?;
    let setter = Setter { image, pattern };
    for resource in all.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        setter.containers(&mut resource.value)?;
        for spec in specs {
            spec.apply(&mut resource.value, Create::Never, &mut |value| setter.set(value))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn references_have_three_parts() {
        assert_eq!(split("nginx"), ("nginx", "", ""));
        assert_eq!(split("host:5000/a/b:1.2"), ("host:5000/a/b", "1.2", ""));
        assert_eq!(split("a/b@sha256:ab"), ("a/b", "", "sha256:ab"));
        assert_eq!(split("a/b:1@sha256:ab"), ("a/b", "1", "sha256:ab"));
    }
}

//! What form an answer has: the `Accept` header's best clause that can be served
//! (k8s.io/apiserver/pkg/endpoints/handlers/negotiation).

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};

use super::Query;
use crate::status::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
}

/// What becomes of the object on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    Object,
    Table,
    /// PartialObjectMetadata, or a list of it.
    Metadata,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    pub media: Media,
    pub form: As,
    /// [`As::Metadata`] was asked for by the name of its list.
    pub of_list: bool,
    /// Tables and metadata of meta.k8s.io/v1beta1, which differ in that name alone.
    pub beta: bool,
    pub pretty: bool,
    pub gzip: bool,
}

/// CBOR is not among them: upstream has it off (CBORServingAndStorage, alpha in v1.36).
pub const MEDIA: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
/// Of a list, which can be watched.
pub const LISTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf, \
                          application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

impl Accept {
    /// `tables`: the resource has columns.
    pub fn of(headers: &HeaderMap, query: &Query, tables: bool) -> Result<Accept, Status> {
        Accept::pick(headers, query, |found| tables || found.form != As::Table)
    }

    /// The same of a custom resource, which has no protobuf form but that of its metadata.
    pub fn of_custom(headers: &HeaderMap, query: &Query, tables: bool) -> Result<Accept, Status> {
        let has = |found: &Accept| found.media != Media::Protobuf || found.form != As::Object;
        Accept::pick(headers, query, |found| has(found) && (tables || found.form != As::Table))
    }

    fn pick(headers: &HeaderMap, query: &Query, has: impl Fn(&Accept) -> bool) -> Result<Accept, Status> {
        let text = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let found = best(text, has).ok_or_else(|| Status::not_acceptable(MEDIA))?;
        let pretty = match query.has("pretty") {
            true => query.flag("pretty"),
            // People with a terminal: as upstream.
            false => headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).is_some_and(|agent| {
                ["curl", "Wget", "Mozilla/5.0"].iter().any(|known| agent.starts_with(known))
            }),
        };
        Ok(Accept { pretty, gzip: takes_gzip(headers), ..found })
    }

    /// The form of a failure: what the header's text alone asks for.
    pub fn of_text(text: Option<&http::HeaderValue>) -> Option<Accept> {
        let text = text.and_then(|value| value.to_str().ok()).unwrap_or_default();
        best(text, |found| found.form != As::Table)
    }

    /// Refuses a list where one object was asked for by the form's name, and the other way round.
    pub fn fits(&self, kind: &api::Kind, list: bool) -> Result<(), Status> {
        if self.form != As::Metadata || self.of_list == list {
            return Ok(());
        }
        // Upstream says its own type's name.
        let of = match kind.resource.group.split('.').next().unwrap_or_default() {
            _ if kind.custom => "*unstructured.Unstructured".to_string(),
            "" => format!("*core.{}", kind.kind),
            "internal" => format!("*apiserverinternal.{}", kind.kind),
            package => format!("*{package}.{}", kind.kind),
        };
        let text = match list {
            true => {
                format!("you requested PartialObjectMetadata, but the requested object is a list ({of}List)")
            }
            false => {
                format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a list ({of})"
                )
            }
        };
        Err(Status::new(406, "NotAcceptable", text))
    }

    /// Puts the group's version that was asked for into a Table or metadata.
    pub fn dated(&self, value: &mut api::Value) {
        let Some(api::Value::Object(_)) = Some(&*value).filter(|_| self.beta) else { return };
        if value.str_at(&["apiVersion"]) == "meta.k8s.io/v1" {
            value.set(&["apiVersion"], "meta.k8s.io/v1beta1");
        }
        for row in value.at_mut(&["rows"]).and_then(api::Value::as_array_mut).into_iter().flatten() {
            if row.str_at(&["object", "apiVersion"]) == "meta.k8s.io/v1" {
                row.set(&["object", "apiVersion"], "meta.k8s.io/v1beta1");
            }
        }
    }

    /// JSON of the object itself: what the cache holds.
    pub fn is_plain(&self) -> bool {
        self.media == Media::Json && self.form == As::Object && !self.pretty
    }
}

impl Default for Accept {
    fn default() -> Accept {
        Accept {
            media: Media::Json,
            form: As::Object,
            of_list: false,
            beta: false,
            pretty: false,
            gzip: false,
        }
    }
}

impl Media {
    pub fn content_type(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Yaml => "application/yaml",
            Media::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// The best clause whose form is there.
fn best(text: &str, has: impl Fn(&Accept) -> bool) -> Option<Accept> {
    if text.is_empty() || text == "application/json" || text == "*/*" {
        return Some(Accept::default());
    }
    clauses(text).filter_map(one).find(has)
}

/// Upstream's router takes the header to a route of built-in kinds: it names a form that is there, whatever its parameters.
pub(crate) fn is_routed(headers: &HeaderMap) -> bool {
    let text = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = |media: &str| media == "*/*" || MEDIA.split(", ").any(|own| own == media);
    text.is_empty()
        || text.split(',').any(|clause| known(clause.split(';').next().unwrap_or_default().trim()))
}

/// Whether long answers may be compressed.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let text = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(',').any(|one| one.trim().split(';').next() == Some("gzip"))
}

/// The clauses of an `Accept` header, the most wanted first; those that are not wanted are left out.
pub(crate) fn clauses(text: &str) -> impl Iterator<Item = &str> {
    let mut clauses: Vec<(f32, &str)> = text
        .split(',')
        .map(|clause| {
            let quality = clause.split(';').find_map(|part| part.trim().strip_prefix("q="));
            (quality.and_then(|quality| quality.trim().parse().ok()).unwrap_or(1.0), clause.trim())
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses.into_iter().filter(|(quality, _)| *quality > 0.0).map(|(_, clause)| clause)
}

fn one(clause: &str) -> Option<Accept> {
    let mut parts = clause.split(';').map(str::trim);
    let media = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Media::Json,
        "application/yaml" => Media::Yaml,
        "application/vnd.kubernetes.protobuf" => Media::Protobuf,
        _ => return None,
    };
    let mut found = Accept { media, ..Accept::default() };
    for part in parts {
        match part.split_once('=') {
            Some(("as", "Table")) if media != Media::Protobuf => found.form = As::Table,
            Some(("as", name @ ("PartialObjectMetadata" | "PartialObjectMetadataList"))) => {
                found.form = As::Metadata;
                found.of_list = name.ends_with("List");
            }
            Some(("as", _)) => return None,
            Some(("g", group)) if group != "meta.k8s.io" => return None,
            Some(("v", version)) if !matches!(version, "v1" | "v1beta1") => return None,
            Some(("v", version)) => found.beta = version == "v1beta1",
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_best_that_can_be_served() {
        let best = |text: &str, tables| {
            best(text, |found| tables || found.form != As::Table).map(|found| (found.media, found.form))
        };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(best(table, true), Some((Media::Json, As::Table)));
        assert_eq!(best(table, false), Some((Media::Json, As::Object)));
        assert_eq!(
            best("application/vnd.kubernetes.protobuf,application/json", true),
            Some((Media::Protobuf, As::Object))
        );
        assert_eq!(
            best("application/json;q=0.2,application/yaml;q=0.9", true),
            Some((Media::Yaml, As::Object))
        );
        assert_eq!(best("application/cbor", true), None);
        assert_eq!(best("application/cbor,*/*", true), Some((Media::Json, As::Object)));
        let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(best(partial, true), Some((Media::Json, As::Metadata)));
    }
}

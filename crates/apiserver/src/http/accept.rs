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
        let text = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (media, form) = best(text, tables).ok_or_else(|| Status::not_acceptable(MEDIA))?;
        let pretty = match query.has("pretty") {
            true => query.flag("pretty"),
            // People with a terminal: as upstream.
            false => headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).is_some_and(|agent| {
                ["curl", "Wget", "Mozilla/5.0"].iter().any(|known| agent.starts_with(known))
            }),
        };
        Ok(Accept { media, form, pretty, gzip: takes_gzip(headers) })
    }

    /// The form of a failure: what the header's text alone asks for.
    pub fn of_text(text: Option<&http::HeaderValue>) -> Option<Accept> {
        let text = text.and_then(|value| value.to_str().ok()).unwrap_or_default();
        best(text, false).map(|(media, form)| Accept { media, form, ..Accept::default() })
    }

    /// JSON of the object itself: what the cache holds.
    pub fn is_plain(&self) -> bool {
        self.media == Media::Json && self.form == As::Object && !self.pretty
    }
}

impl Default for Accept {
    fn default() -> Accept {
        Accept { media: Media::Json, form: As::Object, pretty: false, gzip: false }
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

fn best(text: &str, tables: bool) -> Option<(Media, As)> {
    if text.is_empty() || text == "application/json" || text == "*/*" {
        return Some((Media::Json, As::Object));
    }
    clauses(text).find_map(|clause| one(clause, tables))
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

fn one(clause: &str, tables: bool) -> Option<(Media, As)> {
    let mut parts = clause.split(';').map(str::trim);
    let media = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Media::Json,
        "application/yaml" | "application/x-yaml" | "text/yaml" => Media::Yaml,
        "application/vnd.kubernetes.protobuf" => Media::Protobuf,
        _ => return None,
    };
    let mut form = As::Object;
    for part in parts {
        match part.split_once('=') {
            Some(("as", "Table")) if tables && media != Media::Protobuf => form = As::Table,
            Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => form = As::Metadata,
            Some(("as", _)) => return None,
            Some(("g", group)) if group != "meta.k8s.io" => return None,
            Some(("v", version)) if !matches!(version, "v1" | "v1beta1") => return None,
            _ => {}
        }
    }
    Some((media, form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_best_that_can_be_served() {
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

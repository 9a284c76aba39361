//! `list`: a consistent snapshot, spliced from the cache's bytes (D3), whole or in pages.
//!
//! A `continue` token names the revision of its first page and the last key given; pages of one list are of one revision,
//! from the cache while it remembers, then from the store, then 410.

use std::sync::Arc;

use api::selector::{Fields, Labels};
use api::{Key, Object, Revision, Value};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use client::Snapshot;
use http::{Response, StatusCode};
use smol_str::SmolStr;

use super::options::ListOptions;
use super::{Call, Target, parse_version, render};
use crate::http::accept::{As, Media};
use crate::http::{Body, respond};
use crate::status::{Result, Status};

/// Bytes of one buffer of a list's body.
const CHUNK: usize = 64 * 1024;
/// Which objects of a resource are meant.
#[derive(Clone)]
pub(crate) struct Selection {
    pub labels: Labels,
    pub fields: api::selector::Resolved,
    /// Fields are those of this version, which a webhook makes of what is stored.
    shown: Option<Target>,
}

impl Selection {
    pub fn of(call: &Call) -> Result<Selection> {
        let bad = |error: api::selector::Error| Status::bad_request(error.to_string());
        let labels = Labels::parse(call.query.get("labelSelector"))
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let fields = Fields::parse(call.query.get("fieldSelector"))
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let mut fields = fields;
        // A path with a name is a list of that one.
        if !call.info.name.is_empty() && fields.exact("metadata.name").is_none() {
            let name = call.info.name.as_str().into();
            fields.terms.push(api::selector::Term {
                label: "metadata.name".into(),
                value: name,
                negated: false,
            });
        }
        let own = fields.terms.iter().any(|term| !term.label.starts_with("metadata."));
        let shown = Some(&call.target).filter(|target| own && target.kind.converter.is_some()).cloned();
        let fields = fields
            .resolve(&call.target.kind, &call.target.storage, &call.target.version().name)
            .map_err(bad)?;
        Ok(Selection { labels, fields, shown })
    }
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
    pub fn matches(&self, object: &Object) -> bool {
        let own = |fields: &[SmolStr]| self.fields.matches(object.namespace(), object.name(), fields);
        self.labels.matches(&object.labels)
            && match &self.shown {
                None => own(&object.fields),
                // What cannot be converted has none of the fields that are asked for.
                Some(target) => {
                    target.in_version(object).is_ok_and(|value| own(&target.kind.field_values(&value)))
                }
            }
    }
}

/// Where the next page starts.
struct Token {
    /// `None`: of the newest state, whatever that is (after a token ran out).
    revision: Option<Revision>,
    /// The last key given, without the resource's prefix.
    after: String,
    /// When the first page was given, in seconds since the epoch.
    begun: i64,
}

/// As Go's decoder: bits that are left over count for nothing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// Go's words for what is no base64.
fn in_go(error: base64::DecodeError) -> String {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
    let at = match error {
        InvalidByte(at, _) | InvalidLastSymbol(at, _) => at,
        InvalidLength(length) => length.saturating_sub(1),
        InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

/// Of a list of a state that is forgotten; a watch's text is another.
const TOO_OLD: &str = "The resourceVersion for the provided list is too old.";
/// Seconds that a list may take from page to page; as long as upstream's etcd keeps a revision.
const PATIENCE: i64 = 300;

impl Token {
    fn write(&self) -> String {
        let revision = self.revision.map_or(-1, |revision| revision.0 as i64);
        let json = serde_json::json!({
            "v": "meta.k8s.io/v1", "rv": revision, "start": format!("{}\0", self.after), "t": self.begun,
        });
        URL_SAFE_NO_PAD.encode(json.to_string())
    }
    fn read(text: &str) -> Result<Token> {
        let bad = |why: &str| {
            Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let bytes = LENIENT.decode(text).map_err(|error| bad(&in_go(error)))?;
        let value = api::json::parse(&bytes).map_err(|error| bad(&error.to_string()))?;
        let number = |name: &str| value.get(name).and_then(Value::as_int).unwrap_or(0);
        let (version, start, revision) = (value.str_at(&["v"]), value.str_at(&["start"]), number("rv"));
        if version != "meta.k8s.io/v1" {
            return Err(bad(&format!("server does not recognize this encoded version {version}")));
        }
        if revision == 0 {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if start.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)"));
        }
        // Nobody leaves the resource by a path.
        let mut steps = start.strip_prefix('/').unwrap_or(start).split('/');
        if steps.any(|step| matches!(step, "" | "." | "..")) {
            return Err(bad(start));
        }
        Ok(Token {
            revision: u64::try_from(revision).ok().map(Revision),
            after: start.trim_end_matches('\0').to_string(),
            begun: number("t"),
        })
    }

    /// 410, with a token that goes on from the same key in the newest state.
    fn ran_out(&self) -> Status {
        let resume = Token { revision: None, after: self.after.clone(), begun: self.begun }.write();
        Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        )
        .resumed_by(resume)
    }
}

/// One page.
pub(super) struct Page {
    pub objects: Vec<Arc<Object>>,
    revision: Revision,
    next: Option<String>,
    remaining: Option<i64>,
}

impl Call {
    pub async fn list(&self) -> Result<Response<Body>> {
        let selection = Selection::of(self)?;
        let options = ListOptions::of(&self.query, false)?;
        self.accept.fits(&self.target.kind, true)?;
        self.includes()?;
        let page = self.page(&selection, &options).await?;
        self.list_answer(page)
    }

    /// One page of what the query asks for.
    pub(super) async fn page(&self, selection: &Selection, options: &ListOptions) -> Result<Page> {
        let cache = self.target.cache()?;
        let version = self.query.get("resourceVersion");
        let exact = options.exact;
        // Upstream's cache gives all that it has to who takes any state.
        let any = version == "0" && self.query.get("continue").is_empty();
        let limit = if any { 0 } else { options.limit };
        let token = match self.query.get("continue") {
            "" => None,
            _ if !version.is_empty() && version != "0" => {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            text => Some(Token::read(text)?),
        };
        let snapshot = match (&token, version) {
            (Some(Token { revision: None, .. }), _) => {
                self.inner.catch_up(cache).await?;
                cache.snapshot()
            }
            (Some(token @ Token { revision: Some(revision), .. }), _) => {
                if self.inner.clock.now().as_second() - token.begun > PATIENCE {
                    return Err(token.ran_out());
                }
                if *revision > cache.revision() {
                    self.inner.wait_for(cache, *revision).await?;
                }
                match cache.snapshot_at(*revision) {
                    Ok(snapshot) => snapshot,
                    Err(_) => return self.page_of_store(selection, token, *revision, limit).await,
                }
            }
            (None, "") => {
                self.inner.catch_up(cache).await?;
                cache.snapshot()
            }
            (None, "0") => cache.snapshot(),
            (None, asked) => {
                let asked = parse_version(asked)?;
                self.inner.wait_for(cache, asked).await?;
                match exact || (limit > 0 && self.query.get("resourceVersionMatch").is_empty()) {
                    true => cache.snapshot_at(asked).map_err(|_| Status::expired(TOO_OLD))?,
                    false => cache.snapshot(),
                }
            }
        };
        let now = self.inner.clock.now().as_second();
        let begun = token.as_ref().filter(|token| token.revision.is_some()).map_or(now, |token| token.begun);
        let after = token.map(|token| self.after_key(&token)).transpose()?;
        Ok(self.cut(&snapshot, selection, after.as_ref(), limit, begun))
    }

    fn after_key(&self, token: &Token) -> Result<Key> {
        format!("{}{}", self.target.storage.resource.prefix(), token.after)
            .parse()
            .map_err(|_| Status::bad_request("continue key is not valid"))
    }

    fn cut(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
        after: Option<&Key>,
        limit: usize,
        begun: i64,
    ) -> Page {
        let mut matching = snapshot.range(self.namespace(), after).filter(|object| selection.matches(object));
        let objects: Vec<Arc<Object>> = match limit {
            0 => matching.by_ref().cloned().collect(),
            limit => matching.by_ref().take(limit).cloned().collect(),
        };
        let mut page = Page { objects, revision: snapshot.revision, next: None, remaining: None };
        let more = limit > 0 && page.objects.len() == limit && matching.next().is_some();
        if let Some(last) = page.objects.last().map(|object| &object.key).filter(|_| more) {
            let rest = || snapshot.count(self.namespace(), Some(last)) as i64;
            page.remaining = selection.is_everything().then(rest);
            page.next = Some(self.token(snapshot.revision, last, begun));
        }
        page
    }

    fn token(&self, revision: Revision, last: &Key, begun: i64) -> String {
        let after = last.as_str()[self.target.storage.resource.prefix().len()..].to_string();
        Token { revision: Some(revision), after, begun }.write()
    }

    /// A page of a revision that the cache has forgotten.
    async fn page_of_store(
        &self,
        selection: &Selection,
        token: &Token,
        revision: Revision,
        limit: usize,
    ) -> Result<Page> {
        let kind = &self.target.storage;
        let mut prefix = kind.resource.prefix();
        if !self.namespace().is_empty() {
            prefix.push_str(self.namespace());
            prefix.push('/');
        }
        let mut page = Page { objects: Vec::new(), revision, next: None, remaining: None };
        let mut after = self.after_key(token)?.as_str().to_string();
        loop {
            let found = self.inner.store.range(&prefix, Some(&after), 500, Some(revision)).await;
            let found = found.map_err(|error| match error {
                store::Error::Compacted { .. } => token.ran_out(),
                other => Status::store(&self.target.kind.resource, "", other),
            })?;
            let more = found.more;
            for record in found.records {
                after = record.key.as_str().to_string();
                let Ok(object) = Object::from_stored(kind, &record.value, record.key, record.revision) else {
                    continue;
                };
                if !selection.matches(&object) {
                    continue;
                }
                if limit > 0 && page.objects.len() == limit {
                    let last = page.objects.last().expect("because a full page holds objects");
                    page.next = Some(self.token(revision, &last.key, token.begun));
                    return Ok(page);
                }
                page.objects.push(Arc::new(object));
            }
            if !more {
                return Ok(page);
            }
        }
    }

    pub(super) fn list_answer(&self, page: Page) -> Result<Response<Body>> {
        match (self.accept.form, self.accept.media) {
            (As::Table, _) => {
                self.target.converted(&page.objects)?;
                let rows = self.table_rows(&page.objects)?;
                let mut table = self.target.table(rows, page.revision.0, true);
                page.metadata(&mut table);
                self.accept.dated(&mut table);
                Ok(respond::value(&self.accept, StatusCode::OK, &table))
            }
            (As::Object, Media::Json) if self.accept.is_plain() && self.target.is_storage() => {
                Ok(self.spliced(page))
            }
            (form, media) => {
                // Items of a list of one type say no kind; a custom resource's items do, as upstream's do.
                let typed = !self.target.kind.custom;
                if form == As::Object {
                    self.target.converted(&page.objects)?;
                }
                let items = page.objects.iter().map(|object| match form {
                    As::Metadata => Ok(render::metadata_only(object, media != Media::Protobuf)),
                    _ => {
                        let mut value = self.target.in_version(object)?;
                        if typed && let Value::Object(map) = &mut value {
                            map.remove("kind");
                            map.remove("apiVersion");
                        }
                        Ok(value)
                    }
                });
                let items: Vec<Value> = items.collect::<Result<_>>()?;
                let mut list = Value::object();
                match form {
                    As::Metadata => {
                        list.set(&["kind"], "PartialObjectMetadataList");
                        list.set(&["apiVersion"], "meta.k8s.io/v1");
                    }
                    _ => {
                        list.set(&["kind"], self.target.kind.list_kind.clone());
                        list.set(&["apiVersion"], self.target.kind.api_version(&self.target.version().name));
                    }
                }
                list.set(&["metadata"], Value::object());
                page.metadata(&mut list);
                // Upstream makes this list by appending: of nothing it is none.
                let none = items.is_empty() && form == As::Metadata;
                if form == As::Object {
                    self.unstructured(&mut list);
                }
                list.set(&["items"], if none { Value::Null } else { items.into() });
                self.accept.dated(&mut list);
                Ok(respond::value(&self.accept, StatusCode::OK, &list))
            }
        }
    }

    /// Upstream's list of custom resources says that nothing follows.
    fn unstructured(&self, list: &mut Value) {
        if self.target.kind.custom && list.at(&["metadata", "continue"]).is_none() {
            list.set(&["metadata", "continue"], "");
        }
    }

    /// The list as buffers of the cache's own bytes.
    fn spliced(&self, page: Page) -> Response<Body> {
        let mut head = Value::object();
        head.set(&["kind"], self.target.kind.list_kind.clone());
        head.set(&["apiVersion"], self.target.kind.api_version(&self.target.version().name));
        head.set(&["metadata"], Value::object());
        page.metadata(&mut head);
        self.unstructured(&mut head);
        let mut head = head.to_json();
        head.pop();
        head.extend_from_slice(b",\"items\":[");
        let custom = self.target.kind.custom;
        let of =
            move |object: &Object| if custom { object.json.len() } else { object.after_prefix().len() + 1 };
        let items: u64 = page.objects.iter().map(|object| of(object) as u64 + 1).sum();
        let size = head.len() as u64 + items.saturating_sub(1) + 3;
        let chunks =
            Spliced { head: Some(head), objects: page.objects.into_iter(), first: true, custom, done: false };
        if self.accept.gzip && size >= respond::COMPRESS {
            let mut response = respond::body(
                StatusCode::OK,
                "application/json",
                Body::lazy(crate::http::body::Gzip::new(chunks), None),
            );
            response
                .headers_mut()
                .insert(http::header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
            response
        } else {
            respond::body(StatusCode::OK, "application/json", Body::lazy(chunks, Some(size)))
        }
    }
}

impl Page {
    fn metadata(&self, list: &mut Value) {
        list.set(&["metadata", "resourceVersion"], self.revision.to_string());
        if let Some(next) = &self.next {
            list.set(&["metadata", "continue"], next.as_str());
        }
        if let Some(remaining) = self.remaining {
            list.set(&["metadata", "remainingItemCount"], remaining);
        }
    }
}

/// Yields a list in buffers of some [`CHUNK`] bytes: what is not sent yet is only referred to.
struct Spliced {
    head: Option<Vec<u8>>,
    objects: std::vec::IntoIter<Arc<Object>>,
    first: bool,
    custom: bool,
    done: bool,
}

impl Iterator for Spliced {
    type Item = Bytes;
    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut chunk = match self.head.take() {
            Some(head) => BytesMut::from(&head[..]),
            None => BytesMut::with_capacity(CHUNK + 4096),
        };
        while chunk.len() < CHUNK {
            let Some(object) = self.objects.next() else {
                chunk.extend_from_slice(b"]}\n");
                self.done = true;
                break;
            };
            if !std::mem::take(&mut self.first) {
                chunk.extend_from_slice(b",");
            }
            if self.custom {
                chunk.extend_from_slice(&object.json);
            } else {
                chunk.extend_from_slice(b"{");
                chunk.extend_from_slice(object.after_prefix());
            }
        }
        Some(chunk.freeze())
    }
}

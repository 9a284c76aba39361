//! What a request's query says beside its selectors, converted and judged as upstream converts and judges `ListOptions` and the
//! options of writes (k8s.io/apimachinery/pkg/apis/meta/internalversion/validation, meta/v1/validation).

use api::Value;
use api::field::{Error, Path};

use crate::codec::Strictness;
use crate::http::Query;
use crate::status::{Result, Status};

/// A number as Go's conversion of a query reads it; `None` if it is not there.
pub(crate) fn integer(query: &Query, name: &str) -> Result<Option<i64>> {
    if !query.has(name) {
        return Ok(None);
    }
    let text = query.get(name);
    text.parse().map(Some).map_err(|_| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let why = if number { "value out of range" } else { "invalid syntax" };
        Status::bad_request(format!("strconv.ParseInt: parsing {}: {why}", api::text::quote(text)))
    })
}

/// Of a list, a watch, and a deletion of many.
pub(crate) struct ListOptions {
    /// Objects of a page; 0: all.
    pub limit: usize,
    /// Seconds that a watch lasts; 0: as long as the server likes.
    pub seconds: u64,
    /// `resourceVersionMatch` is `Exact`.
    pub exact: bool,
    /// `sendInitialEvents`, also where upstream assumes it.
    pub initial: Option<bool>,
}

impl ListOptions {
    pub fn of(query: &Query, watch: bool) -> Result<ListOptions> {
        let seconds = integer(query, "timeoutSeconds")?.unwrap_or(0);
        let limit = integer(query, "limit")?.unwrap_or(0);
        let (version, mut found) = (query.get("resourceVersion"), query.get("resourceVersionMatch"));
        let mut initial = query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents"));
        if watch && initial.is_none() && found.is_empty() && matches!(version, "" | "0") {
            // Upstream's SetListOptionsDefaults: a watch from the present state is a list by stream.
            (initial, found) = (Some(true), "NotOlderThan");
        }
        let mut errors = Vec::new();
        let path = Path::new("resourceVersionMatch");
        let mut forbidden = |text: &str| errors.push(Error::forbidden(path.clone(), text));
        let continues = !query.get("continue").is_empty();
        const CONTINUES: &str = "resourceVersionMatch is forbidden when continue is provided";
        if watch {
            if initial.is_some() && found != "NotOlderThan" {
                forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
            }
            if !found.is_empty() {
                if initial.is_none() {
                    forbidden(
                        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                    );
                }
                if found != "NotOlderThan" {
                    errors.push(Error::not_supported(path.clone(), found, &["NotOlderThan"]));
                }
                if continues {
                    errors.push(Error::forbidden(path, CONTINUES));
                }
            }
        } else {
            if !found.is_empty() {
                if version.is_empty() {
                    forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided");
                }
                if continues {
                    forbidden(CONTINUES);
                }
                if !matches!(found, "Exact" | "NotOlderThan") {
                    errors.push(Error::not_supported(path.clone(), found, &["Exact", "NotOlderThan", ""]));
                }
                if found == "Exact" && version == "0" {
                    let text = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                    errors.push(Error::forbidden(path, text));
                }
            }
            if initial.is_some() {
                let path = Path::new("sendInitialEvents");
                errors.push(Error::forbidden(path, "sendInitialEvents is forbidden for list"));
            }
        }
        if !errors.is_empty() {
            return Err(Status::invalid_kind("meta.k8s.io", "ListOptions", "", &errors));
        }
        Ok(ListOptions {
            limit: usize::try_from(limit).unwrap_or(0),
            seconds: u64::try_from(seconds).unwrap_or(0),
            exact: found == "Exact",
            initial,
        })
    }
}

/// `dryRun`: true if it is asked for. Another word than `All` is an error.
pub(crate) fn dry_run<'q>(asked: impl Iterator<Item = &'q str>, errors: &mut Vec<Error>) -> bool {
    let asked: Vec<&str> = asked.collect();
    if asked.iter().any(|word| *word != "All") {
        let shown: Vec<Value> = asked.iter().map(|word| Value::from(*word)).collect();
        errors.push(Error::not_supported(Path::new("dryRun"), shown, &["All"]));
    }
    !asked.is_empty()
}

/// The options of a write that every verb has; `apply` of a patch, `None` of anything else.
pub(crate) fn write(query: &Query, verb: &str, apply: Option<bool>) -> Result<(bool, Strictness)> {
    let mut errors = Vec::new();
    let manager = query.get("fieldManager");
    match apply {
        Some(true) if manager.is_empty() => {
            errors.push(Error::required(Path::new("fieldManager"), "is required for apply patch"));
        }
        Some(false) if query.has("force") => {
            let text = "may not be specified for non-apply patch";
            errors.push(Error::forbidden(Path::new("force"), text));
        }
        _ => {}
    }
    crate::manage::check_manager(manager, &mut errors);
    let dry = dry_run(query.all("dryRun"), &mut errors);
    let strictness = Strictness::of(query.get("fieldValidation"), &mut errors);
    let kind = match verb {
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => "CreateOptions",
    };
    match errors.is_empty() {
        true => Ok((dry, strictness)),
        false => Err(Status::invalid_kind("meta.k8s.io", kind, "", &errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, watch: bool, expected: &str) {
        let told = match ListOptions::of(&Query::parse(Some(text)), watch) {
            Ok(options) => format!(
                "limit {} seconds {} exact {} initial {:?}",
                options.limit, options.seconds, options.exact, options.initial
            ),
            Err(status) => format!("{} {}", status.code().as_u16(), status.message()),
        };
        assert_eq!(told, expected, "{text}");
    }

    /// What upstream's server answered to each.
    #[test]
    fn reads_the_options_of_lists_as_upstream() {
        let none = "limit 0 seconds 0 exact false initial None";
        check("", false, none);
        check("limit=-1", false, none);
        check("limit=%2B5", false, "limit 5 seconds 0 exact false initial None");
        check("limit=", false, "400 strconv.ParseInt: parsing \"\": invalid syntax");
        check("timeoutSeconds=x", false, "400 strconv.ParseInt: parsing \"x\": invalid syntax");
        check(
            "limit=9223372036854775808",
            false,
            "400 strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
        );
        let unsupported = "Unsupported value: \"foo\": supported values:";
        let invalid = "422 ListOptions.meta.k8s.io \"\" is invalid:";
        let what = "resourceVersionMatch";
        check(
            "resourceVersionMatch=foo",
            false,
            &format!(
                "{invalid} [{what}: Forbidden: {what} is forbidden unless resourceVersion is provided, {what}: {unsupported} \"Exact\", \"NotOlderThan\", \"\"]"
            ),
        );
        check(
            "continue=a&resourceVersion=0&resourceVersionMatch=NotOlderThan",
            false,
            &format!("{invalid} {what}: Forbidden: {what} is forbidden when continue is provided"),
        );
        check(
            "sendInitialEvents=x",
            false,
            &format!("{invalid} sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        );
    }

    #[test]
    fn reads_the_options_of_watches_as_upstream() {
        let listed = "limit 0 seconds 0 exact false initial Some(true)";
        check("", true, listed);
        check("resourceVersion=0", true, listed);
        check("resourceVersion=5", true, "limit 0 seconds 0 exact false initial None");
        let invalid = "422 ListOptions.meta.k8s.io \"\" is invalid:";
        let what = "resourceVersionMatch";
        check(
            "continue=a",
            true,
            &format!("{invalid} {what}: Forbidden: {what} is forbidden when continue is provided"),
        );
        check(
            "sendInitialEvents=true&resourceVersionMatch=foo",
            true,
            &format!(
                "{invalid} [{what}: Forbidden: sendInitialEvents requires setting {what} to NotOlderThan, {what}: Unsupported value: \"foo\": supported values: \"NotOlderThan\"]"
            ),
        );
        check(
            "resourceVersionMatch=NotOlderThan",
            true,
            &format!(
                "{invalid} {what}: Forbidden: {what} is forbidden for watch unless sendInitialEvents is provided"
            ),
        );
    }
}

//! Validation of a job's spec, in a Job and in a CronJob's template.

use crate::Value;
use crate::field::{Error, Reason};
use crate::kinds::core::pod::validate;
use crate::kinds::edit::same;
use crate::selector::Labels;
use crate::validation::{Node, names};

/// Bounds beyond which the failed and completed indexes of a job could not be kept.
const INDEXES: i64 = 100_000;
const WHEN_MANY: i64 = 10_000;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

/// An error that shows no value.
pub fn bare(node: &Node<'_>, detail: &str) {
    let path = node.path().clone();
    node.error(Error { path, reason: Reason::Invalid, value: None, detail: detail.into() });
}

/// Of a Job: with its selector.
pub fn job_spec(spec: &Node<'_>) {
    common(spec);
    let selector = spec.get("selector");
    if selector.has() {
        selector.label_selector();
    } else {
        selector.missing("");
    }
    let labels = spec.at(&["template", "metadata", "labels"]);
    if Labels::from_object(selector.value()).is_ok_and(|found| !found.matches_value(Some(labels.value()))) {
        labels.invalid("`selector` does not match template `labels`");
    }
}

/// What a Job and a CronJob's template have in common.
pub fn common(spec: &Node<'_>) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for field in counts {
        spec.get(field).nonnegative();
    }
    let (per_index, failed) = (spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes"));
    if failed.has() {
        per_index.set("when maxFailedIndexes is specified");
    }
    let manager = spec.get("managedBy");
    if manager.has() {
        manager.domain_path().at_most_bytes(63);
    }
    let mode = spec.get("completionMode");
    mode.one_of_set(&["NonIndexed", "Indexed"]);
    if mode.text() == "Indexed" {
        indexed(spec);
    }
    if !mode.has() || mode.text() == "NonIndexed" {
        for node in [&per_index, &failed] {
            if node.has() {
                node.invalid("requires indexed completion mode");
            }
        }
    }
    failure_policy(spec);
    let success = spec.get("successPolicy");
    if success.has() {
        match mode.text() {
            "Indexed" => success_policy(spec, &success.get("rules")),
            _ => success.invalid("requires indexed completion mode"),
        }
    }
    let replacement = spec.get("podReplacementPolicy");
    match spec.get("podFailurePolicy").has() {
        true => replacement.one_of_set(&["Failed"]),
        false => replacement.one_of_set(&["Failed", "TerminatingOrFailed"]),
    };
    spec.get("template").by(validate::template);
    let policy = spec.at(&["template", "spec", "restartPolicy"]);
    match policy.text() {
        "Always" | "" => policy.missing("valid values: \"OnFailure\", \"Never\""),
        "Never" => {}
        "OnFailure" if spec.get("podFailurePolicy").has() => {
            policy.invalid("only \"Never\" is supported when podFailurePolicy is specified");
        }
        _ => drop(policy.one_of_even_empty(&["OnFailure", "Never"])),
    }
}

fn indexed(spec: &Node<'_>) {
    let (completions, parallel) = (spec.get("completions"), spec.get("parallelism"));
    let failed = spec.get("maxFailedIndexes");
    completions.set("when completion mode is Indexed");
    if parallel.int() > INDEXES {
        parallel.invalid(format!("must be less than or equal to {INDEXES} when completion mode is Indexed"));
    }
    if completions.has() && failed.int() > completions.int() {
        failed.invalid("must be less than or equal to completions");
    }
    if failed.int() > INDEXES {
        failed.invalid(format!("must be less than or equal to {INDEXES}"));
    }
    if completions.int() > INDEXES && spec.get("backoffLimitPerIndex").has() {
        failed.set(&format!("must be specified when completions is above {INDEXES}"));
        for node in [&parallel, &failed] {
            if node.int() > WHEN_MANY {
                node.invalid(format!(
                    "must be less than or equal to {WHEN_MANY} when completions are above {INDEXES} and used with \
                     backoff limit per index"
                ));
            }
        }
    }
}

fn failure_policy(spec: &Node<'_>) {
    let rules = spec.at(&["podFailurePolicy", "rules"]);
    rules.at_most_items(20);
    for rule in rules.items() {
        let action = rule.get("action");
        match action.text() {
            "" => action.missing("valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"),
            "FailIndex" if !spec.get("backoffLimitPerIndex").has() => {
                action.invalid("requires the backoffLimitPerIndex to be set");
            }
            _ => drop(action.one_of_even_empty(&ACTIONS)),
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.has() {
            exit_codes(spec, &codes);
        }
        conditions.at_most_items(20);
        for pattern in conditions.items() {
            pattern.get("type").is_even_empty(names::qualified_name);
            let status = pattern.get("status");
            match status.text() {
                "" => status.missing("valid values: [\"False\" \"True\" \"Unknown\"]"),
                _ => drop(status.one_of_even_empty(&STATUSES)),
            }
        }
        match (codes.has(), !conditions.is_empty()) {
            (true, true) => bare(&rule, "specifying both OnExitCodes and OnPodConditions is not supported"),
            (false, false) => bare(&rule, "specifying one of OnExitCodes and OnPodConditions is required"),
            _ => {}
        }
    }
}

fn exit_codes(spec: &Node<'_>, codes: &Node<'_>) {
    let (operator, name) = (codes.get("operator"), codes.get("containerName"));
    match operator.text() {
        "" => operator.missing("valid values: [\"In\" \"NotIn\"]"),
        _ => drop(operator.one_of_even_empty(&["In", "NotIn"])),
    }
    let has = |list: &str| {
        spec.at(&["template", "spec", list])
            .items()
            .iter()
            .any(|container| container.get("name").text() == name.text())
    };
    if name.has() && !has("containers") && !has("initContainers") {
        name.invalid("must be one of the container or initContainer names in the pod template");
    }
    let values = codes.get("values");
    if values.is_empty() {
        let shown = if values.has() { values.value().clone() } else { Value::Null };
        values.error(Error::invalid(values.path().clone(), shown, "at least one value is required"));
    }
    values.at_most_items(255);
    let numbers = values.items();
    for (at, value) in numbers.iter().enumerate() {
        if operator.text() == "In" && value.int() == 0 {
            value.invalid("must not be 0 for the In operator");
        }
        if numbers[..at].iter().any(|other| other.int() == value.int()) {
            value.duplicate();
        }
    }
    if numbers.windows(2).any(|pair| pair[0].int() > pair[1].int()) {
        values.invalid("must be ordered");
    }
}

fn success_policy(spec: &Node<'_>, rules: &Node<'_>) {
    rules.required_for("at least one rules must be specified when the successPolicy is specified");
    rules.at_most_items(20);
    let completions = spec.get("completions").int();
    for rule in rules.items() {
        let (count, indexes) = (rule.get("succeededCount"), rule.get("succeededIndexes"));
        if !count.has() && !indexes.has() {
            rule.missing("at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if indexes.has() {
            indexes.at_most_bytes(64 * 1024);
            match self::indexes(indexes.text(), completions) {
                Ok(found) => total = found,
                Err(text) => indexes.invalid(format!("error parsing succeededIndexes: {text}")),
            }
        }
        if count.has() {
            count.nonnegative();
            if count.int() > completions {
                count.invalid(format!(
                    "must be less than or equal to {completions} (the number of specified completions)"
                ));
            }
            if indexes.has() && count.int() > total {
                count.invalid(format!(
                    "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes \
                     field)"
                ));
            }
        }
    }
}

/// How many indexes `1,3-5,7` names, or what is wrong with it.
pub fn indexes(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last = None;
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = parse_interval(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The intervals of `1,3-5,7`; bad ones are left out.
pub fn intervals(text: &str, completions: i64) -> Vec<(i64, i64)> {
    text.split(',').filter_map(|interval| parse_interval(interval, completions).ok()).collect()
}

fn parse_interval(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = interval.split('-').collect();
    if limits.len() > 2 {
        return Err(format!(
            "the fragment {interval:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        ));
    }
    let number = |text: &str| {
        text.parse::<i32>()
            .map(i64::from)
            .map_err(|_| format!("cannot convert string to integer for index: {text:?}"))
    };
    let first = number(limits[0])?;
    let beyond = |at: &str| format!("too large index: {at:?}");
    if first >= completions {
        return Err(beyond(limits[0]));
    }
    let Some(text) = limits.get(1) else { return Ok((first, first)) };
    let end = number(text)?;
    if end >= completions {
        return Err(beyond(text));
    }
    if first >= end {
        return Err(format!("non-increasing order, previous: {first}, current: {end}"));
    }
    Ok((first, end))
}

/// What may change in a job that is there.
pub fn update(job: &Node<'_>, old: &Node<'_>) {
    let (spec, was) = (job.get("spec"), old.get("spec"));
    let (completions, old_completions) = (spec.get("completions"), was.get("completions"));
    if spec.get("completionMode").text() != "Indexed" {
        completions.immutable(&old_completions);
    } else if completions.has()
        && !completions.is_same(&old_completions)
        && completions.int() != spec.get("parallelism").int()
    {
        completions.invalid("can only be modified in tandem with spec.parallelism");
    }
    spec.get("selector").immutable(&was.get("selector"));
    template(job, old);
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        spec.get(field).immutable(&was.get(field));
    }
}

/// A suspended job whose pods are gone may have its template's placement and resources changed (KEP-2926, KEP-5440).
fn template(job: &Node<'_>, old: &Node<'_>) {
    let template = job.at(&["spec", "template"]);
    let mut was = old.at(&["spec", "template"]).value().clone();
    let suspended = old.at(&["spec", "suspend"]).flag();
    let stopped = old.at(&["status", "conditions"]).items().iter().any(|condition| {
        condition.get("type").text() == "Suspended" && condition.get("status").text() == "True"
    });
    let idle = suspended
        && (stopped || !old.at(&["status", "startTime"]).has())
        && old.at(&["status", "active"]).int() == 0;
    if idle {
        let is = template.value();
        let affinity = ["spec", "affinity", "nodeAffinity"];
        match is.at(&affinity) {
            Some(node) => was.set(&affinity, node.clone()),
            None => drop(was.remove(&affinity)),
        }
        for path in [
            &["spec", "nodeSelector"],
            &["spec", "tolerations"],
            &["metadata", "annotations"],
            &["metadata", "labels"],
            &["spec", "schedulingGates"],
        ] {
            match is.at(path) {
                Some(value) => was.set(path, value.clone()),
                None => drop(was.remove(path)),
            }
        }
        for list in ["containers", "initContainers"] {
            let now = template.at(&["spec", list]).items();
            let olds = was.at_mut(&["spec", list]).and_then(Value::as_array_mut);
            for (old, now) in olds.into_iter().flatten().zip(now) {
                if old.get("name") == now.value().get("name") {
                    crate::kind::keep(old, now.value(), "resources");
                }
            }
        }
        let spec = template.get("spec").named(template.path().child("spec"));
        if !same(Some(spec.value()), was.get("spec")) {
            spec.invalid("field is immutable");
        }
    } else if !same(Some(template.value()), Some(&was)) {
        template.invalid("field is immutable");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_indexes() {
        assert_eq!(indexes("0,2-4,6", 7), Ok(5));
        assert_eq!(indexes("", 7), Ok(0));
        for bad in ["7", "a", "3,2", "2-1", "1-2-3", "1,"] {
            assert!(indexes(bad, 7).is_err(), "{bad}");
        }
    }
}

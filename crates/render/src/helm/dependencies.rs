//! Which subcharts are rendered: aliases, conditions, tags; and what they hand up by `import-values`.

use super::chart::Chart;
use super::metadata::Dependency;
use super::values::{Coalesce, path_value, table};
use crate::go::{Map, MapType, Value, print, semver};

/// Takes out what is disabled, names what has an alias, and merges imported values into each chart's own.
pub(super) fn process(chart: &mut Chart, given: &Map, warnings: &mut Vec<String>) -> Result<(), String> {
    enable(chart, given, "", warnings)?;
    import(chart, warnings)
}

/// An error if Chart.yaml names what the `charts` directory has not.
pub(super) fn check(chart: &Chart) -> Result<(), String> {
    let missing: Vec<&str> = chart
        .meta
        .dependencies()
        .filter(|wanted| !chart.charts.iter().any(|chart| chart.name() == wanted.name))
        .map(|wanted| wanted.name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "An error occurred while checking for chart dependencies. You may need to run `helm dependency build` to fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: {}",
        missing.join(", ")
    ))
}

/// Whether a version lies in a range; what is no range holds nothing.
pub(super) fn compatible(range: &str, version: &str) -> bool {
    match (semver::constraints(range), semver::parse(version)) {
        (Ok(range), Ok(version)) => range.check(&version),
        _ => false,
    }
}

fn fits(wanted: &Dependency, chart: &Chart) -> bool {
    chart.name() == wanted.name && compatible(&wanted.version, &chart.meta.version)
}

pub(super) fn enable(
    chart: &mut Chart,
    given: &Map,
    path: &str,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let Some(mut wanted) = chart.meta.dependencies.take() else { return Ok(()) };
    let mut charts: Vec<Chart> = chart
        .charts
        .iter()
        .filter(|chart| !wanted.iter().flatten().any(|wanted| fits(wanted, chart)))
        .cloned()
        .collect();
    for wanted in wanted.iter_mut().flatten() {
        if let Some(found) = chart.charts.iter().find(|chart| fits(wanted, chart)) {
            let mut found = found.clone();
            if !wanted.alias.is_empty() {
                found.origin = Some(std::mem::replace(&mut found.meta.name, wanted.alias.clone()));
            }
            charts.push(found);
        }
        if !wanted.alias.is_empty() {
            wanted.name = wanted.alias.clone();
        }
        wanted.enabled = true;
    }
    chart.charts = charts;
    let values = Coalesce { merge: false, warnings }.values(chart, given)?;
    tags(&mut wanted, &values, warnings);
    conditions(&mut wanted, &values, path, warnings);
    let disabled: Vec<String> =
        wanted.iter().flatten().filter(|one| !one.enabled).map(|one| one.name.clone()).collect();
    chart.charts.retain(|chart| !disabled.iter().any(|name| name == chart.name()));
    wanted.retain(|one| !one.as_ref().is_some_and(|one| disabled.contains(&one.name)));
    for child in &mut chart.charts {
        let inner = format!("{path}{}.", child.name());
        enable(child, &values, &inner, warnings)?;
    }
    // Upstream appends to a nil list: none is left as none.
    chart.meta.dependencies = (!wanted.is_empty()).then_some(wanted);
    Ok(())
}

fn tags(wanted: &mut [Option<Dependency>], values: &Map, warnings: &mut Vec<String>) {
    let Some(tags) = values.table("tags") else { return };
    for one in wanted.iter_mut().flatten() {
        let (mut on, mut off) = (false, false);
        for tag in &one.tags {
            match tags.get(tag.as_bytes()) {
                Some(Value::Bool(true)) => on = true,
                Some(Value::Bool(false)) => off = true,
                Some(_) => {
                    warnings
                        .push(format!("Warning: Tag '{tag}' for chart {} returned non-bool value", one.name));
                }
                None => {}
            }
        }
        one.enabled = on || !off;
    }
}

/// The first condition whose path holds a boolean decides, over tags.
fn conditions(wanted: &mut [Option<Dependency>], values: &Map, path: &str, warnings: &mut Vec<String>) {
    for one in wanted.iter_mut().flatten() {
        let name = one.name.clone();
        for condition in one.condition.clone().trim().split(',').filter(|condition| !condition.is_empty()) {
            match path_value(values, &format!("{path}{condition}")) {
                Ok(Value::Bool(flag)) => {
                    one.enabled = flag;
                    break;
                }
                Ok(_) => warnings.push(format!(
                    "Warning: Condition path '{condition}' for chart {name} returned non-bool value"
                )),
                Err(_) => {}
            }
        }
    }
}

pub(super) fn import(chart: &mut Chart, warnings: &mut Vec<String>) -> Result<(), String> {
    let mut done: Vec<String> = Vec::new();
    for child in &mut chart.charts {
        let origin = child.origin.clone().unwrap_or_else(|| child.name().to_string());
        // Charts under several names share the entries of Chart.yaml, which are done with after the first.
        if done.contains(&origin) {
            spend(child);
        }
        import(child, warnings)?;
        done.push(origin);
    }
    let Some(wanted) = chart.meta.dependencies.take() else { return Ok(()) };
    let mut coalesce = Coalesce { merge: true, warnings };
    let values = coalesce.values(chart, &Map::new(MapType::Any))?;
    let imported = Map::new(MapType::Any);
    let mut wanted = wanted;
    for one in wanted.iter_mut().flatten() {
        let mut kept = Vec::new();
        for import in std::mem::take(&mut one.import_values) {
            let (child, parent, named) = match &import {
                Value::Map(map) if map.ty() == MapType::Strings => {
                    kept.push(import);
                    continue;
                }
                Value::Map(map) => {
                    let part = |key: &str| print::display(&map.get(key.as_bytes()).unwrap_or(Value::Nil));
                    (part("child"), part("parent"), true)
                }
                Value::Str(text) => (format!("exports.{}", text.text()), ".".to_string(), false),
                _ => continue,
            };
            let pair = Map::new(MapType::Strings);
            pair.put("child", child.as_str().into());
            pair.put("parent", parent.as_str().into());
            kept.push(Value::Map(pair));
            match table(&values, &format!("{}.{child}", one.name)) {
                Ok(found) => coalesce.tables(&imported, &at_path(&parent, found), "", true),
                Err(key) => {
                    let key = crate::go::quote::quote(key.as_bytes());
                    let from = if named { format!(" from chart {}", one.name) } else { String::new() };
                    coalesce
                        .warnings
                        .push(format!("Warning: ImportValues missing table{from}: {key} is not a table"));
                }
            }
        }
        one.import_values = kept;
    }
    let values = values.deep_copy();
    coalesce.tables(&values, &imported, "", true);
    chart.values = values;
    chart.meta.dependencies = Some(wanted);
    Ok(())
}

/// Marks what a chart and its subcharts import as imported.
fn spend(chart: &mut Chart) {
    for one in chart.meta.dependencies.iter_mut().flatten().flatten() {
        for import in &mut one.import_values {
            *import = Value::Map(Map::new(MapType::Strings));
        }
    }
    chart.charts.iter_mut().for_each(spend);
}

/// A map that has another at a path.
fn at_path(path: &str, map: Map) -> Map {
    if path == "." {
        return map;
    }
    path.split('.').rev().fold(map, |inner, name| Map::any([(name, Value::Map(inner))]))
}

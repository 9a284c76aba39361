//! How values of files, flags, charts and their dependencies become one map: later over earlier, the parent over the child, a null
//! takes a default away.

use super::chart::Chart;
use crate::go::{Map, MapType, Value, print};

fn is_table(value: &Value) -> bool {
    matches!(value, Value::Map(map) if map.ty() == MapType::Any)
}

fn as_table(value: &Value) -> Option<&Map> {
    match value {
        Value::Map(map) if map.ty() == MapType::Any => Some(map),
        _ => None,
    }
}

/// `Values.Table`: the map at a path of names with dots. The error is the name that is none.
pub fn table(map: &Map, path: &str) -> Result<Map, String> {
    let mut here = map.clone();
    for name in path.split('.') {
        here = here.table(name).ok_or_else(|| name.to_string())?;
    }
    Ok(here)
}

/// `Values.PathValue`: what is at a path, if it is no map. The error is the last name.
pub fn path_value(map: &Map, path: &str) -> Result<Value, String> {
    let (parent, key) = match path.rsplit_once('.') {
        Some((parent, key)) => (table(map, parent).map_err(|_| key.to_string())?, key),
        None => (map.clone(), path),
    };
    match parent.get(key.as_bytes()) {
        Some(value) if !is_table(&value) => Ok(value),
        _ => Err(key.into()),
    }
}

/// Values of `-f` files: maps merge, everything else is replaced.
pub fn merge_files(base: &Map, over: &Map) -> Map {
    let out = base.copy();
    for (key, value) in over.entries() {
        let merged = match (&value, out.get(key.bytes())) {
            (Value::Map(over), Some(Value::Map(base))) => Value::Map(merge_files(&base, over)),
            _ => value,
        };
        out.put(key, merged);
    }
    out
}

/// Joins the values of a chart and its subcharts under those that it is given.
pub(super) struct Coalesce<'w> {
    /// Keeps nulls, for values that will be joined again.
    pub merge: bool,
    pub warnings: &'w mut Vec<String>,
}

fn prefixed(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.into() } else { format!("{prefix}.{name}") }
}

impl Coalesce<'_> {
    /// The values that a chart is rendered with; what is given is not changed.
    pub fn values(&mut self, chart: &Chart, given: &Map) -> Result<Map, String> {
        let copy = given.deep_copy();
        self.all(chart, &copy, "")?;
        Ok(copy)
    }

    fn all(&mut self, chart: &Chart, dest: &Map, prefix: &str) -> Result<(), String> {
        self.own(chart, dest, prefix);
        for child in &chart.charts {
            let name = child.name();
            let below = match dest.get(name.as_bytes()) {
                None => {
                    let made = Map::new(MapType::Any);
                    dest.put(name, Value::Map(made.clone()));
                    made
                }
                Some(value) => match as_table(&value) {
                    Some(map) => map.clone(),
                    None => {
                        let shown = print::sprintf(b"%t", &[value]);
                        return Err(format!("type mismatch on {name}: {}", String::from_utf8_lossy(&shown)));
                    }
                },
            };
            let inner = prefixed(prefix, chart.name());
            self.globals(&below, dest, &inner);
            self.all(child, &below, &inner)?;
        }
        Ok(())
    }

    fn globals(&mut self, dest: &Map, source: &Map, prefix: &str) {
        let own = |map: &Map| match map.get(b"global") {
            None => Some(Map::new(MapType::Any)),
            Some(value) => as_table(&value).cloned(),
        };
        let Some(below) = own(dest) else {
            self.warnings.push("warning: skipping globals because destination global is not a table.".into());
            return;
        };
        let Some(above) = own(source) else {
            self.warnings.push("warning: skipping globals because source global is not a table.".into());
            return;
        };
        for (key, value) in above.entries() {
            let old = below.get(key.bytes());
            match (as_table(&value), old) {
                (Some(map), None) => below.put(key, Value::Map(map.copy())),
                (Some(map), Some(Value::Map(old))) => {
                    let copy = map.copy();
                    // The parent's globals win, so that here the order is turned round; nulls are kept.
                    self.tables(&copy, &old, &prefixed(prefix, &key.text()), true);
                    below.put(key, Value::Map(copy));
                }
                (Some(_), Some(_)) => self.warnings.push(format!(
                    "Conflict: cannot merge map onto non-map for {}. Skipping.",
                    crate::go::quote::quote(key.bytes())
                )),
                (None, Some(old)) if is_table(&old) => {
                    self.warnings.push(format!("key {} is table. Skipping", key.text()));
                }
                (None, _) => below.put(key, value),
            }
        }
        dest.put("global", Value::Map(below));
    }

    fn own(&mut self, chart: &Chart, dest: &Map, prefix: &str) {
        let inner = prefixed(prefix, chart.name());
        for (key, default) in chart.values.deep_copy().entries() {
            match dest.get(key.bytes()) {
                None => dest.put(key, default),
                Some(Value::Nil) if !self.merge => dest.remove(key.bytes()),
                Some(Value::Map(given)) => match &default {
                    Value::Map(default) => {
                        let keep = chart.charts.iter().any(|child| child.name().as_bytes() == key.bytes());
                        self.tables(&given, default, &prefixed(&inner, &key.text()), keep || self.merge);
                    }
                    Value::Nil => {}
                    _ => self
                        .warnings
                        .push(format!("warning: skipped value for {inner}.{}: Not a table.", key.text())),
                },
                Some(_) => {}
            }
        }
    }

    /// Puts into a map what another has more; both are changed.
    pub fn tables(&mut self, dest: &Map, source: &Map, prefix: &str, merge: bool) {
        let original: Vec<_> =
            source.entries().into_iter().filter(|(_, value)| !matches!(value, Value::Nil)).collect();
        let had = |key: &[u8]| original.binary_search_by(|(name, _)| name.bytes().cmp(key)).is_ok();
        for (key, value) in dest.entries() {
            if matches!(value, Value::Nil) {
                source.put(key, Value::Nil);
            }
        }
        for (key, value) in source.entries() {
            let full = prefixed(prefix, &key.text());
            match dest.get(key.bytes()) {
                Some(Value::Nil) if !merge && had(key.bytes()) => dest.remove(key.bytes()),
                None => dest.put(key, value),
                Some(given) => match (as_table(&given), as_table(&value)) {
                    (Some(given), Some(value)) => self.tables(given, value, &full, merge),
                    (None, Some(_)) => self.warnings.push(format!(
                        "warning: cannot overwrite table with non table for {full} ({})",
                        print::display(&value)
                    )),
                    (Some(_), None) if !matches!(value, Value::Nil) => self.warnings.push(format!(
                        "warning: destination for {full} is a table. Ignoring non-table value ({})",
                        print::display(&value)
                    )),
                    _ => {}
                },
            }
        }
    }
}

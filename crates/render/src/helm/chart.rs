//! A chart as it is rendered: its files told apart, its subcharts loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::load::{Chart as Files, File};
use super::metadata::Metadata;
use crate::go::{Map, MapType, Value, path};
use crate::sprig::yaml;

/// A chart and, in it, those it depends on.
#[derive(Clone, Debug)]
pub struct Chart {
    pub meta: Metadata,
    pub templates: Vec<File>,
    pub files: Vec<File>,
    pub values: Map,
    pub schema: Option<Arc<[u8]>>,
    pub charts: Vec<Chart>,
    /// The name before an alias: what lies below, and is not named in Chart.yaml, keeps its path, as upstream's links to the parent do.
    pub origin: Option<String>,
}

/// How deep charts may lie in charts.
const DEPTH: usize = 30;

impl Chart {
    /// Loads a chart of its files. Warnings are what upstream logs.
    pub fn load(files: &Files, warnings: &mut Vec<String>) -> Result<Chart, String> {
        load(&files.files, 0, warnings)
    }

    pub fn name(&self) -> &str {
        &self.meta.name
    }

    /// The path under which its subcharts lie, of the path of the chart that it is in.
    pub fn path_below(&self, at: &str) -> String {
        // Upstream links anew what Chart.yaml names.
        let origin = self.origin.as_deref().filter(|_| self.meta.dependencies.is_none());
        format!("{at}/charts/{}", origin.unwrap_or(self.name()))
    }

    pub fn is_library(&self) -> bool {
        self.meta.kind.eq_ignore_ascii_case("library")
    }

    /// The files of `crds` directories, this chart's before those of its subcharts, with the path of each.
    pub fn crds(&self, at: &str, below: &str, out: &mut Vec<(String, Arc<[u8]>)>) {
        for file in &self.files {
            let extension = path::ext(&file.name).to_ascii_lowercase();
            if file.name.starts_with("crds/") && matches!(extension.as_str(), ".yaml" | ".yml" | ".json") {
                out.push((path::join(at, &file.name), file.data.clone()));
            }
        }
        for chart in &self.charts {
            chart.crds(&format!("{below}/charts/{}", chart.name()), &chart.path_below(below), out);
        }
    }
}

fn utf8(file: &File) -> String {
    String::from_utf8_lossy(&file.data).into_owned()
}

fn load(files: &[File], depth: usize, warnings: &mut Vec<String>) -> Result<Chart, String> {
    if depth > DEPTH {
        return Err(format!("charts lie more than {DEPTH} deep in one another"));
    }
    let mut meta: Option<Metadata> = None;
    for file in files.iter().filter(|file| file.name == "Chart.yaml") {
        let meta = meta.get_or_insert_default();
        meta.read(&utf8(file)).map_err(|error| format!("cannot load Chart.yaml: {error}"))?;
        if meta.api_version.is_empty() {
            meta.api_version = "v1".into();
        }
    }
    let mut chart = Chart {
        meta: Metadata::default(),
        templates: Vec::new(),
        files: Vec::new(),
        values: Map::new(MapType::Any),
        schema: None,
        charts: Vec::new(),
        origin: None,
    };
    let mut below: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in files {
        match file.name.as_str() {
            "Chart.yaml" => {}
            "Chart.lock" => {
                crate::goyaml::first(&utf8(file))
                    .map_err(|error| format!("cannot load Chart.lock: {error}"))?;
            }
            "values.yaml" => {
                let read = yaml::from_yaml(&utf8(file));
                chart.values = match read.map_err(|error| format!("cannot load values.yaml: {error}"))? {
                    Value::Map(map) => map,
                    Value::Nil => Map::new(MapType::Any),
                    other => {
                        let error = yaml::decoding(&other, "map[string]interface {}");
                        return Err(format!("cannot load values.yaml: {error}"));
                    }
                };
            }
            "values.schema.json" => chart.schema = Some(file.data.clone()),
            "requirements.yaml" => {
                let meta = meta.get_or_insert_default();
                if meta.api_version != "v1" {
                    warnings.push("Warning: Dependencies are handled in Chart.yaml since apiVersion \"v2\". We recommend migrating dependencies to Chart.yaml.".into());
                }
                meta.read(&utf8(file)).map_err(|error| format!("cannot load requirements.yaml: {error}"))?;
                if meta.api_version == "v1" {
                    chart.files.push(file.clone());
                }
            }
            "requirements.lock" => {
                crate::goyaml::first(&utf8(file))
                    .map_err(|error| format!("cannot load requirements.lock: {error}"))?;
                let meta = meta.get_or_insert_default();
                if meta.api_version != "v1" {
                    warnings.push("Warning: Dependency locking is handled in Chart.lock since apiVersion \"v2\". We recommend migrating to Chart.lock.".into());
                } else {
                    chart.files.push(file.clone());
                }
            }
            name if name.starts_with("templates/") => chart.templates.push(file.clone()),
            name if name.starts_with("charts/") => {
                if path::ext(name) == ".prov" {
                    chart.files.push(file.clone());
                    continue;
                }
                let inside = &name["charts/".len()..];
                let first = inside.split('/').next().unwrap_or_default().to_string();
                below.entry(first).or_default().push(File { name: inside.into(), data: file.data.clone() });
            }
            _ => chart.files.push(file.clone()),
        }
    }
    chart.meta = meta.ok_or("Chart.yaml file is missing")?;
    chart.meta.validate()?;
    for (name, files) in below {
        if name.starts_with(['_', '.']) {
            continue;
        }
        let loaded = if path::ext(&name) == ".tgz" {
            let file = &files[0];
            if file.name != name {
                return Err(format!(
                    "error unpacking subchart tar in {}: expected {name}, got {}",
                    chart.name(),
                    file.name
                ));
            }
            super::archive::files(&file.data).and_then(|files| load(&files, depth + 1, warnings))
        } else {
            let inside: Vec<File> = files
                .into_iter()
                .filter_map(|file| {
                    let (_, name) = file.name.split_once('/')?;
                    Some(File { name: name.into(), data: file.data })
                })
                .collect();
            load(&inside, depth + 1, warnings)
        };
        let loaded = loaded
            .map_err(|error| format!("error unpacking subchart {name} in {}: {error}", chart.name()))?;
        chart.charts.push(loaded);
    }
    Ok(chart)
}

//! `helmCharts`: charts that lie in the source, rendered by this crate's own Helm.
//!
//! Nothing is pulled: a chart with a `repo` must already lie where upstream would have put it, below `chartHome`.

use api::Value;

use super::file::{HelmChart, HelmGlobals};
use super::resource::{self, Resource};
use super::schema::Source;
use super::{Layer, merge};
use crate::goyaml::kyaml;
use crate::tree::{Entry, join};
use crate::{Error, helm, yaml};

/// The objects of one entry of `helmCharts`.
pub(super) fn inflate(
    layer: &Layer<'_>,
    globals: &HelmGlobals,
    chart: &HelmChart,
    field: &str,
) -> Result<Vec<Resource>, Error> {
    let fault = |text: String| Error::field(&layer.this.file, field, text);
    if chart.name.is_empty() {
        return Err(fault("chart name cannot be empty".into()));
    }
    if !["", "override", "merge", "replace"].contains(&chart.values_merge.as_str()) {
        return Err(fault("valuesMerge must be one of [merge override replace]".into()));
    }
    let home = if globals.chart_home.is_empty() { "charts" } else { globals.chart_home.as_str() };
    let home = match (chart.version.as_str(), chart.repo.as_str()) {
        ("", _) | (_, "") => home.to_string(),
        (version, _) => join(home, &format!("{}-{version}", chart.name)),
    };
    let place = join(&home, &chart.name);
    let outside = |error: crate::tree::Error| fault(error.to_string());
    if layer.tree.entry(&layer.this.at, &place).map_err(outside)? != Some(Entry::Directory) {
        let text =
            format!("no chart found at '{place}', and none is pulled while rendering; commit it there");
        return Err(fault(text));
    }
    let world = layer.world.ok_or_else(|| fault("charts are not rendered here".into()))?;
    let name = match (chart.release_name.as_str(), chart.name_template.as_str()) {
        ("", "") => "release-name".to_string(),
        (name, "") => name.to_string(),
        ("", template) => helm::name(template, world).map_err(fault)?,
        _ => return Err(fault("cannot set --name-template and also specify a name".into())),
    };
    let namespace = if chart.namespace.is_empty() { "default" } else { &chart.namespace };
    let mut options = helm::Options::new(name, namespace);
    let own = join(&place, "values.yaml");
    let file = if chart.values_file.is_empty() { own } else { chart.values_file.clone() };
    let text = layer.load(&file, field)?;
    let text = values(chart, text, &file).map_err(fault)?;
    options.values.push(helm::ValuesFile { name: file, text });
    for file in &chart.additional_values_files {
        options.values.push(helm::ValuesFile { name: file.clone(), text: layer.load(file, field)? });
    }
    options.kube_version.clone_from(&chart.kube_version);
    options.api_versions.clone_from(&chart.api_versions);
    options.include_crds = chart.include_crds;
    options.no_hooks = chart.skip_hooks;
    options.skip_tests = chart.skip_tests;
    let at = layer.tree.resolve(&layer.this.at, &place).map_err(outside)?;
    let rendered = helm::template_at(layer.tree, &at, &options, world)
        .map_err(|error| fault(format!("chart {}: {error}", chart.name)))?;
    let mut all = resource::parse(&rendered.text, &format!("chart {}", chart.name))?;
    for resource in &mut all {
        resource.from_chart = true;
    }
    Ok(all)
}

/// The values file with `valuesInline` over it, below it, or in its place.
fn values(chart: &HelmChart, text: String, file: &str) -> Result<String, String> {
    let Some(inline) =
        chart.values_inline.as_ref().filter(|inline| inline.as_object().is_some_and(|map| !map.is_empty()))
    else {
        return Ok(text);
    };
    let inline: Value = serde_json::from_str(&inline.to_string()).map_err(|error| error.to_string())?;
    let merged = if chart.values_merge == "replace" {
        inline
    } else {
        let base = kyaml::first(&text).map_err(|error| format!("could not parse {file}: {error}"))?;
        let (to, from) = if chart.values_merge == "merge" { (inline, base) } else { (base, inline) };
        merge::merge(&to, &[], &from, &Source::BuiltIn)?.unwrap_or_default()
    };
    let mut out = String::new();
    yaml::emit(&merged, &mut out);
    Ok(out)
}

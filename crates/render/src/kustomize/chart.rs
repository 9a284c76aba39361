//! `helmCharts`: charts that lie in the source.

use super::Layer;
use super::file::{HelmChart, HelmGlobals};
use super::resource::Resource;
use crate::Error;

/// The objects of one entry of `helmCharts`.
pub(super) fn inflate(
    layer: &Layer<'_>,
    _globals: &HelmGlobals,
    chart: &HelmChart,
    field: &str,
) -> Result<Vec<Resource>, Error> {
    let text = format!("the chart {} cannot be rendered here yet; commit its rendered manifests", chart.name);
    Err(Error::field(&layer.this.file, field, text))
}

//! The figures of all servers side by side: skiff's, upstream's, how many times better skiff is, and the budget.

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::measures::Figure;
use crate::servers::Which;

#[derive(Default)]
pub struct Rows(Vec<Row>);

struct Row {
    figure: Figure,
    values: Vec<(Which, f64)>,
}

impl Row {
    fn value(&self, which: Which) -> Option<f64> {
        self.values.iter().find(|(own, _)| *own == which).map(|(_, value)| *value)
    }

    /// How many times better skiff is.
    fn ratio(&self, than: Which) -> Option<f64> {
        let (skiff, other) = (self.value(Which::Skiff)?, self.value(than)?);
        let ratio = if self.figure.more { skiff / other } else { other / skiff };
        ratio.is_finite().then_some(ratio)
    }
}

impl Rows {
    pub fn add(&mut self, which: Which, figures: Vec<Figure>) {
        for figure in figures {
            let value = (which, figure.value);
            match self.0.iter_mut().find(|row| row.figure.what == figure.what) {
                Some(row) => row.values.push(value),
                None => self.0.push(Row { figure, values: vec![value] }),
            }
        }
    }

    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(["what", "skiff", "budget", "on kine", "skiff is", "on etcd", "skiff is"]);
        for row in &self.0 {
            let shown = |which| row.value(which).map_or(String::new(), |value| show(value, row.figure.unit));
            let times = |which| row.ratio(which).map_or(String::new(), |ratio| format!("{ratio:.1}×"));
            table.add_row([
                row.figure.what.to_owned(),
                shown(Which::Skiff),
                row.figure.budget.to_owned(),
                shown(Which::Kine),
                times(Which::Kine),
                shown(Which::Etcd),
                times(Which::Etcd),
            ]);
        }
        table.to_string()
    }

    pub fn json(&self) -> Value {
        let rows = self.0.iter().map(|row| {
            json!({
                "what": row.figure.what, "unit": row.figure.unit, "budget": row.figure.budget,
                "skiff": row.value(Which::Skiff), "kine": row.value(Which::Kine), "etcd": row.value(Which::Etcd),
                "times_kine": row.ratio(Which::Kine), "times_etcd": row.ratio(Which::Etcd),
            })
        });
        rows.collect()
    }
}

fn show(value: f64, unit: &str) -> String {
    let number = match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    match unit {
        "" | "/s" => format!("{number}{unit}"),
        unit => format!("{number} {unit}"),
    }
}

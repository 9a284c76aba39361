//! A chart as one text (`=== path` before each file), or an archive: never a panic, never without end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use render::go::world::Fixed;
use render::helm::{Chart, Options, template};

fuzz_target!(|data: &[u8]| {
    let chart = match std::str::from_utf8(data) {
        Ok(text) => {
            let mut files = skiff_fuzz::files(text, "templates/a.yaml");
            files.push(("Chart.yaml".into(), "apiVersion: v2\nname: c\nversion: 0.1.0\n".into()));
            Chart::from_files(files)
        }
        Err(_) => match Chart::from_archive(data) {
            Ok(chart) => chart,
            Err(_) => return,
        },
    };
    let mut options = Options::new("r", "ns");
    options.bounds.output = 1 << 20;
    options.bounds.steps = 200_000;
    let _ = template(&chart, &options, &Fixed::at(0));
});

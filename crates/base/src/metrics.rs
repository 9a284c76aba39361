//! Metrics of parts that the API server does not know: each writes its own, where it has some.

use parking_lot::Mutex;

static WRITERS: Mutex<Vec<fn(&mut String)>> = Mutex::new(Vec::new());

/// From now on this writes its families, in Prometheus' text format, whenever metrics are asked for.
pub fn register(writer: fn(&mut String)) {
    WRITERS.lock().push(writer);
}

/// Writes what all that are registered have.
pub fn write(out: &mut String) {
    let writers = WRITERS.lock().clone();
    writers.into_iter().for_each(|writer| writer(out));
}

//! The size of the program. A build with symbols is larger than the one that is handed out.

use anyhow::{Context, Result};

use super::{Bench, Row, megabytes};

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let path = bench.binary;
    let size = std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len();
    Ok(vec![Row::new("binary", megabytes(size), "30 MB", "70 to 100 MB (k3s)")])
}

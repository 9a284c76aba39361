//! From the start of the program on an empty disk to an API that is ready and a node that is Ready: the median of five. Keys
//! and certificates are made each time. Both are asked for every 20 ms, which is how exact the figures are.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::{cluster, machine::PATIENCE, until};

use super::{Bench, Row, percentile};

const TIMES: usize = 5;

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let (mut apis, mut nodes) = (Vec::new(), Vec::new());
    for time in 0..TIMES {
        let mut machine = bench.machine(&time.to_string())?;
        let since = Instant::now();
        let done = async {
            let api = machine.start().await?;
            let client = machine.client().await?;
            until("the node to be Ready", PATIENCE, async || cluster::ready_node(&client).await).await?;
            anyhow::Ok((api, since.elapsed()))
        };
        let done = done.await;
        machine.uninstall()?;
        let (api, node) = done?;
        apis.push(api);
        nodes.push(node);
    }
    Ok(vec![
        Row::new("start to API ready, median of 5", told(&mut apis), "", ""),
        Row::new("start to node Ready, median of 5", told(&mut nodes), "0.5 s", "2.6 to 3.8 s"),
    ])
}

fn told(samples: &mut [Duration]) -> String {
    let median = percentile(samples, 0.5);
    let (least, most) = (percentile(samples, 0.0), percentile(samples, 1.0));
    format!("{:.2} s ({:.2} to {:.2})", median.as_secs_f64(), least.as_secs_f64(), most.as_secs_f64())
}

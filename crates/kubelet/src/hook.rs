//! Lifecycle hooks: `exec`, `httpGet`, `sleep`.

use std::time::Duration;

use k8s_openapi::api::core::v1::LifecycleHandler;
use runtime::Runtime;

use crate::probe::{Target, http};

/// Runs a hook to its end or for `limit`. The error is for the log; secrets may be in it, so it is in no event.
pub async fn run(
    runtime: &dyn Runtime,
    target: &Target<'_>,
    pod: &str,
    hook: &LifecycleHandler,
    limit: Duration,
) -> Result<(), String> {
    let name = &target.container.name;
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let (error, output) = match runtime.exec_sync(target.id, command, limit).await {
            Ok((0, _)) => return Ok(()),
            Ok((code, output)) => (format!("command '{shown}' exited with {code}"), output),
            Err(error) => (base::chain(&error).to_string(), Vec::new()),
        };
        return Err(format!(
            "Exec lifecycle hook ([{shown}]) for Container {name:?} in Pod {pod:?} failed - error: {error}, message: {:?}",
            String::from_utf8_lossy(&output)
        ));
    }
    if let Some(get) = &hook.http_get {
        let path = get.path.clone().unwrap_or_default();
        let failed = |error| {
            format!(
                "HTTP lifecycle hook ({path}) for Container {name:?} in Pod {pod:?} failed - error: {error}"
            )
        };
        let url = http::url(target, get).map_err(failed)?;
        let fetch = http::fetch(&url, get, "kube-lifecycle/1.36", limit);
        return match tokio::time::timeout(limit, fetch).await {
            // Any answer will do (upstream looks at no status).
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed("timed out".to_owned())),
        };
    }
    if let Some(sleep) = &hook.sleep {
        let wanted = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        tokio::time::sleep(wanted.min(limit)).await;
        return Ok(());
    }
    if let Some(tcp) = &hook.tcp_socket {
        // Kept by upstream's API for compatibility; it fails there too.
        return Err(format!("Cannot run handler: invalid handler: tcpSocket {:?}", tcp.port));
    }
    Ok(())
}

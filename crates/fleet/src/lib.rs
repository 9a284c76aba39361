//! From Git to cluster by pull: sources, plan and apply, inventory, front ends (D11, D13 to D15).
//!
//! One engine keeps applications in step on any conformant API server through `kube::Client`. What its owner wrote
//! (an Argo CD `Application`, …) is read by a thin front end, one file each, into the engine's own types. Fetch and
//! render run in a short-lived child ([`child`]); the server process holds no clone and no manifests.

mod adopt;
pub mod app;
pub mod artifact;
pub mod child;
pub mod cluster;
pub mod compose;
pub mod connect;
pub mod cut;
mod engine;
mod files;
pub mod frontends;
mod generate;
pub mod git;
mod glob;
pub mod handover;
mod hash;
pub mod health;
mod helm;
mod ignore;
pub mod inspect;
pub mod install;
pub mod inventory;
mod jq;
pub mod known;
pub mod lease;
pub mod ledger;
pub mod live;
pub mod mask;
pub mod metrics;
pub mod neighbours;
mod packed;
pub mod permits;
pub mod plan;
pub mod policy;
pub mod report;
pub mod signature;
pub mod site;
pub mod source;
pub mod step;
mod trust;
pub mod wire;
pub mod wish;

pub use engine::{Config, run};
pub use site::Site;
pub use source::{Recipe, Source};

/// The machine's clock, chance and time zones, for renderings on request.
pub mod world;

/// Renders the chart at a path of this host, as `helm template` prints it; a post-renderer is a kustomization's directory.
/// What templates see of the machine and of a cluster is the `world`'s.
pub fn render_helm(
    chart: &std::path::Path,
    options: &render::helm::Options,
    post_renderer: Option<&std::path::Path>,
    world: &dyn render::helm::World,
) -> Result<render::helm::Rendered, render::helm::Error> {
    let inside = |path: &std::path::Path| {
        let clean = clean(path);
        clean.strip_prefix("/").unwrap_or(&clean).to_string_lossy().into_owned()
    };
    let host = || render::Tree::directory("/");
    let path = inside(chart);
    // Upstream names the chart by its absolute path; the tree's paths begin behind the root.
    let chart = render::helm::Chart::load(&host(), &path).map_err(|error| match error {
        render::helm::Error::Helm(text) if !path.is_empty() => {
            render::helm::Error::Helm(text.replacen(&path, &format!("/{path}"), 1))
        }
        other => other,
    })?;
    render::helm::template_then(&chart, options, world, &|objects| match post_renderer {
        None => Ok(objects),
        Some(directory) => {
            render::helm::kustomized(host(), &inside(directory), &objects).map_err(render::Error::absolute)
        }
    })
}

/// Renders the kustomization in a directory of this host, as `kustomize build DIR` prints it. Bases beside the
/// directory can be used: the tree that is read starts at the root of its repository, or at its parent directories.
pub fn render_kustomize(directory: &std::path::Path) -> Result<String, render::Error> {
    let clean = clean(directory);
    let inside = clean.strip_prefix("/").unwrap_or(&clean).to_string_lossy().into_owned();
    let options = render::kustomize::Options { world: Some(&world::System), ..Default::default() };
    let built = render::kustomize::build_options(&render::Tree::directory("/"), &inside, &options);
    Ok(render::print(&built.map_err(render::Error::absolute)?))
}

/// An absolute path without `.` and `..`.
fn clean(path: &std::path::Path) -> std::path::PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut clean = std::path::PathBuf::new();
    for part in absolute.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

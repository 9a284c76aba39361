//! `skiff fleet render helm`: the flags of `helm template` that make sense without a cluster or a repository.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use render::helm::{Options, ValuesFile, World};

use super::Reach;

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  skiff fleet render helm charts/shop --name shop -n shop -f site.yaml --set replicas=2 | kubectl diff -f -\n  skiff fleet render helm shop-1.2.3.tgz --set-json 'ports=[80,443]' --set-file tls.crt=site.crt --show-only templates/secret.yaml\n  skiff fleet render helm charts/shop --include-crds --skip-tests --post-renderer overlays/site"
)]
pub struct Helm {
    /// A chart: a directory or a .tgz
    chart: PathBuf,
    /// The release's name
    #[arg(long, default_value = "release-name")]
    name: String,
    /// The release's namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// A file of values (- is the standard input); later ones win
    #[arg(short = 'f', long = "values", value_name = "FILE", value_delimiter = ',')]
    values: Vec<String>,
    /// Values: key1=val1,key2=val2
    #[arg(long, value_name = "VALUES")]
    set: Vec<String>,
    /// Values that are strings
    #[arg(long, value_name = "VALUES")]
    set_string: Vec<String>,
    /// Values that files hold: key1=path1,key2=path2
    #[arg(long, value_name = "VALUES")]
    set_file: Vec<String>,
    /// Values as JSON: key1=jsonval1
    #[arg(long, value_name = "VALUES")]
    set_json: Vec<String>,
    /// A value of which nothing is escaped
    #[arg(long, value_name = "VALUE")]
    set_literal: Vec<String>,
    /// The version of Kubernetes that the chart sees, 1.36 if not given
    #[arg(long, value_name = "VERSION", default_value = "", hide_default_value = true)]
    kube_version: String,
    /// More API versions that the chart sees
    #[arg(short = 'a', long = "api-versions", value_name = "VERSIONS", value_delimiter = ',')]
    api_versions: Vec<String>,
    /// Print the files of `crds` directories too
    #[arg(long)]
    include_crds: bool,
    /// Set .Release.IsUpgrade instead of .Release.IsInstall
    #[arg(long)]
    is_upgrade: bool,
    /// Print no hooks
    #[arg(long)]
    no_hooks: bool,
    /// Print no hooks that are tests
    #[arg(long)]
    skip_tests: bool,
    /// Do not check values against values.schema.json
    #[arg(long)]
    skip_schema_validation: bool,
    /// Print only what these templates gave: templates/deployment.yaml
    #[arg(short, long, value_name = "TEMPLATE")]
    show_only: Vec<String>,
    /// A directory with a kustomization whose resources hold `all.yaml`: the chart's objects
    #[arg(long, value_name = "DIR")]
    post_renderer: Option<PathBuf>,
    /// Print the chart's notes behind its objects, as `helm install --dry-run` does
    #[arg(long)]
    notes: bool,
    /// Print the notes of subcharts too
    #[arg(long, requires = "notes")]
    render_subchart_notes: bool,
    /// With `server`, `lookup` asks the cluster of --kubeconfig; it finds nothing otherwise
    #[arg(long, value_name = "WHERE", default_value = "client", value_parser = ["client", "server"])]
    dry_run: String,
    #[command(flatten)]
    reach: Reach,
}

impl Helm {
    fn world(&self) -> Result<Box<dyn World>> {
        if self.dry_run != "server" {
            return Ok(Box::new(fleet::world::System));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cluster = runtime.block_on(self.reach.cluster())?;
        Ok(Box::new(fleet::world::WithCluster::new(cluster, runtime)))
    }
}

pub fn run(args: &Helm) -> Result<ExitCode> {
    let mut options = Options::new(&args.name, &args.namespace);
    for name in &args.values {
        let text = match read(name) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("Error: {error:#}");
                return Ok(ExitCode::FAILURE);
            }
        };
        options.values.push(ValuesFile { name: name.clone(), text });
    }
    for line in &args.set_file {
        // Every part that could be a file's name is read, so that the rendering itself reads nothing.
        for name in line.split(['=', ',']).skip(1) {
            if let Ok(text) = std::fs::read_to_string(name) {
                options.set_file_texts.push(ValuesFile { name: name.into(), text });
            }
        }
    }
    options.set = args.set.clone();
    options.set_string = args.set_string.clone();
    options.set_file = args.set_file.clone();
    options.set_json = args.set_json.clone();
    options.set_literal = args.set_literal.clone();
    options.kube_version = args.kube_version.clone();
    options.api_versions = args.api_versions.clone();
    options.include_crds = args.include_crds;
    options.is_upgrade = args.is_upgrade;
    options.no_hooks = args.no_hooks;
    options.skip_tests = args.skip_tests;
    options.skip_schema_validation = args.skip_schema_validation;
    options.show_only = args.show_only.clone();
    options.render_subchart_notes = args.render_subchart_notes;
    // Upstream's errors are printed as upstream prints them, without a cause chain around them.
    match fleet::render_helm(&args.chart, &options, args.post_renderer.as_deref(), &*args.world()?) {
        Ok(rendered) => {
            rendered.warnings.iter().for_each(|warning| eprintln!("{warning}"));
            print!("{}", rendered.text);
            if args.notes && !rendered.notes.is_empty() {
                println!("NOTES:\n{}", rendered.notes.trim());
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(render::helm::Error::Helm(text)) => {
            eprintln!("Error: {text}");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error).with_context(|| format!("cannot render {}", args.chart.display())),
    }
}

fn read(name: &str) -> Result<String> {
    if name.trim() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read values from the standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(name).map_err(|error| match error.kind() {
        // As upstream says it.
        std::io::ErrorKind::NotFound => anyhow::anyhow!("open {name}: no such file or directory"),
        _ => anyhow::Error::new(error).context(format!("cannot read the values file {name}")),
    })
}

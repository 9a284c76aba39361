//! `--kube-apiserver-arg`: settings of the API server under upstream's names and with its defaults. An unknown name is refused
//! with the list of the known ones.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ::api::Value;
use anyhow::{Context, Result, anyhow, bail};
use apiserver::audit;

use super::{Host, access, document, encryption, peer};

/// Files that flags name, as they were read: those that may change while the server runs.
#[derive(Default)]
pub struct Files {
    pub encryption: Option<(PathBuf, Value)>,
    pub authentication: Option<PathBuf>,
    pub authorization: Option<PathBuf>,
}

/// Every name, sorted.
const KNOWN: &[&str] = &[
    "anonymous-auth",
    "api-audiences",
    "audit-log-compress",
    "audit-log-format",
    "audit-log-maxage",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-mode",
    "audit-log-path",
    "audit-log-truncate-enabled",
    "audit-log-truncate-max-batch-size",
    "audit-log-truncate-max-event-size",
    "audit-policy-file",
    "audit-webhook-batch-max-size",
    "audit-webhook-batch-max-wait",
    "audit-webhook-config-file",
    "audit-webhook-initial-backoff",
    "audit-webhook-truncate-enabled",
    "audit-webhook-truncate-max-batch-size",
    "audit-webhook-truncate-max-event-size",
    "authentication-config",
    "authentication-token-webhook-cache-ttl",
    "authentication-token-webhook-config-file",
    "authentication-token-webhook-version",
    "authorization-config",
    "authorization-mode",
    "authorization-webhook-cache-authorized-ttl",
    "authorization-webhook-cache-unauthorized-ttl",
    "authorization-webhook-config-file",
    "authorization-webhook-version",
    "client-ca-file",
    "disable-admission-plugins",
    "enable-admission-plugins",
    "encryption-provider-config",
    "encryption-provider-config-automatic-reload",
    "event-ttl",
    "max-mutating-requests-inflight",
    "max-requests-inflight",
    "oidc-ca-file",
    "oidc-client-id",
    "oidc-groups-claim",
    "oidc-groups-prefix",
    "oidc-issuer-url",
    "oidc-required-claim",
    "oidc-signing-algs",
    "oidc-username-claim",
    "oidc-username-prefix",
    "runtime-config",
    "service-account-issuer",
    "token-auth-file",
];

/// The arguments of one server.
pub struct Given<'a>(pub &'a std::collections::BTreeMap<String, String>);

impl Given<'_> {
    pub fn text(&self, name: &str) -> Option<&str> {
        debug_assert!(KNOWN.contains(&name), "{name} is not in the list of what is known");
        self.0.get(name).map(String::as_str)
    }

    pub fn parse<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>> {
        let bad = |text: &str| anyhow!("--kube-apiserver-arg={name}={text}: this is no {what}");
        self.text(name).map(|text| text.parse().map_err(|_| bad(text))).transpose()
    }

    pub fn set<T: FromStr>(&self, name: &str, what: &str, to: &mut T) -> Result<()> {
        if let Some(value) = self.parse(name, what)? {
            *to = value;
        }
        Ok(())
    }

    pub fn switch(&self, name: &str, to: &mut bool) -> Result<()> {
        self.set(name, "true or false", to)
    }

    pub fn duration(&self, name: &str, to: &mut Duration) -> Result<()> {
        if let Some(text) = self.text(name) {
            let nanos = ::api::time::duration::parse(text).ok().and_then(|nanos| u64::try_from(nanos).ok());
            *to = nanos.map(Duration::from_nanos).with_context(|| {
                format!("--kube-apiserver-arg={name}={text}: this is no duration, such as 30s or 1h30m")
            })?;
        }
        Ok(())
    }

    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map_or_else(Vec::new, |text| text.split(',').map(String::from).collect())
    }

    /// The file that an argument names, read by `read`.
    pub fn file<T>(&self, name: &str, read: fn(&Path) -> Result<T>) -> Result<Option<T>> {
        let bad = |path: &str| format!("--kube-apiserver-arg={name}={path}");
        self.text(name).map(|path| read(path.as_ref()).with_context(|| bad(path))).transpose()
    }
}

/// Takes every argument into `settings`.
pub fn take(settings: &mut apiserver::Config, host: &Host) -> Result<Files> {
    let given = Given(&host.config.apiserver_args);
    if let Some((name, value)) = given.0.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
        bail!("--kube-apiserver-arg={name}={value}: known are {}", KNOWN.join(", "));
    }
    given.switch("anonymous-auth", &mut settings.anonymous)?;
    let mut ttl = Duration::from_secs(settings.limits.event_ttl.into());
    given.duration("event-ttl", &mut ttl)?;
    settings.limits.event_ttl =
        u32::try_from(ttl.as_secs()).context("--kube-apiserver-arg=event-ttl: too long")?;
    given.set("max-mutating-requests-inflight", "number", &mut settings.limits.mutating_in_flight)?;
    given.set("max-requests-inflight", "number", &mut settings.limits.in_flight)?;
    for part in given.list("runtime-config") {
        let (group, on) = part.split_once('=').unwrap_or((&part, "true"));
        let on = on.parse().with_context(|| format!("--kube-apiserver-arg=runtime-config={part}"))?;
        settings.runtime_config.push((group.into(), on));
    }
    if let Some(issuer) = given.text("service-account-issuer") {
        settings.issuer = issuer.into();
        settings.audiences = vec![issuer.into()];
    }
    settings.enable_admission.extend(given.list("enable-admission-plugins"));
    settings.disable_admission.extend(given.list("disable-admission-plugins"));
    let audiences = given.list("api-audiences");
    if !audiences.is_empty() {
        settings.audiences = audiences;
    }
    settings.audit = audit_log(&given)?;
    let (authentication, authorization);
    (settings.authentication, authentication) = access::authentication(&given)?;
    (settings.authorization, authorization) = access::authorization(&given)?;
    if let Some(more) = given.file("client-ca-file", authorities)? {
        let own = settings.client_ca.take().unwrap_or_default();
        settings.client_ca = Some(format!("{own}\n{more}"));
    }
    settings.token_webhook = access::token_webhook(&given)?;
    settings.static_tokens.extend(access::tokens(&given)?);
    let files = Files { encryption: sealed(&given, host)?, authentication, authorization };
    settings.encryption = files.encryption.as_ref().map(|(_, document)| document.clone());
    Ok(files)
}

/// CAs in PEM that are believed beside the cluster's own, which skiff's own clients and `skiff.yaml` need.
fn authorities(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        bail!("there is no certificate in PEM in it");
    }
    Ok(text)
}

/// The EncryptionConfiguration: skiff's own, or the one that a flag names.
fn sealed(given: &Given<'_>, host: &Host) -> Result<Option<(PathBuf, Value)>> {
    // Files are read again at SIGHUP, whatever this one says.
    given.switch("encryption-provider-config-automatic-reload", &mut true)?;
    let own = encryption::keep(&host.config.data_dir, host.config.secrets_encryption)?;
    match (own, given.text("encryption-provider-config")) {
        (Some(own), Some(path)) => bail!(
            "--kube-apiserver-arg=encryption-provider-config={path}: {} seals Secrets already; put its keys into your \
             file and move it away",
            own.display()
        ),
        (Some(own), None) => {
            let read = document(&own)?;
            Ok(Some((own, read)))
        }
        (None, Some(path)) => {
            let read = given.file("encryption-provider-config", document)?;
            Ok(read.map(|read| (path.into(), read)))
        }
        (None, None) => Ok(None),
    }
}

/// What `audit-*` says; nothing is noted without a policy.
fn audit_log(given: &Given<'_>) -> Result<Option<audit::Settings>> {
    let mut log = given.text("audit-log-path").map(|path| audit::Log::new(path.into()));
    let mut unused = audit::Log::new(PathBuf::new());
    let to = log.as_mut().unwrap_or(&mut unused);
    given.set("audit-log-maxage", "number of days", &mut to.max_age)?;
    given.set("audit-log-maxbackup", "number", &mut to.max_backups)?;
    given.set("audit-log-maxsize", "number of megabytes", &mut to.max_size)?;
    given.switch("audit-log-compress", &mut to.compress)?;
    to.truncate = truncate(given, "audit-log-truncate")?;
    match given.text("audit-log-mode") {
        None | Some("blocking") => {}
        Some("batch") => to.blocking = false,
        Some(other) => bail!("--kube-apiserver-arg=audit-log-mode={other}: blocking and batch are known"),
    }
    if let Some(other) = given.text("audit-log-format").filter(|format| *format != "json") {
        bail!("--kube-apiserver-arg=audit-log-format={other}: json is known");
    }
    let mut webhook = given.file("audit-webhook-config-file", peer::read)?.map(audit::Webhook::new);
    if let Some(to) = &mut webhook {
        given.set("audit-webhook-batch-max-size", "number", &mut to.batch)?;
        given.duration("audit-webhook-batch-max-wait", &mut to.wait)?;
        given.duration("audit-webhook-initial-backoff", &mut to.backoff)?;
        to.truncate = truncate(given, "audit-webhook-truncate")?;
    }
    match given.file("audit-policy-file", document)? {
        Some(policy) => Ok(Some(audit::Settings { policy, log, webhook })),
        None if log.is_some() || webhook.is_some() => {
            tracing::warn!("nothing is noted in the audit log: give a policy with audit-policy-file");
            Ok(None)
        }
        None => Ok(None),
    }
}

/// `audit-*-truncate-*`; a batch is not smaller than an event.
fn truncate(given: &Given<'_>, prefix: &str) -> Result<Option<audit::Truncate>> {
    let (mut on, mut sizes) = (false, audit::Truncate::default());
    given.switch(&format!("{prefix}-enabled"), &mut on)?;
    given.set(&format!("{prefix}-max-event-size"), "number of bytes", &mut sizes.event)?;
    given.set(&format!("{prefix}-max-batch-size"), "number of bytes", &mut sizes.batch)?;
    if on && (sizes.event == 0 || sizes.batch < sizes.event) {
        bail!(
            "--kube-apiserver-arg={prefix}-max-batch-size={}: it is at least the size of an event ({}), which is above 0",
            sizes.batch,
            sizes.event
        );
    }
    Ok(on.then_some(sizes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_flags_are_taken_with_upstreams_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy.yaml");
        std::fs::write(&policy, "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: Metadata}]\n")
            .unwrap();
        let take = |args: &[(&str, &str)]| {
            let args = args.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            audit_log(&Given(&args))
        };
        let policy = policy.to_str().unwrap();
        assert!(take(&[("audit-log-path", "-")]).unwrap().is_none());
        let settings =
            take(&[("audit-policy-file", policy), ("audit-log-path", "/x"), ("audit-log-maxsize", "7")]);
        let log = settings.unwrap().unwrap().log.unwrap();
        assert_eq!((log.max_size, log.max_age, log.max_backups, log.blocking), (7, 366, 100, true));
        let cut = take(&[
            ("audit-policy-file", policy),
            ("audit-log-path", "/x"),
            ("audit-log-truncate-enabled", "true"),
            ("audit-log-truncate-max-event-size", "500"),
        ]);
        let cut = cut.unwrap().unwrap().log.unwrap().truncate;
        assert_eq!(cut, Some(audit::Truncate { event: 500, batch: 10 << 20 }));
        let few = [("audit-log-truncate-enabled", "true"), ("audit-log-truncate-max-batch-size", "1")];
        assert!(take(&few).is_err());
        let error = format!("{:#}", take(&[("audit-log-format", "legacy")]).unwrap_err());
        assert!(error.contains("json is known"), "{error}");
        let error = format!("{:#}", take(&[("audit-policy-file", "/nowhere")]).unwrap_err());
        assert!(error.contains("audit-policy-file=/nowhere"), "{error}");
    }
}

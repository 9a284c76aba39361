//! The server as one value: what it holds, how it starts, and the ways into it.

use std::future::Future;
use std::sync::Arc;

use api::{Kinds, Revision};
use arc_swap::ArcSwap;
use base::{Clock, Tasks};
use client::{Cache, Caches};
use store::Store;
use tokio::net::TcpListener;

use crate::admit::{Admission, Services};
use crate::aggregate::Aggregated;
use crate::audit::Audit;
use crate::authn::{Answers, Authentication, Tokens, Users};
use crate::authz::{Authorization, Authorizers, Rbac};
use crate::encryption::{Encrypted, Rules};
use crate::engine::Target;
use crate::fill::{self, Filler};
use crate::flow::Flow;
use crate::http::{Service, listen};
use crate::metrics::Metrics;
use crate::remote::Remotes;
use crate::status::{Result as Answer, Status};
use crate::{Config, Identity, NodeDialer};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot load {what} from the store")]
    Load { what: String, source: store::Error },
    #[error("cannot make the objects that every cluster has: {0}")]
    Bootstrap(String),
    #[error("the configuration is wrong: {0}")]
    Config(String),
}

/// A running API server; cheap to clone, stopped with its tasks.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

/// What every request shares.
pub(crate) struct Inner {
    pub config: Config,
    pub store: Arc<dyn Store>,
    /// The store, if it seals what it keeps.
    pub encrypted: Option<Arc<Encrypted>>,
    pub dialer: Arc<dyn NodeDialer>,
    pub clock: Clock,
    pub tasks: Tasks,
    /// What is served: built-in kinds and those of CRDs. Swapped whole.
    pub kinds: ArcSwap<Kinds>,
    pub caches: Caches,
    pub filler: Filler,
    pub authorizers: ArcSwap<Authorizers>,
    pub rbac: Arc<Rbac>,
    pub services: Arc<Services>,
    pub admission: Arc<Admission>,
    pub remotes: Remotes,
    pub aggregated: Arc<Aggregated>,
    pub verifier: pki::Verifier,
    pub tokens: Tokens,
    pub audit: Option<Arc<Audit>>,
    /// Who is believed beside the cluster's own; swapped whole.
    pub authentication: ArcSwap<Authentication>,
    pub users: Users,
    pub reviewed: Answers,
    pub anonymous: Arc<Identity>,
    pub flow: Arc<Flow>,
    pub metrics: Metrics,
}

/// How long a read waits for its cache before it gives up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
/// A write that its cache does not show for so long may be waiting for one that was replaced.
const REPLACED: std::time::Duration = std::time::Duration::from_millis(250);

impl Server {
    /// Fills the caches from `store`, makes what every cluster has (namespaces, roles, the `kubernetes` Service), and is
    /// ready when it returns.
    pub async fn start(
        config: Config,
        store: Arc<dyn Store>,
        dialer: Arc<dyn NodeDialer>,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Server, Error> {
        let tasks = Tasks::under(tasks.token());
        let encrypted = match &config.encryption {
            Some(document) => Some(Encrypted::new(store.clone(), rules(document).await?, &tasks)),
            None => None,
        };
        let store: Arc<dyn Store> = match &encrypted {
            Some(encrypted) => encrypted.clone(),
            None => store,
        };
        let (audit, audit_queue) = match &config.audit {
            Some(settings) => {
                let started = Audit::start(settings, &clock, &tasks);
                let (audit, queue) = started.map_err(|error| Error::Config(error.to_string()))?;
                (Some(audit), queue)
            }
            None => (None, None),
        };
        let kinds =
            api::kinds::builtin_serving(|group, version, default| config.serves(group, version, default));
        let stored: Vec<_> =
            kinds.iter().filter(|kind| kind.is_stored() && kind.stored_as.is_none()).cloned().collect();
        let caches = Caches::new();
        let rbac = Arc::new(Rbac::default());
        let services = Arc::new(Services::new(&config));
        let limits = &config.limits;
        let seats = limits.in_flight + limits.mutating_in_flight;
        let flow = Arc::new(Flow::new(seats, limits.request_timeout / 4));
        let admission = Arc::new(Admission::new(&config).map_err(Error::Config)?);
        let aggregated = Arc::new(Aggregated::default());
        let observer: fill::Observer = {
            let (rbac, services, flow) = (rbac.clone(), services.clone(), flow.clone());
            let (admission, aggregated) = (admission.clone(), aggregated.clone());
            Arc::new(move |resource, update| {
                rbac.observe(resource, update);
                flow.observe(resource, update);
                admission.observe(resource, update);
                aggregated.observe(resource, update);
                if resource.group.is_empty() && resource.plural == "services" {
                    services.observe(update);
                }
            })
        };
        let filler = fill::start(store.clone(), &stored, caches.clone(), observer, &tasks).await?;
        let inner = Arc::new(Inner {
            verifier: config.service_account_key.verifier(),
            tokens: Tokens::default(),
            audit,
            authentication: ArcSwap::from_pointee(authentication(config.authentication.as_ref(), &config)?),
            users: Users::default(),
            reviewed: Answers::default(),
            anonymous: Arc::new(Identity::anonymous()),
            authorizers: ArcSwap::default(),
            rbac,
            services,
            admission,
            remotes: Remotes::default(),
            aggregated,
            config,
            store,
            encrypted,
            dialer,
            clock,
            tasks,
            kinds: ArcSwap::from_pointee(kinds.clone()),
            caches,
            filler,
            flow,
            metrics: Metrics::default(),
        });
        if let Some(settings) = &inner.config.authorization {
            inner.authorizers.store(Arc::new(authorizers(settings, &inner)?));
        }
        if let Some(queue) = audit_queue {
            inner.tasks.spawn("audit-webhook", queue.run(inner.clone()));
        }
        crate::bootstrap::run(&inner).await?;
        crate::custom::start(&inner, kinds).await;
        crate::aggregate::start(&inner);
        crate::flow::start(&inner);
        Ok(Server { inner })
    }

    /// The server for a role in this process. Requests of it are authorized and admitted like anyone's.
    pub fn service(&self, identity: Identity) -> Service {
        Service::new(self.inner.clone(), Arc::new(identity))
    }

    /// A client over [`Server::service`].
    pub fn local(&self, identity: Identity) -> kube::Client {
        kube::Client::new(self.service(identity), "default")
    }

    /// The server's own caches, which roles in this process share.
    pub fn caches(&self) -> Caches {
        self.inner.caches.clone()
    }

    /// Seals and opens by another EncryptionConfiguration from now on, and seals anew what is stored; gives how many objects
    /// that were. Changes nothing where the configuration is no good, where a stored object needs a key that is not in it, or
    /// where the server was started without one.
    pub async fn reload_encryption(&self, document: &api::Value) -> Result<usize, Error> {
        let none = || Error::Config("the server was started without an EncryptionConfiguration".into());
        let encrypted = self.inner.encrypted.as_ref().ok_or_else(none)?;
        let failed = |source| Error::Load { what: "what is sealed".into(), source };
        encrypted.replace(rules(document).await?).await.map_err(failed)?;
        encrypted.rewrite().await.map_err(failed)
    }

    /// Has requests judged by another AuthorizationConfiguration from now on. Changes nothing where it is no good.
    pub fn reload_authorization(&self, settings: &Authorization) -> Result<(), Error> {
        self.inner.authorizers.store(Arc::new(authorizers(settings, &self.inner)?));
        Ok(())
    }

    /// Believes whom another AuthenticationConfiguration names from now on. Changes nothing where it is no good.
    pub fn reload_authentication(&self, document: &api::Value) -> Result<(), Error> {
        let new = authentication(Some(document), &self.inner.config)?;
        self.inner.authentication.store(Arc::new(new));
        Ok(())
    }

    /// What is served now.
    pub fn kinds(&self) -> Kinds {
        Kinds::clone(&self.inner.kinds.load())
    }

    /// Serves HTTP/1.1 and HTTP/2 on `listener` until the server's tasks are stopped. Client certificates that `tls` let
    /// through become identities.
    pub fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
    ) -> impl Future<Output = ()> + use<> {
        listen::serve(self.inner.clone(), listener, tls)
    }

    /// Ends connections, watches and the server's own tasks. The store is its owner's to close.
    pub async fn stop(&self) {
        self.inner.tasks.stop().await;
        crate::bootstrap::endpoints::withdraw(&self.inner).await;
    }
}

fn authorizers(settings: &Authorization, inner: &Arc<Inner>) -> Result<Authorizers, Error> {
    let wrong = |why| Error::Config(format!("the AuthorizationConfiguration: {why}"));
    Authorizers::parse(settings, &Arc::downgrade(inner)).map_err(wrong)
}

fn authentication(document: Option<&api::Value>, config: &Config) -> Result<Authentication, Error> {
    let wrong = |why| Error::Config(format!("the AuthenticationConfiguration: {why}"));
    Authentication::parse(document, config).map_err(wrong)
}

/// The rules, with the keys that KMS plugins have now.
async fn rules(document: &api::Value) -> Result<Rules, Error> {
    let wrong = |error| Error::Config(format!("the EncryptionConfiguration: {error}"));
    let rules = Rules::parse(document).map_err(wrong)?;
    rules.refresh().await.map_err(wrong)?;
    Ok(rules)
}

impl Inner {
    /// The trusted time as objects carry it.
    pub fn now(&self) -> String {
        api::time::format(self.clock.now().as_second())
    }

    /// Returns once `cache` holds every write that was answered before.
    pub async fn catch_up(&self, cache: &Cache) -> Answer<()> {
        let current =
            self.store.current().await.map_err(|error| Status::store(cache.resource(), "", error))?;
        if cache.revision() >= current {
            return Ok(());
        }
        self.wait_for(cache, current).await
    }

    /// Returns once `cache` holds `revision`; 504 if that does not come soon.
    pub async fn wait_for(&self, cache: &Cache, revision: Revision) -> Answer<()> {
        if cache.revision() >= revision {
            return Ok(());
        }
        tokio::time::timeout(PATIENCE, cache.wait_for(revision))
            .await
            .map_err(|_| Status::too_large_version(revision, cache.revision()))
    }

    /// Returns once the cache of a stored kind holds what was written to it. A definition that was changed meanwhile has another
    /// cache, and nothing fills the one that the request began with.
    pub async fn wait_for_written(
        &self,
        resource: &api::Resource,
        begun: &Cache,
        revision: Revision,
    ) -> Answer<()> {
        if tokio::time::timeout(REPLACED, self.wait_for(begun, revision)).await.is_ok_and(|done| done.is_ok())
        {
            return Ok(());
        }
        match self.caches.get(resource) {
            Some(cache) => self.wait_for(&cache, revision).await,
            None => Ok(()),
        }
    }

    /// What a group, version and plural lead to.
    pub fn target(&self, group: &str, version: &str, plural: &str) -> Option<Target> {
        let kinds = self.kinds.load();
        let (kind, _) = kinds.served(group, version, plural)?;
        let place = kind.versions.iter().position(|row| row.name == version)?;
        let storage = kinds.storage_of(kind).clone();
        let cache = self.caches.get(&storage.resource);
        Some(Target { kind: kind.clone(), version: place, storage, cache })
    }

    /// How long an object of this kind lives by itself.
    pub fn ttl(&self, target: &Target) -> Option<u32> {
        let events = target.storage.resource.group.is_empty() && target.storage.resource.plural == "events";
        events.then_some(self.config.limits.event_ttl)
    }

    /// The newest object under a key, as the server itself needs one.
    pub fn peek(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<api::Object>> {
        self.caches.named(group, plural)?.get(namespace, name)
    }
}

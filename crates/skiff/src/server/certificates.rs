//! What is renewed while the server runs: the certificate that the API shows, and the administrator's in the kubeconfig.
//! Both change under whoever uses them, early (at two thirds of their life) and without a restart (D12).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base::paths::Paths;

use super::kubeconfig;
use crate::config::Server;

/// How often they are looked at. A look that finds them young enough writes nothing.
const EVERY: Duration = Duration::from_secs(12 * 3600);

/// All that it takes to issue them again.
pub struct Renewal {
    pub config: Server,
    pub paths: Paths,
    pub pki: Arc<pki::Pki>,
    /// Of the API's own.
    pub request: pki::Request,
}

impl Renewal {
    /// The API's certificate, from the disk or new.
    pub fn serving(&self) -> Result<Arc<pki::Serving>> {
        Ok(pki::Serving::new(&self.kept()?)?)
    }

    fn kept(&self) -> Result<pki::Issued> {
        Ok(self.pki.server.keep(&self.paths.tls(), "serving", &self.request, &self.pki.clock)?)
    }

    /// Runs for as long as it is polled.
    pub async fn run(self, serving: Arc<pki::Serving>) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.look(&serving) {
                tracing::error!(error = format!("{error:#}"), "a certificate could not be renewed");
            }
        }
    }

    fn look(&self, serving: &pki::Serving) -> Result<()> {
        serving.replace(&self.kept()?)?;
        kubeconfig::write(&self.config, &self.paths, &self.pki)
    }
}

#[cfg(test)]
mod tests {
    use base::Clock;

    use super::*;

    /// Days later the API shows another certificate to new connections, and the kubeconfig holds another; a client that trusts
    /// the CA takes both.
    #[tokio::test(start_paused = true)]
    async fn certificates_are_renewed_while_the_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed("2026-01-01T00:00:00Z".parse().unwrap());
        let paths = Paths::new(folder.path(), folder.path());
        let pki = Arc::new(pki::Pki::open(&paths.tls(), &clock).unwrap());
        let file = folder.path().join("kubeconfig");
        let empty = tempfile::NamedTempFile::new().unwrap();
        let words =
            ["server", "--node-name=n", "-o", file.to_str().unwrap(), "-c", empty.path().to_str().unwrap()];
        let config = crate::config::resolve(&crate::config::command().get_matches_from(words)).unwrap();
        kubeconfig::write(&config, &paths, &pki).unwrap();
        let request = pki::Request {
            common_name: "skiff".into(),
            organization: None,
            names: vec!["localhost".into()],
            purpose: pki::Purpose::Serve,
        };
        let renewal = Renewal { config, paths, pki: pki.clone(), request };
        let serving = renewal.serving().unwrap();
        let running = tokio::spawn(renewal.run(serving.clone()));
        let shown = async || {
            let acceptor = tokio_rustls::TlsAcceptor::from(pki.server_config(serving.clone()).unwrap());
            let client = pki::client_config(&pki.server.pem(), None, &clock).unwrap();
            let (near, far) = tokio::io::duplex(1 << 16);
            let name = "localhost".try_into().unwrap();
            let connect = tokio_rustls::TlsConnector::from(client).connect(name, near);
            let (client, server) = tokio::join!(connect, acceptor.accept(far));
            server.unwrap();
            client.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
        };
        let read = || std::fs::read_to_string(&file).unwrap();
        let (first, written) = (shown().await, read());

        clock.advance(Duration::from_secs(200 * 86_400));
        tokio::time::sleep(2 * EVERY).await;
        assert_eq!(shown().await, first, "it is renewed before two thirds of its life are over");
        assert_eq!(read(), written);

        clock.advance(Duration::from_secs(60 * 86_400));
        tokio::time::sleep(2 * EVERY).await;
        assert_ne!(shown().await, first, "it is not renewed");
        assert_ne!(read(), written);
        running.abort();
    }
}

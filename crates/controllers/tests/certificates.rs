//! CertificateSigningRequests against the real API server: what is signed logs in, what is wrong fails, what is old goes.

#![allow(clippy::unwrap_used)] // helpers of a test fail as the test does

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::Cache;
use http::Method;
use serde_json::{Value, json};
use testkit_cluster::{Cluster, Identity};

const PATH: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

async fn world() -> (Cluster, Arc<Cache>) {
    let cluster = Cluster::start().await;
    let server = cluster.server.clone();
    let clients: controllers::Clients = Arc::new(move |user: &str| {
        let name = user.strip_prefix("system:serviceaccount:kube-system:").unwrap();
        server.local(Identity::service_account("kube-system", name))
    });
    let signers =
        controllers::Signers { client: cluster.pki.client.clone(), server: cluster.pki.server.clone() };
    let config = controllers::Config { signers: Some(signers), ..Default::default() };
    let caches = cluster.server.caches();
    let _handles = controllers::run(&clients, &caches, &cluster.clock, config, &cluster.tasks);
    let cache = caches.named("certificates.k8s.io", "certificatesigningrequests").unwrap();
    (cluster, cache)
}

fn pem(organization: &str, name: &str, names: &[&str], pair: &rcgen::KeyPair) -> String {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.serialize_request(pair).unwrap().pem().unwrap()
}

fn request(name: &str, signer: &str, pem: &str, usages: &[&str]) -> Value {
    json!({"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1", "metadata": {"name": name},
        "spec": {"signerName": signer, "request": STANDARD.encode(pem), "usages": usages}})
}

/// Waits, by the cache's events, until the request is as wanted.
async fn until(cache: &Arc<Cache>, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let (_, mut live) = cache.watch();
    let waiting = async {
        loop {
            let found = cache.get("", name).map(|object| client::decode::<Value>(&object).unwrap());
            if let Some(found) = found.filter(&wanted) {
                return found;
            }
            live.next().await.unwrap();
        }
    };
    // Only so that a failing test ends; nothing waits for this time to pass.
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.unwrap()
}

fn condition(request: &Value, kind: &str) -> Value {
    let all = request["status"]["conditions"].as_array();
    all.into_iter().flatten().find(|own| own["type"] == kind).cloned().unwrap_or_default()
}

async fn approve(cluster: &Cluster, name: &str) {
    let mut own = cluster.request(Method::GET, &format!("{PATH}/{name}"), "").await.json();
    own["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "Test"}]);
    let answer = cluster.request(Method::PUT, &format!("{PATH}/{name}/approval"), own.to_string()).await;
    assert_eq!(answer.code, 200, "{}", answer.json());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_client_logs_in_with_its_certificate() {
    let (cluster, cache) = world().await;
    let address = cluster.listen_at("127.0.0.1:0").await;
    let pair = rcgen::KeyPair::generate().unwrap();
    let asked = pem("dev", "jane", &[], &pair);
    let body = request("jane", "kubernetes.io/kube-apiserver-client", &asked, &["client auth"]);
    assert_eq!(cluster.request(Method::POST, PATH, body.to_string()).await.code, 201);
    approve(&cluster, "jane").await;
    let signed = until(&cache, "jane", |own| !own["status"]["certificate"].is_null()).await;
    let certificate = STANDARD.decode(signed["status"]["certificate"].as_str().unwrap()).unwrap();
    let issued =
        pki::Issued { certificate: String::from_utf8(certificate).unwrap(), key: pair.serialize_pem() };

    let kubeconfig = pki::kubeconfig(&format!("https://{address}"), &cluster.pki.server.pem(), &issued);
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let review = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let asked = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())
        .unwrap();
    let who: Value = client.request(asked).await.unwrap();
    assert_eq!(who["status"]["userInfo"]["username"], "jane");
    assert_eq!(who["status"]["userInfo"]["groups"], json!(["dev", "system:authenticated"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_may_is_approved_by_itself() {
    let (cluster, cache) = world().await;
    let binding = json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": "renew"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(cluster.request(Method::POST, bindings, binding.to_string()).await.code, 201);
    let pair = rcgen::KeyPair::generate().unwrap();
    let usages = ["client auth", "digital signature"];
    let signer = "kubernetes.io/kube-apiserver-client-kubelet";
    let send = async |name: &str, asker: &str, node: &str| {
        let asked = pem("system:nodes", &format!("system:node:{node}"), &[], &pair);
        let body = request(name, signer, &asked, &usages).to_string();
        let json = [("content-type", "application/json")];
        cluster.request_as(Identity::node(asker), Method::POST, PATH, body, &json).await
    };
    assert_eq!(send("own", "n1", "n1").await.code, 201);
    let own = until(&cache, "own", |own| !own["status"]["certificate"].is_null()).await;
    assert_eq!(condition(&own, "Approved")["reason"], "AutoApproved");

    let other = send("other", "n1", "n2").await;
    assert_eq!(other.code, 403);
    let message = other.json()["message"].as_str().unwrap().to_string();
    assert!(message.ends_with("can only create a node CSR with CN=system:node:n1"), "{message}");

    // Without the right nothing is approved: what is asked after it is, and this one is not.
    let path = format!("{bindings}/renew");
    assert_eq!(cluster.request(Method::DELETE, &path, "").await.code, 200);
    assert_eq!(send("later", "n1", "n1").await.code, 201);
    approve(&cluster, "later").await;
    let later = until(&cache, "later", |own| !own["status"]["certificate"].is_null()).await;
    assert_eq!(condition(&later, "Approved")["reason"], "Test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_signer_does_not_sign_fails_for_good() {
    let (cluster, cache) = world().await;
    let pair = rcgen::KeyPair::generate().unwrap();
    for (name, signer, organization, usages, expected) in [
        (
            "use",
            "kubernetes.io/kube-apiserver-client",
            "dev",
            ["server auth"],
            "invalid usage for client certificate: server auth",
        ),
        (
            "organization",
            "kubernetes.io/kubelet-serving",
            "dev",
            ["server auth"],
            "subject organization is not system:nodes",
        ),
        (
            "names",
            "kubernetes.io/kubelet-serving",
            "system:nodes",
            ["server auth"],
            "DNS or IP subjectAltName is required",
        ),
        (
            "uses",
            "kubernetes.io/kube-apiserver-client-kubelet",
            "system:nodes",
            ["client auth"],
            "usages did not match",
        ),
    ] {
        let asked = pem(organization, "system:node:n1", &[], &pair);
        let body = request(name, signer, &asked, &usages).to_string();
        let answer = cluster.request(Method::POST, PATH, body).await;
        assert_eq!(answer.code, 201, "{}", answer.json());
        approve(&cluster, name).await;
        let failed = until(&cache, name, |own| !condition(own, "Failed").is_null()).await;
        let message = condition(&failed, "Failed")["message"].as_str().unwrap().to_string();
        assert!(message.starts_with(expected), "{name}: {message}");
        assert!(failed["status"]["certificate"].is_null());
    }
    let asked = pem("system:nodes", "system:node:n1", &["n1", "10.0.0.7"], &pair);
    let usages = ["server auth", "digital signature"];
    let body = request("serving", "kubernetes.io/kubelet-serving", &asked, &usages);
    assert_eq!(cluster.request(Method::POST, PATH, body.to_string()).await.code, 201);
    approve(&cluster, "serving").await;
    until(&cache, "serving", |own| !own["status"]["certificate"].is_null()).await;
}

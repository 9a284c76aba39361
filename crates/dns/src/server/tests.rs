//! The server on loopback, asked by packets; and the cluster that the crate's tests are about.

use std::net::{Ipv4Addr, UdpSocket as StdUdp};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use client::{About, Cache, Limits};
use hickory_proto::op::{Edns, MessageType, OpCode};
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

use super::*;

pub(crate) fn config() -> Config {
    Config {
        domain: "cluster.local".into(),
        listen: Vec::new(),
        address: [10, 43, 0, 10].into(),
        own_ranges: vec!["10.42.0.0/16".parse().unwrap(), "10.43.0.0/16".parse().unwrap()],
        resolv_conf: "/nonexistent".into(),
    }
}

fn about(group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) -> About {
    About {
        resource: api::Resource::new(group, plural),
        kind: kind.into(),
        version: version.into(),
        namespaced,
        verbs: Vec::new(),
        fields: Vec::new(),
        paths: Vec::new(),
        custom: false,
    }
}

/// Caches of Services, EndpointSlices and the namespace `default`, from `{kind, name, labels, body}`.
pub(crate) fn caches(objects: &[Value]) -> Caches {
    let caches = Caches::new();
    for about in [
        about("", "v1", "services", "Service", true),
        about("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
        about("", "v1", "namespaces", "Namespace", false),
    ] {
        let mut found = Vec::new();
        for object in objects.iter().filter(|object| object["kind"] == about.kind.as_str()) {
            let mut body = object["body"].clone();
            body["metadata"] = json!({
                "name": object["name"], "namespace": "default", "resourceVersion": "1",
                "labels": object.get("labels").cloned().unwrap_or(json!({})),
            });
            found.push(client::wire::object(&about, &body.to_string()).unwrap());
        }
        if about.kind == "Namespace" {
            let text = r#"{"metadata":{"name":"default","resourceVersion":"1"}}"#;
            found.push(client::wire::object(&about, text).unwrap());
        }
        let cache = Cache::new(about, Limits::default());
        cache.fill(found, api::Revision(1));
        caches.insert(cache);
    }
    caches
}

pub(crate) fn catalog(objects: &[Value]) -> Catalog {
    let caches = caches(objects);
    let get = |group, plural| caches.named(group, plural).unwrap();
    let catalog = Catalog::new(
        get("", "services"),
        get("discovery.k8s.io", "endpointslices"),
        caches.named("", "namespaces"),
    );
    let _the_caches_stand_still = catalog.watch();
    catalog
}

fn service(name: &str, spec: Value) -> Value {
    json!({"kind": "Service", "name": name, "body": {"spec": spec}})
}

fn many(count: u8) -> Value {
    let endpoints: Vec<Value> =
        (1..=count).map(|last| json!({"addresses": [format!("10.42.1.{last}")]})).collect();
    json!({"kind": "EndpointSlice", "name": "many-1", "labels": {"kubernetes.io/service-name": "many"},
           "body": {"addressType": "IPv4", "endpoints": endpoints}})
}

/// A running server and its address.
fn start(folder: &Path, resolvers: &str, tasks: &Tasks) -> (SocketAddr, Caches) {
    let resolv_conf = folder.join("resolv.conf");
    std::fs::write(&resolv_conf, resolvers).unwrap();
    // Both protocols need the same port: take one that was free for UDP a moment ago, on an address where nobody else's
    // connections begin.
    static STARTED: AtomicU8 = AtomicU8::new(0);
    let own = Ipv4Addr::new(127, 53, std::process::id() as u8, STARTED.fetch_add(1, Ordering::Relaxed));
    let address = StdUdp::bind((own, 0)).unwrap().local_addr().unwrap();
    let caches = caches(&[
        service("web", json!({"clusterIP": "10.43.0.7", "ports": [{"port": 80}]})),
        service("many", json!({"clusterIP": "None"})),
        service("away", json!({"type": "ExternalName", "externalName": "web.default.svc.cluster.local"})),
        service("round", json!({"type": "ExternalName", "externalName": "round.default.svc.cluster.local"})),
        many(100),
    ]);
    run(Config { listen: vec![address], resolv_conf, ..config() }, &caches, tasks).unwrap();
    (address, caches)
}

fn question(name: &str, payload: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(hickory_proto::op::Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

async fn udp(server: SocketAddr, packet: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(packet, server).await.unwrap();
    let mut buffer = [0; 4096];
    let (length, _) =
        tokio::time::timeout(Duration::from_secs(10), socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn tcp(server: SocketAddr, packets: &[Vec<u8>]) -> Vec<Message> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut answers = Vec::new();
    for packet in packets {
        stream.write_all(&(packet.len() as u16).to_be_bytes()).await.unwrap();
        stream.write_all(packet).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.unwrap();
        answers.push(Message::from_vec(&answer).unwrap());
    }
    answers
}

#[tokio::test]
async fn questions_are_answered_over_both_protocols() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (server, _caches) = start(folder.path(), "", &tasks);
    let web = question("web.default.svc.cluster.local.", None);
    let answer = udp(server, &web).await;
    assert_eq!((answer.metadata.id, answer.metadata.response_code), (7, ResponseCode::NoError));
    assert!(
        answer.metadata.authoritative
            && answer.metadata.recursion_available
            && answer.metadata.recursion_desired
    );
    assert_eq!(answer.answers[0].data.to_string(), "10.43.0.7");
    assert!(answer.edns.is_none());
    // An absence carries the SOA.
    let missing =
        udp(server, &question("web.default.svc.cluster.local.default.svc.cluster.local.", Some(4096))).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(missing.authorities[0].record_type(), RecordType::SOA);
    assert!(missing.edns.is_some());
    // A hundred addresses: cut over UDP, whole over TCP.
    let many = question("many.default.svc.cluster.local.", None);
    let cut = udp(server, &many).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let whole = tcp(server, &[many, web]).await;
    assert_eq!((whole[0].answers.len(), whole[1].answers.len()), (100, 1));
    // An alias within the cluster is followed, but not for ever.
    let alias = udp(server, &question("away.default.svc.cluster.local.", None)).await;
    let kinds: Vec<_> = alias.answers.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [RecordType::CNAME, RecordType::A]);
    let round = udp(server, &question("round.default.svc.cluster.local.", None)).await;
    assert_eq!(round.metadata.response_code, ResponseCode::ServFail);
    tasks.stop().await;
}

#[tokio::test]
async fn a_new_service_has_its_name_and_address_at_once() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (server, caches) = start(folder.path(), "", &tasks);
    let code = async |name: &str| udp(server, &question(name, None)).await.metadata.response_code;
    assert_eq!(code("new.default.svc.cluster.local.").await, ResponseCode::NXDomain);
    let cache = caches.named("", "services").unwrap();
    let text = r#"{"metadata":{"name":"new","namespace":"default","resourceVersion":"2"},"spec":{"clusterIP":"10.43.0.9","ports":[{"port":1}]}}"#;
    let object = client::wire::object(cache.about(), text).unwrap();
    cache.apply([client::Update::Put(object)]);
    assert_eq!(code("new.default.svc.cluster.local.").await, ResponseCode::NoError);
    tasks.stop().await;
}

#[tokio::test]
async fn garbage_is_survived() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (server, _caches) = start(folder.path(), "", &tasks);
    let web = question("web.default.svc.cluster.local.", Some(1232));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for cut in 0..web.len() {
        socket.send_to(&web[..cut], server).await.unwrap();
        let mut wrong = web.clone();
        wrong[cut] ^= 0xff;
        socket.send_to(&wrong, server).await.unwrap();
    }
    let mut twice = web.clone();
    twice[5] = 2;
    assert_eq!(udp(server, &twice).await.metadata.response_code, ResponseCode::FormErr);
    let mut update = web.clone();
    update[2] = 5 << 3;
    assert_eq!(udp(server, &update).await.metadata.response_code, ResponseCode::NotImp);
    let mut chaos = question("web.default.svc.cluster.local.", None);
    let last = chaos.len() - 1;
    chaos[last] = 3;
    assert_eq!(udp(server, &chaos).await.metadata.response_code, ResponseCode::Refused);
    assert_eq!(udp(server, &web).await.metadata.response_code, ResponseCode::NoError);
    tasks.stop().await;
}

#[tokio::test]
async fn without_resolvers_other_names_fail_at_once() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let (server, _caches) = start(folder.path(), "nameserver 10.43.0.10\n", &tasks);
    let answer = udp(server, &question("example.org.", None)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    tasks.stop().await;
}

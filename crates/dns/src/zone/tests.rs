//! Tests of the zone: question and answer as data.

use serde_json::{Value, json};

use super::*;
use crate::server::tests::{catalog, config};

fn zone() -> Zone {
    Zone::new(&config()).unwrap()
}

/// A cluster with one of each.
fn objects() -> Vec<Value> {
    let service = |name: &str, spec: Value| json!({"kind": "Service", "name": name, "body": {"spec": spec}});
    let slice = |name: &str, service: &str, endpoints: Value, ports: Value| {
        json!({"kind": "EndpointSlice", "name": name, "labels": {"kubernetes.io/service-name": service},
               "body": {"addressType": "IPv4", "endpoints": endpoints, "ports": ports}})
    };
    let web = json!([{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 5353, "protocol": "UDP"}]);
    vec![
        service(
            "web",
            json!({
                "type": "ClusterIP", "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7", "fd00::7"],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}],
            }),
        ),
        slice(
            "web-1",
            "web",
            json!([{"addresses": ["10.42.0.3"], "conditions": {"ready": true}}]),
            web.clone(),
        ),
        service("db", json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]})),
        slice(
            "db-1",
            "db",
            json!([
                {"addresses": ["10.42.0.4"], "hostname": "db-0", "conditions": {"ready": true}},
                {"addresses": ["10.42.0.5"]},
                {"addresses": ["10.42.0.6"], "hostname": "db-2", "conditions": {"ready": false}},
            ]),
            json!([{"name": "sql", "port": 5432, "protocol": "TCP"}]),
        ),
        service("portless", json!({"clusterIP": "None"})),
        slice(
            "portless-1",
            "portless",
            json!([{"addresses": ["10.42.0.8"], "hostname": "only"}]),
            json!(null),
        ),
        service("empty", json!({"clusterIP": "None"})),
        service("away", json!({"type": "ExternalName", "externalName": "db.example.org"})),
    ]
}

/// Answers as zone files have them, in order, the class left out; absences by name.
fn asked(name: &str, kind: &str) -> String {
    let answer = zone().answer(&catalog(&objects()), &Name::from_ascii(name).unwrap(), kind.parse().unwrap());
    let line =
        |record: &Record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data);
    match answer {
        Answer::Records { answers, additionals } => {
            let plus = additionals.iter().map(|record| format!("+ {}", line(record)));
            answers.iter().map(line).chain(plus).collect::<Vec<_>>().join("\n")
        }
        other => format!("{other:?}").split_whitespace().next().unwrap().to_owned(),
    }
}

#[track_caller]
fn check(name: &str, kind: &str, expected: &[&str]) {
    assert_eq!(asked(name, kind), expected.join("\n"), "{kind} {name}");
}

#[test]
fn services() {
    let web = "web.default.svc.cluster.local.";
    check(web, "A", &["web.default.svc.cluster.local. 5 A 10.43.0.7"]);
    check(web, "AAAA", &["web.default.svc.cluster.local. 5 AAAA fd00::7"]);
    check(web, "TXT", &["Empty"]);
    check("WEB.Default.svc.Cluster.local.", "A", &["WEB.Default.svc.Cluster.local. 5 A 10.43.0.7"]);
    check(
        "_http._tcp.web.default.svc.cluster.local.",
        "SRV",
        &[
            "_http._tcp.web.default.svc.cluster.local. 5 SRV 0 100 80 web.default.svc.cluster.local.",
            "+ web.default.svc.cluster.local. 5 A 10.43.0.7",
            "+ web.default.svc.cluster.local. 5 AAAA fd00::7",
        ],
    );
    check("_http._udp.web.default.svc.cluster.local.", "SRV", &["Missing"]);
    check(
        web,
        "SRV",
        &[
            "web.default.svc.cluster.local. 5 SRV 0 50 80 web.default.svc.cluster.local.",
            "web.default.svc.cluster.local. 5 SRV 0 50 53 web.default.svc.cluster.local.",
            "+ web.default.svc.cluster.local. 5 A 10.43.0.7",
            "+ web.default.svc.cluster.local. 5 AAAA fd00::7",
        ],
    );
    check(
        "10-42-0-3.web.default.svc.cluster.local.",
        "A",
        &["10-42-0-3.web.default.svc.cluster.local. 5 A 10.42.0.3"],
    );
}

#[test]
fn headless_services() {
    let db = "db.default.svc.cluster.local.";
    check(
        db,
        "A",
        &["db.default.svc.cluster.local. 5 A 10.42.0.4", "db.default.svc.cluster.local. 5 A 10.42.0.5"],
    );
    check(db, "AAAA", &["Empty"]);
    check("db-0.db.default.svc.cluster.local.", "A", &["db-0.db.default.svc.cluster.local. 5 A 10.42.0.4"]);
    check("db-2.db.default.svc.cluster.local.", "A", &["Missing"]);
    check(
        "_sql._tcp.db.default.svc.cluster.local.",
        "SRV",
        &[
            "_sql._tcp.db.default.svc.cluster.local. 5 SRV 0 50 5432 db-0.db.default.svc.cluster.local.",
            "_sql._tcp.db.default.svc.cluster.local. 5 SRV 0 50 5432 10-42-0-5.db.default.svc.cluster.local.",
            "+ db-0.db.default.svc.cluster.local. 5 A 10.42.0.4",
            "+ 10-42-0-5.db.default.svc.cluster.local. 5 A 10.42.0.5",
        ],
    );
    check("portless.default.svc.cluster.local.", "A", &["portless.default.svc.cluster.local. 5 A 10.42.0.8"]);
    check(
        "only.portless.default.svc.cluster.local.",
        "A",
        &["only.portless.default.svc.cluster.local. 5 A 10.42.0.8"],
    );
    check("empty.default.svc.cluster.local.", "A", &["Missing"]);
}

#[test]
fn external_names() {
    check(
        "away.default.svc.cluster.local.",
        "CNAME",
        &["away.default.svc.cluster.local. 5 CNAME db.example.org."],
    );
    check("away.default.svc.cluster.local.", "A", &["Alias"]);
    check("x.away.default.svc.cluster.local.", "A", &["Missing"]);
}

#[test]
fn pods() {
    check(
        "10-42-0-9.default.pod.cluster.local.",
        "A",
        &["10-42-0-9.default.pod.cluster.local. 5 A 10.42.0.9"],
    );
    check(
        "fd00--9.default.pod.cluster.local.",
        "AAAA",
        &["fd00--9.default.pod.cluster.local. 5 AAAA fd00::9"],
    );
    check("10-42-0-9.default.pod.cluster.local.", "AAAA", &["Empty"]);
    check("10-42-0-9.nowhere.pod.cluster.local.", "A", &["Missing"]);
    check("web.default.pod.cluster.local.", "A", &["Missing"]);
}

#[test]
fn the_zone_itself() {
    check(
        "cluster.local.",
        "SOA",
        &["cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"],
    );
    check("cluster.local.", "NS", &["cluster.local. 5 NS ns.dns.cluster.local."]);
    check("ns.dns.cluster.local.", "A", &["ns.dns.cluster.local. 5 A 10.43.0.10"]);
    check("dns-version.cluster.local.", "TXT", &["dns-version.cluster.local. 5 TXT 1.1.0"]);
    for name in
        ["cluster.local.", "svc.cluster.local.", "default.svc.cluster.local.", "default.pod.cluster.local."]
    {
        check(name, "A", &["Empty"]);
    }
    for name in [
        "nowhere.svc.cluster.local.",
        "nobody.default.svc.cluster.local.",
        "x.cluster.local.",
        "google.com.default.svc.cluster.local.",
        "a.b.c.web.default.svc.cluster.local.",
    ] {
        check(name, "A", &["Missing"]);
    }
}

#[test]
fn addresses_have_names() {
    check(
        "7.0.43.10.in-addr.arpa.",
        "PTR",
        &["7.0.43.10.in-addr.arpa. 5 PTR web.default.svc.cluster.local."],
    );
    check(
        "4.0.42.10.in-addr.arpa.",
        "PTR",
        &["4.0.42.10.in-addr.arpa. 5 PTR db-0.db.default.svc.cluster.local."],
    );
    check(
        "5.0.42.10.in-addr.arpa.",
        "PTR",
        &["5.0.42.10.in-addr.arpa. 5 PTR 10-42-0-5.db.default.svc.cluster.local."],
    );
    check("7.0.43.10.in-addr.arpa.", "A", &["Empty"]);
    check("99.0.42.10.in-addr.arpa.", "PTR", &["Missing"]);
    check("0.42.10.in-addr.arpa.", "PTR", &["Empty"]);
    for name in ["1.2.0.192.in-addr.arpa.", "example.org.", "local.", "."] {
        check(name, "PTR", &["Elsewhere"]);
    }
}

//! Tests of the rules of a Service, as data.

use serde_json::{Value as Json, json};

use super::*;

fn node() -> Node {
    Node {
        name: "n1".into(),
        zone: "z1".into(),
        cluster_cidr: "10.42.0.0/16".parse().unwrap(),
        local_addresses: vec![[10, 43, 0, 10].into()],
    }
}

/// A Service of one TCP port 80 whose spec has `more` too.
fn service(more: Json) -> Service {
    let mut spec =
        json!({"clusterIP": "10.43.0.1", "ports": [{"name": "web", "port": 80, "protocol": "TCP"}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let status = spec.as_object_mut().unwrap().remove("status").unwrap_or(json!({}));
    serde_json::from_value(
        json!({"metadata": {"namespace": "a", "name": "s"}, "spec": spec, "status": status}),
    )
    .unwrap()
}

/// `10.42.0.2` ready on this node, `10.42.1.3!` ready elsewhere, `~` before: ends but serves, `-`: neither.
fn slice(endpoints: &[&str]) -> EndpointSlice {
    let endpoints: Vec<Json> = endpoints
        .iter()
        .map(|text| {
            let address = text.trim_matches(['!', '~', '-']);
            let (ready, serving) = (!text.starts_with(['~', '-']), !text.starts_with('-'));
            json!({
                "addresses": [address],
                "nodeName": if text.ends_with('!') { "n2" } else { "n1" },
                "conditions": {"ready": ready, "serving": serving, "terminating": !ready},
            })
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": "s-1"}, "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
    }))
    .unwrap()
}

#[track_caller]
fn check(spec: Json, endpoints: &[&str], expected: &str) {
    let compiled = compile(&service(spec), &[slice(endpoints)], &node());
    let text = compiled.fragment.to_string();
    let trim = |text: &str| {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(trim(&text), trim(expected), "\n{text}");
}

#[test]
fn a_cluster_ip_is_balanced_over_its_endpoints() {
    check(
        json!({}),
        &["10.42.1.3!", "10.42.0.2", "-10.42.0.9"],
        "cluster-ips: 10.43.0.1
         endpoints: 10.43.0.1 . tcp . 80 . 0 : 10.42.0.2 . 8080
         endpoints: 10.43.0.1 . tcp . 80 . 1 : 10.42.1.3 . 8080
         service-ips: 10.43.0.1 . tcp . 80 : goto endpoints-2",
    );
}

#[test]
fn without_endpoints_it_is_refused() {
    for endpoints in [&[][..], &["-10.42.0.2"][..]] {
        check(
            json!({"type": "NodePort", "ports": [{"name": "web", "port": 80, "nodePort": 30080}]}),
            endpoints,
            "cluster-ips: 10.43.0.1
             no-endpoints: 10.43.0.1 . tcp . 80 : goto reject-all
             no-endpoint-ports: tcp . 30080 : goto reject-all",
        );
    }
}

#[test]
fn who_ends_serves_while_nobody_else_does() {
    check(
        json!({}),
        &["~10.42.0.2", "-10.42.0.3"],
        "cluster-ips: 10.43.0.1
         endpoints: 10.43.0.1 . tcp . 80 . 0 : 10.42.0.2 . 8080
         service-ips: 10.43.0.1 . tcp . 80 : goto endpoints-1",
    );
}

#[test]
fn what_comes_from_outside_is_masqueraded() {
    check(
        json!({
            "type": "LoadBalancer", "externalIPs": ["192.0.2.9"],
            "ports": [{"name": "web", "port": 80, "nodePort": 30080}],
            "loadBalancerSourceRanges": ["198.51.100.0/24"],
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}, {"ip": "192.0.2.7", "ipMode": "Proxy"}]}},
        }),
        &["10.42.0.2"],
        "chain external-a/s/tcp/web {
           meta mark set meta mark | 0x4000
           dnat to 10.43.0.1 . tcp . 80 . numgen random mod 1 map @endpoints
         }
         chain firewall-a/s/tcp/web {
           ip saddr 198.51.100.0/24 return
           drop
         }
         cluster-ips: 10.43.0.1
         endpoints: 10.43.0.1 . tcp . 80 . 0 : 10.42.0.2 . 8080
         service-ips: 10.43.0.1 . tcp . 80 : goto endpoints-1
         service-ips: 192.0.2.9 . tcp . 80 : goto external-a/s/tcp/web
         service-ips: 192.0.2.8 . tcp . 80 : goto external-a/s/tcp/web
         firewall-ips: 192.0.2.8 . tcp . 80 : goto firewall-a/s/tcp/web
         node-ports: tcp . 30080 : goto external-a/s/tcp/web",
    );
}

#[test]
fn policy_local_keeps_the_source_and_drops_without_local_endpoints() {
    let spec = || {
        json!({
            "type": "NodePort", "externalTrafficPolicy": "Local",
            "ports": [{"name": "web", "port": 80, "nodePort": 30080}],
        })
    };
    check(
        spec(),
        &["10.42.0.2", "10.42.1.3!"],
        "chain external-a/s/tcp/web {
           ip saddr 10.42.0.0/16 dnat to 10.43.0.1 . tcp . 80 . numgen random mod 2 map @endpoints
           fib saddr type local meta mark set meta mark | 0x4000 dnat to 10.43.0.1 . tcp . 80 . numgen random mod 2 map @endpoints
           dnat to 10.43.0.1 . tcp . 80 . numgen random mod 1 map @local-endpoints
         }
         cluster-ips: 10.43.0.1
         endpoints: 10.43.0.1 . tcp . 80 . 0 : 10.42.0.2 . 8080
         endpoints: 10.43.0.1 . tcp . 80 . 1 : 10.42.1.3 . 8080
         local-endpoints: 10.43.0.1 . tcp . 80 . 0 : 10.42.0.2 . 8080
         service-ips: 10.43.0.1 . tcp . 80 : goto endpoints-2
         node-ports: tcp . 30080 : goto external-a/s/tcp/web",
    );
    check(
        spec(),
        &["10.42.1.3!"],
        "chain external-a/s/tcp/web {
           ip saddr 10.42.0.0/16 dnat to 10.43.0.1 . tcp . 80 . numgen random mod 1 map @endpoints
           fib saddr type local meta mark set meta mark | 0x4000 dnat to 10.43.0.1 . tcp . 80 . numgen random mod 1 map @endpoints
         }
         cluster-ips: 10.43.0.1
         endpoints: 10.43.0.1 . tcp . 80 . 0 : 10.42.1.3 . 8080
         service-ips: 10.43.0.1 . tcp . 80 : goto endpoints-1
         node-ports: tcp . 30080 : goto external-a/s/tcp/web
         no-endpoint-ports: tcp . 30080 : drop",
    );
    check(
        json!({"internalTrafficPolicy": "Local"}),
        &["10.42.1.3!"],
        "cluster-ips: 10.43.0.1
         no-endpoints: 10.43.0.1 . tcp . 80 : drop",
    );
}

#[test]
fn with_affinity_each_endpoint_remembers_its_clients() {
    check(
        json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}),
        &["10.42.0.2", "10.42.0.3"],
        "set affinity-60-a/s/tcp/web/10.42.0.2/8080 { type ipv4_addr; flags dynamic,timeout; timeout 60s }
         set affinity-60-a/s/tcp/web/10.42.0.3/8080 { type ipv4_addr; flags dynamic,timeout; timeout 60s }
         chain service-a/s/tcp/web {
           ip saddr @affinity-60-a/s/tcp/web/10.42.0.2/8080 goto endpoint-a/s/tcp/web/10.42.0.2/8080
           ip saddr @affinity-60-a/s/tcp/web/10.42.0.3/8080 goto endpoint-a/s/tcp/web/10.42.0.3/8080
           numgen random mod 2 vmap { 0 : goto endpoint-a/s/tcp/web/10.42.0.2/8080, 1 : goto endpoint-a/s/tcp/web/10.42.0.3/8080 }
         }
         chain endpoint-a/s/tcp/web/10.42.0.2/8080 {
           update @affinity-60-a/s/tcp/web/10.42.0.2/8080 { ip saddr timeout 60s }
           meta l4proto tcp dnat to 10.42.0.2:8080
         }
         chain endpoint-a/s/tcp/web/10.42.0.3/8080 {
           update @affinity-60-a/s/tcp/web/10.42.0.3/8080 { ip saddr timeout 60s }
           meta l4proto tcp dnat to 10.42.0.3:8080
         }
         cluster-ips: 10.43.0.1
         service-ips: 10.43.0.1 . tcp . 80 : goto service-a/s/tcp/web",
    );
}

#[test]
fn what_is_no_rule_of_ours_makes_none() {
    check(json!({"clusterIP": "None"}), &["10.42.0.2"], "");
    check(json!({"clusterIP": "10.43.0.10"}), &["10.42.0.2"], "");
    check(json!({"clusterIP": "fd00::1"}), &["10.42.0.2"], "");
    check(json!({"type": "ExternalName", "clusterIP": ""}), &["10.42.0.2"], "");
    let mut other = service(json!({}));
    other.metadata.labels = Some([(OTHER_PROXY.to_owned(), "x".to_owned())].into());
    assert_eq!(compile(&other, &[slice(&["10.42.0.2"])], &node()), Compiled::default());
}

#[test]
fn hints_count_if_all_have_one_and_one_is_near() {
    let hinted = |hints: [Json; 2]| {
        let mut slice = serde_json::to_value(slice(&["10.42.0.2", "10.42.1.3!"])).unwrap();
        for (at, hint) in hints.into_iter().enumerate() {
            slice["endpoints"][at]["hints"] = hint;
        }
        let compiled = compile(&service(json!({})), &[serde_json::from_value(slice).unwrap()], &node());
        compiled.fragment.to_string().matches(" : 10.42.").count()
    };
    let zone = |name: &str| json!({"forZones": [{"name": name}]});
    let at = |name: &str| json!({"forNodes": [{"name": name}]});
    assert_eq!(hinted([zone("z1"), zone("z2")]), 1);
    assert_eq!(hinted([zone("z1"), json!({})]), 2);
    assert_eq!(hinted([zone("z2"), zone("z2")]), 2);
    assert_eq!(hinted([at("n1"), at("n2")]), 1);
    assert_eq!(hinted([at("n2"), at("n2")]), 2);
}

#[test]
fn many_endpoints_have_a_chain_of_their_own() {
    let endpoints: Vec<String> = (2..30).map(|last| format!("10.42.0.{last}")).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    let compiled = compile(&service(json!({})), &[slice(&endpoints)], &node());
    assert_eq!(compiled.fragment.chains, [Chain::new("service-a/s/tcp/web", pick("endpoints", 28).rules)]);
}

//! Nobody gets more than RBAC says: each resource, subresource and verb, asked by users with generated roles and judged by a
//! second, plain reading of the rules in this file.
//!
//! A request that is allowed meets an object that is not there, or is a dry run: what counts is whether it was refused.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use api::schema;
use apiserver::Identity;
use http::Method;
use serde_json::{Value, json};
use testkit_cluster::Cluster;

const SEED: u64 = 0x5eed_0004;
const USERS: usize = 12;
const NAMESPACES: [&str; 2] = ["a", "b"];
const GROUP: &str = "rbac.authorization.k8s.io";

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % end
    }
    fn of<'a>(&mut self, list: &'a [String]) -> &'a str {
        &list[self.below(list.len())]
    }
}

/// One request and what it is in the words of RBAC.
struct Cell {
    method: Method,
    path: String,
    verb: &'static str,
    group: String,
    /// `pods/log`.
    resource: String,
    namespace: String,
    name: String,
}

/// A verb of a collection and how it is asked for.
const OF_COLLECTIONS: [(&str, Method, &str); 4] = [
    ("create", Method::POST, "?dryRun=All"),
    ("list", Method::GET, "?limit=1"),
    // A bad selector ends a watch that was allowed.
    ("watch", Method::GET, "?watch=true&labelSelector=a%3Db%3Dc"),
    ("deletecollection", Method::DELETE, "?dryRun=All&labelSelector=absent%3Dabsent"),
];
const OF_OBJECTS: [(&str, Method, &str); 4] = [
    ("get", Method::GET, ""),
    ("update", Method::PUT, "?dryRun=All"),
    ("patch", Method::PATCH, "?dryRun=All"),
    ("delete", Method::DELETE, "?dryRun=All"),
];
const OF_SUBRESOURCES: [(&str, Method, &str); 5] = [
    ("create", Method::POST, "?dryRun=All"),
    ("get", Method::GET, ""),
    ("update", Method::PUT, "?dryRun=All"),
    ("patch", Method::PATCH, "?dryRun=All"),
    ("delete", Method::DELETE, "?dryRun=All"),
];

/// Every served resource and subresource with every verb, also with those that it does not have; namespaced ones in two
/// namespaces and across all.
fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for row in schema::kinds().iter().filter(|row| row.on_by_default()) {
        let root = match row.group() {
            "" => format!("/api/{}", row.version()),
            group => format!("/apis/{group}/{}", row.version()),
        };
        let mut add = |verb, method: &Method, path: String, resource: String, namespace: &str, name: &str| {
            let (group, namespace, name) = (row.group().into(), namespace.into(), name.into());
            cells.push(Cell { method: method.clone(), path, verb, group, resource, namespace, name });
        };
        let plural = row.plural();
        let places: Vec<(&str, String)> = match row.namespaced() {
            true => {
                NAMESPACES.iter().map(|name| (*name, format!("{root}/namespaces/{name}/{plural}"))).collect()
            }
            false => vec![("", format!("{root}/{plural}"))],
        };
        if row.namespaced() {
            for (verb, method, query) in &OF_COLLECTIONS[1..3] {
                add(verb, method, format!("{root}/{plural}{query}"), plural.into(), "", "");
            }
        }
        for (namespace, collection) in places {
            for (verb, method, query) in &OF_COLLECTIONS {
                add(verb, method, format!("{collection}{query}"), plural.into(), namespace, "");
            }
            let name = "absent";
            // A namespace lies in itself.
            let namespace = if plural == "namespaces" { name } else { namespace };
            for (verb, method, query) in &OF_OBJECTS {
                add(verb, method, format!("{collection}/{name}{query}"), plural.into(), namespace, name);
            }
            for subresource in row.subresources().split(';').filter_map(|text| Some(text.split_once('=')?.0))
            {
                for (verb, method, query) in &OF_SUBRESOURCES {
                    let path = format!("{collection}/{name}/{subresource}{query}");
                    add(verb, method, path, format!("{plural}/{subresource}"), namespace, name);
                }
            }
        }
    }
    cells
}

#[derive(Clone, Debug)]
struct Rule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
}

/// A user's rules, each in a namespace or (empty) everywhere.
struct User {
    name: String,
    grants: Vec<(String, Rule)>,
}

impl User {
    fn may(&self, cell: &Cell) -> bool {
        self.grants.iter().any(|(namespace, rule)| {
            let has = |list: &[String], text: &str| list.iter().any(|own| own == text || own == "*");
            let resource = rule.resources.iter().any(|own| {
                let wild = own.strip_prefix("*/").zip(cell.resource.split_once('/'));
                own == "*" || *own == cell.resource || wild.is_some_and(|(tail, (_, sub))| tail == sub)
            });
            (namespace.is_empty() || *namespace == cell.namespace)
                && has(&rule.verbs, cell.verb)
                && has(&rule.groups, &cell.group)
                && resource
                && (rule.names.is_empty() || rule.names.contains(&cell.name))
        })
    }
}

/// A user with every verb for itself, and users with chance rules.
fn users(cells: &[Cell], random: &mut Random) -> Vec<User> {
    let mut users = Vec::new();
    let everything = || vec!["*".to_string()];
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"] {
        let rule = Rule {
            verbs: vec![verb.into()],
            groups: everything(),
            resources: everything(),
            names: Vec::new(),
        };
        users.push(User { name: format!("only-{verb}"), grants: vec![(String::new(), rule)] });
    }
    for at in 0..USERS {
        let mut grants = Vec::new();
        for _ in 0..8 {
            let some: Vec<&Cell> = (0..3).map(|_| &cells[random.below(cells.len())]).collect();
            let mut rule = Rule {
                verbs: some.iter().map(|cell| cell.verb.to_string()).collect(),
                groups: some.iter().map(|cell| cell.group.clone()).collect(),
                resources: some.iter().map(|cell| cell.resource.clone()).collect(),
                names: Vec::new(),
            };
            match random.below(8) {
                0 => rule.verbs = everything(),
                1 => rule.groups = everything(),
                2 => rule.resources = vec!["*/status".into(), "*/scale".into()],
                3 => rule.names = vec!["absent".into()],
                4 => rule.names = vec!["other".into()],
                _ => {}
            }
            let places: Vec<String> = ["", NAMESPACES[0], NAMESPACES[1]].map(String::from).to_vec();
            grants.push((random.of(&places).to_string(), rule));
        }
        users.push(User { name: format!("user-{at}"), grants });
    }
    users
}

async fn post(cluster: &Cluster, path: &str, body: Value) {
    let answer = cluster.request(Method::POST, path, body.to_string()).await;
    assert_eq!(answer.code, 201, "{path}: {}", answer.json());
}

/// Writes a user's rules down as roles and bindings.
async fn grant(cluster: &Cluster, user: &User) {
    for (at, (namespace, rule)) in user.grants.iter().enumerate() {
        let name = format!("{}-{at}", user.name);
        let mut rules = json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
        if !rule.names.is_empty() {
            rules["resourceNames"] = json!(rule.names);
        }
        let (root, role, binding) = match namespace.as_str() {
            "" => (format!("/apis/{GROUP}/v1"), "ClusterRole", "clusterrolebindings"),
            // A ClusterRole bound in a namespace counts there alone.
            place if at % 2 == 0 => {
                (format!("/apis/{GROUP}/v1/namespaces/{place}"), "ClusterRole", "rolebindings")
            }
            place => (format!("/apis/{GROUP}/v1/namespaces/{place}"), "Role", "rolebindings"),
        };
        let roles = match role {
            "Role" => format!("{root}/roles"),
            _ => format!("/apis/{GROUP}/v1/clusterroles"),
        };
        post(cluster, &roles, json!({"metadata": {"name": name}, "rules": [rules]})).await;
        let subject = json!({"kind": "User", "apiGroup": GROUP, "name": user.name});
        let role = json!({"apiGroup": GROUP, "kind": role, "name": name});
        let body = json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]});
        post(cluster, &format!("{root}/{binding}"), body).await;
    }
}

/// Whether RBAC refused the request: admission's refusals have another text.
async fn refused(cluster: &Cluster, identity: Identity, cell: &Cell) -> bool {
    let content = match cell.verb {
        "patch" => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = if matches!(cell.verb, "create" | "update" | "patch") { "{}" } else { "" };
    let user = identity.name.clone();
    let answer = cluster
        .request_as(identity, cell.method.clone(), &cell.path, body, &[("content-type", content)])
        .await;
    let place = match cell.namespace.as_str() {
        "" => "at the cluster scope".to_string(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let (verb, resource, group) = (cell.verb, &cell.resource, &cell.group);
    let text = format!("User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {place}");
    let message = answer.json()["message"].as_str().unwrap_or_default().to_string();
    let refused = message.contains(" is forbidden: User ") && message.contains(" cannot ");
    assert!(
        !refused || answer.code == 403 && message.contains(&text),
        "{} {}: {message}",
        cell.method,
        cell.path
    );
    refused
}

#[tokio::test]
async fn nobody_gets_more_than_their_roles_say() {
    println!("seed {SEED:#x}");
    let cluster = Cluster::start().await;
    for name in NAMESPACES {
        post(&cluster, "/api/v1/namespaces", json!({"metadata": {"name": name}})).await;
    }
    let cells = cells();
    let users = users(&cells, &mut Random(SEED));
    for user in &users {
        grant(&cluster, user).await;
    }
    // What everybody may who is known: reviews of themselves.
    let public = |cell: &Cell| {
        cell.verb == "create"
            && ["selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"]
                .contains(&cell.resource.as_str())
    };
    let (mut wrong, mut allowed) = (Vec::new(), 0);
    for user in &users {
        for cell in &cells {
            let may = user.may(cell) || public(cell);
            allowed += usize::from(may);
            if refused(&cluster, Identity::new(&user.name, &[]), cell).await == may {
                let word = if may { "refused" } else { "let in" };
                wrong.push(format!("{} was {word}: {} {}", user.name, cell.method, cell.path));
            }
        }
    }
    for cell in &cells {
        if !refused(&cluster, Identity::anonymous(), cell).await {
            wrong.push(format!("somebody unknown was let in: {} {}", cell.method, cell.path));
        }
    }
    let asked = cells.len() * (users.len() + 1);
    println!("{asked} requests of {} users, {allowed} allowed", users.len() + 1);
    assert!(cells.len() > 900 && allowed > 1000, "the matrix is too small: {} {allowed}", cells.len());
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// Paths written in unusual ways name what they name, or nothing.
#[tokio::test]
async fn no_spelling_of_a_path_goes_round_the_rules() {
    let cluster = Cluster::start().await;
    for name in NAMESPACES {
        post(&cluster, "/api/v1/namespaces", json!({"metadata": {"name": name}})).await;
        let secret = json!({"metadata": {"name": "s"}, "stringData": {"key": "hidden"}});
        post(&cluster, &format!("/api/v1/namespaces/{name}/secrets"), secret).await;
    }
    let rule = Rule {
        verbs: vec!["*".into()],
        groups: vec!["*".into()],
        resources: vec!["*".into()],
        names: Vec::new(),
    };
    let user = User { name: "of-a".into(), grants: vec![("a".into(), rule)] };
    grant(&cluster, &user).await;
    let own = "/api/v1/namespaces/a/secrets/s";
    let of_a = || Identity::new("of-a", &[]);
    assert_eq!(cluster.request_as(of_a(), Method::GET, own, "", &[]).await.code, 200);
    for path in [
        "/api/v1/namespaces/b/secrets/s",
        "/api/v1/namespaces/a/../b/secrets/s",
        "/api/v1/namespaces/a%2F..%2Fb/secrets/s",
        "/api/v1/namespaces/a/secrets/..%2F..%2Fb%2Fsecrets%2Fs",
        "/api/v1/namespaces/a/secrets/../../b/secrets/s",
        "/api/v1/namespaces/%62/secrets/s",
        "/api/v1//namespaces/b/secrets/s",
        "//api/v1/namespaces/b/secrets/s",
        "/api/v1/namespaces//b/secrets/s",
        "/api/v1/namespaces/b/secrets/s/",
        "/api/v1/watch/namespaces/b/secrets/s?timeoutSeconds=1",
        "/api/v1/watch/secrets?timeoutSeconds=1",
        "/api/v1/secrets",
        "/api/v1/secrets?fieldSelector=metadata.namespace%3Da",
        "/api/v1/secrets?namespace=a",
        "/api/v1/namespaces/b/secrets?fieldSelector=metadata.name%3Ds",
        "/API/v1/namespaces/b/secrets/s",
        "/api/v1/namespaces/b;a/secrets/s",
        "/api/v1/namespaces/a%00/secrets/s",
        "/apis//v1/namespaces/b/secrets/s",
    ] {
        let answer = cluster.request_as(of_a(), Method::GET, path, "", &[]).await;
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(!answer.code.is_success(), "{path}: {text}");
        // base64 of "hidden".
        assert!(!text.contains("aGlkZGVu"), "{path}: {text}");
    }
}

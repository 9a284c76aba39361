//! Expressions and what they give, many of them cel-go's and Kubernetes' own cases.

use super::*;
use crate::Value;

fn env() -> Env {
    Env::new().with("self", Type::Dyn).with("oldSelf", Type::Dyn)
}

fn value(text: &str) -> Value {
    crate::json::parse(text.as_bytes()).unwrap()
}

/// What `text` gives with `self` as in `json`: a value's text, or `error: …`.
fn give(text: &str, json: &str) -> String {
    let program = match env().compile(text) {
        Ok(program) => program,
        Err(issues) => return format!("compile: {}", issues.to_string().lines().next().unwrap_or_default()),
    };
    let json = value(json);
    let vars = [("self", Val::of(&json, None))];
    match program.run(&Vars(&vars), CALL_LIMIT).0 {
        Ok(value) => match (&value, value.to_value()) {
            (_, Some(value)) => value.to_string(),
            (value, None) => format!("{value:?}"),
        },
        Err(error) => format!("error: {error}"),
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(give(text, "{}"), expected, "{text}");
}

#[track_caller]
fn all_true(list: &[&str]) {
    for text in list {
        check(text, "true");
    }
}

#[test]
fn arithmetic_and_precedence() {
    all_true(&[
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "-5 / 2 == -2 && -5 % 2 == -1",
        "1 < 2 && 2u <= 2u && 1.5 > 1.0",
        "dyn(1) == 1.0 && dyn(1u) == 1",
        "!(true && false) || false",
        "true ? 1 == 1 : false",
        "'a' + 'b' == \"ab\" && b'a' + b'b' == b'ab'",
        "[1, 2] + [3] == [1, 2, 3]",
        "2 in [1, 2] && 'a' in {'a': 1}",
        "{'a': {'b': 1}}.a.b == 1 && {'a': 1}['a'] == 1",
        "r'\\d' == '\\\\d' && '\\u00e9' == 'é' && '''a'b''' == \"a'b\"",
        "type(1) == int && type('a') == string && type([]) == list && type({}) == map && type(null) == null_type",
        "0x1F == 31 && -9223372036854775808 < 0 && 1e3 == 1000.0",
        "size('é') == 1 && 'é'.size() == 1 && size([1, 2]) == 2",
        "int('5') == 5 && string(5) == '5' && double('1.5') == 1.5 && bool('true')",
        "string(1.0) == '1' && string(b'a') == 'a'",
    ]);
    check("9223372036854775807 + 1", "error: integer overflow");
    check("1 / 0", "error: division by zero");
    check("1 % 0", "error: modulus by zero");
    check("[1][5]", "error: index out of bounds: 5");
    check("{'a': 1}.b", "error: no such key: b");
    check("false && 1 / 0 > 0", "false");
    check("1 / 0 > 0 || true", "true");
    check("1 / 0 > 0 || false", "error: division by zero");
}

#[test]
fn macros() {
    all_true(&[
        "[1, 2, 3].all(x, x > 0)",
        "[1, 2, 3].exists(x, x == 2) && ![].exists(x, x == 2)",
        "[1, 2, 2].exists_one(x, x == 1) && ![1, 2, 2].exists_one(x, x == 2)",
        "[1, 2].map(x, x * 2) == [2, 4] && [1, 2].map(x, x > 1, x * 2) == [4]",
        "[1, 2, 3].filter(x, x % 2 == 1) == [1, 3]",
        "{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])",
        "{'a': 1}.all(k, v, k == 'a' && v == 1) && [5].all(i, v, i == 0 && v == 5)",
        "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "[1, 2].transformList(i, v, i + v) == [1, 3]",
        "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
        "[[1], [2]].all(x, x.all(y, y > 0))",
        "[1, 0].exists(x, 1 / x == 1)",
    ]);
    check("[1, 0].all(x, 1 / x == 1)", "error: division by zero");
}

#[test]
fn fields_of_the_api() {
    let json = r#"{"spec":{"replicas":3,"names":["a","b"],"on":true},"metadata":{"labels":{"app":"web"}}}"#;
    for (text, expected) in [
        ("self.spec.replicas > 2", "true"),
        ("has(self.spec.replicas) && !has(self.spec.missing)", "true"),
        ("self.spec.names.all(n, n.size() == 1)", "true"),
        ("self.metadata.labels['app'] == 'web' && 'app' in self.metadata.labels", "true"),
        ("self.spec.missing", "error: no such key: missing"),
        ("self.spec.?missing.orValue(7)", "7"),
        ("self.?spec.?replicas.orValue(7)", "3"),
        ("self.?status.?phase.hasValue()", "false"),
        ("self.spec.?replicas.optMap(r, r + 1).value()", "4"),
        ("[?self.spec.?missing, 1]", "[1]"),
        ("{'a': 1, ?'b': self.?none}", r#"{"a":1}"#),
        ("self.spec == self.spec", "true"),
        ("self.spec.replicas.foo", "error: no such overload"),
    ] {
        assert_eq!(give(text, json), expected, "{text}");
    }
}

#[test]
fn libraries() {
    all_true(&[
        "'hello'.startsWith('he') && 'hello'.endsWith('lo') && 'hello'.contains('ell') && 'hello'.matches('^h.*o$')",
        "'tacocat'.charAt(3) == 'o' && 'tacocat'.indexOf('ac') == 1 && 'tacocat'.lastIndexOf('at') == 5",
        "'a-b-c'.split('-') == ['a', 'b', 'c'] && 'a-b-c'.split('-', 2) == ['a', 'b-c'] && ['a', 'b'].join('-') == 'a-b'",
        "'abc'.substring(1) == 'bc' && 'abc'.substring(0, 1) == 'a' && ' a '.trim() == 'a'",
        "'abcabc'.replace('a', 'x', 1) == 'xbcabc' && 'Ab'.lowerAscii() == 'ab' && 'Ab'.upperAscii() == 'AB'",
        "'%s is %d and %.2f %x'.format(['a', 5, 1.5, 255]) == 'a is 5 and 1.50 ff'",
        "'%s'.format([[1, 'a']]) == '[1, a]' && '100%%'.format([]) == '100%'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "'abc 123'.find('[0-9]+') == '123' && 'a1 b2'.findAll('[0-9]') == ['1', '2']",
        "[1, 2, 3].isSorted() && ![2, 1].isSorted() && [1, 3].sum() == 4 && [1, 3].max() == 3 && [1, 3].min() == 1",
        "[1, 2].indexOf(2) == 1 && [1, 1].lastIndexOf(1) == 1 && [3, 1].sort() == [1, 3] && [1, 1].distinct() == [1]",
        "[[1], [2, [3]]].flatten() == [1, 2, [3]] && [1, 2, 3].slice(1, 3) == [2, 3] && lists.range(2) == [0, 1]",
        "sets.contains([1, 2, 3], [2]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 2], [2, 1, 1])",
        "quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('50k') == quantity('50000')",
        "quantity('50k').add(20).asInteger() == 50020 && quantity('50k').sub(quantity('20k')).isLessThan(quantity('31k'))",
        "isQuantity('1Ki') && !isQuantity('abc') && quantity('50m').sign() == 1 && !quantity('50m').isInteger()",
        "url('https://example.com:80/a%20b?k=v&k=w').getHost() == 'example.com:80'",
        "url('https://[::1]:80/a?k=v&k=w').getHostname() == '::1' && url('https://[::1]:80').getPort() == '80'",
        "url('https://e.com/a?k=v&k=w').getQuery()['k'] == ['v', 'w'] && !isURL('../relative') && isURL('/rooted')",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('010.0.0.1') && ip('127.0.0.1').isLoopback()",
        "ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD') && string(ip('10.0.0.1')) == '10.0.0.1'",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8 && !isCIDR('10.0.0.0/33')",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))",
        "semver('v1.2', true).minor() == 2 && !isSemver('v1.2')",
        "!format.dns1123Label().validate('my-label').hasValue() && format.dns1123Label().validate('My_Label').hasValue()",
        "format.named('uuid').hasValue() && !format.named('nothing').hasValue()",
        "jsonpatch.escapeKey('k8s.io/my~label') == 'k8s.io~1my~0label'",
        "timestamp('2023-01-02T03:04:05Z').getFullYear() == 2023 && timestamp('2023-01-02T03:04:05Z').getDayOfWeek() == 1",
        "duration('90m').getHours() == 1 && timestamp('2023-01-01T00:00:00Z') + duration('1h') == timestamp('2023-01-01T01:00:00Z')",
        "timestamp('2023-01-01T00:00:00Z') < timestamp('2023-01-01T00:00:01Z') && string(duration('1h')) == '3600s'",
        "optional.of(1).or(optional.of(2)).value() == 1 && optional.none().orValue(5) == 5",
        "!optional.ofNonZeroValue('').hasValue() && [optional.of(1), optional.none()].unwrapOpt() == [1]",
    ]);
}

fn typed() -> Env {
    let spec = Type::object(
        "selfType.spec",
        [
            ("replicas".into(), Type::Int),
            ("names".into(), Type::list(Type::String)),
            ("labels".into(), Type::map(Type::String, Type::String)),
        ],
    );
    Env::new().with("self", Type::object("selfType", [("spec".into(), spec)]))
}

#[test]
fn types_are_checked_in_cel_gos_words() {
    let check = |text: &str, expected: &str| {
        let found = match typed().compile(text) {
            Ok(program) => program.output().to_string(),
            Err(issues) => issues.to_string(),
        };
        assert_eq!(found, expected, "{text}");
    };
    check("self.spec.replicas > 1", "bool");
    check("self.spec.names.map(n, n.size())", "list(int)");
    check("self.spec.labels['a']", "string");
    check("self.spec.?labels.?a.orValue('x')", "string");
    check("self.spec.labels.filter(k, k == 'a').size() == 0", "bool");
    check("self.spec == null", "bool");
    check("self.z", "ERROR: <input>:1:5: undefined field 'z'\n | self.z\n | ....^");
    check(
        "self.spec.replicas + 'a'",
        "ERROR: <input>:1:20: found no matching overload for '_+_' applied to '(int, string)'\n | self.spec.replicas + 'a'\n | ...................^",
    );
    check(
        "nobody == 1",
        "ERROR: <input>:1:1: undeclared reference to 'nobody' (in container '')\n | nobody == 1\n | ^",
    );
    check(
        "self.spec.names.all(n, n)",
        "ERROR: <input>:1:24: expected type 'bool' but found 'string'\n | self.spec.names.all(n, n)\n | .......................^",
    );
    check(
        "self.spec.replicas.startsWith('a')",
        "ERROR: <input>:1:30: found no matching overload for 'startsWith' applied to 'int.(string)'\n | self.spec.replicas.startsWith('a')\n | .............................^",
    );
    let syntax = typed().compile("self.spec.replicas >").unwrap_err().to_string();
    assert!(syntax.contains("Syntax error: mismatched input '<EOF>' expecting"), "{syntax}");
}

#[test]
fn costs_are_estimated_and_limited() {
    let sizes = |path: &[SmolStr]| match path {
        [_, _, names] if names == "names" => Some(10),
        [_, _, names, items] if names == "names" && items == "@items" => Some(100),
        [_, _, labels, ..] if labels == "labels" => Some(5),
        _ => None,
    };
    let cost = |text: &str| typed().compile(text).unwrap().max_cost(&sizes);
    assert_eq!(cost("self.spec.replicas == 1"), 4);
    // Per name: three for the loop, the name, and its traversal.
    assert_eq!(cost("self.spec.names.all(n, n.startsWith('a'))"), 3 + 1 + 10 * (3 + 1 + 1));
    assert_eq!(cost("self.spec.names.all(n, n.contains('a'))"), 3 + 1 + 10 * (3 + 1 + 10));
    assert_eq!(
        cost("self.spec.names.all(x, self.spec.names.all(y, x == y))"),
        4 + 10 * (3 + 4 + 10 * (3 + 2 + 10))
    );
    let program = env().compile("[1, 2, 3].all(a, [1, 2, 3].all(b, a + b > 0))").unwrap();
    let (result, cost) = program.run(&Vars(&[]), CALL_LIMIT);
    assert!(matches!(result, Ok(Val::Bool(true))));
    assert!(cost > 50, "{cost}");
    let (result, _) = program.run(&Vars(&[]), 20);
    assert_eq!(result.unwrap_err(), OVER);
}

#[test]
fn names_of_properties_are_escaped() {
    for (name, escaped) in [
        ("a-b", "a__dash__b"),
        ("a.b/c", "a__dot__b__slash__c"),
        ("a__b", "a__underscores__b"),
        ("namespace", "__namespace__"),
        ("plain", "plain"),
    ] {
        assert_eq!(escape(name), escaped);
        assert_eq!(unescape(escaped), name);
    }
}

#[test]
fn undeclared_variables_are_looked_for_when_it_runs() {
    let open = Env::new().with_undeclared();
    assert!(open.compile("status.").is_err());
    let program = open.compile("status.phase == 'Ready' && sets.contains([1, 2], [1])").unwrap();
    let status: crate::Value = serde_json::from_str(r#"{"phase":"Ready"}"#).unwrap();
    let known = [("status", Val::of(&status, None))];
    assert!(matches!(program.run(&Vars(&known), CALL_LIMIT).0, Ok(Val::Bool(true))));
    assert_eq!(program.run(&Vars(&[]), CALL_LIMIT).0.unwrap_err(), "no such attribute(s): status");
}

//! Methods of the types that reach templates: times, versions, files, values, capabilities.
//!
//! A method is a function whose first argument is its receiver, which its parameter types leave out.

use std::sync::LazyLock;

use api::time::duration;
use base64::Engine;

use super::slot::{Function, Functions, Slot, function};
use crate::go::semver::{self, Version};
use crate::go::time::{self, Time, Zone};
use crate::go::value::{MapType, Sized, Struct};
use crate::go::{Map, Value, glob, path, text};

/// A method by its receiver and name. A map's fields come after them.
pub fn find(receiver: &Value, name: &str) -> Option<&'static Function> {
    // Methods have capitals, and few fields.
    if !name.starts_with(|first: char| first.is_ascii_uppercase()) {
        return None;
    }
    let table = match receiver {
        Value::Time(_) => &*TIME,
        Value::Version(_) => &*VERSION,
        Value::Map(map) if map.ty() == MapType::Files => &*FILES,
        Value::Map(map) if map.ty() == MapType::Values => &*VALUES,
        Value::List(list) if list.ty == crate::go::ListType::Versions => &*VERSIONS,
        Value::Struct(object) if object.ty.name == KUBE_VERSION => &*KUBE,
        Value::Struct(object) if object.ty.name == "chartutil.Capabilities" => &*CAPABILITIES,
        Value::Sized(Sized::Duration, _) => &*DURATION,
        Value::Sized(Sized::Month | Sized::Weekday, _) => &*NAMED,
        _ => return None,
    };
    table.get(name)
}

const KUBE_VERSION: &str = "chartutil.KubeVersion";

/// What a struct prints as, if a pointer to it has a `String` method.
pub fn stringer(object: &Struct) -> Option<String> {
    (object.ty.name == KUBE_VERSION).then(|| crate::go::print::display(&object.fields[0]))
}

/// What a map without the key gives.
pub fn zero_of(ty: MapType) -> Slot {
    match ty {
        MapType::Any | MapType::Values => Slot::interface(Value::Nil),
        MapType::Strings => Slot::of(Value::from("")),
        MapType::Files => Slot::of(Value::Bytes("".into())),
    }
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::Str(text)) => text.text().into_owned(),
        _ => String::new(),
    }
}

fn time_of(value: &Value) -> &Time {
    const EPOCH: &Time = &Time { seconds: 0, nanoseconds: 0, zone: Zone::Utc };
    match value {
        Value::Time(time) => time,
        _ => EPOCH,
    }
}

fn version_of(value: &Value) -> Version {
    match value {
        Value::Version(version) => (**version).clone(),
        _ => Version::default(),
    }
}

fn made_time(time: Time) -> Value {
    Value::Time(time.into())
}

fn table(entries: impl IntoIterator<Item = (&'static str, Function)>) -> Functions {
    entries.into_iter().collect()
}

static DURATION: LazyLock<Functions> = LazyLock::new(|| {
    table([
        ("String", function("", |_, args| Ok(duration::format(args[0].as_int().unwrap_or(0)).into()))),
        ("Seconds", function("", |_, args| Ok(Value::Float(args[0].as_int().unwrap_or(0) as f64 / 1e9)))),
        ("Minutes", function("", |_, args| Ok(Value::Float(args[0].as_int().unwrap_or(0) as f64 / 6e10)))),
        ("Hours", function("", |_, args| Ok(Value::Float(args[0].as_int().unwrap_or(0) as f64 / 3.6e12)))),
        ("Milliseconds", function("", |_, args| Ok(Value::Int64(args[0].as_int().unwrap_or(0) / 1_000_000)))),
        ("Nanoseconds", function("", |_, args| Ok(Value::Int64(args[0].as_int().unwrap_or(0))))),
    ])
});

static NAMED: LazyLock<Functions> = LazyLock::new(|| {
    table([("String", function("", |_, args| Ok(crate::go::print::display(&args[0]).into())))])
});

static TIME: LazyLock<Functions> = LazyLock::new(|| {
    table([
        ("String", function("", |_, args| Ok(time_of(&args[0]).to_string().into()))),
        ("Format", function("s", |_, args| Ok(time_of(&args[0]).format(&text_of(args.get(1))).into()))),
        ("Unix", function("", |_, args| Ok(Value::Int64(time_of(&args[0]).seconds)))),
        (
            "UnixMilli",
            function("", |_, args| Ok(Value::Int64((time_of(&args[0]).nanos() / 1_000_000) as i64))),
        ),
        ("UnixNano", function("", |_, args| Ok(Value::Int64(time_of(&args[0]).nanos() as i64)))),
        ("Year", function("", |_, args| Ok(Value::Int(time_of(&args[0]).civil().year)))),
        ("Month", function("", |_, args| Ok(Value::Sized(Sized::Month, time_of(&args[0]).civil().month)))),
        ("Day", function("", |_, args| Ok(Value::Int(time_of(&args[0]).civil().day)))),
        ("Hour", function("", |_, args| Ok(Value::Int(time_of(&args[0]).civil().hour)))),
        ("Minute", function("", |_, args| Ok(Value::Int(time_of(&args[0]).civil().minute)))),
        ("Second", function("", |_, args| Ok(Value::Int(time_of(&args[0]).civil().second)))),
        ("Nanosecond", function("", |_, args| Ok(Value::Int(i64::from(time_of(&args[0]).nanoseconds))))),
        ("YearDay", function("", |_, args| Ok(Value::Int(time_of(&args[0]).civil().yearday)))),
        (
            "Weekday",
            function("", |_, args| Ok(Value::Sized(Sized::Weekday, time_of(&args[0]).civil().weekday))),
        ),
        ("IsZero", function("", |_, args| Ok(Value::Bool(time_of(&args[0]).is_zero())))),
        ("UTC", function("", |_, args| Ok(made_time(time_of(&args[0]).within(Zone::Utc))))),
        (
            "Local",
            function("", |frame, args| {
                let zone = crate::sprig::date::zone(frame, "Local");
                Ok(made_time(time_of(&args[0]).within(zone)))
            }),
        ),
        (
            "Add",
            function("d", |_, args| Ok(made_time(time_of(&args[0]).plus(args[1].as_int().unwrap_or(0))))),
        ),
        (
            "AddDate",
            function("iii", |_, args| {
                let time = time_of(&args[0]);
                let date = time.civil();
                let part = |at: usize| args[at].as_int().unwrap_or(0);
                let clock = date.hour * 3600 + date.minute * 60 + date.second;
                let days = time::days(date.year + part(1), date.month + part(2), 1) + date.day - 1 + part(3);
                let moved = Time { seconds: days * 86_400 + clock - time.offset().0, ..time.clone() };
                let shift = time.offset().0 - moved.offset().0;
                Ok(made_time(Time { seconds: moved.seconds + shift, ..moved }))
            }),
        ),
        (
            "Sub",
            function("t", |_, args| {
                let difference = time_of(&args[0]).nanos() - time_of(&args[1]).nanos();
                let bounded = difference.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
                Ok(Value::Sized(Sized::Duration, bounded as i64))
            }),
        ),
        (
            "Before",
            function("t", |_, args| Ok(Value::Bool(time_of(&args[0]).nanos() < time_of(&args[1]).nanos()))),
        ),
        (
            "After",
            function("t", |_, args| Ok(Value::Bool(time_of(&args[0]).nanos() > time_of(&args[1]).nanos()))),
        ),
        ("Equal", function("t", |_, args| Ok(Value::Bool(time_of(&args[0]) == time_of(&args[1]))))),
    ])
});

static VERSION: LazyLock<Functions> = LazyLock::new(|| {
    fn segment(number: u64) -> Result<Value, String> {
        Ok(Value::Sized(Sized::Uint64, number as i64))
    }
    fn next(args: &[Value], change: impl FnOnce(&mut Version)) -> Result<Value, String> {
        Ok(Value::Version(version_of(&args[0]).with(change).into()))
    }
    fn order(args: &[Value]) -> std::cmp::Ordering {
        version_of(&args[0]).compare(&version_of(&args[1]))
    }
    table([
        ("String", function("", |_, args| Ok(version_of(&args[0]).to_string().into()))),
        ("Original", function("", |_, args| Ok(version_of(&args[0]).original.into()))),
        ("Major", function("", |_, args| segment(version_of(&args[0]).major))),
        ("Minor", function("", |_, args| segment(version_of(&args[0]).minor))),
        ("Patch", function("", |_, args| segment(version_of(&args[0]).patch))),
        ("Prerelease", function("", |_, args| Ok(version_of(&args[0]).pre.into()))),
        ("Metadata", function("", |_, args| Ok(version_of(&args[0]).metadata.into()))),
        (
            "IncMajor",
            function("", |_, args| {
                next(args, |v| {
                    (v.major, v.minor, v.patch, v.pre, v.metadata) =
                        (v.major + 1, 0, 0, String::new(), String::new())
                })
            }),
        ),
        (
            "IncMinor",
            function("", |_, args| {
                next(args, |v| {
                    (v.minor, v.patch, v.pre, v.metadata) = (v.minor + 1, 0, String::new(), String::new())
                })
            }),
        ),
        (
            "IncPatch",
            function("", |_, args| {
                next(args, |v| {
                    v.patch += u64::from(v.pre.is_empty());
                    (v.pre, v.metadata) = (String::new(), String::new());
                })
            }),
        ),
        (
            "SetPrerelease",
            function("s", |_, args| {
                let pre = text_of(args.get(1));
                if !pre.is_empty() {
                    semver::check_pre(&pre)?;
                }
                next(args, |v| v.pre = pre)
            }),
        ),
        (
            "SetMetadata",
            function("s", |_, args| {
                let metadata = text_of(args.get(1));
                if !metadata.is_empty() {
                    semver::check_metadata(&metadata)?;
                }
                next(args, |v| v.metadata = metadata)
            }),
        ),
        ("Compare", function("v", |_, args| Ok(Value::Int(order(args) as i64)))),
        ("LessThan", function("v", |_, args| Ok(Value::Bool(order(args).is_lt())))),
        ("LessThanEqual", function("v", |_, args| Ok(Value::Bool(order(args).is_le())))),
        ("GreaterThan", function("v", |_, args| Ok(Value::Bool(order(args).is_gt())))),
        ("GreaterThanEqual", function("v", |_, args| Ok(Value::Bool(order(args).is_ge())))),
        ("Equal", function("v", |_, args| Ok(Value::Bool(order(args).is_eq())))),
    ])
});

fn files_of(args: &[Value]) -> Map {
    match &args[0] {
        Value::Map(map) => map.clone(),
        _ => Map::new(MapType::Files),
    }
}

fn file(args: &[Value]) -> Vec<u8> {
    match files_of(args).get(text_of(args.get(1)).as_bytes()) {
        Some(Value::Bytes(bytes)) => bytes.bytes().to_vec(),
        _ => Vec::new(),
    }
}

fn as_yaml(args: &[Value], encode: impl Fn(&[u8]) -> Value) -> Result<Value, String> {
    let out = Map::new(MapType::Strings);
    for (name, content) in files_of(args).entries() {
        if let Value::Bytes(bytes) = content {
            out.put(path::base(&name.text()), encode(bytes.bytes()));
        }
    }
    Ok(crate::sprig::yaml::to_yaml(&Value::Map(out)).into())
}

static FILES: LazyLock<Functions> = LazyLock::new(|| {
    table([
        ("Get", function("s", |_, args| Ok(Value::Str(file(args).into())))),
        ("GetBytes", function("s", |_, args| Ok(Value::Bytes(file(args).into())))),
        (
            "Glob",
            function("s", |_, args| {
                let pattern = glob::compile(&text_of(args.get(1)), glob::Reach::Name);
                let found = files_of(args)
                    .entries()
                    .into_iter()
                    // A pattern that is none takes everything, as upstream's fallback does.
                    .filter(|(name, _)| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&name.text())))
                    .collect();
                Ok(Value::Map(Map::of(MapType::Files, found)))
            }),
        ),
        ("AsConfig", function("", |_, args| as_yaml(args, |bytes| Value::Str(bytes.into())))),
        (
            "AsSecrets",
            function("", |_, args| {
                as_yaml(args, |bytes| base64::engine::general_purpose::STANDARD.encode(bytes).into())
            }),
        ),
        (
            "Lines",
            function("s", |_, args| {
                let content = file(args);
                if content.is_empty() {
                    return Ok(Value::strings::<&str>([]));
                }
                let content = content.strip_suffix(b"\n").unwrap_or(&content);
                Ok(Value::strings(text::split(content, b"\n", -1).unwrap_or_default()))
            }),
        ),
    ])
});

static VALUES: LazyLock<Functions> = LazyLock::new(|| {
    table([
        ("YAML", function("", |_, args| Ok(format!("{}\n", crate::sprig::yaml::to_yaml(&args[0])).into()))),
        (
            "AsMap",
            function("", |_, args| {
                Ok(Value::Map(match &args[0] {
                    Value::Map(map) => map.retyped(MapType::Any),
                    _ => Map::new(MapType::Any),
                }))
            }),
        ),
        (
            "Table",
            function("s", |_, args| {
                let Value::Map(map) = &args[0] else { return Ok(Value::Nil) };
                let path = text_of(args.get(1));
                let found = crate::helm::values::table(map, &path)
                    .map_err(|key| format!("{} is not a table", crate::go::quote::quote(key.as_bytes())))?;
                Ok(Value::Map(found.retyped(MapType::Values)))
            }),
        ),
        (
            "PathValue",
            function("s", |_, args| {
                let Value::Map(map) = &args[0] else { return Ok(Value::Nil) };
                let path = text_of(args.get(1));
                if path.is_empty() {
                    return Err("YAML path cannot be empty".into());
                }
                crate::helm::values::path_value(map, &path)
                    .map_err(|key| format!("{} is not a value", crate::go::quote::quote(key.as_bytes())))
            }),
        ),
    ])
});

static VERSIONS: LazyLock<Functions> = LazyLock::new(|| {
    table([(
        "Has",
        function("s", |_, args| {
            let wanted = &args[1];
            let has =
                matches!(&args[0], Value::List(list) if list.iter().any(|item| item.deep_equal(wanted)));
            Ok(Value::Bool(has))
        }),
    )])
});

static KUBE: LazyLock<Functions> = LazyLock::new(|| {
    fn version(args: &[Value]) -> Result<Value, String> {
        Ok(match &args[0] {
            Value::Struct(object) => object.fields[0].clone(),
            _ => Value::from(""),
        })
    }
    table([
        ("String", function("", |_, args| version(args))),
        ("GitVersion", function("", |_, args| version(args))),
    ])
});

static CAPABILITIES: LazyLock<Functions> =
    LazyLock::new(|| table([("Copy", function("", |_, args| Ok(args[0].clone())))]));

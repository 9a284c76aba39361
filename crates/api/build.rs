//! Turns `facts/*.tsv` into tables of plain numbers and one blob of text.
//!
//! The tables hold no pointers: strings are (offset, length) into the blob, references are indexes. So they lie in
//! read-only memory, cost no heap and no relocation at start, and pages that are never asked for are never read.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// All texts of the tables, each once, in one blob.
#[derive(Default)]
struct Blob {
    text: String,
    seen: HashMap<String, u32>,
}

impl Blob {
    /// 20 bits of offset, 12 bits of length.
    fn pack(&mut self, text: &str) -> u32 {
        if let Some(&packed) = self.seen.get(text) {
            return packed;
        }
        assert!(text.len() < 1 << 12, "a text of {} bytes is too long", text.len());
        let at = match self.text.find(text) {
            Some(at) => at,
            None => {
                self.text.push_str(text);
                self.text.len() - text.len()
            }
        };
        assert!(at < 1 << 20, "the blob is full");
        let packed = (at as u32) << 12 | text.len() as u32;
        self.seen.insert(text.into(), packed);
        packed
    }
}

/// The rows of a file by column name.
struct Tsv {
    columns: HashMap<String, usize>,
    rows: Vec<Vec<String>>,
}

impl Tsv {
    fn read(folder: &Path, name: &str) -> Tsv {
        let path = folder.join(name);
        println!("cargo:rerun-if-changed={}", path.display());
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
        let mut lines = text.lines();
        let columns = lines
            .next()
            .expect("a header")
            .split('\t')
            .enumerate()
            .map(|(at, name)| (name.into(), at))
            .collect();
        let rows = lines.map(|line| line.split('\t').map(String::from).collect()).collect();
        Tsv { columns, rows }
    }
    fn get<'a>(&self, row: &'a [String], column: &str) -> &'a str {
        row.get(self.columns[column]).map_or("", String::as_str)
    }
}

const NONE: usize = u16::MAX as usize;

fn main() {
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../facts");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=build.rs");
    let mut blob = Blob::default();
    let mut code = String::new();
    schema(&folder, &mut blob, &mut code);
    kinds(&folder, &mut blob, &mut code);
    fs::write(out.join("tables.rs"), code).expect("writing the tables");
    fs::write(out.join("strings.txt"), &blob.text).expect("writing the texts");
}

fn schema(folder: &Path, blob: &mut Blob, code: &mut String) {
    let types = Tsv::read(folder, "types.tsv");
    let fields = Tsv::read(folder, "schema.tsv");
    let go_types = Tsv::read(folder, "go-types.tsv");
    let go_names: HashMap<(&str, &str), &str> = go_types
        .rows
        .iter()
        .map(|row| ((go_types.get(row, "type"), go_types.get(row, "json")), go_types.get(row, "go")))
        .collect();
    let mut names: Vec<&str> = types.rows.iter().map(|row| types.get(row, "type")).collect();
    names.sort();
    let by_name: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let type_rows: HashMap<&str, &Vec<String>> =
        types.rows.iter().map(|row| (types.get(row, "type"), row)).collect();

    // Fields grouped by type, in the order of the Go struct.
    let mut own: Vec<Vec<&Vec<String>>> = vec![Vec::new(); names.len()];
    for row in &fields.rows {
        own[by_name[fields.get(row, "type")]].push(row);
    }
    for rows in &mut own {
        rows.sort_by_key(|row| fields.get(row, "index").parse::<u32>().expect("an index"));
    }
    let mut number = 0;
    let first: Vec<usize> = own
        .iter()
        .map(|rows| {
            number += rows.len();
            number - rows.len()
        })
        .collect();

    let _ = writeln!(code, "pub(super) static FIELDS: [Field; {number}] = [");
    for (at, rows) in own.iter().enumerate() {
        for row in rows {
            let go = go_names.get(&(names[at], fields.get(row, "json"))).copied().unwrap_or_default();
            field(&fields, row, at, &by_name, go, blob, code);
        }
    }
    code.push_str("];\n");

    // Types below which some field has a default: the others need no visit when defaults are filled in.
    let mut defaults: Vec<bool> =
        own.iter().map(|rows| rows.iter().any(|row| !fields.get(row, "default").is_empty())).collect();
    loop {
        let before = defaults.clone();
        for (at, rows) in own.iter().enumerate() {
            let reaches =
                |row: &&Vec<String>| by_name.get(fields.get(row, "ref")).is_some_and(|&of| before[of]);
            defaults[at] |= rows.iter().any(reaches);
        }
        if defaults == before {
            break;
        }
    }

    let (mut index, mut rows_of_types) = (Vec::new(), String::new());
    for (at, name) in names.iter().enumerate() {
        let row = type_rows[name];
        let get = |column: &str| types.get(row, column);
        let json = {
            let mut flat = Vec::new();
            flatten(at, &own, &first, &fields, &by_name, &mut flat);
            flat
        };
        let json_name = |field: &usize| {
            let owner = first.partition_point(|&start| start <= *field) - 1;
            // Types without fields share their start with the next one.
            let owner = (0..=owner).rev().find(|&owner| !own[owner].is_empty()).expect("an owner");
            fields.get(own[owner][*field - first[owner]], "json")
        };
        // The places in `json`, sorted by length and then name: most comparisons of a search then end at the length.
        let mut sorted: Vec<usize> = (0..json.len()).collect();
        sorted.sort_by_key(|&place| (json_name(&json[place]).len(), json_name(&json[place])));
        // Places that Go writes even when they are not set, and places with a default.
        let row_of = |field: usize| {
            let owner = first.partition_point(|&start| start <= field) - 1;
            let owner = (0..=owner).rev().find(|&owner| !own[owner].is_empty()).expect("an owner");
            own[owner][field - first[owner]]
        };
        let written: Vec<usize> =
            (0..json.len()).filter(|&place| is_written(&fields, row_of(json[place]))).collect();
        let defaulted: Vec<usize> =
            (0..json.len()).filter(|&place| !fields.get(row_of(json[place]), "default").is_empty()).collect();
        let mut tags: Vec<(u32, usize)> = own[at]
            .iter()
            .enumerate()
            .filter_map(|(place, row)| Some((fields.get(row, "proto_tag").parse().ok()?, first[at] + place)))
            .collect();
        tags.sort();
        let mut range = |list: &mut dyn Iterator<Item = usize>| {
            let start = index.len();
            index.extend(list);
            (start, index.len() - start)
        };
        let (written, defaulted) = (range(&mut written.into_iter()), range(&mut defaulted.into_iter()));
        let (json, sorted, tags) = (
            range(&mut json.into_iter()),
            range(&mut sorted.into_iter()),
            range(&mut tags.into_iter().map(|(_, field)| field)),
        );
        assert!(json.1 == sorted.1);
        let shape = match get("json_shape") {
            "object" => "Object",
            "array" => "Array",
            "duration" => "Duration",
            "envelope" => "Envelope",
            "fieldsv1" => "FieldsV1",
            "int_or_string" => "IntOrString",
            "json" => "Json",
            "microtime" => "MicroTime",
            "quantity" => "Quantity",
            "raw_extension" => "RawExtension",
            "schema|[schema]" => "SchemaOrArray",
            "schema|[string]" => "SchemaOrStrings",
            "schema|bool" => "SchemaOrBool",
            "string" => "GroupVersion",
            "time" => "Time",
            other => panic!("{name}: unknown json_shape {other}"),
        };
        let _ = writeln!(
            rows_of_types,
            "Type {{ name: Text({}), proto: Text({}), gvks: Text({}), unions: Text({}), shape: TypeShape::{shape}, \
             served: {}, atomic: {}, defaults: {}, own: ({}, {}), json: {}, sorted: {}, written: ({}, {}), defaulted: ({}, {}), tags: ({}, {}) }},",
            blob.pack(name),
            blob.pack(get("proto")),
            blob.pack(get("gvks")),
            blob.pack(get("unions")),
            get("served") == "1",
            get("map_type") == "atomic",
            defaults[at],
            first[at],
            own[at].len(),
            json.0,
            sorted.0,
            written.0,
            written.1,
            defaulted.0,
            defaulted.1,
            tags.0,
            tags.1,
        );
        // One length serves both: the sorted index holds the same fields.
        let last = rows_of_types.rfind(" },").expect("just written");
        rows_of_types.replace_range(last..last + 3, &format!(", fields: {} }},", json.1));
    }
    let _ = writeln!(code, "pub(super) static TYPES: [Type; {}] = [\n{rows_of_types}];", names.len());
    let _ = writeln!(code, "pub(super) static INDEX: [u16; {}] = {index:?};", index.len());

    // group/version/Kind to type, sorted by the whole text.
    let mut gvks: Vec<(&str, usize)> = types
        .rows
        .iter()
        .flat_map(|row| {
            let at = by_name[types.get(row, "type")];
            types.get(row, "gvks").split(',').filter(|gvk| !gvk.is_empty()).map(move |gvk| (gvk.trim(), at))
        })
        .collect();
    gvks.sort();
    let _ = writeln!(code, "pub(super) static GVKS: [(Text, u16); {}] = [", gvks.len());
    for (gvk, at) in gvks {
        let _ = writeln!(code, "(Text({}), {at}),", blob.pack(gvk));
    }
    code.push_str("];\n");
}

/// Go writes the field even when nobody set it: `omitempty` never leaves out a struct.
fn is_written(fields: &Tsv, row: &[String]) -> bool {
    let get = |column: &str| fields.get(row, column);
    match get("omit") {
        "empty" => {
            get("presence") == "value"
                && get("repeated") != "1"
                && matches!(
                    get("kind"),
                    "message" | "time" | "microtime" | "quantity" | "int_or_string" | "raw_extension"
                )
        }
        "zero" => false,
        _ => true,
    }
}

/// The fields of a type as JSON has them, inlined ones in their place, as indexes into FIELDS.
fn flatten(
    at: usize,
    own: &[Vec<&Vec<String>>],
    first: &[usize],
    fields: &Tsv,
    by_name: &HashMap<&str, usize>,
    flat: &mut Vec<usize>,
) {
    for (place, row) in own[at].iter().enumerate() {
        match fields.get(row, "json") {
            "*proto*" => {}
            "*inline*" => flatten(by_name[fields.get(row, "ref")], own, first, fields, by_name, flat),
            _ => flat.push(first[at] + place),
        }
    }
}

fn field(
    fields: &Tsv,
    row: &[String],
    owner: usize,
    by_name: &HashMap<&str, usize>,
    go: &str,
    blob: &mut Blob,
    code: &mut String,
) {
    let get = |column: &str| fields.get(row, column);
    let (map, kind) = match get("kind").strip_prefix("map<string,") {
        Some(kind) => (true, kind.trim_end_matches('>')),
        None => (false, get("kind")),
    };
    let kind = match kind {
        "string" => "String",
        "bool" => "Bool",
        "int32" => "Int32",
        "int64" => "Int64",
        "double" => "Double",
        "bytes" => "Bytes",
        "message" => "Message",
        "quantity" => "Quantity",
        "int_or_string" => "IntOrString",
        "time" => "Time",
        "microtime" => "MicroTime",
        "duration" => "Duration",
        "raw_extension" => "RawExtension",
        "fieldsv1" => "FieldsV1",
        "json" => "Json",
        "any" => "Any",
        other => panic!("unknown kind {other}"),
    };
    let presence = match get("presence") {
        "pointer" => "Pointer",
        "slice" => "Slice",
        "map" => "Map",
        _ => "Value",
    };
    let omit = match get("omit") {
        "empty" => "Empty",
        "zero" => "Zero",
        _ => "Never",
    };
    let list = match get("list_type") {
        "set" => "Set",
        "map" => "Map",
        _ => "Atomic",
    };
    let of = if get("ref").is_empty() { NONE } else { by_name[get("ref")] };
    let proto_name = if get("proto_name").is_empty() { get("json") } else { get("proto_name") };
    let _ = writeln!(
        code,
        "Field {{ owner: {owner}, json: Text({}), proto_name: Text({}), tag: {}, kind: Kind::{kind}, map: {map}, \
         repeated: {}, inline: {}, of: {of}, presence: Presence::{presence}, omit: Omit::{omit}, required: {}, \
         default: Text({}), list: ListType::{list}, list_stated: {}, map_keys: Text({}), atomic: {}, granular: {}, strategy: Text({}), merge_key: Text({}), \
         values: Text({}), format: Text({}), go: Text({}) }},",
        blob.pack(get("json")),
        blob.pack(proto_name),
        if get("proto_tag").is_empty() { "0" } else { get("proto_tag") },
        get("repeated") == "1",
        get("json") == "*inline*",
        get("required") == "1",
        blob.pack(get("default")),
        !get("list_type").is_empty(),
        blob.pack(get("list_map_keys")),
        get("map_type") == "atomic",
        get("map_type") == "granular",
        blob.pack(get("patch_strategy")),
        blob.pack(get("patch_merge_key")),
        blob.pack(get("enum")),
        blob.pack(get("format")),
        blob.pack(go),
    );
}

/// Tables that are rows of text and flags only.
fn kinds(folder: &Path, blob: &mut Blob, code: &mut String) {
    let mut table = |file: &str, name: &str, row: &str, texts: &[&str], flags: &[&str], numbers: &[&str]| {
        let tsv = Tsv::read(folder, file);
        let _ = writeln!(code, "pub(super) static {name}: [{row}; {}] = [", tsv.rows.len());
        for line in &tsv.rows {
            let _ = write!(code, "{row} {{ ");
            for column in texts {
                let place = match (*column, row) {
                    ("type", "KindRow") => "type_name",
                    ("type", _) => "r#type",
                    (name, _) => name,
                };
                let _ = write!(code, "{place}: Text({}), ", blob.pack(tsv.get(line, column)));
            }
            for column in flags {
                let _ = write!(code, "{column}: {}, ", tsv.get(line, column) == "1");
            }
            for column in numbers {
                let _ = write!(code, "{column}: {}, ", tsv.get(line, column));
            }
            code.push_str("},\n");
        }
        code.push_str("];\n");
    };
    table(
        "kinds.tsv",
        "KINDS",
        "KindRow",
        &[
            "group",
            "version",
            "kind",
            "list_kind",
            "type",
            "plural",
            "singular",
            "short_names",
            "categories",
            "subresources",
            "verbs",
            "stability",
        ],
        &["namespaced", "default"],
        &[],
    );
    table(
        "columns.tsv",
        "COLUMNS",
        "ColumnRow",
        &["group", "resource", "name", "type", "format"],
        &[],
        &["priority"],
    );
    table(
        "selectable-fields.tsv",
        "SELECTABLE",
        "SelectableRow",
        &["group", "version", "kind", "label", "selects"],
        &["filled"],
        &[],
    );
}

//! Helm's own unit tests, recorded by running them in a copy of its module: `cargo xtask render helm` writes what
//! `crates/render/tests/helm/upstream` keeps. Each function that a test calls is renamed, and one that records takes its place.

use anyhow::Result;

use super::{change, copy_of_module, tests};
use crate::run;

/// Files of `pkg`, and in each the functions that are renamed.
const RENAMED: &[(&str, &[(&str, &str)])] = &[
    (
        "engine/engine.go",
        &[
            ("func (e Engine) Render(", "renderChart"),
            ("func Render(", "renderWithDefaults"),
            ("func RenderWithClientProvider(", "renderWithClientProvider"),
            ("func (e Engine) render(", "renderAll"),
            ("func sortTemplates(", "sortTemplatesOf"),
        ],
    ),
    (
        "engine/files.go",
        &[
            ("func (f files) Get(", "get"),
            ("func (f files) Glob(", "glob"),
            ("func (f files) AsConfig(", "asConfig"),
            ("func (f files) AsSecrets(", "asSecrets"),
            ("func (f files) Lines(", "lines"),
        ],
    ),
    (
        "chartutil/coalesce.go",
        &[
            ("func CoalesceValues(", "coalesceValuesOf"),
            ("func MergeValues(", "mergeValuesOf"),
            ("func coalesce(", "coalesceOf"),
            ("func CoalesceTables(", "coalesceTablesOf"),
            ("func MergeTables(", "mergeTablesOf"),
        ],
    ),
    (
        "chartutil/dependencies.go",
        &[
            ("func ProcessDependencies(", "processDependenciesOf"),
            ("func ProcessDependenciesWithMerge(", "processDependenciesWithMergeOf"),
            ("func processDependencyEnabled(", "processDependencyEnabledOf"),
            ("func processDependencyImportValues(", "processDependencyImportValuesOf"),
            ("func getAliasDependency(", "getAliasDependencyOf"),
        ],
    ),
    (
        "chartutil/values.go",
        &[
            ("func (v Values) Table(", "tableOf"),
            ("func (v Values) PathValue(", "pathValueOf"),
            ("func ReadValues(", "readValuesOf"),
            ("func ToRenderValuesWithSchemaValidation(", "toRenderValues"),
        ],
    ),
    (
        "chartutil/jsonschema.go",
        &[
            ("func ValidateAgainstSchema(", "validateAgainstSchemaOf"),
            ("func ValidateAgainstSingleSchema(", "validateAgainstSingleSchemaOf"),
        ],
    ),
    ("chartutil/compatible.go", &[("func IsCompatibleRange(", "isCompatibleRangeOf")]),
    (
        "chartutil/capabilities.go",
        &[("func ParseKubeVersion(", "parseKubeVersionOf"), ("func (v VersionSet) Has(", "has")],
    ),
    ("chartutil/validate_name.go", &[("func ValidateReleaseName(", "validateReleaseNameOf")]),
    (
        "strvals/parser.go",
        &[
            ("func ToYAML(", "toYAML"),
            ("func Parse(", "parseOf"),
            ("func ParseString(", "parseString"),
            ("func ParseInto(", "parseInto"),
            ("func ParseIntoString(", "parseIntoString"),
            ("func ParseJSON(", "parseJSON"),
            ("func ParseFile(", "parseFile"),
            ("func ParseIntoFile(", "parseIntoFile"),
            ("func setIndex(", "setIndexOf"),
        ],
    ),
    (
        "strvals/literal_parser.go",
        &[("func ParseLiteral(", "parseLiteral"), ("func ParseLiteralInto(", "parseLiteralInto")],
    ),
    ("releaseutil/manifest_sorter.go", &[("func SortManifests(", "sortManifests")]),
    (
        "releaseutil/kind_sorter.go",
        &[
            ("func sortManifestsByKind(", "sortManifestsByKindOf"),
            ("func sortHooksByKind(", "sortHooksByKindOf"),
        ],
    ),
    ("releaseutil/manifest.go", &[("func SplitManifests(", "splitManifests")]),
];

/// Where a test of functions in templates has what it asked and what it got.
const FUNCTIONS: (&str, &str) = (
    "assert.Equal(t, tt.expect, b.String(), tt.tpl)",
    "assert.Equal(t, tt.expect, b.String(), tt.tpl)\n\t\trecordFunction(t, tt.tpl, tt.vars, b.String())",
);

const PACKAGES: [&str; 4] = ["engine", "chartutil", "strvals", "releaseutil"];

/// Runs them, and writes the records anew.
pub fn record() -> Result<()> {
    let copy = copy_of_module("helm.sh/helm/v3", &run::target().join("helm-tests"))?;
    let (sources, package) = (run::root().join("oracle/helm"), copy.join("pkg"));
    std::fs::create_dir_all(package.join("record"))?;
    std::fs::copy(sources.join("record.go.txt"), package.join("record/record.go"))?;
    for name in PACKAGES {
        std::fs::copy(sources.join(format!("{name}.go.txt")), package.join(name).join("record.go"))?;
    }
    for (file, functions) in RENAMED {
        for (from, name) in *functions {
            let (before, _) = from.trim_end_matches('(').rsplit_once(' ').unwrap_or(("func", ""));
            change(&package.join(file), &[(from, &format!("{before} {name}("))])?;
        }
    }
    change(&package.join("engine/funcs_test.go"), &[FUNCTIONS])?;
    eprintln!("==> running Helm's own tests (one needs a network and fails without; its case is left out)");
    let records = tests(&copy, &PACKAGES.map(|name| format!("./pkg/{name}")))?;
    std::fs::copy(records, run::root().join("crates/render/tests/helm/upstream/cases.jsonl"))?;
    eprintln!("written; `cargo test -p render upstream` asks them");
    Ok(())
}

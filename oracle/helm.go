package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"sigs.k8s.io/yaml"
)

// A Helm question: a chart in memory, or at a path, and the flags of `helm template`; the answer is what the program would print.
type helmQuestion struct {
	Files       map[string]string `json:"files"`
	Binary      map[string]string `json:"binary"`
	Archive     string            `json:"archive"`
	Path        string            `json:"path"`
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Values      []string          `json:"values"`
	Set         []string          `json:"set"`
	SetString   []string          `json:"setString"`
	SetJSON     []string          `json:"setJSON"`
	SetLiteral  []string          `json:"setLiteral"`
	KubeVersion string            `json:"kubeVersion"`
	APIVersions []string          `json:"apiVersions"`
	IncludeCRDs bool              `json:"includeCRDs"`
	IsUpgrade   bool              `json:"isUpgrade"`
	NoHooks     bool              `json:"noHooks"`
	SkipTests   bool              `json:"skipTests"`
	SkipSchema  bool              `json:"skipSchema"`
	ShowOnly    []string          `json:"showOnly"`
	SubNotes    bool              `json:"subNotes"`
}

func init() { log.SetOutput(io.Discard) }

func askHelm(line json.RawMessage) (any, error) {
	var q helmQuestion
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	config := &action.Configuration{Log: func(string, ...interface{}) {}}
	client := action.NewInstall(config)
	if q.KubeVersion != "" {
		version, err := chartutil.ParseKubeVersion(q.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("invalid kube version '%s': %s", q.KubeVersion, err)
		}
		client.KubeVersion = version
	}
	client.DryRun, client.DryRunOption, client.Replace, client.ClientOnly = true, "true", true, true
	client.ReleaseName, client.Namespace = q.Name, q.Namespace
	client.APIVersions = q.APIVersions
	client.IncludeCRDs, client.IsUpgrade, client.DisableHooks = q.IncludeCRDs, q.IsUpgrade, q.NoHooks
	client.SkipSchemaValidation, client.SubNotes = q.SkipSchema, q.SubNotes

	vals, err := q.merge()
	if err != nil {
		return nil, err
	}
	requested, err := q.load()
	if err != nil {
		return nil, err
	}
	switch requested.Metadata.Type {
	case "", "application":
	default:
		return nil, fmt.Errorf("%s charts are not installable", requested.Metadata.Type)
	}
	if req := requested.Metadata.Dependencies; req != nil {
		if err := action.CheckDependencies(requested, req); err != nil {
			return nil, fmt.Errorf("An error occurred while checking for chart dependencies. You may need to run `helm dependency build` to fetch missing dependencies: %w", err)
		}
	}
	rel, err := client.Run(requested, vals)
	if err != nil {
		if rel != nil {
			return nil, fmt.Errorf("%w\n\nUse --debug flag to render out invalid YAML", err)
		}
		return nil, err
	}
	printed, err := q.print(rel, client.DisableHooks)
	return map[string]string{"manifest": printed, "notes": rel.Info.Notes}, err
}

// merge does what the flags of values do, in the program's order.
func (q *helmQuestion) merge() (map[string]any, error) {
	base := map[string]any{}
	for _, text := range q.Values {
		current := map[string]any{}
		if err := yaml.Unmarshal([]byte(text), &current); err != nil {
			return nil, fmt.Errorf("failed to parse values.yaml: %w", err)
		}
		base = mergeMaps(base, current)
	}
	options := values.Options{Values: q.Set, StringValues: q.SetString, JSONValues: q.SetJSON, LiteralValues: q.SetLiteral}
	flags, err := options.MergeValues(nil)
	if err != nil || len(base) == 0 {
		return flags, err
	}
	// The flags change the merged files in place, so they have to be parsed into them; a file of them does that.
	directory, err := temporary(base)
	if err != nil {
		return nil, err
	}
	options.ValueFiles = []string{directory}
	return options.MergeValues(nil)
}

func mergeMaps(a, b map[string]any) map[string]any {
	out := make(map[string]any, len(a))
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		if v, ok := v.(map[string]any); ok {
			if bv, ok := out[k].(map[string]any); ok {
				out[k] = mergeMaps(bv, v)
				continue
			}
		}
		out[k] = v
	}
	return out
}

func (q *helmQuestion) load() (*chart.Chart, error) {
	if q.Path != "" {
		return loader.Load(q.Path)
	}
	if q.Archive != "" {
		data, err := base64.StdEncoding.DecodeString(q.Archive)
		if err != nil {
			return nil, err
		}
		return loader.LoadArchive(bytes.NewReader(data))
	}
	files := []*loader.BufferedFile{}
	for name, text := range q.Files {
		files = append(files, &loader.BufferedFile{Name: name, Data: []byte(text)})
	}
	for name, text := range q.Binary {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		files = append(files, &loader.BufferedFile{Name: name, Data: data})
	}
	// A directory is walked in the order of its paths.
	sort.Slice(files, func(i, j int) bool { return files[i].Name < files[j].Name })
	return loader.LoadFiles(files)
}

func (q *helmQuestion) print(rel *release.Release, noHooks bool) (string, error) {
	var manifests bytes.Buffer
	fmt.Fprintln(&manifests, strings.TrimSpace(rel.Manifest))
	if !noHooks {
		for _, hook := range rel.Hooks {
			test := false
			for _, event := range hook.Events {
				test = test || event == release.HookTest
			}
			if q.SkipTests && test {
				continue
			}
			fmt.Fprintf(&manifests, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
		}
	}
	if len(q.ShowOnly) == 0 {
		return manifests.String(), nil
	}
	split := releaseutil.SplitManifests(manifests.String())
	keys := []string{}
	for key := range split {
		keys = append(keys, key)
	}
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	source := regexp.MustCompile("# Source: [^/]+/(.+)")
	var out strings.Builder
	for _, file := range q.ShowOnly {
		missing := true
		for _, key := range keys {
			found := source.FindStringSubmatch(split[key])
			if len(found) == 0 {
				continue
			}
			if matched, _ := filepath.Match(file, found[1]); matched {
				fmt.Fprintf(&out, "---\n%s\n", split[key])
				missing = false
			}
		}
		if missing {
			return "", fmt.Errorf("could not find template %s in chart", file)
		}
	}
	return out.String(), nil
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gobwas/glob"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// A directory question: the objects that Argo CD takes from a directory of plain manifests. Argo CD's own module cannot be required
// (its go.mod replaces a dozen others), so this follows the steps of its reposerver/repository (v3.2) with the libraries that it uses
// for them: the glob, the decoder of streams, unstructured objects.
func askDirectory(line json.RawMessage) (any, error) {
	var q struct {
		Files   map[string]string `json:"files"`
		Links   map[string]string `json:"links"`
		Recurse bool              `json:"recurse"`
		Include string            `json:"include"`
		Exclude string            `json:"exclude"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("", "oracle-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	place := func(name string) string {
		path := filepath.Join(root, name)
		_ = os.MkdirAll(filepath.Dir(path), 0o755)
		return path
	}
	for name, text := range q.Files {
		if err := os.WriteFile(place(name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	for name, target := range q.Links {
		if err := os.Symlink(target, place(name)); err != nil {
			return nil, err
		}
	}
	app := filepath.Join(root, "app")
	var found []*unstructured.Unstructured
	err = filepath.Walk(app, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if info.IsDir() {
			if path != app && !q.Recurse {
				return filepath.SkipDir
			}
			return nil
		}
		taken, err := isManifest(path, app, root, q.Include, q.Exclude)
		if err != nil || !taken {
			return err
		}
		objects, err := manifests(path)
		found = append(found, objects...)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, object := range found {
		items, hasItems := object.Object["items"]
		_, spec := object.Object["spec"]
		_, status := object.Object["status"]
		switch {
		case object.IsList():
			err := object.EachListItem(func(item runtime.Object) error {
				out = append(out, item.(*unstructured.Unstructured).Object)
				return nil
			})
			if err != nil {
				return nil, err
			}
		case hasItems && items == nil && !spec && !status:
		default:
			out = append(out, object.Object)
		}
	}
	return out, nil
}

var manifestName = regexp.MustCompile(`^.*\.(yaml|yml|json|jsonnet)$`)

func isManifest(path, app, root, include, exclude string) (bool, error) {
	if !manifestName.MatchString(filepath.Base(path)) {
		return false, nil
	}
	real, err := filepath.EvalSymlinks(path)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !strings.HasPrefix(real, root+"/") {
		return false, errors.New("illegal filepath in symlink")
	}
	info, err := os.Stat(real)
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	inside, err := filepath.Rel(app, path)
	if err != nil {
		return false, err
	}
	match := func(pattern string) bool {
		compiled, err := glob.Compile(pattern)
		return err == nil && compiled.Match(inside)
	}
	if exclude != "" && match(exclude) || include != "" && !match(include) {
		return false, nil
	}
	text, err := os.ReadFile(path)
	return !strings.Contains(string(text), "+argocd:skip-file-rendering"), err
}

func manifests(path string) ([]*unstructured.Unstructured, error) {
	name := filepath.Base(path)
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	switch filepath.Ext(name) {
	case ".jsonnet":
		return nil, errors.New("jsonnet is not asked")
	case ".json":
		object := &unstructured.Unstructured{}
		decoder := json.NewDecoder(file)
		if err := decoder.Decode(object); err != nil {
			return nil, fmt.Errorf("Failed to unmarshal %q: %v", name, err)
		}
		if decoder.More() {
			return nil, fmt.Errorf("Found multiple objects in %q. Only single objects are allowed in JSON files.", name)
		}
		return []*unstructured.Unstructured{object}, nil
	}
	var found []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			text, _ := os.ReadFile(path)
			manifest := true
			for _, field := range []string{"apiVersion:", "kind:", "metadata:"} {
				manifest = manifest && strings.Contains(string(text), field)
			}
			if len(found) == 0 && !manifest {
				return nil, nil
			}
			return nil, fmt.Errorf("Failed to unmarshal %q: failed to unmarshal manifest: %v", name, err)
		}
		if object != nil {
			found = append(found, object)
		}
	}
}

package main

import (
	"encoding/json"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// A build question: what `kustomize build` prints for a tree in memory, or for a directory if no files are given. "order" is
// "legacy" (as the command line has it) or "none".
func askBuild(line json.RawMessage) (any, error) {
	var q struct {
		Files map[string]string `json:"files"`
		Path  string            `json:"path"`
		Order string            `json:"order"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	tree := filesys.MakeFsOnDisk()
	if q.Files != nil {
		tree = filesys.MakeFsInMemory()
	}
	for name, content := range q.Files {
		if err := tree.WriteFile(name, []byte(content)); err != nil {
			return nil, err
		}
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOption(q.Order)
	resources, err := krusty.MakeKustomizer(options).Run(tree, q.Path)
	if err != nil {
		return nil, err
	}
	printed, err := resources.AsYaml()
	return string(printed), err
}

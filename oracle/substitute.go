package main

import (
	"context"
	"encoding/json"

	"github.com/fluxcd/pkg/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/provider"
)

// A substitute question: what Flux makes of the objects of a text after a build, with variables given in the Kustomization.
func askSubstitute(line json.RawMessage) (any, error) {
	var q struct {
		Text   string         `json:"text"`
		Vars   map[string]any `json:"vars"`
		Strict bool           `json:"strict"`
		Always bool           `json:"always"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	resources, err := provider.NewDefaultDepProvider().GetResourceFactory().SliceFromBytes([]byte(q.Text))
	if err != nil {
		return nil, err
	}
	owner := unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"postBuild": map[string]any{"substitute": q.Vars}},
	}}
	out := ""
	for _, resource := range resources {
		// Without a cluster: variables of ConfigMaps and Secrets are read by who asks.
		_, err := kustomize.SubstituteVariables(context.Background(), nil, owner, resource,
			kustomize.SubstituteWithDryRun(true), kustomize.SubstituteWithStrict(q.Strict), kustomize.SubstituteWithAlways(q.Always))
		if err != nil {
			return nil, err
		}
		printed, err := resource.AsYAML()
		if err != nil {
			return nil, err
		}
		out += string(printed) + "---\n"
	}
	return out, nil
}

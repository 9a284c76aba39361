package main

import (
	"encoding/json"
	"errors"

	"sigs.k8s.io/kustomize/kyaml/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// A kyaml question: what Kustomize prints of one document that it read and did not change.
func askKyaml(line json.RawMessage) (any, error) {
	var q struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	node, err := yaml.Parse(q.Text)
	if err != nil {
		return nil, err
	}
	if err := node.DeAnchor(); err != nil {
		return nil, err
	}
	if node.YNode().Kind != yaml.MappingNode {
		return nil, errors.New("not a map")
	}
	asJSON, err := node.MarshalJSON()
	if err != nil {
		return nil, err
	}
	printed, err := sigsyaml.JSONToYAML(asJSON)
	return string(printed), err
}

package main

import (
	"encoding/json"

	"sigs.k8s.io/yaml"
)

// A YAML question: what sigs.k8s.io/yaml, as Helm calls it, reads from a text (as JSON) and prints of that again.
func askYAML(line json.RawMessage) (any, error) {
	var q struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	var value any
	if err := yaml.Unmarshal([]byte(q.Text), &value); err != nil {
		return nil, err
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	printed, err := yaml.Marshal(value)
	return map[string]string{"json": string(asJSON), "yaml": string(printed)}, err
}

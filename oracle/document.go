package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// A document question: what both decoders make of one text, Helm's ("yaml") first, then Kustomize's: what it would print
// of the resources that it read and did not change. Each answer is {"out"} or {"error"}.
func askDocument(line json.RawMessage) (any, error) {
	return []map[string]any{told(askYAML, line), told(askResources, line)}, nil
}

// told asks and turns an error, or a panic, into an answer.
func told(ask func(json.RawMessage) (any, error), line json.RawMessage) (answer map[string]any) {
	defer func() {
		if r := recover(); r != nil {
			answer = map[string]any{"panic": fmt.Sprint(r)}
		}
	}()
	out, err := ask(line)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"out": out}
}

func askResources(line json.RawMessage) (any, error) {
	var q struct {
		Text string `json:"text"`
		// Bare leaves out the comments of what was read.
		Bare bool `json:"bare"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	// Upstream would expand an anchor that holds itself until memory ends. It cuts the text at these lines before it reads any.
	for _, part := range separator.Split(strings.ReplaceAll(q.Text, "\r\n", "\n"), -1) {
		node := &yaml.Node{}
		if yaml.NewDecoder(strings.NewReader(part+"\n")).Decode(node) == nil && holds(node, map[*yaml.Node]bool{}) {
			return nil, errors.New("an anchor holds itself")
		}
	}
	nodes, err := kio.FromBytes([]byte(q.Text))
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	for _, node := range nodes {
		if q.Bare {
			bare(node.Document())
		}
		if node.IsNilOrEmpty() {
			continue
		}
		if node.YNode().Kind != yaml.MappingNode {
			return nil, errors.New("not a map")
		}
		asJSON, err := node.MarshalJSON()
		if err != nil {
			return nil, err
		}
		printed, err := sigsyaml.JSONToYAML(asJSON)
		if err != nil {
			return nil, err
		}
		out.Write(printed)
		out.WriteString("---\n")
	}
	return out.String(), nil
}

func bare(node *yaml.Node) {
	node.HeadComment, node.LineComment, node.FootComment = "", "", ""
	for _, inner := range node.Content {
		bare(inner)
	}
}

var separator = regexp.MustCompile(`\n---.*\n`)

// holds tells whether a node lies within itself; above are those that lie around it.
func holds(node *yaml.Node, above map[*yaml.Node]bool) bool {
	if node == nil {
		return false
	}
	if above[node] {
		return true
	}
	above[node] = true
	defer delete(above, node)
	for _, inner := range node.Content {
		if holds(inner, above) {
			return true
		}
	}
	return holds(node.Alias, above)
}

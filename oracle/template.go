package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/template"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// A template question: the text of one template of a chart with typed values, rendered by Helm's engine. Bare leaves out
// Helm and Sprig: Go's own text/template.
type templateQuestion struct {
	Name string                     `json:"name"`
	Text string                     `json:"text"`
	Data map[string]json.RawMessage `json:"data"`
	Bare bool                       `json:"bare"`
}

func askTemplate(line json.RawMessage) (any, error) {
	var q templateQuestion
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	data := map[string]any{}
	for name, raw := range q.Data {
		value, err := typed(raw)
		if err != nil {
			return nil, fmt.Errorf("oracle: %w", err)
		}
		data[name] = value
	}
	if q.Bare {
		t, err := template.New(q.Name).Option("missingkey=default").Parse(q.Text)
		if err != nil {
			return nil, err
		}
		var out strings.Builder
		err = t.Execute(&out, data)
		return out.String(), err
	}
	c := &chart.Chart{
		Metadata:  &chart.Metadata{APIVersion: "v2", Name: "c", Version: "0.1.0"},
		Templates: []*chart.File{{Name: "templates/" + q.Name, Data: []byte(q.Text)}},
	}
	out, err := engine.Render(c, chartutil.Values{"Values": data})
	return out["c/templates/"+q.Name], err
}

// typed reads a Go value of a certain type: JSON's own shapes are what encoding/json makes of them (numbers are float64),
// {"int": "5"} and its like name the type.
func typed(raw json.RawMessage) (any, error) {
	var any_ any
	if err := json.Unmarshal(raw, &any_); err != nil {
		return nil, err
	}
	return convert(any_)
}

func convert(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		for at, item := range v {
			converted, err := convert(item)
			if err != nil {
				return nil, err
			}
			v[at] = converted
		}
		return v, nil
	case map[string]any:
		if len(v) == 1 {
			for kind, inner := range v {
				text, isText := inner.(string)
				switch {
				case kind == "$int" && isText:
					n, err := strconv.ParseInt(text, 10, 64)
					return int(n), err
				case kind == "$int64" && isText:
					return strconv.ParseInt(text, 10, 64)
				case kind == "$strings":
					out := []string{}
					for _, item := range inner.([]any) {
						out = append(out, item.(string))
					}
					return out, nil
				case kind == "$bytes" && isText:
					return []byte(text), nil
				}
			}
		}
		for key, item := range v {
			converted, err := convert(item)
			if err != nil {
				return nil, err
			}
			v[key] = converted
		}
		return v, nil
	}
	return v, nil
}

package main

import (
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

var scratch string

// temporary writes values to one file that every question uses again.
func temporary(values map[string]any) (string, error) {
	if scratch == "" {
		directory, err := os.MkdirTemp("", "oracle-")
		if err != nil {
			return "", err
		}
		scratch = directory
	}
	data, err := yaml.Marshal(values)
	if err != nil {
		return "", err
	}
	path := filepath.Join(scratch, "values.yaml")
	return path, os.WriteFile(path, data, 0o600)
}

//go:build tools

// Package helm pins the Helm that is run as a client of skiff.
package helm

import (
	_ "helm.sh/helm/v3/cmd/helm"
)

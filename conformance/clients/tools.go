//go:build tools

// Package clients pins the controller-runtime whose own integration tests are run against skiff.
package clients

import (
	_ "sigs.k8s.io/controller-runtime"
)

//go:build tools

// Package etcd pins the etcd that one test of aggregation runs beside the sample API server, and the differential under upstream's.
package etcd

import (
	_ "go.etcd.io/etcd/server/v3"
)

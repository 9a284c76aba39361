//! The CustomResourceDefinitions of Argo CD, structural, with unknown fields kept where upstream's schema is large, and
//! the project that every Application names by default. Installed only where they are missing; one that is there is
//! used as it is.

use api::Value;

pub(super) fn all() -> Vec<Value> {
    let read = |text: &str| serde_json::from_str(text).expect("because a test reads it");
    [APPLICATION, PROJECT, NAMESPACE, DEFAULT_PROJECT].into_iter().map(read).collect()
}

const NAMESPACE: &str = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"argocd"}}"#;

const DEFAULT_PROJECT: &str = r#"{
  "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
  "metadata": {"name": "default", "namespace": "argocd"},
  "spec": {
    "sourceRepos": ["*"],
    "destinations": [{"namespace": "*", "server": "*"}],
    "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]
  }
}"#;

const APPLICATION: &str = r#"{
  "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
  "metadata": {
    "name": "applications.argoproj.io",
    "labels": {"app.kubernetes.io/name": "applications.argoproj.io", "app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/managed-by": "skiff"}
  },
  "spec": {
    "group": "argoproj.io", "scope": "Namespaced",
    "names": {"kind": "Application", "listKind": "ApplicationList", "plural": "applications", "singular": "application", "shortNames": ["app", "apps"]},
    "versions": [{
      "name": "v1alpha1", "served": true, "storage": true,
      "additionalPrinterColumns": [
        {"name": "Sync Status", "type": "string", "jsonPath": ".status.sync.status"},
        {"name": "Health Status", "type": "string", "jsonPath": ".status.health.status"},
        {"name": "Revision", "type": "string", "jsonPath": ".status.sync.revision", "priority": 10},
        {"name": "Project", "type": "string", "jsonPath": ".spec.project", "priority": 10}
      ],
      "schema": {"openAPIV3Schema": {
        "type": "object", "required": ["metadata", "spec"],
        "properties": {
          "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
          "operation": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
          "spec": {
            "type": "object", "required": ["destination", "project"], "x-kubernetes-preserve-unknown-fields": true,
            "properties": {
              "project": {"type": "string"},
              "destination": {"type": "object", "properties": {
                "server": {"type": "string"}, "name": {"type": "string"}, "namespace": {"type": "string"}}},
              "source": {
                "type": "object", "required": ["repoURL"], "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                  "repoURL": {"type": "string"}, "path": {"type": "string"}, "targetRevision": {"type": "string"},
                  "chart": {"type": "string"}, "ref": {"type": "string"},
                  "directory": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "recurse": {"type": "boolean"}, "include": {"type": "string"}, "exclude": {"type": "string"}}},
                  "kustomize": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "namePrefix": {"type": "string"}, "nameSuffix": {"type": "string"}, "namespace": {"type": "string"},
                    "images": {"type": "array", "items": {"type": "string"}},
                    "components": {"type": "array", "items": {"type": "string"}},
                    "commonLabels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "commonAnnotations": {"type": "object", "additionalProperties": {"type": "string"}},
                    "replicas": {"type": "array", "items": {"type": "object", "required": ["count", "name"], "properties": {
                      "name": {"type": "string"}, "count": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}}}}
                  }}
                }
              },
              "syncPolicy": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                "automated": {"type": "object", "properties": {
                  "enabled": {"type": "boolean"}, "prune": {"type": "boolean"}, "selfHeal": {"type": "boolean"}, "allowEmpty": {"type": "boolean"}}},
                "syncOptions": {"type": "array", "items": {"type": "string"}},
                "retry": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                  "limit": {"type": "integer", "format": "int64"}}}
              }},
              "ignoreDifferences": {"type": "array", "items": {"type": "object", "required": ["kind"], "properties": {
                "group": {"type": "string"}, "kind": {"type": "string"}, "name": {"type": "string"}, "namespace": {"type": "string"},
                "jsonPointers": {"type": "array", "items": {"type": "string"}},
                "jqPathExpressions": {"type": "array", "items": {"type": "string"}},
                "managedFieldsManagers": {"type": "array", "items": {"type": "string"}}}}},
              "revisionHistoryLimit": {"type": "integer", "format": "int64"}
            }
          },
          "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
        }
      }},
      "subresources": {}
    }]
  }
}"#;

const PROJECT: &str = r#"{
  "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
  "metadata": {
    "name": "appprojects.argoproj.io",
    "labels": {"app.kubernetes.io/name": "appprojects.argoproj.io", "app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/managed-by": "skiff"}
  },
  "spec": {
    "group": "argoproj.io", "scope": "Namespaced",
    "names": {"kind": "AppProject", "listKind": "AppProjectList", "plural": "appprojects", "singular": "appproject", "shortNames": ["appproj", "appprojs"]},
    "versions": [{
      "name": "v1alpha1", "served": true, "storage": true,
      "schema": {"openAPIV3Schema": {
        "type": "object", "required": ["metadata", "spec"],
        "properties": {
          "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
          "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
          "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
        }
      }}
    }]
  }
}"#;

//! A chart with 300 KB of templates, as large charts of operators and platforms are.

use std::fmt::Write;
use std::path::Path;

/// Files of templates, of about 3 KB each.
const COMPONENTS: usize = 105;

const HELPERS: &str = r#"{{- define "shop.name" -}}
{{- printf "%s-%s" .root.Release.Name .component | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- define "shop.labels" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- define "shop.metadata" -}}
name: {{ include "shop.name" . }}
labels: {{- include "shop.labels" . | nindent 2 }}
{{- end -}}
{{- define "shop.image" -}}
{{- $image := .image -}}
{{- $registry := default $image.registry .root.Values.global.registry -}}
{{- printf "%s/%s:%s" $registry $image.repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
"#;

const COMPONENT: &str = r#"{{- $context := dict "root" $ "component" "NAME" -}}
{{- $values := mergeOverwrite (deepCopy .Values.defaults) (.Values.NAME | default dict) -}}
{{- if $values.enabled }}
apiVersion: apps/v1
kind: {{ ternary "StatefulSet" "Deployment" $values.stateful }}
metadata:
  name: {{ include "shop.name" $context }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "shop.labels" $context | nindent 4 }}
  {{- with $values.annotations }}
  annotations:
    {{- range $key, $value := . }}
    {{ $key }}: {{ tpl $value $ | quote }}
    {{- end }}
  {{- end }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  selector:
    matchLabels:
      app.kubernetes.io/name: NAME
  template:
    metadata:
      labels: {{- include "shop.labels" $context | nindent 8 }}
      annotations:
        checksum/config: {{ toYaml $values.config | sha256sum }}
    spec:
      serviceAccountName: {{ default (include "shop.name" $context) $values.serviceAccount }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: main
          image: {{ include "shop.image" (merge (dict "image" $values.image) $context) | quote }}
          {{- if $values.command }}
          command: {{ $values.command | toJson }}
          {{- end }}
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            {{- range $index, $item := $values.env }}
            - name: {{ $item.name | upper | replace "-" "_" }}
              value: {{ $item.value | quote }}
            {{- end }}
          ports:
            {{- range $values.ports }}
            - name: {{ .name }}
              containerPort: {{ .port | int }}
              protocol: {{ .protocol | default "TCP" }}
            {{- end }}
          {{- if semverCompare ">=1.20-0" .Capabilities.KubeVersion.Version }}
          startupProbe:
            httpGet: {path: {{ $values.probe.path }}, port: {{ (first $values.ports).name }}}
          {{- end }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: config, mountPath: /etc/NAME}
      volumes:
        - name: config
          configMap: {name: {{ include "shop.name" $context }}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{- include "shop.metadata" $context | nindent 2 }}
data:
  {{- range $key, $value := $values.config }}
  {{ $key }}: {{ tpl $value $ | quote }}
  {{- end }}
  all.yaml: |
    {{- toYaml $values.config | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata: {{- include "shop.metadata" $context | nindent 2 }}
spec:
  type: {{ $values.service.type }}
  selector:
    app.kubernetes.io/name: NAME
  ports:
    {{- range $values.ports }}
    - {name: {{ .name }}, port: {{ .port }}, targetPort: {{ .name }}}
    {{- end }}
{{- end }}
"#;

const VALUES: &str = "global: {registry: registry.io}\ncommonLabels: {team: shop, tier: back}\ndefaults:\n  enabled: true\n  stateful: false\n  replicas: 2\n  image: {registry: docker.io, repository: shop/app, tag: \"\"}\n  annotations: {note: '{{ .Release.Name }} in {{ .Release.Namespace }}', plain: text}\n  autoscaling: {enabled: false}\n  command: [run, --all]\n  config: {one: '{{ .Values.global.registry }}', two: plain text, three: \"a: b\"}\n  env:\n  - {name: log-level, value: info}\n  - {name: port, value: 8080}\n  ports:\n  - {name: http, port: 8080}\n  - {name: metrics, port: 9090, protocol: TCP}\n  probe: {path: /healthz}\n  resources: {limits: {cpu: 500m, memory: 256Mi}, requests: {cpu: 100m}}\n  nodeSelector: {kubernetes.io/os: linux}\n  service: {type: ClusterIP}\n  serviceAccount: \"\"\n";

/// Writes the chart, and tells how many bytes its templates have.
pub fn write(root: &Path) -> usize {
    std::fs::create_dir_all(root.join("templates")).unwrap();
    let put = |path: &str, text: &str| std::fs::write(root.join(path), text).unwrap();
    put("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.2.3+b1\nappVersion: \"4.5\"\n");
    let mut values = VALUES.to_string();
    let mut size = HELPERS.len();
    put("templates/_helpers.tpl", HELPERS);
    for at in 0..COMPONENTS {
        let name = format!("component{at}");
        let text = COMPONENT.replace("NAME", &name);
        size += text.len();
        put(&format!("templates/{name}.yaml"), &text);
        let _ = writeln!(
            values,
            "{name}: {{replicas: {}, image: {{tag: v{at}}}, env: [{{name: at, value: {at}}}]}}",
            at % 5
        );
    }
    put("values.yaml", &values);
    size
}

{{- /* What several templates say alike. `tulle install` renders this chart with a small part of Go's templates:
       src/install/template/ says which. */ -}}

{{- define "tulle.selector" -}}
app.kubernetes.io/name: tulle
app.kubernetes.io/component: operator
{{- end }}

{{- define "tulle.labels" -}}
{{ include "tulle.selector" . }}
app.kubernetes.io/part-of: tulle
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "tulle.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{- /* Namespaces that nothing of ours may stop. */ -}}
{{- define "tulle.notExempt" -}}
key: kubernetes.io/metadata.name
operator: NotIn
values: [kube-system, kube-public, kube-node-lease, {{ .Release.Namespace }}]
{{- end }}

{{- /* Pods that are never meshed: those in the node's network, and the kubelet's static pods. */ -}}
{{- define "tulle.meshable" -}}
- name: not-host-network
  expression: "!has(object.spec.hostNetwork) || !object.spec.hostNetwork"
- name: not-mirror-pod
  expression: "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)"
{{- end }}

{{- /* What both webhooks of the injector say alike. */ -}}
{{- define "tulle.webhook" -}}
clientConfig:
  service:
    name: tulle-operator
    namespace: {{ .Release.Namespace }}
    path: /inject
    port: 443
rules:
  - apiGroups: [""]
    apiVersions: [v1]
    resources: [pods]
    operations: [CREATE]
    scope: Namespaced
matchConditions:
  {{- include "tulle.meshable" . | nindent 2 }}
# An absent operator must not stop pods; where nothing may slip through, tulle-strict refuses them.
failurePolicy: Ignore
# Another webhook may have put its container in front of ours.
reinvocationPolicy: IfNeeded
matchPolicy: Equivalent
sideEffects: None
timeoutSeconds: {{ .Values.injection.timeoutSeconds }}
admissionReviewVersions: [v1]
{{- end }}

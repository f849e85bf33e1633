/** Annotations that tell a static pod and its mirror (upstream `pkg/kubelet/types/pod_update.go`). */
export const configAnnotations = {
  hash: "kubernetes.io/config.hash",
  mirror: "kubernetes.io/config.mirror",
  seen: "kubernetes.io/config.seen",
  source: "kubernetes.io/config.source",
} as const;

/**
 * The manifest of a static pod: one file with one pod, as YAML or JSON. What the kubelet adds to it
 * is upstream's (`pkg/kubelet/config/common.go`): the node's name behind the pod's, a uid made of
 * the content, annotations, and a toleration of every taint that would evict it.
 */
import { createHash } from "node:crypto";
import type { Pod } from "../../../proto/gen/core.ts";
import { builtInRegistry, parseYaml, validateMetadata } from "../../kinds/mod.ts";
import { configAnnotations } from "./annotations.ts";

/** The documents of one kind of error: a person has to mend the file. */
class ManifestError extends Error {
  override readonly name = "ManifestError";
}

interface Manifest {
  readonly pod: Pod;
  /** Fields that a pod does not have; they have no effect. */
  readonly unknown: readonly string[];
}

/**
 * Reads one manifest. `path` is part of the uid: two files are two pods. Throws ManifestError with
 * what is wrong.
 */
export function podOfManifest(text: string, path: string, nodeName: string): Manifest {
  const resource = builtInRegistry().required("v1", "Pod");
  const { errors, unknown, document } = resource.schema.check(documentOf(text), "warn");
  if (errors.length > 0) throw invalid(errors);
  const { apiVersion, kind } = document;
  if (apiVersion !== "v1" || kind !== "Pod") {
    throw new ManifestError(
      `it is ${apiVersion ?? "of no version"}, ${kind ?? "of no kind"}, not v1, Pod`,
    );
  }
  const pod = document as Pod;
  const { metadata = {}, spec = {} } = pod;
  const given = metadata.name ?? "";
  if (given === "") throw new ManifestError("metadata.name: Required value");
  const uid = metadata.uid || uidOf(pod, path, nodeName);
  pod.metadata = {
    ...metadata,
    name: `${given}-${nodeName.toLowerCase()}`,
    namespace: metadata.namespace || "default",
    uid,
    annotations: {
      ...metadata.annotations,
      [configAnnotations.hash]: uid,
      [configAnnotations.source]: "file",
    },
  };
  const tolerated = { operator: "Exists", effect: "NoExecute" };
  const has = (spec.tolerations ?? []).some(
    (one) => one.operator === "Exists" && !one.key && one.effect === "NoExecute",
  );
  pod.spec = {
    ...spec,
    nodeName,
    tolerations: [...(spec.tolerations ?? []), ...(has ? [] : [tolerated])],
  };
  resource.setDefaults(document);
  const causes = [...validateMetadata(resource, document), ...resource.validate(document)];
  if (causes.length > 0) throw invalid(causes);
  pod.status = { phase: "Pending" };
  return { pod, unknown };
}

function documentOf(text: string): unknown {
  let documents: unknown[];
  try {
    documents = parseYaml(text).filter((one) => one !== null);
  } catch (error) {
    throw new ManifestError((error as Error).message);
  }
  const [only] = documents;
  if (documents.length === 1) return only;
  throw new ManifestError(`it holds ${documents.length} documents, and a static pod is one`);
}

function invalid(causes: readonly { readonly field?: string; readonly message?: string }[]) {
  const text = causes.map(({ field, message }) => `${field}: ${message}`).join(", ");
  return new ManifestError(`invalid pod: ${text}`);
}

function uidOf(pod: Pod, path: string, nodeName: string): string {
  const hash = createHash("md5");
  hash.update(`host:${nodeName}\nfile:${path}\n`);
  return hash.update(JSON.stringify(pod)).digest("hex");
}

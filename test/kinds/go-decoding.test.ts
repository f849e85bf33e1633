/** What is said of documents that cannot be decoded: the texts are those of upstream 1.34. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { base64Fault } from "../../services/kinds/machinery/base64.ts";
import { goDecodingError } from "../../services/kinds/machinery/go-decoding.ts";

const cannot = (given: string, field: string, type: string) =>
  `json: cannot unmarshal ${given} into Go struct field ${field} of type ${type}`;

function assertTold(message: string, rows: readonly (readonly [object, string | undefined])[]) {
  for (const [document, text] of rows) {
    assert.equal(goDecodingError(`trireme.${message}`, document), text, JSON.stringify(document));
  }
}

test("a value of another type: the innermost struct, the way to the field, the type in Go", () => {
  const container = (fields: object) => ({ spec: { containers: [{ name: "c" }, fields] } });
  assertTold("core.v1.Pod", [
    [{ metadata: { name: "x", unknown: 1 }, spec: null }, undefined],
    [{ metadata: [] }, cannot("array", "Pod.metadata", "v1.ObjectMeta")],
    [{ metadata: { labels: { a: 5 } } }, cannot("number", "ObjectMeta.metadata.labels", "string")],
    [
      { metadata: { labels: true } },
      cannot("bool", "ObjectMeta.metadata.labels", "map[string]string"),
    ],
    [
      { metadata: { ownerReferences: [{ controller: "x", uid: 3 }] } },
      cannot("string", "OwnerReference.metadata.ownerReferences.controller", "bool"),
    ],
    [
      { spec: { restartPolicy: {} } },
      cannot("object", "PodSpec.spec.restartPolicy", "v1.RestartPolicy"),
    ],
    [
      { spec: { activeDeadlineSeconds: 1.5 } },
      cannot("number 1.5", "PodSpec.spec.activeDeadlineSeconds", "int64"),
    ],
    [{ spec: { containers: {} } }, cannot("object", "PodSpec.spec.containers", "[]v1.Container")],
    [{ spec: { containers: ["c"] } }, cannot("string", "PodSpec.spec.containers", "v1.Container")],
    [
      container({ command: "sh" }),
      cannot("string", "Container.spec.containers.command", "[]string"),
    ],
    [
      container({ ports: [{ containerPort: 99999999999 }] }),
      cannot("number 99999999999", "ContainerPort.spec.containers.ports.containerPort", "int32"),
    ],
    [
      container({ livenessProbe: { httpGet: { port: false } } }),
      cannot("bool", "HTTPGetAction.spec.containers.livenessProbe.httpGet.port", "int32"),
    ],
    [
      container({ resources: { limits: "2" } }),
      cannot("string", "ResourceRequirements.spec.containers.resources.limits", "v1.ResourceList"),
    ],
  ]);
});

test("what decodes itself ends the decoding, whatever was wrong before it", () => {
  const quantity =
    "quantities must match the regular expression " +
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  assertTold("core.v1.ResourceQuota", [
    [{ metadata: [], spec: { hard: { cpu: "x" } } }, quantity],
    [{ spec: { hard: { cpu: {} } } }, quantity],
    [{ spec: { hard: { cpu: 2 } } }, undefined],
  ]);
});

test("times, by the layout that they are read with", () => {
  const micro = "2006-01-02T15:04:05.000000Z07:00";
  const lease = (acquireTime: unknown) => ({ spec: { acquireTime } });
  assertTold("coordination.v1.Lease", [
    [lease(""), `parsing time "" as "${micro}": cannot parse "" as "2006"`],
    [lease("2024-1"), `parsing time "2024-1" as "${micro}": cannot parse "1" as "01"`],
    [
      lease("2024-01-01T00:00:00Z"),
      `parsing time "2024-01-01T00:00:00Z" as "${micro}": cannot parse "Z" as ".000000"`,
    ],
    [
      lease("2024-13-01T00:00:00.000000Z"),
      'parsing time "2024-13-01T00:00:00.000000Z": month out of range',
    ],
    [
      lease("2024-02-30T00:00:00.000000Z"),
      'parsing time "2024-02-30T00:00:00.000000Z": day out of range',
    ],
    [lease(3), cannot("number", "LeaseSpec.spec.acquireTime", "string")],
    [lease("2024-01-01T00:00:00.000000+01:00"), undefined],
  ]);
  assertTold("core.v1.Pod", [
    [
      { metadata: { creationTimestamp: "now" } },
      'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006"',
    ],
  ]);
});

test("base64: where Go's decoder stops; line ends are passed over", () => {
  const offsets: readonly (readonly [string, number | undefined])[] = [
    ["", undefined],
    ["aGk=", undefined],
    ["aG\r\nk=\n", undefined],
    ["a", 0],
    ["abc", 0],
    ["abcd=", 4],
    ["ab=", 3],
    ["ab=c", 2],
    ["ab==x", 4],
    ["abc=x", 4],
    ["a=", 1],
    ["é", 0],
    ["abcd!", 4],
    ["abcdabc", 4],
  ];
  for (const [text, at] of offsets) assert.equal(base64Fault(text), at, text);
  assertTold("core.v1.Secret", [
    [{ data: { a: "?" } }, "illegal base64 data at input byte 0"],
    [{ data: { a: 5 } }, cannot("number", "Secret.data", "[]uint8")],
    [{ data: "x" }, cannot("string", "Secret.data", "map[string][]uint8")],
  ]);
});

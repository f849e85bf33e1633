/** Ephemeral and image volumes of a pod: defaults and refusals, in upstream's words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Volume } from "../../proto/gen/core.ts";
import { setPodSpecDefaults } from "../../services/kinds/core/pod/defaults.ts";
import { validateVolumes } from "../../services/kinds/core/pod/volume-validation.ts";

const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
const problems = (...volumes: Volume[]) =>
  validateVolumes(volumes, "spec.volumes", "web").causes.map(
    ({ field, message }) => `${field}: ${message}`,
  );

test("an ephemeral volume's claim is completed and checked as any claim", () => {
  const volume: Volume = { name: "v", ephemeral: { volumeClaimTemplate: { spec: { ...spec } } } };
  setPodSpecDefaults({ containers: [], volumes: [volume] });
  assert.equal(volume.ephemeral?.volumeClaimTemplate?.spec?.volumeMode, "Filesystem");
  assert.deepEqual(problems(volume), []);
  const at = "spec.volumes[0].ephemeral.volumeClaimTemplate";
  assert.deepEqual(problems({ name: "v", ephemeral: {} }), [`${at}: Required value`]);
  const template = { metadata: { name: "own", labels: { "-": "" } }, spec: {} };
  assert.deepEqual(
    problems({ name: "v", ephemeral: { volumeClaimTemplate: template } }).map((text) =>
      text.split(": ", 2).join(": ").slice(at.length),
    ),
    [
      ".metadata.labels: Invalid value",
      ".metadata.Name: Forbidden",
      ".spec.accessModes: Required value",
      ".spec.resources[storage]: Required value",
    ],
  );
});

test("the claim's name must be one, and no other volume's", () => {
  const long = `v${"x".repeat(62)}`;
  const own = (name: string): Volume => ({
    name,
    ephemeral: { volumeClaimTemplate: { spec } },
  });
  const twice = { name: "other", persistentVolumeClaim: { claimName: "web-v" } };
  assert.deepEqual(problems(own("v"), twice), [
    'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "web-v": must not reference ' +
      "a PVC that gets created for an ephemeral volume",
  ]);
  const named = validateVolumes([own(long)], "spec.volumes", `p${"y".repeat(200)}`).causes;
  assert.match(named[0]?.message ?? "", /PVC name "py+-vx+": must be no more than 253 characters/);
});

test("an image volume names an image, which is pulled as a container's", () => {
  const volume: Volume = { name: "v", image: { reference: "quay.io/model" } };
  setPodSpecDefaults({ containers: [], volumes: [volume] });
  assert.equal(volume.image?.pullPolicy, "Always");
  assert.deepEqual(problems(volume), []);
  assert.deepEqual(problems({ name: "v", image: { pullPolicy: "Soon" } }), [
    "spec.volumes[0].image.reference: Required value",
    'spec.volumes[0].image.pullPolicy: Unsupported value: "Soon": supported values: "Always", ' +
      '"IfNotPresent", "Never"',
  ]);
});

import type { Container } from "../../../../proto/gen/core.ts";

/** An init container that goes on running beside the containers (KEP-753). */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

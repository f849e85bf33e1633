/**
 * Static pods and their mirrors. A static pod runs because a file says so; its mirror in the API
 * shows it there and rules nothing. A mirror that is deleted, or is another pod's, is made anew; one
 * without a static pod is deleted.
 *
 * A pod is known by its uid here, a hash of its content, and its mirror by another, which the API
 * gave it: reports of a static pod go out under the uid of its mirror.
 */
import type { Clock, Log } from "../../../ha/runtime/types.ts";
import type { Node, Pod, PodStatusReport } from "../../../proto/gen/core.ts";
import { isNotFound, type ResourceClient } from "../../client/mod.ts";
import { WorkLoop } from "../pod/loop.ts";
import { configAnnotations } from "./annotations.ts";

interface StaticPodsOptions {
  readonly pods: Pick<ResourceClient<Pod>, "create" | "delete">;
  readonly clock: Clock;
  readonly log: Log;
  /** Undefined: the API does not know the node yet, and there can be no mirror. */
  readonly node: () => Node | undefined;
  /** Sends a report about a mirror. */
  readonly report: (report: PodStatusReport) => void;
  /** A mirror is gone: nothing is to be reported about it any more. */
  readonly forget: (uid: string) => void;
}

export function isMirror(pod: Pod): boolean {
  return pod.metadata?.annotations?.[configAnnotations.mirror] !== undefined;
}

export class StaticPods {
  readonly #options: StaticPodsOptions;
  /** By uid. */
  readonly #pods = new Map<string, Pod>();
  /** By namespace and name, as the API shows them. */
  readonly #mirrors = new Map<string, Pod>();
  readonly #reports = new Map<string, PodStatusReport>();
  readonly #loop: WorkLoop;
  #mirrorsKnown = false;

  constructor(options: StaticPodsOptions) {
    this.#options = options;
    this.#loop = new WorkLoop(
      options.clock,
      () => this.#reconcile(),
      (error) =>
        options.log.warn("the mirrors of static pods are not as they should be", { error }),
    );
  }

  /** Every static pod that is to run. */
  all(): readonly Pod[] {
    return [...this.#pods.values()];
  }

  has(uid: string): boolean {
    return this.#pods.has(uid);
  }

  /** With the newest status. */
  named(namespace: string, name: string): Pod | undefined {
    const found = this.all().find(({ metadata }) => {
      return metadata?.namespace === namespace && metadata.name === name;
    });
    return found && this.withStatus(found);
  }

  withStatus(pod: Pod): Pod {
    const status = this.#reports.get(pod.metadata?.uid ?? "")?.status;
    return status === undefined ? pod : { ...pod, status };
  }

  add(pod: Pod): void {
    this.#pods.set(pod.metadata?.uid ?? "", pod);
    this.#loop.wake();
  }

  /** The pod is to run no longer; its mirror goes. */
  remove(uid: string): void {
    this.#pods.delete(uid);
    this.#reports.delete(uid);
    this.#loop.wake();
  }

  /** The mirrors that the API had at the start have all been told. */
  mirrorsKnown(): void {
    this.#mirrorsKnown = true;
    this.#loop.wake();
  }

  mirrorChanged(mirror: Pod): void {
    const key = keyOf(mirror);
    const before = this.#mirrors.get(key);
    this.#mirrors.set(key, mirror);
    const uid = mirror.metadata?.uid;
    if (before?.metadata?.uid !== uid) {
      if (before !== undefined) this.#options.forget(before.metadata?.uid ?? "");
      for (const report of this.#reports.values()) this.#send(report);
    }
    this.#loop.wake();
  }

  mirrorGone(mirror: Pod): void {
    const key = keyOf(mirror);
    const { uid = "" } = mirror.metadata ?? {};
    this.#options.forget(uid);
    if (this.#mirrors.get(key)?.metadata?.uid === uid) this.#mirrors.delete(key);
    this.#loop.wake();
  }

  /** Of a static pod: what its mirror is to show. */
  report(report: PodStatusReport): void {
    const uid = report.uid ?? "";
    if (!this.#pods.has(uid)) return;
    this.#reports.set(uid, report);
    this.#send(report);
  }

  /** The node may be known now. */
  wake(): void {
    this.#loop.wake();
  }

  close(): void {
    this.#loop.close();
  }

  #send(report: PodStatusReport): void {
    const pod = this.#pods.get(report.uid ?? "");
    const mirror = pod && this.#mirrors.get(keyOf(pod));
    if (pod === undefined || mirror === undefined || !mirrors(mirror, pod)) return;
    // What is left on the node of a static pod is no matter of its mirror.
    const { removed: _, ...shown } = report;
    this.#options.report({ ...shown, uid: mirror.metadata?.uid });
  }

  /** Level-based: deletes and makes mirrors; a failure is tried again after a pause. */
  async #reconcile(): Promise<void> {
    const node = this.#options.node();
    if (!this.#mirrorsKnown || node === undefined) return;
    const problems: unknown[] = [];
    const wanted = new Map(this.all().map((pod) => [keyOf(pod), pod]));
    for (const [key, mirror] of this.#mirrors) {
      const pod = wanted.get(key);
      const leaving = mirror.metadata?.deletionTimestamp !== undefined;
      if (pod !== undefined && !leaving && mirrors(mirror, pod)) wanted.delete(key);
      else await this.#delete(mirror).catch((error: unknown) => problems.push(error));
    }
    for (const [key, pod] of wanted) {
      // One that is being deleted must be gone before its successor comes.
      if (this.#mirrors.has(key)) continue;
      await this.#create(pod, node).catch((error: unknown) => problems.push(error));
    }
    if (problems.length > 0) throw problems[0];
  }

  async #delete({ metadata = {} }: Pod): Promise<void> {
    const { name = "", namespace, uid = "" } = metadata;
    this.#options.log.info("a mirror pod is deleted", { name, namespace });
    const options = { gracePeriodSeconds: 0, preconditions: { uid } };
    await this.#options.pods.delete(name, namespace, options).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  async #create(pod: Pod, node: Node): Promise<void> {
    const { uid = "", annotations, ...metadata } = pod.metadata ?? {};
    const { name = "", uid: nodeUid } = node.metadata ?? {};
    const owner = { apiVersion: "v1", kind: "Node", name, uid: nodeUid, controller: true };
    const made = await this.#options.pods.create({
      ...{ apiVersion: "v1", kind: "Pod", spec: pod.spec },
      metadata: {
        ...metadata,
        annotations: { ...annotations, [configAnnotations.mirror]: uid },
        ownerReferences: [owner],
      },
    });
    this.mirrorChanged(made);
  }
}

function keyOf({ metadata }: Pod): string {
  return `${metadata?.namespace}/${metadata?.name}`;
}

function mirrors(mirror: Pod, pod: Pod): boolean {
  return mirror.metadata?.annotations?.[configAnnotations.mirror] === pod.metadata?.uid;
}

/** The socket of a container runtime, and calls on it. */
import { Metadata } from "@grpc/grpc-js";
import { connectSocket } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { ContentClient } from "../../../../proto/gen/containerd_content.ts";
import { ImagesClient } from "../../../../proto/gen/containerd_images.ts";
import { LeasesClient } from "../../../../proto/gen/containerd_leases.ts";
import { ImageServiceClient, RuntimeServiceClient } from "../../../../proto/gen/cri.ts";

/** Milliseconds. */
export const criLimits = {
  /** Of calls that only ask. Upstream's --runtime-request-timeout is 2 minutes for all. */
  askMillis: 10_000,
  /** Of Status, which the node's heartbeat waits for. */
  statusMillis: 2_000,
  /** Of calls that make, stop or remove something, beside the grace of a stop. */
  actMillis: 120_000,
  pullMillis: 600_000,
  /** How long a kubelet waits for its runtime at its own start. */
  loadMillis: 30_000,
  /** How often what runs is compared with what is known. */
  pollMillis: 1_000,
  /** The same for a while after a start, and where the runtime tells of events itself. */
  quickPollMillis: 100,
  quickMillis: 2_000,
  eventPollMillis: 10_000,
  /** How often images are listed. */
  imagesMillis: 60_000,
  /** Status calls at a time. */
  statusCalls: 16,
  messageBytes: 16 * 1024 * 1024,
  reconnectMaxMillis: 1_000,
} as const;

/** Where containerd's CRI keeps its images. */
const containerdNamespace = "k8s.io";

export interface CriConnection {
  readonly endpoint: string;
  readonly runtime: RuntimeServiceClient;
  readonly images: ImageServiceClient;
  /** containerd's own services, which other runtimes do not have. */
  readonly containerd: {
    readonly content: ContentClient;
    readonly images: ImagesClient;
    readonly leases: LeasesClient;
    /** Metadata of every call. */
    metadata(lease?: string): Metadata;
  };
  close(): void;
}

/** `unix:///run/containerd/containerd.sock` or the path alone. Throws StatusError. */
function socketPath(endpoint: string): string {
  const path = endpoint.startsWith("unix://") ? endpoint.slice("unix://".length) : endpoint;
  if (path.startsWith("/") && !path.includes("\0")) return path;
  throw new StatusError(
    Code.invalidArgument,
    `--container-runtime-endpoint "${endpoint}": wanted is unix:// and an absolute path`,
  );
}

/** Dials when first used, and again after the runtime has died and returned. */
export function connectCri(endpoint: string): CriConnection {
  const path = socketPath(endpoint);
  const options = {
    maxMessageBytes: criLimits.messageBytes,
    reconnectMaxMillis: criLimits.reconnectMaxMillis,
    userAgent: "kubelet",
  };
  const runtime = connectSocket(RuntimeServiceClient, path, options);
  const images = connectSocket(ImageServiceClient, path, options);
  const content = connectSocket(ContentClient, path, options);
  const names = connectSocket(ImagesClient, path, options);
  const leases = connectSocket(LeasesClient, path, options);
  return {
    endpoint,
    runtime,
    images,
    containerd: {
      content,
      images: names,
      leases,
      metadata(lease) {
        const metadata = new Metadata();
        metadata.set("containerd-namespace", containerdNamespace);
        if (lease !== undefined) metadata.set("containerd-lease", lease);
        return metadata;
      },
    },
    close() {
      for (const client of [runtime, images, content, names, leases]) client.close();
    },
  };
}

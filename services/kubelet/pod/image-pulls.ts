/** The images of a pod's containers: pulled as imagePullPolicy says, with upstream's pauses. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Container } from "../../../proto/gen/core.ts";
import { Backoff } from "../../client/mod.ts";
import { kubeletLimits } from "../limits.ts";
import type { RegistryCredentials } from "../runtime/types.ts";
import type { WorkerView } from "./context.ts";
import { pullSecrets } from "./pull-secrets.ts";
import { StartProblem } from "./start-problem.ts";

interface Failure {
  readonly backoff: Backoff;
  message: string;
  /** Not before this is the image pulled again, in monotonic milliseconds. */
  retryAt: number;
}

export class ImagePulls {
  readonly #view: WorkerView;
  /** By image. */
  readonly #failures = new Map<string, Failure>();

  constructor(view: WorkerView) {
    this.#view = view;
  }

  /** Makes sure that the image is there, and tells how. Throws StartProblem. */
  async ensure(container: Container): Promise<void> {
    const { context } = this.#view;
    const { images } = context.runtime;
    const { image = "", imagePullPolicy, name = "" } = container;
    const present = images.status(image) !== undefined;
    if (present && imagePullPolicy !== "Always") {
      const text = `Container image "${image}" already present on machine`;
      return this.#view.event("Normal", "Pulled", text, name);
    }
    if (imagePullPolicy === "Never") {
      const text = `Container image "${image}" is not present with pull policy of Never`;
      this.#view.event("Warning", "ErrImageNeverPull", text, name);
      throw new StartProblem("ErrImageNeverPull", text, "Error: ErrImageNeverPull");
    }
    this.#refuseBackoff(image, name);
    this.#view.event("Normal", "Pulling", `Pulling image "${image}"`, name);
    const begun = context.clock.monotonicMillis();
    try {
      const { sizeBytes } = await images.pull(image, await this.#credentials(image));
      this.#failures.delete(image);
      const took = durationText(context.clock.monotonicMillis() - begun);
      const text =
        `Successfully pulled image "${image}" in ${took} (${took} including waiting). ` +
        `Image size: ${sizeBytes} bytes.`;
      this.#view.event("Normal", "Pulled", text, name);
    } catch (error) {
      throw this.#failed(image, name, error);
    }
  }

  async #credentials(image: string): Promise<readonly RegistryCredentials[]> {
    const { runtime, config } = this.#view.context;
    if (!runtime.features().registries) return [];
    const { credentials, missing } = await pullSecrets(this.#view.pod(), image, config);
    if (missing.length > 0) {
      const text =
        `Unable to retrieve some image pull secrets (${missing.join(", ")}); ` +
        "attempting to pull the image may not succeed.";
      this.#view.event("Warning", "FailedToRetrieveImagePullSecret", text);
    }
    return credentials;
  }

  /** Throws while a pull that failed is not yet to be tried again. */
  #refuseBackoff(image: string, name: string): void {
    const failure = this.#failures.get(image);
    const waits = failure ? failure.retryAt - this.#view.context.clock.monotonicMillis() : 0;
    if (failure === undefined || waits <= 0) return;
    const text = `Back-off pulling image "${image}"`;
    this.#view.event("Normal", "BackOff", text, name);
    const message = `${text}: ErrImagePull: ${failure.message}`;
    throw new StartProblem("ImagePullBackOff", message, "Error: ImagePullBackOff", waits);
  }

  #failed(image: string, name: string, error: unknown): StartProblem {
    const { code, message } = StatusError.from(error);
    if (code === Code.invalidArgument) {
      const text = `Failed to apply default image tag "${image}": ${message}`;
      this.#view.event("Warning", "InspectFailed", text, name);
      return new StartProblem("InvalidImageName", text, "Error: InvalidImageName");
    }
    const { imageBackoffFirstMillis, restartBackoffCeilingMillis } = kubeletLimits;
    const known = this.#failures.get(image);
    const backoff =
      known?.backoff ?? new Backoff(imageBackoffFirstMillis, restartBackoffCeilingMillis);
    const retryAt = this.#view.context.clock.monotonicMillis() + backoff.next();
    this.#failures.set(image, { backoff, message, retryAt });
    const text = `Failed to pull image "${image}": ${message}`;
    this.#view.event("Warning", "Failed", text, name);
    // The state says ErrImagePull for a moment, and ImagePullBackOff until the next attempt.
    const shown = kubeletLimits.configRetryFirstMillis;
    return new StartProblem("ErrImagePull", message, "Error: ErrImagePull", shown);
  }
}

/** As Go prints a duration that was cut to milliseconds. */
function durationText(millis: number): string {
  const whole = Math.max(0, Math.floor(millis));
  if (whole < 1000) return whole === 0 ? "0s" : `${whole}ms`;
  const minutes = Math.floor(whole / 60_000);
  const seconds = (whole % 60_000) / 1000;
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds}s`;
}

/** What both engines do with a service definition and its handlers. */
import type {
  ServiceDefinition,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { assert } from "../runtime/assert.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Log } from "../runtime/types.ts";

/** Checks that every method has a handler, and gives those of handlers.ts the server's log. */
export function prepare(
  definition: ServiceDefinition,
  implementation: UntypedServiceImplementation,
  log: Log,
): UntypedServiceImplementation {
  const prepared: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(definition)) {
    const handler: UntypedHandleCall | undefined = implementation[name];
    if (handler === undefined) {
      throw new StatusError(Code.unimplemented, `no handler "${name}" for ${method.path}`);
    }
    const { withLog } = handler as { withLog?: (log: Log) => UntypedHandleCall };
    prepared[name] = withLog === undefined ? handler.bind(implementation) : withLog(log);
  }
  return prepared;
}

/** Full name of the service whose definition this is. */
export function serviceName(definition: ServiceDefinition): string {
  const path = Object.values(definition)[0]?.path;
  const name = path?.split("/")[1];
  assert(name !== undefined, `a service definition without methods, or with the path "${path}"`);
  return name;
}

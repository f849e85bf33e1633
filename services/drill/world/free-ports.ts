/** Whether a port of loopback may be listened on. */
import { once } from "node:events";
import { createServer } from "node:net";

export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "127.0.0.1"), "listening");
  } catch {
    return false;
  }
  await once(server.close(), "close");
  return true;
}

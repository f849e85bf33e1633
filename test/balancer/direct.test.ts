/** The example of a client that balances by itself, while a master goes away and comes back. */
import { after, before, describe, test } from "node:test";
import { credentials } from "@grpc/grpc-js";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { LeasesClient } from "../../proto/gen/coordination.ts";
import { connectToAll, read } from "../examples/balance.ts";
import { eventually } from "../patience.ts";
import { createCa } from "../rpc/certs.ts";
import { FakeMaster } from "./fakes.ts";

const masters = [0, 1, 2].map((n) => new FakeMaster(`master-${n}`, "master-0"));
const answer = (master: FakeMaster) => async () => ({ spec: { holderIdentity: master.name } });
let leases: LeasesClient;

/** Reads until as many as these answer, and others do not; no read may fail. */
async function answeredBy(...names: string[]): Promise<void> {
  await eventually(`answers of ${names}`, async () => {
    const heard = new Set<string | undefined>();
    for (let n = 0; n < 9; n++) heard.add((await read(leases, "kube-system", "x")).holder);
    return [...heard].sort().join() === names.join();
  });
}

before(async () => {
  const ca = await createCa();
  const tls = { ...(await ca.server()), clientCa: ca.ca };
  for (const master of masters) {
    master.handle = answer(master);
    await master.start(tls);
  }
  const client = await ca.client("admin", ["system:masters"]);
  const [root, key, cert] = [ca.ca, client.key, client.cert].map((pem) => Buffer.from(pem));
  leases = connectToAll(
    masters.map(({ port }) => `127.0.0.1:${port}`),
    credentials.createSsl(root, key, cert),
  );
});
after(async () => {
  leases.close();
  for (const master of masters) await master.kill();
});

describe("a client without a balancer", () => {
  test("uses all masters", () => answeredBy("master-0", "master-1", "master-2"));

  test("loses no read with a master that dies, and uses it again", async () => {
    const reads = answeredBy("master-0", "master-2");
    await masters[1]!.kill();
    await reads;
    await masters[1]!.start();
    await answeredBy("master-0", "master-1", "master-2");
  });

  test("loses no read with a master that drains", async () => {
    const reads = answeredBy("master-1", "master-2");
    await masters[0]!.drain(5_000);
    await reads;
    await masters[0]!.kill();
    await masters[0]!.start();
    await answeredBy("master-0", "master-1", "master-2");
  });

  test("leaves out a master that says it cannot, for a while", async () => {
    const sick = masters[2]!;
    sick.handle = async () => {
      throw new StatusError(Code.unavailable, "the watch cache is not filled");
    };
    let calls = -1;
    await eventually("it is asked no more", async () => {
      const before = sick.seen.length;
      for (let n = 0; n < 30; n++) await read(leases, "kube-system", "x");
      calls = sick.seen.length - before;
      return calls === 0;
    });
    sick.handle = answer(sick);
    await answeredBy("master-0", "master-1", "master-2");
  });
});

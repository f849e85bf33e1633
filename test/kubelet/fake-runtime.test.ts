/** The simulated runtime keeps the contract of the real ones, as far as programs have lives. */
import { containerLifeContract } from "../contract/container-life.ts";
import { FakeRuntime } from "./fake-runtime.ts";
import { FakeClock } from "./support.ts";

containerLifeContract("simulated", async () => {
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  await runtime.load();
  const choose = (set: Set<string>, chosen: boolean) => (chosen ? set.add("c") : set.delete("c"));
  return {
    ...{ runtime, image: "label" },
    program(kind) {
      choose(runtime.broken, kind === "absent");
      choose(runtime.stubborn, kind === "stubborn");
      return { command: ["program"], mounts: [] };
    },
    whenUp: async () => undefined,
    finish: async (_, exitCode) => runtime.end("c", exitCode),
    pass: (millis) => clock.advance(millis),
    [Symbol.asyncDispose]: () => runtime.close(),
  };
});

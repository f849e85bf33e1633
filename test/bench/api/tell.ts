/** Shows what the API benchmark found: a row for each load and face, with how they compare. */
import { shown, table } from "../store/table.ts";
import type { Measured } from "./measure.ts";

export function tellApi(results: readonly Measured[]): void {
  const loads = [...new Set(results.map(({ load }) => load))];
  const rows = loads.flatMap((load) => {
    const of = results.filter((each) => each.load === load);
    const foreign = of.find(({ face }) => face === "against");
    return of.map((each) => {
      const like = of.find(({ face }) => face === each.face.replace("rest", "grpc"));
      const same = each === like || each === foreign;
      return [
        `${load}, ${each.face}`,
        shown(each.perSecond),
        shown(each.cpuMicrosEach),
        shown(each.p50Millis),
        shown(each.p99Millis),
        same || like === undefined ? "" : ratio(each.cpuMicrosEach, like.cpuMicrosEach),
        same || foreign === undefined ? "" : ratio(each.perSecond, foreign.perSecond),
        same || foreign === undefined ? "" : ratio(each.cpuMicrosEach, foreign.cpuMicrosEach),
      ];
    });
  });
  const head = [
    "three masters, TLS",
    "per second",
    "CPU µs each",
    "p50 ms",
    "p99 ms",
    "CPU / gRPC's",
  ];
  console.log(table([...head, "rate / other's", "CPU / other's"], rows));
  console.log(JSON.stringify(results));
}

function ratio(value: number, other: number): string {
  return `× ${shown(value / other)}`;
}

/**
 * When V8 begins to collect the old generation. By default it marks as soon as the room that is
 * left is less than the young generation, which with a heap of some tens of megabytes is almost at
 * once: a store through which megabytes flow every second, and live for a second or so, marks all
 * of its heap twice a second, and is slow for 40 ms each time. From later in that room on it marks
 * two to four times less often; how much room there is does not change, so neither does the bound
 * on memory.
 */
import { setFlagsFromString } from "node:v8";

/** Percent of the room between the live heap and its limit; V8 reads both whenever it is asked. */
const markFromPercent = 75;
/** By then it does not wait for an idle moment. */
const markAtOncePercent = 90;

/** For all threads of the process, those to come included. */
export function collectLater(): void {
  setFlagsFromString(`--incremental-marking-soft-trigger=${markFromPercent}`);
  setFlagsFromString(`--incremental-marking-hard-trigger=${markAtOncePercent}`);
}

import type { Plugin } from "../framework/mod.ts";

/** Higher priority first, then the earlier deadline, then the longer wait. */
export const prioritySort: Plugin = {
  name: "PrioritySort",
  queueSort(a, b) {
    if (a.info.priority !== b.info.priority) return b.info.priority - a.info.priority;
    // Two pods without a deadline compare as Infinity - Infinity otherwise.
    if (a.info.deadlineMillis !== b.info.deadlineMillis) {
      return a.info.deadlineMillis < b.info.deadlineMillis ? -1 : 1;
    }
    return a.addedMillis - b.addedMillis || a.order - b.order;
  },
};

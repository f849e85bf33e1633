/** What every store promises (`ha/store/types.ts`), as a suite that every implementation runs. */
import { describe, test } from "node:test";
import type { Store } from "../../../ha/store/types.ts";
import { leaseCases, sessionCases } from "./leases.ts";
import { compareCases, rangeCases } from "./ranges.ts";
import { compactionCases, txnCases } from "./transactions.ts";
import { watchCases, watchHistoryCases } from "./watches.ts";

export interface OpenedStore {
  readonly store: Store;
  close(): Promise<void>;
}

export interface StoreContractOptions {
  /** False: request ids mean nothing to this store (an external etcd). */
  readonly sessions?: boolean;
}

export function storeContract(
  name: string,
  open: () => Promise<OpenedStore>,
  options: StoreContractOptions = {},
): void {
  const withStore = (title: string, body: (store: Store) => Promise<void>): void => {
    test(title, async () => {
      const opened = await open();
      try {
        await body(opened.store);
      } finally {
        await opened.close();
      }
    });
  };
  describe(`${name} is a store`, () => {
    rangeCases(withStore);
    txnCases(withStore);
    compareCases(withStore);
    compactionCases(withStore);
    leaseCases(withStore);
    watchCases(withStore);
    watchHistoryCases(withStore);
    if (options.sessions !== false) sessionCases(withStore);
  });
}

/** An external etcd cluster as a store: what outgrows the embedded members goes there. */
export { parseEtcdAddress } from "./address.ts";
export { openEtcdStore } from "./store.ts";

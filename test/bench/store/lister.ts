/** A program of its own that lists every key under `list/` once, and tells the size of the answer. */
import { credentials } from "@grpc/grpc-js";
import { KVClient } from "../../../proto/gen/etcd.ts";

const client = new KVClient(process.argv[2] ?? "", credentials.createInsecure(), {
  "grpc.max_receive_message_length": -1,
});
const { path, requestSerialize } = KVClient.service.range;
const all = { key: Buffer.from("list/"), rangeEnd: Buffer.from("list0") };
// The answer is not decoded: its size says enough.
client.makeUnaryRequest(
  path,
  requestSerialize,
  (bytes: Buffer) => bytes.length,
  all,
  (error, bytes) => {
    process.send?.(error === null ? { bytes } : { error: error.message });
    client.close();
    process.disconnect();
  },
);

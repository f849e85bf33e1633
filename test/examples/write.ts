import { readFileSync } from "node:fs";
import { credentials } from "@grpc/grpc-js";
import { ConfigMapsClient } from "../../proto/gen/core.ts";

const { grpc, ca, clientCert, clientKey } = JSON.parse(
  readFileSync(".trireme/endpoints.json", "utf8"),
);
const tls = credentials.createSsl(
  readFileSync(ca),
  readFileSync(clientKey),
  readFileSync(clientCert),
);
const object = { metadata: { name: "hello2", namespace: "default" }, data: { from: "TypeScript" } };
new ConfigMapsClient(grpc, tls, { "grpc.ssl_target_name_override": "localhost" }).create(
  { object },
  (error, created) => {
    console.log(error?.details ?? created.metadata);
  },
);

/**
 * The health check of a container: exit code 0 when what TRIREME_HEALTH names answers.
 * `https://HOST:PORT/readyz` must answer 200, `tcp://HOST:PORT` must take a connection.
 */
import { request } from "node:https";
import { connect } from "node:net";

const millisMax = 2_500;
const checked = process.env["TRIREME_HEALTH"];

function fail(why) {
  process.stderr.write(`${checked ?? "TRIREME_HEALTH"}: ${why}\n`);
  process.exit(1);
}

if (checked === undefined || !URL.canParse(checked)) fail("is no URL that could be checked");
const { protocol, hostname, port, pathname } = new URL(checked);
setTimeout(() => fail(`no answer within ${millisMax} ms`), millisMax).unref();
if (protocol === "https:") {
  // The process asks itself on its own address: there is no other to be told from.
  const to = { hostname, port, path: pathname, rejectUnauthorized: false };
  request(to, ({ statusCode }) => {
    if (statusCode === 200) process.exit(0);
    fail(`answers ${statusCode}`);
  })
    .on("error", (error) => fail(error.message))
    .end();
} else if (protocol === "tcp:") {
  connect(Number(port), hostname, () => process.exit(0)).on("error", (error) =>
    fail(error.message),
  );
} else fail("is neither https: nor tcp:");

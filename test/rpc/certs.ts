/** Throw-away certificates for tests. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as unknown as typeof globalThis.crypto);

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export interface Pem {
  readonly cert: string;
  readonly key: string;
}

export interface TestCa {
  /** PEM of the CA's own certificate. */
  readonly ca: string;
  /** For 127.0.0.1 and localhost. */
  server(): Promise<Pem>;
  client(commonName: string, organizations?: readonly string[], days?: number): Promise<Pem>;
}

export async function createCa(name = "test-ca"): Promise<TestCa> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 86_400_000 * 30),
    notAfter: new Date(Date.now() + 86_400_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
  });
  let serial = 1;
  const issue = async (
    subject: x509.JsonName,
    extensions: x509.Extension[],
    days: number,
  ): Promise<Pem> => {
    const own = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: (++serial).toString(16).padStart(2, "0"),
      subject: new x509.Name(subject).toString(),
      issuer: root.subject,
      notBefore: new Date(Date.now() - 86_400_000 * 10),
      notAfter: new Date(Date.now() + 86_400_000 * days),
      signingAlgorithm: algorithm,
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      extensions,
    });
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", own.privateKey));
    const key = x509.PemConverter.encode(pkcs8, "PRIVATE KEY");
    return { cert: certificate.toString("pem"), key };
  };
  return {
    ca: root.toString("pem"),
    server: () =>
      issue(
        [{ CN: ["server"] }],
        [
          new x509.SubjectAlternativeNameExtension([
            { type: "ip", value: "127.0.0.1" },
            { type: "dns", value: "localhost" },
          ]),
        ],
        1,
      ),
    client: (commonName, organizations = [], days = 1) =>
      issue([...organizations.map((name) => ({ O: [name] })), { CN: [commonName] }], [], days),
  };
}

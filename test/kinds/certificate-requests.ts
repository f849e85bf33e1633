/** Certificate requests in PEM, as clients make them. */
import "reflect-metadata";
import { generateKeyPairSync, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { createCertificateRequest, type WantedCertificate } from "../../services/kinds/mod.ts";

x509.cryptoProvider.set(webcrypto);

const algorithms = {
  ecdsa: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  rsa: {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength: 2048,
  },
  ed25519: { name: "Ed25519" },
} as const;

/** In base64, as it stands in a document. */
export async function certificateRequest(
  subject = "CN=alice, O=team",
  kind: keyof typeof algorithms = "ecdsa",
): Promise<string> {
  const algorithm = algorithms[kind];
  const made: unknown = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const keys = made as webcrypto.CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    signingAlgorithm: algorithm,
  });
  return Buffer.from(`${request.toString("pem")}\n`).toString("base64");
}

/** With a new key, as a kubelet makes it. */
export function newRequest(wanted: WantedCertificate): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return Buffer.from(createCertificateRequest(privateKey, wanted)).toString("base64");
}

/** Makes requests for certificates (PKCS#10, RFC 2986). */
import { createPublicKey, type KeyObject } from "node:crypto";
import ipaddr from "ipaddr.js";
import { encode, encodeObjectId, encodeUnsigned, tags } from "./der.ts";
import { commonNameId, extensionRequestId, organizationId } from "./pkcs10.ts";
import { algorithmOf, alternativeNames, extension, pemOf, signWhole } from "./sign.ts";

const attributesTag = 0xa0;
const alternativeNamesId = "2.5.29.17";

export interface WantedCertificate {
  readonly commonName: string;
  readonly organizations?: readonly string[] | undefined;
  readonly dnsNames?: readonly string[] | undefined;
  /** IP addresses. */
  readonly addresses?: readonly string[] | undefined;
}

/** Answers PEM. */
export function createCertificateRequest(key: KeyObject, wanted: WantedCertificate): string {
  const { commonName, organizations = [], dnsNames = [], addresses = [] } = wanted;
  const attribute = (id: string, text: string) => {
    const value = encode(tags.utf8String, Buffer.from(text, "utf8"));
    return encode(tags.set, encode(tags.sequence, encodeObjectId(id), value));
  };
  const names = alternativeNames({
    dns: dnsNames,
    addresses: addresses.map((each) => Buffer.from(ipaddr.parse(each).toByteArray())),
    emails: [],
    uris: [],
  });
  const extensions = names === undefined ? [] : [extension(alternativeNamesId, false, names)];
  const asked = encode(
    tags.sequence,
    encodeObjectId(extensionRequestId),
    encode(tags.set, encode(tags.sequence, ...extensions)),
  );
  const signed = encode(
    tags.sequence,
    encodeUnsigned(Buffer.from([0])),
    encode(
      tags.sequence,
      ...organizations.map((each) => attribute(organizationId, each)),
      attribute(commonNameId, commonName),
    ),
    createPublicKey(key).export({ type: "spki", format: "der" }),
    encode(attributesTag, ...(extensions.length === 0 ? [] : [asked])),
  );
  return pemOf("CERTIFICATE REQUEST", signWhole(signed, key, algorithmOf(key)));
}

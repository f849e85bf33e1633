/** The cluster's ranges and the sizes of the nodes' parts, with upstream's rules for the flags. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { type Block, NodeRanges, parseBlock } from "./ranges.ts";

export interface NodeIpamOptions {
  /** Range that the nodes' ranges are taken from, or one of each family with a comma between. */
  readonly clusterCidr: string;
  /** Prefix length of a node's range, where the cluster has one family. */
  readonly nodeMaskSize?: number | undefined;
  readonly nodeMaskSizeIPv4?: number | undefined;
  readonly nodeMaskSizeIPv6?: number | undefined;
}

const sizeFlag = "--node-cidr-mask-size";
const families = {
  32: { name: "IPv4", example: "127.64.0.0/10", maskDefault: 24, shortest: 1, longest: 30 },
  128: { name: "IPv6", example: "fd00:10::/48", maskDefault: 64, shortest: 16, longest: 126 },
} as const;
/** Upstream's: of an IPv6 range at most 2^16 parts are counted. */
const bitsBetweenMax = 16;

type Family = (typeof families)[32 | 128];

function refused(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message);
}

/** One for each family, the first range's first. Throws a StatusError that names the flag. */
export function clusterRanges(options: NodeIpamOptions): readonly NodeRanges[] {
  const { clusterCidr } = options;
  const wholes = clusterCidr.split(",").map(parseWhole);
  const [first, second, ...more] = wholes;
  if (more.length > 0) throw refused(`--cluster-cidr: "${clusterCidr}": at most two ranges`);
  if (first?.length === second?.length) {
    throw refused(`--cluster-cidr: "${clusterCidr}": of two ranges one must be of IPv6`);
  }
  checkSizes(options, wholes);
  return wholes.map((whole) => new NodeRanges(whole, nodeBitsOf(options, whole)));
}

function familyOf({ length }: Block): Family {
  return length === 32 ? families[32] : families[128];
}

function parseWhole(text: string): Block {
  const block = parseBlock(text);
  if (block === undefined) {
    const { example } = families[text.includes(":") ? 128 : 32];
    throw refused(`--cluster-cidr: "${text}" is not a range such as ${example}`);
  }
  const { shortest, longest } = familyOf(block);
  if (block.bits >= shortest && block.bits < longest) return block;
  throw refused(`--cluster-cidr: "${text}" must be of /${shortest} to /${longest - 1}`);
}

/** A flag that would have no effect is a mistake. */
function checkSizes(options: NodeIpamOptions, wholes: readonly Block[]): void {
  const { nodeMaskSize, nodeMaskSizeIPv4, nodeMaskSizeIPv6 } = options;
  const own = { IPv4: nodeMaskSizeIPv4, IPv6: nodeMaskSizeIPv6 };
  if (nodeMaskSize !== undefined && wholes.length > 1) {
    throw refused(`${sizeFlag} may not be used with ranges of two families: use those of each`);
  }
  for (const [name, size] of Object.entries(own)) {
    const flag = `${sizeFlag}-${name.toLowerCase()}`;
    if (size === undefined) continue;
    if (nodeMaskSize !== undefined) throw refused(`${flag} may not be used with ${sizeFlag}`);
    if (!wholes.some((whole) => familyOf(whole).name === name)) {
      throw refused(`${flag}: --cluster-cidr has no range of ${name}`);
    }
  }
}

function nodeBitsOf(options: NodeIpamOptions, whole: Block): number {
  const { name, maskDefault, longest } = familyOf(whole);
  const { nodeMaskSize } = options;
  const flag = nodeMaskSize === undefined ? `${sizeFlag}-${name.toLowerCase()}` : sizeFlag;
  const bits = nodeMaskSize ?? options[`nodeMaskSize${name}`] ?? maskDefault;
  const most = name === "IPv6" ? Math.min(longest, whole.bits + bitsBetweenMax) : longest;
  if (Number.isInteger(bits) && bits > whole.bits && bits <= most) return bits;
  throw refused(`${flag}: ${bits} must be from ${whole.bits + 1} to ${most}`);
}

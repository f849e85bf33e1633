import { parseAddress } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";

export interface ClusterMember {
  readonly name: string;
  /** `host:port` of its peer listener. */
  readonly address: string;
  /** libp2p peer id. */
  readonly identity: string;
}

const membersMax = 9;

const memberForm = /^([a-z0-9][a-z0-9.-]{0,62})=([^/=?]+)\/([A-Za-z0-9]{20,128})$/;
/** As members show themselves to etcd's tools, so that what those print can be given back. */
const urlForm = /^([a-z0-9][a-z0-9.-]{0,62})=https?:\/\/([^/=?]+)\/?\?p2p=([A-Za-z0-9]{20,128})$/;

/** `name=host:port/peerid,…`; `own` must be among them. Throws a StatusError naming the part. */
export function parseInitialCluster(text: string, own: string): ClusterMember[] {
  const parts = text.split(",");
  if (parts.length > membersMax) {
    throw refused(text, `${parts.length} members, at most ${membersMax} are possible`);
  }
  const members = parts.map((part) => {
    const [, name, address, identity] = memberForm.exec(part) ?? urlForm.exec(part) ?? [];
    if (name === undefined || address === undefined || identity === undefined) {
      throw refused(part, "name=host:port/peerid is wanted");
    }
    parseAddress(address);
    return { name, address, identity };
  });
  for (const field of ["name", "address", "identity"] as const) {
    const values = members.map((member) => member[field]);
    const twice = values.find((value, index) => values.indexOf(value) !== index);
    if (twice !== undefined) throw refused(text, `${field} ${twice} is there twice`);
  }
  if (!members.some((member) => member.name === own)) {
    throw refused(text, `--name ${own} is not among the members`);
  }
  return members;
}

function refused(part: string, why: string): StatusError {
  return new StatusError(Code.invalidArgument, `--initial-cluster "${part}": ${why}`);
}

/** Throws a StatusError when it is neither. */
export function clusterState(text: string): "new" | "existing" {
  if (text === "new" || text === "existing") return text;
  throw new StatusError(
    Code.invalidArgument,
    `--initial-cluster-state "${text}": "new" or "existing" is wanted`,
  );
}

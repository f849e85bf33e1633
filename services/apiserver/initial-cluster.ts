/** The founding line: who the members are, and where. */
import type { NamedMember } from "../../ha/member/mod.ts";
import { parseAddress } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";

const membersMax = 9;

const nameForm = "([a-z0-9][a-z0-9.-]{0,62})";
const idForm = "[A-Za-z0-9]{20,128}";
/** With the peer id, as Trireme writes it. */
const memberForm = new RegExp(`^${nameForm}=([^/=?]+)/(${idForm})$`);
/** As etcd writes it; members show themselves to etcd's tools with their peer ids. */
const urlForm = new RegExp(`^${nameForm}=https?://([^/=?]+)/?(?:\\?p2p=(${idForm}))?$`);

/**
 * `name=http://host:port,…` or `name=host:port/peerid,…`; `own` must be among them. A member without
 * a peer id is asked for it at the first start. Throws a StatusError naming the part.
 */
export function parseInitialCluster(text: string, own: string): NamedMember[] {
  const parts = text.split(",");
  if (parts.length > membersMax) {
    throw refused(text, `${parts.length} members, at most ${membersMax} are possible`);
  }
  const members = parts.map((part) => {
    const [, name, address, identity] = memberForm.exec(part) ?? urlForm.exec(part) ?? [];
    if (name === undefined || address === undefined) {
      throw refused(part, "name=host:port/peerid is wanted, or name=http://host:port");
    }
    parseAddress(address);
    return { name, address, ...(identity !== undefined && { identity }) };
  });
  for (const field of ["name", "address", "identity"] as const) {
    const values = members.map((member) => member[field]).filter((value) => value !== undefined);
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

/** etcdserverpb.Cluster */
import type { ClusterServer, Member } from "../../proto/gen/etcd.ts";
import { type CallContext, unary } from "../rpc/mod.ts";
import type { MemberId } from "../runtime/types.ts";
import { storeErrors } from "../store/mod.ts";
import type { StoreAccess } from "./access.ts";
import type { MemberInfo, StoreAdmin } from "./admin.ts";
import * as errors from "./errors.ts";
import { etcdLimits } from "./limits.ts";

export function clusterService(access: StoreAccess, admin: StoreAdmin): ClusterServer {
  const members = async () => (await admin.members()).map(wireMember);
  const beginAsAdmin = async (context: CallContext) =>
    access.requireAdmin(await access.begin(context));
  return {
    memberAdd: unary(async (request, context) => {
      await beginAsAdmin(context);
      const peerUrls = checkUrls(request.peerURLs);
      const present = await admin.members();
      if (present.some((member) => peerUrls.some((url) => member.peerUrls.includes(url)))) {
        throw errors.peerUrlExists();
      }
      const member = await admin.memberAdd({ peerUrls, learner: request.isLearner === true });
      return {
        header: access.header.ofCluster(),
        member: wireMember(member),
        members: await members(),
      };
    }),

    memberRemove: unary(async (request, context) => {
      await beginAsAdmin(context);
      await admin.memberRemove(memberIdOf(request.ID));
      return { header: access.header.ofCluster(), members: await members() };
    }),

    memberUpdate: unary(async (request, context) => {
      await beginAsAdmin(context);
      await admin.memberUpdate(memberIdOf(request.ID), checkUrls(request.peerURLs));
      return { header: access.header.ofCluster(), members: await members() };
    }),

    memberList: unary(async (request, context) => {
      await access.requireUser(await access.begin(context));
      if (request.linearizable) await access.store.readRevision();
      return { header: access.header.ofCluster(), members: await members() };
    }),

    memberPromote: unary(async (request, context) => {
      await beginAsAdmin(context);
      await admin.memberPromote(memberIdOf(request.ID));
      return { header: access.header.ofCluster(), members: await members() };
    }),
  };
}

function wireMember(member: MemberInfo): Member {
  return {
    ID: BigInt(member.id),
    name: member.name,
    peerURLs: [...member.peerUrls],
    clientURLs: [...member.clientUrls],
    isLearner: member.learner,
  };
}

/** Ours are below 2^53: a larger one is no member's. */
export function memberIdOf(id: bigint | undefined): MemberId {
  const value = Number(id ?? 0n);
  if (!Number.isSafeInteger(value) || value < 1) throw storeErrors.memberNotFound();
  return value as MemberId;
}

function checkUrls(urls: readonly string[] | undefined): readonly string[] {
  const count = urls?.length ?? 0;
  if (urls === undefined || count === 0) throw errors.badPeerUrls();
  if (count > etcdLimits.peerUrls) {
    throw errors.tooLarge("peerURLs", count, etcdLimits.peerUrls, "entries");
  }
  for (const url of urls) {
    if (url.length > etcdLimits.peerUrlCharacters || !URL.canParse(url)) throw errors.badPeerUrls();
  }
  return urls;
}

/** etcdserverpb.KV */
import type { KVServer } from "../../proto/gen/etcd.ts";
import { type CallContext, unary } from "../rpc/mod.ts";
import type { Span } from "../runtime/trace.ts";
import type { Operation, Revision } from "../store/mod.ts";
import { type StoreAccess, writeOptions } from "./access.ts";
import { inCallSpan } from "./call-span.ts";
import { deleteOf, putOf, rangeOf, revisionOf, txnOf } from "./convert.ts";
import { wireDelete, wirePut, wireRange, wireTxn } from "./convert-answers.ts";
import { isLargeTxn, rangeMessage, txnMessage } from "./range-message.ts";

export function kvService(access: StoreAccess): KVServer {
  const { tracer } = access.options;
  const traced = <Request, Response>(
    handle: (request: Request, context: CallContext, span: Span | undefined) => Promise<Response>,
  ) =>
    unary((request: Request, context) =>
      tracer === undefined
        ? handle(request, context, undefined)
        : inCallSpan(tracer, context, (span) => handle(request, context, span)),
    );
  const only = (operation: Operation) => ({ compares: [], success: [operation], failure: [] });
  return {
    range: traced((request, context) => {
      const serializable = request.serializable === true;
      return after(access.begin(context, serializable), async (caller) => {
        const options = { serializable, caller: context };
        const response = await access.openRange(caller, rangeOf(request), options);
        const header = access.header.of(response.revision);
        if ("kvs" in response) return wireRange(header, response);
        return rangeMessage(header, response, context.signal);
      });
    }),

    put: traced((request, context, span) =>
      after(access.begin(context), async (caller) => {
        const answer = await access.txn(caller, only(putOf(request)), writeOptions(context, span));
        return wirePut(access.header.of(answer.revision), answer.results[0]);
      }),
    ),

    deleteRange: traced((request, context, span) =>
      after(access.begin(context), async (caller) => {
        const answer = await access.txn(
          caller,
          only(deleteOf(request)),
          writeOptions(context, span),
        );
        return wireDelete(access.header.of(answer.revision), answer.results[0]);
      }),
    ),

    txn: traced((request, context, span) =>
      after(access.begin(context), async (caller) => {
        const answer = await access.txn(caller, txnOf(request), writeOptions(context, span));
        const header = access.header.of(answer.revision);
        if (isLargeTxn(answer)) return txnMessage(header, answer, context.signal);
        return wireTxn(header, answer);
      }),
    ),

    /**
     * The store forgets at once and gives space back little by little, without saying when it is
     * done: `physical` is answered as soon as nothing below the revision can be read any more.
     */
    compact: unary(async (request, context) => {
      await access.requireAdmin(await access.begin(context));
      const revision = revisionOf(request.revision) ?? (0 as Revision);
      return { header: access.header.of(await access.store.compact(revision)) };
    }),
  };
}

/** Goes on with what is there already, or as soon as it is: most calls need not wait. */
function after<T, R>(value: T | Promise<T>, goOn: (value: T) => Promise<R>): Promise<R> {
  return value instanceof Promise ? value.then(goOn) : goOn(value);
}

import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  type LimitedPriorityLevelConfiguration,
  PriorityLevelConfiguration,
  type PriorityLevelConfigurationSpec,
  PriorityLevelConfigurationsService,
  type QueuingConfiguration,
} from "../../../proto/gen/flowcontrol.ts";
import { forbidden, invalid, notSupported, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import type { Document } from "../machinery/resource.ts";

const specOf = (document: Document): PriorityLevelConfigurationSpec =>
  (document as PriorityLevelConfiguration).spec ?? {};

const queuesMax = 10_000_000;
const entropyBitsMax = 60;

export const priorityLevelConfiguration = defineKind({
  message: "trireme.flowcontrol.v1.PriorityLevelConfiguration",
  codec: PriorityLevelConfiguration,
  service: PriorityLevelConfigurationsService,

  setDefaults(document) {
    const { limited, exempt, type } = specOf(document);
    if (exempt !== undefined) {
      exempt.nominalConcurrencyShares ??= 0;
      exempt.lendablePercent ??= 0;
    } else if (type === "Exempt") {
      const one = document as PriorityLevelConfiguration;
      one.spec = { ...one.spec, exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } };
    }
    if (limited === undefined) return;
    limited.nominalConcurrencyShares ??= 30;
    limited.lendablePercent ??= 0;
    const { queuing } = limited.limitResponse ?? {};
    if (queuing === undefined) return;
    queuing.queues ||= 64;
    queuing.handSize ||= 8;
    queuing.queueLengthLimit ||= 50;
  },
  validate(document) {
    const { type = "", limited, exempt } = specOf(document);
    const name = document.metadata?.name ?? "";
    const causes: FieldCause[] = [];
    if ((type === "Exempt") !== (name === "exempt")) {
      const why = "must be 'Exempt' if and only if `name` is 'exempt'";
      causes.push(invalid("spec.type", type, why));
    }
    if (type === "Exempt") {
      if (limited !== undefined) {
        causes.push(forbidden("spec.limited", "must be nil if the type is not Limited"));
      }
      const { lendablePercent = 0, nominalConcurrencyShares = 0 } = exempt ?? {};
      causes.push(...sharesCauses("spec.exempt", nominalConcurrencyShares));
      causes.push(...percentCauses("spec.exempt.lendablePercent", lendablePercent));
    } else if (type === "Limited") {
      if (exempt !== undefined) {
        causes.push(forbidden("spec.exempt", "must be nil if the type is Limited"));
      }
      if (limited === undefined) {
        causes.push(required("spec.limited", "must not be empty when type is Limited"));
      } else causes.push(...limitedCauses(limited));
    } else causes.push(notSupported("spec.type", type, ["Exempt", "Limited"]));
    return causes;
  },
  columns: [
    nameColumn,
    { name: "Type", value: (document) => specOf(document).type ?? "" },
    {
      name: "NominalConcurrencyShares",
      value: (document) => {
        return specOf(document).limited?.nominalConcurrencyShares ?? "<none>";
      },
    },
    ...(["queues", "handSize", "queueLengthLimit"] as const).map((field) => ({
      name: `${field.slice(0, 1).toUpperCase()}${field.slice(1)}`,
      value: (document: Document) => {
        return specOf(document).limited?.limitResponse?.queuing?.[field] ?? "<none>";
      },
    })),
    ageColumn,
  ],
});

function limitedCauses(limited: LimitedPriorityLevelConfiguration): FieldCause[] {
  const at = "spec.limited";
  const { nominalConcurrencyShares = 0, limitResponse, lendablePercent = 0 } = limited;
  const { borrowingLimitPercent = 0 } = limited;
  const causes = sharesCauses(at, nominalConcurrencyShares);
  const { type = "", queuing } = limitResponse ?? {};
  const place = `${at}.limitResponse`;
  if (type === "Reject" && queuing !== undefined) {
    causes.push(
      forbidden(`${place}.queuing`, "must be nil if limited.limitResponse.type is not Limited"),
    );
  } else if (type === "Queue" && queuing === undefined) {
    causes.push(
      required(`${place}.queuing`, "must not be empty if limited.limitResponse.type is Limited"),
    );
  } else if (type === "Queue" && queuing !== undefined) {
    causes.push(...queuingCauses(`${place}.queuing`, queuing));
  } else if (type !== "Reject") {
    causes.push(notSupported(`${place}.type`, type, ["Queue", "Reject"]));
  }
  causes.push(...percentCauses(`${at}.lendablePercent`, lendablePercent));
  if (borrowingLimitPercent < 0) {
    const why = "if specified, must be a non-negative integer";
    causes.push(invalid(`${at}.borrowingLimitPercent`, borrowingLimitPercent, why));
  }
  return causes;
}

function queuingCauses(at: string, queuing: QueuingConfiguration): FieldCause[] {
  const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing;
  const causes: FieldCause[] = [];
  if (queueLengthLimit <= 0) {
    causes.push(invalid(`${at}.queueLengthLimit`, queueLengthLimit, "must be positive"));
  }
  if (queues <= 0) causes.push(invalid(`${at}.queues`, queues, "must be positive"));
  else if (queues > queuesMax) {
    causes.push(invalid(`${at}.queues`, queues, `must not be greater than ${queuesMax}`));
  }
  if (handSize <= 0) causes.push(invalid(`${at}.handSize`, handSize, "must be positive"));
  else if (handSize > queues) {
    const why = `should not be greater than queues (${queues})`;
    causes.push(invalid(`${at}.handSize`, handSize, why));
  } else if (entropyBits(queues, handSize) > entropyBitsMax) {
    const why =
      `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be ` +
      `greater than ${entropyBitsMax}`;
    causes.push(invalid(`${at}.handSize`, handSize, why));
  }
  return causes;
}

/** How much of a hash it takes to deal a hand of queues (upstream's estimate). */
function entropyBits(queues: number, handSize: number): number {
  return Math.ceil(Math.log2(queues) * handSize);
}

function sharesCauses(at: string, shares: number): FieldCause[] {
  if (shares >= 0) return [];
  const field = `${at}.nominalConcurrencyShares`;
  return [invalid(field, shares, "must be a non-negative integer")];
}

function percentCauses(at: string, percent: number): FieldCause[] {
  if (percent >= 0 && percent <= 100) return [];
  return [invalid(at, percent, "must be between 0 and 100, inclusive")];
}

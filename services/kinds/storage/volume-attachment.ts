import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  VolumeAttachment,
  type VolumeAttachmentSource,
  VolumeAttachmentsService,
  type VolumeError,
} from "../../../proto/gen/storage.ts";
import { forbidden, invalid, required, tooLong } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged, validateDriverName, wrong } from "../machinery/field-rules.ts";
import { checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { parseTime } from "../machinery/time.ts";

const metadataBytesMax = 256 * 1_024;
const messageBytesMax = 1_024;

const specOf = (document: Document): NonNullable<VolumeAttachment["spec"]> =>
  (document as VolumeAttachment).spec ?? {};
const statusOf = (document: Document): NonNullable<VolumeAttachment["status"]> =>
  (document as VolumeAttachment).status ?? {};

export const volumeAttachment = defineKind({
  message: "trireme.storage.v1.VolumeAttachment",
  codec: VolumeAttachment,
  service: VolumeAttachmentsService,
  countsGenerations: false,
  allowUnconditionalUpdate: false,

  setDefaults(document) {
    const attachment = document as VolumeAttachment;
    attachment.status ??= {};
    attachment.status.attached ??= false;
  },
  validate(document) {
    const { attacher = "", source = {}, nodeName = "" } = specOf(document);
    return [
      ...validateDriverName(attacher, "spec.attacher"),
      ...validateSource(source),
      ...wrong("spec.nodeName", nodeName, checkSubdomain(nodeName)),
      ...validateStatus(statusOf(document)),
    ];
  },
  validateUpdate: (next, stored) => unchanged("spec", specOf(next), specOf(stored)),
  columns: [
    nameColumn,
    { name: "Attacher", format: "name", value: (document) => specOf(document).attacher ?? "" },
    { name: "PV", value: (document) => specOf(document).source?.persistentVolumeName ?? "" },
    { name: "Node", value: (document) => specOf(document).nodeName ?? "" },
    {
      name: "Attached",
      type: "boolean",
      value: (document) => String(statusOf(document).attached ?? false),
    },
    ageColumn,
  ],
});

function validateSource(source: VolumeAttachmentSource): FieldCause[] {
  const { persistentVolumeName: name, inlineVolumeSpec } = source;
  const detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  if (name === undefined) {
    return inlineVolumeSpec === undefined ? [required("spec.source", detail)] : [];
  }
  if (inlineVolumeSpec !== undefined) return [forbidden("spec.source", detail)];
  const field = "spec.source.persistentVolumeName";
  const empty = required(field, "must specify non empty persistentVolumeName");
  return [...(name === "" ? [empty] : []), ...wrong(field, name, checkSubdomain(name))];
}

function validateStatus(status: NonNullable<VolumeAttachment["status"]>): FieldCause[] {
  const causes: FieldCause[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(status.attachmentMetadata ?? {})) {
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > metadataBytesMax) {
    causes.push(tooLong("status.attachmentMetadata", metadataBytesMax));
  }
  return [
    ...causes,
    ...validateError(status.attachError ?? {}, "status.attachError"),
    ...validateError(status.detachError ?? {}, "status.detachError"),
  ];
}

function validateError(
  { time, message = "", errorCode = 0 }: VolumeError,
  at: string,
): FieldCause[] {
  const causes: FieldCause[] = [];
  if (time !== undefined && parseTime(time) === undefined) {
    causes.push(invalid(`${at}.time`, time, "must be an RFC 3339 time"));
  }
  if (Buffer.byteLength(message) > messageBytesMax) {
    causes.push(tooLong(`${at}.message`, messageBytesMax));
  }
  if (errorCode < 0) {
    const detail = "must be between 0 and 2147483647, inclusive";
    causes.push(invalid(`${at}.errorCode`, errorCode, detail));
  }
  return causes;
}

// Descriptors: what the compiler knows about the contracts.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { publicPath } from "./names.mjs";

/**
 * Reads FileDescriptorSets. `files`: the FileDescriptorProtos by our name. `types`: the described
 * types of all files. `option(desc, name)`: the value of an option of `meta.proto`, or undefined.
 */
export async function descriptorsOf(sets) {
  const { createFileRegistry, create, fromBinary, getOption, hasOption } = await import(
    "@bufbuild/protobuf"
  );
  const { FileDescriptorSetSchema } = await import("@bufbuild/protobuf/wkt");
  const files = new Map();
  for (const bytes of sets) {
    for (const file of fromBinary(FileDescriptorSetSchema, bytes).file) files.set(file.name, file);
  }
  const types = createFileRegistry(create(FileDescriptorSetSchema, { file: [...files.values()] }));
  const extension = (name) => types.getExtension(`trireme.meta.v1.${name}`);
  const option = (desc, name) =>
    hasOption(desc, extension(name)) ? getOption(desc, extension(name)) : undefined;
  return { files, types, option };
}

/** `descriptors.binpb`, for reflection: files have the names by which other programs know them. */
export async function writeDescriptors(out, { files }) {
  const { create, toBinary } = await import("@bufbuild/protobuf");
  const { FileDescriptorSetSchema } = await import("@bufbuild/protobuf/wkt");
  const path = (name) => publicPath(name, files.get(name).package);
  const renamed = [...files.values()].map((file) => ({
    ...file,
    name: path(file.name),
    dependency: file.dependency.map(path),
  }));
  const set = create(FileDescriptorSetSchema, { file: renamed });
  writeFileSync(join(out, "descriptors.binpb"), toBinary(FileDescriptorSetSchema, set));
}

// Completes contracts: adds the List, Write and Event messages and the service of every kind.

const metaPackage = "trireme.meta.v1";
/** Packages that generated methods name, with their files. */
const filesOfPackages = {
  [metaPackage]: "meta.proto",
  "trireme.autoscaling.v1": "autoscaling.proto",
};

/** The text of contract `name` with what follows from the options of its messages. */
export function completed(name, text, resources) {
  const own = resources.filter((resource) => resource.file === name);
  if (own.length === 0) return text;
  const parts = own.map((resource) => `${messagesOf(resource)}\n${serviceOf(resource)}`);
  const used = [metaPackage, ...(own.some(({ scale }) => scale) ? ["trireme.autoscaling.v1"] : [])];
  const rule = `// ---- generated from the resource options above ${"-".repeat(48)}`;
  return `${withImports(text, used)}\n${rule}\n\n${parts.join("\n")}`;
}

function withImports(text, packages) {
  const missing = packages
    .map((each) => `import "${filesOfPackages[each]}";`)
    .filter((line) => !text.includes(line));
  if (missing.length === 0) return text;
  const lines = missing.join("\n");
  return /^import /m.test(text)
    ? text.replace(/^import /m, `${lines}\nimport `)
    : text.replace(/^package [\w.]+;\n/m, `$&\n${lines}\n`);
}

function messagesOf({ kind, namespaced, list, write, event }) {
  const messages = [];
  if (list) {
    messages.push(`// A page of objects of kind ${kind}.
message ${kind}List {
  optional string apiVersion = 1;
  optional string kind = 2;
  optional ${metaPackage}.ListMeta metadata = 3;
  repeated ${kind} items = 4;
}
`);
  }
  if (write) {
    const meaning = namespaced
      ? "may be left to object.metadata.namespace"
      : "unused: the kind is cluster-scoped";
    messages.push(`// What creates or updates an object of kind ${kind}.
message ${kind}Write {
  optional ${kind} object = 1;
  optional string namespace = 2; // ${meaning}
  optional ${metaPackage}.WriteOptions options = 3;
}
`);
  }
  if (event) {
    messages.push(`// A change of an object of kind ${kind}, told to a watcher.
message ${kind}Event {
  optional string type = 1; // ADDED, MODIFIED, DELETED, BOOKMARK
  optional ${kind} object = 2;
}
`);
  }
  return messages.join("\n");
}

function serviceOf({ kind, service, methods, scale, extras }) {
  const meta = (name) => `${metaPackage}.${name}`;
  const autoscaling = (name) => `trireme.autoscaling.v1.${name}`;
  const signatures = {
    Get: [meta("GetRequest"), kind],
    List: [meta("ListRequest"), `${kind}List`],
    Watch: [meta("WatchRequest"), `stream ${kind}Event`],
    Create: [`${kind}Write`, kind],
    Update: [`${kind}Write`, kind],
    UpdateStatus: [`${kind}Write`, kind],
    Patch: [meta("PatchRequest"), kind],
    Delete: [meta("DeleteRequest"), meta("Status")],
    DeleteCollection: [meta("DeleteCollectionRequest"), meta("Status")],
    GetScale: [meta("GetRequest"), autoscaling("Scale")],
    UpdateScale: [autoscaling("ScaleWrite"), autoscaling("Scale")],
  };
  const names = [...methods, ...(scale ? ["GetScale", "UpdateScale"] : [])];
  const lines = names.map((name) => {
    const [request, response] = signatures[name];
    return `  rpc ${name}(${request}) returns (${response});`;
  });
  for (const { rpc, comment } of extras) {
    if (comment) lines.push(`  // ${comment}`);
    lines.push(`  rpc ${rpc};`);
  }
  const name = service.slice(service.lastIndexOf(".") + 1);
  return `// Objects of kind ${kind}.\nservice ${name} {\n${lines.join("\n")}\n}\n`;
}

// The kinds: every message with the `resource` option, with all names that follow from it.

/** The methods that each verb brings, in the order in which services list them. */
const methodsOfVerbs = {
  get: ["Get"],
  list: ["List"],
  watch: ["Watch"],
  create: ["Create"],
  // Every service has both, whether or not its kind has a status: an apiserver answers in words.
  update: ["Update", "UpdateStatus"],
  patch: ["Patch"],
  delete: ["Delete"],
  deletecollection: ["DeleteCollection"],
};

/** Throws an error that names the message and the fault of its option. */
export function resourcesOf({ types, option }) {
  const resources = [];
  for (const type of types) {
    if (type.kind !== "message") continue;
    const resource = option(type, "resource");
    if (resource !== undefined) resources.push(complete(type, resource, types));
  }
  for (const one of resources) {
    const address = ({ group, version, plural }) => `${group}/${version}/${plural}`;
    const same = resources.find((each) => each !== one && address(each) === address(one));
    if (same !== undefined) {
      throw new Error(`${one.message} and ${same.message} are both ${address(one)}`);
    }
  }
  nameAll(resources);
  return resources;
}

function complete(type, resource, types) {
  // Fields that the option leaves out are undefined.
  const { group = "", version, kind, plural, scope = "" } = resource;
  const wrong = (text) => new Error(`${type.typeName}: option resource: ${text}`);
  for (const [name, value] of Object.entries({ version, kind, plural })) {
    if (!value) throw wrong(`${name} is required`);
  }
  if (kind !== type.name) throw wrong(`kind "${kind}" is not the name of the message`);
  if (!["", "Namespaced", "Cluster"].includes(scope)) {
    throw wrong(`scope "${scope}" is neither Namespaced nor Cluster`);
  }
  for (const verb of resource.verbs) {
    if (!Object.hasOwn(methodsOfVerbs, verb)) throw wrong(`no verb is called "${verb}"`);
  }
  const verbs = Object.keys(methodsOfVerbs).filter(
    (verb) => resource.verbs.length === 0 || resource.verbs.includes(verb),
  );
  const packageName = type.file.proto.package;
  const collection = pluralOf(kind, plural);
  const service = `${packageName}.${resource.service || collection}`;
  if (types.get(service) !== undefined) {
    throw wrong(`${service} is taken: give the service another name by \`service\``);
  }
  const has = (verb) => verbs.includes(verb);
  return {
    group,
    version,
    kind,
    plural,
    singular: resource.singular || kind.toLowerCase(),
    namespaced: scope !== "Cluster",
    hasStatus: resource.hasStatus === true,
    scale: resource.scale === true,
    verbs,
    message: type.typeName,
    service,
    list: has("list") ? `${type.typeName}List` : undefined,
    write: has("create") || has("update") ? `${type.typeName}Write` : undefined,
    event: has("watch") ? `${type.typeName}Event` : undefined,
    name: kind,
    property: collection[0].toLowerCase() + collection.slice(1),
    // For the generator alone.
    file: type.file.proto.name,
    methods: verbs.flatMap((verb) => methodsOfVerbs[verb]),
    extras: resource.methods.map(({ rpc, comment }) => extraOf(rpc, comment, wrong)),
  };
}

function extraOf(rpc, comment, wrong) {
  const match = /^(\w+)\((?:stream )?[\w.]+\) returns \((?:stream )?[\w.]+\)$/.exec(rpc);
  if (match === null) {
    throw wrong(`rpc "${rpc}" has not the form "Name(Request) returns (Response)"`);
  }
  return { name: match[1], rpc, comment };
}

/** The plural, cased as the kind: ConfigMap and configmaps give ConfigMaps. */
function pluralOf(kind, plural) {
  const lower = kind.toLowerCase();
  let common = 0;
  while (common < lower.length && lower[common] === plural[common]) common += 1;
  return kind.slice(0, common) + plural.slice(common);
}

/** Versions as Kubernetes ranks them: v2, v1, v2beta1, v1beta1, v1alpha1. */
function laterFirst(one, other) {
  const rank = (version) => {
    const [, major = "0", stage = "stable", minor = "0"] =
      /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version) ?? [];
    return [["alpha", "beta", "stable"].indexOf(stage), Number(major), Number(minor)];
  };
  const [left, right] = [rank(one), rank(other)];
  const differing = left.findIndex((part, index) => part !== right[index]);
  return differing < 0 ? 0 : right[differing] - left[differing];
}

/**
 * Gives every kind a name of its own. Short names go to the core group first, then to the groups in
 * alphabetical order; a kind whose short name is taken has its group behind it.
 */
function nameAll(resources) {
  const order = (one, other) => {
    if (one.group !== other.group) return one.group < other.group ? -1 : 1;
    // Of two versions of a kind, the later one has the short name.
    return one.kind === other.kind ? laterFirst(one.version, other.version) : 0;
  };
  const taken = new Set();
  for (const resource of [...resources].sort(order)) {
    const { kind, group, version, property } = resource;
    const suffix = ["", `.${group}`, `.${version}.${group}`].find(
      (each) => !taken.has(`${kind}${each}`) && !taken.has(`${property}${each}`),
    );
    if (suffix === undefined) throw new Error(`${resource.message}: its name "${kind}" is taken`);
    resource.name = `${kind}${suffix}`;
    resource.property = `${property}${suffix}`;
    taken.add(resource.name).add(resource.property);
  }
}

// The contracts as other languages take them: one folder per package, with the options that
// generators look for. `trireme protos` copies this tree.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isPublic, publicPath } from "./names.mjs";

/** The import path of the Go packages begins with this, unless `trireme protos` is told another. */
const goPrefix = "trireme.io/api";

/**
 * Writes the tree to `out`: the public contracts of the folder `proto`, and what lies in
 * `source`/tree.
 */
export function writeTree(source, proto, out, { files }) {
  const packageOf = (name) => files.get(name).package;
  cpSync(join(source, "tree"), out, { recursive: true });
  for (const name of files.keys()) {
    if (!isPublic(name)) continue;
    const file = files.get(name);
    for (const each of file.dependency) {
      if (each.includes("/") || isPublic(each)) continue;
      throw new Error(`${name} is for other languages and may not import ${each}`);
    }
    const path = join(out, publicPath(name, file.package));
    mkdirSync(dirname(path), { recursive: true });
    const text = readFileSync(join(proto, name), "utf8")
      .replace(/^import "([^"]+)";$/gm, (line, each) =>
        each.includes("/") ? line : `import "${publicPath(each, packageOf(each))}";`,
      )
      .replace(/^package [\w.]+;\n/m, (line) => `${line}\n${optionsOf(name, file)}`);
    writeFileSync(path, sortedImports(text));
  }
}

/** E.g. for package trireme.core.v1: Go corev1, Java io.trireme.core.v1, C# Trireme.Core.V1. */
function optionsOf(name, file) {
  const words = file.package.split(".");
  const [group = "", version = ""] = words.slice(-2);
  const upper = (word) => word[0].toUpperCase() + word.slice(1);
  const camel = words.map(upper);
  const base = name.replace(/\.proto$/, "");
  const options = {
    csharp_namespace: camel.join("."),
    go_package: `${goPrefix}/${words.join("/")};${group}${version}`,
    java_multiple_files: true,
    java_outer_classname: `${upper(base)}Proto`,
    java_package: `io.${file.package}`,
    php_namespace: camel.join("\\"),
    ruby_package: camel.join("::"),
  };
  return Object.entries(options)
    .map(([option, value]) => `option ${option} = ${JSON.stringify(value)};\n`)
    .join("");
}

function sortedImports(text) {
  const lines = /(?:^import "[^"]+";\n)+/m;
  return text.replace(lines, (block) => `${block.trimEnd().split("\n").sort().join("\n")}\n`);
}

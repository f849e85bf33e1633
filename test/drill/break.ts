/** Preloaded into every process and thread of a drill: breaks the members among them. */
const name = process.env["TRIREME_BROKEN"];
// The drill's own processes stay as they are.
if (name !== undefined && process.argv.includes("store")) {
  const { breakForDrill } = await import("./broken-builds.ts");
  breakForDrill(name);
}

/** Every module that may define a kind. A bundle has the same list written out. */
import { pathToFileURL } from "node:url";
import { kindFiles } from "./kind-files.ts";

export const kindModules: readonly object[] = await Promise.all(
  kindFiles().map((file) => import(pathToFileURL(file).href) as Promise<object>),
);

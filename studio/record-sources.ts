import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
// What a build reads. A test computes the same digest, so a build that does not belong to its sources is found.
const READ = ["index.html", "package.json", "package-lock.json", "vite.config.ts", "record-sources.ts", "svelte.config.js",
  "tsconfig.json", "src", "public"];

function list(path: string): string[] {
  if (!statSync(join(ROOT, path)).isDirectory()) return [path];
  return readdirSync(join(ROOT, path)).flatMap((name) => list(`${path}/${name}`));
}

/** Return one digest of every source file: its path and its bytes, in the order of the paths. */
export function digestSources(): string {
  const whole = createHash("sha256");
  for (const path of READ.flatMap(list).sort()) {
    const one = createHash("sha256").update(readFileSync(join(ROOT, path))).digest("hex");
    whole.update(`${one}  ${path}\n`);
  }
  return whole.digest("hex");
}

/** Write the digest of the sources beside the build. */
export function recordSources(out: string): Plugin {
  return {
    name: "record-sources",
    closeBundle: () => writeFileSync(join(out, "SOURCES.sha256"), `${digestSources()}\n`),
  };
}

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
// What a build reads. A test computes the same digest, so a build that does not belong to its sources is found.
const READ = ["index.html", "package.json", "package-lock.json", "vite.config.ts", "record-sources.ts", "svelte.config.js",
  "tsconfig.json", "src", "public"];

// What of others the script of the page holds; the tools that build it are not in it.
const BUNDLED = ["openseadragon", "svelte", "clsx", "esm-env"];

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

/** Return the licences of everything of others that is inside the build. */
function listLicences(): string {
  return BUNDLED.map((name) => {
    const folder = join(ROOT, "node_modules", name);
    const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    if (!file) throw new Error(`${name} brings no licence`);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  }).join(`\n${"-".repeat(72)}\n\n`);
}

/** Replace scripts and styles by packed ones: a third of the bytes in the package, and sent as they are. */
function packAssets(out: string): void {
  for (const name of readdirSync(join(out, "assets")).filter((one) => /\.(js|css)$/.test(one))) {
    const plain = join(out, "assets", name);
    writeFileSync(`${plain}.gz`, gzipSync(readFileSync(plain), { level: 9 }));
    rmSync(plain);
  }
}

/** Pack the build, and write the digest of the sources, and the licences of others, beside it. */
export function recordSources(out: string): Plugin {
  return {
    name: "record-sources",
    closeBundle: () => {
      packAssets(out);
      writeFileSync(join(out, "SOURCES.sha256"), `${digestSources()}\n`);
      writeFileSync(join(out, "LICENCES.txt"), listLicences());
    },
  };
}

import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { recordSources } from "./record-sources.ts";

const out = fileURLToPath(new URL("../src/sfumato/studio/pages", import.meta.url));

export default defineConfig({
  base: "./",
  plugins: [svelte(), recordSources(out)],
  build: {
    outDir: out,
    emptyOutDir: true,
    // Nothing inline: the page forbids it. Fixed names, so that a new build is a change of files, not a heap of new ones.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: ["chrome111", "firefox114", "safari16.4"],
    chunkSizeWarningLimit: 600,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
});

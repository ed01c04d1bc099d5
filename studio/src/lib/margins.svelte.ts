/** How far a picture is to grow beyond each edge, in px. Knows no page. */

import type { Shown } from "./view.svelte";

export const EDGES = ["left", "top", "right", "bottom"] as const;
export type Edge = (typeof EDGES)[number];

const STEP = 8;

export class Margins {
  left = $state(0);
  top = $state(0);
  right = $state(0);
  bottom = $state(0);
  isEmpty: boolean = $derived(this.left + this.top + this.right + this.bottom === 0);

  set(edge: Edge, value: number, most: number): void {
    this[edge] = Math.min(most, Math.max(0, Math.round(value / STEP) * STEP));
  }

  size(file: Shown): { width: number; height: number } {
    return { width: file.width + this.left + this.right, height: file.height + this.top + this.bottom };
  }

  /** Write them as the server reads them: left, top, right, bottom. */
  toText(): string {
    return EDGES.map((edge) => this[edge]).join(",");
  }
}

/** How far a picture is to grow beyond each edge, in px; and the picture and mask that say so to the server. */

import type { Shown } from "./view.svelte";

export const EDGES = ["left", "top", "right", "bottom"] as const;
export type Edge = (typeof EDGES)[number];

const STEP = 8;
/** So far into the known picture the new one is blended. */
const SEAM_PX = 8;

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

  /** Return the picture on a larger sheet, its edges drawn out and softened, and the mask of what is new. */
  async pack(file: Shown): Promise<{ picture: Blob; mask: Blob }> {
    const { left, top, right, bottom } = this;
    const { width, height } = this.size(file);
    const image = new Image();
    image.src = file.url;
    await image.decode();
    const sheet = new OffscreenCanvas(width, height);
    const paint = sheet.getContext("2d");
    const mask = new OffscreenCanvas(width, height);
    const shade = mask.getContext("2d");
    if (!paint || !shade) throw new Error("this browser has no canvas");
    // The picture mirrored at its edges: colours go on as they were, so that the new part has something to begin with.
    for (const [across, x] of [[-1, left], [1, left], [-1, left + 2 * file.width]] as const) {
      for (const [down, y] of [[-1, top], [1, top], [-1, top + 2 * file.height]] as const) {
        paint.setTransform(across, 0, 0, down, x, y);
        paint.drawImage(image, 0, 0);
      }
    }
    paint.setTransform(1, 0, 0, 1, 0, 0);
    shade.fillStyle = "#fff";
    shade.fillRect(0, 0, width, height);
    shade.fillStyle = "#000";
    const inset = (margin: number) => (margin ? SEAM_PX : 0);
    shade.fillRect(left + inset(left), top + inset(top), file.width - inset(left) - inset(right), file.height - inset(top) - inset(bottom));
    const [picture, packed] = await Promise.all([sheet.convertToBlob({ type: "image/png" }), mask.convertToBlob({ type: "image/png" })]);
    return { picture, mask: packed };
  }
}

/** A mask that is painted: strokes in shares of the picture, so that it fits at every zoom, and can be undone. Knows no page. */

import type { Point } from "./view.svelte";

interface Stroke {
  /** Half the width, as a share of the picture's width. */
  radius: number;
  erases: boolean;
  points: Point[];
}

type Deed = Stroke | "invert" | "clear";

export class Mask {
  deeds: Deed[] = $state.raw([]);
  isEmpty: boolean = $derived(this.deeds.length === 0 || this.deeds.at(-1) === "clear");

  begin(at: Point, radius: number, erases: boolean): void {
    this.deeds = [...this.deeds, { radius, erases, points: [at] }];
  }

  add(at: Point): void {
    const last = this.deeds.at(-1);
    if (!last || typeof last === "string") return;
    this.deeds = [...this.deeds.slice(0, -1), { ...last, points: [...last.points, at] }];
  }

  undo(): void {
    this.deeds = this.deeds.slice(0, -1);
  }

  invert(): void {
    this.deeds = [...this.deeds, "invert"];
  }

  clear(): void {
    if (!this.isEmpty) this.deeds = [...this.deeds, "clear"];
  }

  /** Draw the mask where the picture lies on a canvas, in one colour on nothing. */
  draw(paint: CanvasRenderingContext2D, left: number, top: number, width: number, height: number, colour: string): void {
    paint.save();
    paint.beginPath();
    paint.rect(left, top, width, height);
    paint.clip();
    paint.clearRect(left, top, width, height);
    paint.lineCap = paint.lineJoin = "round";
    for (const deed of this.deeds.slice(this.deeds.lastIndexOf("clear") + 1)) {
      if (typeof deed === "string") {
        // What is painted goes, what is not comes.
        paint.globalCompositeOperation = "xor";
        paint.fillStyle = colour;
        paint.fillRect(left, top, width, height);
        continue;
      }
      paint.globalCompositeOperation = deed.erases ? "destination-out" : "source-over";
      paint.strokeStyle = colour;
      paint.lineWidth = Math.max(1, 2 * deed.radius * width);
      paint.beginPath();
      deed.points.forEach((point, at) => {
        const x = left + point.x * width;
        const y = top + point.y * height;
        // A dot is a line of no length, which is drawn only where it ends somewhere.
        if (at === 0) paint.moveTo(x - (deed.points.length === 1 ? 0.01 : 0), y);
        if (at > 0 || deed.points.length === 1) paint.lineTo(x, y);
      });
      paint.stroke();
    }
    paint.restore();
  }

  /** Return the mask as a PNG of the picture's size: white changes, black stays; null where nothing is painted. */
  async pack(width: number, height: number): Promise<Blob | null> {
    const canvas = new OffscreenCanvas(width, height);
    const paint = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D | null;
    if (!paint) return null;
    this.draw(paint as unknown as CanvasRenderingContext2D, 0, 0, width, height, "#fff");
    const pixels = paint.getImageData(0, 0, width, height).data;
    let isEmpty = true;
    for (let at = 3; at < pixels.length; at += 4) {
      if ((pixels[at] ?? 0) > 127) {
        isEmpty = false;
        break;
      }
    }
    if (isEmpty) return null;
    paint.globalCompositeOperation = "destination-over";
    paint.fillStyle = "#000";
    paint.fillRect(0, 0, width, height);
    return canvas.convertToBlob({ type: "image/png" });
  }
}

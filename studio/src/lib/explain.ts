/** What differs between two pictures, in words. Knows settings and pixels, no page. */

import type { Job } from "./api";
import { S } from "./strings";

export interface Difference {
  name: string;
  one: string;
  other: string;
}

/** Return the settings that differ, in the order of the form. */
export function compareSettings(one: Job, other: Job): Difference[] {
  const read = (job: Job): [string, string][] => [
    [S.promptName, job.request.prompt],
    [S.negative, job.request.negative],
    [S.seed, job.files[0]?.seed ?? job.request.seed],
    [S.size, job.request.size],
    [S.method, job.request.method.kind],
    [S.model, job.request.model],
    [S.steps, String(job.request.steps)],
    [S.guidance, String(job.request.guidance)],
    [S.sampler, job.request.sampler],
  ];
  const before = new Map(read(one));
  return read(other)
    .filter(([name, value]) => before.get(name) !== value)
    .map(([name, value]) => ({ name, one: before.get(name) ?? "", other: value }));
}

/** Say the settings that differ in one sentence. */
export function explain(one: Job, other: Job): string {
  const found = compareSettings(one, other);
  if (found.length === 0) return S.sameSettings;
  const told = found.slice(0, 3).map(({ name, one: a, other: b }) => S.differs(name, clip(a), clip(b)));
  return S.difference(told.join("; "), Math.max(0, found.length - 3));
}

function clip(text: string): string {
  return text.length > 48 ? `${text.slice(0, 47)}…` : text || "–";
}

const SIDE = 64;
/** A step of 1 in 16 is what an eye sees side by side. */
const SEEN = 16;

/** Return the share of a picture that looks another way, and where most of it is; from two small copies. */
export async function compareLooks(one: string, other: string): Promise<{ share: number; place: string } | null> {
  try {
    const [before, after] = await Promise.all([readPixels(one), readPixels(other)]);
    let count = 0;
    let x = 0;
    let y = 0;
    for (let at = 0; at < SIDE * SIDE; at += 1) {
      const step = [0, 1, 2].reduce((sum, part) => sum + Math.abs((before[4 * at + part] ?? 0) - (after[4 * at + part] ?? 0)), 0) / 3;
      if (step < SEEN) continue;
      count += 1;
      x += at % SIDE;
      y += Math.floor(at / SIDE);
    }
    const place = count ? S.placeOf(third(x / count), third(y / count)) : "";
    return { share: count / (SIDE * SIDE), place };
  } catch {
    return null;
  }
}

function third(at: number): -1 | 0 | 1 {
  return at < SIDE * 0.4 ? -1 : at > SIDE * 0.6 ? 1 : 0;
}

async function readPixels(address: string): Promise<Uint8ClampedArray> {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const paint = canvas.getContext("2d");
  if (!paint) throw new Error("no canvas");
  paint.drawImage(image, 0, 0, SIDE, SIDE);
  return paint.getImageData(0, 0, SIDE, SIDE).data;
}

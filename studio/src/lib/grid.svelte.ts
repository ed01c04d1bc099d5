/** A grid of pictures that differ in one to three settings: its axes, its jobs, and what is queued for it. Knows no page. */

import type { Job, Wish } from "./api";
import { toWish } from "./draft.svelte";
import type { Queue } from "./queue.svelte";
import { S } from "./strings";

const KEY = "sfumato-grid";
export const MOST_CELLS = 36;

export const AXES = ["seed", "steps", "guidance", "sampler", "method", "words"] as const;
export type AxisKind = (typeof AXES)[number];

export interface Axis {
  kind: AxisKind;
  values: string[];
}

export interface Cell {
  x: string;
  y: string;
  z: string;
  job: string;
}

export interface Grid {
  prompt: string;
  axes: (Axis | null)[];
  cells: Cell[];
}

export class Grids {
  current: Grid | null = $state.raw(read());

  /** Queue a picture for every cell; stops at the first that is refused. */
  async draw(axes: (Axis | null)[], job: Job, seed: string, queue: Queue): Promise<void> {
    const [x, y, z] = axes;
    const cells: Cell[] = [];
    const grid = (): Grid => ({ prompt: job.request.prompt, axes, cells: [...cells] });
    for (const k of z?.values ?? [""]) {
      for (const j of y?.values ?? [""]) {
        for (const i of x?.values ?? [""]) {
          let wish = toWish(job, seed);
          if (x) wish = change(wish, x, i);
          if (y) wish = change(wish, y, j);
          if (z) wish = change(wish, z, k);
          cells.push({ x: i, y: j, z: k, job: (await queue.order(wish)).id });
          this.current = grid();
        }
      }
    }
    write(this.current);
  }

  drop(): void {
    this.current = null;
    write(null);
  }
}

/** Read the values of an axis from what a person wrote: commas between, and ranges such as 1-4. */
export function readAxis(kind: AxisKind | "", text: string): Axis | null {
  if (!kind) return null;
  const values = text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean)
    .flatMap((one) => {
      const range = kind === "seed" || kind === "steps" ? /^(\d{1,9})\s*-\s*(\d{1,9})$/.exec(one) : null;
      if (!range) return [one];
      const [low, high] = [Number(range[1]), Number(range[2])];
      return high >= low && high - low < MOST_CELLS ? Array.from({ length: high - low + 1 }, (_, at) => String(low + at)) : [one];
    });
  return { kind, values: [...new Set(values)] };
}

/** Say what keeps a grid from being drawn; empty where nothing does. */
export function findFault(axes: (Axis | null)[], prompt: string): string {
  const used = axes.filter((axis): axis is Axis => axis !== null);
  if (used.length === 0) return S.gridNeedsAxis;
  if (new Set(used.map((axis) => axis.kind)).size < used.length) return S.gridTwice;
  for (const axis of used) {
    if (axis.values.length < 2) return S.gridNeedsValues(S.axes[axis.kind]);
    if (axis.kind === "words" && !prompt.includes(axis.values[0] ?? "")) return S.gridNeedsWord(axis.values[0] ?? "");
    const isNumber = axis.kind === "seed" || axis.kind === "steps" || axis.kind === "guidance";
    const wrong = isNumber ? axis.values.find((value) => !/^\d+(\.\d+)?$/.test(value)) : undefined;
    if (wrong !== undefined) return S.gridNoNumber(wrong);
  }
  const count = used.reduce((product, axis) => product * axis.values.length, 1);
  return count > MOST_CELLS ? S.gridTooMany(count, MOST_CELLS) : "";
}

export function countCells(axes: (Axis | null)[]): number {
  return axes.reduce((product, axis) => product * (axis?.values.length || 1), 1);
}

function change(wish: Wish, axis: Axis, value: string): Wish {
  switch (axis.kind) {
    case "seed":
      return { ...wish, seed: value };
    case "steps":
    case "guidance":
      return { ...wish, [axis.kind]: Number(value) };
    case "sampler": {
      // The schedule is the sampler's own.
      const { schedule: _, ...rest } = wish;
      return { ...rest, sampler: value };
    }
    case "method":
      return { ...wish, method: value };
    case "words":
      return { ...wish, prompt: String(wish.prompt ?? "").replace(axis.values[0] ?? "", value) };
  }
}

function read(): Grid | null {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "null") as Grid | null;
    return kept && Array.isArray(kept.cells) && Array.isArray(kept.axes) ? kept : null;
  } catch {
    return null;
  }
}

function write(grid: Grid | null): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(grid));
  } catch {
    // A browser that keeps nothing still draws.
  }
}

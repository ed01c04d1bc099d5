/** Boxes on a picture: what was found there, what is said of it, and boxes that a person draws. Knows no page. */

import type { FocusRow, HandRow, JobResult } from "./api";
import type { Rect } from "./view.svelte";

export interface Part {
  key: string;
  /** face, hand, person …; own for a box that a person drew. */
  kind: string;
  /** In px of the picture. */
  box: Rect;
  verdict: string;
  /** How sure the finder or the critic is, 0 to 1; null where nothing was said. */
  sure: number | null;
  reason: string;
  before: string | null;
  after: string | null;
  prompt: string;
}

export class Parts {
  list: Part[] = $state([]);
  chosen = $state("");
  /** Whether the next drag over the picture draws a box. */
  isDrawing = $state(false);

  add(found: Part[]): void {
    const known = new Set(found.map((one) => one.key));
    this.list = [...this.list.filter((one) => !known.has(one.key)), ...found];
  }

  leave(part: Part): void {
    this.list = this.list.filter((one) => one.key !== part.key);
  }

  /** Take a box that a person drew, in px. */
  draw(box: Rect, prompt: string): void {
    const key = `own ${box.left} ${box.top} ${box.width} ${box.height}`;
    this.add([{ key, kind: "own", box, verdict: "", sure: null, reason: "", before: null, after: null, prompt }]);
    this.chosen = key;
    this.isDrawing = false;
  }
}

/** Return the parts that a job tells of: things that were found, hands that were judged, parts that were drawn again. */
export function readParts(result: JobResult, file: string): Part[] {
  const found = (result.found ?? []).map((one) => make(one.kind, one.box, "", one.confidence, ""));
  const hands = (result.hands ?? []).map(readHand);
  const own = (result.pictures ?? []).filter((one) => one.file === file);
  const focus = own.flatMap((one) => one.focus.map((row) => readRow(row, row.kind ?? "part")));
  const repaired = own.flatMap((one) => (one.anatomy?.repairs ?? []).map((row) => readRow(row, "hand")));
  const judged = own.flatMap((one) => (one.anatomy?.hands ?? []).map(readHand)).filter((hand) => !repaired.some((one) => one.key === hand.key));
  return [...found, ...hands, ...focus, ...repaired, ...judged];
}

function readHand(row: HandRow): Part {
  return { ...make("hand", row.box, row.verdict, row.sure ?? null, row.reason), after: toAddress(row.evidence) };
}

function readRow(row: FocusRow, kind: string): Part {
  const reason = row.reason || (row.reasons ?? []).join("; ");
  return { ...make(kind, row.box, row.verdict, null, reason), before: toAddress(row.before), after: toAddress(row.after) };
}

function make(kind: string, box: number[], verdict: string, sure: number | null, reason: string): Part {
  const [left = 0, top = 0, width = 1, height = 1] = box;
  return { key: `${kind} ${box.join(" ")}`, kind, box: { left, top, width, height }, verdict, sure, reason, before: null, after: null, prompt: "" };
}

function toAddress(id: string | null | undefined): string | null {
  return id ? `/api/v1/files/${id}` : null;
}

/** What the server says and takes at /api/v1, and one way to ask it. Knows no page. */

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled" | "quarantined";

export interface Fault {
  error: string;
  what: string;
  got: unknown;
  do: string;
}

export interface Progress {
  stage: string;
  stage_index: number;
  stages: number;
  step: number;
  steps: number;
  unit: string;
  done_frac: number;
  left_s: number | null;
  index: number;
  pictures: number;
  /** Of a lesson. */
  loss?: number | null;
  check?: LossCheck | null;
}

export interface StoredFile {
  id: string;
  url: string;
  width: number;
  height: number;
  bytes: number;
  seed: string | null;
}

export interface Job {
  id: string;
  kind?: string;
  state: JobState;
  request: {
    prompt: string;
    negative: string;
    size: string;
    seed: string;
    steps: number;
    sampler: string;
    schedule?: string;
    guidance: number;
    model: string;
    batch: number;
    variation_seed?: number | null;
    variation_strength?: number;
    concepts?: { path: string }[];
    method: { kind: string };
    /** Of a lesson. */
    concept?: string;
  };
  source: string;
  created_s: number;
  started_s: number | null;
  ended_s: number | null;
  cancel_wanted: boolean;
  planned_seconds: number | null;
  error: Fault | null;
  log: string;
  files: StoredFile[];
  result?: JobResult | null;
  progress: Progress | null;
  warnings: string[];
}

/** What a job found or did: things, hands, or what became of the parts of each picture. Boxes are [x, y, width, height] in px. */
export interface JobResult {
  found?: { kind: string; box: number[]; confidence: number }[];
  hands?: HandRow[];
  missing?: string[];
  pictures?: { file: string; focus: FocusRow[]; anatomy: { hands: HandRow[]; repairs: FocusRow[] } | null }[];
}

export interface HandRow {
  box: number[];
  verdict: string;
  reason: string;
  sure?: number;
  digits?: number | null;
  evidence?: string | null;
}

export interface FocusRow {
  kind?: string;
  cause?: string;
  box: number[];
  verdict: string;
  reason?: string;
  reasons?: string[];
  before?: string | null;
  after?: string | null;
}

export interface LossCheck {
  step: number;
  train: number;
  held_out: number;
}

export interface Concept {
  name: string;
  trigger: string;
  class: string;
  description: string;
  pictures: number;
  bases: { base: string; rung: string; steps: number; best_step: number; seconds: number; stopped: string; checks: LossCheck[] }[];
  card: {
    rows: { name: string; value: number | null; unit: string; aim: number | null; aim_is: string | null; met: boolean | null; note: string }[];
  } | null;
}

/** A picture of the gallery. */
export interface Kept {
  id: string;
  url: string;
  job: string;
  prompt: string;
  model: string;
  method: string;
  seed: string | null;
  width: number;
  height: number;
  created_s: number;
  favourite: boolean;
}

/** The settings that lie inside a picture file. */
export interface Inside {
  origin: "sfumato" | "other" | null;
  size: string;
  settings: Partial<Settings>;
  left: string[];
}

export interface Settings {
  prompt: string;
  negative: string;
  size: string;
  seed: string;
  steps: number;
  sampler: string;
  guidance: number;
  model: string;
  method: string;
}

/** A picture that a person dropped: as the server keeps it, and what was inside the file. */
export interface Opened {
  file: StoredFile;
  name: string;
  inside: Inside;
}

export interface Forecast {
  unknown_words: string[];
  accepted: boolean;
  refusal: Fault | null;
  size?: string;
  method?: string;
  memory_bytes?: number;
  warnings?: string[];
  plan: { seconds: number; save_seconds: number; batch: number; stages: { name: string; canvas: string }[] } | null;
}

export interface Model {
  name: string;
  family: string;
  native: string;
}

export interface Choices {
  models: Model[];
  default: string;
  samplers: string[];
}

export interface Health {
  version: string;
  worker: { ready: boolean; deaths: number };
}

export interface Facts {
  self_check: string;
  needs_look: boolean;
  seconds: number;
}

export interface Recipe {
  command: string | null;
  python: string | null;
}

/** What a person says of a picture, in the names of the library. A seed is a text of digits: it may have 64 bits. */
export type Wish = Record<string, string | number | boolean | string[] | Record<string, string | number>[]>;

/** The server refused, or did not answer (`status` 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly fault: Fault,
  ) {
    super(fault.what);
  }
}

// A seed of 64 bits is more than a number of JavaScript holds.
const LONG_SEED = /"seed": ?(\d+)/g;
const SEED_TEXT = /"seed":"(\d+)"/g;

/** Ask the server; the answer is JSON. */
export async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let answer: Response;
  try {
    const headers = body === undefined ? undefined : { "Content-Type": "application/json" };
    const text = body === undefined ? undefined : JSON.stringify(body).replace(SEED_TEXT, '"seed":$1');
    answer = await fetch(path, { method, headers, body: text, signal, credentials: "same-origin" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, { error: "unreachable", what: "", got: null, do: "" });
  }
  return read<T>(answer);
}

async function read<T>(answer: Response): Promise<T> {
  const text = await answer.text();
  let value: unknown;
  try {
    value = text ? JSON.parse(quoteSeeds(text)) : null;
  } catch {
    value = { error: "http", what: answer.statusText, got: answer.status, do: "" };
  }
  if (!answer.ok) throw new ApiError(answer.status, value as Fault);
  return value as T;
}

/** Return JSON whose seeds are texts. */
export function quoteSeeds(text: string): string {
  return text.replace(LONG_SEED, '"seed":"$1"');
}

/** Send a picture as it is; the answer is JSON. */
export async function send<T>(path: string, body: Blob): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, { method: "POST", headers: { "Content-Type": body.type || "image/png" }, body, credentials: "same-origin" });
  } catch {
    throw new ApiError(0, { error: "unreachable", what: "", got: null, do: "" });
  }
  return read<T>(answer);
}

export function toFault(error: unknown): Fault {
  if (error instanceof ApiError) return error.fault;
  return { error: "page", what: String(error), got: null, do: "" };
}

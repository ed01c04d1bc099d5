/** The picture that a person has in mind: the form, kept in this browser until it is changed. */

import type { Concept, Job, Settings, Wish } from "./api";
import { findSize, type Size } from "./format";

const KEY = "sfumato-draft";
/** A side has a multiple of so many px. */
export const FACTOR = 8;

export interface Shape {
  name: string;
  across: number;
  down: number;
}

export const SHAPES: Shape[] = [
  { name: "1 : 1", across: 1, down: 1 },
  { name: "3 : 2", across: 3, down: 2 },
  { name: "16 : 9", across: 16, down: 9 },
  { name: "2 : 3", across: 2, down: 3 },
  { name: "9 : 16", across: 9, down: 16 },
];

interface Values {
  prompt: string;
  width: number;
  height: number;
  seed: string;
  negative: string;
  steps: string;
  guidance: string;
  sampler: string;
  method: string;
  batch: number;
  model: string;
  /** Names with commas between. */
  concepts: string;
}

const EMPTY: Values = {
  prompt: "",
  width: 512,
  height: 512,
  seed: "",
  negative: "",
  steps: "",
  guidance: "",
  sampler: "",
  method: "",
  batch: 1,
  model: "",
  concepts: "",
};

export class Draft {
  values: Values = $state({ ...EMPTY, ...readKept() });

  /** The shape that the size has, null where it has another. */
  shape: Shape | null = $derived(
    SHAPES.find((shape) => {
      const size = fit(shape, Math.max(this.values.width, this.values.height));
      return size.width === this.values.width && size.height === this.values.height;
    }) ?? null,
  );

  /** How many of the folded settings differ from the default. */
  changed: number = $derived(
    [this.values.negative, this.values.steps, this.values.guidance, this.values.sampler, this.values.method].filter((value) => value !== "")
      .length + (this.values.batch > 1 ? 1 : 0),
  );

  keep(): void {
    try {
      localStorage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // A browser that keeps nothing still draws.
    }
  }

  setSize(size: Size): void {
    this.values.width = size.width;
    this.values.height = size.height;
  }

  /** Return what the server is asked for; what is left empty stays the server's to choose. */
  toWish(): Wish {
    const { prompt, width, height, seed, negative, steps, guidance, sampler, method, batch, model, concepts } = this.values;
    const wish: Wish = { size: `${width}x${height}` };
    if (prompt.trim()) wish.prompt = prompt.trim();
    if (seed.trim()) wish.seed = seed.trim();
    if (negative.trim()) wish.negative = negative.trim();
    if (steps) wish.steps = Number(steps);
    if (guidance) wish.guidance = Number(guidance);
    if (sampler) wish.sampler = sampler;
    if (method) wish.method = method;
    if (batch > 1) wish.batch = batch;
    if (model) wish.model = model;
    if (concepts) wish.concepts = concepts.split(",");
    return wish;
  }

  /** Use a concept: the model is given it, and its word stands in the prompt. */
  addConcept(concept: Concept): void {
    const names = new Set(this.values.concepts.split(",").filter(Boolean)).add(concept.name);
    this.values.concepts = [...names].join(",");
    if (!this.values.prompt.includes(concept.trigger)) this.values.prompt = `${this.values.prompt.trim()} ${concept.trigger}`.trim();
  }

  dropConcept(name: string): void {
    this.values.concepts = this.values.concepts.split(",").filter((one) => one && one !== name).join(",");
  }

  /** Take over the settings of a picture; with a seed it would be drawn again. */
  take(job: Job, seed: string): void {
    const { request } = job;
    const size = findSize(request.size);
    this.values = {
      ...EMPTY,
      prompt: request.prompt,
      width: size?.width ?? EMPTY.width,
      height: size?.height ?? EMPTY.height,
      seed,
      negative: request.negative,
      steps: String(request.steps),
      guidance: String(request.guidance),
      sampler: request.sampler,
      method: request.method.kind,
      model: request.model,
    };
  }

  /** Take over the settings that lay inside a picture file; what it does not say stays the server's to choose. */
  takeSettings(told: Partial<Settings>): void {
    const size = told.size ? findSize(told.size) : null;
    const text = (value: string | number | undefined) => (value === undefined ? "" : String(value));
    this.values = {
      ...EMPTY,
      prompt: text(told.prompt),
      width: size ? round(size.width) : this.values.width,
      height: size ? round(size.height) : this.values.height,
      seed: text(told.seed),
      negative: text(told.negative),
      steps: text(told.steps),
      guidance: text(told.guidance),
      sampler: text(told.sampler),
      method: text(told.method),
      model: this.values.model,
    };
  }

  reset(): void {
    this.values = { ...EMPTY, prompt: this.values.prompt, model: this.values.model };
  }
}

/** Return what the server is asked for to draw the picture of a job again; another seed where it is empty. */
export function toWish(job: Job, seed: string): Wish {
  const { prompt, negative, size, steps, guidance, sampler, schedule, model, method } = job.request;
  const wish: Wish = { prompt, size, steps, guidance, sampler, model, method: method.kind };
  if (schedule) wish.schedule = schedule;
  if (negative) wish.negative = negative;
  if (seed) wish.seed = seed;
  const { variation_seed: variation, variation_strength: strength } = job.request;
  if (variation !== undefined && variation !== null && strength) Object.assign(wish, { variation_seed: variation, variation_strength: strength });
  if (job.request.concepts?.length) wish.concepts = job.request.concepts.map((one) => one.path.replace(/\.concept$/, ""));
  return wish;
}

function round(side: number): number {
  return Math.max(FACTOR, Math.round(side / FACTOR) * FACTOR);
}

/** Return the size of a shape whose longer side has so many px. */
export function fit(shape: Shape, longest: number): Size {
  const most = Math.max(shape.across, shape.down);
  return { width: round((longest * shape.across) / most), height: round((longest * shape.down) / most) };
}

function readKept(): Partial<Values> {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (typeof kept !== "object" || kept === null) return {};
    // Another version may have kept other things.
    return Object.fromEntries(Object.entries(kept).filter(([name, value]) => typeof value === typeof EMPTY[name as keyof Values]));
  } catch {
    return {};
  }
}

/** The jobs as the server has them: the page keeps none of its own, so it can be closed and come back. */

import { ask, ApiError, quoteSeeds, send, toFault } from "./api";
import type { Choices, Concept, Fault, LossCheck, Health, Inside, Job, Opened, Progress, StoredFile, Wish } from "./api";
import { Grids } from "./grid.svelte";

const LISTED = 60;
const MOST_POINTS = 2000;
const BUSY_MS = 1500;
const IDLE_MS = 8000;

export function isActive(job: Job): boolean {
  return job.state === "queued" || job.state === "running";
}

const DRAWN = new Set(["render", "upscale", "focus", "repair"]);

/** Tell whether a job is one that a person looks at: it draws, and its picture was not deleted. */
export function isPicture(job: Job): boolean {
  return DRAWN.has(job.kind ?? "render") && (job.state !== "done" || job.files.length > 0);
}

const PLAIN: Job["request"] = {
  prompt: "",
  negative: "",
  size: "",
  seed: "",
  steps: 0,
  sampler: "",
  guidance: 0,
  model: "",
  batch: 1,
  method: { kind: "" },
};

/** Fill what jobs of other kinds do not say, so that every one can be shown. */
function tidy(job: Job): Job {
  const request = { ...PLAIN, ...Object.fromEntries(Object.entries(job.request).filter(([, value]) => value !== null)) };
  const method = request.method as Job["request"]["method"] | string;
  const isDrawn = (job.kind ?? "render") === "render";
  return {
    ...job,
    source: isDrawn ? job.source : "picture",
    request: { ...request, method: typeof method === "string" ? { kind: method } : method },
  };
}

export class Queue {
  /** The newest first. */
  jobs: Job[] = $state.raw([]);
  /** The job on the wall; null where nothing was drawn yet. */
  shownId: string | null = $state(null);
  /** The picture of the work in progress, as a data address, of the job that is followed. */
  preview: { id: string; address: string } | null = $state.raw(null);
  isLoaded = $state(false);
  isLost = $state(false);
  health: Health | null = $state.raw(null);
  choices: Choices | null = $state.raw(null);

  /** What the wall shows. */
  place: "picture" | "gallery" | "grid" | "concepts" = $state("picture");
  /** The picture of a job of several that is looked at, by its id. */
  fileId = $state("");
  grids = new Grids();
  /** What the server has been taught; null until it was asked. */
  concepts: Concept[] | null = $state.raw(null);
  /** What was heard of lessons while they went on, by the ids of their jobs. */
  curves: Record<string, { checks: LossCheck[]; losses: { step: number; loss: number }[] }> = $state.raw({});
  /** A picture that was dropped, in place of a job on the wall. */
  opened: Opened | null = $state.raw(null);

  pictures: Job[] = $derived(this.jobs.filter(isPicture));
  shown: Job | null = $derived(this.pictures.find((job) => job.id === this.shownId) ?? this.pictures[0] ?? null);
  /** Jobs that wait or run, in the order in which they are drawn. */
  active: Job[] = $derived(
    this.jobs.filter(isActive).sort((a, b) => Number(b.state === "running") - Number(a.state === "running") || this.#turn(a) - this.#turn(b) || a.created_s - b.created_s),
  );
  /** The ids of those that wait, as the server will take them. */
  #waiting: string[] = $state.raw([]);
  running: Job | null = $derived(this.jobs.find((job) => job.state === "running") ?? null);

  readonly #asked = new Set<string>();
  readonly #far = new Set<string>();
  #stream: EventSource | null = null;
  #followedId = "";
  #timer = 0;

  /** Read the state now and go on doing so; returns how to stop. */
  start(): () => void {
    void this.look();
    const onVisible = () => document.visibilityState === "visible" && void this.look();
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      document.removeEventListener("visibilitychange", onVisible);
      clearTimeout(this.#timer);
      this.#stream?.close();
    };
  }

  /** Ask for all jobs. */
  async look(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const told = await ask<{ jobs: Job[] }>("GET", `/api/v1/jobs?most=${LISTED}`);
      if (this.isLost || !this.choices) this.choices = await ask<Choices>("GET", "/api/v1/models");
      if (this.isLost || !this.health?.worker.ready) this.health = await ask<Health>("GET", "/healthz");
      // What was looked up beyond the list stays.
      const listed = new Set(told.jobs.map((job) => job.id));
      this.jobs = [...told.jobs.map(tidy), ...this.jobs.filter((job) => this.#far.has(job.id) && !listed.has(job.id))];
      // Who comes back sees the picture that is being drawn, and goes on seeing it when it is done.
      this.shownId ??= (this.active.find(isPicture) ?? this.pictures[0])?.id ?? null;
      if (told.jobs.filter((job) => job.state === "queued").length > 1) {
        this.#waiting = (await ask<{ waiting: string[] }>("GET", "/api/v1/queue")).waiting;
      }
      this.isLoaded = true;
      this.isLost = false;
    } catch (error) {
      // A server that answers with an error is there; one that does not is awaited.
      this.isLost = !(error instanceof ApiError) || error.status === 0 || error.status >= 500;
    }
    this.follow();
    const isBusy = this.isLost || this.active.length > 0 || !this.health?.worker.ready;
    this.#timer = window.setTimeout(() => void this.look(), isBusy ? BUSY_MS : IDLE_MS);
  }

  /** Hear every step of the job on the wall, or of the one that runs. */
  follow(): void {
    const wanted = this.shown && isActive(this.shown) ? this.shown : (this.running ?? this.active[0]);
    if (wanted?.id === this.#followedId && this.#stream?.readyState !== EventSource.CLOSED) return;
    this.#stream?.close();
    this.#stream = null;
    this.#followedId = wanted?.id ?? "";
    if (!wanted) return;
    const { id } = wanted;
    const stream = new EventSource(`/api/v1/jobs/${id}/events`);
    this.#stream = stream;
    stream.addEventListener("state", (event) => {
      const job = JSON.parse(quoteSeeds((event as MessageEvent<string>).data)) as Job;
      this.put(job);
      if (isActive(job)) return;
      stream.close();
      if (this.#followedId === id) this.#followedId = "";
      void this.look();
    });
    stream.addEventListener("progress", (event) => {
      const progress = JSON.parse((event as MessageEvent<string>).data) as Progress;
      this.jobs = this.jobs.map((job) => (job.id === id ? { ...job, progress } : job));
      this.#trace(id, progress);
    });
    stream.addEventListener("preview", (event) => {
      const { jpeg_base64 } = JSON.parse((event as MessageEvent<string>).data) as { jpeg_base64: string };
      this.preview = { id, address: `data:image/jpeg;base64,${jpeg_base64}` };
    });
  }

  #trace(id: string, { step, loss, check }: Progress): void {
    if (typeof loss !== "number" && !check) return;
    const { checks, losses } = this.curves[id] ?? { checks: [], losses: [] };
    const isNew = check && checks.at(-1)?.step !== check.step;
    const curve = {
      checks: isNew ? [...checks, check] : checks,
      losses: typeof loss === "number" && losses.at(-1)?.step !== step ? [...losses, { step, loss }].slice(-MOST_POINTS) : losses,
    };
    this.curves = { ...this.curves, [id]: curve };
  }

  async lookForConcepts(): Promise<void> {
    try {
      this.concepts = (await ask<{ concepts: Concept[] }>("GET", "/api/v1/concepts")).concepts;
    } catch {
      // They are asked for again when a lesson ends, or their page is opened.
    }
  }

  put(untidy: Job): void {
    const job = tidy(untidy);
    const known = this.jobs.some((other) => other.id === job.id);
    this.jobs = known ? this.jobs.map((other) => (other.id === job.id ? job : other)) : [job, ...this.jobs];
  }

  show(job: Job): void {
    this.place = "picture";
    this.opened = null;
    this.fileId = "";
    this.shownId = job.id;
    this.follow();
  }

  /** Put a picture on the wall whose job may be older than the list. */
  async showById(id: string, fileId: string): Promise<void> {
    await this.fetch(id);
    const job = this.jobs.find((one) => one.id === id);
    if (job) this.show(job);
    this.fileId = fileId;
  }

  /** Learn of a job that is older than the list. */
  async fetch(id: string): Promise<void> {
    if (this.jobs.some((job) => job.id === id) || this.#asked.has(id)) return;
    this.#asked.add(id);
    try {
      this.#far.add(id);
      this.jobs = [...this.jobs, tidy(await ask<Job>("GET", `/api/v1/jobs/${id}`))];
    } finally {
      this.#asked.delete(id);
    }
  }

  /** Send a picture that was dropped, and put it on the wall. */
  async open(file: File): Promise<void> {
    const inside = await send<Inside>("/api/v1/settings", file);
    const stored = await send<StoredFile>("/api/v1/files", file);
    this.place = "picture";
    this.opened = { file: stored, name: file.name, inside };
  }

  /** Queue a picture and put it on the wall, unless another is being drawn there. */
  async submit(wish: Wish): Promise<Job> {
    const job = await this.order(wish);
    this.show(this.running && isPicture(this.running) ? this.running : job);
    return job;
  }

  /** Queue a job and leave the wall as it is. */
  async order(wish: Wish): Promise<Job> {
    const job = tidy(await ask<Job>("POST", "/api/v1/jobs", wish));
    this.put(job);
    void this.look();
    return job;
  }

  async cancel(job: Job): Promise<Fault | null> {
    return this.#change("DELETE", `/api/v1/jobs/${job.id}`);
  }

  #turn(job: Job): number {
    const at = this.#waiting.indexOf(job.id);
    return at < 0 ? this.#waiting.length : at;
  }

  /** Let a job that waits be drawn before the one before it. */
  async moveUp(job: Job): Promise<Fault | null> {
    const waiting = this.active.filter((one) => one.state === "queued");
    const before = waiting[waiting.findIndex((one) => one.id === job.id) - 1];
    if (!before) return null;
    try {
      await ask("POST", `/api/v1/jobs/${job.id}/move`, { before: before.id });
      await this.look();
      return null;
    } catch (error) {
      return toFault(error);
    }
  }

  async retry(job: Job): Promise<Fault | null> {
    return this.#change("POST", `/api/v1/jobs/${job.id}/retry`);
  }

  async #change(method: string, path: string): Promise<Fault | null> {
    try {
      this.put(await ask<Job>(method, path));
      void this.look();
      return null;
    } catch (error) {
      return toFault(error);
    }
  }
}

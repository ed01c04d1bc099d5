/** Numbers as people read them. */

export function writeSeconds(seconds: number): string {
  if (seconds < 1) return "1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `${Math.round(hours / 24)} days`;
}

export function writeBytes(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 0.1 ? `${gib.toFixed(1)} GiB` : `${Math.max(1, Math.round(bytes / 2 ** 20))} MiB`;
}

export function writeSize(size: string): string {
  return size.replace("x", " × ");
}

export interface Size {
  width: number;
  height: number;
}

/** Read the first size in a text, such as "Ask for 2048x1152, the largest of this shape." */
export function findSize(text: string): Size | null {
  const found = /(\d{2,6})\s?[x×]\s?(\d{2,6})/.exec(text);
  return found ? { width: Number(found[1]), height: Number(found[2]) } : null;
}

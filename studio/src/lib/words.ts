/** What `mini` has learned, in the order in which a prompt is written. A test checks every word against the model. */

export interface Group {
  name: string;
  phrases: string[];
}

export const GROUPS: Group[] = [
  { name: "Begin with", phrases: ["a photo of", "a cartoon of", "a portrait of", "a close-up of"] },
  { name: "People", phrases: ["a woman", "a man", "a young woman", "an old man", "two people", "a group of people"] },
  {
    name: "Looks",
    phrases: ["with long red hair", "with short black hair", "with blonde hair in a bun", "with a beard", "with glasses", "smiling"],
  },
  { name: "Clothes", phrases: ["in a green sweater", "in a blue coat", "in a red dress", "in a white shirt", "in yellow trousers"] },
  { name: "Doing", phrases: ["standing", "walking", "sitting", "waving", "holding a cup", "holding a flower", "holding a balloon"] },
  { name: "Hands", phrases: ["an open hand", "a fist", "a hand pointing", "a hand showing three fingers"] },
  { name: "Things", phrases: ["a house", "a tree", "a car", "a watch", "a lamp", "a dog", "a cup"] },
  { name: "Places", phrases: ["in a meadow", "on a beach", "in a street", "in a room", "by the sea"] },
  { name: "Surfaces", phrases: ["a brick wall", "foliage", "a sky with clouds", "waves on the sea"] },
];

const SMALL = new Set(["a", "an", "of", "in", "on", "by", "with", "the", "up", "hand"]);
/** Single words that are offered while a prompt is typed. */
export const WORDS: string[] = [
  ...new Set(
    GROUPS.flatMap((group) => group.phrases.flatMap((phrase) => phrase.split(/[^a-z]+/)))
      .concat("photograph", "meadow", "purple", "orange", "brown", "grey", "skirt", "shorts", "gloves", "bald", "window", "flower", "hand", "hands")
      .filter((word) => word.length > 2 && !SMALL.has(word)),
  ),
].sort();

export interface Idea {
  prompt: string;
  picture: string;
  seed: string;
}

/** Prompts that suit `mini`, each with what it drew: 256x256 px, all else left at its default. */
export const IDEAS: Idea[] = [
  { prompt: "a portrait of a woman with long red hair in a green sweater, photograph", picture: "woman.jpg", seed: "4" },
  { prompt: "a photo of a red house in a meadow", picture: "house.jpg", seed: "3" },
  { prompt: "a photo of a tree by the sea", picture: "tree.jpg", seed: "2" },
  { prompt: "a photo of a lamp in a room", picture: "lamp.jpg", seed: "2" },
  { prompt: "a photo of a blue car in a street", picture: "car.jpg", seed: "2" },
  { prompt: "a photo of a watch", picture: "watch.jpg", seed: "1" },
];

export interface Span {
  text: string;
  unknown: boolean;
}

/** Cut a prompt into spans; the words that the model has not learned are marked. */
export function markUnknown(prompt: string, unknown: readonly string[]): Span[] {
  const words = new Set(unknown);
  const spans: Span[] = [];
  for (const text of prompt.split(/(\p{L}+)/u)) {
    if (text) spans.push({ text, unknown: words.has(text.toLowerCase()) });
  }
  return spans;
}

/** Return known words that begin with the word before the caret, at most six. */
export function suggest(prompt: string, caret: number): { start: number; words: string[] } {
  const before = prompt.slice(0, caret);
  const typed = /[a-z]{2,}$/i.exec(before)?.[0].toLowerCase() ?? "";
  const isInside = /^[a-z]/i.test(prompt.slice(caret));
  if (!typed || isInside) return { start: caret, words: [] };
  const words = WORDS.filter((word) => word.startsWith(typed) && word !== typed).slice(0, 6);
  // A whole word needs no help, even where a longer one begins with it.
  return { start: caret - typed.length, words: WORDS.includes(typed) ? [] : words };
}

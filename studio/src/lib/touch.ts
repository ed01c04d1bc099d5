/** Pointers over a picture: one draws, two (or the wheel) zoom and move. Knows no picture. */

import type { View } from "./view.svelte";

export interface Strokes {
  begin(event: PointerEvent): void;
  move(event: PointerEvent): void;
  end(): void;
  /** A second finger came: what was begun was no stroke. */
  drop(): void;
}

/** Listen on an element; returns how to stop. */
export function listen(element: HTMLElement | SVGElement, view: View, strokes: Strokes): () => void {
  const down = new Map<number, PointerEvent>();
  let isStroke = false;
  let isPan = false;

  const spread = () => {
    const [one, other] = [...down.values()];
    if (!one || !other) return null;
    return {
      width: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
      clientX: (one.clientX + other.clientX) / 2,
      clientY: (one.clientY + other.clientY) / 2,
    };
  };

  const onDown = (event: Event) => {
    const pointer = event as PointerEvent;
    if (pointer.target instanceof Element && pointer.target.closest("button, input, [role=slider]")) return;
    element.setPointerCapture(pointer.pointerId);
    down.set(pointer.pointerId, pointer);
    if (down.size === 1) {
      // The middle button, or Shift, moves the picture.
      isPan = pointer.button === 1 || pointer.shiftKey;
      isStroke = !isPan && pointer.button === 0;
      if (isStroke) strokes.begin(pointer);
    } else if (isStroke) {
      isStroke = false;
      strokes.drop();
    }
    pointer.preventDefault();
  };
  const onMove = (event: Event) => {
    const pointer = event as PointerEvent;
    const last = down.get(pointer.pointerId);
    if (!last) {
      if (pointer.pointerType === "mouse") strokes.move(pointer);
      return;
    }
    const before = spread();
    down.set(pointer.pointerId, pointer);
    const after = spread();
    if (isStroke) strokes.move(pointer);
    else if (before && after) {
      if (before.width > 0) view.zoomAt(after.width / before.width, after);
      view.panBy(after.clientX - before.clientX, after.clientY - before.clientY);
    } else if (isPan) view.panBy(pointer.clientX - last.clientX, pointer.clientY - last.clientY);
  };
  const onUp = (event: Event) => {
    down.delete((event as PointerEvent).pointerId);
    if (isStroke && down.size === 0) strokes.end();
    if (down.size === 0) isStroke = isPan = false;
  };
  const onWheel = (event: Event) => {
    const wheel = event as WheelEvent;
    view.zoomAt(1.2 ** -Math.sign(wheel.deltaY), wheel);
    wheel.preventDefault();
  };

  const pairs: [string, (event: Event) => void][] = [
    ["pointerdown", onDown],
    ["pointermove", onMove],
    ["pointerup", onUp],
    ["pointercancel", onUp],
    ["wheel", onWheel],
  ];
  for (const [name, heard] of pairs) element.addEventListener(name, heard, { passive: false });
  return () => pairs.forEach(([name, heard]) => element.removeEventListener(name, heard));
}

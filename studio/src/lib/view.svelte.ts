/** Where a picture lies on the screen while it is zoomed and moved: what is drawn over it asks here. */

import type OpenSeadragon from "openseadragon";

export interface Rect {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

/** A picture that can be shown: drawn by a job, or sent. */
export interface Shown {
  id: string;
  url: string;
  width: number;
  height: number;
}

export class View {
  /** The picture on the screen, in px of the frame; null until it is there. */
  rect: Rect | null = $state.raw(null);
  frame: { width: number; height: number } = $state.raw({ width: 0, height: 0 });

  constructor(
    readonly viewer: OpenSeadragon.Viewer,
    readonly element: HTMLElement,
  ) {}

  /** Read the place of the picture again; tells whether it changed. */
  refresh(): boolean {
    const item = this.viewer.world.getItemAt(0);
    if (!item) return false;
    const place = this.viewer.viewport.viewportToViewerElementRectangle(item.getBounds(true));
    const rect = { left: place.x, top: place.y, width: place.width, height: place.height };
    const { clientWidth: width, clientHeight: height } = this.element;
    const is = this.rect;
    const same = is && near(is.left, rect.left) && near(is.top, rect.top) && near(is.width, rect.width) && near(is.height, rect.height);
    if (same && width === this.frame.width && height === this.frame.height) return false;
    this.rect = rect;
    this.frame = { width, height };
    return true;
  }

  /** Return a point of the screen as shares of the picture; 0 to 1 inside it. */
  toShare(event: { clientX: number; clientY: number }): Point {
    const place = this.element.getBoundingClientRect();
    const rect = this.rect ?? { left: 0, top: 0, width: 1, height: 1 };
    return { x: (event.clientX - place.left - rect.left) / rect.width, y: (event.clientY - place.top - rect.top) / rect.height };
  }

  /** Zoom about a point of the screen. */
  zoomAt(by: number, event: { clientX: number; clientY: number }): void {
    const place = this.element.getBoundingClientRect();
    const { viewport } = this.viewer;
    const Point = viewport.getCenter().constructor as typeof OpenSeadragon.Point;
    const at = viewport.pointFromPixel(new Point(event.clientX - place.left, event.clientY - place.top), true);
    viewport.zoomBy(by, at, true);
    viewport.applyConstraints(true);
  }

  panBy(x: number, y: number): void {
    const { viewport } = this.viewer;
    const Point = viewport.getCenter().constructor as typeof OpenSeadragon.Point;
    viewport.panBy(viewport.deltaPointsFromPixels(new Point(-x, -y), true), true);
    viewport.applyConstraints(true);
  }
}

function near(one: number, other: number): boolean {
  return Math.abs(one - other) < 0.05;
}

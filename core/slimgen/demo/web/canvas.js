// A map to draw on: the number of a colour for each pixel, with strokes, flood fill, undo and redo. What is not drawn
// over keeps the pixels and edges of the sample that it came from.
"use strict";

(() => {
  const MOST = 60; // states that can be undone

  class Canvas {
    constructor(height, width) {
      Object.assign(this, { height, width, instance: 1, undone: [], done: [], base: null });
      this.state = this.empty(0);
    }

    // All of one colour; `drawn` is 0 where the sample's own pixels count, else the number of the instance.
    empty(colour) {
      const pixels = this.height * this.width;
      return { ids: new Uint8Array(pixels).fill(colour), drawn: new Uint16Array(pixels).fill(1) };
    }

    // Begin with a sample: its colours by number, and its own edges if it has any.
    load(ids, base) {
      if (this.begun) this.keep();
      this.begun = true;
      this.base = base;
      this.state = { ids, drawn: new Uint16Array(ids.length) };
    }

    // Remember the present state, before a change.
    keep() {
      const { ids, drawn } = this.state;
      this.done.push({ ids: ids.slice(), drawn: drawn.slice(), base: this.base });
      if (this.done.length > MOST) this.done.shift();
      this.undone = [];
    }

    move(from, to) {
      if (!from.length) return false;
      to.push({ ...this.state, base: this.base });
      const { ids, drawn, base } = from.pop();
      this.state = { ids, drawn };
      this.base = base;
      return true;
    }
    undo() { return this.move(this.done, this.undone); }
    redo() { return this.move(this.undone, this.done); }

    clear(colour) {
      this.keep();
      this.instance = 1;
      this.state = this.empty(colour);
    }

    // A round dab of so many pixels across, with its middle at a point.
    dab(x, y, across, colour) {
      const radius = across / 2;
      for (let row = Math.max(0, Math.floor(y - radius)); row <= Math.min(this.height - 1, y + radius); row++)
        for (let column = Math.max(0, Math.floor(x - radius)); column <= Math.min(this.width - 1, x + radius); column++)
          if (across <= 1 || Math.hypot(column + 0.5 - x, row + 0.5 - y) <= radius) this.set(row * this.width + column, colour);
      if (across <= 1 && x >= 0 && y >= 0 && x < this.width && y < this.height)
        this.set(Math.floor(y) * this.width + Math.floor(x), colour);
    }

    // A stroke from one point to another: dabs half a pixel apart.
    stroke(from, to, across, colour) {
      const steps = Math.max(1, Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)));
      for (let step = 0; step <= steps; step++)
        this.dab(from.x + (to.x - from.x) * step / steps, from.y + (to.y - from.y) * step / steps, across, colour);
    }

    set(pixel, colour) {
      this.state.ids[pixel] = colour;
      this.state.drawn[pixel] = this.instance;
    }

    // Colour the area around a pixel that is of one colour.
    fill(x, y, colour) {
      const { ids } = this.state;
      const first = Math.floor(y) * this.width + Math.floor(x);
      const before = ids[first];
      const seen = new Uint8Array(ids.length);
      const open = [first];
      seen[first] = 1;
      while (open.length) {
        const pixel = open.pop();
        this.set(pixel, colour);
        for (const next of this.neighbours(pixel))
          if (!seen[next] && ids[next] === before) { seen[next] = 1; open.push(next); }
      }
    }

    neighbours(pixel) {
      const column = pixel % this.width;
      const found = [];
      if (column > 0) found.push(pixel - 1);
      if (column < this.width - 1) found.push(pixel + 1);
      if (pixel >= this.width) found.push(pixel - this.width);
      if (pixel < this.width * (this.height - 1)) found.push(pixel + this.width);
      return found;
    }

    // Edges of instances, 1 where a 4-neighbour is of another: the sample's own where nothing near is drawn over; what
    // is drawn is of another instance where its colour differs, or where a new instance was begun.
    edges() {
      const { ids, drawn } = this.state;
      const edges = new Float32Array(ids.length);
      for (let pixel = 0; pixel < ids.length; pixel++) {
        const around = this.neighbours(pixel);
        if (this.base && !drawn[pixel] && around.every((next) => !drawn[next])) edges[pixel] = this.base.edges[pixel];
        else edges[pixel] = around.some((next) => ids[next] !== ids[pixel] || apart(drawn[next], drawn[pixel])) ? 1 : 0;
      }
      return edges;
    }
  }

  function apart(one, other) {
    return one !== other && one > 0 && other > 0;
  }

  demo.Canvas = Canvas;
})();

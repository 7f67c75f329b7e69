// Milliseconds of each network for inputs of one size: the first runs warm up, and the median of the others counts.
"use strict";

(() => {
  demo.WARM = 2;
  const KEPT = 40;

  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  };
  const digits = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

  demo.Timing = class {
    constructor() { this.runs = new Map(); this.of = ""; }

    // Note a run; those of inputs of another size, or elsewhere computed, are forgotten.
    note(name, dims, milliseconds) {
      const of = `${demo.runtime.provider}-${demo.runtime.threads} ${dims.slice(1).join("×")}`;
      if (of !== this.of) { this.of = of; this.runs.clear(); }
      const runs = this.runs.get(name) || [];
      this.runs.set(name, runs);
      runs.push(milliseconds);
      if (runs.length > KEPT + demo.WARM) runs.splice(demo.WARM, 1);
    }
    counted(name) { return (this.runs.get(name) || []).slice(demo.WARM); }
    median(name) { const runs = this.counted(name); return runs.length ? median(runs) : null; }

    // What is said below a picture.
    words(name) {
      const runs = this.counted(name);
      return runs.length ? `${digits(median(runs))} ms` : (this.runs.get(name) || []).length ? "warming up" : "";
    }

    // A row of the table for each network: median, range, count, and how many times faster than the first.
    row(name, first) {
      const runs = this.counted(name);
      if (!runs.length) return ["–", "–", "0", ""];
      const [own, reference] = [median(runs), this.median(first)];
      const times = name !== first && reference ? reference / own : 0;
      const words = !times ? "" : times >= 1 ? `${times.toFixed(1)}× faster` : `${(1 / times).toFixed(1)}× slower`;
      return [`${digits(own)} ms`, `${digits(Math.min(...runs))} – ${digits(Math.max(...runs))} ms`, String(runs.length), words];
    }
  };
})();

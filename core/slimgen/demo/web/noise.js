// Noise from numbers: the same number gives the same noise in every browser, and so the same picture.
"use strict";

(() => {
  // mulberry32, a generator of 32 bits of state: numbers in [0, 1).
  function uniform(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  // Standard normal noise of a seed: pairs of uniform numbers u, v become sqrt(-2 ln(1 - u)) times the cosine and the
  // sine of 2 pi v (Box and Muller 1958).
  demo.noiseOf = (seed, length) => {
    const next = uniform(seed);
    const noise = new Float32Array(length);
    for (let place = 0; place < length; place += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - next()));
      const angle = 2 * Math.PI * next();
      noise[place] = radius * Math.cos(angle);
      if (place + 1 < length) noise[place + 1] = radius * Math.sin(angle);
    }
    return noise;
  };

  // Noise between two others, along the arc between them: a straight line would pass through shorter noise than the
  // generator has seen.
  demo.between = (one, other, share) => {
    const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
    const cosine = dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
    const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
    const [first, second] = Math.sin(angle) < 1e-6 ? [1 - share, share]
      : [Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle)];
    return one.map((value, place) => first * value + second * other[place]);
  };

  // The panel of a generator from noise: a grid of seeds, or what lies between two.
  demo.noisePanel = (direction, oninput) => {
    const length = direction.channels;
    const number = (label, value) => {
      const input = demo.make("input", { type: "number", min: 0, max: 4294967295, step: 1, value: String(value), inputmode: "numeric" });
      input.oninput = () => give();
      return { input, label: demo.make("label", {}, `${label} `, input), get seed() { return Number(input.value) >>> 0; } };
    };
    const [first, from, to] = [number("First seed", 1), number("From seed", 1), number("To seed", 2)];
    const count = demo.make("select", {}, ...[1, 4, 9, 16].map((one) => demo.make("option", { value: one, selected: one === 9 }, one)));
    count.onchange = () => give();
    const share = demo.make("input", { type: "range", min: 0, max: 100, value: "50", "aria-label": "Where between the two seeds" });
    share.oninput = () => give();
    const more = demo.make("button", { type: "button", class: "main", onclick: () => {
      first.input.value = String((first.seed + Number(count.value)) >>> 0);
      give();
    } }, "Next seeds");
    const grid = demo.make("div", { class: "column" }, demo.make("div", { class: "tools" }, first.label,
      demo.make("label", {}, "Pictures ", count)), demo.make("div", { class: "tools" }, more));
    const arc = demo.make("div", { class: "column", hidden: true }, demo.make("div", { class: "tools" }, from.label, to.label), share);
    const mode = demo.choice("What to show", [["grid", "Grid of seeds"], ["arc", "Between two seeds"]], "grid", (value) => {
      grid.hidden = value !== "grid";
      arc.hidden = value !== "arc";
      give();
    });

    function give() {
      const tensor = (noise) => ({ data: noise, dims: [1, length] });
      if (grid.hidden) {
        const noise = demo.between(demo.noiseOf(from.seed, length), demo.noiseOf(to.seed, length), share.value / 100);
        oninput({ tensors: [tensor(noise)] });
      } else {
        const seeds = Array.from({ length: Number(count.value) }, (_, place) => (first.seed + place) >>> 0);
        oninput({ tensors: seeds.map((seed) => tensor(demo.noiseOf(seed, length))), seeds });
      }
    }

    return { give, element: demo.make("div", { class: "column" }, mode, grid, arc, demo.make("p", { class: "soft" },
      `A seed is a number; the ${length} values of its noise, and so its picture, are always the same.`)) };
  };
})();

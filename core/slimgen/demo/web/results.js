// What the networks make of an input, side by side, with their milliseconds.
"use strict";

(() => {
  const [ROUNDS, LONGEST] = [5, 4000]; // timed runs of each network after a new input, and milliseconds for all of them
  const [MORE, MUCH] = [20, 30000]; // the same where they are asked for

  const GAP = 2; // pixels between the pictures of a grid

  // Pictures in a square grid as one.
  function together(images) {
    if (images.length === 1) return images[0];
    const columns = Math.ceil(Math.sqrt(images.length));
    const [{ width, height }] = images;
    const rows = Math.ceil(images.length / columns);
    const canvas = demo.make("canvas", { width: columns * (width + GAP) - GAP, height: rows * (height + GAP) - GAP });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    for (const [place, image] of images.entries())
      context.putImageData(image, (place % columns) * (width + GAP), Math.floor(place / columns) * (height + GAP));
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  // Which networks are shown at first: the original, the found one in full, and its smallest variant.
  function first(models) {
    const found = models.filter(({ name }) => name !== "original");
    return new Set(["original", found[0]?.name, found.at(-1)?.name]);
  }

  demo.results = (direction, targets) => {
    const { models, scale } = direction;
    const timing = new demo.Timing();
    const viewer = demo.beforeAfter();
    const chosen = first(models);
    const figures = new Map();
    const extra = new Map(); // pictures that no network made: enlarged by bicubic interpolation, or the real ones
    const grid = demo.make("div", { class: "figures" });
    let [wanted, current, busy, ended, rounds] = [null, null, false, false, null];

    function figure(name, title, facts = "") {
      const canvas = demo.make("canvas", { role: "img", "aria-label": title, class: "made" });
      const time = demo.make("b", { class: "time" });
      const line = demo.make("span", { class: "soft" }, facts);
      const element = demo.make("figure", { hidden: true, "data-name": name }, canvas, demo.make("figcaption", {}, demo.make("strong", {}, title), " ", time, demo.make("br"), line));
      grid.append(element);
      const made = { element, canvas, time, line, facts, image: null };
      figures.set(name, made);
      return made;
    }
    if (scale > 1) figure("bicubic", "bicubic", "interpolation, no network");
    for (const { name, title, facts } of models) figure(name, title, facts.file);
    if (targets.length) figure("target", "real picture");

    const toggles = demo.make("div", { class: "tools", role: "group", "aria-label": "Networks that are shown" });
    for (const { name, title, recommended } of models) {
      const box = demo.make("input", { type: "checkbox", checked: chosen.has(name) });
      box.onchange = () => {
        if (box.checked) chosen.add(name); else chosen.delete(name);
        figures.get(name).element.hidden = !box.checked;
        if (current) show(current);
      };
      toggles.append(demo.make("label", {}, box, ` ${title}${recommended ? " (recommended)" : ""}`));
    }

    const columns = ["network", "median", "fastest – slowest", "timed runs", "against the original"];
    const facts = [...new Set(models.flatMap((model) => Object.keys(model.facts)))];
    const rows = demo.make("tbody");
    const first0 = models[0].name === "original" ? "original" : "";
    if (!first0) columns.pop();
    const again = demo.make("button", { type: "button", onclick: () => { rounds = [MORE, MUCH]; if (current) show(current); } }, "Measure again");
    const told = demo.make("p", { class: "soft" });
    const measured = demo.make("section", {},
      demo.make("h2", {}, "Measured here"),
      told,
      demo.make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Measured here" }, demo.make("table", {},
        demo.make("thead", {}, demo.make("tr", {}, ...[...columns, ...facts].map((text) => demo.make("th", { scope: "col" }, text)))), rows)),
      demo.make("div", { class: "tools" }, again));

    function table() {
      rows.replaceChildren(...models.map((model) => demo.make("tr", {}, demo.make("th", { scope: "row" }, model.title),
        ...[...timing.row(model.name, first0).slice(0, columns.length - 1), ...facts.map((fact) => model.facts[fact] || "")]
          .map((text) => demo.make("td", {}, text)))));
      told.textContent = `Milliseconds in this browser for ${direction.given === "noise" ? "one picture" : `a picture of ${timing.of.split(" ")[1]?.split("×").slice(1).reverse().join(" × ") || "one size"} px`}: `
        + `the median of the timed runs, after ${demo.WARM} runs to warm up, all networks in turns. `
        + "Sizes, costs and quality are those that the run measured.";
      for (const [name, { time }] of figures) time.textContent = timing.words(name);
    }

    // Run a network once on an input; returns its outputs.
    async function run(model, input) {
      const outputs = [];
      for (const tensor of input.tensors) {
        const once = (given) => demo.runtime.run(model, given);
        const output = scale > 1 ? await demo.enlarge(tensor, once, model.tiling) : await once(tensor);
        timing.note(model.name, tensor.dims, output.milliseconds);
        outputs.push(output);
        if (ended || (wanted && outputs.length < input.tensors.length)) return null; // a newer input waits
      }
      return outputs;
    }

    async function draw(model, input) {
      const made = figures.get(model.name);
      made.element.hidden = false;
      made.element.classList.add("old");
      if (!made.image) made.line.textContent = `reading ${model.facts.file} …`;
      try {
        const outputs = await run(model, input);
        if (!outputs) return;
        demo.outputs.set(model.name, outputs);
        made.image = together(outputs.map(demo.pictureOf));
        demo.paint(made.canvas, made.image);
        made.line.textContent = [made.facts, outputs[0].why].filter(Boolean).join(", ");
        made.element.classList.remove("old", "wrong");
      } catch (error) {
        if (ended) return;
        made.line.textContent = `cannot be computed: ${error.message.split("\n")[0]}`;
        made.element.classList.add("wrong");
      }
      table();
      overlay();
    }

    function failed(name) {
      return figures.get(name).element.classList.contains("wrong");
    }

    function shown() {
      return models.filter(({ name }) => chosen.has(name));
    }

    function overlay() {
      const all = new Map();
      for (const name of ["bicubic", ...models.map((model) => model.name), "target"]) {
        const one = figures.get(name);
        if (one?.image && !one.element.hidden) all.set(one.element.querySelector("strong").textContent, one.image);
      }
      const [{ width, height } = {}] = [...all.values()].slice(-1);
      for (const [title, image] of all) if (image.width !== width || image.height !== height) all.delete(title);
      const found = models.find(({ name }) => name !== "original")?.title;
      viewer.show(all, [scale > 1 ? "bicubic" : [...all.keys()][0], all.has(found) ? found : [...all.keys()].at(-1)]);
    }

    function besides(input) {
      const set = (name, image) => {
        const one = figures.get(name);
        if (!one) return;
        one.image = image;
        one.element.hidden = !image;
        if (image) demo.paint(one.canvas, image);
      };
      if (scale > 1) set("bicubic", demo.bicubic(input.levels, scale));
      const real = input.sample && targets.find(({ name }) => name === input.sample.name);
      set("target", real ? demo.imageOf(real.levels, real.height, real.width, real.channels) : null);
    }

    // Time the shown networks in turns, until each has enough runs or the time is up; a newer input ends it.
    async function measure(input, [count, longest]) {
      const begin = performance.now();
      const one = { tensors: input.tensors.slice(0, 1) };
      for (let round = 0; round < count + demo.WARM; round++)
        for (const model of shown()) {
          const enough = shown().every(({ name }) => timing.counted(name).length || failed(name));
          if (wanted || ended || (enough && performance.now() - begin > longest)) return;
          if (failed(model.name)) continue;
          if (count === MORE || timing.counted(model.name).length < count) await run(model, one);
          table();
        }
    }

    async function work() {
      if (busy) return;
      busy = true;
      document.body.dataset.busy = "true";
      grid.setAttribute("aria-busy", "true");
      while (wanted && !ended) {
        const input = current = wanted;
        wanted = null;
        demo.input = input;
        besides(input);
        for (const model of shown()) if (!wanted && !ended) await draw(model, input);
        if (!wanted && !ended) await measure(input, rounds || [ROUNDS, LONGEST]).catch(() => {});
        if (!wanted) rounds = null;
      }
      busy = false;
      grid.setAttribute("aria-busy", "false");
      document.body.dataset.busy = "false";
    }

    function show(input) {
      wanted = input;
      work();
    }

    table();
    return {
      show,
      again: () => current && show(current),
      end: () => { ended = true; },
      elements: [demo.make("div", {}, toggles, grid), viewer.element, measured],
    };
  };

  demo.outputs = new Map();
})();

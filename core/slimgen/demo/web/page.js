// The page: for each direction its input, its results, and what was measured.
"use strict";

(() => {
  const { directions } = demo.config;
  const place = (id) => document.getElementById(id);
  let leave = () => {};

  async function open(direction) {
    leave();
    const [ending, samples, targets] = [new AbortController(), await demo.pictures(direction.samples), await demo.pictures(direction.targets)];
    const results = demo.results(direction, targets);
    const draws = direction.palette.length > 0;
    leave = () => { ending.abort(); results.end(); };
    demo.runtime.onchange = () => { place("line").textContent = demo.runtime.line; };

    let panel, strip = null;
    const give = (input) => { if (strip) strip.mark(input.sample); results.show(input); };
    const parts = [];
    if (direction.given === "noise") panel = demo.noisePanel(direction, give);
    else if (draws) {
      panel = demo.drawing(direction, give);
      if (direction.given === "images") parts.push(demo.sources((canvas, name) => {
        const [height, width] = direction.size;
        const levels = demo.levelsOf(demo.resized(canvas, height, width, true), direction.channels);
        panel.load({ name, levels, height, width, channels: direction.channels }, null);
      }, ending.signal));
    } else panel = demo.picturePanel(direction, give, ending.signal);
    parts.push(panel.element);
    if (samples.length) {
      strip = demo.strip(direction, samples, (picture) => panel.load(picture));
      parts.push(demo.make("h3", {}, "Test images to begin with"), strip);
    }
    place("input").replaceChildren(demo.make("h2", {}, direction.given === "noise" ? "Noise" : draws ? "Draw" : "Picture"), ...parts);
    const [figures, viewer, measured] = results.elements;
    place("results").replaceChildren(demo.make("h2", {}, "Generated"), figures);
    place("viewer").replaceChildren(viewer);
    place("measured").replaceChildren(measured);
    place("notes").replaceChildren(...direction.notes.map((note) => demo.make("p", { class: "soft" }, note)));
    demo.again = results.again;
    if (samples.length) panel.load(samples[0]);
    else if (panel.give) panel.give();
    else if (panel.clear) panel.clear();
  }

  function begin() {
    const tabs = place("directions");
    if (directions.length > 1)
      tabs.append(demo.choice("Direction", directions.map(({ name, title }) => [name, title || name]), directions[0].name,
        (name) => open(directions.find((one) => one.name === name)).catch(wrong)));
    place("where").append(demo.choice("Where networks compute", [["auto", "fastest here"], ["webgpu", "WebGPU"], ["wasm", "WebAssembly"]], "auto",
      start));
    if (demo.runtime.cores > 1) place("where").append(threads());
    demo.runtime.onchange = () => { place("line").textContent = demo.runtime.line; };
    demo.runtime.start("auto").catch(wrong);
    open(directions[0]).catch(wrong);
  }

  // A file that is dropped where nothing takes it would replace the page.
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());

  let wanted = "auto";
  function start(provider = wanted) {
    wanted = provider;
    demo.runtime.start(wanted).then(() => demo.again(), wrong);
  }

  function threads() {
    const counts = Array.from({ length: Math.min(demo.runtime.cores, 16) }, (_, place) => place + 1);
    const select = demo.make("select", {}, ...counts.map((count) =>
      demo.make("option", { value: count, selected: count === demo.runtime.threads }, count)));
    select.onchange = () => { demo.runtime.threads = Number(select.value); start(); };
    return demo.make("label", { class: "tools" }, "Threads of WebAssembly ", select);
  }

  function wrong(error) {
    demo.say(`The page cannot go on: ${error.message}.`, true);
  }

  if (typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined")
    wrong(new Error("this browser is too old for it; one of 2023 or later has what it needs"));
  else begin();
})();

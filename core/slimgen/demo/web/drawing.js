// The panel to draw on: palette, brush, fill, undo; by mouse, finger, pen or keyboard.
"use strict";

(() => {
  const SIZES = [1, 2, 4, 8, 16, 32, 64];
  const KEYS = "arrow keys move the brush, Shift faster; Space draws, F fills, [ and ] change the size, Ctrl+Z undoes";

  // Numbers of the colours nearest to each pixel of a picture.
  function nearest({ levels, height, width, channels }, palette) {
    const ids = new Uint8Array(height * width);
    const known = new Map();
    for (let pixel = 0; pixel < ids.length; pixel++) {
      const colour = [0, 1, 2].map((one) => levels[pixel * channels + (channels < 3 ? 0 : one)]);
      const key = (colour[0] << 16) | (colour[1] << 8) | colour[2];
      if (!known.has(key)) {
        let [best, least] = [0, Infinity];
        for (const [number, { colour: other }] of palette.entries()) {
          const distance = other.reduce((sum, value, place) => sum + (value - colour[place]) ** 2, 0);
          if (distance < least) [best, least] = [number, distance];
        }
        known.set(key, best);
      }
      ids[pixel] = known.get(key);
    }
    return ids;
  }

  demo.drawing = (direction, oninput) => {
    const { palette, size: [height, width], channels } = direction;
    const labels = direction.given === "label maps";
    const canvas = new demo.Canvas(height, width);
    let [colour, across, tool, last, cursor, sample] = [0, Math.min(8, Math.max(2, Math.round(width / 16))), "brush", null, null, null];

    const shown = demo.make("canvas", { class: "map", tabIndex: 0, role: "application", "aria-label": `Drawing; ${KEYS}` });
    const outline = demo.make("canvas", { class: "outline", width: 4 * width, height: 4 * height, "aria-hidden": "true" });
    const frame = demo.make("div", { class: "frame" }, shown, outline);

    // A sample: its class numbers (and edges) as they are, or the colours of a picture.
    function load(picture, chosen = picture) {
      const planes = picture.channels;
      const pixels = picture.height * picture.width;
      if (labels) {
        const ids = new Uint8Array(pixels);
        const edges = new Float32Array(pixels);
        for (let pixel = 0; pixel < pixels; pixel++) {
          ids[pixel] = picture.levels[pixel * planes];
          if (planes > 1) edges[pixel] = picture.levels[pixel * planes + 1] > 127 ? 1 : 0;
        }
        canvas.load(ids, { edges });
      } else canvas.load(nearest(picture, palette), { levels: picture.levels, planes });
      sample = chosen;
      changed();
    }

    function levels() {
      const { ids, drawn } = canvas.state;
      const found = new Uint8Array(height * width * channels);
      for (let pixel = 0; pixel < ids.length; pixel++)
        for (let one = 0; one < channels; one++)
          found[pixel * channels + one] = drawn[pixel] || !canvas.base
            ? palette[ids[pixel]].colour[one] : canvas.base.levels[pixel * channels + one];
      return found;
    }

    function image(levelsOfIt) {
      if (!labels) return demo.imageOf(levelsOfIt, height, width, channels);
      const image = new ImageData(width, height);
      const { ids } = canvas.state;
      for (let pixel = 0; pixel < ids.length; pixel++) image.data.set([...palette[ids[pixel]].colour, 255], 4 * pixel);
      return image;
    }

    function changed() {
      const drawnLevels = labels ? null : levels();
      const picture = image(drawnLevels);
      demo.paint(shown, picture);
      undo.disabled = !canvas.done.length;
      redo.disabled = !canvas.undone.length;
      const tensor = labels
        ? demo.oneHot(canvas.state.ids, direction.edges ? canvas.edges() : null, height, width, channels)
        : demo.tensorOf(drawnLevels, height, width, channels);
      const untouched = sample && canvas.base && canvas.state.drawn.every((one) => one === 0);
      oninput({ tensors: [tensor], picture, sample: untouched ? sample : null });
    }

    function ring() {
      const context = outline.getContext("2d");
      context.clearRect(0, 0, outline.width, outline.height);
      if (!cursor) return;
      const radius = 4 * Math.max(0.75, (tool === "brush" ? across : 1) / 2);
      for (const [style, line] of [["#000", 4], ["#fff", 2]]) {
        Object.assign(context, { strokeStyle: style, lineWidth: line });
        context.beginPath();
        context.arc(4 * cursor.x, 4 * cursor.y, radius, 0, 2 * Math.PI);
        context.stroke();
      }
    }

    function draw(from, to) {
      if (tool === "fill") canvas.fill(Math.min(width - 1, Math.max(0, to.x)), Math.min(height - 1, Math.max(0, to.y)), colour);
      else canvas.stroke(from, to, across, colour);
      changed();
    }

    function point(event) {
      const box = shown.getBoundingClientRect();
      return { x: (event.clientX - box.left) / box.width * width, y: (event.clientY - box.top) / box.height * height };
    }

    shown.onpointerdown = (event) => {
      if (event.button) return;
      shown.setPointerCapture(event.pointerId);
      canvas.keep();
      last = cursor = point(event);
      draw(last, last);
      if (tool === "fill") last = null;
      ring();
    };
    shown.onpointermove = (event) => {
      cursor = point(event);
      if (last) draw(last, cursor), last = cursor;
      ring();
    };
    shown.onpointerup = shown.onpointercancel = () => { last = null; };
    shown.onpointerleave = () => { if (!last) { cursor = null; ring(); } };
    shown.onfocus = () => { if (shown.matches(":focus-visible")) { cursor = cursor || { x: width / 2, y: height / 2 }; ring(); } };
    shown.onblur = () => { cursor = null; ring(); };

    function step(back) {
      if (back ? canvas.undo() : canvas.redo()) changed();
    }

    function resize(up) {
      const place = SIZES.findIndex((one) => one >= across) + (up ? 1 : -1);
      across = SIZES[Math.min(SIZES.length - 1, Math.max(0, place))];
      size.value = String(SIZES.indexOf(across));
      size.oninput();
    }

    shown.onkeydown = (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const key = event.key.toLowerCase();
      if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) step(key === "z" && !event.shiftKey);
      else if (moves) {
        const far = event.shiftKey ? Math.max(4, width / 16) : 1;
        const from = cursor || { x: width / 2, y: height / 2 };
        cursor = { x: Math.min(width - 0.5, Math.max(0.5, from.x + far * moves[0])), y: Math.min(height - 0.5, Math.max(0.5, from.y + far * moves[1])) };
      } else if (event.key === " " || event.key === "Enter" || key === "f") {
        const before = tool;
        canvas.keep();
        cursor = cursor || { x: width / 2, y: height / 2 };
        if (key === "f") tool = "fill";
        draw(cursor, cursor);
        tool = before;
      } else if (event.key === "[" || event.key === "]") resize(event.key === "]");
      else return;
      event.preventDefault();
      ring();
    };

    const undo = demo.make("button", { type: "button", onclick: () => step(true) }, "Undo");
    const redo = demo.make("button", { type: "button", onclick: () => step(false) }, "Redo");
    const clear = demo.make("button", { type: "button", onclick: () => { canvas.clear(colour); changed(); },
      title: "All of the chosen colour" }, "Clear");
    const fresh = direction.edges ? demo.make("button", { type: "button", title: "What is drawn next is an object of its own, with an edge around it",
      onclick: () => { canvas.instance++; demo.say("What you draw next is an object of its own."); } }, "New object") : null;
    const told = demo.make("output", {}, `${across} px`);
    const size = demo.make("input", { type: "range", min: 0, max: SIZES.filter((one) => one <= width / 2).length - 1, "aria-label": "Size of the brush", value: String(SIZES.findIndex((one) => one >= across)) });
    size.oninput = () => {
      across = SIZES[Number(size.value)];
      told.textContent = `${across} px`;
      size.setAttribute("aria-valuetext", told.textContent);
      ring();
    };
    size.oninput();
    const tools = demo.choice("Tool", [["brush", "Brush"], ["fill", "Fill"]], tool, (value) => { tool = value; });
    const colours = demo.choice("Colour", palette.map(({ name }, number) => [String(number), name]), "0", (value) => {
      colour = Number(value);
      chosen.textContent = palette[colour].name;
    });
    colours.classList.add("colours");
    for (const [number, button] of [...colours.children].entries()) {
      const [red, green, blue] = palette[number].colour;
      button.style.background = `rgb(${red} ${green} ${blue})`;
      button.title = palette[number].name;
      button.setAttribute("aria-label", palette[number].name);
      button.textContent = "";
    }
    const chosen = demo.make("b", {}, palette[0].name);

    return {
      load,
      clear: () => { canvas.clear(0); canvas.done = []; changed(); },
      element: demo.make("div", { class: "drawing" },
        frame,
        demo.make("div", { class: "tools" }, tools, demo.make("label", { class: "size" }, "Size ", size, told)),
        demo.make("div", { class: "tools" }, undo, redo, clear, fresh),
        demo.make("p", { class: "soft" }, "Colour: ", chosen),
        colours,
        demo.make("details", {}, demo.make("summary", {}, "By keyboard"), demo.make("p", { class: "soft" }, `On the drawing, ${KEYS}.`))),
    };
  };
})();

// Two pictures over each other, and a slider that moves the border between them.
"use strict";

demo.beforeAfter = () => {
  const [left, right] = ["left", "right"].map((side) => demo.make("select", { "aria-label": `Picture on the ${side}` }));
  const [lower, upper] = [demo.make("canvas", { "aria-hidden": "true" }), demo.make("canvas", { "aria-hidden": "true" })];
  const share = demo.make("input", { type: "range", min: 0, max: 100, value: "50", "aria-label": "Where the left picture ends" });
  const line = demo.make("span", { class: "line" });
  const stage = demo.make("div", { class: "stage" }, lower, upper, line);
  const element = demo.make("section", { hidden: true, class: "before-after" },
    demo.make("h2", {}, "Before and after"),
    demo.make("div", { class: "tools" }, demo.make("label", {}, "left ", left), demo.make("label", {}, "right ", right)),
    stage, share);
  let [pictures, own] = [new Map(), false];

  function draw() {
    if (pictures.has(left.value)) demo.paint(lower, pictures.get(left.value));
    if (pictures.has(right.value)) demo.paint(upper, pictures.get(right.value));
    slide();
  }
  function slide() {
    upper.style.clipPath = `inset(0 0 0 ${share.value}%)`;
    line.style.left = `${share.value}%`;
  }
  share.oninput = slide;
  left.onchange = right.onchange = () => { own = true; draw(); };
  stage.onpointerdown = (event) => { if (!event.button) stage.setPointerCapture(event.pointerId), move(event); };
  stage.onpointermove = (event) => { if (event.buttons) move(event); };
  function move(event) {
    const box = stage.getBoundingClientRect();
    share.value = String(100 * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    slide();
  }

  // Show pictures of one size by title: the wanted two, until the user chooses others that stay there.
  function show(all, wanted) {
    pictures = all;
    element.hidden = all.size < 2;
    for (const [select, first] of [[left, wanted[0]], [right, wanted[1]]]) {
      const before = select.value;
      if ([...select.options].map((option) => option.value).join() !== [...all.keys()].join()) {
        select.replaceChildren(...[...all.keys()].map((title) => demo.make("option", { value: title }, title)));
        select.value = own && all.has(before) ? before : first;
      } else if (!own) select.value = first;
    }
    if (!element.hidden) draw();
  }
  return { element, show };
};

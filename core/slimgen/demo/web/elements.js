// Small helpers to build the page.
"use strict";

(() => {
  // An element with attributes, listeners (`onclick`) and children.
  demo.make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function" || typeof value === "boolean" || name === "value") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  // A canvas that shows an ImageData.
  demo.canvasOf = (image, attributes = {}) => {
    const canvas = demo.make("canvas", { role: "img", ...attributes });
    demo.paint(canvas, image);
    return canvas;
  };

  demo.paint = (canvas, image) => {
    if (canvas.width !== image.width || canvas.height !== image.height) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.classList.toggle("pixels", image.width <= 128);
  };

  // A group of buttons of which one is pressed, moved through by the arrow keys as radio buttons are.
  demo.choice = (label, options, chosen, onchoose) => {
    const group = demo.make("div", { role: "radiogroup", "aria-label": label, class: "choice" });
    const choose = (value, focus) => {
      for (const button of group.children) {
        const on = button.dataset.value === value;
        button.setAttribute("aria-checked", String(on));
        button.tabIndex = on ? 0 : -1;
        if (on && focus) button.focus();
      }
      onchoose(value);
    };
    for (const [value, text] of options)
      group.append(demo.make("button", {
        type: "button", role: "radio", "data-value": value, "aria-checked": String(value === chosen),
        tabIndex: value === chosen ? 0 : -1, onclick: () => choose(value),
      }, text));
    for (const button of group.children) button.tabIndex = button.dataset.value === chosen ? 0 : -1;
    group.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const now = options.findIndex(([value]) => group.querySelector('[aria-checked="true"]')?.dataset.value === value);
      choose(options[(now + step + options.length) % options.length][0], true);
    };
    group.choose = choose;
    return group;
  };

  // A line that screen readers announce.
  demo.say = (text, wrong = false) => {
    const line = document.getElementById("said");
    line.textContent = text;
    line.classList.toggle("wrong", wrong);
  };
})();

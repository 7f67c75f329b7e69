// The strip of test inputs to begin with.
"use strict";

(() => {
  // How a sample looks: its colours, or the colour of each class.
  demo.looks = (picture, direction) => {
    const { levels, height, width, channels } = picture;
    if (direction.given !== "label maps") return demo.imageOf(levels, height, width, channels);
    const image = new ImageData(width, height);
    for (let pixel = 0; pixel < height * width; pixel++)
      image.data.set([...direction.palette[levels[pixel * channels]].colour, 255], 4 * pixel);
    return image;
  };

  demo.strip = (direction, pictures, onchoose) => {
    const strip = demo.make("div", { class: "strip", role: "group", "aria-label": "Test images to begin with" });
    for (const picture of pictures) {
      const canvas = demo.canvasOf(demo.looks(picture, direction), { "aria-hidden": "true" });
      strip.append(demo.make("button", {
        type: "button", title: picture.name, "aria-label": `Test image ${picture.name}`,
        onclick: () => { demo.say(""); strip.mark(picture); onchoose(picture); },
      }, canvas));
    }
    strip.mark = (chosen) => {
      for (const [place, button] of [...strip.children].entries())
        button.setAttribute("aria-pressed", String(pictures[place] === chosen));
    };
    return strip;
  };
})();

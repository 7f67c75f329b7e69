// Pictures of the user's: chosen, dropped, pasted or taken; then cut or resized to what the networks take.
"use strict";

(() => {
  const MOST = 16e6; // pixels of an output that a page can show without trouble
  const LONGEST = [256, 512, 1024]; // sides that networks of any size are offered

  // Where pictures come from; calls onpicture(canvas, name). Dropping and pasting work on the whole page.
  demo.sources = (onpicture, signal) => {
    async function open(file) {
      demo.say("");
      try {
        const bitmap = await createImageBitmap(file, { colorSpaceConversion: "default" });
        const canvas = demo.make("canvas", { width: bitmap.width, height: bitmap.height });
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
        bitmap.close();
        onpicture(canvas, file.name || "the pasted picture");
      } catch {
        demo.say(`${file.name || "What came"} must be a picture that this browser reads, such as PNG, JPEG or WebP.`, true);
      }
    }
    const input = demo.make("input", { type: "file", accept: "image/*", id: "file", class: "hidden" });
    input.onchange = () => { if (input.files[0]) open(input.files[0]); input.value = ""; };
    const listen = (name, listener) => document.addEventListener(name, listener, { signal });
    listen("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
    listen("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
    listen("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dropping");
      if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
    });
    listen("paste", (event) => {
      const file = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
      if (file) open(file);
    });
    const camera = navigator.mediaDevices?.getUserMedia
      ? demo.make("button", { type: "button", onclick: () => demo.camera(onpicture) }, "Camera") : null;
    return demo.make("div", { class: "tools" },
      demo.make("button", { type: "button", class: "main", onclick: () => input.click() }, "Choose a picture"), camera, input,
      demo.make("span", { class: "soft" }, "or drop or paste one"));
  };

  // A picture in another size: of its middle part (`crop`), or of all of it.
  demo.resized = (canvas, height, width, crop) => {
    const scale = Math.max(width / canvas.width, height / canvas.height);
    const [wide, high] = crop ? [width / scale, height / scale] : [canvas.width, canvas.height];
    const made = demo.make("canvas", { width, height });
    const context = made.getContext("2d", { willReadFrequently: true });
    Object.assign(context, { imageSmoothingEnabled: true, imageSmoothingQuality: "high", fillStyle: "#fff" });
    context.fillRect(0, 0, width, height); // behind what is transparent
    context.drawImage(canvas, (canvas.width - wide) / 2, (canvas.height - high) / 2, wide, high, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  };

  // The ways in which a picture can be given to the networks, by name.
  function ways(direction) {
    const [height, width] = direction.size;
    if (direction.scale > 1) return [["whole", "the whole picture"], ["middle", `the middle ${2 * width} × ${2 * height} px`]];
    const found = [["crop", `cropped to ${width} × ${height} px`], ["squash", `squashed to ${width} × ${height} px`]];
    if (direction.free) for (const longest of LONGEST) found.push([String(longest), `whole, at most ${longest} px a side`]);
    return found;
  }

  function fitted(canvas, way, direction) {
    const { size: [height, width], multiple, scale } = direction;
    if (way === "crop" || way === "squash") return demo.resized(canvas, height, width, way === "crop");
    if (way === "middle") return part(canvas, Math.min(2 * height, canvas.height), Math.min(2 * width, canvas.width));
    if (way === "whole") {
      const share = Math.min(1, Math.sqrt(MOST / (scale * scale * canvas.width * canvas.height)));
      if (share < 1) demo.say("The picture is very large: the page enlarges its middle.");
      return part(canvas, Math.floor(share * canvas.height), Math.floor(share * canvas.width));
    }
    const shrink = Math.min(1, Number(way) / Math.max(canvas.width, canvas.height));
    const side = (length) => Math.max(multiple, Math.round(shrink * length / multiple) * multiple);
    return demo.resized(canvas, side(canvas.height), side(canvas.width), true);
  }

  function part(canvas, height, width) {
    const [left, top] = [(canvas.width - width) >> 1, (canvas.height - height) >> 1];
    return canvas.getContext("2d").getImageData(left, top, width, height);
  }

  // The panel of a generator of pictures: sources, the picture as the networks see it, and how it was cut.
  demo.picturePanel = (direction, oninput, signal) => {
    const { channels } = direction;
    const shown = demo.make("canvas", { class: "map", role: "img", "aria-label": "The picture that the networks are given" });
    const about = demo.make("p", { class: "soft" });
    let own = null;
    const way = demo.make("select", { id: "way" }, ...ways(direction).map(([value, text]) => demo.make("option", { value }, text)));
    const row = demo.make("label", { class: "tools", hidden: true }, "Your picture is given ", way);
    way.onchange = () => own && give(own.canvas, own.name);

    function load(picture, sample = picture) {
      const { levels, height, width, channels: planes } = picture;
      const image = demo.imageOf(levels, height, width, planes);
      demo.paint(shown, image);
      about.textContent = `${picture.name}: ${width} × ${height} px${planes === 3 ? "" : planes === 1 ? ", grey" : `, ${planes} channels`}`;
      if (sample) { own = null; row.hidden = true; }
      oninput({ tensors: [demo.tensorOf(levels, height, width, planes)], picture: image, levels: picture, sample });
    }

    function give(canvas, name) {
      own = { canvas, name };
      row.hidden = false;
      const image = fitted(canvas, way.value, direction);
      load({ name, levels: demo.levelsOf(image, channels), height: image.height, width: image.width, channels }, null);
    }

    const sources = channels === 1 || channels === 3 ? demo.sources(give, signal)
      : demo.make("p", { class: "soft" }, `The networks take ${channels} channels, which a picture of yours does not have: choose a test image.`);
    return { load, element: demo.make("div", {}, sources, row, demo.make("div", { class: "frame" }, shown), about) };
  };
})();

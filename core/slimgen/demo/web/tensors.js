// Pictures to tensors and back. Networks take and return float32 in [-1, 1], channels first; prepared samples are
// levels of 0 .. 255, channels last.
"use strict";

(() => {
  // Levels (height x width x channels) as a tensor.
  demo.tensorOf = (levels, height, width, channels) => {
    const data = new Float32Array(channels * height * width);
    const pixels = height * width;
    for (let pixel = 0, place = 0; pixel < pixels; pixel++)
      for (let channel = 0; channel < channels; channel++) data[channel * pixels + pixel] = levels[place++] / 127.5 - 1;
    return { data, dims: [1, channels, height, width] };
  };

  // Levels of an ImageData in so many channels: its colours, or its brightness where there is one.
  demo.levelsOf = (image, channels) => {
    const { data, width, height } = image;
    const levels = new Uint8Array(width * height * channels);
    for (let pixel = 0; pixel < width * height; pixel++) {
      const [red, green, blue] = [data[4 * pixel], data[4 * pixel + 1], data[4 * pixel + 2]];
      if (channels === 1) levels[pixel] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
      else levels.set([red, green, blue], 3 * pixel);
    }
    return levels;
  };

  // Levels as an ImageData: grey of one or two channels, else the first three as red, green and blue.
  demo.imageOf = (levels, height, width, channels) => {
    const image = new ImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      for (let colour = 0; colour < 3; colour++)
        image.data[4 * pixel + colour] = levels[pixel * channels + (channels < 3 ? 0 : colour)];
      image.data[4 * pixel + 3] = 255;
    }
    return image;
  };

  // A network's output as an ImageData.
  demo.pictureOf = ({ data, dims: [, channels, height, width] }) => {
    const image = new ImageData(width, height);
    const pixels = width * height;
    for (let colour = 0; colour < 3; colour++) {
      const begin = pixels * (channels < 3 ? 0 : colour);
      for (let pixel = 0; pixel < pixels; pixel++)
        image.data[4 * pixel + colour] = Math.round((data[begin + pixel] + 1) * 127.5); // clamped by the array
    }
    for (let pixel = 0; pixel < pixels; pixel++) image.data[4 * pixel + 3] = 255;
    return image;
  };

  // A label map as a tensor: a channel for each class, 1 where a pixel is of it, then one of edges where there is one.
  demo.oneHot = (ids, edges, height, width, channels) => {
    const pixels = height * width;
    const data = new Float32Array(channels * pixels);
    for (let pixel = 0; pixel < pixels; pixel++) data[ids[pixel] * pixels + pixel] = 1;
    if (edges) data.set(edges, (channels - 1) * pixels);
    return { data, dims: [1, channels, height, width] };
  };

  // Prepared pictures of a part, by their shapes: [{ name, levels, height, width, channels }].
  demo.pictures = async (listed) => {
    if (!listed) return [];
    const all = new Uint8Array(await demo.part(listed.part));
    let begin = 0;
    return listed.shapes.map(([height, width, channels], place) => {
      const levels = all.subarray(begin, begin += height * width * channels);
      return { name: listed.names[place], levels, height, width, channels };
    });
  };
})();

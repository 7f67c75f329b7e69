// Enlarging of large pictures window by window, as the exported file's card does it, and by bicubic interpolation.
"use strict";

(() => {
  const mirror = (place, length) => {
    if (length === 1) return 0;
    const turn = place % (2 * length - 2);
    return turn < length ? turn : 2 * length - 2 - turn;
  };

  // Where windows begin along a side, and how long the side becomes; see slimgen.export.tiled.
  function windows(length, side, overlap, step, multiple, fewest) {
    const last = Math.max(0, Math.ceil((length - side) / step) * step);
    const stride = Math.floor((side - 2 * overlap) / step) * step;
    if (last && stride < step) throw new Error(`a window must hold twice the overlap and ${step} px`);
    const starts = [];
    for (let start = 0; start < last; start += stride) starts.push(start);
    starts.push(last);
    return [starts, Math.max(Math.ceil(length / multiple) * multiple, last + fewest)];
  }

  // A tensor enlarged by `run`, in the windows of a tiling, or whole without one. The milliseconds are those of all.
  demo.enlarge = async (tensor, run, tiling) => {
    const [, channels, height, width] = tensor.dims;
    const { window, overlap, step, multiple, least } = tiling || { window: null, overlap: 0, step: 1, multiple: 1, least: [1, 1] };
    const side = window || [height, width];
    const [tops, tall] = windows(height, side[0], overlap, step, multiple, least[0]);
    const [lefts, broad] = windows(width, side[1], overlap, step, multiple, least[1]);
    const [high, wide] = window || [tall, broad];
    const part = (top, left) => {
      const [rows, columns] = [Math.min(high, tall - top), Math.min(wide, broad - left)];
      const data = new Float32Array(channels * rows * columns);
      let place = 0;
      for (let channel = 0; channel < channels; channel++)
        for (let row = 0; row < rows; row++)
          for (let column = 0; column < columns; column++)
            data[place++] = tensor.data[(channel * height + mirror(top + row, height)) * width + mirror(left + column, width)];
      return { data, dims: [1, channels, rows, columns] };
    };
    let [made, scale, milliseconds, why] = [null, 0, 0, ""];
    for (const top of tops)
      for (const left of lefts) {
        const given = part(top, left);
        const output = await run(given);
        const [, planes, rows, columns] = output.dims;
        milliseconds += output.milliseconds;
        why = output.why;
        scale = scale || rows / given.dims[2];
        made = made || { data: new Float32Array(planes * scale * height * scale * width), dims: [1, planes, scale * height, scale * width] };
        // What the next window does not replace of this one is as far from its end.
        const [above, before] = [top, left].map((start) => (start ? scale * overlap : 0));
        const count = Math.min(columns, scale * (width - left));
        for (let plane = 0; plane < planes; plane++)
          for (let row = above; row < Math.min(rows, scale * (height - top)); row++) {
            const from = (plane * rows + row) * columns;
            made.data.set(output.data.subarray(from + before, from + count), ((plane * scale * height) + scale * top + row) * scale * width + scale * left + before);
          }
      }
    return { ...made, milliseconds, why };
  };

  const cubic = (x) => {
    const a = Math.abs(x);
    return a <= 1 ? (1.5 * a - 2.5) * a * a + 1 : a < 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
  };

  // Four weights and places of each pixel of an enlarged side; the border is mirrored, as MATLAB's imresize does it.
  function taps(length, scale) {
    return Array.from({ length: scale * length }, (_, pixel) => {
      const middle = (pixel + 0.5) / scale - 0.5;
      const first = Math.floor(middle) - 1;
      return [0, 1, 2, 3].map((tap) => {
        const place = ((first + tap) % (2 * length) + 2 * length) % (2 * length);
        return [place < length ? place : 2 * length - 1 - place, cubic(middle - first - tap)];
      });
    });
  }

  // Levels enlarged by bicubic interpolation, as an ImageData: down, then across, each rounded to 8 bits, as MATLAB does.
  demo.bicubic = ({ levels, height, width, channels }, scale) => {
    const [across, down] = [taps(width, scale), taps(height, scale)];
    const [broad, tall, line] = [scale * width, scale * height, width * channels];
    const high = new Uint8ClampedArray(tall * line);
    for (let row = 0; row < tall; row++)
      for (let at = 0; at < line; at++) {
        let sum = 0;
        for (const [place, weight] of down[row]) sum += weight * levels[place * line + at];
        high[row * line + at] = Math.round(sum);
      }
    const found = new Uint8ClampedArray(tall * broad * channels);
    for (let row = 0; row < tall; row++)
      for (let column = 0; column < broad; column++)
        for (let one = 0; one < channels; one++) {
          let sum = 0;
          for (const [place, weight] of across[column]) sum += weight * high[row * line + place * channels + one];
          found[(row * broad + column) * channels + one] = Math.round(sum);
        }
    return demo.imageOf(found, tall, broad, channels);
  };
})();

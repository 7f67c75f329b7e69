// The worker in which networks compute, so that drawing stays smooth. Its source is this function's own text, put
// behind onnxruntime-web's: a worker can be started from a text where no file may be fetched.
"use strict";

demo.engine = function () {
  const sessions = new Map();
  let last = Promise.resolve(); // one call after the other, or they would share the processor and disturb the timing

  const ALIKE = 0.02; // largest mean difference between two providers, of a range of [-1, 1]

  function create(content, provider) {
    const options = { executionProviders: [provider], graphOptimizationLevel: "all", logSeverityLevel: 3 };
    return ort.InferenceSession.create(content, options);
  }

  // Milliseconds are those from an input in memory to an output in memory.
  async function once(session, data, dims) {
    const begin = performance.now();
    const input = new ort.Tensor("float32", data, dims);
    const output = (await session.run({ [session.inputNames[0]]: input }))[session.outputNames[0]];
    const values = await output.getData();
    const milliseconds = performance.now() - begin;
    return { data: values, dims: [...output.dims], milliseconds };
  }

  // Compare a network's first output on WebGPU with that of the processor, which computes it from then on if they
  // differ: some graphs, such as those of 8 bits, were seen to come out wrong. Returns what is right, or null.
  async function checked(entry, made, data, dims) {
    const plain = await create(entry.unchecked, "wasm");
    entry.unchecked = null;
    const other = await once(plain, data, dims);
    let sum = 0;
    for (let place = 0; place < made.data.length; place++) sum += Math.abs(made.data[place] - other.data[place]);
    const alike = sum / made.data.length <= ALIKE; // also false for NaN
    await (alike ? plain : entry.session).release();
    if (alike) return null;
    entry.session = plain;
    entry.why = "on the processor, because WebGPU returns something else";
    return other;
  }

  const calls = {
    start({ loader, binary, provider, threads }) {
      self.provider = provider;
      ort.env.logLevel = "error";
      ort.env.wasm.numThreads = threads;
      ort.env.wasm.wasmBinary = binary;
      ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([loader], { type: "text/javascript" })) };
    },
    async load({ model, bytes }) {
      const content = new Uint8Array(bytes);
      const session = await create(content, self.provider);
      sessions.set(model, { session, unchecked: self.provider === "wasm" ? null : content, why: "" });
    },
    async run({ model, data, dims }) {
      const entry = sessions.get(model);
      const made = await once(entry.session, data, dims);
      const other = entry.unchecked ? await checked(entry, made, data, dims) : null;
      return { ...(other || made), why: entry.why };
    },
  };

  self.onmessage = ({ data: { number, call, given } }) => {
    last = last.then(() => calls[call](given)).then(
      (value) => self.postMessage({ number, value }),
      (error) => self.postMessage({ number, error: String((error && error.message) || error) }),
    );
  };
};

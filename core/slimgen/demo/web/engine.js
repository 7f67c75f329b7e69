// The worker in which networks compute, so that drawing stays smooth. Its source is this function's own text, put
// behind onnxruntime-web's: a worker can be started from a text where no file may be fetched.
"use strict";

demo.engine = function () {
  const sessions = new Map();
  let last = Promise.resolve(); // one call after the other, or they would share the processor and disturb the timing

  const calls = {
    start({ loader, binary, provider, threads }) {
      self.provider = provider;
      ort.env.logLevel = "error";
      ort.env.wasm.numThreads = threads;
      ort.env.wasm.wasmBinary = binary;
      ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([loader], { type: "text/javascript" })) };
    },
    async load({ model, bytes }) {
      const options = { executionProviders: [self.provider], graphOptimizationLevel: "all", logSeverityLevel: 3 };
      sessions.set(model, await ort.InferenceSession.create(new Uint8Array(bytes), options));
    },
    // Milliseconds are those from an input in memory to an output in memory.
    async run({ model, data, dims }) {
      const session = sessions.get(model);
      const begin = performance.now();
      const input = new ort.Tensor("float32", data, dims);
      const output = (await session.run({ [session.inputNames[0]]: input }))[session.outputNames[0]];
      const values = await output.getData();
      const milliseconds = performance.now() - begin;
      return { data: values, dims: [...output.dims], milliseconds };
    },
  };

  self.onmessage = ({ data: { number, call, given } }) => {
    last = last.then(() => calls[call](given)).then(
      (value) => self.postMessage({ number, value }),
      (error) => self.postMessage({ number, error: String((error && error.message) || error) }),
    );
  };
};

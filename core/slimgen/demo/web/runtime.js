// Where networks compute: WebGPU, or WebAssembly with threads where the page may have them. What fails falls back.
"use strict";

(() => {
  class Engine {
    constructor(source) {
      this.calls = new Map();
      this.number = 0;
      this.url = URL.createObjectURL(new Blob(source, { type: "text/javascript" }));
      this.worker = new Worker(this.url);
      this.worker.onmessage = ({ data: { number, value, error } }) => {
        const { resolve, reject } = this.calls.get(number);
        this.calls.delete(number);
        if (error === undefined) resolve(value); else reject(new Error(error));
      };
      this.worker.onerror = (event) => this.fail(event.message || "the worker did not start");
    }
    call(call, given, moved = []) {
      const number = this.number++;
      return new Promise((resolve, reject) => {
        this.calls.set(number, { resolve, reject });
        this.worker.postMessage({ number, call, given }, moved);
      });
    }
    fail(reason) {
      for (const { reject } of this.calls.values()) reject(new Error(reason));
      this.calls.clear();
    }
    end() {
      this.worker.terminate();
      this.fail("ended");
      URL.revokeObjectURL(this.url);
    }
  }

  // Why there is no WebGPU here, in words; empty where there is one. `auto` wants a real one, not a slow imitation.
  async function withoutGpu(auto) {
    if (!navigator.gpu) return "this browser offers none here";
    const adapter = await navigator.gpu.requestAdapter().catch(() => null);
    if (!adapter) return "this machine has no adapter for it";
    if (auto && ((adapter.info && adapter.info.isFallbackAdapter) || adapter.isFallbackAdapter)) return "it would run on the processor";
    return "";
  }

  const runtime = { provider: "", line: "", engine: null, loaded: new Map(), onchange: () => {} };

  // The threads that the page may have: as many as there are cores, half of them unless the user wants others.
  runtime.cores = self.crossOriginIsolated ? navigator.hardwareConcurrency || 1 : 1;
  runtime.threads = Math.ceil(Math.min(runtime.cores, 16) / 2);

  function chosen(provider, why = "") {
    const count = runtime.threads;
    const alone = self.crossOriginIsolated ? "" : "; the browser lends threads only to a page that comes from slimgen demo --serve";
    runtime.provider = provider;
    runtime.line = provider === "webgpu"
      ? "Computed on the graphics processor (WebGPU)."
      : `Computed on the processor (WebAssembly), with ${count} thread${count === 1 ? "" : "s"}${alone}.`;
    if (why) runtime.line = `WebGPU is not used: ${why}. ${runtime.line}`;
    runtime.onchange();
  }

  async function begin(provider) {
    const [interfaceOf, loader, binary] = await Promise.all(
      ["interface", "loader", "binary"].map((kind) => demo.part(`${provider}-${kind}`)));
    const engine = new Engine([interfaceOf, `\n(${demo.engine})();`]);
    const given = { loader, binary, provider, threads: runtime.threads };
    await engine.call("start", given, [binary]);
    return engine;
  }

  // Start with a wanted provider: `auto`, `webgpu` or `wasm`.
  runtime.start = (wanted) => {
    if (runtime.engine) runtime.engine.then((engine) => engine.end(), () => {});
    runtime.loaded = new Map();
    runtime.engine = (async () => {
      const why = wanted === "wasm" ? "" : await withoutGpu(wanted === "auto");
      const provider = wanted === "wasm" || why ? "wasm" : "webgpu";
      const engine = await begin(provider);
      chosen(provider, wanted === "webgpu" || (why && navigator.gpu) ? why : "");
      return engine;
    })();
    return runtime.engine;
  };

  async function fallBack(error) {
    await runtime.start("wasm");
    chosen("wasm", error.message.split("\n")[0].slice(0, 160));
  }

  // Whether a network is ready, or will be: its file is read and its session made once.
  function load(model) {
    if (!runtime.loaded.has(model.part)) {
      const loading = (async () => {
        const engine = await runtime.engine;
        const bytes = await demo.part(model.part);
        await engine.call("load", { model: model.part, bytes }, [bytes]);
      })();
      loading.catch(() => {});
      runtime.loaded.set(model.part, loading);
    }
    return runtime.loaded.get(model.part);
  }

  // What a network returns for a tensor: { data, dims, milliseconds }.
  runtime.run = async (model, tensor) => {
    try {
      await load(model);
      return await (await runtime.engine).call("run", { model: model.part, ...tensor });
    } catch (error) {
      if (error.message === "ended") throw error;
      if (runtime.provider !== "webgpu") {
        runtime.loaded.delete(model.part);
        throw error;
      }
      await fallBack(error);
      return runtime.run(model, tensor);
    }
  };

  demo.runtime = runtime;
})();

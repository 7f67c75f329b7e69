// Binary parts of the page (networks, samples, runtime). They arrive as scripts, because a page that was opened from
// the file system may load scripts but fetch nothing: each script hands its piece to `demo.take`, in base64 of gzip.
"use strict";

var demo = {};

(() => {
  const pieces = new Map();

  demo.take = (name, number, text) => pieces.set(`${name}/${number}`, text);

  function script(file) {
    return new Promise((resolve, reject) => {
      const element = document.createElement("script");
      element.src = file;
      element.onload = () => { element.remove(); resolve(); };
      element.onerror = () => { element.remove(); reject(new Error(`the file ${file} is missing from the page's folder`)); };
      document.head.append(element);
    });
  }

  function bytesOf(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let place = 0; place < binary.length; place++) bytes[place] = binary.charCodeAt(place);
    return bytes;
  }

  // The content of a part: an ArrayBuffer. Its pieces are not kept, so a part that is asked for again is read again.
  demo.part = async (name) => {
    const files = demo.config.parts[name];
    const bytes = [];
    for (const [number, file] of files.entries()) {
      await script(file);
      bytes.push(bytesOf(pieces.get(`${name}/${number}`)));
      pieces.delete(`${name}/${number}`);
    }
    const plain = new Blob(bytes).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(plain).arrayBuffer();
  };
})();

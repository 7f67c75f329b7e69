// A picture from the camera: asked for only when the button is pressed, and never sent or stored anywhere.
"use strict";

demo.camera = async (onpicture) => {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    demo.say(`The camera cannot be used: ${error.message}.`, true);
    return;
  }
  const video = demo.make("video", { autoplay: true, playsInline: true, muted: true });
  video.srcObject = stream;
  const dialog = demo.make("dialog", { "aria-label": "Camera" });
  const take = () => {
    const canvas = demo.make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    onpicture(canvas, "the camera's picture");
  };
  dialog.append(video, demo.make("div", { class: "tools" },
    demo.make("button", { type: "button", class: "main", onclick: take }, "Take"),
    demo.make("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
  dialog.onclose = () => {
    for (const track of stream.getTracks()) track.stop();
    dialog.remove();
  };
  document.body.append(dialog);
  dialog.showModal();
};

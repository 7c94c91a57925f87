// The viewer of a record's page: NiiVue draws, this file joins it to the controls.
(() => {
  "use strict";

  const root = document.querySelector("[data-viewer]");
  if (!root) return;
  const part = (name) => root.querySelector(`[data-${name}]`);
  const language = document.documentElement.lang || "en";
  const canvas = part("canvas");
  const message = part("message");
  const volumes = JSON.parse(root.dataset.volumes);
  // What a map is drawn with, by what the function says it is; all but the mask are even to the eye and to the colour-blind.
  const COLOURS = { mask: "red", error: "cividis", labels: "viridis" };
  const STEPS = 500;
  const SURROUND = [0, 0, 0, 1];
  const CROSS = [0.3, 0.75, 1, 0.9];
  const LETTERS = [1, 1, 1, 1];
  const FOUR = 4;

  let viewer = null;
  let overlay = null;
  let wanted = "";

  function say(text, isBad) {
    message.textContent = text;
    message.hidden = !text;
    message.classList.toggle("bad", Boolean(isBad));
  }

  function written(value, beside = value) {
    if (!Number.isFinite(value)) return "–";
    const size = Math.max(Math.abs(value), Math.abs(beside));
    if (size !== 0 && size < 1e-2) return value.toExponential(2);
    return value.toLocaleString(language, { maximumSignificantDigits: FOUR });
  }

  function hasWebgl() {
    try {
      return Boolean(document.createElement("canvas").getContext("webgl2"));
    } catch {
      return false;
    }
  }

  async function start() {
    say(root.dataset.loading);
    part("stage").hidden = false;
    try {
      viewer = new niivue.Niivue({
        backColor: SURROUND,
        crosshairColor: CROSS,
        // Of the image's width: a cross as thick as a voxel hides what it marks.
        crosshairWidth: 0.4,
        crosshairWidthUnit: "percent",
        fontColor: LETTERS,
        fontMinPx: 18,
        show3Dcrosshair: false,
        dragAndDropEnabled: false,
        isRadiologicalConvention: part("radiological").checked,
        multiplanarShowRender: 0,
        loadingText: "",
        logLevel: "error",
        sagittalNoseLeft: true,
        isCornerOrientationText: false,
      });
      viewer.onLocationChange = showLocation;
      await viewer.attachToCanvas(canvas);
      await viewer.loadVolumes([{ url: root.dataset.image, name: root.dataset.name, colormap: "gray" }]);
    } catch {
      part("stage").hidden = true;
      say(root.dataset.failed, true);
      return;
    }
    part("fallback")?.setAttribute("hidden", "");
    say("");
    setUpWindow();
    showVolume(0);
    viewer.setSliceType(Number(part("plane").value));
    viewer.createOnLocationChange();
    // The page of a result shows its first map; a browser that comes back keeps what was chosen.
    if (part("map")?.value) await showMap();
    root.dataset.state = "ready";
  }

  // Air is black: where nothing lies below zero, zero is.
  function ends(image) {
    return [["dark", image.global_min >= 0 ? 0 : image.robust_min], ["bright", image.robust_max]];
  }

  function setUpWindow() {
    const image = viewer.volumes[0];
    const [[, black], [, white]] = ends(image);
    const low = Math.min(image.global_min, black);
    const high = Math.max(image.global_max, white);
    for (const [name, value] of ends(image)) {
      const slider = part(name);
      slider.min = low;
      slider.max = high;
      slider.step = (high - low) / STEPS || 1;
      slider.value = value;
    }
    showWindow();
  }

  function showWindow() {
    const [low, high] = [Number(part("dark").value), Number(part("bright").value)];
    viewer.volumes[0].cal_min = Math.min(low, high);
    viewer.volumes[0].cal_max = Math.max(low, high);
    viewer.updateGLVolume();
    part("dark-text").textContent = written(low);
    part("bright-text").textContent = written(high);
  }

  function showVolume(number) {
    if (!part("volume")) return;
    if (viewer.volumes[0].frame4D !== number) {
      viewer.setFrame4D(viewer.volumes[0].id, number);
      viewer.createOnLocationChange();
    }
    const place = root.dataset.of.replace("#", String(number + 1));
    const text = volumes[number] ? `${place}: ${volumes[number]}` : place;
    part("volume-text").textContent = text;
    part("volume").setAttribute("aria-valuetext", text);
  }

  const tenths = new Intl.NumberFormat(document.documentElement.lang, {
    minimumFractionDigits: 1, maximumFractionDigits: 1,
  });

  function showLocation(place) {
    const [x, y, z] = place.mm;
    const values = place.values.map((one) => written(one.value)).join(" · ");
    const [right, front, top] = [x, y, z].map((one) => tenths.format(Math.abs(one) < 0.05 ? 0 : one));
    part("location").textContent = `x ${right}, y ${front}, z ${top} mm: ${values}`;
  }

  async function showMap() {
    const choice = part("map").selectedOptions[0];
    wanted = choice.value;
    if (overlay) viewer.removeVolume(overlay);
    overlay = null;
    part("bar").hidden = true;
    root.dataset.map = "";
    if (!wanted) {
      viewer.updateGLVolume();
      viewer.createOnLocationChange();
      return;
    }
    const colours = COLOURS[choice.dataset.role] || "viridis";
    try {
      const map = await niivue.NVImage.loadFromUrl({
        url: choice.value,
        name: choice.dataset.name,
        colormap: colours,
        opacity: Number(part("opacity").value) / 100,
      });
      // Somebody who chose again meanwhile wants the other one.
      if (wanted !== choice.value) return;
      if (choice.dataset.role === "mask" || choice.dataset.role === "labels") {
        map.cal_min = 0;
        map.cal_max = Math.max(1, map.global_max);
      }
      viewer.addVolume(map);
      overlay = map;
    } catch {
      say(root.dataset.mapFailed, true);
      return;
    }
    say("");
    showBar(colours, choice.dataset.unit);
    viewer.createOnLocationChange();
    root.dataset.map = choice.value;
  }

  function showBar(colours, unit) {
    const bar = part("bar-canvas");
    const table = viewer.colormap(colours);
    const pixels = bar.getContext("2d").createImageData(256, 1);
    for (let at = 0; at < 256; at += 1) {
      for (let band = 0; band < 3; band += 1) pixels.data[at * 4 + band] = table[at * 4 + band];
      pixels.data[at * 4 + 3] = 255;
    }
    bar.getContext("2d").putImageData(pixels, 0, 0);
    part("bar-low").textContent = written(overlay.cal_min, overlay.cal_max);
    part("bar-high").textContent = written(overlay.cal_max, overlay.cal_min);
    part("bar-unit").textContent = unit.replaceAll("^2", "²").replaceAll("^3", "³");
    part("bar").hidden = false;
  }

  // In voxels towards the patient's right, front and top.
  const STEPS_OF_KEYS = {
    ArrowLeft: [-1, 0, 0],
    ArrowRight: [1, 0, 0],
    ArrowUp: [0, 1, 0],
    ArrowDown: [0, -1, 0],
    PageUp: [0, 0, 1],
    PageDown: [0, 0, -1],
  };

  function onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    // NiiVue's own keys would change what the controls show.
    if (event.key !== "Tab") event.stopImmediatePropagation();
    const step = STEPS_OF_KEYS[event.key];
    if (!viewer || !step) return;
    event.preventDefault();
    const side = part("radiological").checked ? -1 : 1;
    viewer.moveCrosshairInVox(side * step[0], step[1], step[2]);
  }

  function reset() {
    const image = viewer.volumes[0];
    for (const [name, value] of ends(image)) part(name).value = value;
    part("plane").value = "3";
    viewer.setSliceType(3);
    viewer.setPan2Dxyzmm([0, 0, 0, 1]);
    showWindow();
  }

  function join() {
    part("volume")?.addEventListener("input", (event) => showVolume(Number(event.target.value)));
    for (const name of ["dark", "bright"]) part(name).addEventListener("input", showWindow);
    part("plane").addEventListener("change", (event) => viewer.setSliceType(Number(event.target.value)));
    part("radiological").addEventListener("change", (event) => viewer.setRadiologicalConvention(event.target.checked));
    part("reset").addEventListener("click", reset);
    part("map")?.addEventListener("change", showMap);
    part("opacity")?.addEventListener("input", (event) => {
      part("opacity-text").textContent = `${event.target.value} %`;
      if (overlay) viewer.setOpacity(viewer.volumes.indexOf(overlay), Number(event.target.value) / 100);
    });
    canvas.addEventListener("keydown", onKey, { capture: true });
  }

  if (!hasWebgl() || typeof niivue === "undefined") {
    say(root.dataset.noWebgl, true);
    part("large-question")?.setAttribute("hidden", "");
    return;
  }
  join();
  if (root.dataset.large === "yes") {
    say("");
    part("load").addEventListener("click", () => {
      part("large-question").hidden = true;
      start();
    });
  } else {
    start();
  }
})();

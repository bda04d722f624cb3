// An explorer in the browser: controls with names and values that are read out, and a picture that follows them.

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// A label, a slider or a menu, and the value in words. `moved` is called with the place of the value that was chosen.
const makeControl = ({ name, words, menu }, moved) => {
  const input = menu
    ? make("select", {}, ...words.map((text) => make("option", { textContent: text })))
    : make("input", { type: "range", min: 0, max: words.length - 1, step: 1 });
  const output = make("output", { ariaHidden: "true" });
  const label = make("label", {}, make("span", { textContent: name }), input, ...(menu ? [] : [output]));
  const set = (place) => {
    if (menu) input.selectedIndex = place;
    else {
      input.value = place;
      input.setAttribute("aria-valuetext", words[place]);
      output.textContent = words[place];
    }
  };
  input.setAttribute("aria-label", name);
  input.dataset.lmSuppressShortcuts = "true"; // the arrow keys are the slider's, not JupyterLab's
  input.addEventListener("input", () => moved(menu ? input.selectedIndex : Number(input.value)));
  return { label, set };
};

// The picture at `key`, exchanged when the new one can be drawn, so that nothing flickers.
const follow = (model, key, image, resized = () => {}) => {
  let latest = 0;
  const show = async () => {
    const mine = ++latest;
    const next = new Image();
    next.src = URL.createObjectURL(new Blob([model.get(key)], { type: "image/png" }));
    await next.decode().catch(() => {});
    if (mine === latest) {
      const before = image.src;
      image.src = next.src;
      resized(next.naturalWidth);
      if (before) URL.revokeObjectURL(before);
    } else URL.revokeObjectURL(next.src);
  };
  show();
  return show;
};

const render = ({ model, el }) => {
  const places = [...model.get("places")];
  const move = (changed) => {
    for (const [index, place] of changed) {
      places[index] = place;
      controls[index].set(place);
    }
    model.set("places", [...places]);
    model.save_changes();
    turn();
  };
  const controls = model.get("controls").map((control, index) => makeControl(control, (place) => move([[index, place]])));
  controls.forEach((control, index) => control.set(places[index]));

  const picture = make("img", { draggable: false });
  const words = make("p", { className: "explorer-words" });
  const caption = make("figcaption", { textContent: model.get("caption") });
  const tell = () => {
    picture.alt = model.get("alt");
    words.textContent = model.get("words");
    words.hidden = !words.textContent;
  };
  tell();
  model.on("change:alt", tell);
  model.on("change:words", tell);

  let turn = () => {};
  const figure = make("figure", { className: "explorer" });
  if (model.get("map").byteLength) {
    const ring = make("span", { className: "explorer-ring" });
    const drawn = make("img", { alt: model.get("map_alt"), draggable: false });
    const map = make("div", { className: "explorer-map" }, drawn, ring);
    const last = model.get("controls").map((control) => control.words.length - 1);
    turn = () => {
      ring.style.left = `${(100 * places[0]) / last[0]}%`;
      ring.style.top = `${100 - (100 * places[1]) / last[1]}%`;
    };
    turn();
    const point = (event) => {
      const box = map.getBoundingClientRect();
      const within = [(event.clientX - box.left) / box.width, (box.bottom - event.clientY) / box.height];
      move(within.map((share, index) => [index, Math.round(Math.min(1, Math.max(0, share)) * last[index])]));
    };
    map.addEventListener("pointerdown", (event) => {
      map.setPointerCapture(event.pointerId);
      point(event);
      event.preventDefault();
    });
    map.addEventListener("pointermove", (event) => map.hasPointerCapture(event.pointerId) && point(event));
    follow(model, "map", drawn);
    picture.style.width = `${model.get("side")}px`;
    model.on("change:picture", follow(model, "picture", picture));
    controls[1].label.classList.add("explorer-upright");
    const field = make("div", { className: "explorer-field" }, controls[1].label, map, controls[0].label);
    figure.append(make("div", { className: "explorer-sides" }, field, make("div", {}, picture, words)), caption);
  } else {
    const fit = (width) => (figure.style.maxWidth = `${width}px`); // the controls are as wide as the picture
    model.on("change:picture", follow(model, "picture", picture, fit));
    const rows = make("div", { className: "explorer-controls" }, ...controls.map((control) => control.label));
    figure.append(rows, picture, words, caption);
  }

  // The figure for pages without a kernel stands above: it goes while this one is there, and comes back when its kernel ends.
  const instead = make("style", { textContent: `#${model.get("static")} { display: none }` });
  el.append(instead, figure);
  model.on("comm_live_update", () => el.replaceChildren());
};

export default { render };

// A cell that ended with an error comes into view, in JupyterLab and Notebook. Other programs have no such page: nothing happens.

// Frames for which the cell is held, while JupyterLab lays out and draws what is around it; and for which it is waited for.
const [HELD, WAITED] = [30, 300];
const HANDS = ["wheel", "pointerdown", "keydown", "touchstart"];

// The cell in the page. Notebooks behind another have no height; where JupyterLab keeps only what is on the screen, it may be missing.
const find = (index) =>
  Array.from(document.querySelectorAll(`.jp-Notebook .jp-Cell[data-windowed-list-index="${index}"]`)).find(
    (cell) => cell.getBoundingClientRect().height > 0,
  );

const isOnScreen = (cell) => {
  const [mine, page] = [cell, cell.closest(".jp-Notebook")].map((element) => element.getBoundingClientRect());
  return mine.bottom > page.top && mine.top < page.bottom;
};

const hold = (index) => {
  let [held, waited] = [0, 0];
  const letGo = () => (held = HELD); // the reader takes over
  HANDS.forEach((event) => addEventListener(event, letGo, { capture: true, passive: true }));
  const step = () => {
    const cell = find(index);
    if (held < HELD && waited++ < WAITED) {
      if (cell && held++ === 0) cell.focus({ preventScroll: true }); // it becomes the active one
      const error = cell?.querySelector(".jp-OutputArea-child:last-child") ?? cell;
      error?.scrollIntoView({ block: "center" });
      requestAnimationFrame(step);
    } else HANDS.forEach((event) => removeEventListener(event, letGo, { capture: true }));
  };
  step();
};

const show = (model) => {
  const id = model.get("cell");
  const { context, rendermime } = model.widget_manager;
  if (!id || !context?.model?.cells) return;
  model.set("cell", ""); // shown once: not again when the page is loaded anew
  model.save_changes();

  const inFront = decodeURIComponent(location.pathname).endsWith(`/${context.localPath}`);
  const typing = document.activeElement?.matches("input, textarea, [contenteditable=true]");
  const index = Array.from(context.model.cells).findIndex((cell) => cell.id === id);
  const cell = find(index);
  if (!inFront || typing || index < 0 || (cell && isOnScreen(cell))) return;
  if (!cell) {
    const link = document.createElement("a");
    rendermime.linkHandler.handleLink(link, context.path, `#cell-id=${id}`);
    link.click();
  }
  hold(index);
};

const initialize = ({ model }) => {
  model.on("change:cell", () => show(model));
  show(model);
};

export default { initialize };

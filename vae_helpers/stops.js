// A cell that ended with an error comes into view, in JupyterLab and Notebook. Other programs have no such page: nothing happens.

// Frames for which the cell is held, while JupyterLab lays out and draws what is around it; and for which it is waited for.
const [HELD, WAITED] = [30, 300];
const HANDS = ["wheel", "pointerdown", "keydown", "touchstart"];

// The cell in the page. Notebooks behind another have no height. Where JupyterLab keeps only what is on the screen, it may be missing.
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

const show = (id, { context, rendermime }) => {
  // The address names the document in front. While it is another, this one waits.
  if (!decodeURIComponent(location.pathname).endsWith(`/${context.localPath}`)) {
    setTimeout(show, 500, id, { context, rendermime });
    return;
  }
  const typing = document.activeElement?.matches("input, textarea, [contenteditable=true]");
  const index = Array.from(context.model.cells).findIndex((cell) => cell.id === id);
  const cell = find(index);
  if (typing || index < 0 || (cell && isOnScreen(cell))) return;
  if (!cell) {
    // A link within the notebook brings in what is not in the page.
    const link = document.createElement("a");
    rendermime.linkHandler.handleLink(link, context.path, `#cell-id=${id}`);
    link.click();
  }
  hold(index);
};

const initialize = ({ model }) => {
  const answer = () => {
    const id = model.get("cell");
    if (!id || !model.widget_manager.context?.model?.cells) return;
    show(id, model.widget_manager);
    // Shown once: not again when the page is loaded anew. Within a change, another would not be sent.
    setTimeout(() => {
      model.set("cell", "");
      model.save_changes();
    });
  };
  model.on("change:cell", answer);
  answer();
};

export default { initialize };

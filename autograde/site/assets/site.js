// What scrolls sideways can be scrolled with the keyboard; on paper, folded code is open.
(() => {
  const scrollable = "mjx-container[display], p:has(mjx-container), .highlight pre, .pst-scrollable-table-container, .cell_output";
  const mark = () => {
    for (const box of document.querySelectorAll(scrollable)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    }
  };
  addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(mark));
  addEventListener("resize", mark);

  addEventListener("beforeprint", () => document.querySelectorAll("details.hide").forEach((folded) => (folded.open = true)));
})();

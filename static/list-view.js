// Hides the columns of the job list that the reader has switched off, and sets its density, before the first paint. For
// that reason it is loaded in the head and is not a module.
(() => {
  try {
    const { hidden = [], density } = JSON.parse(localStorage.getItem("cortado-list")) ?? {};
    document.documentElement.dataset.hidden = hidden.join(" ");
    if (density === "compact") document.documentElement.dataset.density = density;
  } catch {
    // Storage can be disabled, or hold something else; all columns are shown then.
  }
})();

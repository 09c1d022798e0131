// Sets the chosen theme before the first paint. Loaded in the head, not as a module, for that reason.
(() => {
  try {
    const theme = localStorage.getItem("cortado-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's theme is used then.
  }
})();

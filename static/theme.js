// Sets the chosen theme before the first paint. For that reason it is loaded in the head and is not a module.
(() => {
  try {
    const theme = localStorage.getItem("cortado-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage can be disabled; the system's theme is used then.
  }
})();

// Before anything is drawn: the theme that was chosen here, so that the page doesn't flash in the other one. A classic
// script, because modules run later.
(() => {
  try {
    const theme = JSON.parse(localStorage.getItem("amends.theme") || '"auto"');
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // storage is shut: the system's theme it is
  }
})();

/** The keyboard of a page with handsets: what is typed goes to the handset that is meant, unless a field wants it. */
import type { HandsetOnPage } from "./handset.ts";

/** @param meant the handset the keys go to now */
export function onKeyboard(meant: () => HandsetOnPage | undefined): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    const target = event.target as Element;
    if (target.closest("input, select, textarea") && event.key !== "Escape") return;
    // Enter on a key of the page is that key.
    if (event.key === "Enter" && target.closest("button, a, summary")) return;
    if (meant()?.type(event.key)) event.preventDefault();
  });
}

"use strict";
// Keeps the page up to date: each event of the server holds one section as HTML, which is escaped there. What somebody has
// opened, and where the keyboard is, stays.
(() => {
  const lost = document.getElementById("lost");
  const line = document.getElementById("line");
  let source = null;

  const section = (message) => {
    const { id, html } = JSON.parse(message.data);
    const section = document.getElementById(id);
    if (!section) {
      // The page was made before there was anything to show.
      location.reload();
      return;
    }
    const opened = [...section.querySelectorAll("details[open]")].map((it) => it.id);
    const places = [...section.querySelectorAll("[tabindex], summary")];
    const focused = places.indexOf(document.activeElement);
    const scrolled = [...section.querySelectorAll(".wide")].map((it) => it.scrollLeft);
    section.innerHTML = html;
    for (const id of opened) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    if (focused >= 0) {
      const place = section.querySelectorAll("[tabindex], summary")[focused];
      if (place) place.focus({ preventScroll: true });
    }
    section.querySelectorAll(".wide").forEach((it, place) => {
      it.scrollLeft = scrolled[place] || 0;
    });
  };

  const state = (message) => {
    const { html } = JSON.parse(message.data);
    if (line.textContent !== html) {
      line.textContent = html;
      document.title = html + " – Backstitch";
    }
  };

  const trouble = (message) => {
    const { html } = JSON.parse(message.data);
    lost.hidden = html === "";
    lost.textContent = html;
  };

  const listen = () => {
    source = new EventSource("events");
    source.addEventListener("section", section);
    source.addEventListener("line", state);
    source.addEventListener("trouble", trouble);
    source.onopen = () => {
      lost.hidden = true;
    };
    source.onerror = () => {
      lost.textContent =
        "No connection to the process that shows this page: it may have ended. What stands here is as it was last.";
      lost.hidden = false;
    };
  };

  // A browser has six connections to a server, for all of its tabs: one that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (source) {
      source.close();
      source = null;
    }
    if (document.visibilityState === "visible") listen();
  });
  listen();
})();

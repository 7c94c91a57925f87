// A page that nobody sees keeps no connection: browsers allow a portal only six at a time.
"use strict";
let source = null;
document.addEventListener("htmx:sseOpen", (event) => {
  source = event.detail.source;
});
document.addEventListener("visibilitychange", () => {
  const live = document.getElementById("live");
  if (!live || !source) return;
  if (document.hidden) {
    source.close();
  } else if (source.readyState === EventSource.CLOSED) {
    const fresh = live.cloneNode(false);
    live.replaceWith(fresh);
    htmx.process(fresh);
  }
});

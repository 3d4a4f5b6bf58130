// A page that stays true: an event says that something has changed, the page is fetched again, and what differs is put in.
"use strict";

(() => {
  const main = () => document.getElementById("main");
  const lost = document.querySelector(".lost");
  let source = null;
  let fetching = false;
  let again = false;

  // What a reader has opened, chosen or scrolled stays as it is; figures and logs look after themselves.
  const callbacks = {
    beforeNodeMorphed(old, fresh) {
      if (!(old instanceof Element) || !(fresh instanceof Element)) return true;
      if (old.matches(".chart") && fresh.matches(".chart")) {
        old.dataset.chart = fresh.dataset.chart;
        old.setAttribute("aria-label", fresh.getAttribute("aria-label"));
        return false;
      }
      if (old.matches(".log") && fresh.matches(".log") && old.dataset.log === fresh.dataset.log) {
        old.dataset.live = fresh.dataset.live;
        return false;
      }
      return !(old.matches("input[type=checkbox]") && old.value === fresh.value);
    },
    beforeAttributeUpdated: (name) => name !== "open",
  };

  async function refresh() {
    if (fetching) {
      again = true;
      return;
    }
    fetching = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = fresh.getElementById("main");
      if (answer.ok && found) {
        const top = [scrollX, scrollY];
        Idiomorph.morph(main(), found, { ignoreActiveValue: true, callbacks });
        scrollTo(...top);
        document.title = fresh.title;
        ready();
      }
    } catch {
      // The stream says when the server is back, and is the one to tell the reader.
    } finally {
      fetching = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  // A browser opens six connections to a host, all its tabs together: a tab that nobody looks at gives its own back.
  function follow() {
    const address = document.body.dataset.events;
    if (!address) return;
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      const known = encodeURIComponent(main().dataset.seen);
      source = new EventSource(`${address}${address.endsWith("?") ? "" : "&"}known=${known}`);
      source.addEventListener("open", () => (lost.hidden = true));
      source.addEventListener("changed", refresh);
      source.addEventListener("log", () => document.querySelectorAll(".log").forEach((each) => Logs.pull(each)));
      source.addEventListener("error", () => {
        lost.hidden = false;
        if (source.readyState === EventSource.CLOSED) {
          source = null;
          setTimeout(follow, 3000);
        }
      });
    }
  }

  function span(seconds) {
    if (seconds < 10) return `${seconds.toFixed(1)} s`;
    if (seconds < 60) return `${seconds.toFixed(0)} s`;
    const minutes = Math.floor(seconds / 60);
    return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  function tick() {
    document.querySelectorAll("[data-since]").forEach((each) => {
      each.textContent = span(Math.max(0, (Date.now() - Date.parse(each.dataset.since)) / 1000));
    });
  }

  function ready() {
    document.querySelectorAll(".chart").forEach((each) => Charts.draw(each));
    document.querySelectorAll(".log").forEach((each) => Logs.start(each));
    tick();
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches(".axes select, .filter select")) event.target.form.requestSubmit();
  });
  document.addEventListener("visibilitychange", follow);
  setInterval(tick, 1000);
  ready();
  follow();
})();

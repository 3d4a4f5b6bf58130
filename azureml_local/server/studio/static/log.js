// A log: its end is in the page; what is written since is fetched when an event says so, earlier parts when asked for.
"use strict";

const Logs = (() => {
  const MOST = 1_500_000; // characters in the page; the log itself may have a hundred times as many
  const pulling = new WeakSet();
  const started = new WeakSet();

  const parts = (log) => ({
    text: log.querySelector("pre"),
    earlier: log.querySelector(".log-earlier"),
    search: log.querySelector("input[type=search]"),
    follow: log.querySelector(".log-follow input"),
    found: log.querySelector(".log-found"),
  });

  async function ask(log, query) {
    const answer = await fetch(`${log.dataset.log}?${new URLSearchParams(query)}`, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.json();
  }

  function show(log, part) {
    parts(log).text.textContent = part.text;
    log.dataset.start = part.start;
    log.dataset.end = part.end;
    parts(log).earlier.hidden = part.start === 0;
  }

  async function pull(log) {
    const { text, follow } = parts(log);
    if (!follow?.checked || pulling.has(log)) return;
    pulling.add(log);
    try {
      const part = await ask(log, { start: log.dataset.end });
      if (part.start !== Number(log.dataset.end)) {
        show(log, part); // it ran away from us: its end, then
      } else if (part.text) {
        if (text.textContent.length > MOST) {
          show(log, await ask(log, {}));
        } else {
          text.append(part.text);
          log.dataset.end = part.end;
        }
      }
      text.scrollTop = text.scrollHeight;
    } catch {
      // The next event tries again.
    } finally {
      pulling.delete(log);
    }
  }

  async function earlier(log) {
    const { text } = parts(log);
    const part = await ask(log, { end: log.dataset.start });
    const height = text.scrollHeight - text.scrollTop;
    text.prepend(part.text);
    log.dataset.start = part.start;
    parts(log).earlier.hidden = part.start === 0;
    text.scrollTop = text.scrollHeight - height;
  }

  async function search(log) {
    const { search: input, found } = parts(log);
    found.hidden = !input.value;
    if (!input.value) return;
    const words = input.value;
    const answer = await ask(log, { words });
    if (input.value !== words) return;
    const line = (text, at) => {
      const item = document.createElement("li");
      const button = document.createElement(at == null ? "span" : "button");
      button.textContent = text;
      if (at != null) {
        button.type = "button";
        button.addEventListener("click", () => jump(log, at));
      }
      item.append(button);
      return item;
    };
    const lines = answer.found.map((each) => line(each.text || " ", each.at));
    if (!lines.length) lines.push(line("Nothing found."));
    if (answer.more) lines.push(line("… and more; the first 200 are shown."));
    found.replaceChildren(...lines);
  }

  // The line, with what stands before and after it.
  async function jump(log, at) {
    const { text, follow } = parts(log);
    follow.checked = false;
    const before = Math.max(0, at - 2000);
    const part = await ask(log, { end: at + 30000 });
    const shown = part.start <= before ? part : await ask(log, { start: before });
    show(log, shown);
    const bytes = new TextEncoder().encode(shown.text);
    const ahead = new TextDecoder().decode(bytes.slice(0, Math.max(0, at - shown.start))).length;
    const node = text.firstChild;
    const range = document.createRange();
    const end = shown.text.indexOf("\n", ahead);
    range.setStart(node, Math.min(ahead, node.length));
    range.setEnd(node, end < 0 ? node.length : end);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    text.scrollTop += range.getBoundingClientRect().top - text.getBoundingClientRect().top - 60;
  }

  function start(log) {
    if (started.has(log)) return;
    started.add(log);
    const { text, earlier: button, search: input, follow } = parts(log);
    button.hidden = Number(log.dataset.start) === 0;
    button.addEventListener("click", () => earlier(log));
    input.hidden = false;
    let timer = 0;
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => search(log), 250);
    });
    follow.parentElement.hidden = log.dataset.live === "no"; // nothing more comes
    follow.checked = true;
    follow.addEventListener("change", () => follow.checked && pull(log));
    // Whoever scrolls up wants to read there; at the end it goes on.
    text.addEventListener("scroll", () => {
      const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 30;
      if (!atEnd) follow.checked = false;
      else if (!follow.checked && Number(log.dataset.end) >= Number(log.dataset.size)) follow.checked = true;
    });
    text.scrollTop = text.scrollHeight;
  }

  return { start, pull };
})();

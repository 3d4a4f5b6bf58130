// Figures with uPlot: what a div's data-chart says, in the page's own colours, as wide as there is room.
"use strict";

const Charts = (() => {
  const drawn = new WeakMap();
  const HEIGHT = 220;
  const WHOLE = [...Array(16).keys()].flatMap((power) => [1, 2, 5].map((times) => times * 10 ** power));

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const COLOURS = ["--accent", "--busy", "--good", "--bad", "--quiet"];
  const whole = (column) => column.every((value) => value == null || Number.isInteger(value));
  const short = (value) => (value == null ? "" : Number(value.toPrecision(6)).toString());

  // Points at the edge are seen whole; a line goes from edge to edge.
  function room(chart, least, most) {
    if (chart.kind !== "points") return least === most ? [least - 1, most + 1] : [least, most];
    if (chart.log) return [least / 1.3, most * 1.3];
    const beside = (most - least || Math.abs(most) || 1) * 0.04;
    return [least - beside, most + beside];
  }

  function options(chart, element, note) {
    const points = chart.kind === "points";
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const numbers = (_, ticks) => ticks.map((tick) => (tick == null ? "" : short(tick)));
    const steps = chart.kind === "steps";
    const clock = (_, value) => (value == null ? "" : new Date(value * 1000).toLocaleTimeString([], { hourCycle: "h23" }));
    // Of whole numbers, such as steps and nodes, there are no halves.
    const incrs = (column) => (whole(column) ? WHOLE : undefined);
    const times = (_, ticks, __, ___, apart) =>
      ticks.map((tick) => {
        const moment = new Date(tick * 1000);
        if (apart >= 86400) return moment.toLocaleDateString();
        return moment.toLocaleTimeString([], { hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: apart < 60 ? "2-digit" : undefined });
      });
    return {
      width: Math.max(element.clientWidth, 200),
      height: HEIGHT,
      legend: { show: chart.names.length > 1 || !points, live: true },
      cursor: { y: points, drag: { x: true, y: false }, points: { size: 8 } },
      scales: { ...(steps ? { y: { range: (_, __, most) => [0, Math.max(most, 1) * 1.1] } } : {}), x: { time: steps, distr: chart.log ? 3 : 1, range: (_, least, most) => room(chart, least, most) } },
      series: [
        { label: chart.x, value: steps ? clock : (_, value) => short(value) },
        ...chart.names.map((name, place) => ({
          label: name,
          stroke: colour(COLOURS[place % COLOURS.length]),
          width: 1.75,
          dash: place < COLOURS.length ? undefined : [6, 4],
          spanGaps: Boolean(chart.gaps),
          value: (_, value) => short(value),
          ...(points ? { paths: () => null } : steps ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
          points: { show: points || (!steps && chart.data[0].length < 30), size: points ? 8 : 5, fill: colour(points ? COLOURS[0] : COLOURS[place % COLOURS.length]) },
        })),
      ],
      axes: [
        { ...axis, values: steps ? times : numbers, incrs: steps || chart.log ? undefined : incrs(chart.data[0]), space: steps ? 80 : 50, size: 30, label: points ? chart.x : undefined, labelSize: points ? 18 : 0, labelGap: 0, labelFont: "12px system-ui" },
        { ...axis, values: numbers, incrs: incrs(chart.data.slice(1).flat()), size: 62 },
      ],
      hooks: points
        ? {
            setCursor: [
              (plot) => {
                const place = plot.cursor.idx;
                const title = place == null ? "" : plot.studio.titles[place];
                note.textContent = place == null ? "" : `${title}: ${short(plot.data[1][place])} at ${short(plot.data[0][place])}`;
              },
            ],
          }
        : {},
    };
  }

  function draw(element) {
    const text = element.dataset.chart;
    const width = Math.max(element.clientWidth, 200);
    const before = drawn.get(element);
    if (before && before.text === text && before.dark === dark.matches) {
      if (before.width !== width) {
        before.plot.setSize({ width, height: HEIGHT });
        before.width = width;
      }
      return;
    }
    const chart = JSON.parse(text);
    const shape = JSON.stringify([chart.kind, chart.x, chart.names, chart.log, chart.data.map(whole)]);
    if (before && before.shape === shape && before.dark === dark.matches) {
      before.plot.studio = chart;
      before.plot.setData(chart.data);
      before.text = text;
      return;
    }
    before?.plot.destroy();
    element.replaceChildren();
    element.classList.toggle("single", chart.names.length === 1);
    const note = document.createElement("p");
    note.className = "chart-note";
    const plot = new uPlot(options(chart, element, note), chart.data, element);
    plot.studio = chart;
    if (chart.links) {
      element.append(note);
      plot.over.addEventListener("dblclick", () => {
        const place = plot.cursor.idx;
        if (place != null) location.href = plot.studio.links[place];
      });
      plot.over.title = "Double-click opens the run";
    }
    drawn.set(element, { plot, text, shape, width, dark: dark.matches });
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const all = () => document.querySelectorAll(".chart").forEach(draw);
  dark.addEventListener("change", all);
  addEventListener("resize", all);
  return { draw };
})();

// Draws the plots of a report with uPlot, from the values in the block of data named "plots". Texts of a ledger are among
// them: they are drawn on a canvas or set as text, never as markup.
"use strict";
(() => {
  const PAPER = 660;
  const FONT = "12px system-ui, sans-serif";
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const root = document.documentElement;
  const charts = new Map();

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const size = (plot, box) => {
    const width = root.dataset.paper ? PAPER : Math.max(240, box.clientWidth);
    return { width, height: plot.lanes ? 72 + 24 * plot.lanes.length : width < 480 ? 230 : 290 };
  };

  const number = (value) => value == null ? "–"
    : value >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 0 })
    : String(Number(value.toPrecision(4)));

  const span = (seconds) => seconds < 60 ? `${Number(seconds.toPrecision(3))} s`
    : seconds < 3600 ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
    : `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;

  const tick = (value) => value == null ? "" : Math.abs(value) >= 1e6 ? `${Number((value / 1e6).toPrecision(3))}M`
    : Math.abs(value) >= 1e4 ? `${Number((value / 1e3).toPrecision(3))}k` : String(Number(value.toPrecision(4)));

  const percent = (nines) => {
    const share = 100 * (1 - 10 ** -nines);
    return nines === 0 ? "0 %" : `${Number(share.toFixed(Math.max(0, Math.round(nines) - 2) + (Number.isInteger(nines) ? 0 : 1)))} %`;
  };

  // Names of runs that began within the plot, and where they did.
  const drawMarks = (plot) => (chart) => {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("--quiet");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const mark of plot.marks) {
      const at = Math.round(chart.valToPos(mark.x, "x", true));
      if (at < bbox.left || at > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };

  // A lane a tenant, the first on top, and in it a bar a pause, of a pixel at least.
  const drawBars = (plot) => (chart) => {
    const { ctx, bbox } = chart;
    const lane = bbox.height / plot.lanes.length;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    plot.series.forEach((one, at) => {
      if (!chart.series[at + 1].show) return;
      ctx.fillStyle = colour(`--c-${one.colour}`);
      for (const [number, from, to] of one.bars) {
        const left = chart.valToPos(from, "x", true);
        const width = Math.max(devicePixelRatio, chart.valToPos(to, "x", true) - left);
        ctx.fillRect(left, bbox.top + lane * (number + 0.2), width, lane * 0.6);
      }
    });
    ctx.restore();
  };

  // What others wrote, as it reads by itself: a mark in it that turns the direction of writing turns nothing else.
  const apart = (text) => `\u2068${text}\u2069`;

  // The pause under the pointer, in words; the nearest within some pixels, since a bar may be as thin as one.
  const pointed = (plot, chart) => {
    const { left, top } = chart.cursor;
    if (left < 0 || top < 0) return "(point at a bar)";
    const lane = Math.min(plot.lanes.length - 1, Math.floor(top / chart.over.clientHeight * plot.lanes.length));
    const [value, slack] = [chart.posToVal(left, "x"), chart.posToVal(6, "x") - chart.posToVal(0, "x")];
    let [found, kind, least] = [null, "", slack];
    plot.series.forEach((one, at) => {
      if (!chart.series[at + 1].show) return;
      for (const bar of one.bars) {
        const away = bar[0] === lane ? Math.max(bar[1] - value, value - bar[2], 0) : least;
        if (away < least) [found, kind, least] = [bar, one.label, away];
      }
    });
    if (!found) return plot.lanes[lane];
    const [, , , began, seconds, pauses, reason] = found;
    const when = new Date(began * 1000).toISOString().slice(0, 19).replace("T", " ");
    const many = pauses === 1 ? "" : ` in ${number(pauses)} pauses`;
    return `${apart(plot.lanes[lane])}, ${kind} for ${span(seconds)}${many} from ${when} UTC on${reason == null ? "" : `: ${apart(plot.reasons[reason])}`}`;
  };

  const point = (plot) => (chart) => {
    const cell = chart.root.querySelector(".u-legend .u-series .u-value");
    if (cell) cell.textContent = pointed(plot, chart);
  };

  // Values without a neighbour: no line leads to them, so they are points however many there are.
  const alone = (chart, at, all) => {
    const values = chart.data[at];
    const known = (index) => values[index] != null;
    return all ? null : values.map((_, index) => index).filter((index) => known(index) && !known(index - 1) && !known(index + 1));
  };

  const series = (plot) => (one) => ({
    label: one.label,
    stroke: colour(`--c-${one.colour}`),
    width: plot.bars ? 0 : one.dash ? 1.5 : 2,
    dash: one.dash,
    spanGaps: Boolean(plot.joined),
    fill: plot.bars ? colour(`--c-${one.colour}`) : undefined,
    paths: plot.bars ? uPlot.paths.bars({ size: [one.width, 60] }) : undefined,
    points: { show: plot.bars ? false : undefined, size: 5, filter: alone },
    value: plot.lanes ? () => "" : (_, value) => number(value),
  });

  // What a series is told by in the legend: its colour, and its dashes where its line has some.
  const swatch = (plot) => (_, at) => {
    const one = plot.series[at - 1];
    const ink = colour(`--c-${one.colour}`);
    if (!one.dash) return ink;
    const [drawn, left] = one.dash;
    return `repeating-linear-gradient(90deg, ${ink} 0 ${drawn}px, transparent ${drawn}px ${drawn + left}px)`;
  };

  const axis = (label, more) => ({
    label,
    labelSize: 20,
    labelGap: 0,
    labelFont: FONT,
    font: FONT,
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1, size: 5 },
    ...more,
  });

  const xAxis = (plot) => {
    if (plot.nines) {
      const whole = (chart, _, low, high) => {
        const apart = 44 / (chart.bbox.width / devicePixelRatio) * (high - low);
        const found = [];
        for (const at of [1, 2, 3, 4, 5, 6, 7, 0, Math.log10(2)]) {
          if (at >= low && at <= high && found.every((other) => Math.abs(at - other) >= apart)) found.push(at);
        }
        found.sort((one, other) => one - other);
        return found.length > 1 ? found : [low, high];
      };
      return axis(plot.x_label, { splits: whole, values: (_, splits) => splits.map(percent), space: 30, size: 32 });
    }
    return axis(plot.x_label, { incrs: plot.bars ? [1, 2, 5, 10, 20, 50] : undefined, values: (_, splits) => splits.map(tick), size: 32 });
  };

  // The names of lanes take a third of the width at the most: of one that is longer goes first the ending that all of
  // them share, as in domains, and then its middle.
  const pen = document.createElement("canvas").getContext("2d");
  const wide = (text) => {
    pen.font = FONT;
    return pen.measureText(text).width;
  };
  const ending = (names) => {
    let most = names.length > 1 ? Math.min(...names.map((name) => name.length)) - 1 : 0;
    while (most > 0 && !names.every((name) => name.endsWith(names[0].slice(-most)))) most -= 1;
    return most;
  };
  const short = (name, shared, room) => {
    if (wide(name) <= room) return name;
    const letters = [...name.slice(0, name.length - shared), ...(shared ? ["…"] : [])];
    const cut = (kept) => [...letters.slice(0, Math.ceil(kept / 2)), "…", ...letters.slice(letters.length - Math.floor(kept / 2))].join("");
    let [text, kept] = [letters.join(""), letters.length - 1];
    while (kept > 2 && wide(text) > room) text = cut(kept--);
    return text;
  };

  const yAxis = (plot) => {
    if (!plot.lanes) return axis(plot.y_label, { size: 58, values: (_, splits) => splits.map(tick) });
    const shared = ending(plot.lanes);
    const room = (chart) => Math.min(chart.width / 3, Math.max(...plot.lanes.map(wide)));
    return axis(null, {
      size: (chart) => Math.ceil(room(chart)) + 14,
      splits: () => plot.lanes.map((_, at) => at + 0.5),
      values: (chart) => plot.lanes.map((name) => short(name, shared, room(chart))).reverse(),
      ticks: { show: false },
    });
  };

  const yScale = (plot) => plot.lanes ? { range: () => [0, plot.lanes.length] }
    : plot.log ? { distr: 3 } : { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] };

  const first = (plot) => plot.lanes ? { label: "pause", value: () => "(point at a bar)" }
    : { label: "at", value: (_, value, __, index) => index == null ? "(point at the plot)" : plot.names[index] };

  const hooks = (plot) => plot.lanes ? { drawAxes: [drawBars(plot), drawMarks(plot)], setCursor: [point(plot)] } : { drawAxes: [drawMarks(plot)] };

  // Plots over the time of the same runs share their axis, and what is done to it.
  const axisOf = (plot) => plot.nines || plot.bars || plot.joined ? undefined : plot.id.replace(/^[a-z]+/, "time");

  const options = (plot, box) => ({
    ...size(plot, box),
    padding: [10, plot.nines ? 30 : 12, 0, 0],
    scales: {
      x: { time: false, range: plot.bars ? (_, low, high) => [low - 0.6, high + 0.6] : plain },
      y: yScale(plot),
    },
    axes: [xAxis(plot), yAxis(plot)],
    series: [first(plot), ...plot.series.map(series(plot))],
    cursor: { drag: { x: true, y: false }, sync: axisOf(plot) && { key: axisOf(plot), scales: ["x", null] } },
    hooks: hooks(plot),
    legend: { live: true, markers: { fill: swatch(plot), width: 0 } },
  });

  const plain = (_, low, high) => low === high ? [low - 0.5, high + 0.5] : [low, high];

  const draw = (plot) => {
    const box = document.querySelector(`#plot-${plot.id} .canvas`);
    const before = charts.get(plot.id);
    const kept = before && [before.scales.x.min, before.scales.x.max];
    if (before) before.destroy();
    const chart = new uPlot(options(plot, box), [plot.x, ...plot.series.map((one) => one.values)], box);
    if (kept && !root.dataset.paper) chart.setScale("x", { min: kept[0], max: kept[1] });
    charts.set(plot.id, chart);
    box.dataset.drawn = plot.series.length;
  };

  const together = (plot) => axisOf(plot) ? plots.filter((one) => axisOf(one) === axisOf(plot)) : [plot];

  const show = (plot, from, to) => {
    for (const one of together(plot)) {
      const [low, high] = [one.x[0], one.x[one.x.length - 1]];
      charts.get(one.id).setScale("x", { min: Math.max(low, from), max: Math.min(high, to) });
    }
  };

  const move = (plot, from, to) => {
    const { min, max } = charts.get(plot.id).scales.x;
    show(plot, min + from * (max - min), max + to * (max - min));
  };

  // What a mouse does by dragging, a finger and a keyboard do here.
  const tools = (plot) => {
    const bar = document.createElement("span");
    bar.className = "tools";
    const whole = () => show(plot, -Infinity, Infinity);
    for (const [text, label, act] of [
      ["◀", "earlier", () => move(plot, -0.4, -0.4)],
      ["▶", "later", () => move(plot, 0.4, 0.4)],
      ["+", "zoom in", () => move(plot, 0.25, -0.25)],
      ["−", "zoom out", () => move(plot, -0.5, 0.5)],
      ["whole", "show the whole", whole],
    ]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-label", `${label}: ${plot.title}`);
      button.addEventListener("click", act);
      bar.append(button);
    }
    document.querySelector(`#plot-${plot.id} figcaption`).append(bar);
  };

  const all = () => plots.forEach(draw);
  plots.forEach(tools);
  all();

  const watch = new ResizeObserver((entries) => {
    if (root.dataset.paper) return;
    for (const entry of entries) {
      const chart = charts.get(entry.target.closest(".plot").id.slice("plot-".length));
      const wanted = size(plots.find((one) => charts.get(one.id) === chart), entry.target);
      if (chart.width !== wanted.width) chart.setSize(wanted);
    }
  });
  document.querySelectorAll(".plot .canvas").forEach((box) => watch.observe(box));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);

  const paper = (on) => {
    if (Boolean(root.dataset.paper) === on) return;
    if (on) root.dataset.paper = "yes";
    else delete root.dataset.paper;
    all();
  };
  matchMedia("print").addEventListener("change", (event) => paper(event.matches));
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
})();

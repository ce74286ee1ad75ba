// Draws the plots of a report with uPlot, from the values in the block of data named "plots". Texts of a ledger are among
// them: they are drawn on a canvas or set as text, never as markup.
"use strict";
(() => {
  const PAPER = 660;
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const root = document.documentElement;
  const charts = new Map();

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const size = (box) => {
    const width = root.dataset.paper ? PAPER : Math.max(240, box.clientWidth);
    return { width, height: width < 480 ? 230 : 290 };
  };

  const number = (value) => value == null ? "–"
    : value >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 0 })
    : String(Number(value.toPrecision(4)));

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

  const series = (plot) => (one) => ({
    label: one.label,
    stroke: colour(`--c-${one.colour}`),
    width: plot.bars ? 0 : one.dash ? 1.5 : 2,
    dash: one.dash,
    spanGaps: Boolean(plot.joined),
    fill: plot.bars ? colour(`--c-${one.colour}`) : undefined,
    paths: plot.bars ? uPlot.paths.bars({ size: [one.width, 60] }) : undefined,
    points: { show: plot.bars ? false : undefined, size: 5 },
    value: (_, value) => number(value),
  });

  const axis = (label, more) => ({
    label,
    labelSize: 20,
    labelGap: 0,
    labelFont: "12px system-ui, sans-serif",
    font: "12px system-ui, sans-serif",
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1, size: 5 },
    ...more,
  });

  const xAxis = (plot) => {
    if (plot.nines) {
      const whole = (chart, _, low, high) => {
        const found = [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7].filter((at) => at >= low && at <= high);
        return found.length > 1 ? found : [low, high];
      };
      return axis(plot.x_label, { splits: whole, values: (_, splits) => splits.map(percent), space: 30, size: 32 });
    }
    return axis(plot.x_label, { incrs: plot.bars ? [1, 2, 5, 10, 20, 50] : undefined, values: (_, splits) => splits.map(tick), size: 32 });
  };

  const options = (plot, box) => ({
    ...size(box),
    padding: [10, plot.nines ? 30 : 12, 0, 0],
    scales: {
      x: { time: false, range: plot.bars ? (_, low, high) => [low - 0.6, high + 0.6] : plain },
      y: plot.log ? { distr: 3 } : { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] },
    },
    axes: [xAxis(plot), axis(plot.y_label, { size: 58, values: (_, splits) => splits.map(tick) })],
    series: [{ label: "at", value: (_, value, __, index) => index == null ? "(point at the plot)" : plot.names[index] }, ...plot.series.map(series(plot))],
    cursor: { drag: { x: true, y: false }, sync: plot.nines || plot.bars || plot.joined ? undefined : { key: plot.id.replace(/^[a-z]+/, "time"), scales: ["x", null] } },
    hooks: { drawAxes: [drawMarks(plot)] },
    legend: { live: true, markers: { fill: (chart, at) => chart.series[at].stroke(chart, at), width: 0 } },
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

  const move = (plot, from, to) => {
    const chart = charts.get(plot.id);
    const { min, max } = chart.scales.x;
    const [low, high] = [plot.x[0], plot.x[plot.x.length - 1]];
    const span = max - min;
    chart.setScale("x", { min: Math.max(low, min + from * span), max: Math.min(high, max + to * span) });
  };

  // What a mouse does by dragging, a finger and a keyboard do here.
  const tools = (plot) => {
    const bar = document.createElement("span");
    bar.className = "tools";
    const whole = () => charts.get(plot.id).setScale("x", { min: plot.x[0], max: plot.x[plot.x.length - 1] });
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
      if (chart.width !== size(entry.target).width) chart.setSize(size(entry.target));
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

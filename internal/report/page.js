// The script of a page: draws the charts whose numbers are in #data, sorts and filters
// tables, and changes between light and dark. Names come from files of strangers, so
// they reach the page as text only: in canvases, and by textContent.
(() => {
  "use strict";
  const root = document.documentElement;
  const one = (q, from = document) => from.querySelector(q);
  const all = (q, from = document) => [...from.querySelectorAll(q)];
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const list = (name) => css(name).split(/\s+/);

  let specs = JSON.parse(one("#data").textContent);
  const drawn = new Map(); // id → chart of ECharts

  // Numbers and colours.
  const number = (x, digits = 4) => {
    if (x === null || x === undefined || Number.isNaN(x)) return "–";
    const a = Math.abs(x);
    if (a !== 0 && (a < 1e-3 || a >= 1e10)) return x.toExponential(2).replace("e+", "e");
    if (Number.isInteger(x)) return x.toLocaleString("en-US");
    return x.toLocaleString("en-US", { maximumSignificantDigits: digits });
  };
  const percent = (x) => number(100 * x) + " %";
  const bytes = (x) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let i = 0;
    while (x >= 1000 && i < units.length - 1) { x /= 1024; i++; }
    return number(x, 3) + " " + units[i];
  };
  const channels = (c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16));
  const mix = (ramp, t) => {
    const at = Math.min(Math.max(t, 0), 1) * (ramp.length - 1), i = Math.min(Math.floor(at), ramp.length - 2);
    const a = channels(ramp[i]), b = channels(ramp[i + 1]);
    return "#" + a.map((x, k) => Math.round(x + (b[k] - x) * (at - i)).toString(16).padStart(2, "0")).join("");
  };
  const readable = (c) => {
    const [r, g, b] = channels(c).map((x) => { x /= 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.19 ? "#14171b" : "#ffffff";
  };
  const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  // A tooltip is an element whose lines are text.
  const tip = (...lines) => {
    const e = document.createElement("div");
    e.className = "tip";
    lines.filter((l) => l !== undefined && l !== "").forEach((l, i) => {
      const line = document.createElement(i === 0 ? "b" : "div");
      line.textContent = l;
      e.append(line);
    });
    return e;
  };

  const style = () => ({
    ink: css("--ink"), soft: css("--soft"), line: css("--line"), panel: css("--panel"), faint: css("--faint"), bad: css("--bad"),
    colors: ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"].map(css), ramp: list("--ramp"), signs: list("--signs"),
    font: getComputedStyle(document.body).fontFamily,
  });

  const base = (s, spec) => ({
    animation: false, color: s.colors, backgroundColor: "transparent",
    textStyle: { fontFamily: s.font, color: s.ink, fontSize: 12 },
    aria: { enabled: true, label: { description: spec.title + ". " + spec.about } },
    tooltip: {
      backgroundColor: s.panel, borderColor: s.line, borderWidth: 1, padding: [6, 10], confine: true, transitionDuration: 0,
      textStyle: { color: s.ink, fontSize: 12.5 }, extraCssText: "box-shadow: 0 4px 18px rgb(0 0 0 / .16); border-radius: 7px;",
    },
  });
  const axis = (s, name, more) => ({
    name, nameLocation: "middle", nameTextStyle: { color: s.soft, fontSize: 12 }, nameGap: 28,
    axisLine: { onZero: false, lineStyle: { color: s.line } }, axisTick: { show: false }, splitLine: { lineStyle: { color: s.line, opacity: .7 } },
    axisLabel: { color: s.soft, fontSize: 11, hideOverlap: true, formatter: (x) => (typeof x === "number" ? number(x) : x) }, ...more,
  });
  // The name of a vertical axis stands above it, where it can be read.
  const upright = (s, name, more, right) => axis(s, name, {
    nameLocation: "end", nameGap: 9, nameTextStyle: { color: s.soft, fontSize: 12, align: right ? "right" : "left" }, ...more,
  });
  const legend = (s, names) => ({
    data: names, top: 0, left: 0, type: "plain", icon: "roundRect", itemWidth: 12, itemHeight: 4, itemGap: 16, textStyle: { color: s.soft, fontSize: 12 },
  });
  const bounds = (s, list) => list && list.length ? {
    silent: true, symbol: "none", animation: false, lineStyle: { color: s.soft, type: "dashed", width: 1 },
    label: { color: s.soft, fontSize: 11, position: "end", formatter: (p) => p.name },
    data: list.map((b) => ({ name: b.name, [b.vertical ? "xAxis" : "yAxis"]: b.at })),
  } : undefined;
  // The room that the names of bounds take on the right.
  const beside = (list, least) => list && list.length ? Math.max(least, ...list.map((b) => b.vertical ? 0 : 14 + 6.4 * b.name.length)) : least;
  // How many lines the names of a legend take.
  const legendLines = (names, width) => names.length < 2 ? 0 : Math.ceil(names.reduce((n, x) => n + 34 + 6.6 * x.length, 0) / Math.max(width, 200));

  const kinds = {
    treemap(spec, s) {
      const d = spec.data;
      let low = Infinity, high = -Infinity;
      const range = (n) => {
        if (n.children) n.children.forEach(range);
        else if (typeof n.color === "number") { low = Math.min(low, n.color); high = Math.max(high, n.color); }
      };
      d.nodes.forEach(range);
      const plain = !d.color || low > high;
      const log = low > 0 && high > 3 * low, of = log ? Math.log : (x) => x; // a few small tensors take many bits
      const place = (x) => high > low ? (of(x) - of(low)) / (of(high) - of(low)) : .5;
      const from = mix(s.ramp, .12), shades = [from, ...s.ramp.slice(1)];
      const node = (n) => {
        if (n.children && n.children.length) {
          return { name: n.name, value: n.value, children: n.children.map(node), note: n.note, itemStyle: { color: s.panel, borderColor: s.line } };
        }
        const t = plain || typeof n.color !== "number" ? null : place(n.color);
        const c = t === null ? mix([s.faint.length === 7 ? s.faint : "#888888", s.colors[0]], plain ? .55 : .15) : mix(shades, t);
        return { name: n.name, value: n.value, shade: n.color, note: n.note, itemStyle: { color: c }, label: { color: readable(c) } };
      };
      const total = d.nodes.reduce((sum, n) => sum + n.value, 0);
      const amount = (v) => d.unit === "bytes" ? bytes(v) + " (" + number(v) + " bytes)" : number(v) + " " + d.unit;
      const option = base(s, spec);
      option.tooltip.formatter = (p) => p.data && tip(p.treePathInfo.slice(1).map((x) => x.name).join(" / ") || p.name,
        amount(p.value) + ", " + percent(p.value / total), typeof p.data.shade === "number" ? number(p.data.shade) + " " + d.color : "", p.data.note);
      option.series = [{
        type: "treemap", data: d.nodes.map(node), roam: false, left: 0, right: 0, top: 2, bottom: 30, visibleMin: 40, childrenVisibleMin: 120, nodeClick: "zoomToNode",
        breadcrumb: { bottom: 0, height: 22, left: 0, itemStyle: { color: s.faint, borderColor: s.line, textStyle: { color: s.ink } }, emphasis: { itemStyle: { color: s.line, textStyle: { color: s.ink } } } },
        label: { fontSize: 11, formatter: (p) => p.name, overflow: "truncate", padding: 2 },
        upperLabel: { show: true, height: 19, color: s.soft, fontSize: 11, formatter: (p) => p.name, overflow: "truncate" },
        itemStyle: { borderColor: s.panel, borderWidth: 1, gapWidth: 1 },
        levels: [{ upperLabel: { show: false }, itemStyle: { borderWidth: 0, gapWidth: 3 } }, { itemStyle: { borderColor: s.faint, borderWidth: 2, gapWidth: 1 } }, { itemStyle: { borderColor: s.faint, borderWidth: 1, gapWidth: 1 } }],
      }];
      if (!plain) option.scale = { ramp: shades, low: number(low), high: number(high), unit: d.color + (log ? ", logarithmic" : "") };
      option.height = 400;
      return option;
    },

    lines(spec, s, width) {
      const d = spec.data, option = base(s, spec);
      const names = d.curves.map((c) => c.name), lines = legendLines(names, width);
      const value = d.percent ? percent : number;
      option.tooltip.trigger = d.curves.some((c) => c.points) ? "item" : "axis";
      option.tooltip.formatter = (p) => Array.isArray(p) ?
        tip(d.x + " " + number(p[0].value[0]), ...p.map((q) => q.seriesName + ": " + (d.curves[q.seriesIndex].right ? number : value)(q.value[1]))) :
        tip((d.curves[p.seriesIndex].labels || [])[p.dataIndex] || p.seriesName, d.x + ": " + number(p.value[0]), (d.curves[p.seriesIndex].right ? d.right : d.y) + ": " + value(p.value[1]));
      option.legend = lines ? legend(s, names) : { show: false };
      option.grid = { left: 4, right: d.right ? 4 : beside(d.bounds, d.log_x ? 34 : 18), top: 26 + 22 * lines, bottom: 28, containLabel: true };
      const whole = d.curves.every((c) => c.x.every((x) => Number.isInteger(x)));
      option.xAxis = axis(s, d.x, { type: d.log_x ? "log" : "value", scale: true, min: d.log_x ? undefined : "dataMin", max: d.log_x ? undefined : "dataMax", minInterval: whole ? 1 : 0, splitLine: { show: false } });
      const y = (name, share, right) => upright(s, name, { type: d.log_y ? "log" : "value", scale: true, axisLabel: { color: s.soft, fontSize: 11, formatter: share ? percent : (x) => number(x) } }, right);
      option.yAxis = [y(d.y, d.percent)];
      if (d.right) option.yAxis.push({ ...y(d.right, false, true), splitLine: { show: false } });
      option.series = d.curves.map((c, k) => ({
        type: "line", name: c.name, data: c.x.map((x, i) => [x, c.y[i]]), yAxisIndex: c.right ? 1 : 0, lineStyle: { width: 2, type: c.dashed ? [5, 4] : "solid" },
        showSymbol: !!c.points || c.x.length < 40, symbol: "circle", symbolSize: c.points ? 8 : 4, connectNulls: false, markLine: k === 0 ? bounds(s, d.bounds) : undefined,
      }));
      return option;
    },

    histogram(spec, s, width) {
      const d = spec.data, option = base(s, spec), names = d.counts.map((c) => c.name), lines = legendLines(names, width);
      const middle = d.edges.slice(0, -1).map((x, i) => (x + d.edges[i + 1]) / 2);
      option.tooltip.trigger = "axis";
      option.tooltip.axisPointer = { type: "none" };
      option.tooltip.formatter = (p) => {
        const i = p[0].dataIndex;
        return tip(number(d.edges[i]) + " to " + number(d.edges[i + 1]), ...d.counts.map((c) => c.name + ": " + number(c.n[i])));
      };
      option.legend = lines ? legend(s, names) : { show: false };
      option.grid = { left: 4, right: 18, top: 26 + 22 * lines, bottom: 28, containLabel: true };
      option.xAxis = axis(s, d.x, { type: "value", min: d.edges[0], max: d.edges[d.edges.length - 1], splitLine: { show: false } });
      option.xAxis.axisLabel.showMinLabel = option.xAxis.axisLabel.showMaxLabel = false;
      option.yAxis = upright(s, "values", { type: d.log_y ? "log" : "value", min: d.log_y ? .5 : 0 });
      option.series = d.counts.map((c, k) => ({
        type: "line", name: c.name, step: "middle", showSymbol: false, data: middle.map((x, i) => [x, d.log_y && !c.n[i] ? null : c.n[i]]),
        lineStyle: { width: k ? 1.6 : 1.4 }, areaStyle: { opacity: k ? .16 : .22, origin: "start" },
        markLine: k === 0 && d.ticks ? {
          silent: true, symbol: "none", animation: false, lineStyle: { color: s.soft, width: 1, opacity: .65, type: [2, 3] }, label: { show: false },
          data: d.ticks.map((x) => ({ xAxis: x })),
        } : undefined,
      }));
      return option;
    },

    heatmap(spec, s, width) {
      const d = spec.data, option = base(s, spec), shades = d.signs ? s.signs : s.ramp;
      const value = (v) => d.low + v / 254 * (d.high - d.low);
      const stacked = width < 300 * d.panes.length, across = stacked ? 1 : d.panes.length;
      const named = d.cells && d.cells.text ? d.cells : null, rowNames = d.cells && d.cells.rows;
      const left = rowNames ? Math.min(width / 3, 240, 26 + 6.8 * Math.max(...rowNames.map((x) => x.length))) : 52, gap = 30;
      const room = (width - across * left - (across - 1) * gap - 12) / across;
      // Names of columns lie level where they have room, in a few lines.
      const letters = named ? Math.max(...named.cols.map((x) => x.length)) : 0, cell = named ? room / named.cols.length - 8 : 0, level = cell >= 80;
      const top = named ? 8 : 26, bottom = !named ? 42 : level ? 16 + 14 * Math.ceil(7 * letters / cell + .4) : Math.min(150, 16 + 5 * letters);
      const columns = { color: s.soft, fontSize: 11, interval: 0, ...(level ? { width: cell, overflow: "break", lineHeight: 14 } : { rotate: 35, width: 160, overflow: "truncate" }) };
      Object.assign(option, { grid: [], xAxis: [], yAxis: [], series: [], title: [] });
      let down = 0;
      d.panes.forEach((p, k) => {
        const w = rowNames ? room : Math.min(room, 440), h = named ? 26 * p.rows : rowNames ? 15 * p.rows : Math.min(440, Math.max(90, w * p.rows / p.cols));
        const x = left + (stacked ? 0 : k * (left + room + gap)), y = top + (stacked ? down : 0);
        down += h + top + bottom;
        option.height = stacked ? down : Math.max(option.height || 0, h + top + bottom);
        option.grid.push({ left: x, top: y, width: w, height: h });
        if (!named) option.title.push({ text: p.name, left: x, top: y - 24, textStyle: { fontSize: 12.5, fontWeight: 600, color: s.ink } });
        const first = (i, cells, total) => Math.floor(i * (total || cells) / cells);
        const labelled = (names, cells, total) => names || Array.from({ length: cells }, (_, i) => String(first(i, cells, total)));
        const ax = (name, data, more) => axis(s, name, { type: "category", gridIndex: k, data, splitLine: { show: false }, axisLine: { show: false }, ...more });
        option.xAxis.push(ax(named ? "" : d.x, labelled(named && named.cols, p.cols, p.total_cols), named ? { axisLabel: columns } : {}));
        option.yAxis.push(ax(rowNames ? "" : d.y, labelled(rowNames, p.rows, p.total_rows), { inverse: true, nameGap: 38, ...(rowNames ? { axisLabel: { color: s.soft, fontSize: 11, interval: 0, width: left - 16, overflow: "truncate" } } : { axisLabel: { color: s.soft, fontSize: 11, interval: Math.max(0, Math.ceil(15 * p.rows / h) - 1) } }) }));
        const cells = unpack(p.cells), data = [];
        cells.forEach((v, i) => {
          if (v === 255) return;
          const item = [i % p.cols, Math.floor(i / p.cols), v];
          data.push(named ? { value: item, label: { color: readable(mix(shades, v / 254)) } } : item);
        });
        option.series.push({
          type: "heatmap", name: p.name, xAxisIndex: k, yAxisIndex: k, data, progressive: 0, itemStyle: named ? { borderColor: s.panel, borderWidth: 2 } : {},
          label: named ? { show: true, fontSize: 11, formatter: (q) => named.text[q.value[1] * p.cols + q.value[0]] } : { show: false },
          emphasis: { itemStyle: { borderColor: s.ink, borderWidth: 1 } },
        });
      });
      option.visualMap = { show: false, min: 0, max: 254, dimension: 2, inRange: { color: shades } };
      option.tooltip.formatter = (q) => {
        const p = d.panes[q.seriesIndex], [j, i, v] = q.value;
        const span = (i, cells, total) => {
          const from = Math.ceil(i * (total || cells) / cells), to = Math.ceil((i + 1) * (total || cells) / cells) - 1;
          return from < to ? from + "–" + to : String(from);
        };
        if (rowNames && !named) return tip(rowNames[i], d.x + " " + span(j, p.cols, p.total_cols), number(value(v), 3) + " " + d.unit);
        if (named) return tip(named.rows[i] + " · " + named.cols[j], named.text[i * p.cols + j], d.unit ? number(value(v), 3) + " " + d.unit : "");
        return tip(p.name, d.y + " " + span(i, p.rows, p.total_rows) + ", " + d.x + " " + span(j, p.cols, p.total_cols), number(value(v), 3) + " " + d.unit + (p.total_rows ? " (largest)" : ""));
      };
      option.scale = { ramp: shades, low: number(d.low, 3), high: number(d.high, 3), unit: d.unit };
      return option;
    },

    scatter(spec, s, width) {
      const d = spec.data, option = base(s, spec), names = d.groups.map((c) => c.name), lines = legendLines(names, width);
      option.tooltip.formatter = (p) => tip((d.groups[p.seriesIndex].labels || [])[p.dataIndex] || p.seriesName, d.x + ": " + number(p.value[0]), d.y + ": " + number(p.value[1]));
      // There are six colours, and after these other symbols.
      const symbol = (k) => ["circle", "triangle", "diamond"][Math.floor(k / 6) % 3], few = d.groups.every((c) => c.x.length <= 20);
      option.legend = lines ? { ...legend(s, names), ...(few ? { icon: undefined, itemHeight: 9 } : {}) } : { show: false };
      option.grid = { left: 4, right: beside(d.bounds, d.log_x ? 34 : 18), top: 26 + 22 * lines, bottom: 28, containLabel: true };
      option.xAxis = axis(s, d.x, { type: d.log_x ? "log" : "value", scale: true });
      option.yAxis = upright(s, d.y, { type: d.log_y ? "log" : "value", scale: true });
      // Where points of several groups lie on each other, those below stand out as rings.
      const span = Math.max(...d.groups.flatMap((c) => c.y)) - Math.min(...d.groups.flatMap((c) => c.y));
      const covers = (k, v) => d.groups.slice(k + 1).filter((c) => c.x.some((x, i) => Math.abs(x - v[0]) <= .01 * Math.abs(v[0]) && Math.abs(c.y[i] - v[1]) <= .01 * span)).length;
      option.series = d.groups.map((c, k) => ({
        type: "scatter", name: c.name, symbol: symbol(k), data: c.x.map((x, i) => [x, c.y[i]]), symbolSize: c.x.length > 400 ? 4 : few ? (v) => 10 + 6 * covers(k, v) : 6, itemStyle: { opacity: few ? .9 : .7 }, markLine: k === 0 ? bounds(s, d.bounds) : undefined,
      }));
      return option;
    },

    bars(spec, s, wide) {
      const d = spec.data, option = base(s, spec), value = d.percent ? percent : number;
      const span = (i) => d.total ? Math.ceil(i * d.total / d.values.length) + "–" + (Math.ceil((i + 1) * d.total / d.values.length) - 1) : String(i);
      option.tooltip.trigger = "axis";
      option.tooltip.axisPointer = { type: "shadow", shadowStyle: { color: s.line, opacity: .4 } };
      option.tooltip.formatter = (p) => tip(d.names ? d.names[p[0].dataIndex] : d.x + " " + span(p[0].dataIndex), d.y + ": " + value(p[0].value) + (d.total ? " (lowest)" : ""));
      const long = d.names && d.names.length > 3 && Math.max(...d.names.map((x) => x.length)) > 10;
      // The first name begins to the left of its bar.
      const lean = long ? Math.min(110, 6.2 * d.names[0].length) * .82 - 34 - wide / d.values.length / 2 : 0;
      option.grid = { left: Math.max(4, lean), right: beside(d.bounds, 18), top: 26, bottom: long ? 8 : 28, containLabel: true };
      const label = { color: s.soft, fontSize: 11 };
      option.xAxis = axis(s, long ? "" : d.x, { type: "category", data: d.names || d.values.map((_, i) => d.total ? String(Math.ceil(i * d.total / d.values.length)) : String(i)), splitLine: { show: false }, axisLabel: long ? { ...label, rotate: 35, width: 110, overflow: "truncate", interval: Math.ceil(d.values.length / Math.max(1, wide / 22)) - 1 } : { ...label, hideOverlap: true } });
      option.yAxis = upright(s, d.y, { type: "value", min: d.low, max: d.high, axisLabel: { ...label, formatter: (x) => value(x) } }); // not its index, too
      option.series = [{ type: "bar", data: d.values, barMaxWidth: 28, barCategoryGap: d.values.length > 60 ? "0%" : "22%", itemStyle: { color: s.colors[0] }, markLine: bounds(s, d.bounds) }];
      return option;
    },
  };

  const scaleOf = (figure, scale) => {
    let e = one(".scale", figure);
    if (!scale) { if (e) e.remove(); return; }
    if (!e) {
      e = document.createElement("div");
      e.className = "scale";
      e.append(document.createElement("span"), document.createElement("i"), document.createElement("span"), document.createElement("span"));
      figure.append(e);
    }
    e.children[0].textContent = scale.low;
    e.children[1].style.background = "linear-gradient(90deg," + scale.ramp.join(",") + ")";
    e.children[2].textContent = scale.high;
    e.children[3].textContent = scale.unit;
  };

  // draw draws a chart, or draws it again. A width is for paper.
  const draw = (spec, width) => {
    const figure = document.getElementById(spec.id);
    if (!figure || figure.hidden) return;
    const box = one(".canvas", figure), wide = width || box.clientWidth;
    if (!wide) return;
    const option = kinds[spec.kind](spec, style(), wide), { scale } = option;
    const height = option.height || (width ? (width > 400 ? 270 : 220) : 0);
    delete option.scale;
    delete option.height;
    if (width) option.series.filter((x) => x.breadcrumb).forEach((x) => { x.breadcrumb = { show: false }; }); // nobody clicks on paper
    box.style.height = height ? Math.round(height) + "px" : "";
    let chart = drawn.get(spec.id);
    if (!chart) {
      chart = echarts.init(box, null, { devicePixelRatio: Math.max(2, window.devicePixelRatio || 1) });
      chart.on("finished", () => { figure.dataset.drawn = "yes"; });
      drawn.set(spec.id, chart);
    }
    chart.resize({ width: width || undefined, height: height || undefined });
    chart.setOption(option, { notMerge: true });
    scaleOf(figure, scale);
    figure.dataset.width = wide;
  };
  const byId = (id) => specs.find((x) => x.id === id);
  const again = (width) => specs.forEach((x) => { if (drawn.has(x.id)) draw(x, width); });

  // What is near is drawn at once, and the rest when there is time.
  const waiting = new Set(specs.map((x) => x.id));
  const seen = new IntersectionObserver((entries) => entries.forEach((e) => {
    if (e.isIntersecting && waiting.delete(e.target.id)) draw(byId(e.target.id));
  }), { rootMargin: "300px" });
  const later = window.requestIdleCallback || ((f) => setTimeout(f, 30));
  const next = () => {
    const id = [...waiting].find((x) => !document.getElementById(x).hidden);
    if (id === undefined) return;
    waiting.delete(id);
    draw(byId(id));
    later(next);
  };
  specs.forEach((x) => seen.observe(document.getElementById(x.id)));
  later(next);

  let pending;
  window.addEventListener("resize", () => {
    clearTimeout(pending);
    pending = setTimeout(() => specs.forEach((x) => {
      const figure = document.getElementById(x.id);
      if (drawn.has(x.id) && String(one(".canvas", figure).clientWidth) !== figure.dataset.width) draw(x);
    }), 120);
  });

  // Light and dark.
  const stored = { get() { try { return localStorage.getItem("ropewalk-theme"); } catch { return null; } }, set(v) { try { localStorage.setItem("ropewalk-theme", v); } catch { /* a browser that keeps nothing */ } } };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  if (stored.get() === "light" || stored.get() === "dark") root.dataset.theme = stored.get();
  one("#theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    stored.set(root.dataset.theme);
    again();
  });
  dark.addEventListener("change", () => again());

  // Paper is white, and as wide as paper.
  let before;
  const broad = (x) => ["heatmap", "treemap"].includes(x.kind);
  window.addEventListener("beforeprint", () => {
    before = root.dataset.theme || "";
    root.dataset.theme = "light";
    // Two charts stand side by side, but those that need room and those that would stand alone.
    all("figure.chart").forEach((f) => f.classList.add("broad"));
    all(".charts").forEach((c) => {
      let left = null;
      [...c.children].forEach((f) => {
        if (f.classList.contains("wide") || broad(byId(f.id))) { left = null; return; }
        if (left) { left.classList.remove("broad"); f.classList.remove("broad"); left = null; } else left = f;
      });
    });
    specs.forEach((x) => {
      const figure = document.getElementById(x.id);
      if (!figure) return;
      waiting.delete(x.id);
      draw(x, figure.classList.contains("broad") ? 640 : 306);
    });
  });
  window.addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before; else delete root.dataset.theme;
    all("figure.broad").forEach((f) => f.classList.remove("broad"));
    again();
  });

  all(".choice").forEach((c) => {
    const figures = all("figure", c);
    one("select", c).addEventListener("change", (e) => figures.forEach((f, i) => {
      f.hidden = i !== Number(e.target.value);
      if (!f.hidden) { waiting.delete(f.id); draw(byId(f.id)); }
    }));
  });

  // Tables.
  const words = new Intl.Collator("en", { numeric: true });
  all(".table").forEach((t) => {
    const body = one("tbody", t), heads = all("th", t), rows = () => all("tr", body), more = one(".more", t);
    const showAll = () => { t.classList.remove("short"); if (more) more.remove(); };
    if (more) more.addEventListener("click", showAll);
    heads.forEach((th, i) => one("button", th).addEventListener("click", () => {
      const down = th.getAttribute("aria-sort") !== "descending" && (th.hasAttribute("aria-sort") || !th.classList.contains("l"));
      heads.forEach((x) => x.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (r) => { const k = r.cells[i].dataset.k; return k === undefined ? null : Number(k); };
      const sorted = rows().map((r) => [r, key(r), r.cells[i].textContent]).sort((a, b) => {
        if (a[1] === null && b[1] === null) return (down ? -1 : 1) * words.compare(a[2], b[2]);
        if (a[1] === null || b[1] === null) return a[1] === null ? 1 : -1; // no number comes last
        return (down ? -1 : 1) * (a[1] - b[1]);
      });
      body.append(...sorted.map((x) => x[0]));
    }));
    const filter = one("input", t);
    if (filter) filter.addEventListener("input", () => {
      const want = filter.value.toLowerCase();
      showAll();
      rows().forEach((r) => { r.hidden = want !== "" && !r.textContent.toLowerCase().includes(want); });
    });
  });

  // A page that is served while a run goes on.
  const live = root.dataset.live, badge = one("#live");
  if (live) {
    let last = "";
    // Numbers and rows are taken from the page as it is now.
    const renew = async () => {
      const page = new DOMParser().parseFromString(await (await fetch(location.href, { cache: "no-store" })).text(), "text/html");
      for (const q of [".facts", "tbody"]) {
        const now = all(q, page), old = all(q);
        if (now.length !== old.length) { location.reload(); return; }
        old.forEach((e, i) => e.replaceChildren(...now[i].children));
      }
    };
    const ask = async () => {
      try {
        const answer = await fetch(live, { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.statusText);
        const text = await answer.text();
        badge.classList.remove("lost");
        if (text !== last) {
          const now = JSON.parse(text);
          if (now.length !== specs.length) { location.reload(); return; }
          specs = now;
          if (last) { again(); await renew(); }
          last = text;
          badge.textContent = "live, " + new Date().toLocaleTimeString();
        }
      } catch {
        badge.classList.add("lost");
        badge.textContent = "not reachable";
      }
      setTimeout(ask, 2000);
    };
    setTimeout(ask, 500);
  }
})();

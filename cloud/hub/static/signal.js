// The signal of one node from its rows phase/N/measures: split monitor and coordination diagram. Drawn as SVG.
"use strict";
const signalMeasures = (() => {
  const SVG = "http://www.w3.org/2000/svg", SLOT_S = 5, SLOTS = 24, REASONS = [["gap_out", "gap-out"], ["max_out", "max-out"], ["force_off", "force-off"]];
  const short = (x, digits = 1) => x.toLocaleString("en-US", { maximumFractionDigits: digits });
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }
  function shape(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }
  const sum = (rows, name) => rows.reduce((total, row) => total + (row.detail[name] ?? 0), 0);
  // A mean over intervals is over what it was made of: vehicles, greens, cycles.
  function mean(rows, name, weight) {
    const those = rows.filter((row) => row.detail[name] !== undefined && row.detail[weight]);
    const n = sum(those, weight);
    return n ? those.reduce((total, row) => total + row.detail[name] * row.detail[weight], 0) / n : null;
  }
  function reasonsBar(rows) {
    const total = REASONS.reduce((n, [name]) => n + sum(rows, name), 0);
    if (!total) return element("td", {}, "–");
    const bar = shape("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "reasons", role: "img" });
    let x = 0;
    const words = REASONS.map(([name, word]) => {
      const share = 100 * sum(rows, name) / total;
      bar.append(shape("rect", { x, y: 0, width: share, height: 10, class: name }));
      x += share;
      return share ? `${word} ${short(share, 0)} %` : null;
    }).filter(Boolean);
    bar.setAttribute("aria-label", words.join(", "));
    return element("td", {}, bar, element("small", {}, words.join(" · ")));
  }
  const cell = (value, digits = 1, unit = "") => element("td", { class: "number" }, value === null ? "–" : `${short(value, digits)}${unit}`);
  function splitRow(phase, rows) {
    const judged = sum(rows, "judged"), failures = sum(rows, "split_failures"), arrivals = sum(rows, "arrivals"), greens = sum(rows, "greens");
    const longest = Math.max(0, ...rows.map((row) => row.detail.longest_s ?? 0));
    return element("tr", { "data-phase": phase },
      element("td", {}, element("strong", {}, `phase ${phase}`)),
      cell(greens, 0), element("td", { class: "number" }, greens ? `${short(mean(rows, "green_s", "greens"))} s` : "–", element("small", {}, greens ? `longest ${short(longest)} s` : "")),
      reasonsBar(rows),
      element("td", { class: "number" }, judged ? `${failures}` : "–", element("small", {}, judged ? `of ${judged} cycles` : "")),
      cell(arrivals ? 100 * sum(rows, "on_green") / arrivals : null, 0, " %"), cell(mean(rows, "platoon_ratio", "arrivals"), 2), cell(mean(rows, "delay_s", "arrivals"), 1, " s"),
      element("td", { class: "number" }, `${sum(rows, "yellow")} / ${sum(rows, "red")}`),
      element("td", { class: "number" }, sum(rows, "peds") ? `${short(mean(rows, "ped_delay_s", "peds"))} s` : "–", element("small", {}, sum(rows, "peds") ? `${sum(rows, "peds")} walks` : "")));
  }
  function splitMonitor(phases) {
    const heads = ["Phase", "Greens", "Green, mean", "Ended by", "Split failures", "Arrivals on green", "Platoon ratio", "Delay a vehicle", "On yellow / red", "Pedestrians’ delay"];
    return element("table", { class: "splits" },
      element("thead", {}, element("tr", {}, ...heads.map((h, i) => element("th", { scope: "col", class: i === 0 || i === 3 ? null : "number" }, h)))),
      element("tbody", {}, ...[...phases].map(([phase, rows]) => splitRow(phase, rows))));
  }
  // Each column is an interval, each row five seconds of the cycle from the beginning of red; the darker, the more arrive.
  function diagram(rows, clock) {
    const width = 960, height = 262, left = 46, bottom = 26, plot = { w: width - left - 8, h: height - bottom - 8 };
    const begin = rows[0].at.wall_ms - rows[0].duration_s * 1000, end = rows.at(-1).at.wall_ms;
    const x = (ms) => left + plot.w * (ms - begin) / (end - begin);
    const top = Math.min(SLOTS * SLOT_S, 10 * Math.ceil(1.1 * Math.max(30, ...rows.map((row) => row.detail.cycle_s ?? 0)) / 10));
    const y = (s) => 8 + plot.h * (1 - Math.min(s, top) / top);
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "diagram", role: "img" });
    const slots = rows.map((row) => String(row.detail.profile ?? "").split(" ").map(Number));
    const most = Math.max(1, ...slots.flatMap((s) => s.slice(0, top / SLOT_S)));
    rows.forEach((row, i) => {
      const from = row.at.wall_ms - row.duration_s * 1000;
      slots[i].forEach((n, slot) => {
        if (n && slot * SLOT_S < top) svg.append(shape("rect", { class: "arrivals", x: x(from), width: Math.max(0.5, x(row.at.wall_ms) - x(from) - 0.4), y: y((slot + 1) * SLOT_S), height: y(slot * SLOT_S) - y((slot + 1) * SLOT_S) - 0.4, opacity: 0.12 + 0.88 * n / most }));
      });
    });
    for (const [name, kind] of [["green_begins_s", "green"], ["yellow_begins_s", "yellow"], ["cycle_s", "red"]]) {
      let path = "", before = null;
      for (const row of rows) {
        const s = row.detail[name], from = row.at.wall_ms - row.duration_s * 1000;
        if (s === undefined || s > top) { before = null; continue; }
        path += `${before === from ? "L" : "M"}${x(from).toFixed(1)} ${y(s).toFixed(1)}L${x(row.at.wall_ms).toFixed(1)} ${y(s).toFixed(1)}`;
        before = row.at.wall_ms;
      }
      svg.append(shape("path", { d: path, class: `begins ${kind}` }));
    }
    for (let s = 0; s <= top; s += top > 60 ? 30 : 10) {
      svg.append(shape("line", { x1: left - 4, x2: left, y1: y(s), y2: y(s), class: "axis" }), shape("text", { x: left - 8, y: y(s) + 4, "text-anchor": "end" }, `${s} s`));
    }
    for (let i = 0; i <= 6; i++) {
      const ms = begin + (end - begin) * i / 6;
      svg.append(shape("text", { x: x(ms), y: height - 8, "text-anchor": i === 0 ? "start" : i === 6 ? "end" : "middle" }, clock(ms)));
    }
    svg.append(shape("path", { d: `M${left} 8V${8 + plot.h}H${left + plot.w}`, class: "axis" }));
    return svg;
  }
  return {
    phases: (datastreams) => datastreams.map((d) => /^phase\/(\d+)\/measures$/.exec(d.datastream)).filter(Boolean).map((m) => Number(m[1])).sort((a, b) => a - b),
    splitMonitor, diagram, coordinated: (rows) => rows.some((row) => row.detail.profile && row.detail.cycle_s),
  };
})();

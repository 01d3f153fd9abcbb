// Polls the hub's read API and changes only what changed: no flicker, selections and scroll positions stay.
"use strict";
(() => {
  const POLL_MS = 3000;
  const byId = (id) => document.getElementById(id);
  const choice = { node: null, datastream: "intersection/volume", hours: 24 };
  let plot = null, plotted = "", lastSeen = 0;

  async function ask(path) {
    const answer = await fetch(path, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  }

  // --- words -----------------------------------------------------------------------------------
  const count = (n) => n.toLocaleString("en-US");
  const short = (x) => x.toLocaleString("en-US", { maximumFractionDigits: 1 });
  function age(seconds) {
    if (seconds === null || seconds === undefined) return "never";
    if (seconds < 90) return `${Math.round(seconds)} s ago`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
    return seconds < 129600 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
  }
  // Each node's times are shown as its own street's clocks show them.
  const zones = {}, formats = {};
  function zoneOf(node) {
    const zone = zones[node] || "UTC";
    try {
      formats[zone] ??= new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "short" });
      return zone;
    } catch { // a zone that this browser does not know
      zones[node] = "UTC";
      return zoneOf(node);
    }
  }
  function when(ms, node) {
    return ms === null || ms === undefined ? "time unknown" : formats[zoneOf(node)].format(new Date(ms));
  }
  const unitWord = (unit) => ({ "{vehicle}": "vehicles", "1": "", "s": "s", "%": "%" }[unit] ?? (unit || "").replace(/[{}]/g, ""));

  // --- DOM: built with textContent only, replaced only when different ----------------------------
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
    made.append(...children.filter((c) => c !== null));
    return made;
  }
  const tag = (word, kind = word) => element("span", { class: `tag ${kind}` }, word);
  function text(id, value) {
    const target = byId(id);
    if (target.textContent !== value) target.textContent = value;
  }
  function fill(target, children) {
    const old = [...target.children];
    children.forEach((child, i) => {
      if (i >= old.length) target.append(child);
      else if (!old[i].isEqualNode(child)) old[i].replaceWith(child);
    });
    old.slice(children.length).forEach((extra) => extra.remove());
  }

  // --- identity and commissioning of the chosen node ------------------------------------------------
  const moved = (node) => node.machine && node.machine_seen && node.machine !== node.machine_seen;
  const typed = (id) => (id ? id.slice(0, 12) : "no fingerprint");
  const hubTime = (ms) => `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const known = { keys: null, record: null };
  async function keep(part, version, path) { // asked again only when it is another one
    if (known[part]?.version !== version) known[part] = { version, answer: await ask(path) };
    return known[part].answer;
  }
  function warning(node) {
    const command = (id) => element("code", {}, `wayside replace ${node.node}${id ? ` --accept-hardware ${id}` : ""}`);
    if (node.clone) {
      const { settled, instances, since_ms: since } = node.clone;
      return element("div", { class: "warning" },
        element("p", {}, element("strong", {}, "A copied card: "), `two computers use the key of ${node.node} at once, since ${hubTime(since)}. `,
          settled ? "The enrolled one works on, the copy is refused." : "What both send is stored; neither is given models until it is decided."),
        element("ul", {}, ...instances.map((i) => element("li", {},
          `${i.machine && i.machine === node.machine ? "enrolled: " : ""}computer ${typed(i.machine)}, boot ${typed(i.boot)}, last heard ${hubTime(i.seen_ms)}; if this one stays: `, command(typed(i.machine || i.boot))))),
        element("p", {}, "Turn the other one off. Or shut every copy out with a new key: remove node.key from the right one and enrol it with the token of ", command(null)));
    }
    if (moved(node)) {
      return element("div", { class: "warning" }, element("p", {}, element("strong", {}, "Other hardware: "),
        `${node.node} is enrolled on computer ${typed(node.machine)} and syncs from ${typed(node.machine_seen)}. If the card was moved on purpose: `, command(typed(node.machine_seen))));
    }
    return null;
  }
  function fact(word, ...what) { return element("div", {}, element("dt", {}, word), element("dd", {}, ...what)); }
  function sensorRow(s) {
    return element("tr", {}, element("td", {}, s.datastream), element("td", {}, `${s.kind} ${s.channel}`), element("td", {}, tag(s.outcome)),
      element("td", { class: "number" }, count(s.actuations || 0)), element("td", {}, s.polarity && s.polarity !== "unknown" ? s.polarity : "–"),
      element("td", { class: "said" }, [s.said, (s.elsewhere || []).length ? `moved instead: ${s.elsewhere.join(", ")}` : ""].filter(Boolean).join("; ") || "–"));
  }
  async function showIdentity(nodes) {
    const node = nodes.find((n) => n.node === choice.node);
    text("identity-title", node ? `${node.node}: identity and commissioning` : "Identity and commissioning");
    if (!node) return;
    const path = `/api/v1/nodes/${encodeURIComponent(node.node)}`;
    const { keys } = await keep("keys", `${node.node} ${node.key_since_ms} ${node.machine}`, `${path}/keys`);
    const past = keys.filter((k) => k.revoked_ms !== null);
    const facts = [
      fact("Site", node.site || "–"),
      fact("Enrolled", hubTime(node.enrolled_ms)),
      fact("Hardware", `${node.hardware || "unknown"}, ${node.machine ? `computer ${typed(node.machine)}` : "no fingerprint"}`),
      fact("Its key", node.key_since_ms ? `since ${hubTime(node.key_since_ms)}` : "–"),
      fact("Replaced", past.length ? element("ul", {}, ...past.slice(0, 5).map((k) => element("li", {}, `${hubTime(k.revoked_ms)}${k.reason ? `: ${k.reason}` : ""}`))) : "never")];
    const parts = [warning(node), element("dl", { class: "facts" }, ...facts)];
    if (node.commissioned) {
      const c = node.commissioned;
      const { records } = await keep("record", c.record_id, `${path}/commissioning?limit=1`);
      const record = JSON.parse(records[0].signed.record);
      const failed = (record.doctor || []).filter((d) => d.state === "fail" || d.state === "warn");
      parts.push(element("h3", {}, "Commissioned", tag(c.passed ? "passed" : "failed"),
        element("span", { class: "note" }, `by ${c.by}, ${c.finished_ms === null ? `received ${hubTime(c.received_ms)}` : when(c.finished_ms, node.node)}: ${c.sensors_passed} of ${c.sensors} sensors passed`)),
        element("div", { class: "scroll short" }, element("table", { class: "sensors" },
          element("thead", {}, element("tr", {}, ...["Datastream", "Channel", "Outcome", "Actuations", "Polarity", "Said"].map((h, i) => element("th", { scope: "col", class: i === 3 ? "number" : null }, h)))),
          element("tbody", {}, ...record.sensors.map(sensorRow)))));
      if (failed.length) parts.push(element("p", { class: "note" }, `Doctor said: ${failed.map((d) => `${d.check} (${d.state})${d.said ? `: ${d.said}` : ""}`).join("; ")}`));
      if (record.note) parts.push(element("p", { class: "note" }, `Note: ${record.note}`));
    } else parts.push(element("p", { class: "note" }, "Not commissioned yet: ", element("code", {}, "wayside commission"), " walks its sensors at the cabinet."));
    fill(byId("identity"), parts.filter((p) => p !== null));
  }

  // --- nodes ---------------------------------------------------------------------------------------
  function nodeRow(node) {
    const beat = node.heartbeat || {}, reported = beat.reported || {}, counters = beat.counters || {};
    const board = beat.board;
    const model = element("td", {}, element("strong", {}, reported.version ? `${reported.bundle} ${reported.version}` : "no model"));
    if (reported.refusal) {
      model.append(element("small", { class: "refusal" }, `refused ${reported.attempted ?? ""}: ${reported.reason ?? reported.refusal}`));
    } else if (node.desired && node.desired.version !== reported.version) {
      model.append(element("small", {}, `wanted: ${node.desired.version} (${reported.state ?? "idle"})`));
    } else if (reported.state && reported.state !== "idle") {
      model.append(element("small", {}, reported.state.replace("_", " ")));
    }
    const boardWord = !board ? "none" : !board.connected ? "not connected" : board.fail_safe ? "fixed-time plan" : "connected";
    const at = beat.at || {};
    const row = element("tr", { "data-node": node.node, tabindex: "0", "aria-selected": String(node.node === choice.node) },
      element("td", {}, element("strong", {}, node.node), element("small", {}, node.site || ""),
        node.clone ? element("small", { class: "refusal" }, "two computers use its key") : moved(node) ? element("small", { class: "refusal" }, "on other hardware") : null),
      element("td", {}, tag(node.health)),
      element("td", {}, age(node.age_s)),
      model,
      element("td", {}, reported.variant || "–", element("small", {}, reported.runtime || "")),
      element("td", {}, boardWord, element("small", {}, board && board.identity ? board.identity : "")),
      element("td", { class: "number" }, count(beat.backlog || 0)),
      element("td", { class: "number" }, count(node.stored), element("small", {}, node.duplicates ? `${count(node.duplicates)} twice` : "")),
      element("td", { class: "number" }, count(counters.readings_lost || 0), element("small", {}, counters.readings_received ? `of ${count((counters.readings_received || 0) + (counters.readings_lost || 0))}` : "")),
      element("td", {}, when(at.wall_ms, node.node), element("small", {}, at.clock || "")));
    return row;
  }
  function select(node) {
    if (!node || node === choice.node) return;
    choice.node = node;
    byId("choose-node").value = node;
    poll();
  }
  byId("nodes").tBodies[0].addEventListener("click", (event) => select(event.target.closest("tr")?.dataset.node));
  byId("nodes").tBodies[0].addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(event.target.closest("tr")?.dataset.node); }
  });
  function showNodes(nodes) {
    fill(byId("nodes").tBodies[0], nodes.map(nodeRow));
    document.querySelector("#nodes + .empty").hidden = nodes.length > 0;
    const inTouch = nodes.filter((n) => n.health === "fresh").length;
    text("total-nodes", `${inTouch} of ${nodes.length}`);
    const others = ["unhealthy", "late", "silent", "never"].map((h) => [nodes.filter((n) => n.health === h).length, h]);
    text("note-nodes", others.filter(([n]) => n).map(([n, h]) => `${n} ${h}`).join(", ") || (nodes.length ? "all fresh" : " "));
    const total = (name) => nodes.reduce((sum, n) => sum + ((n.heartbeat?.counters || {})[name] || 0), 0);
    const allowed = total("proposals_allowed"), refused = total("proposals_refused");
    text("total-decisions", `${count(allowed)} allowed`);
    text("note-decisions", `${count(refused)} refused by the guard`);
  }

  // --- totals ---------------------------------------------------------------------------------------
  function showStats(stats) {
    text("total-rows", count(stats.stored));
    text("note-rows", `${count(stats.duplicates_refused)} duplicates refused, ${count(stats.missing)} missing`);
    const { n, mae, naive_mae: naive } = stats.forecast;
    text("total-mae", n ? short(mae) : "–");
    text("note-mae", n ? `naive ${short(naive)}, over ${count(n)} intervals` : "no interval with a forecast yet");
  }

  // --- chart ----------------------------------------------------------------------------------------
  function options(select, values, chosen) {
    const current = [...select.options].map((o) => o.value);
    if (current.join("\n") !== values.join("\n")) select.replaceChildren(...values.map((v) => element("option", { value: v }, v)));
    if (select.value !== chosen) select.value = chosen;
  }
  for (const [id, key] of [["choose-node", "node"], ["choose-datastream", "datastream"], ["choose-hours", "hours"]]) {
    byId(id).addEventListener("change", (event) => { choice[key] = event.target.value; poll(); });
  }
  byId("choice").addEventListener("submit", (event) => event.preventDefault());

  // A hole in the time axis becomes a row without values, so that the line breaks there.
  function columns(series) {
    const t = [], value = [], forecast = [];
    let step = Infinity;
    for (let i = 1; i < series.end_ms.length; i++) {
      const d = series.end_ms[i] - series.end_ms[i - 1];
      if (d > 0) step = Math.min(step, d);
    }
    series.end_ms.forEach((end, i) => {
      if (i && end - series.end_ms[i - 1] > 1.5 * step) { t.push((series.end_ms[i - 1] + step) / 1000); value.push(null); forecast.push(null); }
      if (i && end === series.end_ms[i - 1]) { t.pop(); value.pop(); forecast.pop(); }
      t.push(end / 1000);
      value.push(series.quality[i] === "gap" ? null : series.value[i]);
      forecast.push(series.forecast[i]);
    });
    return [t, value, forecast];
  }
  function draw(series) {
    const key = JSON.stringify([choice, series.end_ms.length, series.end_ms.at(-1), matchMedia("(prefers-color-scheme: dark)").matches]);
    if (key === plotted) return;
    const data = columns(series), colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const identity = JSON.stringify([choice.node, choice.datastream, series.unit]);
    const box = byId("chart");
    if (plot && plot.identity === identity && plotted.endsWith(key.slice(key.lastIndexOf(",")))) plot.setData(data);
    else {
      plot?.destroy();
      const unit = unitWord(series.unit);
      const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
      const shown = (_, v) => (v === null || v === undefined ? "–" : short(v));
      plot = new uPlot({
        width: box.clientWidth, height: 292,
        tzDate: (s) => uPlot.tzDate(new Date(s * 1000), zoneOf(choice.node)),
        scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high ?? 1) * 1.08 || 1] } },
        axes: [
          { ...axis, space: 60, values: [
            [3600 * 24, "{D} {MMM}", null, null, null, null, null, null, 1],
            [3600, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
            [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
          ] },
          { ...axis, size: 56, label: unit, labelSize: 18, labelFont: "12px system-ui, sans-serif" }],
        series: [
          { label: "end of interval", value: (_, v) => (v === null || v === undefined ? "–" : when(v * 1000, choice.node)) },
          { label: "measured", stroke: colour("--value"), width: 2, spanGaps: false, value: shown, points: { size: 5 } },
          { label: "forecast", stroke: colour("--forecast"), width: 2, dash: [6, 4], spanGaps: false, value: shown, points: { show: false } }],
      }, data, box);
      plot.identity = identity;
    }
    plotted = key;
    const missing = data[1].filter((v) => v === null).length;
    const rows = series.end_ms.length;
    const words = rows ? [`${count(rows)} intervals of ${short(series.duration_s.at(-1) / 60)} min, ${when(series.end_ms[0], choice.node)} to ${when(series.end_ms.at(-1), choice.node)}`] : ["no data yet"];
    if (missing) words.push(`${count(missing)} missing or incomplete (breaks in the line)`);
    if (series.untimed) words.push(`${count(series.untimed)} more without a trusted time`);
    text("chart-note", words.join("; "));
    box.setAttribute("data-points", String(data[1].filter((v) => v !== null).length));
    box.setAttribute("aria-label", `${choice.datastream} of ${choice.node}, measured and forecast: ${words.join("; ")}`);
  }
  new ResizeObserver(() => { if (plot) plot.setSize({ width: byId("chart").clientWidth, height: 292 }); }).observe(byId("chart"));
  async function showChart(nodes) {
    const { datastreams } = await ask("/api/v1/datastreams");
    const names = nodes.map((n) => n.node);
    if (!names.includes(choice.node)) choice.node = (datastreams[0] || {}).node || names[0] || null;
    const ours = datastreams.filter((d) => d.node === choice.node).map((d) => d.datastream).filter((d) => !d.startsWith("signal/") && !d.startsWith("board/"));
    const wanted = ours.includes(choice.datastream) ? choice.datastream : ours.find((d) => d.includes("volume")) || ours[0] || null;
    choice.datastream = wanted ?? choice.datastream;
    options(byId("choose-node"), names, choice.node ?? "");
    options(byId("choose-datastream"), ours, wanted ?? "");
    if (choice.node && wanted) draw(await ask(`/api/v1/series?${new URLSearchParams({ node: choice.node, datastream: wanted, hours: choice.hours })}`));
    else text("chart-note", "no data yet");
  }

  // --- rollouts, alerts, decisions --------------------------------------------------------------------
  function showRollouts(rollouts) {
    const cards = rollouts.slice(0, 4).map((r) => element("div", { class: "rollout" },
      element("h3", {}, `${r.bundle} ${r.version}`, tag(r.state)),
      r.reason ? element("p", { class: "why" }, r.reason) : null,
      element("ol", { class: "phases" }, ...r.phases.map((p, i) => element("li", {},
        element("b", {}, `phase ${i + 1}: to ${p.percent} %`), tag(p.state),
        ...p.nodes.slice(0, 12).map((n) => element("span", { class: `tag ${n.state}`, title: n.reason }, `${n.node} ${n.state}`)),
        p.nodes.length > 12 ? element("span", {}, `and ${p.nodes.length - 12} more`) : null)))));
    fill(byId("rollouts"), cards.length ? cards : [element("p", { class: "empty" }, "None yet.")]);
    const latest = rollouts[0];
    text("total-rollout", latest ? latest.version : "–");
    text("note-rollout", latest ? `${latest.state}, phase ${latest.phase} of ${latest.phases.length}` : "none yet");
  }
  const MAIN = ["why", "what", "explanation", "reason", "message"], VERDICT = ["verdict"];
  const LABELS = { greens: "green times (phase:s)", flows_veh_h_lane: "forecast flow (phase:veh/h per lane)" };
  function sentence(row) {
    const said = row.detail, main = MAIN.map((name) => said[name]).find((v) => v !== undefined);
    const rest = Object.entries(said).filter(([k]) => !MAIN.includes(k) && !VERDICT.includes(k)).map(([k, v]) => `${LABELS[k] ?? k.replaceAll("_", " ")}: ${typeof v === "number" ? short(v) : v}`);
    const number = row.value !== null && row.kind === "alert" && (row.unit !== "1" || row.forecast !== null) ? [`${short(row.value)} ${unitWord(row.unit)}`.trim() + (row.forecast !== null ? ` where ${short(row.forecast)} was forecast` : "")] : [];
    return [main, ...number, ...rest, row.kind === "decision" && row.model ? `model ${row.model}` : null].filter((part) => part !== undefined && part !== null && part !== "").join("; ") || row.quality;
  }
  const line = (row, word, kind) => element("li", {},
    tag(word, kind), element("span", { class: "where" }, `${row.node} · ${row.datastream}`),
    element("time", {}, when(row.at.wall_ms, row.node)), element("span", { class: "what" }, sentence(row)));
  function showList(id, rows, empty) {
    fill(byId(id), rows.length ? rows : [element("li", { class: "empty" }, empty)]);
  }

  // --- the loop ------------------------------------------------------------------------------------------
  let timer = 0, running = false, again = false;
  async function poll() {
    if (running) { again = true; return; }
    running = true;
    clearTimeout(timer);
    try {
      const [fleet, stats, rollouts, alerts, decisions] = await Promise.all([
        ask("/api/v1/nodes"), ask("/api/v1/stats"), ask("/api/v1/rollouts"), ask("/api/v1/alerts?limit=20"),
        ask("/api/v1/summaries?kind=decision&order=newest&limit=20")]);
      for (const n of fleet.nodes) zones[n.node] = n.heartbeat?.timezone || "UTC";
      await showChart(fleet.nodes);
      showNodes(fleet.nodes);
      await showIdentity(fleet.nodes);
      showStats(stats);
      showRollouts(rollouts.rollouts);
      showList("alerts", alerts.summaries.map((r) => line(r, "alert", "alert")), "None.");
      showList("decisions", decisions.summaries.map((r) => {
        const verdict = String(r.detail.verdict ?? "held");
        return line(r, verdict, ["allowed", "refused", "held"].includes(verdict) ? verdict : "never");
      }), "None yet.");
      lastSeen = Date.now();
      byId("connection").className = "live";
      text("connection", "live, every 3 s");
    } catch (error) {
      byId("connection").className = "lost";
      text("connection", lastSeen ? `the hub does not answer; shown is ${age((Date.now() - lastSeen) / 1000)}` : "the hub does not answer");
    }
    running = false;
    timer = setTimeout(poll, again ? 0 : POLL_MS);
    again = false;
  }
  poll();
})();

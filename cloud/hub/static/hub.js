// Polls the hub's read API and changes only what changed: no flicker, selections and scroll positions stay.
"use strict";
(() => {
  const POLL_MS = 3000, PATIENCE_MS = 10000;  // for one answer
  const byId = (id) => document.getElementById(id);
  const choice = { node: null, datastream: null, hours: 24, phase: null };
  let plot = null, plotted = "", lastSeen = 0;

  class HubAway extends Error {}
  // What a department, or nobody at a hub with open data, is not shown is not asked for: the hub would refuse it.
  const role = document.body.dataset.role, OFFICE = /^.api.v1.(rollouts|withdrawals)/;
  const shut = role === "" ? /^.api.v1.(?!nodes$|nodes[?]|datastreams|series|summaries)/ : role === "department" ? OFFICE : /^$/;
  const NOTHING = { rollouts: [], withdrawals: [], summaries: [], conditions: [], keys: [], records: [], nodes: 0, health: {}, open_conditions: {},
    stored: 0, duplicates_refused: 0, missing: 0, backlog: 0, proposals_allowed: 0, proposals_refused: 0, severe: 0, forecast: { n: 0 } };
  async function ask(path) {
    if (shut.test(path)) return NOTHING;
    const options = { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS) };
    const answer = await fetch(path, options).catch((error) => { throw new HubAway(error.message); });
    if (answer.status === 401) location.assign("/login");  // the session is over
    if (!answer.ok) throw new HubAway(`${path}: ${answer.status}`);
    return answer.json().catch((error) => { throw new HubAway(error.message); });
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
    if (ms === null || ms === undefined) return "time unknown";
    const at = new Date(ms);
    return isNaN(at) ? "a time that no calendar has" : formats[zoneOf(node)].format(at);
  }
  const UNITS = { "{vehicle}": "vehicles", "{veh}": "vehicles", "{ped}": "pedestrians", "{pat}": "patients", "1": "", Cel: "°C", "ug/m3": "µg/m³" };
  const unitWord = (unit) => UNITS[unit] ?? (unit || "").replace(/[{}]/g, "");

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
  // Which detectors traffic showed at the wrong terminal, while the node was commissioned.
  function wired(check) {
    const of = (verdict) => (check.channels || []).filter((c) => c.verdict === verdict), suspect = of("suspect");
    const heard = `Wiring, ${Math.round(check.seconds / 60)} min of events${check.partial ? ", ended early" : ""}`;
    return `${heard}: ${suspect.map((c) => `channel ${c.channel} is suspect: ${c.said}`).join("; ") || "no wire is suspect"}; ${of("undecided").length} undecided`;
  }
  async function showIdentity(nodes) {
    const node = nodes.find((n) => n.node === choice.node);
    text("identity-title", node ? `${node.node}: identity and commissioning` : "Identity and commissioning");
    if (!node) return;
    if (node.outline) {
      fill(byId("identity"), [element("p", { class: "empty" }, "Of this node you are shown datastreams only.")]);
      return;
    }
    const path = `/api/v1/nodes/${encodeURIComponent(node.node)}`;
    const { keys } = await keep("keys", `${node.node} ${node.key_since_ms} ${node.machine}`, `${path}/keys`);
    const past = keys.filter((k) => k.revoked_ms !== null);
    const facts = [
      ...(node.label ? [fact("Label", node.label)] : []),
      fact("Site", node.site || "–"),
      fact("Enrolled", hubTime(node.enrolled_ms)),
      fact("Hardware", `${node.hardware || "unknown"}, ${node.machine ? `computer ${typed(node.machine)}` : "no fingerprint"}`),
      fact("Its key", node.revoked_ms ? `revoked ${hubTime(node.revoked_ms)}` : node.key_since_ms ? `since ${hubTime(node.key_since_ms)}` : "–"),
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
      if (record.wiring) parts.push(element("p", { class: "note" }, wired(record.wiring)));
      if (record.note) parts.push(element("p", { class: "note" }, `Note: ${record.note}`));
    } else parts.push(element("p", { class: "note" }, "Not commissioned yet: ", element("code", {}, "wayside commission"), " walks its sensors at the cabinet."));
    fill(byId("identity"), parts.filter((p) => p !== null));
  }

  // --- nodes ---------------------------------------------------------------------------------------
  const modelsOf = (beat) => (beat.models?.length ? beat.models : [beat.reported ?? {}]);
  // One line a bundle: what runs, by which task, and what stands in the way of what is wanted.
  function modelLine(model, wanted, tasks) {
    const goal = wanted.find((w) => w.bundle === model.bundle), at = (model.state ?? "idle").replaceAll("_", " ");
    const by = tasks.filter((t) => t.bundle === model.bundle && t.model === model.version).map((t) => t.name).join(", ");
    const line = element("div", { class: "model" },
      element("strong", {}, model.version ? `${model.bundle} ${model.version}` : model.bundle ? `${model.bundle}: none` : "no model"),
      model.version && by ? element("small", { class: "inline" }, ` runs in ${by}`) : null);
    const told = !model.version && tasks.some((t) => t.bundle === model.bundle && !t.model && t.why); // by the task, below
    if (model.refusal && model.attempted !== model.version && !told) {
      line.append(element("small", { class: "refusal" }, `refused ${model.attempted ?? ""}: ${model.reason ?? model.refusal}`));
    } else if (goal && goal.version !== model.version) line.append(element("small", {}, `wanted: ${goal.version}, ${at}`));
    else if (model.state === "rolled_back") line.append(element("small", { class: "refusal" }, `rolled back ${model.attempted ?? ""}: ${model.reason ?? ""}`));
    return line;
  }
  function modelCell(node, beat) {
    const models = modelsOf(beat), tasks = beat.tasks || [], wanted = node.wanted || [];
    const unheard = wanted.filter((w) => !models.some((m) => m.bundle === w.bundle));
    return element("td", { class: "models" },
      ...models.map((m) => modelLine(m, wanted, tasks)),
      ...unheard.map((w) => element("div", { class: "model" }, element("small", {}, `wanted: ${w.bundle} ${w.version}`))),
      ...tasks.filter((t) => !t.model).map((t) => element("small", { class: "refusal" }, `task ${t.name} runs no model: ${t.why ?? "no reason given"}`)));
  }
  function boardCell(board) {
    const word = !board ? "none" : board.lent ? "lent to a technician" : !board.connected ? "not connected" : board.fail_safe ? "fixed-time plan" : "connected";
    return element("td", {}, board?.signal_fault ? tag("signal fault", "fault") : null, element("div", {}, word),
      element("small", {}, [board?.identity, board?.signal_mode ? `signal: ${board.signal_mode.replaceAll("_", " ")}` : ""].filter(Boolean).join(", ")));
  }
  function nodeRow(node) {
    const beat = node.heartbeat || {}, reported = beat.reported || {}, counters = beat.counters || {};
    const variants = [...new Set(modelsOf(beat).map((m) => m.variant).filter(Boolean))];
    const at = beat.at || {}, trouble = (node.trouble || []).filter((why) => !why.startsWith("task "));
    return element("tr", { "data-node": node.node, tabindex: "0", "aria-selected": String(node.node === choice.node) },
      element("td", {}, element("strong", {}, node.node), element("small", {}, [node.label, node.site].filter(Boolean).join(", ")),
        node.clone ? element("small", { class: "refusal" }, "two computers use its key") : moved(node) ? element("small", { class: "refusal" }, "on other hardware") : null),
      element("td", { class: "health" }, tag(node.health === "lent" ? "lent to a technician" : node.health, node.health), ...trouble.slice(0, 3).map((why) => element("small", { class: "refusal" }, why)),
        trouble.length > 3 ? element("small", { class: "refusal" }, `and ${trouble.length - 3} more`) : null),
      element("td", {}, age(node.age_s)),
      modelCell(node, beat),
      element("td", {}, variants.join(", ") || "–", element("small", {}, reported.runtime || "")),
      boardCell(beat.board),
      element("td", { class: "number" }, count(beat.backlog || 0)),
      element("td", { class: "number" }, count(node.stored), element("small", {}, node.duplicates ? `${count(node.duplicates)} twice` : "")),
      element("td", { class: "number" }, count(counters.readings_lost || 0), element("small", {}, counters.readings_received ? `of ${count((counters.readings_received || 0) + (counters.readings_lost || 0))}` : "")),
      element("td", {}, when(at.wall_ms, node.node), element("small", {}, at.clock || "")));
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
  function showNodes(page) {
    fill(byId("nodes").tBodies[0], page.nodes.map(nodeRow));
    shownPages.next = page.next;
    byId("before").disabled = shownPages.past.length === 0;
    byId("after").disabled = page.next === null;
    const first = shownPages.past.length * PAGE;
    text("place", page.nodes.length ? `${count(first + 1)} to ${count(first + page.nodes.length)}` : list.find || list.states.size ? "no node is like that" : " ");
  }

  // --- which nodes are listed: a page of those that are looked for, the worst first -------------------
  const PAGE = 25, list = { find: "", order: "worst", states: new Set() }, shownPages = { past: [], after: null, next: null };
  function listed() {
    const query = new URLSearchParams({ limit: PAGE, order: list.order });
    if (list.find) query.set("text", list.find);
    for (const state of list.states) query.append("health", state);
    if (shownPages.after !== null) query.set("after", shownPages.after);
    return `/api/v1/nodes?${query}`;
  }
  function relist() { // from its beginning
    shownPages.past = [];
    shownPages.after = null;
    poll();
  }
  byId("which").addEventListener("submit", (event) => { event.preventDefault(); relist(); });
  byId("order").addEventListener("change", (event) => { list.order = event.target.value; relist(); });
  let typing = 0;
  byId("find").addEventListener("input", (event) => {
    list.find = event.target.value.trim();
    clearTimeout(typing);
    typing = setTimeout(relist, 250);
  });
  byId("states").addEventListener("click", (event) => {
    const state = event.target.closest("button")?.dataset.state;
    if (state === undefined) return;
    if (!list.states.delete(state)) list.states.add(state);
    relist();
  });
  byId("after").addEventListener("click", () => {
    if (shownPages.next === null) return;
    shownPages.past.push(shownPages.after);
    shownPages.after = shownPages.next;
    poll();
  });
  byId("before").addEventListener("click", () => {
    if (!shownPages.past.length) return;
    shownPages.after = shownPages.past.pop();
    poll();
  });

  // --- the fleet in numbers ---------------------------------------------------------------------------
  const STATES = ["unhealthy", "silent", "late", "never", "lent", "fresh"];  // the worst first
  function showFleet(fleet) {
    const of = (state) => fleet.health[state] ?? 0;
    fill(byId("states"), STATES.filter((s) => of(s) || list.states.has(s)).map((s) =>
      element("button", { type: "button", "data-state": s, "aria-pressed": String(list.states.has(s)) }, `${count(of(s))} `, tag(s === "lent" ? "lent to a technician" : s === "never" ? "never heard from" : s, s))));
    document.querySelector("#nodes + .empty").hidden = fleet.nodes > 0;
    text("total-nodes", `${count(of("fresh") + of("unhealthy") + of("lent"))} of ${count(fleet.nodes)}`);
    const others = ["unhealthy", "lent", "late", "silent", "never"].filter(of).map((s) => `${count(of(s))} ${s}`);
    text("note-nodes", others.join(", ") || (fleet.nodes ? "each synced in its usual time" : " "));
    text("total-decisions", `${count(fleet.proposals_allowed)} allowed`);
    text("note-decisions", `${count(fleet.proposals_refused)} refused by the guard`);
    text("total-rows", count(fleet.stored));
    const waiting = fleet.backlog ? `, ${count(fleet.backlog)} still on the nodes` : "";
    text("note-rows", `${count(fleet.duplicates_refused)} duplicates refused, ${count(fleet.missing)} missing${waiting}`);
    const { n, mae, naive_mae: naive } = fleet.forecast;
    text("total-mae", n ? short(mae) : "–");
    text("note-mae", n ? `naive ${short(naive)}, over ${count(n)} intervals` : "no interval with a forecast yet");
  }
  // The chosen node may be on another page; and rows of the lists may be of nodes that were not shown yet.
  async function withChosen(nodes) {
    choice.node ??= nodes[0]?.node ?? null;
    if (choice.node === null || nodes.some((n) => n.node === choice.node)) return nodes;
    const { nodes: mine } = await ask(`/api/v1/nodes?${new URLSearchParams({ name: choice.node })}`);
    if (!mine.length) choice.node = nodes[0]?.node ?? null;
    return [...nodes, ...mine];
  }
  async function learnZones(names) {
    const unknown = [...new Set(names)].filter((name) => !(name in zones)).slice(0, 100);
    if (!unknown.length) return;
    const { nodes } = await ask(`/api/v1/nodes?${new URLSearchParams(unknown.map((name) => ["name", name]))}`);
    for (const name of unknown) zones[name] = "UTC";
    for (const n of nodes) zones[n.node] = n.heartbeat?.timezone || "UTC";
  }

  // --- chart ----------------------------------------------------------------------------------------
  function options(select, values, chosen) {
    const current = [...select.options].map((o) => o.value);
    if (current.join("\n") !== values.join("\n")) select.replaceChildren(...values.map((v) => element("option", { value: v }, v)));
    if (select.value !== chosen) select.value = chosen;
  }
  for (const [id, key] of [["choose-node", "node"], ["choose-datastream", "datastream"], ["choose-hours", "hours"], ["choose-phase", "phase"]]) {
    byId(id).addEventListener("change", (event) => { choice[key] = event.target.value; poll(); });
  }
  byId("choice").addEventListener("submit", (event) => event.preventDefault());

  // A hole in the time axis becomes a row without values, so that the line breaks there.
  function columns(series) {
    const t = [], names = ["value", "forecast", ...(series.low ? ["high", "low"] : [])], made = names.map(() => []);
    let step = Infinity;
    for (let i = 1; i < series.end_ms.length; i++) {
      const d = series.end_ms[i] - series.end_ms[i - 1];
      if (d > 0) step = Math.min(step, d);
    }
    series.end_ms.forEach((end, i) => {
      const hole = series.low ? 2.5 : 1.5;  // spans of several intervals end up to one apart
      if (i && end - series.end_ms[i - 1] > hole * step) { t.push((series.end_ms[i - 1] + step) / 1000); made.forEach((m) => m.push(null)); }
      if (i && end === series.end_ms[i - 1]) { t.pop(); made.forEach((m) => m.pop()); }
      t.push(end / 1000);
      names.forEach((name, k) => made[k].push(name === "value" && series.quality[i] === "gap" ? null : series[name][i]));
    });
    return [t, ...made];
  }
  function draw(series) {
    const key = JSON.stringify([choice, series.end_ms.length, series.end_ms.at(-1), matchMedia("(prefers-color-scheme: dark)").matches]);
    if (key === plotted) return;
    const data = columns(series), colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const identity = JSON.stringify([choice.node, choice.datastream, series.unit, !!series.low]);
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
          { label: "forecast", stroke: colour("--forecast"), width: 2, dash: [6, 4], spanGaps: false, value: shown, points: { show: false } },
          ...(series.low ? ["highest", "lowest"].map((label) => ({ label, stroke: colour("--line"), width: 1, spanGaps: false, value: shown, points: { show: false } })) : [])],
        bands: series.low ? [{ series: [3, 4], fill: colour("--line") }] : [],
      }, data, box);
      plot.identity = identity;
    }
    plotted = key;
    const missing = data[1].filter((v) => v === null).length;
    const rows = series.end_ms.length;
    const each = series.low ? `${count(series.intervals)} intervals as means of ${short(series.duration_s.at(-1) / 3600)} h` : `${count(rows)} intervals of ${short(series.duration_s.at(-1) / 60)} min`;
    const words = rows ? [`${each}, ${when(series.end_ms[0], choice.node)} to ${when(series.end_ms.at(-1), choice.node)}`] : ["no data yet"];
    if (missing) words.push(`${count(missing)} missing or incomplete (breaks in the line)`);
    if (series.untimed) words.push(`${count(series.untimed)} more without a trusted time`);
    if (series.ahead) words.push(`${series.ahead < 1000 ? count(series.ahead) : "1,000 or"} more are dated in the future: a clock is wrong`);
    text("chart-note", words.join("; "));
    box.setAttribute("data-points", String(data[1].filter((v) => v !== null).length));
    box.setAttribute("aria-label", `${choice.datastream} of ${choice.node}, measured and forecast: ${words.join("; ")}`);
  }
  new ResizeObserver(() => { if (plot) plot.setSize({ width: byId("chart").clientWidth, height: 292 }); }).observe(byId("chart"));
  async function showChart(nodes) {
    const names = nodes.map((n) => n.node);
    const { datastreams } = choice.node === null ? { datastreams: [] } : await ask(`/api/v1/datastreams?${new URLSearchParams({ node: choice.node })}`);
    const series = datastreams.filter((d) => d.unit !== null);
    const ours = series.map((d) => d.datastream);
    // Sums are configured for people: one of them is shown first.
    const wanted = ours.includes(choice.datastream) ? choice.datastream : (series.find((d) => d.derived) || series[0])?.datastream ?? null;
    choice.datastream = wanted ?? choice.datastream;
    options(byId("choose-node"), names, choice.node ?? "");
    options(byId("choose-datastream"), ours, wanted ?? "");
    await showSignal(datastreams);
    if (choice.node && wanted) draw(await ask(`/api/v1/series?${new URLSearchParams({ node: choice.node, datastream: wanted, hours: choice.hours })}`));
    else text("chart-note", "no data yet");
  }

  // --- the signal of the chosen node: asked for once a minute, its rows come four times an hour ---------
  let signalShown = "";
  async function showSignal(datastreams) {
    const phases = signalMeasures.phases(datastreams);
    byId("signal").hidden = phases.length === 0;
    const version = JSON.stringify([choice.node, choice.hours, phases, choice.phase, Math.floor(Date.now() / 60000)]);
    if (!phases.length || version === signalShown) return;
    const limit = Math.min(1000, Math.ceil(choice.hours * 4) + 1), rows = new Map();
    for (const phase of phases) {
      const { summaries } = await ask(`/api/v1/summaries?${new URLSearchParams({ node: choice.node, datastream: `phase/${phase}/measures`, order: "newest", limit })}`);
      rows.set(phase, summaries.filter((row) => row.at.wall_ms !== null).sort((a, b) => a.at.wall_ms - b.at.wall_ms));
    }
    const last = Math.max(...[...rows.values()].map((r) => r.at(-1)?.at.wall_ms ?? 0));
    for (const [phase, all] of rows) rows.set(phase, all.filter((row) => row.at.wall_ms > last - choice.hours * 3600000));
    const coordinated = phases.filter((p) => signalMeasures.coordinated(rows.get(p)));
    if (!coordinated.includes(Number(choice.phase))) choice.phase = coordinated[0] ?? null;
    options(byId("choose-phase"), coordinated.map(String), String(choice.phase ?? ""));
    fill(byId("split-monitor"), [signalMeasures.splitMonitor(rows)]);
    const shown = rows.get(Number(choice.phase)) ?? [];
    fill(byId("coordination"), shown.length ? [signalMeasures.diagram(shown, (ms) => when(ms, choice.node).slice(5))] : [element("p", { class: "empty" }, "No advance detector tells who arrives when.")]);
    const doubtful = [...rows.values()].flat().filter((row) => row.quality !== "good").length;
    text("signal-note", `${when(last - choice.hours * 3600000, choice.node)} to ${when(last, choice.node)}${doubtful ? `; ${count(doubtful)} rows are of intervals with lost events` : ""}`);
    signalShown = JSON.stringify([choice.node, choice.hours, phases, choice.phase, Math.floor(Date.now() / 60000)]);
  }

  // --- rollouts, alerts, decisions --------------------------------------------------------------------
  const nameAt = (n, r) => {
    const ended = r.state !== "running" && r.state !== "paused", differs = ended && (n.runs === r.version) !== ["active", "useless"].includes(n.state);
    return `${n.node} ${n.state}${n.useless && n.state !== "useless" ? ", of no use now" : ""}${differs ? `, runs ${n.runs ?? "none"} now` : ""}`;
  };
  const stateTag = (r) => r.useless ? tag(`${r.state.replaceAll("_", " ")}, of no use`, "failed") : tag(r.state === "completed_with_exceptions" ? "completed, not by all" : r.state, r.state);
  function commands(r) { // the page has no operator's token: it says what to type
    if (r.withdrawn !== null) return [`wayside rollout withdraw ${r.bundle} ${r.version} --undo`];
    const onward = r.state === "paused" ? [`wayside rollout resume ${r.id}`] : [];
    return [...onward, `wayside rollout back ${r.id}`, `wayside rollout withdraw ${r.bundle} ${r.version} --reason …`];
  }
  function rolloutCard(r) {
    const reasons = r.phases.flatMap((p) => p.nodes).filter((n) => n.reason && n.state !== "active");
    return element("div", { class: "rollout", "data-rollout": r.id },
      element("h3", {}, `${r.bundle} ${r.version}`, stateTag(r), r.withdrawn !== null ? tag("withdrawn", "aborted") : null, element("span", { class: "note" }, `rollout ${r.id}`)),
      element("p", { class: "summary" }, r.summary),
      r.useless ? element("p", { class: "why" }, r.useless) : null,
      r.withdrawn !== null ? element("p", { class: "why" }, `withdrawn: ${r.withdrawn}`) : null,
      r.reason ? element("p", { class: "why" }, r.reason) : null,
      r.back_of !== null ? element("p", { class: "note" }, `takes rollout ${r.back_of} back`) : null,
      element("ol", { class: "phases" }, ...r.phases.map((p, i) => element("li", {},
        element("b", {}, `phase ${i + 1}: to ${p.percent} %`), tag(p.state),
        ...p.nodes.slice(0, 12).map((n) => element("span", { class: `tag ${n.useless ? "useless" : n.state}`, title: n.useless ?? n.reason }, nameAt(n, r))),
        p.members > 12 ? element("span", {}, `and ${count(p.members - 12)} more`) : null))),
      r.joined_later.length ? element("p", { class: "note" }, `joined later: ${r.joined_later.slice(0, 12).map((n) => nameAt(n, r)).join(", ")}`) : null,
      r.state === "running" && reasons.length ? element("p", { class: "note" }, reasons.slice(0, 5).map((n) => `${n.node}: ${n.reason}`).join("; ")) : null,
      r.cannot.length || r.unknown.length ? element("details", {},
        element("summary", {}, `${count(r.cannot.reduce((sum, g) => sum + g.nodes.length, 0) + r.unknown.length)} of ${count(r.fleet)} nodes are not part of it`),
        element("ul", {}, ...r.cannot.map((g) => element("li", {}, `${g.nodes.length}: ${g.why} `, element("small", {}, g.nodes.slice(0, 8).join(", ")))),
          r.unknown.length ? element("li", {}, `${r.unknown.length}: have not said what they offer `, element("small", {}, r.unknown.slice(0, 8).join(", "))) : null)) : null,
      r.state !== "running" ? element("p", { class: "commands" }, ...commands(r).map((c) => element("code", {}, c))) : null);
  }
  function showRollouts(rollouts, withdrawals, held) {
    // The newest of each bundle, and whatever is under way.
    const newest = new Map();
    for (const r of rollouts) if (!newest.has(r.bundle)) newest.set(r.bundle, r);
    const shown = rollouts.filter((r, i) => newest.get(r.bundle) === r || ["running", "paused"].includes(r.state) || i < 4).slice(0, 12);
    const gone = withdrawals.filter((w) => !shown.some((r) => r.bundle === w.bundle && r.version === w.version));
    const open = new Set([...document.querySelectorAll("#rollouts details[open]")].map((d) => d.closest("[data-rollout]").dataset.rollout));
    const cards = shown.map(rolloutCard);
    for (const card of cards) if (open.has(card.dataset.rollout)) card.querySelector("details")?.setAttribute("open", "");
    if (gone.length) cards.push(element("p", { class: "note" }, `withdrawn too: ${gone.map((w) => `${w.bundle} ${w.version} (${w.reason})`).join(", ")}`));
    if (held) cards.unshift(element("p", { class: "note" }, "The hub was restored from a backup: no node is ordered anything until ", element("code", {}, "wayside rollout release-hold")));
    fill(byId("rollouts"), cards.length ? cards : [element("p", { class: "empty" }, "None yet.")]);
    const live = rollouts.filter((r) => ["running", "paused"].includes(r.state)), latest = live[0] ?? rollouts[0];
    text("total-rollout", latest ? `${latest.bundle} ${latest.version}` : "–");
    text("note-rollout", latest ? `${latest.summary.length > 90 ? `${latest.summary.slice(0, 88)}…` : latest.summary}${live.length > 1 ? `; ${live.length - 1} more under way` : ""}` : "none yet");
  }

  // --- conditions: open ones by the last heartbeats, severe first; past ones as spans ------------------------
  function openConditions(rows) {
    return rows.map((c) => element("li", {},
      tag(c.severe ? "open, severe" : "open", c.severe ? "fault" : "held"),
      element("span", { class: "where" }, `${c.node} · ${c.subject}`),
      element("time", {}, `since ${when(c.since_ms, c.node)}`),
      element("span", { class: "what" }, `${c.message}${c.times > 1 ? `; began ${c.times} times` : ""}`)));
  }
  function lasting(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${short(seconds / 3600)} h`;
  }
  function spanRow(s) {
    const clock = (ms) => (ms === null ? "?" : when(ms, s.node));
    const began = clock(s.begin_ms), ended = clock(s.end_ms), until = began.slice(0, 10) === ended.slice(0, 10) ? ended.slice(11) : ended;
    const seconds = s.lasted_s ?? (s.begin_ms !== null && s.end_ms !== null ? (s.end_ms - s.begin_ms) / 1000 : null);
    return element("li", {}, tag(s.state === "over" ? "over" : "end not told", "never"),
      element("span", { class: "where" }, `${s.node} · ${s.subject}`),
      element("time", {}, s.state === "over" ? `${began} – ${until}` : `from ${began}`),
      element("span", { class: "what" }, [s.message, seconds !== null ? `lasted ${lasting(seconds)}` : "", s.times > 1 ? `began ${s.times} times` : ""].filter(Boolean).join("; ")));
  }
  const MAIN = ["why", "what", "explanation", "reason", "message"];
  function sentence(row) {
    if (row.sentence) return row.sentence;  // the hub tells decisions
    const said = row.detail, main = MAIN.map((name) => said[name]).find((v) => v !== undefined);
    const rest = Object.entries(said).filter(([k]) => !MAIN.includes(k)).map(([k, v]) => `${k.replaceAll("_", " ")}: ${typeof v === "number" ? short(v) : v}`);
    const number = row.value !== null && row.kind === "alert" && (row.unit !== "1" || row.forecast !== null) ? [`${short(row.value)} ${unitWord(row.unit)}`.trim() + (row.forecast !== null ? ` where ${short(row.forecast)} was forecast` : "")] : [];
    return [main, ...number, ...rest].filter((part) => part !== undefined && part !== null && part !== "").join("; ") || row.quality;
  }
  const line = (row, word, kind) => element("li", {},
    tag(word, kind), element("span", { class: "where" }, `${row.node} · ${row.datastream}`),
    element("time", {}, when(row.at.wall_ms, row.node)), element("span", { class: "what" }, sentence(row)));
  function showList(id, rows, empty) {
    fill(byId(id), rows.length ? rows : [element("li", { class: "empty" }, empty)]);
  }

  // --- the loop ------------------------------------------------------------------------------------------
  let timer = 0, running = false, again = false, failed = false;
  async function poll() {
    if (running) { again = true; return; }
    running = true;
    clearTimeout(timer);
    try {
      const [fleet, page, rollouts, alerts, decisions, open, spans, gone] = await Promise.all([
        ask("/api/v1/fleet"), ask(listed()), ask("/api/v1/rollouts"), ask("/api/v1/alerts?limit=60"), ask("/api/v1/summaries?kind=decision&order=newest&limit=20"),
        ask("/api/v1/conditions/open?limit=60"), ask("/api/v1/conditions?limit=30"), ask("/api/v1/withdrawals")]);
      const nodes = await withChosen(page.nodes);
      for (const n of nodes) zones[n.node] = n.heartbeat?.timezone || "UTC";
      await learnZones([...alerts.summaries, ...decisions.summaries, ...open.conditions, ...spans.conditions].map((row) => row.node));
      await showChart(nodes);
      showFleet(fleet);
      showNodes(page);
      await showIdentity(nodes);
      showRollouts(rollouts.rollouts, gone.withdrawals, rollouts.held);
      showList("conditions", openConditions(open.conditions), fleet.nodes ? "No node says that something is wrong." : "None.");
      showList("spans", spans.conditions.filter((s) => s.state !== "open").map(spanRow), "None yet.");
      showList("alerts", alerts.summaries.filter((r) => r.detail.condition === undefined).slice(0, 20).map((r) => line(r, "alert", "alert")), "None.");
      showList("decisions", decisions.summaries.map((r) => {
        const verdict = String(r.detail.verdict ?? "held");
        return line(r, verdict, ["allowed", "refused", "held", "driven"].includes(verdict) ? verdict : "never");
      }), "None yet.");
      lastSeen = Date.now();
      failed = false;
      showAge();
    } catch (error) {
      byId("connection").className = "lost";
      if (!(error instanceof HubAway)) {
        console.error(error);
        failed = true;
        text("connection", "this page failed; the browser's console says where");
      } else showAge();
    }
    running = false;
    timer = setTimeout(poll, again ? 0 : POLL_MS);
    again = false;
  }
  // What stands here is as old as the last whole answer, whether the hub refuses, hangs, or only is slow.
  function showAge() {
    if (failed) return;
    const old_s = (Date.now() - lastSeen) / 1000, fresh = lastSeen && old_s < 3 * POLL_MS / 1000;
    byId("connection").className = fresh ? "live" : "lost";
    text("connection", fresh ? "live, every 3 s" : lastSeen ? `the hub does not answer; shown is what it said ${age(old_s)}` : "the hub does not answer");
  }
  setInterval(() => { if (lastSeen) showAge(); }, 1000);
  poll();
})();

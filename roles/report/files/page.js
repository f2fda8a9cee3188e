// Copyright (c) 2026, appstate.backup contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Names, paths and messages come from hosts and are not trusted: they get into the page as text nodes and attributes alone.
(function () {
"use strict";

const STATES = ["bad", "warning", "good"];
const PLOT = {width: 104, height: 28};
const CHART_HEIGHT = 150;
// Lines from which on a browser takes long to lay all of them out.
const MANY = 300;
const DASH = "\u2013";
const data = JSON.parse(document.getElementById("data").textContent);

// ---- words -------------------------------------------------------------------------------------------------------------

function duration(seconds) {
  if (seconds < 0) return "\u2212" + duration(-seconds);
  if (seconds < 60) return (seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)) + " s";
  // Objectives are written in hours, those of more than a day too.
  const units = [[86400, "d", 3600, "h", 172800], [3600, "h", 60, "min", 3600], [60, "min", 1, "s", 60]];
  const [size, unit, smaller, name] = units.find(each => seconds >= each[4]);
  const rest = Math.floor(seconds % size / smaller);
  return Math.floor(seconds / size) + " " + unit + (rest ? " " + rest + " " + name : "");
}

function bytes(size) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let power = 0;
  while (size >= 1000 && power < units.length - 1) { size /= 1000; power += 1; }
  return (power && size < 100 ? size.toFixed(1) : Math.round(size)) + " " + units[power];
}

const whole = new Intl.NumberFormat("en"), compact = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1});

function count(number) { return whole.format(number); }

function short(number) { return (number < 10000 ? whole : compact).format(number); }

function moment(time) {
  const iso = typeof time === "number" ? new Date(time * 1000).toISOString() : time;
  return iso.slice(0, 10) + " " + iso.slice(11, 16) + " UTC";
}

function ago(seconds) { return duration(Math.max(0, data.made - seconds)) + " ago"; }

function plural(number, one, many) { return count(number) + " " + (number === 1 ? one : many); }

// ---- elements ----------------------------------------------------------------------------------------------------------

/** An element with attributes, and with children that are elements or text. */
function make(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter(child => child !== null && child !== ""));
  return made;
}

/** A bar for the eye alone: what it shows stands beside it in words. */
function bar(value, limit) {
  const filled = make("span", {class: value > limit ? "filled over" : "filled"});
  filled.style.width = Math.min(100, limit ? 100 * value / limit : 100) + "%";
  return make("span", {class: "bar", "aria-hidden": "true"}, filled);
}

function state(name, text) { return make("span", {class: "state " + name}, text || name); }

// ---- plots -------------------------------------------------------------------------------------------------------------

// uPlot draws on canvases, which do not know the colours of the style sheet; to ask for one takes long where there are many plots.
let colours = {};

function colour(name) {
  colours[name] = colours[name] || getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return colours[name];
}

/** What a plot shows, for those who do not see it. */
function described(what, times, values, say) {
  const known = values.filter(value => value !== null);
  if (!known.length) return what + ": nothing is known";
  const least = known.reduce((a, b) => Math.min(a, b)), most = known.reduce((a, b) => Math.max(a, b));
  return what + " of " + plural(known.length, "backup", "backups") + " from " + moment(times[0]) + " to " +
    moment(times[times.length - 1]) + ": first " + say(known[0]) + ", last " + say(known[known.length - 1]) +
    ", between " + say(least) + " and " + say(most);
}

function series(values) {
  return {stroke: colour("--plot"), fill: colour("--plot-area"), width: 1.5, spanGaps: true,
          points: {show: values.length < 3, size: 4, fill: colour("--plot")}};
}

// From zero, so that a loss looks as large as it is.
function fromZero(self, least, most) { return [0, most > 0 ? most * 1.08 : 1]; }

function sparkline(place, times, values) {
  return new uPlot({width: PLOT.width, height: PLOT.height, padding: [2, 2, 2, 2], legend: {show: false}, cursor: {show: false},
    axes: [{show: false}, {show: false}], scales: {y: {range: fromZero}}, series: [{}, series(values)]}, [times, values], place);
}

function chart(place, times, values, say) {
  const brief = times[times.length - 1] - times[0] < 172800;
  const when = (self, marks) => marks.map(mark => new Date(mark * 1000).toISOString().slice(...(brief ? [11, 16] : [0, 10])));
  const axis = {stroke: colour("--muted"), grid: {stroke: colour("--line"), width: 1}, ticks: {show: false}};
  return new uPlot({width: place.clientWidth, height: CHART_HEIGHT, legend: {show: false}, cursor: {show: false},
    tzDate: time => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
    axes: [Object.assign({space: 88, values: when}, axis), Object.assign({size: 64, values: (self, marks) => marks.map(say)}, axis)],
    scales: {y: {range: fromZero}}, series: [{}, series(values)]}, [times, values], place);
}

// Of thousands of plots, those near the window are there.
const drawn = new Map();

function draw(place) {
  if (!drawn.has(place)) drawn.set(place, place.plot());
}

function wipe(place) {
  if (drawn.has(place)) drawn.get(place).destroy();
  drawn.delete(place);
}

const near = new IntersectionObserver(entries => {
  for (const entry of entries) (entry.isIntersecting ? draw : wipe)(entry.target);
}, {rootMargin: "400px"});

/** A place for a plot, which is drawn when it comes near. */
function plot(kind, what, times, values, say, drawing) {
  const place = make("div", {class: kind, role: "img", "aria-label": described(what, times, values, say)});
  place.plot = () => drawing(place, times, values, say);
  near.observe(place);
  return place;
}

function redraw() {
  colours = {};
  for (const place of [...drawn.keys()]) { wipe(place); draw(place); }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("resize", () => {
  for (const [place, shown] of drawn) {
    if (place.className === "chart") shown.setSize({width: place.clientWidth, height: CHART_HEIGHT});
  }
});

// ---- the table of apps -------------------------------------------------------------------------------------------------

function ageCell(row) {
  if (row.age === null) return [row.run ? "none" : DASH];
  if (row.limit === null) return [make("span", {class: "value"}, duration(row.age)), " ", make("span", {class: "of"}, "no objective")];
  return [make("span", {class: "value"}, duration(row.age)), " ", make("span", {class: "of"}, "of " + duration(row.limit)),
          bar(row.age, row.limit)];
}

function drillCell(row) {
  if (!row.drill) return [row.run ? "never" : DASH];
  const drill = row.drill, parts = [];
  if (drill.rto_seconds !== null) {
    parts.push(make("span", {class: "value"}, duration(drill.rto_seconds)));
    if (row.rto !== null) parts.push(" ", make("span", {class: "of"}, "of " + duration(row.rto)), bar(drill.rto_seconds, row.rto));
  }
  parts.push(make("span", {class: "line"}, state(drill.ok ? "good" : "bad", drill.ok ? "passed" : "failed"), " ",
    make("span", {class: "of"}, ago(row.drilled))));
  return parts;
}

function historyCell(row, what, values, value, say) {
  if (!row.newest || value === null) return [DASH];
  return [make("span", {class: "value"}, say(value)), plot("plot", what, row.history[0], values, say, sparkline)];
}

function remotesCell(row) {
  if (!row.remotes || !row.remotes.length) return [DASH];
  return row.remotes.map(remote => make("span", {class: "line"}, remote.name + " ",
    remote.problem !== null ? state("bad", "failed") : remote.copied ? state("good", "copied") : state("warning", "never")));
}

function reasonsCell(row) {
  if (!row.reasons.length) return [DASH];
  return [make("ul", {class: "reasons"}, ...row.reasons.map(each => make("li", {class: each.state}, each.reason)))];
}

function appCell(row) {
  if (row.app === null) return ["the whole host"];
  const button = make("button", {type: "button", class: "opens", "aria-expanded": "false"}, row.app);
  button.addEventListener("click", () => open(row, button));
  return [button];
}

// What a column is called, what is in its cells, and what it is sorted by; null stands at the end either way.
const COLUMNS = [
  {name: "State", cell: row => [state(row.state)], key: row => STATES.indexOf(row.state)},
  {name: "App", cell: appCell, key: row => row.app},
  {name: "Host", cell: row => [row.host], key: row => row.host},
  {name: "Newest backup", cell: ageCell, key: row => row.age},
  {name: "Drill", cell: drillCell, key: row => row.drill ? row.drill.rto_seconds : null},
  {name: "Size", cell: row => historyCell(row, "Size", row.history && row.history[1], row.newest && row.newest.size, bytes),
   key: row => row.newest ? row.newest.size : null},
  {name: "Rows", cell: row => historyCell(row, "Rows", row.history && row.history[2], row.newest && row.newest.rows_total, short),
   key: row => row.newest ? row.newest.rows_total : null},
  {name: "Remotes", cell: remotesCell, key: row => row.remotes ? row.remotes.filter(each => each.problem !== null).length : null},
  {name: "Why", cell: reasonsCell, key: row => row.reasons.length ? row.reasons[0].reason : null},
];
const compareTexts = new Intl.Collator("en", {numeric: true}).compare;

/** A body of its own for each app, which its details join. */
function build(row) {
  const cells = COLUMNS.map((column, number) => number === 1
    ? make("th", {role: "rowheader", scope: "row", "data-label": column.name}, ...column.cell(row))
    : make("td", {role: "cell", "data-label": column.name}, ...column.cell(row)));
  row.body = make("tbody", {role: "rowgroup", class: row.state}, make("tr", {role: "row"}, ...cells));
  row.words = [row.host, row.app || ""].concat(row.reasons.map(each => each.reason)).join("\n").toLowerCase();
}

// ---- details -----------------------------------------------------------------------------------------------------------

function open(row, button) {
  const opened = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!opened));
  if (!row.details) {
    row.details = make("tr", {role: "row", class: "details", id: "details-" + row.number},
      make("td", {role: "cell", colspan: COLUMNS.length}, make("div", {class: "parts"}, ...detailParts(row))));
    row.body.append(row.details);
    button.setAttribute("aria-controls", row.details.id);
  }
  row.details.hidden = opened;
}

function part(title, ...content) { return make("section", null, make("h3", null, title), ...content); }

function list(pairs) {
  const known = pairs.filter(pair => pair[1] !== null && pair[1] !== undefined && pair[1] !== "");
  return make("dl", null, ...known.flatMap(([name, value]) => [make("dt", null, name), make("dd", null, value)]));
}

function items(texts) { return make("ul", null, ...texts.map(text => make("li", null, text))); }

function optional(value, say) { return value === null || value === undefined ? null : say(value); }

function detailParts(row) {
  const parts = [];
  if (row.reasons.length) parts.push(part("What is wrong", reasonsCell(row)[0]));
  if (row.run) parts.push(runPart(row), backupsPart(row));
  if (row.remotes.length) parts.push(remotesPart(row));
  if (row.drill) parts.push(drillPart(row));
  if (row.newest) {
    parts.push(historyPart("Size", row.history[0], row.history[1], bytes));
    if (row.newest.rows_total !== null) parts.push(historyPart("Rows", row.history[0], row.history[2], short));
  }
  return parts;
}

function runPart(row) {
  const run = row.run;
  const said = list([["ended", optional(run.ended, moment)], ["state", run.state], ["took", optional(run.duration, duration)],
                     ["last success", optional(run.last_success, moment)], ["problem", run.problem], ["ping", run.ping]]);
  return part("Last run", said, run.warnings.length ? items(run.warnings) : null);
}

function backupsPart(row) {
  const newest = row.newest, said = [["at", row.destination], ["kept", plural(row.counts.all, "backup", "backups") + ", " +
                                                               count(row.counts.good) + " good"]];
  if (newest) {
    said.push(["newest good", newest.id], ["begun", moment(newest.created)], ["size", bytes(newest.size)],
              ["verified", newest.verified || "never"]);
    for (const [path, rows] of Object.entries(newest.rows)) said.push(["rows of " + path, count(rows)]);
  }
  const broken = row.broken.map(([id, problem]) => id + ": " + problem);
  return part("Backups", list(said), broken.length ? make("p", null, "Not good:") : null, broken.length ? items(broken) : null);
}

function remotesPart(row) {
  return part("Remotes", ...row.remotes.map(remote => list([
    ["remote", remote.name], ["last copy", remote.copied ? (remote.problem === null ? "went well" : "failed") : "none yet"],
    ["problem", remote.problem], ["last success", optional(remote.last_success, moment)], ["backup", remote.backup],
    ["path", remote.path], ["size", optional(remote.size, bytes)], ["took", optional(remote.seconds, duration)]])));
}

function drillPart(row) {
  const drill = row.drill, before = row.drills.slice(0, -1);
  const said = list([
    ["when", moment(row.drilled)], ["result", drill.ok ? "passed" : "failed"], ["problem", drill.problem],
    ["backup", drill.backup && drill.backup.id], ["from", drill.remote], ["age (RPO)", optional(drill.rpo_seconds, duration)],
    ["restored in", optional(drill.restored_seconds, duration)], ["healthy in", optional(drill.healthy_seconds, duration)],
    ["objective (RTO)", optional(row.rto, duration)], ["restored", optional(drill.bytes, bytes)]]);
  const rank = outcome => ["failed", "skipped", "passed"].indexOf(outcome);
  const cases = drill.cases.slice().sort((a, b) => rank(a.outcome) - rank(b.outcome));
  const lines = cases.map(each => make("li", null, state({passed: "good", failed: "bad"}[each.outcome] || "warning", each.outcome),
    " " + [each.check, each.about].filter(Boolean).join(" ") + (each.message ? ": " + each.message : "")));
  const earlier = before.slice(-10).reverse().map(([when, ok, seconds]) =>
    moment(when) + ": " + (ok ? "passed" : "failed") + (seconds === null ? "" : " in " + duration(seconds)));
  return part("Last drill", said, make("ul", {class: "cases"}, ...lines),
    earlier.length ? make("p", null, "Earlier ones:") : null, earlier.length ? items(earlier) : null);
}

function historyPart(what, times, values, say) {
  return part(what + " of the newest backups", plot("chart", what, times, values, say, chart));
}

// ---- filter and order --------------------------------------------------------------------------------------------------

const table = document.getElementById("apps"), text = document.getElementById("text"), order = document.getElementById("order");
const chosen = {};

function filter() {
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of data.rows) {
    const fits = chosen[row.state].checked && words.every(word => row.words.includes(word));
    row.body.classList.toggle("left-out", !fits);
    shown += fits;
  }
  table.classList.toggle("many", shown > MANY);
  document.getElementById("shown").textContent = shown === data.rows.length
    ? "All lines are shown." : count(shown) + " of " + plural(data.rows.length, "line", "lines") + " shown.";
}

/** Sorts by a column; rows that are equal in it stay in their order. */
function sort(number, down) {
  arrange(number, down);
  table.append(...data.rows.map(row => row.body));
  table.querySelectorAll("thead th").forEach((head, column) => {
    if (column === number) head.setAttribute("aria-sort", down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  order.value = number + (down ? "-" : "+");
}

function arrange(number, down) {
  const key = COLUMNS[number].key, keys = new Map(data.rows.map(row => [row, key(row)]));
  data.rows.sort((one, other) => {
    const a = keys.get(one), b = keys.get(other);
    if (a === null || b === null) return (a === null) - (b === null);
    return (down ? -1 : 1) * (typeof a === "string" ? compareTexts(a, b) : a - b);
  });
}

function heading() {
  const heads = COLUMNS.map((column, number) => {
    const button = make("button", {type: "button"}, column.name);
    const head = make("th", {role: "columnheader", scope: "col"}, button);
    button.addEventListener("click", () => sort(number, head.getAttribute("aria-sort") === "ascending"));
    order.append(make("option", {value: number + "+"}, column.name), make("option", {value: number + "-"}, column.name + ", reversed"));
    return head;
  });
  table.tHead.append(make("tr", {role: "row"}, ...heads));
}

function controls() {
  for (const name of STATES) {
    chosen[name] = make("input", {type: "checkbox", id: "state-" + name, checked: ""});
    chosen[name].addEventListener("change", filter);
    document.getElementById("states").append(make("label", {for: "state-" + name}, chosen[name],
      state(name), " " + count(data.summary[name])));
  }
  text.addEventListener("input", filter);
  order.addEventListener("change", () => sort(parseInt(order.value, 10), order.value.endsWith("-")));
  document.getElementById("controls").addEventListener("submit", event => event.preventDefault());
}

// ---- what is not covered -----------------------------------------------------------------------------------------------

function uncoveredCell(coverage) {
  const said = [];
  if (coverage.problem !== null) said.push(make("p", null, "not known: " + coverage.problem));
  else if (!coverage.complete) said.push(make("p", null, "the search was ended by its limits, so there may be more"));
  if (coverage.unreadable) said.push(make("p", null, plural(coverage.unreadable, "place", "places") + " could not be read"));
  if (coverage.uncovered.length) said.push(items(coverage.uncovered.map(each => each.path + " (" + bytes(each.size) + ")")));
  if (coverage.all > coverage.uncovered.length) said.push(make("p", null, "and " + count(coverage.all - coverage.uncovered.length) + " more"));
  return said;
}

function uncovered() {
  const asked = data.hosts.filter(host => host.coverage !== null), place = document.getElementById("uncovered");
  const searched = asked.filter(({coverage}) => coverage.problem === null);
  const odd = asked.filter(({coverage}) => coverage.problem !== null || coverage.all || !coverage.complete || coverage.unreadable);
  place.hidden = !odd.length;
  place.tBodies[0].append(...odd.map(({host, coverage}) => make("tr", {role: "row"},
    make("th", {role: "rowheader", scope: "row", "data-label": "Host"}, host),
    make("td", {role: "cell", "data-label": "Databases"}, coverage.problem === null ? count(coverage.databases) : DASH),
    make("td", {role: "cell", "data-label": "Not covered"}, ...uncoveredCell(coverage)))));
  document.getElementById("searched").textContent = !asked.length ? "Nobody looked for them." :
    plural(searched.length, "host was", "hosts were") + " searched for SQLite databases. " +
    (data.summary.uncovered ? plural(data.summary.uncovered, "database is", "databases are") + " covered by no app."
      : odd.length ? "None was found that no app covers, as far as is known." : "Each database is covered by an app.");
}

// ---- the page ----------------------------------------------------------------------------------------------------------

function begin() {
  const summary = data.summary;
  document.getElementById("made").textContent = moment(data.made) + ": " + plural(summary.apps, "app", "apps") + " on " +
    plural(summary.hosts, "host", "hosts") + (summary.silent ? ", of which " + count(summary.silent) + " told nothing" : "");
  data.rows.forEach((row, number) => {
    row.number = number;
    row.drilled = row.drill ? row.drills[row.drills.length - 1][0] : null;
    if (row.age === undefined) row.age = null;
    build(row);
  });
  heading();
  controls();
  // The worst first, and among equals by app and host.
  arrange(2, false);
  arrange(1, false);
  sort(0, false);
  filter();
  uncovered();
  performance.mark("rendered");
}

// Paper is white, and has no window that a plot could come near.
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("paper");
  redraw();
  table.querySelectorAll(".plot").forEach(draw);
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("paper");
  redraw();
});

begin();
}());

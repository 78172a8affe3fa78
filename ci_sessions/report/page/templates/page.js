"use strict";
// The page works without this script, except for the list of runs. What comes from records is
// inserted as text; only the details, which the templates escaped, are inserted as HTML.
(() => {
  const find = (id) => document.getElementById(id);
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  // --- theme, copying

  const themes = ["system", "light", "dark"];
  const theme = find("theme");
  const setTheme = (name) => {
    document.documentElement.dataset.theme = name;
    find("theme-name").textContent = name;
  };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "system";
    setTheme(themes[(themes.indexOf(now) + 1) % themes.length]);
  });

  const copy = async (button, text) => {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it and copy";
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  };
  const armCopies = (root) => {
    for (const button of root.querySelectorAll("button.copy")) {
      button.hidden = false;
      const line = button.parentElement.querySelector("pre");
      button.addEventListener("click", () => copy(button, line.textContent));
    }
  };
  armCopies(document);

  // --- data

  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob(find(id).textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };

  const FILTERS = ["config", "build", "phase", "runner", "outcome"];
  const FALLBACK = "fallback";
  const RED = "red";
  const PAGE = 50;

  const decode = (data) => {
    const { texts, codes } = data;
    let time = 0;
    const runs = data.started.map((difference, number) => {
      time += difference;
      const run = { number, wall: data.wall[number] / 10, file: data.file[number] };
      for (const name in texts) run[name] = texts[name][codes[name][number]];
      const started = time ? new Date(time).toISOString() : "";
      const id = data.id[number];
      run.started = started;
      run.id = id.startsWith("=") ? id.slice(1) : `${started}/${run.job}/${id}`;
      run.phase = data.phases[run.config] || "none";
      run.text = [run.id, run.build, run.config, run.commit, run.failed, run.fallback, run.reason, run.folder, run.file]
        .join("\n").toLowerCase();
      return run;
    });
    for (const [name, numbers] of data.cases) {
      for (const number of numbers) runs[number].text += `\n${name.toLowerCase()}`;
    }
    return runs;
  };

  const duration = (seconds) => {
    const whole = Math.round(seconds);
    if (whole < 60) return seconds < 10 ? `${seconds.toFixed(1)} s` : `${whole} s`;
    const two = (number) => String(number).padStart(2, "0");
    const minutes = Math.floor(whole / 60);
    return minutes < 60 ? `${minutes}:${two(whole % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
  };

  const TONES = { passed: "good", skipped: "plain", unknown: "plain", interrupted: "warn", aborted: "warn" };
  const isRed = (run) => !(run.outcome in TONES);

  const matches = (run, state) => {
    for (const name of FILTERS) {
      const wanted = state[name];
      if (!wanted || run[name] === wanted) continue;
      if (name === "outcome" && wanted === FALLBACK && run.fallback) continue;
      if (name === "outcome" && wanted === RED && isRed(run)) continue;
      return false;
    }
    if (state.chosen && !state.chosen.has(run.number)) return false;
    if (state.run && run.id !== state.run) return false;
    return state.words.every((word) => run.text.includes(word));
  };

  // --- the list

  const list = (data) => {
    const runs = decode(data);
    const form = find("filters");
    const rows = find("rows");
    let shown = PAGE;
    let found = runs;
    let details;
    let state = {};

    const options = (name, values, extra = []) => {
      const select = form.elements[name];
      select.append(new Option("all", ""));
      for (const [value, label] of extra) select.append(new Option(label, value));
      for (const value of values) if (value) select.append(new Option(value, value));
    };
    for (const name of ["config", "build", "runner"]) options(name, [...data.texts[name]].sort());
    options("phase", [...new Set(runs.map((run) => run.phase))].sort());
    options("outcome", data.texts.outcome, [[RED, "red (any failure)"], [FALLBACK, "fell back"]]);

    const openDetails = async (run, button, row) => {
      const next = row.nextElementSibling;
      if (next && next.classList.contains("details")) {
        next.remove();
        button.setAttribute("aria-expanded", "false");
        return;
      }
      button.setAttribute("aria-expanded", "true");
      const cell = make("td");
      cell.colSpan = 8;
      const holder = make("tr", undefined, "details");
      holder.append(cell);
      row.after(holder);
      details ??= unpack("details");
      const html = (await details)[run.number];
      if (html) {
        cell.innerHTML = html;
      } else {
        cell.append(make("p", `This page does not have the steps of this run. Make its own page with:`));
        const box = make("div", undefined, "command");
        const line = make("pre", data.command.replace("RUN", quote(run.id)));
        line.tabIndex = 0;
        line.setAttribute("role", "group");
        line.setAttribute("aria-label", "Command");
        const button2 = make("button", "Copy", "copy");
        button2.type = "button";
        box.append(line, button2);
        cell.append(box);
      }
      const facts = make("dl", undefined, "facts");
      for (const [name, value] of [["ID", run.id], ["why this runner", run.reason], ["fallback", run.fallback], ["shadow", run.shadow], ["record", `${run.folder}/${run.file}`]]) {
        if (!value) continue;
        const pair = make("div");
        pair.append(make("dt", name), make("dd", value));
        facts.append(pair);
      }
      const link = make("a", "Link to this run");
      link.href = `#runs?${new URLSearchParams({ run: run.id })}`;
      const last = make("p");
      last.append(link);
      if (html) facts.hidden = true;
      cell.append(facts, last);
      armCopies(cell);
    };
    const quote = (text) => (/^[\w@%+=:,.\/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\"'\"'")}'`);

    const rowOf = (run) => {
      const row = make("tr");
      const time = make("th");
      time.scope = "row";
      const button = make("button", run.started ? run.started.slice(0, 19).replace("T", " ") : "unknown time", "open");
      button.type = "button";
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => openDetails(run, button, row));
      time.append(button);
      const result = make("td");
      result.append(make("span", run.outcome, `badge ${TONES[run.outcome] || "bad"}`));
      if (run.fallback) result.append(" ", make("span", "fell back", "badge warn"));
      if (run.failed && run.failed.length) result.append(" ", make("span", run.failed, "muted small"));
      row.append(time, result);
      for (const [name, label] of [["config", "configuration"], ["build", "build"], ["shard", "shard"], ["runner", "runner"], ["commit", "commit"]]) {
        const cell = make("td", run[name], name === "commit" ? "mono" : "");
        cell.dataset.label = label;
        row.append(cell);
      }
      const wall = make("td", duration(run.wall), "num");
      wall.dataset.label = "time";
      row.append(wall);
      return row;
    };

    const draw = () => {
      rows.replaceChildren(...found.slice(0, shown).map(rowOf));
      find("more").hidden = found.length <= shown;
      find("more").textContent = `Show ${Math.min(PAGE, found.length - shown)} more of ${(found.length - shown).toLocaleString("en")}`;
      const red = found.filter(isRed).length;
      const what = state.verdict ? ` behind the verdict on ${state.verdict}` : "";
      find("status").textContent = found.length
        ? `${found.length.toLocaleString("en")} of ${runs.length.toLocaleString("en")} runs${what}, ${red.toLocaleString("en")} red`
        : "No run matches. Clear the filters to see all.";
      find("count").textContent = found.length.toLocaleString("en");
    };

    const query = () => {
      const params = new URLSearchParams();
      const q = form.elements.q.value.trim();
      if (q) params.set("q", q);
      for (const name of FILTERS) if (form.elements[name].value) params.set(name, form.elements[name].value);
      for (const name of ["verdict", "run"]) if (state[name]) params.set(name, state[name]);
      return params.toString();
    };

    const apply = () => {
      const words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
      const chosen = state.verdict && data.verdicts[state.verdict] ? new Set(data.verdicts[state.verdict]) : null;
      state = { ...state, words, chosen };
      for (const name of FILTERS) state[name] = form.elements[name].value;
      found = runs.filter((run) => matches(run, state));
      shown = PAGE;
      draw();
      showRates(state.config);
      for (const link of document.querySelectorAll("nav a[data-section]")) {
        const params = query();
        link.href = `#${link.dataset.section}${params ? `?${params}` : ""}`;
      }
    };
    const remember = () => {
      const params = query();
      history.replaceState(null, "", `#runs${params ? `?${params}` : ""}`);
    };

    const changed = () => { state.verdict = state.run = undefined; apply(); remember(); };
    let waiting;
    form.elements.q.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(changed, 120); });
    for (const name of FILTERS) form.elements[name].addEventListener("change", changed);
    form.addEventListener("submit", (event) => { event.preventDefault(); changed(); });
    find("reset").addEventListener("click", () => { form.reset(); changed(); form.elements.q.focus(); });
    find("link").addEventListener("click", (event) => copy(event.currentTarget, location.href));
    find("more").addEventListener("click", () => {
      const before = shown;
      shown += PAGE;
      rows.append(...found.slice(before, shown).map(rowOf));
      find("more").hidden = found.length <= shown;
      find("more").textContent = `Show ${Math.min(PAGE, found.length - shown)} more of ${(found.length - shown).toLocaleString("en")}`;
      rows.children[before]?.querySelector("button").focus();
    });

    const follow = () => {
      const [section, params] = decodeHash();
      if (params) {
        form.elements.q.value = params.get("q") || "";
        for (const name of FILTERS) {
          form.elements[name].value = params.get(name) || "";
          if (form.elements[name].selectedIndex < 0) form.elements[name].value = "";
        }
        state = { verdict: params.get("verdict") || undefined, run: params.get("run") || undefined };
        apply();
        if (state.run && found.length === 1) rows.querySelector("button.open").click();
      }
      const target = section && params && find(section);
      if (target) target.scrollIntoView({ behavior: "instant" });
    };
    window.addEventListener("hashchange", follow);
    form.hidden = false;
    find("table-of-runs").hidden = false;
    apply();
    follow();
  };

  const decodeHash = () => {
    const hash = location.hash.slice(1);
    const mark = hash.indexOf("?");
    return mark < 0 ? [hash, null] : [hash.slice(0, mark), new URLSearchParams(hash.slice(mark + 1))];
  };

  // --- rates of one configuration

  const picker = find("rates-of");
  const showRates = (config) => {
    if (!picker) return;
    const figures = [...document.querySelectorAll(".rates")];
    const wanted = figures.some((one) => one.dataset.config === config) ? config : "";
    picker.value = wanted;
    for (const one of figures) one.hidden = one.dataset.config !== wanted;
  };
  if (picker) {
    picker.parentElement.hidden = false;
    picker.addEventListener("change", () => showRates(picker.value));
    for (const name of document.querySelectorAll(".rates-name")) name.classList.add("visually-hidden");
    showRates("");
  }

  if (find("data")) {
    unpack("data").then(list).catch((error) => {
      find("status").textContent = `The list of runs cannot be shown: ${error.message}. A newer browser may help.`;
    }).finally(() => { document.documentElement.dataset.ready = "true"; });
  } else {
    document.documentElement.dataset.ready = "true";
  }
})();

"use strict";
(() => {
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();

  // Figures carry tokens such as "@ink"; the page's own colours go in, so that one figure serves both themes.
  const painted = (value) => {
    if (typeof value === "string") {
      return value.startsWith("@") ? colour(value.slice(1)) : value;
    }
    if (Array.isArray(value)) {
      return value.map(painted);
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, painted(inner)]));
    }
    return value;
  };

  // The plot library lies in the page compressed: unpacked, it is an inline script like this one.
  const unpack = async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };

  const draw = (place, width) => {
    const figure = painted(JSON.parse(document.getElementById(place.dataset.figure).textContent));
    figure.layout.width = width || place.clientWidth;
    if (figure.layout.width < 560) {
      figure.layout.font.size = 12;
      for (const trace of figure.data) {
        if (trace.type === "heatmap") {
          trace.showscale = false;
        }
      }
    }
    const config = { displaylogo: false, displayModeBar: false, responsive: false };
    return Plotly.react(place, figure.data, figure.layout, config);
  };

  const visible = () => [...document.querySelectorAll(".plot")].filter((place) => place.clientWidth > 0);
  const drawAll = (width) => {
    if (window.Plotly) {
      visible().forEach((place) => draw(place, width));
    }
  };

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());

  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => drawAll(), 120);
  });

  // On paper: light, and as wide as the paper.
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    drawAll(680);
  });
  addEventListener("afterprint", () => {
    if (before) {
      root.dataset.theme = before;
    } else {
      delete root.dataset.theme;
    }
    drawAll();
  });

  for (const button of document.querySelectorAll("[data-shows]")) {
    button.addEventListener("click", () => {
      for (const other of button.parentElement.querySelectorAll("[data-shows]")) {
        other.setAttribute("aria-pressed", String(other === button));
        document.getElementById(other.dataset.shows).hidden = other !== button;
      }
      drawAll();
    });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    table.querySelectorAll("th").forEach((heading, column) => {
      const button = heading.querySelector("button");
      if (!button) {
        return;
      }
      button.addEventListener("click", () => {
        const numeric = heading.classList.contains("number");
        const turned = heading.getAttribute("aria-sort") === (numeric ? "descending" : "ascending");
        const direction = numeric === turned ? 1 : -1;
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === "" || y === "") {
            return (x === "") - (y === "");
          }
          return direction * (numeric ? Number(x) - Number(y) : x.localeCompare(y));
        });
        table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
        body.append(...rows);
      });
    });
  }

  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copies);
      getSelection().selectAllChildren(text);
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "copied";
      } catch {
        button.textContent = "selected: copy it";
      }
    });
  }

  // On a phone what backs the verdict is folded away; on paper all of it stands.
  const folded = [...document.querySelectorAll("details.more")];
  folded.forEach((one) => { one.open = innerWidth > 640; });
  addEventListener("beforeprint", () => folded.forEach((one) => { one.open = true; }));

  if (document.querySelector(".plot")) {
    unpack().then(() => drawAll(), () => {
      for (const place of document.querySelectorAll(".plot")) {
        place.textContent = "This browser cannot unpack the plots (it lacks DecompressionStream); the tables say the same.";
      }
    });
  }
})();

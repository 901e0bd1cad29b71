"use strict";
// Draws the figures in the colours of the page, and again when the reader turns from light to dark.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };

  function template() {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    const axis = {
      gridcolor: colour("--line"), linecolor: colour("--none"), zeroline: false, tickcolor: colour("--none"),
      exponentformat: "e", ticklabelstandoff: 4, title: { font: { size: 12 }, standoff: 8 },
    };
    return { layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), size: 11.5, family: getComputedStyle(document.body).fontFamily },
      xaxis: axis, yaxis: axis,
      annotationdefaults: { bgcolor: colour("--paper"), borderpad: 1 },
      hoverlabel: { bgcolor: colour("--paper"), bordercolor: colour("--none"), font: { color: colour("--ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--none"), activecolor: colour("--ink") },
    } };
  }

  function draw() {
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = figures[place.dataset.figure][Number(place.dataset.number)];
      const width = figure.layout.meta && figure.layout.meta.least_width;
      if (width) place.style.minWidth = width + "px";
      Plotly.react(place, figure.data, { ...figure.layout, template: template() }, options);
    }
  }

  dark.addEventListener("change", draw);
  draw();
})();

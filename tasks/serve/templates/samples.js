element.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-sample]");
  if (chosen) trigger("click", { sample: Number(chosen.dataset.sample) });
});

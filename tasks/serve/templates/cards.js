element.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const said = form.querySelector("output");
  said.textContent = "…";
  try {
    said.textContent = await server.store(form.dataset.sha256, form.elements.label.value);
  } catch {
    said.textContent = "Nothing was stored: the server does not answer; is darkroom demo still running?";
  }
});

// The SQL page works without this: here is only what a keyboard expects.

const box = document.getElementById("q");

box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    box.form.requestSubmit();
  }
});

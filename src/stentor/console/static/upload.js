// Sends a file to the link that the form carries, and says how far it is. Without this there is a command to copy.
(function () {
  for (const form of document.querySelectorAll("form[data-upload]")) {
    const [file, bar, said] = ["input[type=file]", "progress", "output"].map((each) => form.querySelector(each));
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const request = new XMLHttpRequest();
      const show = (text) => { said.textContent = text; };
      request.upload.addEventListener("progress", (at) => {
        bar.max = at.total;
        bar.value = at.loaded;
        show(`${at.loaded.toLocaleString()} of ${at.total.toLocaleString()} bytes`);
      });
      request.addEventListener("load", () => {
        if (request.status < 300) { location.assign(form.dataset.then); return; }
        const why = request.responseXML?.querySelector("Message")?.textContent;
        show(why || `The file was not taken: ${request.status}. Send it again.`);
        form.querySelector("button").disabled = false;
      });
      request.addEventListener("error", () => {
        show("The connection broke. What came is kept; send the file again.");
        form.querySelector("button").disabled = false;
      });
      form.querySelector("button").disabled = true;
      request.open("PUT", form.dataset.upload);
      request.send(file.files[0]);
    });
  }
})();

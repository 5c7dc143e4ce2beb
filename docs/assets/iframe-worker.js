// A page that was opened from the disk may start no worker, and the search of the site is one.
// This stands in for `Worker` there: the same script, in a hidden frame.

class FrameWorker extends EventTarget {
  constructor(url) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    const inside = frame.contentWindow;
    inside.document.open();
    inside.document.write(
      "<body><script>postMessage = (data) => answer(data); importScripts = " + loadInTurn +
      '</script><script src="' + encodeURI(String(url)) + '"></script></body>'
    );
    inside.document.close();
    // Only now: to open a document takes every listener off its window.
    inside.answer = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    this.ready = new Promise((resolve) => {
      inside.addEventListener("load", () => resolve(inside));
    });
  }

  postMessage(data) {
    this.ready.then((inside) => {
      inside.dispatchEvent(new inside.MessageEvent("message", { data: structuredClone(data) }));
    });
  }

  terminate() {}
}

// What scripts of a frame load, they load one after the other.
function loadInTurn(...urls) {
  return urls.reduce(
    (before, url) => before.then(() => new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = resolve;
      document.body.append(script);
    })),
    Promise.resolve()
  );
}

if (location.protocol === "file:") {
  window.Worker = FrameWorker;
}

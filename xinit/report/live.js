// The page's own part while it is served: it asks for the version each second and loads a newer one, without losing the
// place, the sliders, the boxes or what is opened.
(() => {
  const KEY = "xinit-place", line = document.getElementById("live"), version = line.dataset.version;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const title = (part) => part.querySelector("summary").textContent;
  const loaded = `Live: this page follows its folder. Last change shown at ${new Date().toLocaleTimeString()}.`;
  const say = (words) => { line.textContent = words; };

  function keep() {
    const sliders = all("input[type=range]").filter((own) => own.value !== own.max); // one at its end follows the run
    sessionStorage.setItem(KEY, JSON.stringify({
      top: scrollY,
      sliders: sliders.map((own) => [own.id, own.value]),
      hidden: all("input[type=checkbox]").filter((own) => !own.checked).map((own) => own.id),
      open: all("details[open]").map(title),
    }));
  }

  function restore(place) {
    for (const part of all("details")) part.open = place.open.includes(title(part));
    for (const box of all("input[type=checkbox]")) box.checked = !place.hidden.includes(box.id);
    for (const [id, value] of place.sliders) {
      const own = document.getElementById(id);
      if (own === null) continue;
      own.value = value;
      own.dispatchEvent(new Event("input", {bubbles: true}));
    }
    scrollTo(0, place.top);
  }

  function whenDrawn(action, attempts = 100) {
    if (attempts === 0 || all(".chart").every((chart) => chart.querySelector("svg"))) action();
    else setTimeout(whenDrawn, 50, action, attempts - 1);
  }

  async function look() {
    if (document.hidden) return;
    let found;
    try {
      const answer = await fetch("/version", {cache: "no-store"});
      if (!answer.ok) throw new Error(answer.status);
      found = await answer.json();
    } catch {
      say("This page is not updated: xinit.report --watch has ended, or cannot be reached.");
      return;
    }
    if (found.version !== version && document.querySelector("input:active") === null) {
      keep();
      location.reload();
    } else {
      say(found.problem ? `${loaded} ${found.problem}` : loaded);
    }
  }

  async function follow() {
    await look();
    setTimeout(follow, 1000);
  }

  history.scrollRestoration = "manual";
  const place = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  say(loaded);
  whenDrawn(() => {
    if (place !== null) restore(JSON.parse(place));
    follow();
  });
})();

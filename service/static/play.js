// The playground: the address holds n and seed, so that a link reproduces what is shown.

const MOST_SEED = 2 ** 32; // drawn seeds stay short enough to read out; any up to 2^53 - 1 can be typed
const $ = (id) => document.getElementById(id);
let texts = [];
let inFlight = new AbortController();

function drawSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % MOST_SEED;
}

function fromAddress() {
  const asked = new URLSearchParams(location.search);
  $("n").value = asked.get("n") ?? "60";
  $("seed").value = asked.get("seed") ?? String(drawSeed());
}

function wanted() {
  return { n: $("n").valueAsNumber, seed: $("seed").valueAsNumber };
}

function toAddress(replace) {
  const { n, seed } = wanted();
  const address = `?n=${n}&seed=${seed}`;
  if (address !== location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
}

function showCall(body) {
  const url = new URL("v1/generate", document.baseURI);
  $("call").textContent = `curl ${url} \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
}

function showTexts() {
  $("texts").replaceChildren(...texts.map((text) => {
    const item = document.createElement("li");
    item.dir = "auto";
    item.textContent = text || "(empty)";
    item.classList.toggle("empty", !text);
    return item;
  }));
}

function fail(message) {
  $("error").textContent = message;
  $("error").hidden = false;
  $("status").textContent = "";
}

async function ask(body, signal) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("v1/generate", { method: "POST", headers, body: JSON.stringify(body), signal });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail ?? `the service answered ${answer.status}`);
  return content;
}

async function generate() {
  if (!$("controls").reportValidity()) return;
  inFlight.abort();
  inFlight = new AbortController();
  const { signal } = inFlight;
  const body = wanted();
  const started = performance.now();
  showCall(body);
  $("texts").setAttribute("aria-busy", "true");
  try {
    const content = await ask(body, signal);
    texts = content.texts;
    showTexts();
    $("model").textContent = content.model.name;
    $("digest").textContent = content.model.digest.slice(0, 12);
    $("digest").title = `The model's digest: ${content.model.digest}`;
    $("error").hidden = true;
    $("status").textContent = summary(performance.now() - started);
  } catch (error) {
    if (signal.aborted) return;
    fail(error instanceof TypeError ? "The service cannot be reached." : error.message);
  }
  $("texts").setAttribute("aria-busy", "false");
}

function summary(milliseconds) {
  const distinct = new Set(texts).size;
  const unit = texts.length === 1 ? "string" : "strings";
  return `${texts.length.toLocaleString()} ${unit}, ${distinct.toLocaleString()} distinct, in ${Math.round(milliseconds)} ms`;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text); // refused on plain HTTP from another machine
    $("status").textContent = `Copied ${what}.`;
  } catch {
    fail(`This browser does not let the page copy: select ${what} and copy by hand.`);
  }
}

function again() {
  $("seed").value = String(drawSeed());
  toAddress(false);
  generate();
}

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  toAddress(false);
  generate();
});
$("again").addEventListener("click", again);
$("copy").addEventListener("click", () => copy(texts.join("\n") + "\n", "the strings"));
$("link").addEventListener("click", () => copy(location.href, "the link"));
$("copy-call").addEventListener("click", () => copy($("call").textContent, "the call"));
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input");
  if (event.key === "r" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) again();
});
window.addEventListener("popstate", () => {
  fromAddress();
  generate();
});

fromAddress();
toAddress(true);
generate();

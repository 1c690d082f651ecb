// The playground: the address holds n, seed, model and label, so that a link reproduces what is shown; it never holds the key.

const MOST_SEED = 2 ** 32; // drawn seeds stay short enough to read out; any up to 2^53 - 1 can be typed
const $ = (id) => document.getElementById(id);
let texts = [];
let models = []; // none: not known yet
const labels = new Map(); // names of labels by model, where they are known
let inFlight = new AbortController();

function drawSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % MOST_SEED;
}

function fromAddress() {
  const asked = new URLSearchParams(location.search);
  $("n").value = asked.get("n") ?? String(Math.min(60, $("n").max || 60));
  $("seed").value = asked.get("seed") ?? String(drawSeed());
  offerModels(asked.get("model"));
  offerLabels(asked.get("label"));
}

const served = (name) => models.some((model) => model.name === name);

function offerModels(asked) {
  offer("name", models.map(({ name }) => new Option(name)), asked, models.length ? " (not served)" : "");
  if (!asked) $("name").value = models.find((model) => model.default)?.name ?? $("name").value;
}

function offerLabels(asked) {
  const known = labels.get($("name").value);
  const options = (known ?? []).map((name) => new Option(name));
  offer("label", [new Option("drawn for each", ""), ...options], asked, known ? " (not known)" : "");
}

// What a link asks for is offered even if there is no such thing, and marked: the service says what is wrong.
function offer(id, options, asked, mark) {
  if (asked && options.every(({ value }) => value !== asked)) options.push(new Option(asked + mark, asked));
  $(id).replaceChildren(...options);
  if (asked) $(id).value = asked;
  $(id).labels[0].hidden = options.length < 2;
}

// The one model that is served needs no name.
function wanted() {
  const [model, label] = [$("name").value, $("label").value];
  const named = model && ($("name").options.length > 1 || !served(model));
  const chosen = { ...(named ? { model } : {}), ...(label ? { label } : {}) };
  return { n: $("n").valueAsNumber, seed: $("seed").valueAsNumber, ...chosen };
}

function toAddress(replace) {
  const address = `?${new URLSearchParams(wanted())}`;
  if (address !== location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
}

async function knowBounds() {
  const fields = (await ask("openapi.json")).components.schemas.GenerateRequest.properties;
  const seed = fields.seed.anyOf.find((option) => option.maximum !== undefined);
  Object.assign($("n"), { min: fields.n.minimum, max: fields.n["x-maximum-whole"] });
  Object.assign($("seed"), { min: seed.minimum, max: seed.maximum });
}

async function knowModels(signal) {
  if (!models.length) {
    models = (await ask("v1/models", { signal })).models;
    offerModels($("name").value);
  }
  const name = $("name").value;
  if (served(name) && !labels.has(name)) {
    const model = await ask(`v1/models/${encodeURIComponent(name)}`, { signal }).catch(() => null);
    if (model) labels.set(name, (model.labels ?? []).map((label) => label.name)); // strings come without it, too
  }
  offerLabels($("label").value);
}

function showCall(body) {
  const url = new URL("v1/generate", document.baseURI);
  const key = $("key").labels[0].hidden ? "" : ` \\\n  -H "Authorization: Bearer $CHARWGAN_KEY"`;
  const data = JSON.stringify(body).replaceAll("'", "'\\''");
  $("call").textContent = `curl ${url}${key} \\\n  -H 'Content-Type: application/json' \\\n  -d '${data}'`;
}

function showTexts(labels = []) {
  $("texts").replaceChildren(...texts.map((text, i) => {
    const item = document.createElement("li");
    item.dir = "auto";
    item.textContent = text || "(empty)";
    item.classList.toggle("empty", !text);
    if (labels.length) item.append(Object.assign(document.createElement("small"), { textContent: labels[i] }));
    return item;
  }));
}

function fail(message) {
  $("error").textContent = message;
  $("error").hidden = false;
  $("status").textContent = "";
}

function failed(error) {
  models = []; // perhaps others by now
  labels.clear();
  fail(error instanceof TypeError ? "The service cannot be reached." : error.message);
}

async function ask(path, { headers = {}, ...options } = {}) {
  const key = $("key").value ? { Authorization: `Bearer ${$("key").value}` } : {};
  const answer = await fetch(path, { headers: { ...headers, ...key }, ...options });
  if (answer.ok) return answer.json();
  if (answer.status === 401) throw new Error(askForKey());
  const problem = await answer.json().catch(() => ({})); // a proxy answers with a page
  throw new Error(problem.detail ?? `the service answered ${answer.status}`);
}

// Returns what to say to a person, who has a field for it and no header.
function askForKey() {
  $("key").labels[0].hidden = false;
  $("key").required = true;
  $("key").focus();
  showCall(wanted());
  return $("key").value ? "The service does not know this key." : "The service wants a key: put yours into the field.";
}

function busy(is) {
  $("texts").setAttribute("aria-busy", String(is));
}

async function generate({ replace = false } = {}) {
  inFlight.abort();
  if (!$("controls").reportValidity()) return busy(false);
  inFlight = new AbortController();
  const { signal } = inFlight;
  const started = performance.now();
  busy(true);
  try {
    await knowModels(signal);
    toAddress(replace);
    const body = wanted();
    showCall(body);
    const headers = { "Content-Type": "application/json" };
    const content = await ask("v1/generate", { method: "POST", headers, body: JSON.stringify(body), signal });
    texts = content.texts;
    showTexts(content.labels);
    $("model").textContent = content.model.name;
    $("digest").textContent = content.model.digest.slice(0, 12);
    $("digest").title = `The model's digest: ${content.model.digest}`;
    $("error").hidden = true;
    $("status").textContent = summary(performance.now() - started);
  } catch (error) {
    if (signal.aborted) return;
    failed(error);
  }
  busy(false);
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
  generate();
}

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
$("name").addEventListener("change", () => {
  $("label").value = ""; // another model has others
  generate();
});
$("label").addEventListener("change", () => generate());
$("again").addEventListener("click", again);
$("copy").addEventListener("click", () => copy(texts.join("\n") + "\n", "the strings"));
$("link").addEventListener("click", () => copy(location.href, "the link"));
$("copy-call").addEventListener("click", () => copy($("call").textContent, "the call"));
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select");
  if (event.key === "r" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) again();
});
window.addEventListener("popstate", () => {
  fromAddress();
  generate({ replace: true });
});

await knowBounds().catch(() => {}); // the service itself knows them anyway
fromAddress();
await knowModels().catch(failed); // also where the fields are wrong, and nothing is generated
showCall(wanted());
generate({ replace: true });

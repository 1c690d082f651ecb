// Draws openapi.json.  No library, because none may be loaded from elsewhere.

const description = await (await fetch("openapi.json")).json();

function element(name, content = [], attributes = {}) {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...[content].flat());
  return node;
}

function table(heads, rows, ids = []) {
  const cells = (kind, values) => values.map((value) => element(kind, value));
  const head = element("thead", element("tr", cells("th", heads)));
  return element("table", [head, element("tbody", rows.map((row, i) => element("tr", cells("td", row), { id: ids[i] ?? "" })))]);
}

function resolve(schema) {
  return schema?.$ref ? schema.$ref.slice(2).split("/").reduce((node, key) => node[key], description) : schema;
}

function kind(property) {
  const schema = resolve(property.anyOf?.find((option) => option.type !== "null") ?? property);
  if (schema.type === "array") return `array of ${kind(schema.items)}`;
  if (schema.enum) return schema.enum.join(" or ");
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const from = schema.minimum === undefined ? "above" : "from";
  return least === undefined || schema.maximum === undefined ? schema.type : `${schema.type} ${from} ${least} to ${schema.maximum}`;
}

function fields(schema) {
  const known = resolve(schema);
  if (!known.properties) return element("p", known.description ?? "Text.");
  const required = new Set(known.required ?? []);
  const rows = Object.entries(known.properties).map(([name, property]) => {
    const rest = required.has(name) || property.default == null ? "" : ` Default: ${property.default}.`;
    return [element("code", name), kind(property), `${property.description ?? resolve(property).description ?? ""}${rest}`];
  });
  return table(["Field", "Kind", "Meaning"], rows);
}

function call(path, content) {
  const url = new URL(path.slice(1), document.baseURI);
  if (!content) return `curl ${url}`;
  const bodies = Object.values(content.examples).map((example) => JSON.stringify(example.value));
  return bodies.map((body) => `curl ${url} -H 'Content-Type: application/json' -d '${body}'`).join("\n");
}

function answers(responses) {
  const rows = Object.entries(responses).map(([status, response]) => {
    const kinds = Object.values(Object.values(response.content ?? {})[0]?.examples ?? {}).map((example) => example.value.type);
    const links = kinds.flatMap((type) => [" ", element("a", type.split("#")[1], { href: `#${type.split("#")[1]}` })]);
    return [element("code", status), [response.description, ...links]];
  });
  return table(["Status", "Meaning"], rows);
}

function operation(path, method, details) {
  const content = details.requestBody?.content["application/json"];
  const success = Object.entries(details.responses["200"]?.content ?? {});
  const title = element("h2", [element("code", method.toUpperCase(), { className: "method" }), element("code", path)]);
  const parts = [title, element("p", `${details.summary}${/[.?!]$/.test(details.summary) ? "" : "."} ${details.description ?? ""}`)];
  parts.push(element("pre", element("code", call(path, content)), { tabIndex: 0 }));
  if (content) parts.push(element("h3", "Request"), fields(content.schema));
  for (const [mediaType, { schema }] of success) {
    parts.push(element("h3", ["Response as ", element("code", mediaType)]), fields(schema));
  }
  parts.push(element("h3", "Answers"), answers(details.responses));
  return element("article", parts);
}

function problems(kinds) {
  const names = Object.keys(kinds);
  const rows = names.map((name) => [element("code", name), element("code", String(kinds[name].status)), `${kinds[name].title}. ${kinds[name].advice}`]);
  const text = "Every error is application/problem+json (RFC 9457): its type ends in one of these names, its detail says what was wrong.";
  return element("article", [element("h2", "Errors"), element("p", text), table(["Type", "Status", "Meaning"], rows, names)]);
}

const main = document.getElementById("main");
for (const [path, methods] of Object.entries(description.paths)) {
  main.append(...Object.entries(methods).map(([method, details]) => operation(path, method, details)));
}
main.append(problems(description["x-problems"]));
main.setAttribute("aria-busy", "false");
if (location.hash) location.replace(location.hash); // the target did not exist when the page was loaded

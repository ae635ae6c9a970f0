// Runs the SQL tests that the runner beside this one runs, in Node: its head says what a test is made of.
//
// run.mjs PACKAGES PYTHON EXTENSION BASALT FILE.test...
//
// PACKAGES is the folder in which @duckdb/node-api was installed. Exit code 1 if a test fails, 77 if that
// package is not there.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [packages, python, extension, command, ...tests] = process.argv.slice(2);
if (!existsSync(join(packages, "node_modules/@duckdb/node-api"))) {
    console.log(`skipped: there is no @duckdb/node-api in ${packages} (tools/setup test installs it)`);
    process.exit(77);
}
const duckdb = createRequire(resolve(packages, "package.json"))("@duckdb/node-api");

/** [{line, head, sql, expected}] of a file. */
function recordsOf(path) {
    const blocks = [];
    let block = [];
    [...readFileSync(path, "utf8").split("\n"), ""].forEach((line, index) => {
        if (line.startsWith("#")) return;
        if (line.trim() === "") {
            if (block.length) blocks.push(block);
            block = [];
            return;
        }
        block.push({ text: line, number: index + 1 });
    });
    return blocks.map((lines) => {
        const rest = lines.slice(1).map((line) => line.text);
        const split = rest.includes("----") ? rest.indexOf("----") : rest.length;
        return {
            line: lines[0].number,
            head: lines[0].text.trim().split(/\s+/),
            sql: rest.slice(0, split).join("\n"),
            expected: rest.slice(split + 1),
        };
    });
}

/** The same rows, all of whose values are text; but what cannot stand in a FROM clause is left as it is. */
function asText(sql) {
    const first = sql.trim().split(/\s+/)[0].toLowerCase();
    const queries = ["select", "from", "with", "values", "describe", "summarize"];
    return queries.includes(first) ? `SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (${sql})` : sql;
}

function shown(value) {
    return value === null ? "NULL" : String(value) || "(empty)";
}

async function runQuery(connection, head, sql, expected) {
    const reader = await connection.runAndReadAll(asText(sql));
    let rows = reader.getRows().map((row) => row.map(shown).join("\t"));
    if (head.includes("rowsort")) {
        rows = rows.sort();
        expected = [...expected].sort();
    }
    if (rows.join("\n") === expected.join("\n")) return null;
    return `expected:\n    ${expected.join("\n    ")}\n  found:\n    ${rows.slice(0, 30).join("\n    ")}`;
}

/** Why it failed, or null. */
async function runRecord(connection, { head, sql, expected }) {
    const kind = head.slice(0, 2).join(" ");
    if (head[0] === "query") return runQuery(connection, head, sql, expected);
    if (kind === "statement ok") {
        await connection.run(sql);
        return null;
    }
    if (kind !== "statement error") return `what is '${head.join(" ")}'?`;
    try {
        await connection.runAndReadAll(sql);
    } catch (error) {
        const wanted = expected.join("\n");
        return wanted && error.message.includes(wanted) ? null : `the error is: ${error.message}`;
    }
    return "there was no error";
}

function olderThan(version, wanted) {
    const numbers = (text) => text.match(/\d+/g).slice(0, 3).map(Number);
    const [have, want] = [numbers(version), numbers(wanted)];
    const at = want.findIndex((number, i) => number !== have[i]);
    return at >= 0 && have[at] < want[at];
}

async function runFile(path, folder, counts) {
    const instance = await duckdb.DuckDBInstance.create(":memory:", { allow_unsigned_extensions: "true" });
    const connection = await instance.connect();
    await connection.run(`LOAD '${extension}'`);
    let leave = false;
    for (const record of recordsOf(path)) {
        if (record.head[0] === "require" && record.head[1] === "duckdb") {
            leave ||= olderThan(duckdb.version(), record.head[2]);
            continue;
        }
        if (leave) {
            counts.leftOut++;
            continue;
        }
        counts.total++;
        record.sql = record.sql.replaceAll("{dir}", folder);
        record.expected = record.expected.map((line) => line.replaceAll("{dir}", folder));
        const why = await runRecord(connection, record).catch((error) => `error: ${error.message}`);
        if (!why) continue;
        counts.failed++;
        console.log(`${basename(path)}:${record.line}: ${record.sql}\n  ${why}`);
    }
    connection.closeSync();
    instance.closeSync();
}

const folder = mkdtempSync(join(tmpdir(), "basalt-sql-"));
const counts = { total: 0, failed: 0, leftOut: 0 };
try {
    const files = join(dirname(fileURLToPath(import.meta.url)), "files.py");
    execFileSync(python, [files, folder, command], { stdio: "inherit" });
    for (const test of tests) await runFile(test, folder, counts);
} finally {
    rmSync(folder, { recursive: true });
}
console.log(`DuckDB ${duckdb.version()} in Node ${process.version}: ${counts.total} records, ` +
    `${counts.failed} failed, ${counts.leftOut} left out that need a newer one`);
process.exitCode = counts.failed || !counts.total ? 1 : 0;

// Runs the tests: npm test, or npm test -- reload network for some files only.
// DESKLINE_BIN names another binary, CHROMIUM another browser.

import { spawn } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import path from 'node:path';
import { binary, isDeskline } from './lib/binary.js';
import { executablePath } from './lib/chromium.js';

/** When the run is given up, in ms; it takes about a third of that. */
const DEADLINE = Number(process.env.DESKLINE_TEST_DEADLINE ?? 400) * 1000;
/** What is left to the tests to end their servers and browsers then. */
const GRACE = 5000;

const here = import.meta.dirname;

function runnable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What has to be there, and what to do when it is not. */
function missing() {
  const list = [];
  if (isDeskline && !runnable(binary)) list.push(`${binary} is missing or cannot be run: run "make build", or name a binary in DESKLINE_BIN`);
  if (!runnable(executablePath)) list.push(`Chromium is missing, ${executablePath} cannot be run: run scripts/install.sh, or name the program in CHROMIUM`);
  if (!readdirSync(here).includes('node_modules')) list.push('the clients are missing: run "npm ci" in test/clients');
  return list;
}

function files(words) {
  const all = readdirSync(here).filter((name) => name.endsWith('.test.js'));
  const chosen = words.length ? all.filter((name) => words.some((word) => name.startsWith(word))) : all;
  if (!chosen.length) throw new Error(`no test file begins with ${words.join(' or ')}; there are ${all.join(' ')}`);
  return chosen;
}

/** Two files at a time: most of what a test does is wait. */
async function run(names) {
  // A group of its own, so that nothing outlives the run.
  const child = spawn(process.execPath, ['--test', '--test-concurrency=2', '--test-reporter=spec', '--test-reporter-destination=stdout', ...names],
    { cwd: here, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // all have ended
    }
  };
  let late = false;
  const end = () => {
    signal('SIGTERM');
    setTimeout(signal, GRACE, 'SIGKILL').unref();
  };
  const timer = setTimeout(() => {
    late = true;
    end();
  }, DEADLINE);
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, end);
  const code = await new Promise((resolve) => child.on('close', (status, by) => resolve(by ? 1 : status)));
  clearTimeout(timer);
  signal('SIGKILL'); // whoever is left
  if (late) console.error(`given up after ${DEADLINE / 1000} s`);
  return late ? 1 : code;
}

const lacking = missing();
if (lacking.length) {
  for (const line of lacking) console.error(line);
  process.exitCode = 1;
} else {
  process.exitCode = await run(files(process.argv.slice(2)).map((name) => path.join(here, name)));
}

/* Prints how long `require` and `activate` of the bundle in argv[2] take in this fresh process, as JSON. */
const Module = require('node:module');
const { performance } = require('node:perf_hooks');

/** Stands for all of `vscode`: can be called, constructed, extended and looked into, and says nothing. */
function stub(name) {
  const members = new Map();
  const target = function () {
    return target.returns;
  };
  target.returns = undefined;
  return new Proxy(target, {
    get(_, key) {
      if (key === 'prototype') return target.prototype;
      if (key === Symbol.toPrimitive) return () => name;
      if (key === Symbol.iterator) return function* () {};
      // Not a promise, or `await` would never end.
      if (key === 'then') return undefined;
      if (key === 'get' || key === 'inspect') return (_name, otherwise) => otherwise;
      if (!members.has(key)) members.set(key, stub(String(key)));
      return members.get(key);
    },
    set: () => true,
    apply: (_target, _this, args) => {
      void args;
      return stub(`${name}()`);
    },
    construct: (_target, _args, newTarget) => {
      const made = stub(`new ${name}`);
      return newTarget === undefined
        ? made
        : Object.setPrototypeOf(function () {}, newTarget.prototype);
    },
  });
}

class EventEmitter {
  constructor() {
    this.listeners = [];
    this.event = (listener) => {
      this.listeners.push(listener);
      return { dispose() {} };
    };
  }
  fire(value) {
    for (const listener of this.listeners) listener(value);
  }
  dispose() {}
}

const vscode = stub('vscode');
const api = new Proxy(vscode, {
  get: (target, key) => (key === 'EventEmitter' ? EventEmitter : target[key]),
});
const load = Module._load;
Module._load = function (request, ...rest) {
  return request === 'vscode' ? api : load.call(this, request, ...rest);
};

const path = require('node:path');
const os = require('node:os');
const root = path.resolve(__dirname, '../..');
const memento = { get: (_key, otherwise) => otherwise, update: async () => {}, keys: () => [] };
const context = {
  subscriptions: [],
  extensionPath: root,
  extensionUri: api.Uri,
  asAbsolutePath: (relative) => path.join(root, relative),
  globalState: { ...memento, setKeysForSync() {} },
  workspaceState: memento,
  globalStorageUri: { fsPath: os.tmpdir() },
  storageUri: undefined,
  logUri: { fsPath: os.tmpdir() },
  extensionMode: 1,
  extension: { packageJSON: require(path.join(root, 'package.json')) },
};

async function main() {
  const start = performance.now();
  const extension = require(path.resolve(process.argv[2]));
  const required = performance.now();
  const result = extension.activate(context);
  const returned = performance.now();
  await result;
  const done = performance.now();
  process.stdout.write(
    JSON.stringify({
      require: required - start,
      activate: returned - required,
      total: done - start,
    }),
  );
  process.exit(0);
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});

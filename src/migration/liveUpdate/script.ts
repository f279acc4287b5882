import {
  isArray,
  isObject,
  parseJson,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../../qmp/json';
import { adoptWord } from './planSteps';
import { shellWord } from './shellWord';
import type { LiveUpdatePlan, PlanStep } from './types';

/**
 * A plan as a script for a POSIX shell that does the same by hand, with `socat` for QMP and our helper
 * for what a shell cannot do. It stops at the first thing that goes wrong, with the guest where it is;
 * it has no guard over the switchover, no journal and no roll-back beyond ending the new QEMU. Pure.
 */
export function planScript(plan: LiveUpdatePlan): string {
  const body = plan.method === 'cpr-exec' ? execBody(plan) : moveBody(plan);
  return `${[...head(plan), ...body].join('\n')}\n`;
}

function head(plan: LiveUpdatePlan): readonly string[] {
  const { label, start, request, method } = plan;
  return [
    '#!/bin/sh',
    comment(`Live update of ${label} to ${start.program}, by ${method}.`),
    comment('The monitor serves one client: disconnect others from it first.'),
    'set -eu',
    '',
    `old=${shellWord(request.machine)}`,
    `new=${shellWord(start.qmpSocket)}`,
    `log=${shellWord(start.logFile)}`,
    `pid=${start.like.pid}`,
    `ticks=${start.like.startTicks}`,
    'helper=${FDPASS:-fdpass}',
    '',
    comment('Talks to a socket: what is read here goes there, and what comes back is printed.'),
    'talk() {',
    '  if command -v socat >/dev/null; then socat -t 30 - "UNIX-CONNECT:$1"; else',
    "    python3 -c 'import socket, sys",
    's = socket.socket(socket.AF_UNIX); s.settimeout(30); s.connect(sys.argv[1])',
    's.sendall(sys.stdin.buffer.read()); text = b""',
    'while text.count(b"\\"return\\"") + text.count(b"\\"error\\"") < 2:',
    '    more = s.recv(65536)',
    '    if not more: break',
    '    text += more',
    `sys.stdout.write(text.decode())' "$1"; fi`,
    '}',
    comment('Sends one line to the monitor at a socket; a refusal ends the script.'),
    'qmp() {',
    `  answer=$({ printf '%s\\n%s\\n' '{"execute":"qmp_capabilities"}' "$2"; sleep 0.2; } |`,
    `    talk "$1" | grep -v '"QMP"\\|"event"' | sed -n 2p)`,
    '  case $answer in',
    `    *'"error"'*) printf 'refused: %s\\n%s\\n' "$2" "$answer" >&2; return 1 ;;`,
    `    *'"return"'*) printf '%s\\n' "$answer" ;;`,
    `    *) printf 'no answer: %s\\n' "$2" >&2; return 1 ;;`,
    '  esac',
    '}',
    '',
    comment('The very process that the plan was made for.'),
    '[ "$(sed \'s/.*) //\' "/proc/$pid/stat" | cut -d" " -f20)" = "$ticks" ] || {',
    "  echo 'The old QEMU is not the one of the plan.' >&2",
    '  exit 1',
    '}',
    '',
  ];
}

function moveBody(plan: LiveUpdatePlan): readonly string[] {
  const { start, method, steps, moves, pidFile } = plan;
  const arriving = method === 'cpr-transfer';
  const taps = start.adopt.flatMap(({ sourceFd, tap }) =>
    tap === undefined ? [] : ['--tap', `${sourceFd}:${tap}`],
  );
  const launch = [
    ...start.adopt.flatMap((one) => ['--adopt', adoptWord(one)]),
    ...['--log', '3', '--env-like', '--', start.program, ...start.args],
  ];
  const commands = steps.filter(({ line, side }) => line !== undefined && side !== 'host');
  const before = commands.filter(({ phase }) => phase === 'before');
  const late = commands.filter(({ phase, side }) => phase === 'after' && side === 'target');
  return [
    'dir=$(mktemp -d /tmp/qemu-migration-XXXXXX)',
    'guard=',
    'next=',
    'begun=',
    'finish() {',
    '  rm -rf -- "$dir"',
    '  if [ -z "$begun" ] && [ -n "$next" ]; then kill -9 "$next" 2>/dev/null || :; fi',
    '  if [ -n "$guard" ]; then exec 9>&-; fi',
    '}',
    'trap finish EXIT',
    ...(start.like.uid === 0 ? [] : [`chown ${start.like.uid} "$dir" 2>/dev/null || :`]),
    '',
    ...(taps.length === 0
      ? []
      : [
          comment('Keeps the TAPs as the running guest needs them until its input ends.'),
          'mkfifo "$dir/hold"',
          `"$helper" hold --like "$pid" --start-ticks "$ticks" ${words(taps)} <"$dir/hold" >"$dir/hold.log" &`,
          'guard=$!',
          'exec 9>"$dir/hold"',
          'sleep 0.2',
          'kill -0 "$guard"',
          '',
        ]),
    comment('The new QEMU, started like the old one.'),
    `"$helper" launch --like "$pid" --start-ticks "$ticks" ${words(launch)} 3>>"$log" &`,
    'next=$!',
    ...(arriving
      ? [`until [ -S ${shellWord(start.cprSocket ?? '')} ]; do kill -0 "$next"; sleep 0.05; done`]
      : [awaitSocket]),
    '',
    ...before.flatMap((step) => scriptLine(step, arriving)),
    '',
    comment('Wait for the end, as the old QEMU sees it.'),
    'while :; do',
    '  state=$(qmp "$old" \'{"execute":"query-migrate"}\')',
    '  case $state in',
    '    *\'"status": "completed"\'*) break ;;',
    '    *\'"status": "failed"\'* | *\'"status": "cancelled"\'*)',
    '      printf \'%s\\n\' "$state" >&2',
    '      begun=',
    '      exit 1 ;;',
    '  esac',
    'done',
    'printf \'%s\\n\' "$state"',
    'qmp "$old" \'{"execute":"quit"}\' || :',
    'while kill -0 "$pid" 2>/dev/null && [ "$(sed \'s/.*) //\' "/proc/$pid/stat" | cut -c1)" != Z ]; do sleep 0.02; done',
    ...late.flatMap((step) => scriptLine(step, false)),
    ...moves.map(({ from, to }) => `mv -f -- ${shellWord(from)} ${shellWord(to)}`),
    ...(pidFile === undefined ? [] : [`printf '%s\\n' "$next" >${shellWord(pidFile)}`]),
    "echo 'The guest runs in the new QEMU.'",
  ];
}

const awaitSocket = 'until [ -S "$new" ]; do kill -0 "$next"; sleep 0.05; done';

/** What nobody of a script would go on after, or what only the product can do. */
function scriptLine({ side, what, line }: PlanStep, arriving: boolean): readonly string[] {
  const command = line === undefined ? undefined : parseJson(line);
  if (!isObject(command)) return [];
  const { execute } = command;
  if (
    execute === 'getfd' ||
    execute === 'migrate-continue' ||
    execute === 'stop' ||
    execute === 'cont'
  )
    return [];
  const text = stringifyJson(command);
  if (text.includes('pause-before-switchover')) return [];
  const socket = side === 'source' ? '"$old"' : '"$new"';
  const sent = quoted(withOwnPath(command));
  // Its answer comes only once the new QEMU has what it needs.
  const wait = arriving && execute === 'migrate' ? [awaitSocket] : [];
  // From then on the guest may be in the new QEMU, which is not ended before the old one says no.
  const begun = execute === 'migrate' ? ['begun=1'] : [];
  return [comment(what), ...begun, `qmp ${socket} ${sent} >/dev/null`, ...wait];
}

const placeholder = '@OWN@';

/** The channel is a socket in a directory of the script's. */
function withOwnPath(value: JsonValue): JsonValue {
  if (typeof value === 'string') {
    if (/^fd:qemu-migration-/.test(value)) return `unix:${placeholder}/migration.sock`;
    return value.replace('/tmp/qemu-migration-RANDOM', placeholder);
  }
  if (isArray(value)) return value.map(withOwnPath);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([name, member]): [string, JsonValue] => [
    name,
    withOwnPath(member),
  ]);
  return Object.fromEntries(entries) satisfies JsonObject;
}

/** One word, in which the script's directory is put. */
function quoted(value: JsonValue): string {
  return stringifyJson(value)
    .split(placeholder)
    .map((part) => `'${part.replaceAll("'", `'\\''`)}'`)
    .join('"$dir"');
}

function execBody({ steps }: LiveUpdatePlan): readonly string[] {
  const before = steps.filter(
    ({ phase, line, side }) => phase === 'before' && side !== 'host' && line,
  );
  return [
    'dir=$(mktemp -d /tmp/qemu-migration-XXXXXX)',
    ...before.flatMap((step) => scriptLine(step, false)),
    comment('The process becomes the new program; its monitor answers again when it has come up.'),
    'until qmp "$old" \'{"execute":"query-status"}\' 2>/dev/null; do kill -0 "$pid"; sleep 0.1; done',
    'rm -rf -- "$dir"',
  ];
}

function words(list: readonly string[]): string {
  return list.map(shellWord).join(' ');
}

/** Never more than the line: what a machine is called may hold anything. */
function comment(text: string): string {
  return `# ${text.replace(/[\r\n\0]+/g, ' ')}`;
}

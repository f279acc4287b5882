/**
 * A trivial QMP server in a process of its own: `serverProcess.ts DIRECTORY COUNT` listens on
 * DIRECTORY/0.qmp, 1.qmp, ... and answers each command with what QEMU 11.1 answered when it was recorded
 * (`{}` if it was not). It ends when its standard input does.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';

interface Recorded {
  readonly dir: 'in' | 'out';
  readonly msg: Readonly<Record<string, unknown>>;
}

const recording = join(__dirname, '../recordings/11.1-stock/introspection/source.jsonl');
const greetingAndReplies = readFileSync(recording, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as Recorded);
const greeting = `${JSON.stringify(greetingAndReplies[0]?.msg)}\r\n`;

/** What comes between `{` and `, "id": ...`, by command and arguments. */
const answers = new Map<string, string>();
const asked = new Map<unknown, string>();
for (const { dir, msg } of greetingAndReplies) {
  if (dir === 'out') asked.set(msg['id'], key(msg));
  else {
    const command = asked.get(msg['id']);
    const kind = 'error' in msg ? 'error' : 'return';
    if (command !== undefined && !answers.has(command)) {
      answers.set(command, `{"${kind}": ${JSON.stringify(msg[kind])}, "id": `);
    }
  }
}

function key(message: Readonly<Record<string, unknown>>): string {
  const args = message['arguments'];
  const command = String(message['execute']);
  return args === undefined ? command : `${command} ${JSON.stringify(args)}`;
}

function serve(socket: Socket): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.write(greeting);
  socket.on('error', () => socket.destroy());
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    let replies = '';
    for (const line of lines) {
      if (line === '') continue;
      const message = JSON.parse(line) as Record<string, unknown>;
      const answer = answers.get(key(message)) ?? '{"return": {}, "id": ';
      replies += `${answer}${JSON.stringify(message['id'])}}\r\n`;
    }
    socket.write(replies);
  });
}

const [directory = '', count = '1'] = process.argv.slice(2);
let listening = 0;
for (let index = 0; index < Number(count); index += 1) {
  createServer(serve).listen(join(directory, `${index}.qmp`), () => {
    listening += 1;
    if (listening === Number(count)) process.stdout.write('ready\n');
  });
}
process.stdin.resume().on('end', () => process.exit(0));

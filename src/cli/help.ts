/** What `--help` teaches beyond options: examples, and what a person needs to know first. */
import { exitCodeMeanings } from './exitCodes';

export const summary =
  'See and drive live migration of QEMU machines on this host, over their QMP sockets.';

export const socketArgument = "path of the machine's QMP socket";

export const afterAll = `
Examples:
  qemu-migration list
  qemu-migration show /run/vm/web-1.qmp
  qemu-migration set /run/vm/web-1.qmp max-bandwidth 2GiB/s
  qemu-migration migrate /run/vm/web-1.qmp /run/vm/web-1-new.qmp

SOCKET is where QEMU listens when started with
  -qmp unix:/run/vm/web-1.qmp,server=on,wait=off
It serves one client at a time: give QEMU a second -qmp if another program holds the first.

Exit codes:
${exitCodeMeanings.map(([code, meaning]) => `  ${code}  ${meaning}`).join('\n')}

"qemu-migration COMMAND --help" has more about each command.`;

export const list = `
Reads only /proc and disturbs nobody; a QMP socket serves one client at a time.
With --connect, machines whose monitor is free tell their status too.

Examples:
  qemu-migration list
  qemu-migration list --connect --json | jq -r '.qemus[] | select(.status == "running").name'`;

export const show = `
Examples:
  qemu-migration show /run/vm/web-1.qmp
  qemu-migration show --json /run/vm/web-1.qmp | jq '.parameters."max-bandwidth"'

--json gives QEMU's own names and numbers: bytes, bytes/s, milliseconds.`;

export const set = `
QEMU's answer is the truth: the value is read back and shown as QEMU has it then.

Examples:
  qemu-migration set /run/vm/web-1.qmp max-bandwidth 2GiB/s
  qemu-migration set /run/vm/web-1.qmp downtime-limit 500ms
  qemu-migration set /run/vm/web-1.qmp mode normal
  qemu-migration set /run/vm/web-1.qmp auto-converge on       (a capability)

Exit code 2: the value makes no sense. 4: this QEMU refused it, or has no such setting.`;

export const backendTransfer = `
Backend transfer hands open devices (TAP interfaces, for example) to the target instead of
opening them again. QEMUs name it differently ("backend-transfer", "local"); this finds the name.
It must be the same on both sides: "migrate --backend-transfer" sets both.

Examples:
  qemu-migration backend-transfer /run/vm/web-1.qmp on
  qemu-migration backend-transfer /run/vm/web-1.qmp off

Exit code 4: this QEMU does not have it.`;

export const migrate = `
The target is a second QEMU on this host with the same machine and devices, its own sockets, and
  -incoming defer

Examples:
  qemu-migration migrate /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration migrate --backend-transfer /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration migrate --max-bandwidth unlimited --transport unix a.qmp b.qmp
  qemu-migration migrate --json a.qmp b.qmp | jq -r .outcome

Ctrl+C (SIGINT) or SIGTERM cancels, says so, and waits for what really happened. A second one stops
watching (exit code 8) and says what to look at: the migration itself is QEMU's and may go on.
If the terminal goes away the run is watched on to its end.

Exit codes: 0 the guest is on the target; 3 no connection; 4 refused, nothing changed;
5 failed, 6 cancelled: the guest runs on the source; 7 too late to cancel: it runs on the target;
8 unknown: needs you. With --json the last and only thing on stdout is the outcome; progress is on
stderr.`;

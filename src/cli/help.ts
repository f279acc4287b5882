/** What `--help` teaches beyond options: examples, and what a person needs to know first. */
import { exitCodeMeanings } from './exitCodes';

export const summary =
  'See and drive live migration of QEMU machines on this host, over their QMP sockets.';

export const socketArgument = "path of the machine's QMP socket";

export const afterAll = `
Examples:
  qemu-migration list
  qemu-migration show /run/vm/web-1.qmp
  qemu-migration params /run/vm/web-1.qmp --changed
  qemu-migration params /run/vm/web-1.qmp max-bandwidth=2GiB/s downtime-limit=0.3s
  qemu-migration diff /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration apply "Lowest downtime" /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration preflight /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration migrate /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration migrate --method save --file /var/vm/web-1.saved /run/vm/web-1.qmp
  qemu-migration live-update /run/vm/web-1.qmp --qemu /opt/qemu-11.2/bin/qemu-system-x86_64 --dry-run
  qemu-migration resume --all
  qemu-migration quit /run/vm/web-1.qmp

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

export const params = `
Without assignments it lists: name, value, and the default where the value differs from it.
With assignments all are set or none: each is checked first, QEMU's refusal of one puts the others
back, and every value is read back. Units are written as people do: 2GiB/s, 0.3s, 50%.

Examples:
  qemu-migration params /run/vm/web-1.qmp --changed
  qemu-migration params /run/vm/web-1.qmp --find bandwidth
  qemu-migration params /run/vm/web-1.qmp max-bandwidth=2GiB/s downtime-limit=0.3s
  qemu-migration params /run/vm/web-1.qmp --reset max-bandwidth
  qemu-migration params /run/vm/web-1.qmp --changed --as global

Defaults are what a fresh QEMU of that version and machine type reports. --reset-all leaves alone
what is named beside it, and what QEMU cannot unset, and says so. Ctrl+C lets a change be made, or put
back, first; a second one leaves it (exit code 8).
Exit code 2: a value makes no sense. 4: refused, and nothing was changed.
8: not all could be put back; the text says what.`;

export const caps = `
Without assignments it lists; with assignments all are set or none.

Examples:
  qemu-migration caps /run/vm/web-1.qmp --changed
  qemu-migration caps /run/vm/web-1.qmp return-path=on events=on
  qemu-migration caps /run/vm/web-1.qmp --changed --as qmp

Exit code 4: refused, and nothing was changed.`;

export const diff = `
Each row says what a difference means: some settings must be equal or the migration fails or
hangs, some may differ, and some matter on one side only. "!" marks what is to be resolved.

Examples:
  qemu-migration diff /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration diff --json a.qmp b.qmp | jq -r '.problems[]'

Exit code 0: nothing stands in the way. 9: something that must be equal differs.`;

export const apply = `
A profile is a named set of parameters and capabilities: a built-in one, or one of your file.
Of two machines the one that waits for a migration is the target. All is applied or nothing.

Examples:
  qemu-migration profiles
  qemu-migration apply --dry-run "Fastest total" /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration apply lab-fast /run/vm/web-1.qmp --file lab.qemu-migration.json

Exit code 4: it does not fit a machine, or the file has errors; nothing was changed.
8: not all could be put back; the text says what.`;

export const profiles = `
Errors in the file are listed as FILE:LINE:COLUMN; profiles without errors can be used all the same.

Examples:
  qemu-migration profiles
  qemu-migration profiles --file lab.qemu-migration.json

Exit code 4: the file has errors.`;

export const backendTransfer = `
Backend transfer hands open devices (TAP interfaces, for example) to the target instead of
opening them again. QEMUs name it differently ("backend-transfer", "local"); this finds the name.
It must be the same on both sides: "migrate --backend-transfer" sets both.

Examples:
  qemu-migration backend-transfer /run/vm/web-1.qmp on
  qemu-migration backend-transfer /run/vm/web-1.qmp off
  qemu-migration backend-transfer /run/vm/web-1.qmp on --target /run/vm/web-1-new.qmp

Exit code 4: this QEMU does not have it.`;

export const methods = `
Found by the QEMU's own schema, not by its version. With two sockets both have to offer it.

Examples:
  qemu-migration methods /run/vm/web-1.qmp
  qemu-migration methods --json a.qmp b.qmp | jq -r '.methods[] | select(.offered).method'

Whether these two machines can use it (memory that is shared, files that are there) is for
"preflight --method HOW" to say.`;

export const preflight = `
Looks at both QEMUs, their disks and this host, and changes nothing. Three kinds of findings:
what blocks a migration, what to think about first (QEMU takes another CPU model, MAC address
or disk without a word), and what is good to know. Where settings help, it prints the call.
It takes the options of "migrate", and judges with them.

Examples:
  qemu-migration preflight /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration preflight --method postcopy --preempt a.qmp b.qmp
  qemu-migration preflight --method save --file /var/vm/web-1.saved a.qmp
  qemu-migration preflight --measure --max-bandwidth unlimited a.qmp b.qmp
  qemu-migration preflight --json a.qmp b.qmp | jq -r '.findings[] | select(.level == "warns").id'

--measure asks QEMU how much memory the guest writes to in one second, and says whether the
migration will come to an end.

Exit code 0: nothing blocks. 4: something does.`;

export const migrate = `
Methods ("methods SOCKET" says which this QEMU offers):
  precopy       memory is copied while the guest runs, the rest while it stands still (default)
  postcopy      the guest goes over early and fetches its memory from there; ends surely, but the
                guest is lost if either side dies meanwhile
  shared-ram    both QEMUs map the same memory file; only the devices travel
  cpr-transfer  the target takes memory and descriptors over; for an update of QEMU
  cpr-exec      QEMU replaces itself by another program, in the same process
  cpr-reboot    the guest is saved for a restart of the host; memory may stay in its own file
  save          the guest is saved to a file, and stops
  restore       a saved guest goes on in a QEMU that waits

The target (for restore: the one SOCKET) is a second QEMU on this host with the same machine and
devices, its own sockets, and
  -incoming defer
for cpr-transfer also
  -incoming '{"channel-type":"cpr","addr":{"transport":"socket","type":"unix","path":"CPR.sock"}}'
Its monitor answers only once the migration has begun, so name the path that it will have.

Examples:
  qemu-migration migrate /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration migrate --backend-transfer /run/vm/web-1.qmp /run/vm/web-1-new.qmp
  qemu-migration migrate --max-bandwidth unlimited --multifd 4 a.qmp b.qmp
  qemu-migration migrate --method postcopy --postcopy-after 2 a.qmp b.qmp
  qemu-migration migrate --listen 127.0.0.1:0 --allow-plain-tcp a.qmp b.qmp
  qemu-migration migrate --method cpr-transfer --cpr-socket /run/vm/CPR.sock a.qmp b.qmp
  qemu-migration migrate --method save --mapped-ram --file /var/vm/web-1.saved a.qmp
  qemu-migration migrate --method restore --mapped-ram --file /var/vm/web-1.saved b.qmp
  qemu-migration migrate --method cpr-exec --allow-exec --exec-command a.qmp -- /opt/qemu-new ARGS
  qemu-migration migrate --json a.qmp b.qmp | jq -r .outcome

Without --transport it is a pair of descriptors; with --listen TCP; where several connections are
needed (--multifd, --preempt) a UNIX socket. TCP without TLS needs --allow-plain-tcp.

While it goes on, with --interactive or at a terminal, one control a line:
  help                 what each does and risks, and what can be used now
  set NAME=VALUE       a parameter that acts at once: max-bandwidth, downtime-limit, ...
  postcopy             start postcopy now
  release              go on with a switchover that is held
  pause, recover       interrupt postcopy, and take it up over a new channel
  cancel               as Ctrl+C
  yank                 cut the channel of a migration that hangs
What is refused is told and the migration goes on. The end of stdin changes nothing.

Ctrl+C (SIGINT) or SIGTERM cancels, says so, and waits for what really happened. A second one stops
watching (exit code 8) and says what to look at: the migration itself is QEMU's and may go on.
If the terminal goes away the run is watched on to its end.

Some of what "preflight" blocks can be forced, with --force "why"; what would lose the guest cannot.

Exit codes: 0 the guest is on the target, or saved in the file; 3 no connection; 4 refused, nothing
changed; 5 failed, 6 cancelled: the guest is where it was; 7 too late to cancel: it has gone over;
8 unknown: needs you. With --json the last and only thing on stdout is the outcome; progress is on
stderr.`;

export const liveUpdate = `
Starts a second QEMU of the same machine on this host, moves the guest into it, and gives it the old
one's names: QMP socket, monitors, consoles, pidfile. The guest keeps its memory, its devices and, but
for --method plain, the very same TAPs. Whatever fails before it has gone over: the guest stays where it is,
and what was begun is taken back.

Ways, the best that both QEMUs offer first; "--dry-run" says why one is not offered:
  backend-transfer  QEMU itself hands the TAPs over
  tap-adoption      we hand duplicates of the TAP queues over; for released QEMUs
  cpr-transfer      the memory stays where it is; needs memory that can be shared (share=on)
  shared-ram        both QEMUs map the same memory file
  cpr-exec          the process becomes the new program; a wrong command line is found out before
  plain             the new QEMU opens networks of its own

Taking TAPs over needs the right to look into the running QEMU: root, CAP_SYS_PTRACE, or the same user
where kernel.yama.ptrace_scope is 0.

Look first:
  qemu-migration live-update web-1.qmp --qemu /opt/qemu/bin/qemu-system-x86_64 --dry-run
  qemu-migration live-update web-1.qmp --qemu ... --script > update.sh
Run:
  qemu-migration live-update web-1.qmp --qemu /opt/qemu/bin/qemu-system-x86_64
  qemu-migration live-update web-1.qmp            (after its package was upgraded in place)
Edit the new command line, one option a line:
  qemu-migration live-update web-1.qmp --qemu ... --print-args > args
  qemu-migration live-update web-1.qmp --qemu ... --args args
Many: all are planned before the first begins; it is updated alone, and its pause judged:
  qemu-migration live-update /run/vm/*.qmp --qemu ... --canary-limit 50ms --at-a-time 4
For programs:
  qemu-migration live-update web-1.qmp --qemu ... --json | jq '{outcome, pause: .times.downtimeMs}'

Ctrl+C (SIGINT) or SIGTERM cancels and waits for what really happens: a guest that has not gone over stays
in its old QEMU, and no other machine begins. A second one stops watching (exit code 8); "resume" takes
the update up again.

Exit codes: 0 the guest runs in the new QEMU; 3 no connection; 4 refused, nothing changed (with
--dry-run: it would be); 5 failed, 6 cancelled: the guest runs in the old QEMU; 7 too late to cancel: it
runs in the new one; 8 unknown: needs you; 10 several: stopped at --canary-limit. Of several the
gravest: 8, 5, 7, 6, 4, 10.`;

export const continueGuest = `
Sends "cont" to a guest that stands still: one that its user paused, or that a migration left so.
First it looks at the machine, at others of the same UUID, and at what past migrations proved, and
refuses what is not proven to be safe. The source of a completed migration is never continued, not
even when the target is gone: QEMU would take it, and an old copy would damage the disk. There is no
--force for this. A guest that was saved to a file goes on only with --discard-saved, which removes
the file first.

Examples:
  qemu-migration continue /run/vm/web-1.qmp
  qemu-migration continue --discard-saved /var/vm/web-1.saved /run/vm/web-1.qmp

Exit code 4: refused, nothing was sent; the text says what is missing.`;

export const quit = `
Ends a QEMU whose guest is proven to be elsewhere: the source of a completed migration, a target that
failed while the guest stayed, a source whose guest is saved in a file. A machine with a running
guest is never quit. It waits until the process is gone.

Examples:
  qemu-migration migrate a.qmp b.qmp && qemu-migration quit a.qmp

Exit code 4: refused, nothing was sent; the text says what is missing. 8: it was told to quit, and is
still there.`;

export const runs = `
Each migration is written down while it goes on, so that another program can finish it when the
one that drives it is killed. The last 100 that have ended are kept. They are in
$QEMU_MIGRATION_STATE, else $XDG_STATE_HOME/qemu-migration, else ~/.local/state/qemu-migration.
What cannot be read there is set aside as *.damaged and named on stderr.

Examples:
  qemu-migration runs
  qemu-migration runs --unfinished --json | jq -r '.runs[].run'`;

export const resume = `
Finds both QEMUs again and looks what they say. What had not begun is taken back; a migration under
way is watched to its end; what was stopped for a cancel is continued where that is proven to be
safe; borrowed settings are put back. If it cannot be found out it says so, and can be tried again.

Examples:
  qemu-migration resume 20260102T030405-1a2b3c
  qemu-migration resume 1a2b3c
  qemu-migration resume --all

Ctrl+C cancels the migration, a second one stops watching. With --interactive, or at a terminal,
controls are typed as for "migrate".

Exit codes as of migrate: 0 the guest is on the target, or in its file; 4 refused: no such run, or another program
drives it; 5 failed: also a migration that had not begun; 6 cancelled; 7 too late to cancel;
8 unknown: needs you. With --all: 0 when all have ended in one of the known ways, else 8.`;

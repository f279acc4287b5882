#include "fdpass.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: fdpass pair --to FD MESSAGE --to FD MESSAGE\n"
    "       fdpass send --to FD MESSAGE --fd N [--to FD MESSAGE --fd N]...\n"
    "       fdpass tap NAME [--multi-queue] [--vnet-hdr] --to FD MESSAGE [--to FD MESSAGE]...\n"
    "       fdpass adopt --like PID --start-ticks T --from FD:IFNAME --to FD MESSAGE\n"
    "       fdpass peer --from FD [--from FD]...\n"
    "       fdpass launch --like PID --start-ticks T [--adopt FD=N[:IFNAME]]... [--log FD]\n"
    "                     [--env-like] -- PROGRAM [ARGUMENT]...\n"
    "       fdpass hold --like PID --start-ticks T --tap FD:IFNAME [--tap FD:IFNAME]...\n"
    "                   [--header-size FD=BYTES]... [--offloads FD=FLAGS]... [--linger-ms MS]\n"
    "       fdpass --version | --help\n"
    "\n"
    "Sends each MESSAGE (a QMP getfd or add-fd command) on the inherited, connected UNIX stream\n"
    "socket FD, with one descriptor attached: an end of a new socketpair, the inherited descriptor\n"
    "N, a queue of the TAP interface NAME, or what process PID has as FD. peer says who is at the\n"
    "other end of inherited sockets, launch becomes PROGRAM in the surroundings of process PID, and\n"
    "hold looks after the TAPs of process PID. Each prints one line of JSON; README.md has the rest.\n"
    "\n"
    "  --timeout-ms MS   deadline for the whole job (default 5000)\n"
    "\n"
    "exit: 0 sent; 10 bad destination; 11 bad descriptor; 12 no socketpair; 13 no TAP; 14 timeout;\n"
    "      15 peer closed; 16 send failed; 17 interrupted; 18 no report; 19 set-up failed;\n"
    "      20 process gone; 21 not permitted; 22 not fetched; 23 not that TAP; 24 unlike;\n"
    "      25 not executed; 26 TAP control failed; 64 usage\n";

static int print(const char *text) {
  return fputs(text, stdout) == EOF || fflush(stdout) == EOF ? OUTCOME_REPORT_FAILED : OUTCOME_OK;
}

static bool make_descriptors(struct job *job, struct failure *failure) {
  switch (job->verb) {
    case VERB_PAIR:
      return make_pair(job, failure);
    case VERB_TAP:
      return open_tap_queues(job, failure);
    case VERB_ADOPT:
      return adopt_descriptor(job, failure);
    case VERB_SEND: /* given by the caller */
    case VERB_PEER: /* below */
    case VERB_LAUNCH:
    case VERB_HOLD:
    case VERB_NONE:
    case VERB_VERSION:
    case VERB_HELP:
      break;
  }
  return true;
}

int main(int argc, char **argv) {
  static struct job job;
  struct failure failure = {.outcome = OUTCOME_OK, .error = 0, .destination = -1, .detail = NULL};

  static const struct {
    const char *word;
    int (*run)(int argc, char **argv);
  } verbs[] = {{"peer", run_peer}, {"launch", run_launch}, {"hold", run_hold}};
  for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++) {
    if (strcmp(argv[1], verbs[i].word) == 0) {
      return verbs[i].run(argc - 2, argv + 2);
    }
  }
  if (parse_arguments(argc, argv, &job, &failure)) {
    if (job.verb == VERB_VERSION) {
      return print("fdpass " FDPASS_VERSION "\n");
    }
    if (job.verb == VERB_HELP) {
      return print(help);
    }
    /* Everything that can be checked is checked before the first byte leaves. */
    (void)(isolate(&job, &failure) && catch_signals(&failure) && check_inherited(&job, &failure) &&
           make_descriptors(&job, &failure) && send_all(&job, &failure));
  }
  return report(&job, &failure);
}

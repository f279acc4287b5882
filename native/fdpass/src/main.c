#include "fdpass.h"

#include <stdio.h>

static const char help[] =
    "usage: fdpass pair --to FD MESSAGE --to FD MESSAGE\n"
    "       fdpass send --to FD MESSAGE --fd N [--to FD MESSAGE --fd N]...\n"
    "       fdpass tap NAME [--multi-queue] [--vnet-hdr] --to FD MESSAGE [--to FD MESSAGE]...\n"
    "       fdpass --version | --help\n"
    "\n"
    "Sends each MESSAGE (a QMP getfd or add-fd command) on the inherited, connected UNIX stream\n"
    "socket FD, with one descriptor attached: an end of a new socketpair, the inherited descriptor\n"
    "N, or a queue of the TAP interface NAME. Prints one line of JSON and exits.\n"
    "\n"
    "  --timeout-ms MS   deadline for the whole job (default 5000)\n"
    "\n"
    "exit: 0 sent; 10 bad destination; 11 bad descriptor; 12 no socketpair; 13 no TAP; 14 timeout;\n"
    "      15 peer closed; 16 send failed; 17 interrupted; 18 no report; 19 set-up failed; 64 usage\n";

static int print(const char *text) {
  return fputs(text, stdout) == EOF || fflush(stdout) == EOF ? OUTCOME_REPORT_FAILED : OUTCOME_OK;
}

static bool make_descriptors(struct job *job, struct failure *failure) {
  switch (job->verb) {
    case VERB_PAIR:
      return make_pair(job, failure);
    case VERB_TAP:
      return open_tap_queues(job, failure);
    case VERB_SEND: /* given by the caller */
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

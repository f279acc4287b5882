/* fdpass: sends a given QMP command with one descriptor attached on an inherited, connected socket. */
#ifndef FDPASS_H
#define FDPASS_H

#include <stdbool.h>
#include <stddef.h>

#define FDPASS_VERSION "1.0.0"

enum {
  MAX_DESTINATIONS = 64,
  MAX_MESSAGE_BYTES = 65536,
  DEFAULT_TIMEOUT_MS = 5000,
  MAX_TIMEOUT_MS = 600000,
};

/* Exit codes; report.c has the reason word of each, README.md what each means for the caller. */
enum outcome {
  OUTCOME_OK = 0,
  OUTCOME_BAD_DESTINATION = 10,
  OUTCOME_BAD_DESCRIPTOR = 11,
  OUTCOME_PAIR_FAILED = 12,
  OUTCOME_TAP_FAILED = 13,
  OUTCOME_TIMEOUT = 14,
  OUTCOME_PEER_CLOSED = 15,
  OUTCOME_SEND_FAILED = 16,
  OUTCOME_INTERRUPTED = 17,
  OUTCOME_REPORT_FAILED = 18,
  OUTCOME_SETUP_FAILED = 19,
  OUTCOME_USAGE = 64,
};

enum verb { VERB_NONE, VERB_PAIR, VERB_SEND, VERB_TAP, VERB_VERSION, VERB_HELP };

struct destination {
  int fd;              /* the inherited QMP socket */
  const char *message; /* the command, byte for byte */
  size_t bytes;        /* its length */
  size_t bytes_written;
  int descriptor; /* what rides on the first byte; -1 until known */
};

struct job {
  enum verb verb;
  struct destination destinations[MAX_DESTINATIONS];
  size_t count;
  const char *tap_name;
  bool multi_queue;
  bool vnet_hdr;
  int timeout_ms;
};

struct failure {
  enum outcome outcome;
  int error;       /* an errno, or 0 */
  int destination; /* index, or -1 */
  const char *detail;
};

/* Each step returns true, or false with *failure filled in by fail(). */
bool fail(struct failure *failure, enum outcome outcome, int error, int destination,
          const char *detail);

/* args.c */
bool parse_arguments(int argc, char **argv, struct job *job, struct failure *failure);

/* inherit.c: what this process got from its parent. */
bool isolate(const struct job *job, struct failure *failure);
bool check_inherited(struct job *job, struct failure *failure);

/* send.c */
bool catch_signals(struct failure *failure);
bool make_pair(struct job *job, struct failure *failure);
bool send_all(struct job *job, struct failure *failure);

/* tap.c */
bool valid_interface_name(const char *name);
bool open_tap_queues(struct job *job, struct failure *failure);

/* report.c */
const char *verb_word(enum verb verb);
int report(const struct job *job, const struct failure *failure);

#endif

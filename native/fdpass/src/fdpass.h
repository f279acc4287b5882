/* fdpass: what a live migration needs of descriptors and processes, and Node cannot do. */
#ifndef FDPASS_H
#define FDPASS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FDPASS_VERSION "1.1.0"

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
  OUTCOME_PROCESS_GONE = 20,
  OUTCOME_NOT_PERMITTED = 21,
  OUTCOME_FETCH_FAILED = 22,
  OUTCOME_NOT_THAT_TAP = 23,
  OUTCOME_UNLIKE = 24,
  OUTCOME_EXEC_FAILED = 25,
  OUTCOME_TAP_CONTROL_FAILED = 26,
  OUTCOME_USAGE = 64,
};

enum verb {
  VERB_NONE,
  VERB_PAIR,
  VERB_SEND,
  VERB_TAP,
  VERB_ADOPT,
  VERB_PEER,
  VERB_LAUNCH,
  VERB_HOLD,
  VERB_VERSION,
  VERB_HELP,
};

/* Somebody else's process, told from all others that have or had its pid. */
struct process {
  int pid;
  uint64_t start_ticks; /* field 22 of /proc/PID/stat */
  int pidfd;
  int directory; /* its /proc/PID; serves no other process, whoever gets the pid */
};

/* A descriptor of that process, and the TAP that it has to be a queue of; "" for any descriptor. */
struct remote {
  int fd;
  char ifname[IFNAMSIZ];
};

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
  struct process like; /* of adopt: whose descriptor it is */
  bool has_like, has_ticks, has_remote;
  struct remote remote;
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
bool usage(struct failure *failure, const char *detail);
bool parse_number(const char *text, int least, int most, int *number);
bool parse_ticks(const char *text, uint64_t *ticks);
bool parse_remote(const char *text, struct remote *remote);
bool parse_arguments(int argc, char **argv, struct job *job, struct failure *failure);

/* inherit.c: what this process got from its parent. */
bool keep_only(int *keep, size_t count, struct failure *failure);
bool isolate(const struct job *job, struct failure *failure);
bool check_inherited(struct job *job, struct failure *failure);
/* Returns 0, or the errno that says why it is no connected UNIX stream socket. Sets FD_CLOEXEC. */
int check_connected(int fd);

/* process.c */
bool open_process(struct process *process, struct failure *failure);
bool process_alive(const struct process *process);
bool read_start_ticks(int directory, uint64_t *ticks);
/* The whole file as a string, to be freed; NULL with errno. `length` may be NULL. */
char *read_whole(int directory, const char *path, size_t *length);
/* A duplicate with FD_CLOEXEC of what the process has open, after a look whether it is that TAP. */
bool fetch_descriptor(const struct process *process, const struct remote *remote, int index,
                      int *descriptor, struct failure *failure);
bool adopt_descriptor(struct job *job, struct failure *failure);

/* like.c: read of a process in one go, then put on, in parts, since each part forbids the next. */
struct likeness {
  const struct process *process;
  int namespaces; /* those that differ from ours, as setns takes them */
  int root, cwd;  /* O_PATH descriptors */
  char *cgroups, *own_cgroups, *mounts;
  struct missing {
    char what[24][80];
    size_t count;
  } missing; /* what could not be made alike */
};
void miss(struct missing *missing, const char *what, int error);
bool read_likeness(const struct process *process, struct likeness *likeness,
                   struct failure *failure);
bool be_like(struct likeness *likeness, struct failure *failure);
/* cgroup.c */
void join_cgroups(struct likeness *likeness);
/* credentials.c: also what only root may still do before. */
bool take_credentials(struct likeness *likeness, struct failure *failure);

/* peer.c, launch.c, hold.c: verbs of their own; each returns the exit code. */
int run_peer(int argc, char **argv);
int run_launch(int argc, char **argv);
int run_hold(int argc, char **argv);

/* send.c */
bool catch_signals(struct failure *failure);
bool was_interrupted(void);
/* For ppoll: the signals that catch_signals holds back get through. */
const void *waiting_mask(void);
int64_t now_us(void);
bool make_pair(struct job *job, struct failure *failure);
bool send_all(struct job *job, struct failure *failure);

/* tap.c */
bool valid_interface_name(const char *name);
/* An ioctl with a request that does not fit into the int of musl's. */
long tap_control(int fd, unsigned long request, void *argument);
bool open_tap_queues(struct job *job, struct failure *failure);

/* report.c */
struct line {
  char text[16 * 1024];
  size_t length;
};
__attribute__((format(printf, 2, 3))) void append(struct line *line, const char *format, ...);
/* `,"reason":...,"errno":...,"destination":...` */
void append_failure(struct line *line, const struct failure *failure);
bool write_all(int fd, const char *text, size_t length);
/* Valid until the next call. */
const char *errno_word(int error);
/* The whole line of a verb without destinations; false when it cannot be written. */
bool report_failure(int fd, enum verb verb, const struct failure *failure);
void tell_person(const struct failure *failure);
const char *verb_word(enum verb verb);
int report(const struct job *job, const struct failure *failure);

#endif

/*
 * Looks after the TAPs of a process while another one takes them, by lines on stdin and stdout.
 *
 * The end of stdin, SIGTERM and SIGHUP without a release mean that whoever asked for it has died:
 * then everything is put back. If it was guarding, it goes on with that for a while after the end of
 * stdin, since what was begun there, such as a starting QEMU, may still change the TAP. Killed itself,
 * it can put nothing back: the TAP stays as it is in that moment, which is right unless the other
 * process changed it less than a look ago or changes it later.
 */
#include "guard.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TAPS = 64, LOOK_US = 100, DEFAULT_LINGER_MS = 10000 };

struct hold {
  struct process like;
  bool has_like, has_ticks;
  struct held_tap taps[MAX_TAPS];
  size_t count;
  int linger_ms;
  bool guarding;
  bool source_gone; /* nothing to look after any more: whoever has the TAP now is its owner */
  bool released;
  struct failure guard_failure; /* why guarding ended by itself */
};

/* FD=VALUE, of a TAP that was named before. */
static bool parse_setting(struct hold *hold, const char *text, int least, int most,
                          struct held_tap **tap, int *value) {
  char number[16] = "";
  const char *equals = strchr(text, '=');
  int fd = -1;
  if (equals == NULL || (size_t)(equals - text) >= sizeof number) {
    return false;
  }
  memcpy(number, text, (size_t)(equals - text));
  if (!parse_number(number, 0, INT_MAX, &fd) || !parse_number(equals + 1, least, most, value)) {
    return false;
  }
  for (size_t i = 0; i < hold->count; i++) {
    if (hold->taps[i].remote.fd == fd) {
      *tap = &hold->taps[i];
      return true;
    }
  }
  return false;
}

static bool parse_offloads(struct hold *hold, const char *text) {
  struct held_tap *tap = NULL;
  int flags = 0;
  if (!parse_setting(hold, text, 0, 0xffff, &tap, &flags)) {
    return false;
  }
  tap->told_offloads = flags;
  return true;
}

static bool parse_size(struct hold *hold, const char *text) {
  struct held_tap *tap = NULL;
  int size = 0;
  if (!parse_setting(hold, text, 10, 64, &tap, &size)) {
    return false;
  }
  tap->recorded.header_size = size;
  return true;
}

static bool parse_tap(struct hold *hold, const char *text) {
  struct held_tap *tap = &hold->taps[hold->count];
  if (hold->count == MAX_TAPS || !parse_remote(text, &tap->remote) ||
      tap->remote.ifname[0] == '\0') {
    return false;
  }
  tap->fd = tap->told_offloads = tap->asks = -1;
  for (size_t i = 0; i < hold->count; i++) {
    if (hold->taps[i].remote.fd == tap->remote.fd) {
      return false;
    }
  }
  hold->count++;
  return true;
}

static bool parse(int argc, char **argv, struct hold *hold, struct failure *failure) {
  for (int next = 0; next < argc; next += 2) {
    const char *option = argv[next];
    const char *value = next + 1 < argc ? argv[next + 1] : "";
    bool good = false;
    if (strcmp(option, "--like") == 0 && !hold->has_like) {
      good = hold->has_like = parse_number(value, 1, INT_MAX, &hold->like.pid);
    } else if (strcmp(option, "--start-ticks") == 0 && !hold->has_ticks) {
      good = hold->has_ticks = parse_ticks(value, &hold->like.start_ticks);
    } else if (strcmp(option, "--tap") == 0) {
      good = parse_tap(hold, value);
    } else if (strcmp(option, "--header-size") == 0) {
      good = parse_size(hold, value);
    } else if (strcmp(option, "--offloads") == 0) {
      good = parse_offloads(hold, value);
    } else if (strcmp(option, "--linger-ms") == 0) {
      good = parse_number(value, 0, MAX_TIMEOUT_MS, &hold->linger_ms);
    }
    if (!good) {
      return usage(failure, "an option of hold that is unknown, double or has a bad value");
    }
  }
  return (hold->has_like && hold->has_ticks && hold->count > 0) ||
         usage(failure, "hold takes --like, --start-ticks and --tap");
}

static bool take_all(struct hold *hold, struct failure *failure) {
  for (size_t i = 0; i < hold->count; i++) {
    struct held_tap *tap = &hold->taps[i];
    const int told_size = tap->recorded.header_size;
    if (!fetch_descriptor(&hold->like, &tap->remote, (int)i, &tap->fd, failure)) {
      return false;
    }
    find_offloads(tap);
    if (!read_tap(tap, &tap->recorded, (int)i, failure)) {
      return false;
    }
    /* Who knows better than a TAP that another one may have changed already. */
    if (told_size != 0) {
      tap->recorded.header_size = told_size;
    }
  }
  return true;
}

static const char *word(bool value) {
  return value ? "true" : "false";
}

static void append_flags(struct line *line, const char *name, int flags) {
  if (flags == -1) {
    append(line, "\"%s\":null,", name);
  } else {
    append(line, "\"%s\":%d,", name, flags);
  }
}

static void append_offloads(struct line *line, const struct held_tap *tap,
                            const struct tap_state *state) {
  append_flags(line, "offloads", state->offloads);
  append_flags(line, "recordedOffloads",
               tap->told_offloads != -1 ? tap->told_offloads : tap->recorded.offloads);
  if (tap->offloads_error == 0) {
    append(line, "\"offloadsErrno\":null}");
  } else {
    append(line, "\"offloadsErrno\":\"%s\"}", errno_word(tap->offloads_error));
  }
}

static void append_taps(struct line *line, const struct hold *hold) {
  append(line, ",\"guarding\":%s,\"sourceGone\":%s,\"taps\":[", word(hold->guarding),
         word(hold->source_gone));
  for (size_t i = 0; i < hold->count; i++) {
    const struct held_tap *tap = &hold->taps[i];
    struct failure ignored;
    struct tap_state now;
    const bool known = read_tap(tap, &now, (int)i, &ignored);
    const struct tap_state *state = known ? &now : &tap->recorded;
    append(line,
           "%s{\"fd\":%d,\"ifname\":\"%s\",\"known\":%s,\"headerSize\":%d,\"recordedHeaderSize\":%d,"
           "\"vnetHeader\":%s,\"multiQueue\":%s,\"attached\":%s,\"recordedAttached\":%s,"
           "\"sndbuf\":%d,\"putBack\":%lu,\"lateUs\":%ld,",
           i == 0 ? "" : ",", tap->remote.fd, tap->remote.ifname, word(known), state->header_size,
           tap->recorded.header_size, word((state->flags & IFF_VNET_HDR) != 0),
           word((state->flags & IFF_MULTI_QUEUE) != 0), word(state->attached),
           word(tap->recorded.attached), state->sndbuf, tap->put_back, tap->late_us);
    append_offloads(line, tap, state);
  }
  append(line, "]}\n");
}

static bool answer(const struct hold *hold, const char *command, const struct failure *failure) {
  static struct line line;
  line.length = 0;
  append(&line, "{\"ok\":%s,\"verb\":\"hold\",\"command\":\"%s\"", word(failure->outcome == OUTCOME_OK),
         command);
  if (failure->outcome != OUTCOME_OK) {
    append_failure(&line, failure);
    append(&line, ",\"detail\":\"%s\"", failure->detail);
  }
  append_taps(&line, hold);
  return write_all(STDOUT_FILENO, line.text, line.length);
}

/* All of them, even if one fails; tells of the first failure. */
static void restore_all(struct hold *hold, struct failure *failure) {
  for (size_t i = 0; i < hold->count; i++) {
    struct failure one = {.outcome = OUTCOME_OK, .destination = -1};
    if (!restore_tap(&hold->taps[i], (int)i, &one) && failure->outcome == OUTCOME_OK) {
      *failure = one;
    }
  }
}

static void guard_all(struct hold *hold) {
  for (size_t i = 0; i < hold->count; i++) {
    if (!guard_tap(&hold->taps[i], (int)i, &hold->guard_failure)) {
      hold->guarding = false; /* the interface is gone; the next answer tells */
      return;
    }
  }
}

static void begin_guard(struct hold *hold) {
  const int64_t now = now_us();
  for (size_t i = 0; i < hold->count; i++) {
    hold->taps[i].looked_us = now;
  }
  hold->guard_failure.outcome = OUTCOME_OK;
  hold->guarding = !hold->source_gone;
  /* A look every 100 microseconds, not every 150; sooner than others, if we may. */
  (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  const int priority = 1; /* the kernel's struct sched_param; musl's function does nothing */
  (void)setpriority(PRIO_PROCESS, 0, -20);
  (void)syscall(SYS_sched_setscheduler, 0, SCHED_RR, &priority);
  if (hold->guarding) {
    guard_all(hold);
  }
}

/*
 * A QEMU that starts takes its queues for attached and detaches all but the first; where one is
 * detached already, that fails and the QEMU aborts. So they are attached for it and left to it.
 */
static void lend_queues(struct hold *hold, struct failure *failure) {
  for (size_t i = 0; i < hold->count; i++) {
    struct held_tap *tap = &hold->taps[i];
    if (!tap->recorded.attached) {
      tap->queue_left_alone = true;
      if (!set_queue(tap, true, (int)i, failure)) {
        return;
      }
    }
  }
}

/*
 * And when the guest comes over, it attaches what the guest uses; where that is attached already, it
 * fails in the same way. So all is made as it believes it to be: detached but for the first.
 */
static void hand_over_queues(struct hold *hold, struct failure *failure) {
  for (size_t i = 0; i < hold->count; i++) {
    struct held_tap *tap = &hold->taps[i];
    bool first = true;
    for (size_t earlier = 0; earlier < i; earlier++) {
      first = first && strcmp(hold->taps[earlier].remote.ifname, tap->remote.ifname) != 0;
    }
    tap->queue_left_alone = true;
    if (!first && !set_queue(tap, false, (int)i, failure)) {
      return;
    }
  }
}

/* A line with FD=FLAGS for any number of TAPs; takes none unless all are good. */
static bool take_offloads(struct hold *hold, char *words) {
  static struct held_tap before[MAX_TAPS];
  memcpy(before, hold->taps, sizeof before);
  char *rest = words;
  for (const char *each; (each = strtok_r(rest, " ", &rest)) != NULL;) {
    if (!parse_offloads(hold, each)) {
      memcpy(hold->taps, before, sizeof before);
      return false;
    }
  }
  return true;
}

/* Returns false when nobody takes the answer. */
static bool obey(struct hold *hold, char *command) {
  struct failure failure = {.outcome = OUTCOME_OK, .destination = -1};
  const char *name = command;
  char *rest = strchr(command, ' ');
  if (rest != NULL) {
    *rest++ = '\0';
  }
  if (strcmp(command, "guard") == 0 && rest == NULL) {
    begin_guard(hold);
    failure = hold->guard_failure;
  } else if (strcmp(command, "unguard") == 0 && rest == NULL) {
    failure = hold->guard_failure;
    hold->guarding = false;
  } else if (strcmp(command, "query") == 0 && rest == NULL) {
    failure = hold->guard_failure;
  } else if (strcmp(command, "lend") == 0 && rest == NULL) {
    lend_queues(hold, &failure);
  } else if (strcmp(command, "hand-over") == 0 && rest == NULL) {
    hand_over_queues(hold, &failure);
  } else if (strcmp(command, "release") == 0 && rest == NULL) {
    hold->guarding = false;
    hold->released = true;
  } else if (strcmp(command, "restore") == 0) {
    char none[] = "";
    if (take_offloads(hold, rest == NULL ? none : rest)) {
      restore_all(hold, &failure);
    } else {
      (void)usage(&failure, "restore takes FD=FLAGS of held TAPs");
    }
  } else if (strcmp(command, "on-loss") == 0) {
    if (rest == NULL || !take_offloads(hold, rest)) {
      (void)usage(&failure, "on-loss takes FD=FLAGS of held TAPs");
    }
  } else {
    name = "none";
    (void)usage(&failure, "no such command");
  }
  return answer(hold, name, &failure);
}

/* Reads what is there and obeys each whole line; false at the end. */
static bool read_commands(struct hold *hold) {
  static char buffer[4096];
  static size_t length;
  const ssize_t some = read(STDIN_FILENO, buffer + length, sizeof buffer - length);
  if (some <= 0) {
    return some < 0 && (errno == EINTR || errno == EAGAIN);
  }
  length += (size_t)some;
  for (char *end; !hold->released && (end = memchr(buffer, '\n', length)) != NULL;) {
    *end = '\0';
    const size_t used = (size_t)(end - buffer) + 1;
    if (!obey(hold, buffer)) {
      return false;
    }
    length -= used;
    memmove(buffer, buffer + used, length);
  }
  return length < sizeof buffer; /* a line that never ends is nobody's we know */
}

/* Waits for input (unless its end has come), a signal, the source's end, or the next look. */
static bool wait_once(struct hold *hold, bool listening, int64_t until_us) {
  struct pollfd items[] = {{.fd = hold->source_gone ? -1 : hold->like.pidfd, .events = POLLIN},
                           {.fd = listening ? STDIN_FILENO : -1, .events = POLLIN}};
  const struct timespec look = {.tv_nsec = LOOK_US * 1000L};
  const struct timespec *limit = hold->guarding || !listening ? &look : NULL;
  const int ready = ppoll(items, 2, limit, waiting_mask());
  if (hold->guarding) {
    guard_all(hold);
  }
  if (ready > 0 && items[0].revents != 0) {
    hold->source_gone = true;
    hold->guarding = false;
  }
  if (was_interrupted()) {
    return false;
  }
  if (!listening) {
    return hold->guarding && now_us() < until_us;
  }
  return ready <= 0 || items[1].revents == 0 || read_commands(hold);
}

static void serve(struct hold *hold) {
  while (!hold->released && wait_once(hold, true, 0)) {
  }
}

/* Whoever asked for it is gone: see the top of this file. */
static void make_good(struct hold *hold, struct failure *failure) {
  if (!process_alive(&hold->like)) {
    return;
  }
  restore_all(hold, failure);
  const int64_t until_us = now_us() + (int64_t)hold->linger_ms * 1000;
  while (hold->guarding && !was_interrupted() && wait_once(hold, false, until_us)) {
  }
  if (process_alive(&hold->like)) {
    failure->outcome = OUTCOME_OK;
    restore_all(hold, failure);
  }
}

int run_hold(int argc, char **argv) {
  static struct hold hold = {.linger_ms = DEFAULT_LINGER_MS};
  struct failure failure = {.outcome = OUTCOME_OK, .destination = -1};
  int none[1];
  hold.guard_failure = failure;
  if (!(parse(argc, argv, &hold, &failure) && keep_only(none, 0, &failure) &&
        open_process(&hold.like, &failure) && catch_signals(&failure) &&
        take_all(&hold, &failure))) {
    tell_person(&failure);
    return report_failure(STDOUT_FILENO, VERB_HOLD, &failure) ? (int)failure.outcome
                                                              : OUTCOME_REPORT_FAILED;
  }
  if (answer(&hold, "begin", &failure)) {
    serve(&hold);
  }
  if (hold.released) {
    return OUTCOME_OK;
  }
  make_good(&hold, &failure);
  if (failure.outcome != OUTCOME_OK) {
    tell_person(&failure);
    return (int)failure.outcome;
  }
  return OUTCOME_INTERRUPTED;
}

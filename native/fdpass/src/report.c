/* The verdict: one JSON line on stdout for the caller, one sentence on stderr for a person. */
#include "fdpass.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool fail(struct failure *failure, enum outcome outcome, int error, int destination,
          const char *detail) {
  *failure = (struct failure){outcome, error, destination, detail};
  return false;
}

const char *verb_word(enum verb verb) {
  switch (verb) {
    case VERB_PAIR:
      return "pair";
    case VERB_SEND:
      return "send";
    case VERB_TAP:
      return "tap";
    case VERB_ADOPT:
      return "adopt";
    case VERB_PEER:
      return "peer";
    case VERB_LAUNCH:
      return "launch";
    case VERB_HOLD:
      return "hold";
    case VERB_NONE:
    case VERB_VERSION:
    case VERB_HELP:
      break;
  }
  return "none";
}

static const char *reason_word(enum outcome outcome) {
  switch (outcome) {
    case OUTCOME_OK:
      return "ok";
    case OUTCOME_BAD_DESTINATION:
      return "badDestination";
    case OUTCOME_BAD_DESCRIPTOR:
      return "badDescriptor";
    case OUTCOME_PAIR_FAILED:
      return "pairFailed";
    case OUTCOME_TAP_FAILED:
      return "tapFailed";
    case OUTCOME_TIMEOUT:
      return "timeout";
    case OUTCOME_PEER_CLOSED:
      return "peerClosed";
    case OUTCOME_SEND_FAILED:
      return "sendFailed";
    case OUTCOME_INTERRUPTED:
      return "interrupted";
    case OUTCOME_REPORT_FAILED:
      return "reportFailed";
    case OUTCOME_SETUP_FAILED:
      return "setupFailed";
    case OUTCOME_PROCESS_GONE:
      return "processGone";
    case OUTCOME_NOT_PERMITTED:
      return "notPermitted";
    case OUTCOME_FETCH_FAILED:
      return "fetchFailed";
    case OUTCOME_NOT_THAT_TAP:
      return "notThatTap";
    case OUTCOME_UNLIKE:
      return "unlike";
    case OUTCOME_EXEC_FAILED:
      return "execFailed";
    case OUTCOME_TAP_CONTROL_FAILED:
      return "tapControlFailed";
    case OUTCOME_USAGE:
      return "usage";
  }
  return "setupFailed";
}

#define NAMED(name) {name, #name}

const char *errno_word(int error) {
  static char spare[16];
  static const struct {
    int number;
    const char *name;
  } names[] = {
      NAMED(EACCES),   NAMED(EAFNOSUPPORT), NAMED(EAGAIN),     NAMED(EBADF),
      NAMED(EBADFD),   NAMED(EBUSY),        NAMED(ECONNRESET), NAMED(EFAULT),
      NAMED(EINTR),    NAMED(EINVAL),       NAMED(EIO),        NAMED(EMFILE),
      NAMED(EMSGSIZE), NAMED(ENFILE),       NAMED(ENOBUFS),    NAMED(ENODEV),
      NAMED(ENOENT),   NAMED(ENOMEM),       NAMED(ENOSYS),     NAMED(ENOTCONN),
      NAMED(ENOTSOCK), NAMED(ENXIO),        NAMED(EPERM),      NAMED(EPIPE),
      NAMED(E2BIG),    NAMED(EPROTOTYPE),   NAMED(EROFS),      NAMED(ETOOMANYREFS),
      NAMED(ESRCH),    NAMED(ENOTDIR),      NAMED(ENOEXEC),    NAMED(ENOTTY),
      NAMED(EUSERS),   NAMED(EOPNOTSUPP),   NAMED(ELOOP),      NAMED(ENAMETOOLONG),
      NAMED(ENOSPC),   NAMED(ETXTBSY),      NAMED(EEXIST),     NAMED(ELIBBAD),
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (names[i].number == error) {
      return names[i].name;
    }
  }
  (void)snprintf(spare, sizeof spare, "E%d", error);
  return spare;
}

void append(struct line *line, const char *format, ...) {
  const size_t room = sizeof line->text - line->length;
  va_list values;
  va_start(values, format);
  const int length = vsnprintf(line->text + line->length, room, format, values);
  va_end(values);
  if (length > 0 && (size_t)length < room) {
    line->length += (size_t)length;
  }
}

static void append_destinations(struct line *line, const struct job *job) {
  append(line, ",\"destinations\":[");
  for (size_t i = 0; i < job->count; i++) {
    const struct destination *to = &job->destinations[i];
    append(line, "%s{\"fd\":%d,\"bytes\":%zu,\"bytesWritten\":%zu}", i == 0 ? "" : ",", to->fd,
           to->bytes, to->bytes_written);
  }
  append(line, "]}\n");
}

void append_failure(struct line *line, const struct failure *failure) {
  append(line, ",\"reason\":\"%s\"", reason_word(failure->outcome));
  if (failure->error == 0) {
    append(line, ",\"errno\":null");
  } else {
    append(line, ",\"errno\":\"%s\"", errno_word(failure->error));
  }
  if (failure->destination < 0) {
    append(line, ",\"destination\":null");
  } else {
    append(line, ",\"destination\":%d", failure->destination);
  }
}

bool write_all(int fd, const char *text, size_t length) {
  size_t written = 0;
  while (written < length) {
    const ssize_t some = write(fd, text + written, length - written);
    if (some > 0) {
      written += (size_t)some;
    } else if (some < 0 && errno == EAGAIN) {
      struct pollfd item = {.fd = fd, .events = POLLOUT};
      if (poll(&item, 1, 1000) == 0) {
        return false;
      }
    } else if (some == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

void tell_person(const struct failure *failure) {
  (void)fprintf(stderr, "fdpass: %s: %s", reason_word(failure->outcome), failure->detail);
  if (failure->destination >= 0) {
    (void)fprintf(stderr, " (destination %d)", failure->destination);
  }
  if (failure->error != 0) {
    (void)fprintf(stderr, ": %s", strerror(failure->error));
  }
  (void)fprintf(stderr, "%s\n", failure->outcome == OUTCOME_USAGE ? "; see fdpass --help" : "");
}

bool report_failure(int fd, enum verb verb, const struct failure *failure) {
  static struct line line;
  line.length = 0;
  append(&line, "{\"ok\":false,\"verb\":\"%s\"", verb_word(verb));
  append_failure(&line, failure);
  append(&line, ",\"detail\":\"%s\"}\n", failure->detail);
  return write_all(fd, line.text, line.length);
}

int report(const struct job *job, const struct failure *failure) {
  static struct line line;
  const bool ok = failure->outcome == OUTCOME_OK;
  append(&line, "{\"ok\":%s,\"verb\":\"%s\"", ok ? "true" : "false", verb_word(job->verb));
  if (!ok) {
    append_failure(&line, failure);
    tell_person(failure);
  }
  append_destinations(&line, job);
  if (!write_all(STDOUT_FILENO, line.text, line.length)) {
    (void)fprintf(stderr, "fdpass: reportFailed: cannot write to stdout: %s\n", strerror(errno));
    return OUTCOME_REPORT_FAILED;
  }
  return (int)failure->outcome;
}

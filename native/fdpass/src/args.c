#include "fdpass.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool usage(struct failure *failure, const char *detail) {
  return fail(failure, OUTCOME_USAGE, 0, -1, detail);
}

/* Plain decimal digits only: no sign, no blank, no octal or hexadecimal. */
bool parse_number(const char *text, int least, int most, int *number) {
  const size_t length = strlen(text);
  if (length == 0 || length > 10 || strspn(text, "0123456789") != length) {
    return false;
  }
  errno = 0;
  const long value = strtol(text, NULL, 10);
  if (errno != 0 || value < least || value > most) {
    return false;
  }
  *number = (int)value;
  return true;
}

bool parse_ticks(const char *text, uint64_t *ticks) {
  const size_t length = strlen(text);
  if (length == 0 || length > 19 || strspn(text, "0123456789") != length) {
    return false;
  }
  *ticks = strtoull(text, NULL, 10);
  return true;
}

/* FD or FD:IFNAME, of another process: there 0, 1 and 2 may be meant as well. */
bool parse_remote(const char *text, struct remote *remote) {
  char number[16] = "";
  const char *colon = strchr(text, ':');
  const size_t length = colon == NULL ? strlen(text) : (size_t)(colon - text);
  if (length >= sizeof number || (colon != NULL && !valid_interface_name(colon + 1))) {
    return false;
  }
  memcpy(number, text, length);
  *remote = (struct remote){.fd = -1};
  if (colon != NULL) {
    memcpy(remote->ifname, colon + 1, strlen(colon + 1));
  }
  return parse_number(number, 0, INT_MAX, &remote->fd);
}

static bool parse_verb(const char *word, enum verb *verb) {
  static const enum verb verbs[] = {VERB_PAIR, VERB_SEND, VERB_TAP, VERB_ADOPT};
  for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
    if (strcmp(word, verb_word(verbs[i])) == 0) {
      *verb = verbs[i];
      return true;
    }
  }
  return false;
}

static bool add_destination(struct job *job, const char *fd, const char *message,
                            struct failure *failure) {
  if (job->count == MAX_DESTINATIONS) {
    return usage(failure, "too many destinations");
  }
  struct destination *to = &job->destinations[job->count];
  *to = (struct destination){.message = message, .bytes = strlen(message), .descriptor = -1};
  if (!parse_number(fd, 3, INT_MAX, &to->fd)) {
    return usage(failure, "--to takes a descriptor number from 3 up and a message");
  }
  if (to->bytes == 0 || to->bytes > MAX_MESSAGE_BYTES) {
    return usage(failure, "a message has between 1 and 65536 bytes");
  }
  job->count++;
  return true;
}

static bool add_descriptor(struct job *job, const char *fd, struct failure *failure) {
  if (job->verb != VERB_SEND || job->count == 0 ||
      job->destinations[job->count - 1].descriptor != -1) {
    return usage(failure, "--fd belongs once after each --to of send");
  }
  if (!parse_number(fd, 3, INT_MAX, &job->destinations[job->count - 1].descriptor)) {
    return usage(failure, "--fd takes a descriptor number from 3 up");
  }
  return true;
}

/* One of the options of adopt that say whose descriptor goes. */
static bool parse_origin(struct job *job, const char *option, const char *value) {
  if (strcmp(option, "--like") == 0) {
    return !job->has_like && (job->has_like = parse_number(value, 1, INT_MAX, &job->like.pid));
  }
  if (strcmp(option, "--start-ticks") == 0) {
    return !job->has_ticks && (job->has_ticks = parse_ticks(value, &job->like.start_ticks));
  }
  return strcmp(option, "--from") == 0 && !job->has_remote &&
         (job->has_remote = parse_remote(value, &job->remote));
}

static bool check_whole(const struct job *job, struct failure *failure) {
  if (job->count == 0) {
    return usage(failure, "no destination given");
  }
  if (job->verb == VERB_PAIR &&
      (job->count != 2 || job->destinations[0].fd == job->destinations[1].fd)) {
    return usage(failure, "pair takes exactly two different destinations");
  }
  if (job->verb == VERB_TAP && job->count > 1 && !job->multi_queue) {
    return usage(failure, "several queues need --multi-queue");
  }
  if (job->verb == VERB_ADOPT &&
      (job->count != 1 || !job->has_like || !job->has_ticks || !job->has_remote)) {
    return usage(failure, "adopt takes one each of --like, --start-ticks, --from and --to");
  }
  for (size_t i = 0; job->verb == VERB_SEND && i < job->count; i++) {
    if (job->destinations[i].descriptor == -1) {
      return usage(failure, "each --to of send needs an --fd");
    }
  }
  return true;
}

bool parse_arguments(int argc, char **argv, struct job *job, struct failure *failure) {
  job->timeout_ms = DEFAULT_TIMEOUT_MS;
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    job->verb = VERB_VERSION;
    return true;
  }
  if (argc == 2 && strcmp(argv[1], "--help") == 0) {
    job->verb = VERB_HELP;
    return true;
  }
  if (argc < 2 || !parse_verb(argv[1], &job->verb)) {
    return usage(failure, "the first argument is a verb, --version or --help");
  }
  int next = 2;
  if (job->verb == VERB_TAP) {
    job->tap_name = next < argc ? argv[next++] : "";
    if (!valid_interface_name(job->tap_name)) {
      return usage(failure, "tap takes an interface name of 1 to 15 characters");
    }
  }
  while (next < argc) {
    const char *option = argv[next++];
    const int left = argc - next;
    if (strcmp(option, "--to") == 0 && left >= 2) {
      if (!add_destination(job, argv[next], argv[next + 1], failure)) {
        return false;
      }
      next += 2;
    } else if (strcmp(option, "--fd") == 0 && left >= 1) {
      if (!add_descriptor(job, argv[next++], failure)) {
        return false;
      }
    } else if (strcmp(option, "--timeout-ms") == 0 && left >= 1) {
      if (!parse_number(argv[next++], 1, MAX_TIMEOUT_MS, &job->timeout_ms)) {
        return usage(failure, "--timeout-ms takes 1 to 600000");
      }
    } else if (job->verb == VERB_ADOPT && left >= 1 && parse_origin(job, option, argv[next])) {
      next++;
    } else if (job->verb == VERB_TAP && strcmp(option, "--multi-queue") == 0) {
      job->multi_queue = true;
    } else if (job->verb == VERB_TAP && strcmp(option, "--vnet-hdr") == 0) {
      job->vnet_hdr = true;
    } else {
      return usage(failure, "unknown option, or an option without its values");
    }
  }
  return check_whole(job, failure);
}

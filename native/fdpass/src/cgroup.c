/* The same control groups as another process: the one of version 2, and each hierarchy of version 1. */
#include "fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Cuts the next word off *rest; NULL at the end. */
static char *next_word(char **rest, char end) {
  char *word = *rest;
  if (word == NULL || *word == '\0') {
    return NULL;
  }
  char *stop = strchr(word, end);
  *rest = stop == NULL ? NULL : stop + 1;
  if (stop != NULL) {
    *stop = '\0';
  }
  return word;
}

static bool in_list(const char *list, const char *word) {
  const size_t length = strlen(word);
  for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
    if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) {
      return true;
    }
  }
  return false;
}

/* All of the controllers are among the options of a mount. */
static bool serves(const char *options, const char *controllers) {
  char copy[256];
  if (strlen(controllers) >= sizeof copy) {
    return false;
  }
  memcpy(copy, controllers, strlen(controllers) + 1);
  char *rest = copy;
  for (const char *word; (word = next_word(&rest, ',')) != NULL;) {
    if (!in_list(options, word)) {
      return false;
    }
  }
  return true;
}

/* mountinfo writes blanks and backslashes as \ooo. */
static void unescape(char *text) {
  char *to = text;
  for (const char *from = text; *from != '\0'; to++) {
    if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
        from[3] >= '0' && from[3] <= '7') {
      *to = (char)(((from[1] - '0') << 6) | ((from[2] - '0') << 3) | (from[3] - '0'));
      from += 4;
    } else {
      *to = *from++;
    }
  }
  *to = '\0';
}

/* Where we see that hierarchy: the mount point, and which group of it is there. */
static bool find_mount(const char *mounts, const char *controllers, char *point, char *root) {
  char *copy = strdup(mounts);
  char *lines = copy;
  bool found = false;
  for (char *line; !found && copy != NULL && (line = next_word(&lines, '\n')) != NULL;) {
    char *dash = strstr(line, " - ");
    char type[32] = "";
    char options[512] = "";
    if (dash == NULL || sscanf(dash + 3, "%31s %*s %511s", type, options) != 2) {
      continue;
    }
    const bool wanted = controllers[0] == '\0'
                            ? strcmp(type, "cgroup2") == 0
                            : strcmp(type, "cgroup") == 0 && serves(options, controllers);
    found = wanted && sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) == 2;
  }
  free(copy);
  unescape(point);
  unescape(root);
  return found;
}

static int join(const char *mounts, const char *controllers, const char *path) {
  static char point[PATH_MAX], root[PATH_MAX], file[2 * PATH_MAX + 16];
  point[0] = root[0] = '\0';
  if (!find_mount(mounts, controllers, point, root)) {
    return ENOENT;
  }
  /* Mounted may be a part of the hierarchy only. */
  const size_t above = strcmp(root, "/") == 0 ? 0 : strlen(root);
  if (strncmp(path, root, above) != 0 || strncmp(path, "/..", 3) == 0) {
    return ENOENT;
  }
  (void)snprintf(file, sizeof file, "%s%s/cgroup.procs", point, path + above);
  const int fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    return errno;
  }
  const int error = write(fd, "0\n", 2) == 2 ? 0 : errno; /* 0: whoever writes */
  (void)close(fd);
  return error;
}

static bool has_line(const char *text, const char *line) {
  const size_t length = strlen(line);
  for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
    at += *at == '\n';
    if (strncmp(at, line, length) == 0 && (at[length] == '\n' || at[length] == '\0')) {
      return true;
    }
    if (*at == '\0') {
      break;
    }
  }
  return false;
}

void join_cgroups(struct likeness *likeness) {
  if (likeness->cgroups == NULL || likeness->own_cgroups == NULL || likeness->mounts == NULL) {
    miss(&likeness->missing, "cgroup", ENOENT);
    return;
  }
  char *rest = likeness->cgroups;
  for (char *line; (line = next_word(&rest, '\n')) != NULL;) {
    if (has_line(likeness->own_cgroups, line)) {
      continue;
    }
    /* NUMBER:CONTROLLERS:PATH */
    char *fields = line;
    const char *number = next_word(&fields, ':');
    char *colon = fields == NULL ? NULL : strchr(fields, ':');
    if (number == NULL || colon == NULL) {
      continue;
    }
    *colon = '\0';
    const int error = join(likeness->mounts, fields, colon + 1);
    if (error != 0) {
      char what[48];
      (void)snprintf(what, sizeof what, fields[0] == '\0' ? "cgroup%.0s" : "cgroup %.30s", fields);
      miss(&likeness->missing, what, error);
    }
  }
}

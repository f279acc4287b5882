/* Another process: pinned before it is looked at, so that a reused pid is never taken for it. */
#include "fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same number on all architectures since Linux 5.3 and 5.6; old headers lack them. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

enum { LARGEST_FILE = 8 * 1024 * 1024 };

char *read_whole(int directory, const char *path, size_t *length) {
  const int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return NULL;
  }
  size_t size = 4096;
  size_t used = 0;
  char *text = malloc(size);
  for (ssize_t some = 1; text != NULL && some != 0;) {
    if (used + 1 == size) {
      char *larger = size < LARGEST_FILE ? realloc(text, size * 2) : NULL;
      if (larger == NULL) {
        free(text);
        text = NULL;
        errno = ENOMEM;
        break;
      }
      text = larger;
      size *= 2;
    }
    some = read(fd, text + used, size - used - 1);
    if (some < 0 && errno != EINTR) {
      const int error = errno;
      free(text);
      text = NULL;
      errno = error;
      break;
    }
    used += some > 0 ? (size_t)some : 0;
  }
  const int error = errno;
  (void)close(fd);
  errno = error;
  if (text != NULL) {
    text[used] = '\0';
    if (length != NULL) {
      *length = used;
    }
  }
  return text;
}

/* Field 22; the name in parentheses may itself hold spaces and parentheses. */
bool read_start_ticks(int directory, uint64_t *ticks) {
  char *text = read_whole(directory, "stat", NULL);
  if (text == NULL) {
    return false;
  }
  const char *field = strrchr(text, ')');
  for (int number = 2; field != NULL && number < 22; number++) {
    field = strchr(field + 1, ' ');
  }
  const bool found = field != NULL && sscanf(field, " %lu", ticks) == 1;
  free(text);
  if (!found) {
    errno = ESRCH;
  }
  return found;
}

/* A pidfd becomes readable when its process ends, even if nobody has waited for it yet. */
bool process_alive(const struct process *process) {
  struct pollfd item = {.fd = process->pidfd, .events = POLLIN};
  return poll(&item, 1, 0) == 0;
}

static bool gone(struct failure *failure) {
  return fail(failure, OUTCOME_PROCESS_GONE, ESRCH, -1, "the process has ended");
}

bool open_process(struct process *process, struct failure *failure) {
  char path[32];
  uint64_t ticks = 0;
  process->directory = -1;
  process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0U);
  if (process->pidfd < 0) {
    return errno == ESRCH ? gone(failure)
                          : fail(failure, OUTCOME_FETCH_FAILED, errno, -1, "pidfd_open");
  }
  (void)snprintf(path, sizeof path, "/proc/%d", process->pid);
  process->directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (process->directory < 0 || !read_start_ticks(process->directory, &ticks)) {
    return errno == ENOENT || errno == ESRCH
               ? gone(failure)
               : fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "reading /proc");
  }
  if (ticks != process->start_ticks) {
    return fail(failure, OUTCOME_PROCESS_GONE, ESRCH, -1, "another process has that pid now");
  }
  return process_alive(process) || gone(failure);
}

static bool is_queue_of(int fd, const struct remote *remote, int index, struct failure *failure) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (remote->ifname[0] == '\0') {
    return true;
  }
  if (tap_control(fd, TUNGETIFF, &request) != 0) {
    return fail(failure, OUTCOME_NOT_THAT_TAP, errno, index, "the descriptor is no TAP");
  }
  if ((request.ifr_flags & IFF_TAP) == 0 ||
      strncmp(request.ifr_name, remote->ifname, IFNAMSIZ) != 0) {
    return fail(failure, OUTCOME_NOT_THAT_TAP, 0, index, "the descriptor is of another interface");
  }
  return true;
}

bool fetch_descriptor(const struct process *process, const struct remote *remote, int index,
                      int *descriptor, struct failure *failure) {
  const int fd = (int)syscall(SYS_pidfd_getfd, process->pidfd, remote->fd, 0U);
  if (fd < 0) {
    switch (errno) {
      case EPERM:
        return fail(failure, OUTCOME_NOT_PERMITTED, errno, index,
                    "may not take descriptors of the process");
      case ESRCH:
        return gone(failure);
      case EBADF:
        return fail(failure, OUTCOME_BAD_DESCRIPTOR, errno, index,
                    "the process has no such descriptor");
      default:
        return fail(failure, OUTCOME_FETCH_FAILED, errno, index, "pidfd_getfd");
    }
  }
  if (!is_queue_of(fd, remote, index, failure)) {
    (void)close(fd);
    return false;
  }
  *descriptor = fd;
  return true;
}

bool adopt_descriptor(struct job *job, struct failure *failure) {
  return open_process(&job->like, failure) &&
         fetch_descriptor(&job->like, &job->remote, 0, &job->destinations[0].descriptor, failure);
}

/* Keeps what the caller named of the inherited descriptors, drops the rest, and looks at each. */
#include "fdpass.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int close_between(unsigned first, unsigned last) {
  if (first > last) {
    return 0;
  }
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, last, 0U) == 0) {
    return 0;
  }
  if (errno != ENOSYS) {
    return -1;
  }
#endif
  /* Kernels before 5.9. */
  DIR *open_descriptors = opendir("/proc/self/fd");
  if (open_descriptors == NULL) {
    return -1;
  }
  for (const struct dirent *entry; (entry = readdir(open_descriptors)) != NULL;) {
    const unsigned long fd = strtoul(entry->d_name, NULL, 10);
    if (fd >= first && fd <= last && fd != (unsigned long)dirfd(open_descriptors)) {
      (void)close((int)fd);
    }
  }
  return closedir(open_descriptors);
}

static int by_number(const void *left, const void *right) {
  const int a = *(const int *)left;
  const int b = *(const int *)right;
  return (a > b) - (a < b);
}

bool keep_only(int *keep, size_t count, struct failure *failure) {
  /* A descriptor made later must never become 0, 1 or 2. */
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) {
      return fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "open /dev/null");
    }
  }
  qsort(keep, count, sizeof keep[0], by_number);
  unsigned next = 3;
  for (size_t i = 0; i < count; i++) {
    const unsigned fd = (unsigned)keep[i];
    if (fd > next && close_between(next, fd - 1) != 0) {
      return fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "close_range");
    }
    next = fd + 1;
  }
  if (close_between(next, ~0U) != 0) {
    return fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "close_range");
  }
  return true;
}

bool isolate(const struct job *job, struct failure *failure) {
  int keep[2 * MAX_DESTINATIONS];
  size_t count = 0;
  for (size_t i = 0; i < job->count; i++) {
    keep[count++] = job->destinations[i].fd;
    if (job->destinations[i].descriptor != -1) {
      keep[count++] = job->destinations[i].descriptor;
    }
  }
  return keep_only(keep, count, failure);
}

int check_connected(int fd) {
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  int domain = 0;
  int type = 0;
  socklen_t int_size = sizeof domain;
  /* FD_CLOEXEC belongs to our descriptor alone; O_NONBLOCK is shared with the caller: hands off. */
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
      getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &int_size) != 0 ||
      getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_size) != 0) {
    return errno;
  }
  if (domain != AF_UNIX) {
    return EAFNOSUPPORT;
  }
  if (type != SOCK_STREAM) {
    return EPROTOTYPE;
  }
  return getpeername(fd, (struct sockaddr *)&peer, &size) == 0 ? 0 : errno;
}

bool check_inherited(struct job *job, struct failure *failure) {
  for (size_t i = 0; i < job->count; i++) {
    const struct destination *to = &job->destinations[i];
    const int wrong = check_connected(to->fd);
    if (wrong != 0) {
      return fail(failure, OUTCOME_BAD_DESTINATION, wrong, (int)i,
                  "not a connected UNIX stream socket");
    }
    if (to->descriptor != -1 && fcntl(to->descriptor, F_SETFD, FD_CLOEXEC) != 0) {
      return fail(failure, OUTCOME_BAD_DESCRIPTOR, errno, (int)i, "the descriptor to send");
    }
  }
  return true;
}

/* Sends messages with descriptors, in order, against one deadline. */
#include "fdpass.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

static volatile sig_atomic_t interrupted = 0;
static sigset_t unblocked;

static void on_signal(int number) {
  (void)number;
  interrupted = 1;
}

/* A polite kill still gets a report. The signals stay blocked but in ppoll, so none is missed. */
bool catch_signals(struct failure *failure) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
  struct sigaction action = {.sa_handler = on_signal};
  sigset_t blocked;
  sigemptyset(&action.sa_mask);
  sigemptyset(&blocked);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    sigaddset(&blocked, numbers[i]);
    if (sigaction(numbers[i], &action, NULL) != 0) {
      return fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "sigaction");
    }
  }
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  sigemptyset(&ignore.sa_mask);
  if (sigaction(SIGPIPE, &ignore, NULL) != 0 ||
      sigprocmask(SIG_BLOCK, &blocked, &unblocked) != 0) {
    return fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "signals");
  }
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    sigdelset(&unblocked, numbers[i]);
  }
  return true;
}

bool was_interrupted(void) {
  return interrupted != 0;
}

const void *waiting_mask(void) {
  return &unblocked;
}

bool make_pair(struct job *job, struct failure *failure) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(failure, OUTCOME_PAIR_FAILED, errno, -1, "socketpair");
  }
  job->destinations[0].descriptor = ends[0];
  job->destinations[1].descriptor = ends[1];
  return true;
}

int64_t now_us(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t now_ms(void) {
  return now_us() / 1000;
}

static bool is_closed(int error) {
  return error == EPIPE || error == ECONNRESET;
}

static bool wait_writable(const struct job *job, size_t index, int64_t deadline_ms,
                          struct failure *failure) {
  const int destination = (int)index;
  for (;;) {
    const int64_t left = deadline_ms - now_ms();
    if (left <= 0) {
      return fail(failure, OUTCOME_TIMEOUT, EAGAIN, destination, "the socket stayed full");
    }
    struct pollfd item = {.fd = job->destinations[index].fd, .events = POLLOUT};
    const struct timespec wait = {.tv_sec = (time_t)(left / 1000),
                                  .tv_nsec = (long)(left % 1000) * 1000000L};
    const int ready = ppoll(&item, 1, &wait, &unblocked);
    if (ready > 0 && (item.revents & (POLLERR | POLLHUP)) != 0) {
      return fail(failure, OUTCOME_PEER_CLOSED, EPIPE, destination, "the peer is gone");
    }
    if (ready > 0) {
      return true;
    }
    if (interrupted) {
      return fail(failure, OUTCOME_INTERRUPTED, EINTR, destination, "stopped by a signal");
    }
    if (ready < 0 && errno != EINTR) {
      return fail(failure, OUTCOME_SEND_FAILED, errno, destination, "ppoll");
    }
  }
}

/* One sendmsg; the descriptor rides on the first byte only. MSG_DONTWAIT leaves the flags alone. */
static ssize_t send_some(const struct destination *to) {
  struct iovec rest = {.iov_base = (char *)(uintptr_t)(to->message + to->bytes_written),
                       .iov_len = to->bytes - to->bytes_written};
  struct msghdr message = {.msg_iov = &rest, .msg_iovlen = 1};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  if (to->bytes_written == 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &to->descriptor, sizeof(int));
  }
  return sendmsg(to->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool send_one(struct job *job, size_t index, int64_t deadline_ms, struct failure *failure) {
  struct destination *to = &job->destinations[index];
  while (to->bytes_written < to->bytes) {
    const ssize_t sent = send_some(to);
    if (sent > 0) {
      to->bytes_written += (size_t)sent;
    } else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (!wait_writable(job, index, deadline_ms, failure)) {
        return false;
      }
    } else if (sent == 0 || errno != EINTR) {
      const int error = sent == 0 ? EIO : errno;
      return fail(failure, is_closed(error) ? OUTCOME_PEER_CLOSED : OUTCOME_SEND_FAILED, error,
                  (int)index, "sendmsg");
    }
  }
  return true;
}

bool send_all(struct job *job, struct failure *failure) {
  const int64_t deadline_ms = now_ms() + job->timeout_ms;
  /* All of them must have room before the first one gets anything: a half-done job is the worst. */
  for (size_t i = 0; i < job->count; i++) {
    if (!wait_writable(job, i, deadline_ms, failure)) {
      return false;
    }
  }
  for (size_t i = 0; i < job->count; i++) {
    if (!send_one(job, i, deadline_ms, failure)) {
      return false;
    }
  }
  return true;
}

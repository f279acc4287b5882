/* Who is at the other end of inherited sockets, as the kernel says it. */
#include "fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* That of the process that called listen() or socketpair(), which need not be who answers. */
struct peer {
  struct ucred credentials;
  bool exact;            /* the kernel pinned the process itself, not only its number */
  uint64_t start_ticks;  /* 0 when the process has ended or cannot be seen */
  uint64_t socket_inode; /* of the socket at the other end; 0 when it cannot be told */
};

static uint64_t ticks_of(int pid, int pidfd) {
  char path[32];
  struct process process = {.pid = pid, .pidfd = pidfd};
  uint64_t ticks = 0;
  (void)snprintf(path, sizeof path, "/proc/%d", pid);
  process.directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (process.directory < 0) {
    return 0;
  }
  /* While the pinned process lives, nobody else can have its pid: the order matters. */
  const bool read = read_start_ticks(process.directory, &ticks) && process_alive(&process);
  (void)close(process.directory);
  return read ? ticks : 0;
}

static bool ask_diag(int netlink, uint64_t inode) {
  struct {
    struct nlmsghdr header;
    struct unix_diag_req request;
  } question = {
      .header = {.nlmsg_len = sizeof question,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST},
      .request = {.sdiag_family = AF_UNIX,
                  .udiag_states = ~0U,
                  .udiag_ino = (uint32_t)inode,
                  .udiag_show = UDIAG_SHOW_PEER,
                  .udiag_cookie = {~0U, ~0U}},
  };
  return send(netlink, &question, sizeof question, 0) == (ssize_t)sizeof question;
}

static uint64_t read_diag(int netlink) {
  union {
    struct nlmsghdr header;
    char bytes[1024];
  } answer;
  const ssize_t length = recv(netlink, &answer, sizeof answer, 0);
  if (length < (ssize_t)(sizeof(struct nlmsghdr) + sizeof(struct unix_diag_msg)) ||
      answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY || answer.header.nlmsg_len > (size_t)length) {
    return 0;
  }
  /* struct nlattr: its length with this header, its type, then the value, padded to four bytes. */
  const size_t header = sizeof(struct nlattr);
  size_t at = sizeof(struct nlmsghdr) + sizeof(struct unix_diag_msg);
  while (at + header <= answer.header.nlmsg_len) {
    struct nlattr attribute;
    memcpy(&attribute, answer.bytes + at, sizeof attribute);
    if (attribute.nla_len < header || at + attribute.nla_len > answer.header.nlmsg_len) {
      return 0;
    }
    if (attribute.nla_type == UNIX_DIAG_PEER && attribute.nla_len >= header + sizeof(uint32_t)) {
      uint32_t inode;
      memcpy(&inode, answer.bytes + at + header, sizeof inode);
      return inode;
    }
    at += (attribute.nla_len + 3UL) & ~3UL;
  }
  return 0;
}

/* The number by which /proc/PID/fd names the other end, from the kernel's socket monitor. */
static uint64_t peer_inode(int fd) {
  struct stat own;
  const struct timeval patience = {.tv_sec = 1};
  if (fstat(fd, &own) != 0 || own.st_ino > UINT32_MAX) {
    return 0;
  }
  const int netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (netlink < 0) {
    return 0;
  }
  (void)setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const uint64_t inode = ask_diag(netlink, own.st_ino) ? read_diag(netlink) : 0;
  (void)close(netlink);
  return inode;
}

static bool look(int fd, int index, struct peer *peer, struct failure *failure) {
  socklen_t size = sizeof peer->credentials;
  const int wrong = check_connected(fd);
  if (wrong != 0) {
    return fail(failure, OUTCOME_BAD_DESTINATION, wrong, index,
                "not a connected UNIX stream socket");
  }
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer->credentials, &size) != 0) {
    return fail(failure, OUTCOME_SETUP_FAILED, errno, index, "SO_PEERCRED");
  }
  int pidfd = -1;
  size = sizeof pidfd;
  peer->exact = getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0;
  const bool unknown = !peer->exact && errno == ENOPROTOOPT;
  /* 0: a process that this PID namespace does not show. */
  if (unknown && peer->credentials.pid > 0) {
    pidfd = (int)syscall(SYS_pidfd_open, peer->credentials.pid, 0U);
  }
  if (pidfd >= 0) {
    peer->start_ticks = peer->credentials.pid > 0 ? ticks_of(peer->credentials.pid, pidfd) : 0;
    (void)close(pidfd);
  }
  peer->socket_inode = peer_inode(fd);
  return true;
}

static bool parse(int argc, char **argv, int *fds, size_t *count, struct failure *failure) {
  for (int next = 0; next < argc; next += 2) {
    if (strcmp(argv[next], "--from") != 0 || next + 1 == argc) {
      return usage(failure, "peer takes --from FD");
    }
    if (*count == MAX_DESTINATIONS) {
      return usage(failure, "too many sockets");
    }
    if (!parse_number(argv[next + 1], 3, INT_MAX, &fds[*count])) {
      return usage(failure, "--from takes a descriptor number from 3 up");
    }
    (*count)++;
  }
  return *count > 0 || usage(failure, "peer takes --from FD");
}

static void append_known(struct line *line, const char *name, uint64_t value) {
  if (value == 0) {
    append(line, ",\"%s\":null", name);
  } else {
    append(line, ",\"%s\":\"%lu\"", name, value);
  }
}

int run_peer(int argc, char **argv) {
  static struct peer peers[MAX_DESTINATIONS];
  static struct line line;
  int fds[MAX_DESTINATIONS];
  int kept[MAX_DESTINATIONS];
  size_t count = 0;
  struct failure failure = {.outcome = OUTCOME_OK, .destination = -1};
  bool good = parse(argc, argv, fds, &count, &failure);
  if (good) {
    memcpy(kept, fds, sizeof kept);
    good = keep_only(kept, count, &failure);
  }
  append(&line, "{\"ok\":true,\"verb\":\"peer\",\"peers\":[");
  for (size_t i = 0; good && i < count; i++) {
    const struct peer *peer = &peers[i];
    good = look(fds[i], (int)i, &peers[i], &failure);
    append(&line, "%s{\"fd\":%d,\"pid\":%d,\"uid\":%u,\"gid\":%u,\"exact\":%s", i == 0 ? "" : ",",
           fds[i], peer->credentials.pid, peer->credentials.uid, peer->credentials.gid,
           peer->exact ? "true" : "false");
    append_known(&line, "startTicks", peer->start_ticks);
    append_known(&line, "socketInode", peer->socket_inode);
    append(&line, "}");
  }
  append(&line, "]}\n");
  if (!good) {
    tell_person(&failure);
  }
  const bool told = good ? write_all(STDOUT_FILENO, line.text, line.length)
                         : report_failure(STDOUT_FILENO, VERB_PEER, &failure);
  return told ? (int)failure.outcome : OUTCOME_REPORT_FAILED;
}

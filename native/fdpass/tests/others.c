/* peer, launch, hold and adopt: what they tell of other processes, and what they do to them. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char ticks_text[32];
static char pid_text[16];

/* The arguments that name a process, in static memory. */
static void name_process(pid_t pid) {
  char path[32], text[1024] = "";
  unsigned long ticks = 0;
  (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(fd != -1 && read(fd, text, sizeof text - 1) > 0);
  (void)close(fd);
  const char *field = strrchr(text, ')');
  for (int number = 2; field != NULL && number < 22; number++) {
    field = strchr(field + 1, ' ');
  }
  CHECK(field != NULL && sscanf(field, " %lu", &ticks) == 1);
  (void)snprintf(ticks_text, sizeof ticks_text, "%lu", ticks);
  (void)snprintf(pid_text, sizeof pid_text, "%d", pid);
}

/* A process of its own with this as descriptor 20; waits to be killed. */
static pid_t holder_of(int descriptor) {
  int ready[2];
  char byte;
  CHECK(pipe2(ready, O_CLOEXEC) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    (void)umask(0027);
    const struct rlimit limit = {.rlim_cur = 300, .rlim_max = 400};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)chdir("/usr");
    (void)(descriptor != -1 && dup2(descriptor, 20) == 20);
    (void)(write(ready[1], "r", 1) == 1);
    for (;;) {
      (void)pause();
    }
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  (void)close(ready[0]);
  (void)close(ready[1]);
  name_process(pid);
  return pid;
}

static void end(pid_t pid) {
  (void)kill(pid, SIGKILL);
  (void)waitpid(pid, NULL, 0);
}

static void peer_of_a_pair(void) {
  int a[2];
  char expected[256];
  struct stat other;
  connect_pair(a);
  name_process(getpid());
  CHECK(fstat(a[0], &other) == 0);
  const struct run run = {.args = {"peer", "--from", "3", NULL}, .passed = {a[1]}, .passed_count = 1};
  const struct result result = execute(&run);
  CHECK_CODE(result, 0);
  (void)snprintf(expected, sizeof expected, "{\"fd\":3,\"pid\":%d,\"uid\":%d,\"gid\":%d,\"exact\":",
                 getpid(), getuid(), getgid());
  CHECK(strstr(result.out, expected) != NULL);
  (void)snprintf(expected, sizeof expected, "\"startTicks\":\"%s\",\"socketInode\":\"%lu\"}",
                 ticks_text, (unsigned long)other.st_ino);
  CHECK(strstr(result.out, expected) != NULL);
  CHECK(!is_readable(a[0], 0)); /* looked at, and nothing else */
  (void)close(a[0]);
  (void)close(a[1]);
}

/* Who made the socket and has ended; its number must not be taken for somebody else's. */
static void peer_that_ended(void) {
  int a[2] = {-1, -1};
  int carry[2];
  connect_pair(carry);
  const pid_t pid = fork();
  if (pid == 0) {
    int made[2];
    connect_pair(made);
    union {
      struct cmsghdr align;
      char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    char byte = 'x';
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    memset(&control, 0, sizeof control);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(header), made, sizeof made);
    _exit(sendmsg(carry[1], &message, 0) == 1 ? 0 : 1);
  }
  char byte;
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(2 * sizeof(int))];
  } control;
  struct iovec iov = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  CHECK(recvmsg(carry[0], &message, MSG_CMSG_CLOEXEC) == 1);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header != NULL) {
    memcpy(a, CMSG_DATA(header), sizeof a);
  }
  (void)waitpid(pid, NULL, 0);
  const struct run run = {.args = {"peer", "--from", "3", NULL}, .passed = {a[1]}, .passed_count = 1};
  const struct result result = execute(&run);
  CHECK_CODE(result, 0);
  CHECK(strstr(result.out, "\"startTicks\":null") != NULL);
  for (int i = 0; i < 2; i++) {
    (void)close(a[i]);
    (void)close(carry[i]);
  }
}

static void launch_alike(void) {
  int message[2];
  char expected[64];
  CHECK(pipe2(message, O_CLOEXEC) == 0 && write(message[1], "carried", 7) == 7);
  const pid_t pid = holder_of(message[0]);
  FILE *log = tmpfile();
  const struct run run = {
      .args = {"launch", "--like", pid_text, "--start-ticks", ticks_text, "--adopt", "20=9", "--log",
               "3", "--", "/bin/sh", "-c",
               "umask; ulimit -Sn; ulimit -Hn; pwd; head -c 7 <&9; echo; "
               "for f in 3 4 5 6 7 8 50; do test -e /proc/$$/fd/$f && echo leaked $f; done; echo end",
               NULL},
      .passed = {log == NULL ? -1 : fileno(log)},
      .passed_count = 1,
      .stray = message[1]};
  const struct result result = execute(&run);
  char text[512] = "";
  CHECK_CODE(result, 0);
  (void)snprintf(expected, sizeof expected, "{\"ok\":true,\"verb\":\"launch\",\"pid\":");
  CHECK(strncmp(result.out, expected, strlen(expected)) == 0);
  CHECK(strstr(result.out, "\"missing\":[]}\n") != NULL);
  if (log != NULL) {
    rewind(log);
    (void)(fread(text, 1, sizeof text - 1, log) > 0);
    (void)fclose(log);
  }
  CHECK_TEXT(text, "0027\n300\n400\n/usr\ncarried\nend\n");
  end(pid);
  (void)close(message[0]);
  (void)close(message[1]);
}

static void launch_fails(void) {
  const pid_t pid = holder_of(-1);
  const struct {
    const char *args[12];
    int code;
    const char *part;
  } cases[] = {
      {{"launch", "--like", pid_text, "--start-ticks", ticks_text, "--", "/nonexistent"},
       25,
       "\"reason\":\"execFailed\",\"errno\":\"ENOENT\""},
      {{"launch", "--like", pid_text, "--start-ticks", "1", "--", "/bin/true"},
       20,
       "\"reason\":\"processGone\",\"errno\":\"ESRCH\""},
      {{"launch", "--like", pid_text, "--start-ticks", ticks_text, "--adopt", "99=9", "--",
        "/bin/true"},
       11,
       "\"reason\":\"badDescriptor\",\"errno\":\"EBADF\""},
      {{"launch", "--like", pid_text, "--start-ticks", ticks_text, "--adopt", "0=9:tap0", "--",
        "/bin/true"},
       23,
       "\"reason\":\"notThatTap\""},
      {{"launch", "--like", pid_text, "--start-ticks", ticks_text, "--", "true"}, 64, "usage"},
      {{"launch", "--like", pid_text, "--", "/bin/true"}, 64, "usage"},
      {{"launch", "--like", pid_text, "--start-ticks", ticks_text, "--adopt", "1=2", "--",
        "/bin/true"},
       64,
       "usage"},
      {{"launch", "--like", pid_text, "--start-ticks", ticks_text, "/bin/true"}, 64, "usage"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct run run = {0};
    memcpy(run.args, cases[i].args, sizeof cases[i].args);
    const struct result result = execute(&run);
    CHECK_CODE(result, cases[i].code);
    CHECK(strstr(result.out, cases[i].part) != NULL);
  }
  /* The kernel refuses: typed, and nothing runs. */
  const struct run refused = {
      .args = {"launch", "--like", pid_text, "--start-ticks", ticks_text, "--adopt", "0=9", "--",
               "/bin/true", NULL},
      .fail_syscall = SYS_pidfd_getfd,
      .fail_errno = EPERM};
  const struct result result = execute(&refused);
  CHECK_CODE(result, 21);
  CHECK(strstr(result.out, "\"reason\":\"notPermitted\",\"errno\":\"EPERM\"") != NULL);
  end(pid);
}

static int open_tap(const char *name) {
  struct ifreq request;
  int size = 12;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, name, strlen(name));
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  (void)unshare(CLONE_NEWNET);
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  CHECK(fd != -1 && ioctl(fd, TUNSETIFF, &request) == 0);
  CHECK(ioctl(fd, TUNSETVNETHDRSZ, &size) == 0);
  return fd;
}

static int header_size(int tap) {
  int size = 0;
  CHECK(ioctl(tap, TUNGETVNETHDRSZ, &size) == 0);
  return size;
}

static void set_header_size(int tap, int size) {
  CHECK(ioctl(tap, TUNSETVNETHDRSZ, &size) == 0);
}

static void set_offloads(int tap, int flags) {
  CHECK(ioctl(tap, TUNSETOFFLOAD, (unsigned long)flags) == 0);
}

/* The helper with its stdin in our hand. */
struct held {
  struct child child;
  int commands;
  pid_t source;
  int tap;
};

static struct held hold(const char *name, const char *linger_ms) {
  struct held held = {.tap = open_tap(name)};
  int in[2];
  char option[32];
  held.source = holder_of(held.tap);
  (void)snprintf(option, sizeof option, "20:%s", name);
  CHECK(pipe2(in, O_CLOEXEC) == 0);
  const int own = fcntl(0, F_DUPFD_CLOEXEC, 200);
  (void)dup2(in[0], 0);
  const struct run run = {.args = {"hold", "--like", pid_text, "--start-ticks", ticks_text, "--tap",
                                   option, "--linger-ms", linger_ms, NULL}};
  held.child = start(&run);
  (void)(own == -1 ? close(0) : dup2(own, 0));
  (void)close(own);
  (void)close(in[0]);
  held.commands = in[1];
  return held;
}

static void expect(const struct held *held, const char *part) {
  static char line[4096];
  size_t length = 0;
  while (length + 1 < sizeof line && is_readable(held->child.out, 10000) &&
         read(held->child.out, line + length, 1) == 1 && line[length++] != '\n') {
  }
  line[length] = '\0';
  CHECK(strstr(line, part) != NULL);
  if (strstr(line, part) == NULL) {
    (void)fprintf(stderr, "  in %s", line);
  }
}

static void tell(const struct held *held, const char *command, const char *part) {
  CHECK(write(held->commands, command, strlen(command)) == (ssize_t)strlen(command));
  expect(held, part);
}

static void finish_hold(struct held *held, int code) {
  const struct result result = finish(held->child);
  CHECK_CODE(result, code);
  end(held->source);
  (void)close(held->tap);
}

static bool becomes(int tap, int size) {
  for (int tries = 0; tries < 500 && header_size(tap) != size; tries++) {
    pause_ms(10);
  }
  return header_size(tap) == size;
}

static void guards(void) {
  struct held held = hold("fdg0", "0");
  expect(&held, "\"command\":\"begin\",\"guarding\":false,\"sourceGone\":false,\"taps\":[{\"fd\":20,"
                "\"ifname\":\"fdg0\",\"known\":true,\"headerSize\":12,\"recordedHeaderSize\":12,");
  set_header_size(held.tap, 10);
  pause_ms(50);
  CHECK(header_size(held.tap) == 10); /* nobody asked for it yet */
  tell(&held, "guard\n", "\"guarding\":true");
  CHECK(becomes(held.tap, 12));
  set_header_size(held.tap, 10);
  CHECK(becomes(held.tap, 12));
  tell(&held, "query\n", "\"headerSize\":12,\"recordedHeaderSize\":12,\"vnetHeader\":true,");
  tell(&held, "nonsense\n", "\"ok\":false,\"verb\":\"hold\",\"command\":\"none\"");
  tell(&held, "restore 21=1\n", "\"reason\":\"usage\"");
  tell(&held, "unguard\n", "\"guarding\":false");
  set_header_size(held.tap, 10);
  tell(&held, "restore 20=3\n", "\"ok\":true,\"verb\":\"hold\",\"command\":\"restore\"");
  CHECK(header_size(held.tap) == 12);
  set_header_size(held.tap, 10);
  tell(&held, "release\n", "\"command\":\"release\"");
  (void)close(held.commands);
  finish_hold(&held, 0);
}

static void released_leaves_it(void) {
  struct held held = hold("fdg1", "0");
  expect(&held, "begin");
  set_header_size(held.tap, 10);
  tell(&held, "release\n", "\"ok\":true");
  pause_ms(100);
  CHECK(header_size(held.tap) == 10);
  (void)close(held.commands);
  finish_hold(&held, 0);
}

static void lost_puts_back(void) {
  struct held held = hold("fdg2", "0");
  expect(&held, "begin");
  set_header_size(held.tap, 10);
  (void)close(held.commands);
  CHECK(becomes(held.tap, 12));
  finish_hold(&held, 17);

  held = hold("fdg3", "0");
  expect(&held, "begin");
  set_header_size(held.tap, 10);
  CHECK(kill(held.child.pid, SIGTERM) == 0);
  CHECK(becomes(held.tap, 12));
  finish_hold(&held, 17);
  (void)close(held.commands);
}

/* A QEMU that was being started when its starter died still takes the TAP. */
static void lost_guards_on(void) {
  struct held held = hold("fdg4", "60000");
  expect(&held, "begin");
  tell(&held, "guard\n", "\"guarding\":true");
  (void)close(held.commands);
  pause_ms(200);
  set_header_size(held.tap, 10);
  CHECK(becomes(held.tap, 12));
  end(held.source);
  const struct result result = finish(held.child); /* nothing to look after any more */
  CHECK_CODE(result, 17);
  (void)close(held.tap);
}

enum { ALL_BUT_USO = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN };

static void offloads_come_back(void) {
  struct held held = hold("fdg6", "0");
  expect(&held, "\"offloads\":0,\"recordedOffloads\":0,\"offloadsErrno\":null}");
  set_offloads(held.tap, TUN_F_CSUM | TUN_F_TSO4);
  tell(&held, "query\n", "\"offloads\":3,\"recordedOffloads\":0,");
  tell(&held, "restore\n", "\"offloads\":0,\"recordedOffloads\":0,");
  tell(&held, "restore 20=7\n", "\"offloads\":7,\"recordedOffloads\":7,");
  /* What was told counts also when nobody is left to say it again. */
  set_offloads(held.tap, 0);
  tell(&held, "on-loss 20=15\n", "\"offloads\":0,\"recordedOffloads\":15,");
  (void)close(held.commands);
  finish_hold(&held, 17);
}

/* The TAP's network namespace is not the helper's; and what is read there is put back by itself. */
static void offloads_elsewhere(void) {
  struct held held = {.tap = open_tap("fdg7")};
  static const int sets[] = {TUN_F_CSUM, ALL_BUT_USO, ALL_BUT_USO | 0x60};
  held.source = holder_of(held.tap);
  CHECK(unshare(CLONE_NEWNET) == 0);
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
    char expected[128];
    int in[2];
    if (ioctl(held.tap, TUNSETOFFLOAD, (unsigned long)sets[i]) != 0) {
      continue; /* USO is of Linux 6.2 */
    }
    CHECK(pipe2(in, O_CLOEXEC) == 0);
    const int own = fcntl(0, F_DUPFD_CLOEXEC, 200);
    (void)dup2(in[0], 0);
    const struct run run = {.args = {"hold", "--like", pid_text, "--start-ticks", ticks_text,
                                     "--tap", "20:fdg7", "--linger-ms", "0", NULL}};
    held.child = start(&run);
    (void)(own == -1 ? close(0) : dup2(own, 0));
    (void)close(own);
    (void)close(in[0]);
    held.commands = in[1];
    (void)snprintf(expected, sizeof expected, "\"offloads\":%d,\"recordedOffloads\":%d,", sets[i],
                   sets[i]);
    expect(&held, expected);
    set_offloads(held.tap, 0);
    (void)close(held.commands);
    const struct result lost = finish(held.child);
    CHECK_CODE(lost, 17);
    held.commands = -1;
    /* A second look tells. */
    CHECK(pipe2(in, O_CLOEXEC) == 0);
    (void)close(in[1]);
    const int again = fcntl(0, F_DUPFD_CLOEXEC, 200);
    (void)dup2(in[0], 0);
    const struct result after = execute(&run);
    (void)(again == -1 ? close(0) : dup2(again, 0));
    (void)close(again);
    (void)close(in[0]);
    CHECK(strstr(after.out, expected) != NULL);
  }
  end(held.source);
  (void)close(held.tap);
}

/* Without the right to ask, and no such interface here: said, and all else is as ever. */
static void offloads_unread(void) {
  struct held held = {.tap = open_tap("fdg8")};
  held.source = holder_of(held.tap);
  CHECK(unshare(CLONE_NEWNET) == 0);
  int in[2];
  CHECK(pipe2(in, O_CLOEXEC) == 0);
  const int own = fcntl(0, F_DUPFD_CLOEXEC, 200);
  (void)dup2(in[0], 0);
  const struct run run = {.args = {"hold", "--like", pid_text, "--start-ticks", ticks_text, "--tap",
                                   "20:fdg8", "--linger-ms", "0", NULL},
                          .fail_syscall = SYS_setns,
                          .fail_errno = EPERM};
  held.child = start(&run);
  (void)(own == -1 ? close(0) : dup2(own, 0));
  (void)close(own);
  (void)close(in[0]);
  held.commands = in[1];
  expect(&held, "\"offloads\":null,\"recordedOffloads\":null,\"offloadsErrno\":\"EPERM\"}");
  set_header_size(held.tap, 10);
  tell(&held, "restore\n", "\"ok\":true,");
  CHECK(header_size(held.tap) == 12);
  (void)close(held.commands);
  finish_hold(&held, 17);
}

static void adopts(void) {
  int a[2];
  struct ifreq request;
  const int tap = open_tap("fdg5");
  const pid_t pid = holder_of(tap);
  (void)close(tap);
  connect_pair(a);
  struct run run = {.args = {"adopt", "--like", pid_text, "--start-ticks", ticks_text, "--from",
                             "20:fdg5", "--to", "3", "m", NULL},
                    .passed = {a[1]},
                    .passed_count = 1};
  const struct result result = execute(&run);
  CHECK_CODE(result, 0);
  const int queue = receive(a[0], "m");
  memset(&request, 0, sizeof request);
  CHECK(queue != -1 && ioctl(queue, TUNGETIFF, &request) == 0);
  CHECK_TEXT(request.ifr_name, "fdg5");
  (void)close(queue);

  run.args[6] = "20:other0";
  const struct result other = execute(&run);
  CHECK_CODE(other, 23);
  CHECK(!is_readable(a[0], 0));
  run.args[6] = "21:fdg5";
  CHECK(execute(&run).code == 11);
  run.args[6] = "20:fdg5";
  end(pid);
  CHECK(execute(&run).code == 20);
  CHECK(!is_readable(a[0], 0));
  (void)close(a[0]);
  (void)close(a[1]);
}

const struct test others_tests[] = {
    {"peer: who made the socket, and the other end's number", peer_of_a_pair},
    {"peer: one that has ended is nobody", peer_that_ended},
    {"launch: surroundings, descriptors, nothing leaks", launch_alike},
    {"launch: each reason not to", launch_fails},
    {"hold: guards, answers, restores", guards},
    {"hold: release leaves the TAP as it is", released_leaves_it},
    {"hold: what dies without release puts back", lost_puts_back},
    {"hold: guards on while a QEMU may still be starting", lost_guards_on},
    {"hold: offloads are read, and come back", offloads_come_back},
    {"hold: offloads of a TAP in another namespace", offloads_elsewhere},
    {"hold: offloads that cannot be read are left", offloads_unread},
    {"adopt: the queue that was named, and no other", adopts},
    {NULL, NULL},
};

/* Each way to fail: its exit code, its JSON line, and what the receivers did not get. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static const char *failure(const char *verb, const char *reason, const char *error, int destination,
                           const char *destinations) {
  static char line[2048];
  (void)snprintf(line, sizeof line,
                 "{\"ok\":false,\"verb\":\"%s\",\"reason\":\"%s\",\"errno\":\"%s\","
                 "\"destination\":%d,\"destinations\":[%s]}\n",
                 verb, reason, error, destination, destinations);
  return line;
}

static void both(int a[2], int b[2], struct run *run, const char *timeout_ms) {
  connect_pair(a);
  connect_pair(b);
  const char *args[] = {"pair", "--timeout-ms", timeout_ms, "--to", "3",
                        "one",  "--to",         "4",        "three", NULL};
  memcpy(run->args, args, sizeof args);
  run->passed[0] = a[1];
  run->passed[1] = b[1];
  run->passed_count = 2;
}

static void close_both(int a[2], int b[2]) {
  for (int i = 0; i < 2; i++) {
    (void)close(a[i]);
    (void)close(b[i]);
  }
}

#define NOTHING_SENT "{\"fd\":3,\"bytes\":3,\"bytesWritten\":0},{\"fd\":4,\"bytes\":5,\"bytesWritten\":0}"

static void full_times_out(void) {
  int a[2], b[2];
  struct run run = {0};
  both(a, b, &run, "200");
  (void)fill(b[1]);
  const struct result result = execute(&run);
  CHECK_CODE(result, 14);
  CHECK_TEXT(result.out, failure("pair", "timeout", "EAGAIN", 1, NOTHING_SENT));
  CHECK(strstr(result.err, "stayed full") != NULL);
  CHECK(!is_readable(a[0], 0)); /* the good side got nothing either */
  close_both(a, b);
}

static void closed_peer(void) {
  int a[2], b[2];
  struct run run = {0};
  both(a, b, &run, "1000");
  (void)close(b[0]);
  const struct result result = execute(&run);
  CHECK_CODE(result, 15);
  CHECK_TEXT(result.out, failure("pair", "peerClosed", "EPIPE", 1, NOTHING_SENT));
  CHECK(!is_readable(a[0], 0));
  b[0] = -1;
  close_both(a, b);
}

static void terminated_while_waiting(void) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    int a[2], b[2];
    struct run run = {0};
    both(a, b, &run, "5000");
    (void)fill(a[1]);
    const struct child child = start(&run);
    pause_ms(500); /* a wrapper such as valgrind takes its time */
    CHECK(kill(child.pid, numbers[i]) == 0);
    const struct result result = finish(child);
    CHECK_CODE(result, 17);
    CHECK_TEXT(result.out, failure("pair", "interrupted", "EINTR", 0, NOTHING_SENT));
    close_both(a, b);
  }
}

/* A message longer than the buffer of a receiver that does not read, or that goes away. */
static struct result partial(bool leave, size_t *written) {
  static char message[60001];
  int a[2];
  const int tiny = 1;
  memset(message, 'm', sizeof message - 1);
  connect_pair(a);
  CHECK(setsockopt(a[1], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny) == 0);
  const struct run run = {
      .args = {"send", "--timeout-ms", leave ? "5000" : "300", "--to", "3", message, "--fd", "4",
               NULL},
      .passed = {a[1], 0},
      .passed_count = 2};
  const struct child child = start(&run);
  (void)close(a[1]);
  if (leave) {
    CHECK(is_readable(a[0], 4000));
    pause_ms(50);
    (void)close(a[0]);
  }
  const struct result result = finish(child);
  const char *field = strstr(result.out, "\"bytesWritten\":");
  *written = 0;
  CHECK(field != NULL && sscanf(field, "\"bytesWritten\":%zu", written) == 1);
  if (!leave) {
    (void)close(a[0]);
  }
  return result;
}

static void partial_times_out(void) {
  size_t written = 0;
  const struct result result = partial(false, &written);
  CHECK_CODE(result, 14);
  CHECK(written > 0 && written < 60000);
}

static void peer_leaves_in_the_middle(void) {
  size_t written = 0;
  const struct result result = partial(true, &written);
  CHECK_CODE(result, 15);
  CHECK(strstr(result.out, "\"reason\":\"peerClosed\"") != NULL);
  CHECK(written > 0 && written < 60000);
}

static int listening(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(bind(fd, (struct sockaddr *)&name, sizeof(sa_family_t)) == 0 && listen(fd, 1) == 0);
  return fd;
}

static int half_pair(int type) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
  (void)close(ends[0]);
  return ends[1];
}

static void bad_destinations(void) {
  const struct {
    int fd;
    const char *error;
  } cases[] = {
      {open("/dev/null", O_RDWR | O_CLOEXEC), "ENOTSOCK"},
      {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "EAFNOSUPPORT"},
      {socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "ENOTCONN"},
      {half_pair(SOCK_DGRAM), "EPROTOTYPE"},
      {half_pair(SOCK_SEQPACKET), "EPROTOTYPE"},
      {listening(), "ENOTCONN"},
      {-1, "EBADF"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int a[2], b[2];
    struct run run = {0};
    both(a, b, &run, "1000");
    run.passed[1] = cases[i].fd;
    run.passed_count = cases[i].fd == -1 ? 1 : 2;
    const struct result result = execute(&run);
    CHECK_CODE(result, 10);
    CHECK_TEXT(result.out, failure("pair", "badDestination", cases[i].error, 1, NOTHING_SENT));
    CHECK(!is_readable(a[0], 0));
    close_both(a, b);
    (void)close(cases[i].fd);
  }
}

static void bad_descriptor(void) {
  int a[2];
  connect_pair(a);
  const struct run run = {.args = {"send", "--to", "3", "one", "--fd", "9", NULL},
                          .passed = {a[1]},
                          .passed_count = 1};
  const struct result result = execute(&run);
  CHECK_CODE(result, 11);
  CHECK_TEXT(result.out, failure("send", "badDescriptor", "EBADF", 0,
                                 "{\"fd\":3,\"bytes\":3,\"bytesWritten\":0}"));
  CHECK(!is_readable(a[0], 0));
  (void)close(a[0]);
  (void)close(a[1]);
}

static void injected(long syscall_number, int error, int code, const char *part) {
  int a[2], b[2];
  struct run run = {.fail_syscall = syscall_number, .fail_errno = error};
  both(a, b, &run, "1000");
  const struct result result = execute(&run);
  CHECK_CODE(result, code);
  CHECK(strstr(result.out, part) != NULL);
  CHECK(strstr(result.out, NOTHING_SENT) != NULL);
  CHECK(!is_readable(a[0], 0) && !is_readable(b[0], 0));
  close_both(a, b);
}

static void failing_system_calls(void) {
  injected(SYS_socketpair, EMFILE, 12, "\"reason\":\"pairFailed\",\"errno\":\"EMFILE\"");
  injected(SYS_sendmsg, ENOBUFS, 16, "\"reason\":\"sendFailed\",\"errno\":\"ENOBUFS\"");
  injected(SYS_sendmsg, ECONNRESET, 15, "\"reason\":\"peerClosed\",\"errno\":\"ECONNRESET\"");
  injected(SYS_sendmsg, EXDEV, 16, "\"errno\":\"E18\"");
  injected(SYS_ppoll, ENOMEM, 16, "\"reason\":\"sendFailed\",\"errno\":\"ENOMEM\"");
  injected(SYS_close_range, EPERM, 19, "\"reason\":\"setupFailed\",\"errno\":\"EPERM\"");
}

static void no_report(void) {
  int a[2], b[2];
  struct run run = {.stdout_path = "/dev/full"};
  both(a, b, &run, "1000");
  const struct result result = execute(&run);
  CHECK_CODE(result, 18);
  CHECK(strstr(result.err, "reportFailed") != NULL);
  CHECK(receive(a[0], "one") != -1 && receive(b[0], "three") != -1);
  close_both(a, b);
}

static void bad_arguments(void) {
  static const char *const cases[][14] = {
      {NULL},
      {"push", "--to", "3", "m"},
      {"--version", "more"},
      {"pair"},
      {"pair", "--to", "3", "m"},
      {"pair", "--to", "3", "m", "--to", "3", "m"},
      {"pair", "--to", "3", "m", "--to", "4", "m", "--to", "5", "m"},
      {"pair", "--to", "3", "m", "--to", "4"},
      {"pair", "--to", "3", "m", "--to", "4", ""},
      {"pair", "--to", "3", "m", "--to", "2", "m"},
      {"pair", "--to", "3", "m", "--to", "-4", "m"},
      {"pair", "--to", "3", "m", "--to", "0x4", "m"},
      {"pair", "--to", "3", "m", "--to", "4 ", "m"},
      {"pair", "--to", "3", "m", "--to", "", "m"},
      {"pair", "--to", "3", "m", "--to", "99999999999", "m"},
      {"pair", "--to", "3", "m", "--to", "4", "m", "--fd", "5"},
      {"pair", "--to", "3", "m", "--to", "4", "m", "--multi-queue"},
      {"pair", "--timeout-ms", "0", "--to", "3", "m", "--to", "4", "m"},
      {"pair", "--timeout-ms", "600001", "--to", "3", "m", "--to", "4", "m"},
      {"pair", "--to", "3", "m", "--to", "4", "m", "--timeout-ms"},
      {"send", "--to", "3", "m"},
      {"send", "--fd", "4", "--to", "3", "m"},
      {"send", "--to", "3", "m", "--fd"},
      {"send", "--to", "3", "m", "--fd", "1"},
      {"send", "--to", "3", "m", "--fd", "4", "--fd", "5"},
      {"tap"},
      {"tap", "tap0"},
      {"tap", "", "--to", "3", "m"},
      {"tap", ".", "--to", "3", "m"},
      {"tap", "a/b", "--to", "3", "m"},
      {"tap", "tap%d", "--to", "3", "m"},
      {"tap", "sixteen-letters-", "--to", "3", "m"},
      {"tap", "tap0", "--to", "3", "m", "--to", "3", "m"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct run run = {0};
    memcpy(run.args, cases[i], sizeof cases[i]);
    const struct result result = execute(&run);
    CHECK_CODE(result, 64);
    CHECK(strstr(result.out, "{\"ok\":false,\"verb\":\"") == result.out);
    CHECK(strstr(result.out, "\"reason\":\"usage\",\"errno\":null,\"destination\":null") != NULL);
    CHECK(strstr(result.err, "--help") != NULL);
  }
}

/* How a TAP job with so many queues ends. Descriptor 3 is not open, so 10 means: accepted. */
static int queues(size_t count) {
  struct run run = {.args = {"tap", "tap0", "--multi-queue"}};
  for (size_t i = 0; i < count; i++) {
    run.args[3 + 3 * i] = "--to";
    run.args[4 + 3 * i] = "3";
    run.args[5 + 3 * i] = "m";
  }
  const struct result result = execute(&run);
  CHECK(strstr(result.out, "]}\n") != NULL);
  return result.code;
}

static int message_of(size_t length) {
  static char message[70000];
  memset(message, 'm', length);
  message[length] = '\0';
  return execute(&(struct run){.args = {"send", "--to", "3", message, "--fd", "4", NULL}}).code;
}

static void limits(void) {
  CHECK(queues(64) == 10);
  CHECK(queues(65) == 64);
  CHECK(message_of(65536) == 10);
  CHECK(message_of(65537) == 64);
}

const struct test refuse_tests[] = {
    {"a full socket: time-out, nothing sent to either", full_times_out},
    {"a closed peer: nothing sent to the other", closed_peer},
    {"terminated while waiting: says that nothing was sent", terminated_while_waiting},
    {"time-out in the middle: says how much was sent", partial_times_out},
    {"the peer leaves in the middle", peer_leaves_in_the_middle},
    {"destinations that are none", bad_destinations},
    {"a descriptor that is none", bad_descriptor},
    {"failing system calls", failing_system_calls},
    {"no way to report", no_report},
    {"bad arguments", bad_arguments},
    {"limits", limits},
    {NULL, NULL},
};

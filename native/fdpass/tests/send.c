/* What arrives, whatever the state of the socket. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GETFD_A "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"},\"id\":1}\r\n"
#define GETFD_B "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"b \xc3\xa4\"},\"id\":22}\n"

static const char *long_message(void) {
  static char text[60001];
  for (size_t i = 0; i + 1 < sizeof text; i++) {
    text[i] = (char)('a' + i % 23);
  }
  return text;
}

static void close_all(int *fds, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (fds[i] != -1) {
      (void)close(fds[i]);
    }
  }
}

static bool carries(int from, int to) {
  char byte = 0;
  return write(from, "x", 1) == 1 && is_readable(to, 1000) && read(to, &byte, 1) == 1 &&
         byte == 'x';
}

static void check_connected(int a, int b) {
  char byte;
  int type = 0;
  socklen_t size = sizeof type;
  CHECK(a != -1 && b != -1);
  CHECK(getsockopt(a, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM);
  CHECK(carries(a, b));
  CHECK(carries(b, a));
  (void)close(a);
  CHECK(is_readable(b, 1000) && read(b, &byte, 1) == 0); /* nobody else holds the other end */
  (void)close(b);
}

static const char *pair_ok(void) {
  static char line[256];
  (void)snprintf(line, sizeof line,
                 "{\"ok\":true,\"verb\":\"pair\",\"destinations\":["
                 "{\"fd\":3,\"bytes\":%zu,\"bytesWritten\":%zu},"
                 "{\"fd\":4,\"bytes\":%zu,\"bytesWritten\":%zu}]}\n",
                 strlen(GETFD_A), strlen(GETFD_A), strlen(GETFD_B), strlen(GETFD_B));
  return line;
}

/* Runs a pair with these two sockets' far ends, checks all of it, closes everything. */
static void pair_over(int a[2], int b[2], struct run extra) {
  extra.passed[0] = a[1];
  extra.passed[1] = b[1];
  extra.passed_count = 2;
  const char *args[] = {"pair", "--to", "3", GETFD_A, "--to", "4", GETFD_B, NULL};
  memcpy(extra.args, args, sizeof args);
  const struct result result = execute(&extra);
  CHECK_CODE(result, 0);
  if (!extra.close_standard[1]) {
    CHECK_TEXT(result.out, pair_ok());
  }
  CHECK_TEXT(result.err, "");
  check_connected(receive(a[0], GETFD_A), receive(b[0], GETFD_B));
  close_all(a, 2);
  close_all(b, 2);
}

static void pair_connects_both(void) {
  int a[2], b[2];
  connect_pair(a);
  connect_pair(b);
  pair_over(a, b, (struct run){0});
}

static void flags_stay(void) {
  for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
    int a[2], b[2];
    connect_pair(a);
    connect_pair(b);
    if (nonblocking) {
      set_nonblocking(a[1]);
      set_nonblocking(b[1]);
    }
    const int before = fcntl(a[1], F_GETFL);
    const int keep_a = dup(a[1]);
    const int keep_b = dup(b[1]);
    pair_over(a, b, (struct run){0});
    CHECK(fcntl(keep_a, F_GETFL) == before);
    CHECK(fcntl(keep_b, F_GETFL) == before);
    (void)close(keep_a);
    (void)close(keep_b);
  }
}

static void standard_descriptors_closed(void) {
  if (program[1] != NULL) {
    return; /* valgrind itself does not start then */
  }
  for (int fd = 0; fd < 3; fd++) {
    int a[2], b[2];
    struct run run = {0};
    run.close_standard[fd] = true;
    connect_pair(a);
    connect_pair(b);
    pair_over(a, b, run);
  }
}

static void old_kernel(void) {
  int a[2], b[2];
  connect_pair(a);
  connect_pair(b);
  pair_over(a, b, (struct run){.fail_syscall = SYS_close_range, .fail_errno = ENOSYS});
}

/* --- send --- */

static struct run send_run(int to, int fd, const char *message, const char *timeout_ms) {
  return (struct run){
      .args = {"send", "--timeout-ms", timeout_ms, "--to", "3", message, "--fd", "4", NULL},
      .passed = {to, fd},
      .passed_count = 2};
}

static int some_file(void) {
  return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static bool same_file(int a, int b) {
  struct stat left;
  struct stat right;
  return fstat(a, &left) == 0 && fstat(b, &right) == 0 && left.st_ino == right.st_ino &&
         left.st_dev == right.st_dev;
}

static void check_got(int to, const char *message, int file) {
  const int got = receive(to, message);
  CHECK(got != -1 && same_file(got, file));
  (void)close(got);
}

static void send_one_descriptor(void) {
  int a[2];
  const int file = some_file();
  connect_pair(a);
  const struct run run = send_run(a[1], file, GETFD_A, "1000");
  const struct result result = execute(&run);
  CHECK_CODE(result, 0);
  CHECK_TEXT(result.out, "{\"ok\":true,\"verb\":\"send\",\"destinations\":["
                         "{\"fd\":3,\"bytes\":55,\"bytesWritten\":55}]}\n");
  check_got(a[0], GETFD_A, file);
  close_all(a, 2);
  (void)close(file);
}

static void send_several(void) {
  int a[2], b[2];
  const int file = some_file();
  connect_pair(a);
  connect_pair(b);
  const struct run run = {
      .args = {"send", "--to", "3", "one", "--fd", "5", "--to", "4", "two", "--fd", "5", NULL},
      .passed = {a[1], b[1], file},
      .passed_count = 3};
  const struct result result = execute(&run);
  CHECK_CODE(result, 0);
  check_got(a[0], "one", file);
  check_got(b[0], "two", file);
  close_all(a, 2);
  close_all(b, 2);
  (void)close(file);
}

static void short_writes(void) {
  for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
    int a[2];
    const int file = some_file();
    const int tiny = 1;
    connect_pair(a);
    CHECK(setsockopt(a[1], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny) == 0);
    if (nonblocking) {
      set_nonblocking(a[1]);
    }
    const struct run run = send_run(a[1], file, long_message(), "5000");
    const struct child child = start(&run);
    check_got(a[0], long_message(), file);
    const struct result result = finish(child);
    CHECK_CODE(result, 0);
    CHECK_TEXT(result.out, "{\"ok\":true,\"verb\":\"send\",\"destinations\":["
                           "{\"fd\":3,\"bytes\":60000,\"bytesWritten\":60000}]}\n");
    close_all(a, 2);
    (void)close(file);
  }
}

static void waits_for_room(void) {
  int a[2];
  const int file = some_file();
  connect_pair(a);
  const size_t junk = fill(a[1]);
  const struct run run = send_run(a[1], file, GETFD_A, "5000");
  const struct child child = start(&run);
  pause_ms(150);
  drain(a[0], junk);
  const struct result result = finish(child);
  CHECK_CODE(result, 0);
  check_got(a[0], GETFD_A, file);
  close_all(a, 2);
  (void)close(file);
}

static void survives_stop_and_continue(void) {
  int a[2];
  const int file = some_file();
  connect_pair(a);
  const size_t junk = fill(a[1]);
  const struct run run = send_run(a[1], file, GETFD_A, "5000");
  const struct child child = start(&run);
  pause_ms(150);
  CHECK(kill(child.pid, SIGSTOP) == 0);
  pause_ms(50);
  CHECK(kill(child.pid, SIGCONT) == 0);
  pause_ms(50);
  drain(a[0], junk);
  const struct result result = finish(child);
  CHECK_CODE(result, 0);
  check_got(a[0], GETFD_A, file);
  close_all(a, 2);
  (void)close(file);
}

static void strays_are_closed(void) {
  int a[2], stray[2];
  const int file = some_file();
  connect_pair(a);
  CHECK(pipe2(stray, O_CLOEXEC) == 0);
  const size_t junk = fill(a[1]);
  struct run run = send_run(a[1], file, GETFD_A, "5000");
  run.stray = stray[1];
  const struct child child = start(&run);
  (void)close(stray[1]);
  char byte;
  /* End of file while the helper still waits: it holds the write end no more. */
  CHECK(is_readable(stray[0], 4000) && read(stray[0], &byte, 1) == 0);
  drain(a[0], junk);
  const struct result result = finish(child);
  CHECK_CODE(result, 0);
  check_got(a[0], GETFD_A, file);
  close_all(a, 2);
  (void)close(stray[0]);
  (void)close(file);
}

static void version_and_help(void) {
  const struct result version = execute(&(struct run){.args = {"--version", NULL}});
  CHECK_CODE(version, 0);
  CHECK_TEXT(version.out, "fdpass 1.1.0\n");
  const struct result help = execute(&(struct run){.args = {"--help", NULL}});
  CHECK_CODE(help, 0);
  CHECK(strstr(help.out, "usage: fdpass pair") == help.out);
}

const struct test send_tests[] = {
    {"pair connects both receivers", pair_connects_both},
    {"the sockets' flags stay as they are", flags_stay},
    {"a standard descriptor is closed", standard_descriptors_closed},
    {"a kernel without close_range", old_kernel},
    {"send attaches an inherited descriptor", send_one_descriptor},
    {"send takes several couples", send_several},
    {"short writes: the descriptor rides once", short_writes},
    {"a full socket: waits for room", waits_for_room},
    {"stopped and continued while it waits", survives_stop_and_continue},
    {"strays are closed at once", strays_are_closed},
    {"--version and --help", version_and_help},
    {NULL, NULL},
};

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char **program;
static bool test_failed;

static void must(bool good, const char *what) {
  if (!good) {
    perror(what);
    exit(2);
  }
}

/* Makes one system call fail in the child: faults that are hard to bring about otherwise. */
static void inject(long number, int error) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog fprog = {.len = sizeof filter / sizeof filter[0], .filter = filter};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &fprog) == 0, "seccomp");
}

static void become(const struct run *run, int out, int err) {
  int high[MAX_PASSED + 3];
  size_t count = 0;
  for (size_t i = 0; i < run->passed_count; i++) {
    high[count++] = fcntl(run->passed[i], F_DUPFD_CLOEXEC, 100);
  }
  const int stray = run->stray > 0 ? fcntl(run->stray, F_DUPFD_CLOEXEC, 100) : -1;
  must(dup2(out, 1) == 1 && dup2(err, 2) == 2, "dup2");
  for (size_t i = 0; i < run->passed_count; i++) {
    must(dup2(high[i], 3 + (int)i) != -1, "dup2");
  }
  if (stray != -1) {
    must(dup2(stray, 50) == 50, "dup2");
  }
  for (int fd = 0; fd < 3; fd++) {
    if (run->close_standard[fd]) {
      (void)close(fd);
    }
  }
  if (run->fail_errno != 0) {
    inject(run->fail_syscall, run->fail_errno);
  }
  char *argv[MAX_ARGS + 16];
  size_t argc = 0;
  while (program[argc] != NULL) {
    argv[argc] = program[argc];
    argc++;
  }
  for (size_t i = 0; run->args[i] != NULL; i++) {
    argv[argc++] = (char *)(uintptr_t)run->args[i];
  }
  argv[argc] = NULL;
  (void)execvp(argv[0], argv);
  _exit(126);
}

struct child start(const struct run *run) {
  int out[2];
  int err[2];
  must(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "pipe2");
  if (run->stdout_path != NULL) {
    (void)close(out[1]);
    out[1] = open(run->stdout_path, O_WRONLY | O_CLOEXEC);
    must(out[1] != -1, run->stdout_path);
  }
  const pid_t pid = fork();
  must(pid != -1, "fork");
  if (pid == 0) {
    become(run, out[1], err[1]);
  }
  (void)close(out[1]);
  (void)close(err[1]);
  return (struct child){pid, out[0], err[0]};
}

static void read_rest(int fd, char *text, size_t size) {
  size_t length = 0;
  for (ssize_t some = 1; some > 0 && length + 1 < size; length += some > 0 ? (size_t)some : 0) {
    some = read(fd, text + length, size - length - 1);
  }
  text[length] = '\0';
  (void)close(fd);
}

struct result finish(struct child child) {
  struct result result;
  int status = 0;
  read_rest(child.out, result.out, sizeof result.out);
  read_rest(child.err, result.err, sizeof result.err);
  must(waitpid(child.pid, &status, 0) == child.pid, "waitpid");
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return result;
}

struct result execute(const struct run *run) {
  return finish(start(run));
}

void connect_pair(int ends[2]) {
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
}

void set_nonblocking(int fd) {
  must(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0, "O_NONBLOCK");
}

size_t fill(int fd) {
  static const char junk[4096] = {0};
  size_t total = 0;
  for (size_t size = sizeof junk; size > 0;) {
    const ssize_t some = send(fd, junk, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (some > 0) {
      total += (size_t)some;
    } else {
      size /= 2;
    }
  }
  return total;
}

void drain(int fd, size_t bytes) {
  char junk[4096];
  while (bytes > 0) {
    const ssize_t some = read(fd, junk, bytes < sizeof junk ? bytes : sizeof junk);
    must(some > 0, "drain");
    bytes -= (size_t)some;
  }
}

void pause_ms(int ms) {
  const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
  (void)nanosleep(&time, NULL);
}

bool is_readable(int fd, int wait_ms) {
  struct pollfd item = {.fd = fd, .events = POLLIN};
  return poll(&item, 1, wait_ms) == 1;
}

/* Returns the one descriptor in the control data, -1 for none; anything odd fails the test. */
static int take_descriptor(struct msghdr *message) {
  int found = -1;
  size_t count = 0;
  CHECK((message->msg_flags & MSG_CTRUNC) == 0);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    CHECK(c->cmsg_level == SOL_SOCKET);
    CHECK(c->cmsg_type == SCM_RIGHTS);
    CHECK(c->cmsg_len == CMSG_LEN(sizeof(int)));
    memcpy(&found, CMSG_DATA(c), sizeof found);
    count++;
  }
  CHECK(count <= 1);
  return found;
}

int receive(int fd, const char *message) {
  static char text[70000];
  const size_t wanted = strlen(message);
  size_t length = 0;
  int found = -1;
  while (length < wanted) {
    union {
      struct cmsghdr align;
      char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = text + length, .iov_len = sizeof text - length - 1};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    if (!is_readable(fd, 10000)) {
      break;
    }
    const ssize_t some = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    if (some <= 0) {
      break;
    }
    const int carried = take_descriptor(&header);
    CHECK((carried != -1) == (length == 0)); /* on the first byte, and nowhere else */
    found = carried != -1 ? carried : found;
    length += (size_t)some;
  }
  text[length] = '\0';
  CHECK_TEXT(text, message);
  CHECK(!is_readable(fd, 0));
  return found;
}

void check_at(bool good, const char *file, int line, const char *what) {
  if (!good) {
    test_failed = true;
    (void)fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
  }
}

void check_text_at(const char *seen, const char *wanted, const char *file, int line) {
  if (strcmp(seen, wanted) != 0) {
    test_failed = true;
    (void)fprintf(stderr, "%s:%d: seen   %.2000s\n  wanted %.2000s\n", file, line, seen, wanted);
  }
}

void check_code_at(const struct result *result, int wanted, const char *file, int line) {
  if (result->code != wanted) {
    test_failed = true;
    (void)fprintf(stderr, "%s:%d: ended with %d, wanted %d: %s%s\n", file, line, result->code,
                  wanted, result->out, result->err);
  }
}

static void run_tests(const struct test *tests, int *passed, int *failed) {
  for (; tests->name != NULL; tests++) {
    test_failed = false;
    tests->body();
    *(test_failed ? failed : passed) += 1;
    (void)printf("%s %s\n", test_failed ? "not ok" : "ok", tests->name);
  }
}

int main(int argc, char **argv) {
  int passed = 0;
  int failed = 0;
  if (argc < 2) {
    (void)fprintf(stderr, "usage: run [WRAPPER...] FDPASS\n");
    return 2;
  }
  program = argv + 1;
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  /* Nothing of the caller's but 0, 1, 2 leaks into the helper. */
  for (int fd = 3; fd < 256; fd++) {
    (void)close(fd);
  }
  run_tests(send_tests, &passed, &failed);
  run_tests(refuse_tests, &passed, &failed);
  run_tests(tap_tests, &passed, &failed);
  run_tests(others_tests, &passed, &failed);
  (void)printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

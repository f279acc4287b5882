/* Runs the helper as its parent would, and receives as QEMU would. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { MAX_ARGS = 256, MAX_PASSED = 8 };

struct run {
  const char *args[MAX_ARGS];   /* NULL-terminated, after the program */
  int passed[MAX_PASSED];       /* these become descriptors 3, 4, ... of the child */
  size_t passed_count;
  int stray;                    /* one more, inherited as descriptor 50 though nobody named it */
  bool close_standard[3];
  const char *stdout_path;      /* instead of the pipe */
  long fail_syscall;            /* with this number ... */
  int fail_errno;               /* ... fails with this */
};

struct child {
  pid_t pid;
  int out;
  int err;
};

struct result {
  int code; /* the exit code, or -signal */
  char out[16384];
  char err[4096];
};

extern char **program; /* the helper, perhaps with a wrapper such as valgrind before it */

struct child start(const struct run *run);
struct result finish(struct child child);
struct result execute(const struct run *run);

/* A pair of connected UNIX stream sockets: ours[0] stays here, ours[1] goes to the helper. */
void connect_pair(int ends[2]);
void set_nonblocking(int fd);
size_t fill(int fd);
void drain(int fd, size_t bytes);
void pause_ms(int ms);
bool is_readable(int fd, int wait_ms);

/* Receives exactly the message with exactly one descriptor on its first byte; returns that or -1. */
int receive(int fd, const char *message);

void check_at(bool good, const char *file, int line, const char *what);
void check_text_at(const char *seen, const char *wanted, const char *file, int line);
void check_code_at(const struct result *result, int wanted, const char *file, int line);
#define CHECK(condition) check_at((condition), __FILE__, __LINE__, #condition)
#define CHECK_TEXT(seen, wanted) check_text_at((seen), (wanted), __FILE__, __LINE__)
#define CHECK_CODE(result, wanted) check_code_at(&(result), (wanted), __FILE__, __LINE__)

struct test {
  const char *name;
  void (*body)(void);
};

extern const struct test send_tests[];
extern const struct test refuse_tests[];
extern const struct test tap_tests[];
extern const struct test others_tests[];

#endif

/* Becomes a program in the surroundings of a running process, with descriptors of that process. */
#include "fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_ADOPTED = 64, MAX_NUMBER = 1000, MAX_VARIABLES = 4096 };

struct adoption {
  struct remote remote;
  int number; /* what it becomes in the program */
  int descriptor;
};

struct launch {
  struct process like;
  bool has_like, has_ticks, env_like;
  struct adoption adoptions[MAX_ADOPTED];
  size_t count;
  int log;     /* -1: thrown away */
  int nothing; /* /dev/null */
  int report;
  uint64_t start_ticks; /* ours, and so the program's */
  char **command;
  char **environment;
};

/* FD=N or FD=N:IFNAME */
static bool parse_adoption(const char *text, struct launch *launch) {
  char from[16] = "";
  const char *equals = strchr(text, '=');
  struct adoption *adoption = &launch->adoptions[launch->count];
  struct remote placed;
  if (launch->count == MAX_ADOPTED || equals == NULL || (size_t)(equals - text) >= sizeof from) {
    return false;
  }
  memcpy(from, text, (size_t)(equals - text));
  if (!parse_remote(equals + 1, &placed) || placed.fd < 3 || placed.fd > MAX_NUMBER ||
      !parse_number(from, 0, INT_MAX, &adoption->remote.fd)) {
    return false;
  }
  memcpy(adoption->remote.ifname, placed.ifname, sizeof placed.ifname);
  adoption->number = placed.fd;
  adoption->descriptor = -1;
  for (size_t i = 0; i < launch->count; i++) {
    if (launch->adoptions[i].number == adoption->number) {
      return false;
    }
  }
  launch->count++;
  return true;
}

static bool parse(int argc, char **argv, struct launch *launch, struct failure *failure) {
  int next = 0;
  while (next < argc && strcmp(argv[next], "--") != 0) {
    const char *option = argv[next++];
    const char *value = next < argc ? argv[next] : "";
    bool good = false;
    if (strcmp(option, "--env-like") == 0) {
      launch->env_like = true;
      continue;
    }
    if (strcmp(option, "--like") == 0 && !launch->has_like) {
      good = launch->has_like = parse_number(value, 1, INT_MAX, &launch->like.pid);
    } else if (strcmp(option, "--start-ticks") == 0 && !launch->has_ticks) {
      good = launch->has_ticks = parse_ticks(value, &launch->like.start_ticks);
    } else if (strcmp(option, "--log") == 0 && launch->log == -1) {
      good = parse_number(value, 3, INT_MAX, &launch->log);
    } else if (strcmp(option, "--adopt") == 0) {
      good = parse_adoption(value, launch);
    }
    if (!good) {
      return usage(failure, "an option of launch that is unknown, double or has a bad value");
    }
    next++;
  }
  if (!launch->has_like || !launch->has_ticks) {
    return usage(failure, "launch takes --like and --start-ticks");
  }
  launch->command = argv + next + 1;
  if (next + 1 >= argc || launch->command[0][0] != '/') {
    return usage(failure, "launch takes an absolute PROGRAM after --");
  }
  return true;
}

/* Out of the way of the numbers that adopted descriptors get. */
static bool move_up(int *fd, bool keep_old) {
  const int moved = fcntl(*fd, F_DUPFD_CLOEXEC, MAX_NUMBER + 1);
  if (moved >= 0 && !keep_old) {
    (void)close(*fd);
  }
  if (moved >= 0) {
    *fd = moved;
  }
  return moved >= 0;
}

static bool prepare(struct launch *launch, struct failure *failure) {
  int kept[1] = {launch->log};
  const int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (self < 0 || !read_start_ticks(self, &launch->start_ticks)) {
    return fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "reading /proc");
  }
  /* Room above MAX_NUMBER; the program gets the limit of the process. */
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  if (!keep_only(kept, launch->log == -1 ? 0 : 1, failure)) {
    return false;
  }
  if (launch->log != -1 && fcntl(launch->log, F_GETFD) == -1) {
    return fail(failure, OUTCOME_BAD_DESCRIPTOR, errno, -1, "the descriptor of the log");
  }
  launch->nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (launch->nothing < 0 || !move_up(&launch->nothing, false) ||
      (launch->log != -1 && !move_up(&launch->log, false)) || !move_up(&launch->report, true)) {
    return fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "moving descriptors");
  }
  return true;
}

static bool fetch_all(struct launch *launch, struct failure *failure) {
  for (size_t i = 0; i < launch->count; i++) {
    struct adoption *adoption = &launch->adoptions[i];
    if (!fetch_descriptor(&launch->like, &adoption->remote, (int)i, &adoption->descriptor,
                          failure)) {
      return false;
    }
    if (!move_up(&adoption->descriptor, false)) {
      return fail(failure, OUTCOME_SETUP_FAILED, errno, (int)i, "moving descriptors");
    }
  }
  return true;
}

/* Everything of ours is above MAX_NUMBER by then, so nothing is hit. dup2 leaves no FD_CLOEXEC. */
static bool place_all(const struct launch *launch, struct failure *failure) {
  for (size_t i = 0; i < launch->count; i++) {
    if (dup2(launch->adoptions[i].descriptor, launch->adoptions[i].number) == -1) {
      return fail(failure, OUTCOME_SETUP_FAILED, errno, (int)i, "placing a descriptor");
    }
  }
  return true;
}

/* What the process was started with, but for what tells a QEMU to look for an earlier one's guest. */
static bool read_environment(struct launch *launch, struct failure *failure) {
  static char *variables[MAX_VARIABLES + 1];
  static const char unwanted[] = "QEMU_CPR_EXEC_STATE=";
  size_t length = 0;
  size_t count = 0;
  char *text = read_whole(launch->like.directory, "environ", &length);
  if (text == NULL) {
    return fail(failure, errno == EACCES ? OUTCOME_NOT_PERMITTED : OUTCOME_SETUP_FAILED, errno, -1,
                "may not read the environment of the process");
  }
  for (char *at = text; at < text + length; at += strlen(at) + 1) {
    if (*at != '\0' && strncmp(at, unwanted, sizeof unwanted - 1) != 0) {
      if (count == MAX_VARIABLES) {
        return fail(failure, OUTCOME_SETUP_FAILED, E2BIG, -1, "the environment of the process");
      }
      variables[count++] = at;
    }
  }
  launch->environment = variables;
  return true;
}

static void reset_signals(void) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  sigset_t none;
  sigemptyset(&standard.sa_mask);
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++) {
    (void)sigaction(number, &standard, NULL); /* refused for those that have no other way */
  }
  (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool tell(const struct launch *launch, const struct missing *missing) {
  static struct line line;
  append(&line, "{\"ok\":true,\"verb\":\"launch\",\"pid\":%d,\"startTicks\":\"%lu\",\"missing\":[",
         getpid(), launch->start_ticks);
  for (size_t i = 0; i < missing->count; i++) {
    append(&line, "%s\"%s\"", i == 0 ? "" : ",", missing->what[i]);
  }
  append(&line, "]}\n");
  return write_all(launch->report, line.text, line.length);
}

/*
 * The line says what was done, and that exec comes next. A second line says that exec failed; the
 * end of the stream without one that it did not, since the descriptor closes with it.
 */
static bool become(struct launch *launch, const struct missing *missing, struct failure *failure) {
  const int log = launch->log == -1 ? launch->nothing : launch->log;
  (void)setsid(); /* fails when it leads a session already */
  if (dup2(launch->nothing, 0) != 0 || dup2(log, 1) != 1 || dup2(log, 2) != 2) {
    return fail(failure, OUTCOME_SETUP_FAILED, errno, -1, "standard streams");
  }
  (void)signal(SIGPIPE, SIG_IGN);
  if (!tell(launch, missing)) {
    return fail(failure, OUTCOME_REPORT_FAILED, errno, -1, "cannot write to stdout");
  }
  reset_signals();
  (void)execve(launch->command[0], launch->command, launch->environment);
  return fail(failure, OUTCOME_EXEC_FAILED, errno, -1, "the program could not be executed");
}

int run_launch(int argc, char **argv) {
  static struct launch launch = {.log = -1, .report = STDOUT_FILENO};
  static struct likeness likeness;
  struct failure failure = {.outcome = OUTCOME_OK, .destination = -1};
  extern char **environ;
  launch.environment = environ;

  bool good = parse(argc, argv, &launch, &failure) && prepare(&launch, &failure) &&
              open_process(&launch.like, &failure) && move_up(&launch.like.pidfd, false) &&
              move_up(&launch.like.directory, false) && fetch_all(&launch, &failure) &&
              read_likeness(&launch.like, &likeness, &failure) &&
              (!launch.env_like || read_environment(&launch, &failure));
  if (good) {
    good = move_up(&likeness.root, false) && move_up(&likeness.cwd, false) &&
           place_all(&launch, &failure) && be_like(&likeness, &failure);
    /* All that was read is worth nothing if the process ended, and its pid is another's now. */
    if (good && !process_alive(&launch.like)) {
      good = fail(&failure, OUTCOME_PROCESS_GONE, ESRCH, -1, "the process has ended");
    }
    good = good && become(&launch, &likeness.missing, &failure);
  }
  if (failure.outcome == OUTCOME_OK) {
    (void)fail(&failure, OUTCOME_SETUP_FAILED, errno, -1, "moving descriptors");
  }
  tell_person(&failure);
  if (!report_failure(launch.report, VERB_LAUNCH, &failure)) {
    return OUTCOME_REPORT_FAILED;
  }
  return (int)failure.outcome;
}

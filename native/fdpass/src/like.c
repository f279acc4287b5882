/* Makes this process as like another one as it can be made without being it. */
#include "fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum { IOPRIO_WHO_PROCESS = 1 };

void miss(struct missing *missing, const char *what, int error) {
  if (missing->count < sizeof missing->what / sizeof missing->what[0]) {
    (void)snprintf(missing->what[missing->count++], sizeof missing->what[0], "%s: %s", what,
                   error == 0 ? "differs" : errno_word(error));
  }
}

static bool not_readable(const char *detail, struct failure *failure) {
  const bool forbidden = errno == EACCES || errno == EPERM;
  return errno == ESRCH || errno == ENOENT
             ? fail(failure, OUTCOME_PROCESS_GONE, ESRCH, -1, "the process has ended")
             : fail(failure, forbidden ? OUTCOME_NOT_PERMITTED : OUTCOME_SETUP_FAILED, errno, -1,
                    detail);
}

static bool compare_namespaces(struct likeness *likeness, struct failure *failure) {
  static const struct {
    const char *name;
    int flag;
  } kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},         {"net", CLONE_NEWNET},
               {"uts", CLONE_NEWUTS},   {"ipc", CLONE_NEWIPC},        {"pid", CLONE_NEWPID},
               {"time", CLONE_NEWTIME}, {"cgroup", CLONE_NEWCGROUP}};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    char path[32];
    struct stat own, other;
    (void)snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i].name);
    if (stat(path, &own) != 0) {
      continue; /* a kind that this kernel does not have */
    }
    if (fstatat(likeness->process->directory, path + strlen("/proc/self/"), &other, 0) != 0) {
      return not_readable("may not see the namespaces of the process", failure);
    }
    if (own.st_dev != other.st_dev || own.st_ino != other.st_ino) {
      likeness->namespaces |= kinds[i].flag;
    }
  }
  if ((likeness->namespaces & CLONE_NEWPID) != 0) {
    /* It would hold for children only. */
    return fail(failure, OUTCOME_UNLIKE, 0, -1, "the process is in another PID namespace");
  }
  return true;
}

bool read_likeness(const struct process *process, struct likeness *likeness,
                   struct failure *failure) {
  likeness->process = process;
  likeness->root = openat(process->directory, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  likeness->cwd = openat(process->directory, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (likeness->root < 0 || likeness->cwd < 0) {
    return not_readable("may not see the folders of the process", failure);
  }
  likeness->cgroups = read_whole(process->directory, "cgroup", NULL);
  likeness->own_cgroups = read_whole(AT_FDCWD, "/proc/self/cgroup", NULL);
  likeness->mounts = read_whole(AT_FDCWD, "/proc/self/mountinfo", NULL);
  return compare_namespaces(likeness, failure);
}

/* Who is killed first when memory is short. */
static void take_oom_score(struct likeness *likeness) {
  char *score = read_whole(likeness->process->directory, "oom_score_adj", NULL);
  char *own = read_whole(AT_FDCWD, "/proc/self/oom_score_adj", NULL);
  if (score != NULL && own != NULL && strcmp(score, own) != 0) {
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, score, strlen(score)) < 0) {
      miss(&likeness->missing, "oom_score_adj", errno);
    }
    (void)close(fd);
  }
  free(score);
  free(own);
}

/* By system calls: musl's functions of these names do nothing. */
static void take_scheduling(struct likeness *likeness) {
  const int pid = likeness->process->pid;
  struct missing *missing = &likeness->missing;
  unsigned long theirs[1024] = {0};
  unsigned long ours[1024] = {0};
  const long size = syscall(SYS_sched_getaffinity, pid, sizeof theirs, theirs);
  if (size < 0 || syscall(SYS_sched_getaffinity, 0, sizeof ours, ours) != size ||
      (memcmp(theirs, ours, sizeof ours) != 0 &&
       syscall(SYS_sched_setaffinity, 0, (size_t)size, theirs) != 0)) {
    miss(missing, "cpuAffinity", errno);
  }
  int their_parameter = 0; /* struct sched_param of the kernel */
  int our_parameter = 0;
  const long policy = syscall(SYS_sched_getscheduler, pid);
  if (policy < 0 || syscall(SYS_sched_getparam, pid, &their_parameter) != 0 ||
      syscall(SYS_sched_getparam, 0, &our_parameter) != 0 ||
      ((policy != syscall(SYS_sched_getscheduler, 0) || their_parameter != our_parameter) &&
       syscall(SYS_sched_setscheduler, 0, policy, &their_parameter) != 0)) {
    miss(missing, "scheduling", errno);
  }
  errno = 0;
  const int nice_value = getpriority(PRIO_PROCESS, (id_t)pid);
  if (errno != 0 || (nice_value != getpriority(PRIO_PROCESS, 0) &&
                     setpriority(PRIO_PROCESS, 0, nice_value) != 0)) {
    miss(missing, "nice", errno);
  }
  const long priority = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, pid);
  if (priority >= 0 && priority != syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) &&
      syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) != 0) {
    miss(missing, "ioPriority", errno);
  }
}

static bool read_limit(const char *text, rlim_t *limit) {
  char word[24];
  if (sscanf(text, "%23s", word) != 1) {
    return false;
  }
  *limit = strcmp(word, "unlimited") == 0 ? RLIM_INFINITY : strtoull(word, NULL, 10);
  return true;
}

/*
 * From /proc, which is open to all; prlimit would ask for CAP_SYS_RESOURCE. A heading, then a line
 * for each in the order of their numbers: a name of 25 columns, and both values in 21 each.
 */
static void take_limits(struct likeness *likeness) {
  static const char *const names[] = {
      "limitCpu",    "limitFsize",  "limitData",       "limitStack",    "limitCore", "limitRss",
      "limitNproc",  "limitNofile", "limitMemlock",    "limitAs",       "limitLocks",
      "limitSigpending", "limitMsgqueue", "limitNice", "limitRtprio",   "limitRttime"};
  char *text = read_whole(likeness->process->directory, "limits", NULL);
  const char *line = text;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    struct rlimit theirs, ours;
    line = line == NULL ? NULL : strchr(line, '\n');
    line = line == NULL ? NULL : line + 1;
    if (line == NULL || strlen(line) < 60 || !read_limit(line + 26, &theirs.rlim_cur) ||
        !read_limit(line + 47, &theirs.rlim_max)) {
      miss(&likeness->missing, names[i], ENOENT);
      break;
    }
    /* By system calls: the C libraries disagree about the type of a resource. */
    if (syscall(SYS_prlimit64, 0, i, NULL, &ours) != 0 ||
        ((theirs.rlim_cur != ours.rlim_cur || theirs.rlim_max != ours.rlim_max) &&
         syscall(SYS_prlimit64, 0, i, &theirs, NULL) != 0)) {
      miss(&likeness->missing, names[i], errno);
      /* The soft limit alone, as far as our own hard limit allows. */
      ours.rlim_cur = theirs.rlim_cur < ours.rlim_max ? theirs.rlim_cur : ours.rlim_max;
      (void)syscall(SYS_prlimit64, 0, i, &ours, NULL);
    }
  }
  free(text);
}

/* As the process says it before anything here changed; a security module's name for its rights. */
static void compare_label(struct likeness *likeness) {
  char *theirs = read_whole(likeness->process->directory, "attr/current", NULL);
  char *own = read_whole(AT_FDCWD, "/proc/self/attr/current", NULL);
  if (theirs != NULL && own != NULL && strcmp(theirs, own) != 0) {
    miss(&likeness->missing, "securityLabel", 0);
  }
  free(theirs);
  free(own);
}

static bool enter_namespaces(const struct likeness *likeness, struct failure *failure) {
  if (likeness->namespaces == 0 || setns(likeness->process->pidfd, likeness->namespaces) == 0) {
    return true;
  }
  return fail(failure, errno == EPERM ? OUTCOME_NOT_PERMITTED : OUTCOME_UNLIKE, errno, -1,
              "may not join the namespaces of the process");
}

static bool enter_folders(const struct likeness *likeness, struct failure *failure) {
  struct stat root, theirs;
  if (stat("/", &root) != 0 || fstat(likeness->root, &theirs) != 0) {
    return fail(failure, OUTCOME_UNLIKE, errno, -1, "the root folder of the process");
  }
  if ((root.st_dev != theirs.st_dev || root.st_ino != theirs.st_ino) &&
      (fchdir(likeness->root) != 0 || chroot(".") != 0)) {
    return fail(failure, errno == EPERM ? OUTCOME_NOT_PERMITTED : OUTCOME_UNLIKE, errno, -1,
                "may not use the root folder of the process");
  }
  if (fchdir(likeness->cwd) != 0) {
    return fail(failure, errno == EACCES ? OUTCOME_NOT_PERMITTED : OUTCOME_UNLIKE, errno, -1,
                "may not use the working folder of the process");
  }
  return true;
}

bool be_like(struct likeness *likeness, struct failure *failure) {
  compare_label(likeness);
  join_cgroups(likeness); /* before the CPU affinity, which it would reset */
  take_oom_score(likeness);
  take_scheduling(likeness);
  take_limits(likeness);
  return enter_namespaces(likeness, failure) && enter_folders(likeness, failure) &&
         take_credentials(likeness, failure);
}

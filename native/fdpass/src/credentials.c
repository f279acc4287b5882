/* User, groups, umask and what they may do, of another process. */
#include "fdpass.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_GROUPS = 4096 };

struct credentials {
  unsigned uid[3], gid[3]; /* real, effective, saved */
  gid_t groups[MAX_GROUPS];
  size_t group_count;
  unsigned umask;
  unsigned long long effective, bounding;
  int no_new_privileges;
};

static const char *value_of(const char *status, const char *name) {
  const size_t length = strlen(name);
  for (const char *line = status; line != NULL; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (strncmp(line, name, length) == 0 && line[length] == ':') {
      return line + length + 1;
    }
  }
  return "";
}

static bool read_credentials(const char *status, struct credentials *found) {
  if (sscanf(value_of(status, "Uid"), "%u %u %u", &found->uid[0], &found->uid[1],
             &found->uid[2]) != 3 ||
      sscanf(value_of(status, "Gid"), "%u %u %u", &found->gid[0], &found->gid[1],
             &found->gid[2]) != 3 ||
      sscanf(value_of(status, "CapEff"), "%llx", &found->effective) != 1 ||
      sscanf(value_of(status, "CapBnd"), "%llx", &found->bounding) != 1) {
    return false;
  }
  if (sscanf(value_of(status, "Umask"), "%o", &found->umask) != 1) {
    found->umask = ~0U; /* before Linux 4.7 */
  }
  (void)sscanf(value_of(status, "NoNewPrivs"), "%d", &found->no_new_privileges);
  const char *at = value_of(status, "Groups");
  for (;;) {
    at += strspn(at, " \t");
    if (*at < '0' || *at > '9') {
      return true;
    }
    if (found->group_count == MAX_GROUPS) {
      return false;
    }
    char *end;
    found->groups[found->group_count++] = (gid_t)strtoul(at, &end, 10);
    at = end;
  }
}

static bool same_groups(const struct credentials *a, const struct credentials *b) {
  return a->group_count == b->group_count &&
         memcmp(a->groups, b->groups, a->group_count * sizeof a->groups[0]) == 0;
}

static void narrow_bounding_set(const struct credentials *theirs, struct missing *missing) {
  for (int capability = 0; capability < 64; capability++) {
    if ((theirs->bounding >> capability & 1) == 0 &&
        prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1 &&
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      miss(missing, "capabilityBoundingSet", errno);
      return;
    }
  }
}

static bool refused(const char *detail, struct failure *failure) {
  return fail(failure, errno == EPERM ? OUTCOME_NOT_PERMITTED : OUTCOME_UNLIKE, errno, -1, detail);
}

static bool take_identity(const struct credentials *theirs, const struct credentials *ours,
                          struct missing *missing, struct failure *failure) {
  const bool same_user = memcmp(theirs->uid, ours->uid, sizeof ours->uid) == 0 &&
                         memcmp(theirs->gid, ours->gid, sizeof ours->gid) == 0;
  if (!same_groups(theirs, ours) && setgroups(theirs->group_count, theirs->groups) != 0) {
    if (!same_user) {
      return refused("may not take the groups of the process", failure);
    }
    miss(missing, "groups", errno);
  }
  if (same_user) {
    return true;
  }
  if (setresgid(theirs->gid[0], theirs->gid[1], theirs->gid[2]) != 0 ||
      setresuid(theirs->uid[0], theirs->uid[1], theirs->uid[2]) != 0) {
    return refused("may not become the user of the process", failure);
  }
  return true;
}

bool take_credentials(struct likeness *likeness, struct failure *failure) {
  static struct credentials theirs, ours;
  struct missing *missing = &likeness->missing;
  /* Opened only now: the numbers are those of our user namespace, which may have changed. */
  char *status = read_whole(likeness->process->directory, "status", NULL);
  const bool known = status != NULL && read_credentials(status, &theirs);
  free(status);
  if (!known) {
    return fail(failure, OUTCOME_UNLIKE, errno, -1, "cannot read the credentials of the process");
  }
  uid_t real, effective, saved;
  gid_t group, effective_group, saved_group;
  (void)getresuid(&real, &effective, &saved);
  (void)getresgid(&group, &effective_group, &saved_group);
  const int count = getgroups(MAX_GROUPS, ours.groups);
  ours.uid[0] = real;
  ours.uid[1] = effective;
  ours.uid[2] = saved;
  ours.gid[0] = group;
  ours.gid[1] = effective_group;
  ours.gid[2] = saved_group;
  ours.group_count = count > 0 ? (size_t)count : 0;

  narrow_bounding_set(&theirs, missing);
  if (!take_identity(&theirs, &ours, missing, failure)) {
    return false;
  }
  /* What exec gives: everything in the bounding set to root, nothing to others. */
  if (theirs.effective != (theirs.uid[1] == 0 ? theirs.bounding : 0)) {
    miss(missing, "capabilities", 0);
  }
  if (theirs.no_new_privileges == 1 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    miss(missing, "noNewPrivileges", errno);
  }
  if (theirs.umask != ~0U) {
    (void)umask((mode_t)theirs.umask);
  }
  return true;
}

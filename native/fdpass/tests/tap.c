/* TAP queues, in a network namespace of the test's own. Needs root and /dev/net/tun. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool enter_namespace(void) {
  static bool entered;
  if (!entered) {
    entered = unshare(CLONE_NEWNET) == 0;
    if (!entered || access("/dev/net/tun", R_OK | W_OK) != 0) {
      perror("TAP tests need root (unshare) and /dev/net/tun");
      entered = false;
    }
  }
  CHECK(entered);
  return entered;
}

static void check_queue(int fd, const char *name, int flags) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  CHECK(fd != -1 && ioctl(fd, TUNGETIFF, &request) == 0);
  CHECK_TEXT(request.ifr_name, name);
  CHECK((request.ifr_flags & (IFF_TAP | IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)) ==
        flags);
}

static void one_queue(void) {
  int a[2];
  if (!enter_namespace()) {
    return;
  }
  connect_pair(a);
  const struct run run = {
      .args = {"tap", "fdp0", "--to", "3", "m", NULL}, .passed = {a[1]}, .passed_count = 1};
  const struct result result = execute(&run);
  CHECK_CODE(result, 0);
  CHECK_TEXT(result.out,
             "{\"ok\":true,\"verb\":\"tap\",\"destinations\":[{\"fd\":3,\"bytes\":1,"
             "\"bytesWritten\":1}]}\n");
  const int queue = receive(a[0], "m");
  check_queue(queue, "fdp0", IFF_TAP | IFF_NO_PI);

  /* The kernel gives a single-queue TAP to one holder only. */
  const struct result second = execute(&run);
  CHECK_CODE(second, 13);
  CHECK(strstr(second.out, "\"reason\":\"tapFailed\",\"errno\":\"EBUSY\"") != NULL);
  CHECK(!is_readable(a[0], 0));
  (void)close(queue);
  (void)close(a[0]);
  (void)close(a[1]);
}

static void several_queues(void) {
  int a[2], b[2];
  if (!enter_namespace()) {
    return;
  }
  connect_pair(a);
  connect_pair(b);
  const struct run run = {.args = {"tap", "fdp1", "--multi-queue", "--vnet-hdr", "--to", "3", "one",
                                   "--to", "4", "two", NULL},
                          .passed = {a[1], b[1]},
                          .passed_count = 2};
  const struct result result = execute(&run);
  CHECK_CODE(result, 0);
  const int first = receive(a[0], "one");
  const int second = receive(b[0], "two");
  const int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
  check_queue(first, "fdp1", flags);
  check_queue(second, "fdp1", flags);
  (void)close(first);
  (void)close(second);
  for (int i = 0; i < 2; i++) {
    (void)close(a[i]);
    (void)close(b[i]);
  }
}

static void refused(void) {
  int a[2];
  if (!enter_namespace()) {
    return;
  }
  connect_pair(a);
  const struct run run = {.args = {"tap", "lo", "--to", "3", "m", NULL},
                          .passed = {a[1]},
                          .passed_count = 1};
  const struct result result = execute(&run);
  CHECK_CODE(result, 13);
  CHECK(strstr(result.out, "\"reason\":\"tapFailed\",\"errno\":\"EINVAL\"") != NULL);
  CHECK(!is_readable(a[0], 0));
  (void)close(a[0]);
  (void)close(a[1]);
}

const struct test tap_tests[] = {
    {"one queue", one_queue},
    {"several queues", several_queues},
    {"an interface that is no TAP", refused},
    {NULL, NULL},
};

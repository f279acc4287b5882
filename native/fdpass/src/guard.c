/* What can be read of a TAP, and putting it back. */
#include "guard.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>

static bool control(const struct held_tap *tap, unsigned long request, void *argument, int index,
                    const char *detail, struct failure *failure) {
  return tap_control(tap->fd, request, argument) == 0 ||
         fail(failure, OUTCOME_TAP_CONTROL_FAILED, errno, index, detail);
}

bool read_tap(const struct held_tap *tap, struct tap_state *state, int index,
              struct failure *failure) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (!control(tap, TUNGETIFF, &request, index, "TUNGETIFF", failure) ||
      !control(tap, TUNGETVNETHDRSZ, &state->header_size, index, "TUNGETVNETHDRSZ", failure) ||
      !control(tap, TUNGETSNDBUF, &state->sndbuf, index, "TUNGETSNDBUF", failure)) {
    return false;
  }
  state->flags = (unsigned short)request.ifr_flags;
  state->attached = (state->flags & IFF_DETACH_QUEUE) == 0;
  state->little_endian = 0;
  if (tap_control(tap->fd, TUNGETVNETLE, &state->little_endian) != 0) {
    state->little_endian = -1;
  }
  state->offloads = read_offloads(tap);
  return true;
}

static bool put_back_size(struct held_tap *tap, int index, struct failure *failure) {
  int now = 0;
  if (!control(tap, TUNGETVNETHDRSZ, &now, index, "TUNGETVNETHDRSZ", failure)) {
    return false;
  }
  if (now == tap->recorded.header_size) {
    return true;
  }
  int size = tap->recorded.header_size;
  if (!control(tap, TUNSETVNETHDRSZ, &size, index, "TUNSETVNETHDRSZ", failure)) {
    return false;
  }
  tap->put_back++;
  return true;
}

static bool change_queue(const struct held_tap *tap, bool attached, bool *changed, int index,
                         struct failure *failure) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  *changed = false;
  if ((tap->recorded.flags & IFF_MULTI_QUEUE) == 0) {
    return true;
  }
  if (!control(tap, TUNGETIFF, &request, index, "TUNGETIFF", failure)) {
    return false;
  }
  if ((((unsigned short)request.ifr_flags & IFF_DETACH_QUEUE) == 0) == attached) {
    return true;
  }
  memset(&request, 0, sizeof request);
  request.ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
  *changed = control(tap, TUNSETQUEUE, &request, index, "TUNSETQUEUE", failure);
  return *changed;
}

bool set_queue(const struct held_tap *tap, bool attached, int index, struct failure *failure) {
  bool changed;
  return change_queue(tap, attached, &changed, index, failure);
}

/* A queue that one QEMU detaches takes no packets for anybody who has it. */
static bool put_back_queue(struct held_tap *tap, int index, struct failure *failure) {
  bool changed = false;
  const bool good = tap->queue_left_alone ||
                    change_queue(tap, tap->recorded.attached, &changed, index, failure);
  tap->put_back += changed;
  return good;
}

bool guard_tap(struct held_tap *tap, int index, struct failure *failure) {
  const unsigned long before = tap->put_back;
  const bool good =
      put_back_size(tap, index, failure) && put_back_queue(tap, index, failure);
  const int64_t now = now_us();
  if (tap->put_back != before && now - tap->looked_us > tap->late_us) {
    tap->late_us = now - tap->looked_us;
  }
  tap->looked_us = now;
  return good;
}

bool restore_tap(struct held_tap *tap, int index, struct failure *failure) {
  struct tap_state state;
  tap->queue_left_alone = false;
  if (!put_back_size(tap, index, failure) || !put_back_queue(tap, index, failure) ||
      !read_tap(tap, &state, index, failure)) {
    return false;
  }
  int sndbuf = tap->recorded.sndbuf;
  int little = tap->recorded.little_endian;
  if (state.sndbuf != sndbuf &&
      !control(tap, TUNSETSNDBUF, &sndbuf, index, "TUNSETSNDBUF", failure)) {
    return false;
  }
  if (little != -1 && state.little_endian != little &&
      !control(tap, TUNSETVNETLE, &little, index, "TUNSETVNETLE", failure)) {
    return false;
  }
  const int wanted = tap->told_offloads != -1 ? tap->told_offloads : tap->recorded.offloads;
  if (wanted == -1 || state.offloads == wanted) {
    return true;
  }
  if (tap_control(tap->fd, TUNSETOFFLOAD, (void *)(intptr_t)wanted) != 0) {
    return fail(failure, OUTCOME_TAP_CONTROL_FAILED, errno, index, "TUNSETOFFLOAD");
  }
  tap->put_back++;
  return true;
}

/* Looking after one TAP queue of another process; used by the verb hold. */
#ifndef GUARD_H
#define GUARD_H

#include "fdpass.h"

/* The header size, the send buffer and the byte order belong to the TAP; attached to its queue. */
struct tap_state {
  int header_size;
  unsigned flags;
  bool attached;
  int sndbuf;
  int little_endian; /* -1: this kernel does not say */
};

struct held_tap {
  struct remote remote;
  int fd;
  struct tap_state recorded;
  bool queue_left_alone; /* attached or not is the other process's business now */
  int offloads; /* TUN_F_*; -1 when not told. They cannot be read. */
  unsigned long put_back;
  int64_t looked_us; /* when it was last seen right, or made so */
  int64_t late_us;   /* at most so long it was wrong */
};

bool read_tap(const struct held_tap *tap, struct tap_state *state, int index,
              struct failure *failure);
/* Header size and queue, if they differ. */
bool guard_tap(struct held_tap *tap, int index, struct failure *failure);
/* Attaches or detaches the queue if it is not so already. Nothing for a TAP with one queue. */
bool set_queue(const struct held_tap *tap, bool attached, int index, struct failure *failure);
/* All that was recorded, and the offloads that were told if asked for. */
bool restore_tap(struct held_tap *tap, bool offloads, int index, struct failure *failure);

#endif

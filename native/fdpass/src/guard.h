/* Looking after one TAP queue of another process; used by the verb hold. */
#ifndef GUARD_H
#define GUARD_H

#include "fdpass.h"

/* The header size, the send buffer, the byte order and the offloads belong to the TAP; attached to its queue. */
enum { OFFLOAD_FEATURES = 5 };

struct tap_state {
  int header_size;
  unsigned flags;
  bool attached;
  int sndbuf;
  int little_endian; /* -1: this kernel does not say */
  int offloads;      /* TUN_F_*, of the TAP; -1: cannot be read */
};

struct held_tap {
  struct remote remote;
  int fd;
  struct tap_state recorded;
  bool queue_left_alone; /* attached or not is the other process's business now */
  int told_offloads;  /* by the caller, who knows better than what can be read; -1 when not told */
  int asks;           /* a socket in the TAP's network namespace; -1: offloads cannot be read */
  int offloads_error; /* why not */
  int feature_at[OFFLOAD_FEATURES];
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
/* All that was recorded or told. */
bool restore_tap(struct held_tap *tap, int index, struct failure *failure);

/* offloads.c: once, before they are read; sets `asks`. */
void find_offloads(struct held_tap *tap);
int read_offloads(const struct held_tap *tap);

#endif

#include "fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's own rule, and no '%', which it would take for a template. */
bool valid_interface_name(const char *name) {
  const size_t length = strlen(name);
  if (length == 0 || length >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
    return false;
  }
  for (size_t i = 0; i < length; i++) {
    const unsigned char c = (unsigned char)name[i];
    if (c <= ' ' || c >= 0x7f || c == '/' || c == ':' || c == '%') {
      return false;
    }
  }
  return true;
}

long tap_control(int fd, unsigned long request, void *argument) {
  return syscall(SYS_ioctl, fd, request, argument);
}

bool open_tap_queues(struct job *job, struct failure *failure) {
  unsigned flags = IFF_TAP | IFF_NO_PI;
  flags |= job->multi_queue ? IFF_MULTI_QUEUE : 0U;
  flags |= job->vnet_hdr ? IFF_VNET_HDR : 0U;
  for (size_t i = 0; i < job->count; i++) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, job->tap_name, strlen(job->tap_name));
    request.ifr_flags = (short)flags;

    const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
      return fail(failure, OUTCOME_TAP_FAILED, errno, (int)i, "open /dev/net/tun");
    }
    if (tap_control(fd, TUNSETIFF, &request) != 0) {
      return fail(failure, OUTCOME_TAP_FAILED, errno, (int)i, "TUNSETIFF");
    }
    job->destinations[i].descriptor = fd;
  }
  return true;
}
